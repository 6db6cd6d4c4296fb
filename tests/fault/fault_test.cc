// SPDX-License-Identifier: LGPL-2.1-or-later
// A store that fails: each call that each operation makes fails once, with each error and by std::bad_alloc,
// before the store has done what it was asked for and after. The operation's answer is that error or, where
// it can do without the call, a success. Afterwards the cache says what the store says, nobody is kept off, and
// nothing is left over.
#include <vector>

#include "tests/fault/fault_world.h"

namespace evenfs::test {
namespace {

using When = HookedStore::When;
constexpr int kErrors[] = {EIO, ENOSPC, EMFILE, ENOMEM, ESTALE, EINTR, HookedStore::kThrows};

template <class Policy>
class Fault : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Fault, AllPolicies, PolicyNames);

// How often the operation asks the store when nothing fails.
template <class Policy>
int calls_of(const Operation<Policy>& operation) {
  FaultWorld<Policy> w;
  w.store.fail_nth(0, When::kBefore, 0);
  EXPECT_EQ(operation.run(w), 0) << operation.name;
  const int calls = w.store.seen();
  EXPECT_GT(calls, 0) << operation.name;
  w.expect_agreement();
  w.give_all_back();
  return calls;
}

TYPED_TEST(Fault, EachCallOfTheStoreFailsOnce) {
  int failures = 0;
  for (const auto& operation : operations<TypeParam>()) {
    const int calls = calls_of(operation);
    for (int nth = 1; nth <= calls; ++nth) {
      for (const When when : {When::kBefore, When::kAfter}) {
        for (const int error : kErrors) {
          SCOPED_TRACE(testing::Message()
                       << operation.name << ", call " << nth << " of " << calls
                       << (when == When::kBefore ? " not done, " : " done, ") << error);
          FaultWorld<TypeParam> w;
          w.store.fail_nth(nth, when, error);
          const int answer = answer_of(operation, w);
          w.store.fail_nth(0, When::kBefore, 0);
          const int expected = error == HookedStore::kThrows ? ENOMEM : error;
          // create() tries again after ESTALE, and may then find what it has made itself.
          const bool own = answer == EEXIST && error == ESTALE;
          EXPECT_TRUE(answer == 0 || answer == expected || own) << answer;
          failures += answer != 0 ? 1 : 0;
          w.expect_agreement();
          w.expect_nothing_in_the_way();
          w.give_all_back();
        }
      }
    }
  }
  EXPECT_GT(failures, 200);
}

// While the store takes its time over one operation, hits on other names and inodes need it for nothing,
// and the name that is being changed is answered by the store alone.
TYPED_TEST(Fault, ASlowStoreDelaysNobodyElse) {
  const char* kinds[] = {"mknod",  "mkdir", "symlink", "create",  "link",
                         "unlink", "rmdir", "rename",  "setattr", "open"};
  int held = 0;
  for (const auto& operation : operations<TypeParam>()) {
    FaultWorld<TypeParam> w;
    const NodeId bystander = w.mknod(kRoot, "bystander").id;
    for (const char* kind : kinds) {
      w.store.before(kind, [&] {
        ++held;
        const std::uint64_t asked = w.store.calls("lookup") + w.store.calls("getattr");
        EXPECT_EQ(w.fast(kRoot, "bystander"), Outcome::kHit) << operation.name;
        EXPECT_EQ(w.fast_attr(bystander), Outcome::kHit);
        EXPECT_EQ(w.store.calls("lookup") + w.store.calls("getattr"), asked);
        w.expect_agreement();
        return Status();
      });
    }
    EXPECT_EQ(operation.run(w), 0) << operation.name;
    w.forget(bystander);
    w.expect_agreement();
    w.give_all_back();
  }
  EXPECT_GT(held, 12);
}

// Every slot is in use: what needs one is told ENOMEM, and the rest goes on.
TYPED_TEST(Fault, AnArenaThatIsFull) {
  for (const auto& operation : operations<TypeParam>()) {
    SCOPED_TRACE(operation.name);
    CacheOptions options = small_cache();
    options.slots_max = 12;
    FaultWorld<TypeParam> w(options);
    std::vector<NodeId> held;
    for (int i = 0; i < 64; ++i) {
      const auto made = w.cache->tmpfile(*w.me, kRoot, 0600, O_RDWR, kSuper);
      if (!made) {
        EXPECT_EQ(code(made), ENOMEM);
        break;
      }
      held.push_back(made->entry.id);
    }
    ASSERT_LT(held.size(), 64U);
    const int answer = operation.run(w);
    EXPECT_TRUE(answer == 0 || answer == ENOMEM) << answer;
    for (const NodeId id : held) w.forget(id);
    w.expect_agreement();
    w.give_all_back();
  }
}

}  // namespace
}  // namespace evenfs::test
