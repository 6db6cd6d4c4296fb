// SPDX-License-Identifier: LGPL-2.1-or-later
// Times that grow: what has just changed is served for the least, what has rested for a tenth of that, and
// nothing for longer than the most; names, and what is not there, go by their directory.
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

// Ticks of 10 ms: one second, and one minute.
constexpr std::uint64_t kLeast = 100;
constexpr std::uint64_t kMost = 6000;
constexpr std::int64_t kLongS = 1'000'000;

CacheOptions growing() {
  CacheOptions options = small_cache();
  options.ttl_ticks = kMost;
  options.ttl_least_ticks = kLeast;
  return options;
}

MemoryStore::Options on_time() {
  MemoryStore::Options behind;
  behind.clock = MemoryStore::Clock::kReal;
  return behind;
}

template <class Policy>
class Rest : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Rest, AllPolicies, PolicyNames);

TYPED_TEST(Rest, WhatHasJustChangedIsServedForTheLeast) {
  World<TypeParam> w(growing(), on_time());
  w.behind_file("f");
  const NodeId id = w.lookup(kRoot, "f").id;
  w.cache->set_tick(kLeast);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.cache->set_tick(kLeast + 2);
  EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
}

// A hundred seconds make ten.
TYPED_TEST(Rest, WhatHasRestedIsServedForATenthOfThat) {
  World<TypeParam> w(growing(), on_time());
  w.store.set_older(100);
  w.behind_file("f");
  const NodeId id = w.lookup(kRoot, "f").id;
  w.cache->set_tick(990);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.cache->set_tick(1100);
  EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
  // As when it was first met.
  (void)w.getattr(id);
  w.cache->set_tick(2080);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.cache->set_tick(2300);
  EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
}

TYPED_TEST(Rest, NothingIsServedForLongerThanTheMost) {
  World<TypeParam> w(growing(), on_time());
  w.store.set_older(kLongS);
  w.behind_file("f");
  const NodeId id = w.lookup(kRoot, "f").id;
  w.cache->set_tick(kMost);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.cache->set_tick(kMost + 2);
  EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
}

// What somebody has just changed, here or there, has not rested, however long it had before.
TYPED_TEST(Rest, AChangeBeginsTheRestAnew) {
  World<TypeParam> w(growing(), on_time());
  w.store.set_older(kLongS);
  w.behind_file("f");
  const NodeId id = w.lookup(kRoot, "f").id;
  EXPECT_EQ(w.chmod(id, 0600), 0);
  EXPECT_EQ(w.getattr(id).mode & 07777U, 0600U);
  w.cache->set_tick(kLeast + 2);
  EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
}

TYPED_TEST(Rest, NamesGoByTheirDirectory) {
  World<TypeParam> w(growing(), on_time());
  EXPECT_EQ(w.peek_error(kRoot, "none"), ENOENT);
  w.cache->set_tick(kLeast + 2);
  EXPECT_NE(w.fast(kRoot, "none"), Outcome::kNegative) << "the root is young";
  w.store.set_older(kLongS);
  w.cache->set_tick(kMost + 2);
  (void)w.getattr(kRoot);
  EXPECT_EQ(w.peek_error(kRoot, "none"), ENOENT);
  w.cache->set_tick(2 * kMost);
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kNegative);
  w.cache->set_tick(2 * kMost + 4);
  EXPECT_NE(w.fast(kRoot, "none"), Outcome::kNegative);
}

TYPED_TEST(Rest, ALeastThatDoesNotFitIsRefused) {
  MemoryStore store;
  CacheOptions options = growing();
  options.ttl_least_ticks = kMost + 1;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(store, options)), EINVAL);
  options.ttl_least_ticks = kMost;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(store, options)), 0);
  options.ttl_ticks = kForeverTicks;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(store, options)), EINVAL);
}

}  // namespace
}  // namespace evenfs::test
