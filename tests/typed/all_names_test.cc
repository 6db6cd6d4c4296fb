// SPDX-License-Identifier: LGPL-2.1-or-later
// A directory all of whose names are cached: how that becomes known, that a name which is not there is then
// denied without the store, and all that ends it.
#include <string>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class AllNames : public CacheTest<Policy> {};
TYPED_TEST_SUITE(AllNames, AllPolicies, PolicyNames);

CacheOptions with_ttl(std::uint64_t ticks) {
  CacheOptions options = small_cache();
  options.ttl_ticks = ticks;
  return options;
}

TYPED_TEST(AllNames, ADirectoryThatWasJustMadeIsKnownToBeEmpty) {
  World<TypeParam> w;
  EXPECT_FALSE(w.knows_names(kRoot));
  const NodeId d = w.mkdir(kRoot, "d").id;
  const NodeId e = w.mkdir(d, "e").id;
  for (const NodeId dir : {d, e}) {
    EXPECT_EQ(w.fast(dir, "none"), Outcome::kAbsent);
    EXPECT_EQ(w.peek_error(dir, "none"), ENOENT);
    EXPECT_EQ(w.peek_error(dir, std::string(kNameMax, 'n')), ENOENT);
  }
  EXPECT_EQ(w.count(Counter::kLookupComplete), 4U);
  const auto walked = w.cache->walk(*w.me, kRoot, "d/e/none/x", kSuper, true);
  EXPECT_EQ(code(walked), ENOENT);
  EXPECT_EQ(w.count(Counter::kWalkHit), 1U);
  EXPECT_EQ(w.count(Counter::kLookupLocked), 0U);
  EXPECT_EQ(w.cache->stats().negative_dentries, 0U);
}

TYPED_TEST(AllNames, AListingMakesThemKnown) {
  World<TypeParam> w;
  for (const char* name : {"f", "g", "a name that is longer than 28 bytes"}) w.behind_file(name);
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kMiss);
  EXPECT_TRUE(w.cache->begin_roll_call(kRoot).is_of_use());
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kMiss);
  EXPECT_FALSE(w.cache->has_name(kRoot, name_of("f")));
  EXPECT_EQ(w.peek_error(kRoot, "absent"), ENOENT);
  EXPECT_FALSE(w.cache->has_name(kRoot, name_of("absent")));
  EXPECT_TRUE(w.list(kRoot));
  const std::uint64_t asked = w.count(Counter::kLookupLocked);
  EXPECT_EQ(w.fast(kRoot, "none"), Outcome::kAbsent);
  EXPECT_EQ(w.peek_error(kRoot, "none"), ENOENT);
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  EXPECT_EQ(w.count(Counter::kLookupLocked), asked);
  EXPECT_EQ(w.count(Counter::kNamesComplete), 1U);
  EXPECT_FALSE(
      w.cache->begin_roll_call(kRoot).is_of_use());  // Nobody need ask for each name again.
  EXPECT_TRUE(w.list(kRoot));                        // Once more, and it goes on.
  EXPECT_TRUE(w.knows_names(kRoot));
}

TYPED_TEST(AllNames, OwnChangesKeepThem) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const auto is = [&](const std::string& in_a, const std::string& in_b) {
    for (const char name : std::string("fghl")) {
      const std::string text(1, name);
      EXPECT_EQ(w.peek_error(a, text), in_a.find(name) == std::string::npos ? ENOENT : 0) << text;
      EXPECT_EQ(w.peek_error(b, text), in_b.find(name) == std::string::npos ? ENOENT : 0) << text;
    }
    EXPECT_TRUE(w.knows_names(a));
    EXPECT_TRUE(w.knows_names(b));
  };
  const NodeId f = w.mknod(a, "f").id;
  is("f", "");
  EXPECT_EQ(code(w.cache->create(*w.me, a, name_of("g"), 0644, O_RDWR, kSuper)), 0);
  (void)w.symlink(a, "l", "f");
  is("fgl", "");
  EXPECT_EQ(code(w.cache->link(*w.me, f, b, name_of("h"))), 0);
  is("fgl", "h");
  EXPECT_EQ(w.rename(a, "g", a, "f"), 0);
  is("fl", "h");
  EXPECT_EQ(w.rename(a, "f", b, "f"), 0);
  is("l", "fh");
  EXPECT_EQ(w.rename(b, "f", a, "l", RenameMode::kExchange), 0);
  is("l", "fh");
  EXPECT_EQ(w.rename(b, "f", a, "g", RenameMode::kNoReplace), 0);
  is("gl", "h");
  EXPECT_EQ(w.unlink(b, "h"), 0);
  is("gl", "");
  (void)w.mkdir(b, "h");
  is("gl", "h");
  EXPECT_EQ(w.rename(b, "h", a, "h"), 0);
  is("ghl", "");
  EXPECT_EQ(w.rmdir(a, "h"), 0);
  is("gl", "");
  EXPECT_EQ(w.count(Counter::kLookupLocked), 0U);
}

