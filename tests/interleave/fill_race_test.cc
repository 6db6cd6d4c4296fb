// SPDX-License-Identifier: LGPL-2.1-or-later
// What is read from the store is cached late: by then a change or an invalidation has made it untrue.
// Each test holds whoever fills the cache at one of his steps, lets the other party pass, and looks at
// what is served afterwards without asking the store. The threads hold no lock where they stand, so
// this is for all policies.
#include "tests/interleave/steer.h"
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class FillRace : public CacheTest<Policy> {};
TYPED_TEST_SUITE(FillRace, AllPolicies, PolicyNames);

// A thread that looks up `name` in the root.
template <class Policy>
std::function<void(Worker&)> peeks(World<Policy>& w, const char* name) {
  return [&w, name](Worker& me) { (void)w.cache->peek(me, kRoot, name_of(name)); };
}

TYPED_TEST(FillRace, AttributesOfBeforeAChange) {
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f", 0600).id;
  w.cache->invalidate(f);
  Steered filler(w.registry, [&](Worker& me) { (void)w.cache->getattr(me, f, nullptr); });
  ASSERT_TRUE(filler.run_to("getattr.told"));
  EXPECT_EQ(w.chmod(f, 0644), 0);
  filler.finish();
  EXPECT_EQ(w.getattr(f).mode & 0777U, 0644U);
  EXPECT_EQ(w.count(Counter::kFillLost), 1U);
}

TYPED_TEST(FillRace, AttributesOfBeforeAnInvalidation) {
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f", 0600).id;
  w.cache->invalidate(f);
  Steered filler(w.registry, [&](Worker& me) { (void)w.cache->getattr(me, f, nullptr); });
  ASSERT_TRUE(filler.run_to("getattr.told"));
  w.cache->invalidate(f);  // Somebody noticed that others had changed the source.
  filler.finish();
  EXPECT_EQ(w.fast_attr(f), Outcome::kAttrInvalid);
}

// The store has said that it is not there, and then it is.
TYPED_TEST(FillRace, AnAbsentAttributeOfBeforeItWasSet) {
  constexpr const char* kName = "security.capability";
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f").id;
  Steered filler(w.registry, [&](Worker& me) { (void)w.cache->getxattr(me, f, kName, {}); });
  ASSERT_TRUE(filler.run_to("getxattr.told"));
  {
    const auto change = w.cache->begin_change(f, Fields::kWalk);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(code(w.store.setxattr(change->node(), kName, {}, 0)), 0);
  }
  filler.finish();
  EXPECT_EQ(w.cache->try_lacks(f, kNoCapability), Outcome::kXattrUnknown);
  EXPECT_EQ(code(w.cache->getxattr(*w.me, f, kName, {})), 0);
}

// A change is under way when the store is asked, and over when its answer would be noted.
TYPED_TEST(FillRace, AnAbsentAttributeToldDuringAChange) {
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f").id;
  Steered filler(w.registry,
                 [&](Worker& me) { (void)w.cache->getxattr(me, f, "security.capability", {}); });
  {
    const auto change = w.cache->begin_change(f, Fields::kWalk);
    ASSERT_TRUE(filler.run_to("getxattr.told"));
  }
  filler.finish();
  EXPECT_EQ(w.cache->try_lacks(f, kNoCapability), Outcome::kXattrUnknown);
}

// The name, told by the store, is removed and made again before it is cached.
TYPED_TEST(FillRace, ANameOfBeforeARemoval) {
  for (const char* point : {"resolve.told", "insert.listed"}) {
    World<TypeParam> w;
    w.behind_file("f", 0600);
    Steered filler(w.registry, peeks(w, "f"));
    ASSERT_TRUE(filler.run_to(point)) << point;
    EXPECT_EQ(w.unlink(kRoot, "f"), 0);
    const NodeId fresh = w.mknod(kRoot, "f", 0644).id;
    filler.finish();
    EXPECT_EQ(w.peek(kRoot, "f").id, fresh) << point;
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  }
}

TYPED_TEST(FillRace, ANameOfBeforeARename) {
  for (const char* point : {"resolve.told", "insert.listed"}) {
    World<TypeParam> w;
    w.behind_file("f", 0600);
    Steered filler(w.registry, peeks(w, "f"));
    ASSERT_TRUE(filler.run_to(point)) << point;
    EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g"), 0);
    filler.finish();
    EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT) << point;
  }
}

TYPED_TEST(FillRace, AnAbsenceOfBeforeACreate) {
  for (const char* point : {"resolve.told_none", "insert.listed"}) {
    World<TypeParam> w;
    Steered filler(w.registry, peeks(w, "f"));
    ASSERT_TRUE(filler.run_to(point)) << point;
    const NodeId made = w.mknod(kRoot, "f").id;
    filler.finish();
    EXPECT_EQ(w.peek(kRoot, "f").id, made) << point;
  }
}

// Others removed the name, and told us: in two steps, with the filler passing between them or around.
TYPED_TEST(FillRace, ANameOfBeforeAnInvalidation) {
  for (const char* point : {"resolve.told", "insert.listed"}) {
    World<TypeParam> w;
    w.behind_file("f");
    Steered filler(w.registry, peeks(w, "f"));
    Steered notifier(w.registry,
                     [&](Worker& me) { w.cache->invalidate_name(me, kRoot, name_of("f")); });
    ASSERT_TRUE(filler.run_to(point)) << point;
    EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
    ASSERT_TRUE(notifier.run_to("invalidate.outdated"));
    filler.finish();
    notifier.finish();
    EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT) << point;
  }
}

