// SPDX-License-Identifier: LGPL-2.1-or-later
// That all names of a directory are cached, against those who make, remove, evict and list them. A reader that
// is held on its way to deny a name must not deny one that was there all the time, nor one that has come
// before it looked last; and nothing may be known of the names that is not so.
//
// Readers stand in read sections, so of them only the lockless policy is tried; who lists and evicts holds no
// lock that the others want.
#include "tests/interleave/steer.h"
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using Lockless = World<LocklessPolicy>;

constexpr const char* kMissPoints[] = {"miss.found_none", "miss.names_known", "miss.passed"};
constexpr const char* kWalkPoints[] = {"walk.found_none", "walk.names_known", "walk.copied"};

// What a look for "d/f" says that is held at `point` until `meanwhile` is done.
template <class Meanwhile>
int lookup_while(Lockless& w, NodeId d, const char* point, Meanwhile meanwhile) {
  int error = -1;
  Steered reader(w.registry, [&](Worker& me) { error = code(w.cache->peek(me, d, name_of("f"))); });
  EXPECT_TRUE(reader.run_to(point)) << point;
  meanwhile();
  reader.finish();
  return error;
}
template <class Meanwhile>
int walk_while(Lockless& w, const char* point, Meanwhile meanwhile) {
  int error = -1;
  Steered reader(w.registry,
                 [&](Worker& me) { error = code(w.cache->walk(me, kRoot, "d/f", kSuper, true)); });
  EXPECT_TRUE(reader.run_to(point)) << point;
  meanwhile();
  reader.finish();
  return error;
}

TEST(AllNamesRace, ANameThatComesIsNotDenied) {
  for (const char* point : kMissPoints) {
    Lockless w;
    const NodeId d = w.mkdir(kRoot, "d").id;
    EXPECT_EQ(lookup_while(w, d, point, [&] { (void)w.mknod(d, "f"); }), 0) << point;
    EXPECT_TRUE(w.knows_names(d));
  }
  for (const char* point : kWalkPoints) {
    Lockless w;
    const NodeId d = w.mkdir(kRoot, "d").id;
    EXPECT_EQ(walk_while(w, point, [&] { (void)w.mknod(d, "f"); }), 0) << point;
  }
}

TEST(AllNamesRace, ANameThatComesByARenameIsNotDenied) {
  for (const char* point : kMissPoints) {
    Lockless w;
    const NodeId d = w.mkdir(kRoot, "d").id;
    (void)w.mknod(kRoot, "g");
    const auto rename = [&] { EXPECT_EQ(w.rename(kRoot, "g", d, "f"), 0); };
    EXPECT_EQ(lookup_while(w, d, point, rename), 0) << point;
  }
}

// Others have made it, and told us.
TEST(AllNamesRace, ANameThatOthersMadeIsNotDenied) {
  for (const char* point : kMissPoints) {
    Lockless w;
    const NodeId d = w.mkdir(kRoot, "d").id;
    const auto pin = w.cache->pin(d);
    const auto made = [&] {
      const auto file = w.memory.mknod(pin->node(), name_of("f"), S_IFREG, 0, kSuper);
      w.memory.release(file->node);
      w.cache->invalidate_name(*w.me, d, name_of("f"));
    };
    EXPECT_EQ(lookup_while(w, d, point, made), 0) << point;
  }
}

// The name comes at `comes`, when the reader has missed it, and all are known; its dentry goes at `goes`.
void come_and_be_evicted(const char* comes, const char* goes) {
  Lockless w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  int error = -1;
  Steered reader(w.registry, [&](Worker& me) { error = code(w.cache->peek(me, d, name_of("f"))); });
  ASSERT_TRUE(reader.run_to(comes)) << comes;
  w.forget(w.mknod(d, "f").id);
  EXPECT_TRUE(w.knows_names(d));
  if (goes != comes) {
    ASSERT_TRUE(reader.run_to(goes)) << goes;
  }
  // Who frees dentries waits for the reader, in the end.
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("limbo.full"));
  EXPECT_FALSE(w.knows_names(d));
  reader.finish();
  EXPECT_EQ(error, 0) << comes;
}

