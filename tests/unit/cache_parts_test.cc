// SPDX-License-Identifier: LGPL-2.1-or-later
// The small parts of the cache, each alone: counts, locks, slots, strings, names, paths, sections.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "core/cache/absence.h"
#include "core/cache/cells.h"
#include "core/cache/inode_section.h"
#include "core/cache/name_key.h"
#include "core/cache/path_cursor.h"
#include "core/policy/policy.h"
#include "core/stats/counters.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::unique_ptr<Slots> make_slots(std::uint32_t slots_max = 0, std::uint64_t seq_start = 0) {
  return Slots::create({std::uint64_t{1} << 20, slots_max, 1, seq_start}).value();
}

TEST(Seqcount, OddDuringAChangeAndOnlyGrows) {
  Seqcount count;
  EXPECT_FALSE(stamp_is_stable(count.sample()));  // S1: never used.
  count.end();
  Stamp last = count.sample();
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(stamp_is_stable(last));
    EXPECT_TRUE(count.same(last));
    count.begin();
    EXPECT_FALSE(count.same(last));
    EXPECT_FALSE(stamp_is_stable(count.sample()));
    count.end();
    EXPECT_FALSE(count.same(last));
    EXPECT_GT(count.sample(), last);  // S2.
    last = count.sample();
  }
  Seqcount far;
  far.advance_for_test(std::uint64_t{1} << 62);
  EXPECT_FALSE(stamp_is_stable(far.sample()));
}

TEST(Seqcount, AValidatedCopyIsWhole) {
  Seqcount count;
  count.end();
  std::atomic<std::uint64_t> a{0};
  std::atomic<std::uint64_t> b{0};
  std::atomic<bool> stop{false};
  std::uint64_t valid = 0;
  std::uint64_t torn = 0;
  std::thread reader([&] {
    while (!stop.load(kRelaxed)) {
      const Stamp stamp = count.sample();
      if (!stamp_is_stable(stamp)) continue;
      const std::uint64_t first = a.load(kRelaxed);
      const std::uint64_t second = b.load(kRelaxed);
      validation_fence();
      if (!count.same(stamp)) continue;
      ++valid;
      torn += first == second ? 0U : 1U;
    }
  });
  for (std::uint64_t i = 1; i < 300000; ++i) {
    count.begin();
    a.store(i, kRelaxed);
    b.store(i, kRelaxed);
    count.end();
  }
  stop.store(true, kRelaxed);
  reader.join();
  EXPECT_EQ(torn, 0U);
}

TEST(FutexMutex, ExcludesAndWakes) {
  FutexMutex mutex;
  std::uint64_t sum = 0;  // Not atomic: TSan would see a mutex that does not exclude.
  const auto work = [&] {
    for (int i = 0; i < 50000; ++i) {
      const std::lock_guard lock(mutex);
      ++sum;
    }
  };
  std::thread first(work);
  std::thread second(work);
  first.join();
  second.join();
  EXPECT_EQ(sum, 100000U);
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
}

TEST(Rcu, SynchronizeWaitsForSections) {
  RcuThread self;
  std::atomic<int> stage{0};
  std::thread reader([&] {
    RcuThread thread;
    {
      const RcuGuard guard;
      stage.store(1, std::memory_order_release);  // Pairs with the acquire below.
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();
      stage.store(2, std::memory_order_release);
    }
  });
  while (stage.load(std::memory_order_acquire) == 0)
    std::this_thread::yield();  // Pairs with above.
  rcu_synchronize();
  EXPECT_EQ(stage.load(std::memory_order_acquire), 2);  // Pairs with the release above.
  reader.join();
}

TEST(SlotPool, HandsOutEachOnce) {
  SlotPool pool(4);
  const auto nothing = [](std::uint32_t) {};
  EXPECT_FALSE(pool.take_free());
  for (std::uint32_t i = 1; i < 4; ++i) EXPECT_EQ(pool.carve(nothing), i);
  EXPECT_FALSE(pool.carve(nothing));
  EXPECT_EQ(pool.used(), 3U);
  EXPECT_EQ(pool.high_water(), 4U);
  pool.give_back(2);
  EXPECT_EQ(pool.used(), 2U);
  EXPECT_EQ(pool.slots(), 3U);
  EXPECT_EQ(pool.take_free(), 2U);
  EXPECT_FALSE(pool.take_free());
}

