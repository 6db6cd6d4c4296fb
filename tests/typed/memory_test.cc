// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory: the limit, what goes past it and comes back, who is evicted, and an inode that is referenced
// again while it dies.
#include <atomic>
#include <thread>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Memory : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Memory, AllPolicies, PolicyNames);

TYPED_TEST(Memory, TheLimitHoldsWhileNothingIsHeld) {
  World<TypeParam> w;
  for (int i = 0; i < 12000; ++i) {
    w.forget(w.mknod(kRoot, "n" + std::to_string(i)).id);
    if (i % 100 == 0) {
      ASSERT_LE(w.cache->stats().memory_bytes, w.cache->stats().memory_limit);
    }
  }
  EXPECT_GT(w.count(Counter::kDentryEvicted), 8000U);
  EXPECT_GT(w.count(Counter::kInodeReclaimed), 8000U);
  for (int i = 0; i < 12000; i += 13) EXPECT_EQ(w.peek_error(kRoot, "n" + std::to_string(i)), 0);
}

// The slots are all there when the names become long and the targets longer: cells count as well.
TYPED_TEST(Memory, TheLimitHoldsForStrings) {
  World<TypeParam> w;
  for (int i = 0; i < 4000; ++i) w.forget(w.mknod(kRoot, "n" + std::to_string(i)).id);
  const std::string target(4095, 't');
  for (int i = 0; i < 4000; ++i) {
    const NodeId link = w.symlink(kRoot, std::string(240, 'l') + std::to_string(i), target).id;
    ASSERT_TRUE(w.cache->readlink(*w.me, link).ok());
    w.forget(link);
  }
  EXPECT_LE(w.cache->stats().memory_bytes, w.cache->stats().memory_limit * 5 / 4);
}

TYPED_TEST(Memory, WhatTheKernelHoldsGoesPastTheLimit) {
  World<TypeParam> w;
  std::vector<NodeId> held;
  for (int i = 0; i < 6000; ++i) held.push_back(w.mknod(kRoot, "n" + std::to_string(i)).id);
  EXPECT_GT(w.cache->stats().memory_bytes, w.cache->stats().memory_limit);
  EXPECT_EQ(w.cache->stats().inodes, 6001U);
  for (const NodeId id : held) EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  for (const NodeId id : held) w.forget(id);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  EXPECT_EQ(w.cache->stats().dentries, 0U);
  EXPECT_EQ(w.memory.references(), 1U);
}

TYPED_TEST(Memory, WhatIsUsedSurvivesAPassThroughWhatIsNot) {
  World<TypeParam> w;
  for (int i = 0; i < 50; ++i) w.forget(w.mknod(kRoot, "hot" + std::to_string(i)).id);
  for (int i = 0; i < 9000; ++i) {
    w.forget(w.mknod(kRoot, "cold" + std::to_string(i)).id);
    if (i % 20 == 0) {
      for (int h = 0; h < 50; ++h) (void)w.peek(kRoot, "hot" + std::to_string(h));
    }
  }
  int hot = 0;
  for (int h = 0; h < 50; ++h) {
    hot += w.fast(kRoot, "hot" + std::to_string(h)) == Outcome::kHit ? 1 : 0;
  }
  EXPECT_EQ(hot, 50);
  EXPECT_GT(w.count(Counter::kDentryEvicted), 4000U);
}

TYPED_TEST(Memory, AFloodOfMissingNamesIsBounded) {
  World<TypeParam> w;
  for (int i = 0; i < 500; ++i) w.forget(w.mknod(kRoot, "n" + std::to_string(i)).id);
  for (int i = 0; i < 20000; ++i) EXPECT_EQ(w.peek_error(kRoot, "x" + std::to_string(i)), ENOENT);
  EXPECT_LE(w.cache->stats().negative_dentries, 1000U);
  EXPECT_GT(w.cache->stats().negative_dentries, 100U);
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(w.fast(kRoot, "n" + std::to_string(i)), Outcome::kHit);
  }
}

TYPED_TEST(Memory, DropUnusedTakesWholeTreesAndNothingThatIsHeld) {
  World<TypeParam> w;
  NodeId at = kRoot;
  std::vector<NodeId> ids;
  for (int i = 0; i < 20; ++i) {
    at = w.mkdir(at, "d").id;
    ids.push_back(at);
    (void)w.peek_error(at, "missing");
  }
  const NodeId held = ids[10];
  for (const NodeId id : ids) {
    if (!(id == held)) w.forget(id);
  }
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 2U);
  EXPECT_EQ(w.getattr(held).nlink, 3U);
  EXPECT_EQ(w.cache->stats().negative_dentries, 0U);
}

TYPED_TEST(Memory, APinKeepsAnInode) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  auto pin = std::make_optional(w.cache->pin(id));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(id);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.fast_attr(id) == Outcome::kStaleId, false);
  EXPECT_EQ(w.cache->stats().inodes, 2U);
  pin.reset();
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  EXPECT_EQ(w.memory.objects(), 1U);
}

// One thread reclaims without a pause, the other looks the same file up: it is often found dying.
TYPED_TEST(Memory, LookupsRaceWithTheReclaimer) {
  World<TypeParam> w;
  w.behind_file("f");
  const std::uint64_t ino = w.behind(w.root_node(), "f")->attr.ino;
  std::atomic<bool> stop{false};
  std::thread reclaimer([&] {
    Worker me(w.registry);
    while (!stop.load(std::memory_order_relaxed)) w.cache->drop_unused(me);
  });
  std::uint64_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto entry = w.cache->lookup(*w.me, kRoot, name_of("f"));
    if (!entry || entry->attr.ino != ino) {
      ++wrong;
      continue;
    }
    const auto attr = w.cache->getattr(*w.me, entry->id, nullptr);
    wrong += attr.ok() && attr->ino == ino ? 0U : 1U;
    w.forget(entry->id);
  }
  stop.store(true, std::memory_order_relaxed);
  reclaimer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 0U);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  EXPECT_EQ(w.memory.references(), 1U);
}

TYPED_TEST(Memory, DestructionGivesEverythingBack) {
  World<TypeParam> w;
  for (int i = 0; i < 100; ++i) (void)w.mknod(kRoot, "n" + std::to_string(i));
  EXPECT_EQ(w.memory.references(), 101U);
  w.cache.reset();
  EXPECT_EQ(w.memory.references(), 0U);
}

}  // namespace
}  // namespace evenfs::test
