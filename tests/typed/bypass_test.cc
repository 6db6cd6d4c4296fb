// SPDX-License-Identifier: LGPL-2.1-or-later
// Bypasses: the object is read or written without the cache being told, as by the kernel itself
// (passthrough), and nothing is served that this has made untrue.
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using Unseen = Cache::Unseen;

template <class Policy>
struct BypassWorld : World<Policy> {
  // By the real clock: relatime's day is measured by it.
  BypassWorld() : World<Policy>(small_cache(), {.clock = MemoryStore::Clock::kReal}) {
    this->store.set_atime_rule(AtimeRule::kRelative);
    id = this->mknod(kRoot, "f").id;
  }
  ~BypassWorld() {
    this->forget(id);
    this->expect_nothing_left();
  }

  std::optional<Cache::Bypass> begin(Unseen what) {
    Result<Cache::Bypass> begun = this->cache->begin_bypass(id, what);
    EXPECT_EQ(code(begun), 0);
    std::optional<Cache::Bypass> bypass;
    if (begun) bypass.emplace(std::move(*begun));
    return bypass;
  }

  // Straight on the store.
  void set(const SetAttr& change) {
    const auto found = this->behind(this->root_node(), "f");
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(code(this->memory.setattr(found->node, change, nullptr)), 0);
  }
  void set_size(std::uint64_t size) {
    SetAttr change;
    change.size = size;
    set(change);
  }
  void set_atime(std::int64_t sec) {
    SetAttr change;
    change.atime = SetAttr::Time{false, {sec, 0}};
    set(change);
  }

  NodeId id;
};

template <class Policy>
class Bypass : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Bypass, AllPolicies, PolicyNames);

TYPED_TEST(Bypass, WhatIsWrittenUnseenIsToldAtOnce) {
  BypassWorld<TypeParam> w;
  EXPECT_EQ(w.getattr(w.id).size, 0U);
  EXPECT_FALSE(w.cache->writes_unseen(w.id));
  auto first = w.begin(Unseen::kWrites);
  EXPECT_TRUE(w.cache->writes_unseen(w.id));
  auto second = w.begin(Unseen::kWrites);
  for (std::uint64_t size = 1; size < 9; ++size) {
    if (size == 5) first.reset();
    w.set_size(size);
    EXPECT_EQ(w.getattr(w.id).size, size);
    EXPECT_NE(w.fast_attr(w.id), Outcome::kHit);
    EXPECT_EQ(w.peek(kRoot, "f").attr.size, size);
  }
  second.reset();
  EXPECT_FALSE(w.cache->writes_unseen(w.id));
  EXPECT_EQ(w.getattr(w.id).size, 8U);
  EXPECT_EQ(w.fast_attr(w.id), Outcome::kHit);
}

// A mapping may be written for as long as anybody can write the file.
TYPED_TEST(Bypass, MappingsAreToldFromWritesByCalls) {
  BypassWorld<TypeParam> w;
  auto reader = w.begin(Unseen::kReads);
  auto writer = w.begin(Unseen::kWrites);
  EXPECT_TRUE(w.cache->writes_unseen(w.id));
  EXPECT_FALSE(w.cache->maps_unseen(w.id));
  auto mapper = w.begin(Unseen::kMaps);
  EXPECT_TRUE(w.cache->maps_unseen(w.id));
  mapper.reset();
  EXPECT_TRUE(w.cache->maps_unseen(w.id));
  writer.reset();
  EXPECT_FALSE(w.cache->writes_unseen(w.id));
  EXPECT_FALSE(w.cache->maps_unseen(w.id));
  EXPECT_EQ(w.getattr(w.id).size, 0U);
  auto again = w.begin(Unseen::kMaps);
  w.set_size(5);
  EXPECT_EQ(w.getattr(w.id).size, 5U);
  EXPECT_NE(w.fast_attr(w.id), Outcome::kHit);
}

// Whoever has closed it may have kept a mapping.
TYPED_TEST(Bypass, WhatWasMappedIsServedForAMoment) {
  CacheOptions options = small_cache();
  options.ttl_ticks = kWatchedTicks;
  options.unnumbered_ttl_ticks = 100;
  World<TypeParam> w(options, {.durable = true});
  w.cache->set_tick(1);
  const NodeId written = w.mknod(kRoot, "written").id;
  const NodeId mapped = w.mknod(kRoot, "mapped").id;
  EXPECT_EQ(code(w.cache->begin_bypass(written, Unseen::kWrites)), 0);  // And ended.
  EXPECT_EQ(code(w.cache->begin_bypass(mapped, Unseen::kMaps)), 0);
  EXPECT_FALSE(w.cache->was_mapped(written));
  EXPECT_TRUE(w.cache->was_mapped(mapped));
  EXPECT_FALSE(w.cache->maps_unseen(mapped));
  w.getattr(written);
  w.getattr(mapped);
  w.cache->set_tick(101);
  EXPECT_EQ(w.fast_attr(mapped), Outcome::kHit);
  w.cache->set_tick(102);
  EXPECT_NE(w.fast_attr(mapped), Outcome::kHit);
  EXPECT_EQ(w.fast_attr(written), Outcome::kHit);

  // What is made in its slot is another object.
  EXPECT_EQ(w.unlink(kRoot, "mapped"), 0);
  w.forget(mapped);
  w.cache->drop_unused(*w.me);
  const NodeId next = w.mknod(kRoot, "next").id;
  EXPECT_EQ(next.index(), mapped.index());
  EXPECT_FALSE(w.cache->was_mapped(next));
}

