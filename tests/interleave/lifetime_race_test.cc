// SPDX-License-Identifier: LGPL-2.1-or-later
// Counts against reclaim, eviction against reuse: nothing is freed that somebody holds, and nothing that
// nobody holds is lost.
#include "tests/interleave/steer.h"
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using Lockless = World<LocklessPolicy>;

template <class Policy>
class LifetimeRace : public CacheTest<Policy> {};
TYPED_TEST_SUITE(LifetimeRace, AllPolicies, PolicyNames);

// Unused inodes without a name, so that the next one makes a batch for the reclaimer.
template <class Policy>
void queue_all_but_one(World<Policy>& w) {
  for (std::uint32_t i = 0; i + 1 < w.cache->slots_for_test().grace_batch(); ++i) {
    const auto made = w.cache->tmpfile(*w.me, kRoot, 0600, O_RDWR, kSuper);
    ASSERT_EQ(code(made), 0);
    w.forget(made->entry.id);
  }
}

// Gives a thread that must not go on every chance to do so.
bool stays_under_way(Steered& thread) {
  for (int i = 0; i < 20000; ++i) {
    if (!thread.under_way()) return false;
    std::this_thread::yield();
  }
  return true;
}

// The reclaimer marks the inode before, or while, a lookup counts it: the lookup takes back what it added,
// and the reclaimer does not decide before it has.
TEST(LifetimeRace, AMarkWaitsForALookupThatIsCounting) {
  for (const char* point : {"lookup.copied", "lookup.counted"}) {
    Lockless w;
    const NodeId f = w.mknod(kRoot, "f").id;
    queue_all_but_one(w);
    Result<Entry> seen = Errno(EIO);
    Steered reader(w.registry,
                   [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of("f")); });
    Steered kernel(w.registry, [&](Worker& me) { w.cache->forget(me, f, 1); });
    ASSERT_TRUE(reader.run_to("lookup.copied"));
    EXPECT_EQ(w.unlink(kRoot, "f"), 0);
    ASSERT_TRUE(kernel.run_to("reclaim.marked"));
    if (std::string_view(point) == "lookup.counted") {
      ASSERT_TRUE(reader.run_to(point));
    }
    kernel.let_go("reclaim.waited");
    EXPECT_TRUE(stays_under_way(kernel)) << point;
    reader.finish();
    ASSERT_TRUE(kernel.arrived());
    kernel.finish();
    EXPECT_EQ(code(seen), ENOENT) << point;
    w.expect_nothing_left();
  }
}

// As above, for hold(), by which a lookup finds the inode whose attributes it has to ask for.
TEST(LifetimeRace, AMarkWaitsForAHold) {
  for (const char* point : {"hold.found", "hold.counted"}) {
    Lockless w;
    const NodeId f = w.mknod(kRoot, "f").id;
    queue_all_but_one(w);
    w.cache->invalidate(f);
    Result<Entry> seen = Errno(EIO);
    Steered reader(w.registry,
                   [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of("f")); });
    Steered kernel(w.registry, [&](Worker& me) { w.cache->forget(me, f, 1); });
    ASSERT_TRUE(reader.run_to("hold.found"));
    EXPECT_EQ(w.unlink(kRoot, "f"), 0);
    ASSERT_TRUE(kernel.run_to("reclaim.marked"));
    if (std::string_view(point) == "hold.counted") {
      ASSERT_TRUE(reader.run_to(point));
    }
    kernel.let_go("reclaim.waited");
    EXPECT_TRUE(stays_under_way(kernel)) << point;
    reader.finish();
    kernel.finish();
    EXPECT_EQ(code(seen), ENOENT) << point;
    w.expect_nothing_left();
  }
}

// The name's killer sees the lookup's count and passes by; the lookup, taking it back, must see to the inode.
TEST(LifetimeRace, AnInodeThatALookupHadCountedIsNotLost) {
  Lockless w;
  w.forget(w.mknod(kRoot, "f").id);
  Result<Entry> seen = Errno(EIO);
  Steered reader(w.registry, [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("lookup.counted"));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  reader.finish();
  EXPECT_EQ(code(seen), ENOENT);
  w.cache->housekeep(*w.me);  // Frees what is queued, and nothing else.
  w.expect_nothing_held();
}

TEST(LifetimeRace, AnInodeThatAHoldHadCountedIsNotLost) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f").id;
  w.cache->invalidate(f);
  w.forget(f);
  Result<Entry> seen = Errno(EIO);
  Steered reader(w.registry, [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("hold.counted"));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  reader.finish();
  EXPECT_EQ(code(seen), ENOENT);
  w.cache->housekeep(*w.me);
  w.expect_nothing_held();
}

// The kernel's forget comes while another of its lookups has been counted and not yet answered.
TEST(LifetimeRace, AForgetOfTheOldCountKeepsTheNewOne) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f", 0640).id;
  Result<Entry> seen = Errno(EIO);
  Steered reader(w.registry, [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("lookup.counted"));
  w.forget(f);
  reader.finish();
  ASSERT_EQ(code(seen), 0);
  EXPECT_EQ(seen->id, f);
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.getattr(f).nlink, 0U);  // Not ESTALE: it is still known.
  w.forget(f);
  w.expect_nothing_left();
}