TEST(AllNamesRace, ANameWhoseDentryIsEvictedIsNotDenied) {
  come_and_be_evicted("miss.found_none", "miss.names_known");
  for (const char* point : kMissPoints) come_and_be_evicted(point, point);
}

TEST(AllNamesRace, AWalkDoesNotDenyANameWhoseDentryIsEvicted) {
  Lockless w;
  const NodeId d = w.mkdir(kRoot, "d").id;
  int error = -1;
  Steered reader(w.registry,
                 [&](Worker& me) { error = code(w.cache->walk(me, kRoot, "d/f", kSuper, true)); });
  ASSERT_TRUE(reader.run_to("walk.found_none"));
  w.forget(w.mknod(d, "f").id);
  ASSERT_TRUE(reader.run_to("walk.names_known"));
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("limbo.full"));
  reader.finish();
  EXPECT_EQ(error, 0);
}

// The directory goes, and its slot serves another.
TEST(AllNamesRace, TheNextDirectoryInTheSlotIsNotTakenForTheLast) {
  for (const char* point : kMissPoints) {
    Lockless w;
    const NodeId d = w.mkdir(kRoot, "d").id;
    NodeId next;
    const auto replaced = [&] {
      EXPECT_EQ(w.rmdir(kRoot, "d"), 0);
      w.forget(d);
    };
    EXPECT_NE(lookup_while(w, d, point, replaced), 0) << point;
    w.cache->drop_unused(*w.me);
    next = w.mkdir(kRoot, "e").id;
    EXPECT_EQ(next.index(), d.index());
    EXPECT_EQ(w.peek_error(d, "f"), ESTALE);
  }
}

// --- Who lists.

template <class Policy>
class RollCallRace : public CacheTest<Policy> {};
TYPED_TEST_SUITE(RollCallRace, AllPolicies, PolicyNames);

// A listing has met all names when another one comes; that has no dentry any more when the listing ends.
TYPED_TEST(RollCallRace, ANameThatComesBehindAListing) {
  World<TypeParam> w;
  Steered lister(w.registry, [&](Worker& me) { (void)w.list(kRoot, me); });
  ASSERT_TRUE(lister.run_to("roll_call.over"));
  w.forget(w.mknod(kRoot, "f").id);
  w.cache->drop_unused(*w.me);
  lister.finish();
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
}

TYPED_TEST(RollCallRace, ADentryThatGoesBehindAListing) {
  World<TypeParam> w;
  w.behind_file("f");
  Steered lister(w.registry, [&](Worker& me) { (void)w.list(kRoot, me); });
  ASSERT_TRUE(lister.run_to("roll_call.over"));
  w.cache->drop_unused(*w.me);
  lister.finish();
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
}

// The evictor has chosen the dentry before the listing begins, and kills it after that has ended: it sees that
// all names are known by then, and ends that first.
TYPED_TEST(RollCallRace, AnEvictorThatHasChosenBeforeAListing) {
  World<TypeParam> w;
  w.behind_file("f");
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("evict.seen"));
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_TRUE(w.knows_names(kRoot));
  ASSERT_TRUE(evictor.run_to("evict.names_forgotten"));
  EXPECT_FALSE(w.knows_names(kRoot));
  // And somebody lists once more. The dentry stays, or this listing does not count.
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_TRUE(w.knows_names(kRoot));
  ASSERT_TRUE(evictor.run_to("evict.seen"));
  EXPECT_TRUE(w.cache->has_name(kRoot, name_of("f")) || !w.knows_names(kRoot));
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  evictor.finish();
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
}

// The dentry is about to go when a listing asks for it.
TYPED_TEST(RollCallRace, AListingWhileANameIsBeingInvalidated) {
  World<TypeParam> w;
  w.behind_file("f");
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  Steered notifier(w.registry,
                   [&](Worker& me) { w.cache->invalidate_name(me, kRoot, name_of("f")); });
  ASSERT_TRUE(notifier.run_to("invalidate.outdated"));
  (void)w.list(kRoot);
  notifier.finish();
  EXPECT_FALSE(w.knows_names(kRoot));
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  EXPECT_TRUE(w.list(kRoot));
  EXPECT_TRUE(w.knows_names(kRoot));
}

}  // namespace
}  // namespace evenfs::test
