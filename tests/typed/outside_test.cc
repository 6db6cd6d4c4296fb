// SPDX-License-Identifier: LGPL-2.1-or-later
// What others change: whoever watches the store tells the cache, by durable number or of everything at once.
// Nothing that the store said before is served afterwards, whether it was cached, was just being cached, or
// belonged to an object that had no inode.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::uint64_t kUnnumberedTtl = 100;

MemoryStore::Options durable_store() {
  MemoryStore::Options behind;
  behind.durable = true;
  return behind;
}

CacheOptions watched() {
  CacheOptions options = small_cache();
  options.ttl_ticks = kWatchedTicks;
  options.unnumbered_ttl_ticks = kUnnumberedTtl;
  return options;
}

template <class Policy>
struct WatchedWorld : World<Policy> {
  explicit WatchedWorld(MemoryStore::Options behind = durable_store())
      : World<Policy>(watched(), std::move(behind)) {
    this->cache->set_tick(1);
  }
  // Behind the cache.
  void chmod_behind(std::string_view name, std::uint32_t mode) {
    const Result<Found> found = this->memory.lookup(this->root_node(), name_of(name));
    ASSERT_TRUE(found.ok());
    SetAttr change;
    change.mode = mode;
    EXPECT_EQ(code(this->memory.setattr(found->node, change, nullptr)), 0);
    this->memory.release(found->node);
  }
  std::uint64_t number_behind(std::string_view name) {
    return this->behind(this->root_node(), name)->identity.generation;
  }
};

template <class Policy>
class Outside : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Outside, AllPolicies, PolicyNames);

TYPED_TEST(Outside, WhatIsToldByNumberIsAskedForAgain) {
  WatchedWorld<TypeParam> w;
  const Entry f = w.mknod(kRoot, "f", 0600);
  w.chmod_behind("f", 0644);
  EXPECT_EQ(w.getattr(f.id).mode & 0777U, 0600U);  // Nobody has told.
  EXPECT_EQ(w.cache->invalidate_number(w.cache->number_of(f.id)), f.id);
  EXPECT_EQ(w.fast_attr(f.id), Outcome::kAttrInvalid);
  EXPECT_EQ(w.getattr(f.id).mode & 0777U, 0644U);
  EXPECT_EQ(w.cache->invalidate_number(1), kRoot);
  EXPECT_EQ(w.fast_attr(kRoot), Outcome::kAttrInvalid);
  // What is nobody's number does no harm.
  EXPECT_EQ(w.cache->invalidate_number(Identity::kDurable | 12345), NodeId());
  EXPECT_EQ(w.fast_attr(f.id), Outcome::kHit);
}

// The object has no inode yet, so nothing of it can be invalidated: but somebody knows it from before.
TYPED_TEST(Outside, WhatIsJustBeingEnteredIsNotServed) {
  WatchedWorld<TypeParam> w;
  w.behind_file("f", 0600);
  const std::uint64_t number = w.number_behind("f");
  w.store.after("lookup", [&] {
    w.chmod_behind("f", 0644);
    EXPECT_EQ(w.cache->invalidate_number(number), NodeId());
  });
  const Entry f = w.lookup(kRoot, "f");
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(f.attr.mode & 0777U, 0644U);
  EXPECT_EQ(w.store.calls("getattr"), 1U);  // What came with the name was not believed.
  EXPECT_EQ(w.getattr(f.id).mode & 0777U, 0644U);
}