TYPED_TEST(FillRace, ANameOfBeforeAWholeInvalidation) {
  World<TypeParam> w;
  w.behind_file("f");
  Steered filler(w.registry, peeks(w, "f"));
  ASSERT_TRUE(filler.run_to("insert.listed"));
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  w.cache->invalidate_name(*w.me, kRoot, name_of("f"));
  filler.finish();
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

// A change made a name, others removed it and told us, and the change caches what it made.
TYPED_TEST(FillRace, ANameThatAChangeMadeAndOthersRemoved) {
  World<TypeParam> w;
  Steered maker(w.registry, [&](Worker& me) {
    (void)w.cache->mknod(me, kRoot, name_of("f"), S_IFREG | 0600, 0, kSuper);
  });
  ASSERT_TRUE(maker.run_to("insert.listed"));
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  w.cache->invalidate_name(*w.me, kRoot, name_of("f"));
  maker.finish();
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

// While the section of a change is open the store alone answers, and nobody caches what it says.
TYPED_TEST(FillRace, ALookupWhileTheNameIsBeingRemoved) {
  World<TypeParam> w;
  w.forget(w.mknod(kRoot, "f").id);
  Steered remover(w.registry, [&](Worker& me) {
    EXPECT_EQ(code(w.cache->unlink(me, kRoot, name_of("f"))), 0);
  });
  ASSERT_TRUE(remover.run_to("kill.dead"));
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);  // It is still there.
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
  remover.finish();
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
  EXPECT_EQ(w.count(Counter::kLookupHit), 0U);
}

// The sections are open and the names not yet dead: the directory's is not one that lookups wait for, but
// the inode's is.
TYPED_TEST(FillRace, ALookupJustBeforeTheNameIsKilled) {
  World<TypeParam> w;
  w.forget(w.mknod(kRoot, "f").id);
  Steered remover(w.registry, [&](Worker& me) {
    EXPECT_EQ(code(w.cache->unlink(me, kRoot, name_of("f"))), 0);
  });
  ASSERT_TRUE(remover.run_to("change.opened"));
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kInodeBusy);
  EXPECT_EQ(w.peek(kRoot, "f").attr.nlink, 1U);
  remover.finish();
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

// A lookup has cached a directory's name and is about to note its parent, while a rename gives it another.
TYPED_TEST(FillRace, AParentOfBeforeARename) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const NodeId d = w.mkdir(a, "d").id;
  w.forget(d);
  w.cache->drop_unused(*w.me);
  Steered filler(w.registry, [&](Worker& me) { (void)w.cache->peek(me, a, name_of("d")); });
  ASSERT_TRUE(filler.run_to("cache_name.inserted"));
  EXPECT_EQ(w.rename(a, "d", b, "d"), 0);
  filler.finish();
  const NodeId moved = w.lookup(b, "d").id;
  for (const NodeId id : {a, b, moved}) (void)w.getattr(id);  // So that the cache alone answers.
  const auto up = w.cache->walk(*w.me, moved, "..", kSuper, true);
  ASSERT_EQ(code(up), 0);
  EXPECT_EQ(up->id, b);
  EXPECT_EQ(w.count(Counter::kWalkHit), 1U);
}

// link() and unlink() of two names of one inode, in two directories: each is told a link count that the
// other one makes wrong.
TYPED_TEST(FillRace, ALinkAndAnUnlinkOfOneInode) {
  for (const char* point : {"change.opened", "kill.dead"}) {
    World<TypeParam> w;
    const NodeId e = w.mkdir(kRoot, "e").id;
    const NodeId f = w.mknod(kRoot, "f").id;
    EXPECT_EQ(code(w.cache->link(*w.me, f, kRoot, name_of("f2"))), 0);
    w.cache->invalidate(e);                   // Or its names are known, and none is needed.
    EXPECT_EQ(w.peek_error(e, "g"), ENOENT);  // A negative dentry, for "kill.dead".
    Steered linker(w.registry,
                   [&](Worker& me) { EXPECT_EQ(code(w.cache->link(me, f, e, name_of("g"))), 0); });
    ASSERT_TRUE(linker.run_to(point)) << point;
    EXPECT_EQ(w.unlink(kRoot, "f2"), 0);
    linker.finish();
    EXPECT_EQ(w.getattr(f).nlink, 2U) << point;
    EXPECT_EQ(w.peek(e, "g").attr.nlink, 2U);
  }
}

// The scenario of "Tickets" in docs/protocol.md: mode 0600 was read before the inode was there, and the
// inode that knew of 0644 has come and gone meanwhile.
TYPED_TEST(FillRace, AttributesOfBeforeALifeThatIsOver) {
  World<TypeParam> w;
  w.behind_file("f", 0600);
  Steered filler(w.registry, peeks(w, "f"));
  ASSERT_TRUE(filler.run_to("resolve.told"));
  const NodeId f = w.lookup(kRoot, "f").id;
  EXPECT_EQ(w.chmod(f, 0644), 0);
  w.forget(f);
  w.cache->drop_unused(*w.me);
  ASSERT_EQ(w.cache->stats().inodes, 1U);
  filler.finish();
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0644U);
}

TYPED_TEST(FillRace, TwoThatFindTheSameObject) {
  World<TypeParam> w;
  w.behind_file("f");
  NodeId seen;
  Steered second(w.registry, [&](Worker& me) {
    if (const auto entry = w.cache->lookup(me, kRoot, name_of("f"))) seen = entry->id;
  });
  ASSERT_TRUE(second.run_to("adopt.none_there"));
  const NodeId f = w.lookup(kRoot, "f").id;
  second.finish();
  EXPECT_EQ(seen, f);
  w.forget(f, 2);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  EXPECT_EQ(w.memory.references(), 1U);
}

}  // namespace
}  // namespace evenfs::test
