// SPDX-License-Identifier: LGPL-2.1-or-later
// A store that fails: each call that each operation makes fails once, with each error, before the store
// has done what it was asked for and after. The operation's answer is that error or, where it can do
// without the call, a success. Afterwards the cache says what the store says, and nothing is left over.
#include <functional>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using When = HookedStore::When;
constexpr int kErrors[] = {EIO, ENOSPC, EMFILE, ENOMEM, ESTALE, EINTR};

// A tree with one of everything, all of it cached.
template <class Policy>
struct FaultWorld : World<Policy> {
  explicit FaultWorld(CacheOptions options = small_cache()) : World<Policy>(options) {
    dir = this->mkdir(kRoot, "dir").id;
    empty = this->mkdir(kRoot, "empty").id;
    file = this->mknod(dir, "file", 0640).id;
    other = this->mknod(kRoot, "other", 0604).id;
    link = this->symlink(kRoot, "link", "dir/file").id;
    EXPECT_EQ(this->peek_error(kRoot, "none"), ENOENT);
  }

  void give_all_back() {
    for (const NodeId id : {dir, empty, file, other, link}) this->forget(id);
    this->expect_nothing_left();
  }

  // The cache and the store, of every name that the operations touch.
  void expect_agreement() {
    const Node root = this->root_node();
    for (const char* name : {"dir", "empty", "other", "link", "none", "file"}) {
      agree(kRoot, root, name);
    }
    if (const auto found = this->behind(root, "dir")) {
      // The node of a live object stays good in this store when it is released.
      for (const char* name : {"file", "none", "other"}) agree(dir, found->node, name);
    }
    for (const NodeId id : {file, other, dir}) {
      const Result<Cache::Pin> pin = this->cache->pin(id);
      ASSERT_EQ(code(pin), 0);
      const auto truth = this->memory.getattr(pin->node(), nullptr);
      const auto told = this->cache->getattr(*this->me, id, nullptr);
      ASSERT_EQ(code(told), code(truth));
      if (told) {
        EXPECT_TRUE(*told == *truth);
      }
    }
  }

  NodeId dir, empty, file, other, link;

 private:
  void agree(NodeId parent, const Node& node, const char* name) {
    const auto truth = this->behind(node, name);
    const auto told = this->cache->peek(*this->me, parent, name_of(name));
    ASSERT_EQ(code(told), truth ? 0 : ENOENT) << name;
    if (truth) {
      EXPECT_TRUE(told->attr == truth->attr) << name;
    }
  }
};

// An operation on that world: its errno. What it makes known to the kernel it forgets.
template <class Policy>
struct Operation {
  const char* name;
  std::function<int(FaultWorld<Policy>&)> run;
};

template <class Policy, class Made>
int forgotten(FaultWorld<Policy>& w, const Result<Made>& made) {
  if (!made) return code(made);
  if constexpr (std::is_same_v<Made, Opened>) {
    w.forget(made->entry.id);
  } else {
    w.forget(made->id);
  }
  return 0;
}

template <class Policy>
std::vector<Operation<Policy>> makers() {
  using W = FaultWorld<Policy>;
  return {
      {"mknod",
       [](W& w) {
         return forgotten(w, w.cache->mknod(*w.me, kRoot, name_of("none"), S_IFREG, 0, kSuper));
       }},
      {"mkdir",
       [](W& w) { return forgotten(w, w.cache->mkdir(*w.me, w.dir, name_of("none"), 0, kSuper)); }},
      {"symlink",
       [](W& w) {
         return forgotten(w, w.cache->symlink(*w.me, kRoot, name_of("none"), "x", kSuper));
       }},
      {"create",
       [](W& w) {
         return forgotten(w, w.cache->create(*w.me, kRoot, name_of("none"), 0, O_RDWR, kSuper));
       }},
      {"create of what is there",
       [](W& w) {
         return forgotten(
             w, w.cache->create(*w.me, w.dir, name_of("file"), 0, O_RDWR | O_TRUNC, kSuper));
       }},
      {"tmpfile",
       [](W& w) { return forgotten(w, w.cache->tmpfile(*w.me, kRoot, 0600, O_RDWR, kSuper)); }},
      {"link",
       [](W& w) { return forgotten(w, w.cache->link(*w.me, w.file, kRoot, name_of("none"))); }},
      {"lookup of what is not cached",
       [](W& w) {
         w.cache->invalidate_name(*w.me, kRoot, name_of("other"));
         return forgotten(w, w.cache->lookup(*w.me, kRoot, name_of("other")));
       }},
  };
}

template <class Policy>
std::vector<Operation<Policy>> changers() {
  using W = FaultWorld<Policy>;
  const auto renames = [](RenameMode mode) {
    return [mode](W& w) { return w.rename(w.dir, "file", kRoot, "other", mode); };
  };
  return {
      {"unlink", [](W& w) { return w.unlink(w.dir, "file"); }},
      {"rmdir", [](W& w) { return w.rmdir(kRoot, "empty"); }},
      {"rename", renames(RenameMode::kReplace)},
      {"rename, exchange", renames(RenameMode::kExchange)},
      {"rename to a new name",
       [](W& w) { return w.rename(w.dir, "file", kRoot, "none", RenameMode::kNoReplace); }},
      {"rename of a directory", [](W& w) { return w.rename(kRoot, "empty", w.dir, "none"); }},
      {"chmod", [](W& w) { return w.chmod(w.file, 0600); }},
      {"truncate", [](W& w) { return w.truncate(w.file, 4096); }},
      {"open and truncate",
       [](W& w) { return code(w.cache->open(*w.me, w.file, O_RDWR | O_TRUNC)); }},
      {"getattr of what is not cached",
       [](W& w) {
         w.cache->invalidate(w.file);
         return code(w.cache->getattr(*w.me, w.file, nullptr));
       }},
      {"readlink of what is not cached",
       [](W& w) { return code(w.cache->readlink(*w.me, w.link)); }},
      {"walk of what is not cached",
       [](W& w) {
         w.cache->invalidate_name(*w.me, kRoot, name_of("dir"));
         w.cache->invalidate(w.file);
         return code(w.cache->walk(*w.me, kRoot, "link", Cred{.uid = 5, .gid = 5}, true));
       }},
  };
}

template <class Policy>
std::vector<Operation<Policy>> operations() {
  std::vector<Operation<Policy>> all = makers<Policy>();
  const std::vector<Operation<Policy>> others = changers<Policy>();
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

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
          const int answer = operation.run(w);
          w.store.fail_nth(0, When::kBefore, 0);
          // create() tries again after ESTALE, and may then find what it has made itself.
          const bool own = answer == EEXIST && error == ESTALE;
          EXPECT_TRUE(answer == 0 || answer == error || own) << answer;
          failures += answer != 0 ? 1 : 0;
          w.expect_agreement();
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