TYPED_TEST(Outside, EverythingIsForgottenInOneStep) {
  WatchedWorld<TypeParam> w;
  const Entry f = w.mknod(kRoot, "f", 0600);
  EXPECT_EQ(w.peek_error(kRoot, "none"), ENOENT);
  EXPECT_EQ(code(w.cache->getxattr(*w.me, f.id, "security.capability", {})), ENODATA);
  EXPECT_EQ(w.cache->try_lacks(f.id, kNoCapability), Outcome::kHit);
  w.chmod_behind("f", 0644);
  w.behind_file("none");
  w.cache->invalidate_all();
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kExpired);
  EXPECT_EQ(w.fast_attr(f.id), Outcome::kExpired);
  EXPECT_EQ(w.cache->try_lacks(f.id, kNoCapability), Outcome::kExpired);
  EXPECT_EQ(w.lookup(kRoot, "f").attr.mode & 0777U, 0644U);
  EXPECT_EQ(w.peek_error(kRoot, "none"), 0);
  // What is asked from now on is kept, over the clock's next tick too, until the next time.
  w.cache->set_tick(2);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  EXPECT_EQ(code(w.cache->getxattr(*w.me, f.id, "security.capability", {})), ENODATA);
  EXPECT_EQ(w.cache->try_lacks(f.id, kNoCapability), Outcome::kHit);
  w.cache->invalidate_all();
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
}

// Nobody's lease is lost by it: that what was told before is not served follows from the tick it was asked at.
TYPED_TEST(Outside, WhatWasAskedForBeforeEverythingWasForgottenIsNotServed) {
  WatchedWorld<TypeParam> w;
  w.behind_file("f", 0600);
  w.store.after("lookup", [&] {
    w.chmod_behind("f", 0644);
    w.cache->invalidate_all();
  });
  const Entry seen = w.lookup(kRoot, "f");
  const NodeId f = seen.id;
  EXPECT_EQ(seen.attr.mode & 0777U, 0644U);
  EXPECT_EQ(w.store.calls("getattr"), 1U);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);

  w.cache->invalidate(f);
  w.store.after("getattr", [&] {
    w.chmod_behind("f", 0600);
    w.cache->invalidate_all();
  });
  EXPECT_EQ(w.getattr(f).mode & 0777U, 0644U);
  EXPECT_EQ(w.fast_attr(f), Outcome::kExpired);

  w.store.after("lookup", [&] {
    w.behind_file("n");
    w.cache->invalidate_all();
  });
  EXPECT_EQ(w.peek_error(kRoot, "n"), ENOENT);
  EXPECT_EQ(w.peek_error(kRoot, "n"), 0);

  // A change of our own, too: others may have made another one after it.
  w.store.after("setattr", [&] {
    w.chmod_behind("f", 0604);
    w.cache->invalidate_all();
  });
  EXPECT_EQ(w.chmod(f, 0640), 0);
  EXPECT_EQ(w.getattr(f).mode & 0777U, 0604U);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

TYPED_TEST(Outside, TheClockGoesOnWhileEverythingIsForgotten) {
  WatchedWorld<TypeParam> w;
  w.mknod(kRoot, "f");
  std::atomic<bool> done{false};
  std::thread clock([&] {
    for (std::uint64_t tick = 2; !done.load(std::memory_order_relaxed); ++tick) {
      w.cache->set_tick(tick);
    }
  });
  // Were the clock set back to what it was before, the name would be served again.
  for (int i = 0; i < 20'000; ++i) {
    w.lookup(kRoot, "f");
    w.cache->invalidate_all();
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
  }
  done.store(true, std::memory_order_relaxed);
  clock.join();
}

// Time may come to its end: then nothing is served, and everything is still right.
TYPED_TEST(Outside, NothingIsServedAtTheEndOfTime) {
  CacheOptions options = small_cache();
  options.ttl_ticks = std::uint64_t{1} << 62;
  World<TypeParam> w(options);
  const NodeId f = w.mknod(kRoot, "f").id;
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  for (int i = 0; i < 8; ++i) {
    w.cache->invalidate_all();
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
    w.lookup(kRoot, "f");
  }
  w.cache->set_tick(1);
  EXPECT_EQ(w.fast_attr(f), Outcome::kExpired);
  EXPECT_EQ(code(w.cache->getattr(*w.me, f, nullptr)), 0);
}