// Where a name is there afterwards and has no dentry.
TYPED_TEST(AllNames, ARenameThatDoesNothingEndsIt) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  const NodeId f = w.mknod(d, "f").id;
  EXPECT_EQ(code(w.cache->link(*w.me, f, d, name_of("g"))), 0);
  EXPECT_TRUE(w.knows_names(d));
  EXPECT_EQ(w.rename(d, "f", d, "g"), 0);
  EXPECT_FALSE(w.knows_names(d));
  EXPECT_EQ(w.peek(d, "f").id, f);
  EXPECT_EQ(w.peek(d, "g").id, f);
}

// Some fail by themselves, and some because the store does at its `nth` call.
template <class Policy>
struct Failing {
  int nth;
  std::function<int(World<Policy>&, NodeId)> run;
};
template <class Policy>
std::vector<Failing<Policy>> failing_changes() {
  using W = World<Policy>;
  return {
      {2, [](W& w, NodeId d) { return w.unlink(d, "f"); }},
      {0, [](W& w, NodeId d) { return w.rmdir(d, "full"); }},
      {0, [](W& w, NodeId d) { return w.rename(d, "f", d, "full"); }},
      {0, [](W& w, NodeId d) { return code(w.cache->mkdir(*w.me, d, name_of("f"), 0, kSuper)); }},
      {1, [](W& w, NodeId d) { return code(w.cache->mkdir(*w.me, d, name_of("n"), 0, kSuper)); }},
      {1, [](W& w, NodeId d) { return w.rename(d, "f", d, "n"); }},
      {2, [](W& w, NodeId d) { return w.rename(d, "f", kRoot, "n"); }},  // Asks for "n" first.
      {1, [](W& w,
             NodeId d) { return code(w.cache->link(*w.me, w.peek(d, "f").id, d, name_of("n"))); }},
  };
}

TYPED_TEST(AllNames, AChangeThatFailsEndsIt) {
  for (const auto when : {HookedStore::When::kBefore, HookedStore::When::kAfter}) {
    for (const auto& change : failing_changes<TypeParam>()) {
      World<TypeParam> w;
      const NodeId d = w.mkdir(kRoot, "d").id;
      (void)w.mknod(d, "f");
      (void)w.mknod(w.mkdir(d, "full").id, "x");
      EXPECT_TRUE(w.knows_names(d));
      w.store.fail_nth(change.nth, when, EIO);
      EXPECT_NE(change.run(w, d), 0);
      w.store.fail_nth(0, when, 0);
      EXPECT_FALSE(w.knows_names(d));
      const auto pin = w.cache->pin(d);
      for (const char* name : {"f", "full", "n"}) {
        EXPECT_EQ(w.peek_error(d, name), w.behind(pin->node(), name) ? 0 : ENOENT) << name;
      }
    }
  }
}

// Every dentry is in use: the name is made, and cannot be cached.
TYPED_TEST(AllNames, ANameWithoutADentryEndsIt) {
  CacheOptions options = small_cache();
  options.slots_max = 12;
  World<TypeParam> w(options);
  const NodeId d = w.mkdir(kRoot, "d").id;
  const NodeId f = w.mknod(d, "f").id;
  int made = 0;
  while (made < 20 && w.knows_names(d)) {
    const std::string name = "l" + std::to_string(made++);
    EXPECT_EQ(code(w.cache->link(*w.me, f, d, name_of(name))), 0);
    EXPECT_EQ(w.peek_error(d, name), 0);
  }
  EXPECT_GT(made, 5);
  EXPECT_LT(made, 20);
}