TEST(Slots, FreshSlotsAreNotInUse) {
  const auto slots = make_slots(3, 1000);
  const std::uint32_t inode = *slots->carve_inode();
  EXPECT_EQ(inode, NodeId::kRootIndex);
  EXPECT_FALSE(stamp_is_stable(slots->inode(inode).nseq.sample()));
  EXPECT_FALSE(stamp_is_stable(slots->inode(inode).aseq.sample()));
  EXPECT_EQ(slots->inode(inode).nseq.sample(), 2001U);
  EXPECT_FALSE(stamp_is_stable(slots->dentry(*slots->carve_dentry()).seq.sample()));
  EXPECT_TRUE(slots->carve_inode() && slots->carve_inode());
  EXPECT_FALSE(slots->carve_inode());
  for (std::uint32_t b = 0; b <= slots->bucket_mask(); ++b) {
    ASSERT_EQ(slots->bucket(b).load(kRelaxed), kEndOfChain | b);
  }
}

TEST(Cells, StringsOfEveryLength) {
  const auto slots = make_slots();
  char copy[4200];
  for (std::uint32_t length = 1; length < 4096; length += 11) {
    std::string bytes(length, 'b');
    bytes.back() = 'e';
    const std::uint32_t first = make_string(*slots, bytes);
    ASSERT_NE(first, 0U);
    std::uint32_t got = 0;
    ASSERT_TRUE(copy_string(*slots, first, copy, sizeof copy, got));
    ASSERT_EQ(std::string_view(copy, got), bytes);
    EXPECT_FALSE(length > 1 && copy_string(*slots, first, copy, length - 1, got));
    if (length <= kNameMax) {
      EXPECT_TRUE(string_equals(*slots, first, bytes));
      EXPECT_FALSE(string_equals(*slots, first, bytes + "x"));
      bytes.back() = 'f';
      EXPECT_FALSE(string_equals(*slots, first, bytes));
    }
    free_string(*slots, first);
  }
  EXPECT_EQ(slots->cell_pool().used(), 0U);
  std::uint32_t got = 0;
  EXPECT_FALSE(copy_string(*slots, 0, copy, sizeof copy, got));
  EXPECT_FALSE(copy_string(*slots, ~0U, copy, sizeof copy, got));
}

TEST(Cells, WhenThereAreNoMore) {
  const auto slots = make_slots(3);
  const std::string target(4095, 't');
  std::vector<std::uint32_t> held;
  while (const std::uint32_t first = make_string(*slots, target)) held.push_back(first);
  const std::uint32_t used = slots->cell_pool().used();
  EXPECT_EQ(used, held.size() * 74);  // The failed one gave back what it had.
  for (const std::uint32_t first : held) free_string(*slots, first);
  EXPECT_EQ(slots->cell_pool().used(), 0U);
}

TEST(NameKey, DirectoryGenerationAndSeedMatter) {
  const NameRef name = name_of("name");
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed : {1, 2}) {
    for (std::uint32_t dir : {1U, 2U}) {
      for (std::uint32_t generation : {1U, 2U}) {
        hashes.insert(NameKey(seed, dir, generation, name).hash);
      }
    }
  }
  EXPECT_EQ(hashes.size(), 8U);
  EXPECT_EQ(NameKey(1, 1, 1, name).whole_words(), 1U);
  EXPECT_FALSE(NameKey(1, 1, 1, name).has_tail());
  EXPECT_EQ(NameKey(1, 1, 1, name_of("abcdef")).tail, 0x6665U);
  const std::string at_limit(28, 'x');
  const std::string beyond(29, 'x');
  EXPECT_FALSE(NameKey(1, 1, 1, name_of(at_limit)).is_long());
  EXPECT_TRUE(NameKey(1, 1, 1, name_of(beyond)).is_long());
  EXPECT_EQ(NameKey(1, 1, 1, name_of(beyond)).inline_length(), 24U);
}