// What becomes of what is cached, but for the root's, after the time for what has no number.
template <class Policy>
void serves_for_a_short_time(WatchedWorld<Policy>& w, bool numbered) {
  const Outcome later = numbered ? Outcome::kHit : Outcome::kExpired;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  const NodeId f = w.mknod(dir, "f").id;
  EXPECT_EQ(w.peek_error(dir, "none"), ENOENT);
  EXPECT_EQ(code(w.cache->getxattr(*w.me, f, "security.capability", {})), ENODATA);
  w.getattr(kRoot);
  w.getattr(dir);
  w.cache->set_tick(1 + kUnnumberedTtl);
  EXPECT_EQ(w.fast(dir, "f"), Outcome::kHit);
  w.cache->set_tick(2 + kUnnumberedTtl);
  EXPECT_EQ(w.fast(dir, "f"), later);
  // The directory is new: all its names are known.
  EXPECT_EQ(w.fast(dir, "none"), numbered ? Outcome::kAbsent : Outcome::kMiss);
  EXPECT_EQ(w.fast_attr(f), later);
  EXPECT_EQ(w.fast_attr(dir), later);
  EXPECT_EQ(w.cache->try_lacks(f, kNoCapability), later);
  EXPECT_EQ(w.fast_attr(kRoot), Outcome::kHit);
  // A name that the store confirms, and what it says after a change of our own, are cut once.
  EXPECT_EQ(w.chmod(f, 0640), 0);
  EXPECT_EQ(w.fast_attr(f), Outcome::kHit);
  w.getattr(dir);
  w.peek(dir, "f");
  EXPECT_EQ(w.rename(dir, "f", dir, "g"), 0);
  w.getattr(f);
  EXPECT_EQ(w.fast(dir, "g"), Outcome::kHit);
  w.cache->set_tick(3 + 2 * kUnnumberedTtl);
  EXPECT_EQ(w.fast(dir, "g"), later);
  // In the root the name is told by the root's own number.
  w.getattr(dir);
  EXPECT_EQ(w.fast(kRoot, "d"), Outcome::kHit);
}

// Nobody can tell of what has no number, so it goes by time.
TYPED_TEST(Outside, WhatHasNoNumberIsServedForAShortTime) {
  WatchedWorld<TypeParam> w{MemoryStore::Options{}};
  serves_for_a_short_time(w, false);
}

TYPED_TEST(Outside, WhatHasANumberIsServedUntilSomebodyTells) {
  WatchedWorld<TypeParam> w;
  serves_for_a_short_time(w, true);
}

MemoryStore::Options by_directory() {
  MemoryStore::Options behind = durable_store();
  behind.by_directory = true;
  return behind;
}

TYPED_TEST(Outside, WhatIsUntoldIsServedForAShortTime) {
  WatchedWorld<TypeParam> w{by_directory()};
  const NodeId f = w.mknod(kRoot, "f").id;
  EXPECT_EQ(code(w.cache->link(*w.me, f, kRoot, name_of("f2"))), 0);
  w.behind_file("g");
  ASSERT_TRUE(w.memory.link(w.behind(w.root_node(), "g")->node, w.root_node(), name_of("g2")).ok());
  const NodeId g = w.lookup(kRoot, "g").id;
  EXPECT_TRUE(w.getattr(f).untold);
  for (const NodeId id : {f, g}) {
    EXPECT_EQ(code(w.cache->getxattr(*w.me, id, "security.capability", {})), ENODATA);
  }
  w.cache->set_tick(1 + kUnnumberedTtl);
  for (const NodeId id : {f, g}) EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.cache->set_tick(2 + kUnnumberedTtl);
  for (const NodeId id : {f, g}) {
    EXPECT_EQ(w.fast_attr(id), Outcome::kExpired);
    EXPECT_EQ(w.cache->try_lacks(id, kNoCapability), Outcome::kExpired);
    // Asked for again, as before.
    EXPECT_TRUE(w.getattr(id).untold);
  }
  w.cache->set_tick(3 + 2 * kUnnumberedTtl);
  EXPECT_EQ(w.fast_attr(g), Outcome::kExpired);
  // The names are the directory's.
  w.getattr(f);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  EXPECT_EQ(w.unlink(kRoot, "f2"), 0);
  EXPECT_FALSE(w.getattr(f).untold);
  w.cache->set_tick(4 + 3 * kUnnumberedTtl);
  EXPECT_EQ(w.fast_attr(f), Outcome::kHit);
}