TYPED_TEST(AllNames, AnInvalidationEndsIt) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  w.cache->invalidate_name(*w.me, d, name_of("x"));
  EXPECT_FALSE(w.knows_names(d));
  EXPECT_TRUE(w.list(d));
  EXPECT_TRUE(w.knows_names(d));
  w.cache->invalidate(d);
  EXPECT_FALSE(w.knows_names(d));
  // Within an own change, which then knows no better.
  EXPECT_TRUE(w.list(d));
  w.store.after("mknod", [&] { w.cache->invalidate_name(*w.me, d, name_of("x")); });
  (void)w.mknod(d, "f");
  EXPECT_FALSE(w.knows_names(d));
  EXPECT_EQ(w.peek_error(d, "f"), 0);
}

TYPED_TEST(AllNames, AnEvictionEndsIt) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  w.forget(w.mknod(d, "f").id);
  EXPECT_TRUE(w.knows_names(d));
  w.cache->drop_unused(*w.me);
  EXPECT_FALSE(w.knows_names(d));
  EXPECT_EQ(w.peek_error(d, "f"), 0);
  EXPECT_TRUE(w.list(d));
  EXPECT_TRUE(w.knows_names(d));
}

TYPED_TEST(AllNames, AnEvictionOfWhatIsNotThereKeepsIt) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  w.forget(w.mknod(d, "f").id);
  EXPECT_EQ(w.unlink(d, "f"), 0);
  EXPECT_EQ(w.fast(d, "f"), Outcome::kNegative);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.fast(d, "f"), Outcome::kAbsent);
}

// Something happens while the directory is listed, after the question for the last name.
TYPED_TEST(AllNames, WhatHappensDuringAListingIsNoticed) {
  using W = World<TypeParam>;
  const std::vector<std::function<void(W&)>> events = {
      [](W& w) { (void)w.mknod(kRoot, "new"); },
      [](W& w) { EXPECT_EQ(w.unlink(kRoot, "f"), 0); },
      [](W& w) { EXPECT_EQ(w.rename(kRoot, "f", kRoot, "new"), 0); },
      [](W& w) { w.cache->drop_unused(*w.me); },
      [](W& w) { w.cache->invalidate_name(*w.me, kRoot, name_of("f")); },
      [](W& w) { w.cache->invalidate(kRoot); },
  };
  for (std::size_t i = 0; i < events.size(); ++i) {
    SCOPED_TRACE(i);
    W w;
    w.behind_file("f");
    const Cache::RollCall call = w.cache->begin_roll_call(kRoot);
    EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
    EXPECT_TRUE(w.cache->has_name(kRoot, name_of("f")));
    events[i](w);
    ListingLease lease;
    w.cache->end_roll_call(*w.me, call, lease);
    EXPECT_FALSE(w.knows_names(kRoot));
    EXPECT_EQ(w.count(Counter::kNamesComplete), 0U);
  }
}

TYPED_TEST(AllNames, AListingThatBeginsDuringAChangeIsOfNoUse) {
  World<TypeParam> w;
  Cache::RollCall call;
  w.store.before("mknod", [&] {
    call = w.cache->begin_roll_call(kRoot);
    return Status();
  });
  (void)w.mknod(kRoot, "f");
  EXPECT_FALSE(call.is_of_use());
  ListingLease lease;
  w.cache->end_roll_call(*w.me, call, lease);
  EXPECT_FALSE(w.knows_names(kRoot));
}

// Nobody is to be kept from caching names where nothing is known of all of them.
TYPED_TEST(AllNames, AnEvictionCostsALeaseOnlyWhereSomebodyLists) {
  World<TypeParam> w;
  w.behind_file("f");
  w.behind_file("g");
  const auto evicted_meanwhile = [&] {
    EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
    w.store.after("lookup", [&] { w.cache->drop_unused(*w.me); });
    EXPECT_EQ(w.peek_error(kRoot, "g"), 0);
    return w.cache->has_name(kRoot, name_of("g"));
  };
  EXPECT_TRUE(evicted_meanwhile());
  w.cache->drop_unused(*w.me);
  (void)w.cache->begin_roll_call(kRoot);
  EXPECT_FALSE(evicted_meanwhile());
  w.cache->drop_unused(*w.me);
  EXPECT_TRUE(evicted_meanwhile());
}

TYPED_TEST(AllNames, TheyAreKnownForAsLongAsTheStoreIsBelieved) {
  World<TypeParam> w(with_ttl(10));
  w.behind_file("f");
  w.cache->set_tick(5);
  EXPECT_TRUE(w.list(kRoot));
  const NodeId d = w.mkdir(kRoot, "d").id;
  w.behind_file("g");
  w.cache->set_tick(15);
  for (const NodeId dir : {kRoot, d}) EXPECT_TRUE(w.knows_names(dir));
  EXPECT_EQ(w.peek_error(kRoot, "g"), ENOENT);
  w.cache->set_tick(16);
  for (const NodeId dir : {kRoot, d}) EXPECT_FALSE(w.knows_names(dir));
  EXPECT_EQ(w.peek_error(kRoot, "g"), 0);
}

