// SPDX-License-Identifier: LGPL-2.1-or-later
// Orphans: an inode that lost its last name keeps leading to its object until the kernel forgets it, and
// not a moment longer.
#include "core/cache/orphans.h"

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class OrphanTest : public CacheTest<Policy> {};
TYPED_TEST_SUITE(OrphanTest, AllPolicies, PolicyNames);

template <class Policy>
struct HoldingWorld : World<Policy> {
  explicit HoldingWorld(CacheOptions options = small_cache()) : World<Policy>(options) {
    this->store.counts_holds = true;
  }
  ~HoldingWorld() {
    this->cache.reset();
    EXPECT_EQ(holds(), 0) << "with the cache goes what it held";
  }
  Status link_behind(std::string_view name, std::string_view new_name) {
    const Result<Found> found = this->memory.lookup(this->root_node(), name_of(name));
    EXPECT_TRUE(this->memory.link(found->node, this->root_node(), name_of(new_name)).ok());
    this->memory.release(found->node);
    return Status();
  }
  int holds() const { return this->store.holds.load(); }
  void expect_orphans(int count) const {
    EXPECT_EQ(holds(), count);
    EXPECT_EQ(this->cache->stats().orphans, static_cast<std::uint64_t>(count));
  }
};

TYPED_TEST(OrphanTest, IsHeldFromItsLastNameUntilForgotten) {
  HoldingWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  (void)w.lookup(kRoot, "f");
  const std::uint64_t asked = w.store.calls("getattr");
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  EXPECT_EQ(w.store.calls("getattr"), asked) << "that it had one name is known";
  w.expect_orphans(1);
  EXPECT_EQ(w.getattr(id).nlink, 0U);
  EXPECT_EQ(w.chmod(id, 0600), 0);
  w.forget(id);
  w.expect_orphans(1);
  w.forget(id);
  w.expect_orphans(0);
}

TYPED_TEST(OrphanTest, AsADirectoryAndAsTheVictimOfARename) {
  HoldingWorld<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  EXPECT_EQ(w.rmdir(kRoot, "d"), 0);
  w.expect_orphans(1);
  const NodeId victim = w.mknod(kRoot, "f").id;
  const NodeId moved = w.mknod(kRoot, "g").id;
  EXPECT_EQ(w.rename(kRoot, "g", kRoot, "f"), 0);
  w.expect_orphans(2);
  w.forget(moved);
  w.expect_orphans(2);
  w.forget(victim);
  w.forget(dir);
  w.expect_orphans(0);
  (void)w.mknod(kRoot, "x");
  EXPECT_EQ(w.rename(kRoot, "f", kRoot, "x", RenameMode::kExchange), 0);
  w.expect_orphans(0);
}

TYPED_TEST(OrphanTest, OnlyTheLastOfSeveralNamesMatters) {
  HoldingWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  ASSERT_TRUE(w.cache->link(*w.me, id, kRoot, name_of("g")).ok());
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(0);
  Attr attr;
  EXPECT_EQ(w.fast_attr(id, &attr), Outcome::kHit);
  EXPECT_EQ(attr.nlink, 1U);
  EXPECT_EQ(w.unlink(kRoot, "g"), 0);
  w.expect_orphans(1);
  w.forget(id, 2);
  w.expect_orphans(0);
}

// Then it is held for nothing, until it is forgotten, and nothing that was known of it is served.
TYPED_TEST(OrphanTest, OthersMakeALinkBeforeTheOnlyNameGoes) {
  HoldingWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  w.store.before("unlink", [&] { return w.link_behind("f", "g"); });
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(1);
  EXPECT_EQ(w.getattr(id).nlink, 1U);
  w.cache->invalidate_name(*w.me, kRoot, name_of("g"));  // As whoever watches says.
  EXPECT_EQ(w.lookup(kRoot, "g").id, id);
  EXPECT_EQ(w.unlink(kRoot, "g"), 0);
  w.expect_orphans(1);
  EXPECT_EQ(w.getattr(id).nlink, 0U);
  w.forget(id, 2);
  w.expect_orphans(0);
}

// As NFS does with what is held: it has another name then, and a link count of 1.
TYPED_TEST(OrphanTest, OverANetworkTheStoreIsAskedWhetherItWasTheLastName) {
  HoldingWorld<TypeParam> w;
  w.store.set_may_be_slow();
  const NodeId id = w.mknod(kRoot, "f").id;
  w.store.before("unlink", [&] { return w.link_behind("f", ".nfs1"); });
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(0);
  w.forget(id);
}

// A link count that the cache has, and may not serve, says nothing.
TYPED_TEST(OrphanTest, WhatTheCacheMayNotServeIsNotBelieved) {
  HoldingWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  {
    const Result<Cache::Change> under_way = w.cache->begin_change(id, Fields::kStat);
    ASSERT_TRUE(w.cache->link(*w.me, id, kRoot, name_of("g")).ok());
  }
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(0);
  w.forget(id, 2);
}

TYPED_TEST(OrphanTest, NothingIsHeldForWhoeverHasForgotten) {
  HoldingWorld<TypeParam> w;
  w.forget(w.mknod(kRoot, "before").id);
  EXPECT_EQ(w.unlink(kRoot, "before"), 0);
  w.expect_orphans(0);

  const NodeId id = w.mknod(kRoot, "meanwhile").id;
  w.store.after("unlink", [&] { w.forget(id); });
  EXPECT_EQ(w.unlink(kRoot, "meanwhile"), 0);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  w.expect_orphans(0);
}

TYPED_TEST(OrphanTest, NothingIsHeldAfterAFailure) {
  HoldingWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  w.store.fail("unlink", EIO);
  EXPECT_EQ(w.unlink(kRoot, "f"), EIO);
  w.expect_orphans(0);
  w.store.fail("hold", EMFILE);  // Then it is an orphan that may become stale.
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(0);
  EXPECT_EQ(w.getattr(id).nlink, 0U);
}

TYPED_TEST(OrphanTest, ThereAreNotMoreThanTheLimit) {
  CacheOptions options = small_cache();
  options.memory_bytes = std::uint64_t{8} << 20;
  HoldingWorld<TypeParam> w(options);
  constexpr auto kMax = static_cast<int>(Orphans::kMax);
  std::vector<NodeId> ids;
  for (int i = 0; i < kMax + 10; ++i) {
    ids.push_back(w.mknod(kRoot, "f").id);
    ASSERT_EQ(w.unlink(kRoot, "f"), 0);
  }
  w.expect_orphans(kMax);
  Attr attr;
  EXPECT_EQ(w.fast_attr(ids[kMax], &attr), Outcome::kHit)
      << "who is not held may be out of reach by now";
  EXPECT_EQ(attr.nlink, 0U);
  for (const NodeId id : ids) w.forget(id);
  w.expect_orphans(0);
  const NodeId last = w.mknod(kRoot, "f").id;
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.expect_orphans(1);
  w.forget(last);
}

}  // namespace
}  // namespace evenfs::test