// Nobody told of the second name when it was made.
TYPED_TEST(Outside, WhatIsMetByASecondNameIsAskedForAgain) {
  WatchedWorld<TypeParam> w{by_directory()};
  w.behind_file("f");
  const NodeId id = w.lookup(kRoot, "f").id;
  ASSERT_TRUE(w.memory.link(w.behind(w.root_node(), "f")->node, w.root_node(), name_of("g")).ok());
  EXPECT_EQ(w.getattr(id).nlink, 1U);
  EXPECT_EQ(w.lookup(kRoot, "g").attr.nlink, 2U);
  EXPECT_EQ(w.getattr(id).nlink, 2U);
  EXPECT_TRUE(w.getattr(id).untold);
}

// Whether somebody tells of it shows with the attributes, so these have to be known, and still right.
TYPED_TEST(Outside, AnAbsenceIsToldOfIfTheAttributesAre) {
  WatchedWorld<TypeParam> w{by_directory()};
  const NodeId f = w.mknod(kRoot, "f").id;
  std::uint64_t tick = 1;
  const auto absence_is_for_long = [&] {
    EXPECT_EQ(code(w.cache->getxattr(*w.me, f, "security.capability", {})), ENODATA);
    w.cache->set_tick(tick += kUnnumberedTtl + 1);
    return w.cache->try_lacks(f, kNoCapability) == Outcome::kHit;
  };
  EXPECT_TRUE(absence_is_for_long());
  w.cache->invalidate(f);
  EXPECT_FALSE(absence_is_for_long());
  w.getattr(f);
  EXPECT_TRUE(absence_is_for_long());
  w.cache->invalidate_all();
  EXPECT_FALSE(absence_is_for_long());
}

// Others may make names in it before anybody tells of them.
TYPED_TEST(Outside, WhatIsMadeIsNotKnownToBeEmptyWhereItIsToldOfLater) {
  WatchedWorld<TypeParam> w{by_directory()};
  EXPECT_FALSE(w.knows_names(w.mkdir(kRoot, "d").id));
}

TYPED_TEST(Outside, ATimeForWhatHasNoNumberIsPartOfALongerOne) {
  MemoryStore memory;
  CacheOptions options = small_cache();
  options.unnumbered_ttl_ticks = 100;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(memory, options)), EINVAL);
  options.ttl_ticks = 400;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(memory, options)), EINVAL);
  options.ttl_ticks = 404;
  EXPECT_EQ(code(BasicCache<TypeParam>::create(memory, options)), 0);
}

TYPED_TEST(Outside, TheInodesThatTheKernelHoldsAreTold) {
  WatchedWorld<TypeParam> w;
  std::vector<std::uint64_t> numbers;
  for (const char* name : {"a", "b", "c"}) {
    numbers.push_back(w.cache->number_of(w.mknod(kRoot, name).id));
  }
  w.forget(w.cache->id_of_number(numbers[1]));
  EXPECT_FALSE(w.cache->is_counted(numbers[1]));
  EXPECT_TRUE(w.cache->is_counted(numbers[2]));
  EXPECT_FALSE(w.cache->is_counted(Identity::kDurable | 12345));
  EXPECT_FALSE(w.cache->is_counted(1));
  EXPECT_FALSE(w.cache->is_counted(0));
  std::uint32_t at = 0;
  EXPECT_EQ(w.cache->next_counted(at), numbers[0]);
  EXPECT_EQ(w.cache->next_counted(at), numbers[2]);
  EXPECT_EQ(w.cache->next_counted(at), 0U);
  EXPECT_EQ(w.cache->next_counted(at), 0U);
}

}  // namespace
}  // namespace evenfs::test