TYPED_TEST(AllNames, WithoutTimeToLiveTheStoreIsAsked) {
  World<TypeParam> w(with_ttl(0));
  w.behind_file("f");
  (void)w.list(kRoot);
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_FALSE(w.knows_names(w.mkdir(kRoot, "d").id));
}

// The dentry leads to what was there before; what is there now gets none at this time.
TYPED_TEST(AllNames, ANameThatOthersReplacedEndsIt) {
  World<TypeParam> w(with_ttl(10));
  (void)w.mknod(kRoot, "f");
  w.cache->set_tick(8);
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  w.behind_file("f", 0604);
  w.cache->set_tick(12);
  EXPECT_TRUE(w.knows_names(kRoot));
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0604U);
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0604U);
  // The same for one that is gone.
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  w.cache->set_tick(30);
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

// Others may have made the two names one, and then the old one is still there.
TYPED_TEST(AllNames, ARenameEndsItWhereOthersMayMakeLinks) {
  World<TypeParam> w(with_ttl(10));
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  (void)w.mknod(a, "f");
  EXPECT_EQ(w.rename(a, "f", b, "f"), 0);
  EXPECT_FALSE(w.knows_names(a));
  EXPECT_TRUE(w.knows_names(b));
  EXPECT_EQ(w.rename(b, "f", b, "g", RenameMode::kNoReplace), 0);
  EXPECT_TRUE(w.knows_names(b));
}

TYPED_TEST(AllNames, WhereNamesAreHiddenAListingSaysNothing) {
  World<TypeParam> w;
  w.store.hides_names = true;
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_FALSE(w.knows_names(w.mkdir(kRoot, "d").id));
  // Once it is said that they are not, until that is doubted.
  w.store.hides_names = false;
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_TRUE(w.knows_names(kRoot));
  w.store.hides_names = true;
  EXPECT_TRUE(w.knows_names(w.mkdir(kRoot, "e").id));
  w.cache->invalidate(kRoot);
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_FALSE(w.knows_names(kRoot));
}

TYPED_TEST(AllNames, NothingIsKnownOfTheNextDirectoryInTheSlot) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  EXPECT_TRUE(w.knows_names(d));
  EXPECT_EQ(w.rmdir(kRoot, "d"), 0);
  w.forget(d);
  w.cache->drop_unused(*w.me);
  const auto made = w.memory.mkdir(w.root_node(), name_of("e"), 0755, kSuper);
  ASSERT_EQ(code(made), 0);
  w.cache->invalidate_name(*w.me, kRoot, name_of("e"));
  const NodeId e = w.lookup(kRoot, "e").id;
  EXPECT_EQ(e.index(), d.index());
  EXPECT_FALSE(w.knows_names(e));
  w.memory.release(made->node);
}

// Between the making of a directory and the birth of its inode it had another inode, and got a name.
TYPED_TEST(AllNames, ADirectoryThatHadAnInodeMeanwhileMayHaveNames) {
  for (const bool forgotten : {true, false}) {
    World<TypeParam> w;
    w.store.after("mkdir", [&] {
      const NodeId id = w.lookup(kRoot, "d").id;
      w.forget(w.mknod(id, "f").id);
      if (!forgotten) return;
      w.forget(id);
      w.cache->drop_unused(*w.me);
      EXPECT_EQ(code(w.cache->pin(id)), ESTALE);
    });
    const NodeId d = w.mkdir(kRoot, "d").id;
    EXPECT_EQ(w.store.hooks_left(), 0U);
    EXPECT_FALSE(w.knows_names(d));
    EXPECT_EQ(w.peek_error(d, "f"), 0);
  }
}

// A rename asks whether there is something to replace.
TYPED_TEST(AllNames, ARenameToANameThatIsNotThereAsksNobody) {
  World<TypeParam> w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  (void)w.mknod(d, "f");
  EXPECT_EQ(w.rename(d, "f", d, "g"), 0);
  EXPECT_EQ(w.store.calls("lookup"), 0U);
}

}  // namespace
}  // namespace evenfs::test