TEST(PathCursor, SplicesInFrontOfTheRest) {
  PathCursor path;
  EXPECT_EQ(code(path.start("")), ENOENT);
  EXPECT_EQ(code(path.start(std::string(PATH_MAX, 'x'))), ENAMETOOLONG);
  ASSERT_TRUE(path.start("//a//b/").ok());
  EXPECT_TRUE(path.absolute());
  EXPECT_EQ(path.next(), "a");
  EXPECT_FALSE(path.last());
  ASSERT_TRUE(path.splice("x/y").ok());
  EXPECT_FALSE(path.absolute());
  EXPECT_EQ(path.next(), "x");
  EXPECT_EQ(path.next(), "y");
  EXPECT_EQ(path.next(), "b");
  EXPECT_TRUE(path.last());
  EXPECT_TRUE(path.slash_follows());
  EXPECT_EQ(code(path.splice("")), ENOENT);
  EXPECT_EQ(code(path.splice(std::string(PATH_MAX, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(path.next(), "");
  ASSERT_TRUE(path.start("l").ok());
  for (int i = 0; i < PathCursor::kLinksMax; ++i) {
    EXPECT_EQ(path.next(), "l");
    ASSERT_TRUE(path.splice("l").ok());
  }
  EXPECT_EQ(code(path.splice("l")), ELOOP);
}

TEST(Counters, TotalsKeepWorkersThatEnded) {
  WorkerRegistry registry;
  {
    Worker worker(registry);
    worker.count(Counter::kLookupHit, 3);
  }
  Worker worker(registry);
  worker.count(Counter::kLookupHit);
  EXPECT_EQ(registry.totals()[static_cast<std::size_t>(Counter::kLookupHit)], 4U);
  std::set<std::string_view> names;
  for (const CounterInfo& info : kCounterInfo) EXPECT_TRUE(names.insert(info.name).second);
}

// No setter without a section, no section without a guard: these do not compile.
template <class T>
concept HasSetter = requires(T& t, const Attr& attr) {
  t.set_stat(attr, 0);
};
static_assert(HasSetter<InodeSection>);
static_assert(!HasSetter<const InodeLock> && !HasSetter<InodeGuard<LocklessPolicy>>);
static_assert(!std::is_constructible_v<InodeSection, InodePub&, Fields>);
static_assert(!std::is_constructible_v<InodeLock, InodePub&, InodePriv&>);
static_assert(!std::is_copy_constructible_v<InodeSection>);

TEST(InodeSection, CountsAreOddUntilTheLastUserEnds) {
  const auto slots = make_slots();
  LocklessPolicy policy;
  const std::uint32_t index = *slots->carve_inode();
  InodePub& pub = slots->inode(index);
  const InodeGuard<LocklessPolicy> guard(policy, *slots, index);
  InodeBirth(guard).finish(Found{}, true, 1, 1, false);
  EXPECT_TRUE(stamp_is_stable(pub.aseq.sample()) && stamp_is_stable(pub.nseq.sample()));
  guard.open(Fields::kStat);
  EXPECT_TRUE(stamp_is_stable(pub.nseq.sample()));
  guard.open(Fields::kWalk);
  EXPECT_FALSE(stamp_is_stable(pub.nseq.sample()));  // L3: then aseq is odd as well.
  EXPECT_FALSE(stamp_is_stable(pub.aseq.sample()));
  guard.close(Fields::kWalk);
  EXPECT_TRUE(stamp_is_stable(pub.nseq.sample()));
  EXPECT_FALSE(stamp_is_stable(pub.aseq.sample()));
  guard.close(Fields::kStat);
  EXPECT_TRUE(stamp_is_stable(pub.aseq.sample()));
  EXPECT_EQ(pub.stat_flags.load(kRelaxed) & kAttrValid, 0U);
  EXPECT_EQ(pub.walk_until.load(kRelaxed), 0U);
}

// L5: another process finds everything in the shared part, and may not store to it.
TEST(Slots, AnotherMappingSeesWhatWasWritten) {
  const auto slots = make_slots(7, 1000);
  const std::uint32_t inode = *slots->carve_inode();
  const std::uint32_t dentry = *slots->carve_dentry();
  const std::uint32_t cell = make_string(*slots, "a link's target");
  slots->inode(inode).size.store(77, kRelaxed);
  slots->dentry(dentry).child.store(inode, kRelaxed);
  slots->bucket(5).store(dentry, kRelaxed);
  const auto attached = Slots::attach(slots->fd());
  ASSERT_EQ(code(attached), 0);
  const Slots& other = **attached;
  EXPECT_NE(&other.inode(inode), &slots->inode(inode));
  EXPECT_EQ(other.inode(inode).size.load(kRelaxed), 77U);
  EXPECT_EQ(other.inode(inode).aseq.sample(), 2001U);
  EXPECT_EQ(other.dentry(other.bucket(5).load(kRelaxed)).child.load(kRelaxed), inode);
  EXPECT_TRUE(string_equals(other, cell, "a link's target"));
  EXPECT_EQ(other.bucket_mask(), slots->bucket_mask());
  EXPECT_EQ(other.hash_seed(), slots->hash_seed());
  EXPECT_EQ(other.inode_bound(), 8U);  // Below it everything may be looked at, used or not.
  EXPECT_EQ(other.inode(7).generation.load(kRelaxed), 0U);
  EXPECT_FALSE((*attached)->carve_inode());
  EXPECT_DEATH(other.inode(inode).size.store(78, kRelaxed), "");
}

TEST(Slots, WhatIsNoArenaIsNotAttached) {
  EXPECT_EQ(code(Slots::attach(-1)), EBADF);
  const UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  EXPECT_EQ(code(Slots::attach(empty.get())), EINVAL);
  ASSERT_EQ(::ftruncate(empty.get(), 4096), 0);
  EXPECT_EQ(code(Slots::attach(empty.get())), EINVAL);  // No magic.
  const auto slots = make_slots(3);
  ArenaHeader header;
  ASSERT_EQ(::pread(slots->fd(), &header, sizeof header, 0), ssize_t{sizeof header});
  ASSERT_EQ(::pwrite(empty.get(), &header, sizeof header, 0), ssize_t{sizeof header});
  EXPECT_EQ(code(Slots::attach(empty.get())), EINVAL);  // Shorter than it says.
}

TEST(Absence, IsOfFourNamesAndEachHasABit) {
  EXPECT_EQ(absence_of("security.capability"), kNoCapability);
  EXPECT_EQ(absence_of("system.posix_acl_access"), kNoAccessList);
  EXPECT_EQ(absence_of("system.posix_acl_default"), kNoDefaultList);
  EXPECT_EQ(absence_of("security.selinux"), kNoLabel);
  for (const char* other :
       {"", "security.capabilit", "security.capability2", "user.a", "system."}) {
    EXPECT_EQ(absence_of(other), 0U) << other;
  }
  EXPECT_EQ(kNoCapability ^ kNoAccessList ^ kNoDefaultList ^ kNoListsThere ^ kNoLabel, kAnyAbsence);
}

TEST(Absence, AWordHasNamesAndATickAndTheLastTickIsForEver) {
  const std::uint64_t word = absent_word(kNoCapability | kNoListsThere, 77);
  EXPECT_EQ(word & kAnyAbsence, kNoCapability | kNoListsThere);
  EXPECT_EQ(absent_until(word), 77U);
  EXPECT_EQ(absent_until(absent_word(kAnyAbsence, 0)), 0U);
  const std::uint64_t forever = absent_word(kNoDefaultList, ~std::uint64_t{0});
  EXPECT_EQ(forever & kAnyAbsence, kNoDefaultList);
  EXPECT_EQ(absent_until(forever), ~std::uint64_t{0} >> kAbsenceBits);
  EXPECT_EQ(absent_word(kNoDefaultList, absent_until(forever)), forever);
}

}  // namespace
}  // namespace evenfs::test
