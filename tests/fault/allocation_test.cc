// SPDX-License-Identifier: LGPL-2.1-or-later
// The cache without memory: each allocation that each operation makes fails, once or from then on. The answer
// is ENOMEM or, where the operation can do without, a success. Afterwards the cache says what the store says,
// nothing is in anybody's way, and nothing is left over.
//
// The cache allocates little: room in the lists of free slots when a slot is used for the first time,
// orphans, and strings that it returns. The arena itself is reserved when the cache is made.
#include "tests/support/allocation.h"

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/mem/mapping.h"
#include "tests/fault/fault_world.h"

namespace evenfs::test {
namespace {

// The nth of the files that fill slots: an inode, a dentry and a cell for its name. The first is a link that
// takes as many cells more as the small tree has other slots.
template <class Policy>
NodeId fill_slot(FaultWorld<Policy>& w, int n) {
  std::string name;
  {
    const AllocationPause pause;
    name = "a file that fills a slot, number " + std::to_string(n);
  }
  if (n > 0) return w.mknod(kRoot, name).id;
  const NodeId link = w.symlink(kRoot, name, std::string(6 * kCellBytes, 'x')).id;
  EXPECT_EQ(code(w.cache->readlink(*w.me, link)), 0);
  return link;
}

// How many there is room for in the lists of free slots: one more takes heap for its inode, its dentry and
// its cell.
template <class Policy>
int slots_with_room() {
  FaultWorld<Policy> w;
  for (int n = 0; n < 1000; ++n) {
    const AllocationFault none(0);
    (void)fill_slot(w, n);
    if (n > 0 && none.seen() >= 3) return n;
  }
  ADD_FAILURE() << "no slots that come to the end of their room together";
  return 0;
}

template <class Policy>
struct FullWorld : FaultWorld<Policy> {
  FullWorld() : FullWorld(fitting()) {}  // One world at a time: the number comes first.
  explicit FullWorld(int slots) {
    this->store.counts_holds = true;
    for (int n = 0; n < slots; ++n) fillers.push_back(fill_slot(*this, n));
  }

  void give_all_back() {
    for (const NodeId id : fillers) this->forget(id);
    FaultWorld<Policy>::give_all_back();
    EXPECT_EQ(this->store.holds.load(), 0);
    EXPECT_EQ(this->cache->stats().orphans, 0U);
  }

  std::vector<NodeId> fillers;

 private:
  static int fitting() {
    static const int slots = slots_with_room<Policy>();
    return slots;
  }
};

template <class Policy>
class Allocation : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Allocation, AllPolicies, PolicyNames);

// The answer of an operation, and how many allocations it made.
template <class Policy>
std::pair<int, std::uint64_t> run_with(const Operation<Policy>& operation, FaultWorld<Policy>& w,
                                       std::uint64_t nth, Shortage shortage) {
  const AllocationFault fault(nth, shortage);
  const int answer = answer_of(operation, w);
  return {answer, fault.seen()};
}

TYPED_TEST(Allocation, EachOfAnOperationFails) {
  std::uint64_t failures = 0;
  for (const auto& operation : operations<TypeParam>()) {
    failures += for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
      SCOPED_TRACE(testing::Message() << operation.name << ", allocation " << nth
                                      << (shortage == Shortage::kOnce ? "" : " and all others"));
      FullWorld<TypeParam> w;
      const auto [answer, seen] = run_with(operation, w, nth, shortage);
      EXPECT_TRUE(answer == 0 || (answer == ENOMEM && seen >= nth)) << answer;
      w.expect_agreement();
      w.expect_nothing_in_the_way();
      w.give_all_back();
      return seen;
    });
  }
  EXPECT_GT(failures, 50U);
}

// Room for the slot to come back is a matter of the cache's own: where there is none, another slot is freed.
TYPED_TEST(Allocation, ANewSlotIsTakenFromThoseThatAreCachedOnly) {
  FullWorld<TypeParam> w;
  w.forget(w.fillers.back());
  w.fillers.pop_back();
  NodeId made;
  {
    const AllocationFault fault(1, Shortage::kFromThenOn);
    made = w.mknod(kRoot, "none").id;
    EXPECT_GT(fault.seen(), 0U);
  }
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kHit);
  w.forget(made);
  w.give_all_back();
}

// What was made is told of, counted once, whether or not there is a dentry or a cell for its name: the second
// allocation and the third, after that for its inode.
TYPED_TEST(Allocation, WhatWasMadeIsCountedOnceWhenItsNameCannotBeCached) {
  for (std::uint64_t nth = 2; nth <= 3; ++nth) {
    FullWorld<TypeParam> w;
    NodeId made;
    {
      const AllocationFault fault(nth);
      made = w.mknod(kRoot, kLongName).id;
      EXPECT_GE(fault.seen(), nth);
    }
    w.forget(made);
    w.give_all_back();
  }
}

TYPED_TEST(Allocation, AFileThatIsThereIsNotCountedWhenItCannotBeOpened) {
  FaultWorld<TypeParam> w;
  w.store.before("open", []() -> Status { throw std::bad_alloc(); });
  EXPECT_THROW((void)w.cache->create(*w.me, w.dir, name_of("file"), 0, O_RDWR, kSuper),
               std::bad_alloc);
  w.give_all_back();
}

TYPED_TEST(Allocation, ACacheThatCannotBeMadeLeavesNothing) {
  MemoryStore memory;
  HookedStore store(memory);
  const std::uint64_t failures = for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
    int answer = ENOMEM;
    std::uint64_t seen = 0;
    {
      const AllocationFault fault(nth, shortage);
      try {
        answer = code(BasicCache<TypeParam>::create(store, small_cache()));
      } catch (const std::bad_alloc&) {
      }
      seen = fault.seen();
    }
    EXPECT_EQ(answer, nth <= seen ? ENOMEM : 0);
    EXPECT_EQ(memory.references(), 0U);
    return seen;
  });
  EXPECT_GE(failures, 2 * 3U);  // The arena, the cache, and room for the root's slot.
}

// The arena is reserved at once, so that there is no growing that could fail; a slot is there when it is
// touched. What can fail is the reservation.
TEST(AllocationOfMappings, AReservationThatFailsIsAnErrorAndLeavesNothing) {
  constexpr std::size_t kTooMuch = std::size_t{1} << 60;
  const auto descriptors = [] {
    const UniqueFd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return next.get();  // The lowest that is free.
  };
  const int before = descriptors();
  EXPECT_EQ(code(Mapping::anonymous(kTooMuch)), ENOMEM);
  EXPECT_EQ(code(Mapping::shared("test", kTooMuch)), ENOMEM);
  EXPECT_EQ(descriptors(), before);
}

}  // namespace
}  // namespace evenfs::test