// A forged forget takes what a lookup has added; when the lookup fails it takes nothing back twice.
TEST(LifetimeRace, AForgedForgetAndAFailedLookup) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f").id;
  w.forget(f);
  Steered reader(w.registry, [&](Worker& me) { (void)w.cache->lookup(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("lookup.counted"));
  w.forget(f);
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  reader.finish();
  w.cache->housekeep(*w.me);
  w.expect_nothing_held();
}

// Found by its identity after the grace period: the settle sees that, and it lives on under its id.
TYPED_TEST(LifetimeRace, AnInodeIsFoundAgainWhileItIsReclaimed) {
  for (const char* point : {"reclaim.marked", "reclaim.waited"}) {
    World<TypeParam> w;
    const NodeId f = w.mknod(kRoot, "f", 0640).id;
    w.forget(f);
    Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
    ASSERT_TRUE(evictor.run_to(point)) << point;
    const Entry again = w.lookup(kRoot, "f");
    EXPECT_EQ(again.id, f);
    EXPECT_EQ(again.attr.mode & 0777U, 0640U);
    evictor.finish();
    EXPECT_EQ(w.count(Counter::kInodeRevived), 1U);
    EXPECT_EQ(w.getattr(f).mode & 0777U, 0640U);
    w.forget(f);
    w.expect_nothing_left();
  }
}

// After the settle the same object is a new inode, under another id, and the old id is nobody's.
TYPED_TEST(LifetimeRace, AnInodeIsAskedForJustAfterItWasRemoved) {
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f").id;
  w.forget(f);
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("reclaim.removed"));
  const Entry again = w.lookup(kRoot, "f");
  EXPECT_NE(again.id, f);
  EXPECT_EQ(code(w.cache->getattr(*w.me, f, nullptr)), ESTALE);
  evictor.finish();
  EXPECT_EQ(code(w.cache->getattr(*w.me, f, nullptr)), ESTALE);
  w.forget(again.id);
  w.expect_nothing_left();
}

// The evictor has chosen a dentry; it dies, and its slot holds another name when the evictor strikes.
TYPED_TEST(LifetimeRace, AnEvictorStrikesTheDentryThatItSaw) {
  World<TypeParam> w;
  w.forget(w.mknod(kRoot, "f").id);
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("evict.seen"));
  EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g"), 0);
  w.cache->housekeep(*w.me);                // The old dentry's slot is free.
  const NodeId h = w.mknod(kRoot, "h").id;  // And taken.
  ASSERT_EQ(w.fast(kRoot, "h"), Outcome::kHit);
  evictor.finish();
  EXPECT_EQ(w.fast(kRoot, "h"), Outcome::kHit);
  w.forget(h);
}

// An inode that is being reclaimed is found again, has a name for a moment, loses it, and is freed after
// all. A lookup that saw that name began after the grace period: it counts on a slot that is free, and
// takes back what it added when the slot has another inode.
TEST(LifetimeRace, ACountOnASlotThatIsBornAgain) {
  Lockless w;
  w.forget(w.mknod(kRoot, "f").id);
  Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
  ASSERT_TRUE(evictor.run_to("reclaim.waited"));
  const NodeId f = w.peek(kRoot, "f").id;
  Steered reader(w.registry, [&](Worker& me) { (void)w.cache->peek(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("hold.found"));
  w.cache->invalidate_name(*w.me, kRoot, name_of("f"));
  ASSERT_TRUE(evictor.run_to("limbo.full"));  // Past the settle; it would wait for the reader now.
  ASSERT_EQ(w.cache->stats().inodes, 1U);
  ASSERT_TRUE(reader.run_to("hold.counted"));
  const NodeId g = w.mknod(kRoot, "g").id;
  ASSERT_EQ(g.index(), f.index());
  reader.finish();
  evictor.finish();
  w.forget(g);
  w.expect_nothing_left();
}

// Slots of dentries wait for readers that may stand on them. (The kernel knows the inode, so there is
// nothing else to wait for.)
TEST(LifetimeRace, ADeadDentryIsNotReusedUnderAReader) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f").id;
  Steered reader(w.registry, [&](Worker& me) { (void)w.cache->peek(me, kRoot, name_of("f")); });
  ASSERT_TRUE(reader.run_to("find.matched"));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  Steered keeper(w.registry, [&](Worker& me) { w.cache->housekeep(me); });
  ASSERT_TRUE(keeper.run_to("limbo.full"));
  keeper.let_go("");
  EXPECT_TRUE(stays_under_way(keeper));
  reader.finish();
  keeper.finish();
  w.forget(f);
  w.expect_nothing_left();
}

}  // namespace
}  // namespace evenfs::test