// As mappings do, until nobody writes any more.
TYPED_TEST(Bypass, WritesOfWhichNobodyTellsCountAsMappings) {
  BypassWorld<TypeParam> w;
  auto first = w.begin(Unseen::kWrites);
  auto second = w.begin(Unseen::kWrites);
  EXPECT_FALSE(w.cache->maps_unseen(w.id));
  w.cache->hide_writes(w.id);
  EXPECT_TRUE(w.cache->maps_unseen(w.id));
  first.reset();
  EXPECT_TRUE(w.cache->maps_unseen(w.id));
  second.reset();
  EXPECT_FALSE(w.cache->maps_unseen(w.id));
  EXPECT_FALSE(w.cache->writes_unseen(w.id));
}

TYPED_TEST(Bypass, AFillOfBeforeTheLastWriteIsLost) {
  BypassWorld<TypeParam> w;
  auto bypass = w.begin(Unseen::kWrites);
  w.store.after("getattr", [&] {
    w.set_size(7);
    bypass.reset();
  });
  EXPECT_EQ(w.getattr(w.id).size, 0U);  // True when the store was asked.
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.getattr(w.id).size, 7U);
}

TYPED_TEST(Bypass, AFillOfBeforeTheFirstWriteIsLost) {
  BypassWorld<TypeParam> w;
  w.cache->invalidate(w.id);
  std::optional<Cache::Bypass> bypass;
  w.store.after("getattr", [&] {
    auto begun = w.cache->begin_bypass(w.id, Unseen::kWrites);
    bypass.emplace(std::move(*begun));
    w.set_size(7);
  });
  EXPECT_EQ(w.getattr(w.id).size, 0U);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.getattr(w.id).size, 7U);
  bypass.reset();
}

TYPED_TEST(Bypass, AChangeLeavesNothingThatAWriteCouldOutdate) {
  BypassWorld<TypeParam> w;
  const auto bypass = w.begin(Unseen::kWrites);
  EXPECT_EQ(w.chmod(w.id, 0600), 0);
  w.set_size(3);
  const Attr now = w.getattr(w.id);
  EXPECT_EQ(now.size, 3U);
  EXPECT_EQ(now.mode & 0777U, 0600U);
}

// By relatime's rule a read moves the time once, until the file is changed again.
TYPED_TEST(Bypass, AnAccessTimeThatAReadMovesIsNotServed) {
  BypassWorld<TypeParam> w;
  const std::int64_t made = w.getattr(w.id).ctime.sec;
  auto bypass = w.begin(Unseen::kReads);
  EXPECT_NE(w.fast_attr(w.id), Outcome::kHit);
  w.set_atime(made + 1000);  // The first read.
  EXPECT_EQ(w.getattr(w.id).atime.sec, made + 1000);
  EXPECT_EQ(w.fast_attr(w.id), Outcome::kHit);  // No other read moves it.

  SetAttr later;
  later.mtime = SetAttr::Time{false, {made + 2000, 0}};
  EXPECT_EQ(code(w.cache->setattr(*w.me, w.id, later, nullptr)), 0);
  EXPECT_NE(w.fast_attr(w.id), Outcome::kHit);
  (void)w.getattr(w.id);
  w.set_atime(made + 3000);
  EXPECT_EQ(w.getattr(w.id).atime.sec, made + 3000);
}

TYPED_TEST(Bypass, AFillOfBeforeTheLastReadIsLost) {
  BypassWorld<TypeParam> w;
  const std::int64_t made = w.getattr(w.id).ctime.sec;
  auto bypass = w.begin(Unseen::kReads);
  w.store.after("getattr", [&] {
    w.set_atime(made + 1000);
    bypass.reset();
  });
  EXPECT_NE(w.getattr(w.id).atime.sec, made + 1000);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.getattr(w.id).atime.sec, made + 1000);
}

// What was cached for ever may be moved by a read tomorrow.
TYPED_TEST(Bypass, RelatimesDayIsKept) {
  BypassWorld<TypeParam> w;
  const std::int64_t made = w.getattr(w.id).ctime.sec;
  w.set_atime(made + 1000);
  w.cache->invalidate(w.id);
  const auto bypass = w.begin(Unseen::kReads);
  (void)w.getattr(w.id);
  EXPECT_EQ(w.fast_attr(w.id), Outcome::kHit);
  w.cache->set_tick(3600 * 1000 / kTickMs + 1);
  EXPECT_NE(w.fast_attr(w.id), Outcome::kHit);
}

TYPED_TEST(Bypass, KeepsItsInode) {
  BypassWorld<TypeParam> w;
  const NodeId other = w.mknod(kRoot, "g").id;
  auto begun = w.cache->begin_bypass(other, Unseen::kWrites);
  ASSERT_TRUE(begun.ok());
  std::optional<Cache::Bypass> bypass(std::move(*begun));
  EXPECT_EQ(w.unlink(kRoot, "g"), 0);
  w.forget(other);
  w.cache->drop_unused(*w.me);
  EXPECT_TRUE(w.cache->writes_unseen(other));
  EXPECT_EQ(code(w.cache->pin(other)), 0);
  bypass.reset();
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(code(w.cache->pin(other)), ESTALE);
  EXPECT_EQ(code(w.cache->begin_bypass(other, Unseen::kReads)), ESTALE);
}

}  // namespace
}  // namespace evenfs::test
