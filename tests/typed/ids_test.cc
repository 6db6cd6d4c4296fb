// SPDX-License-Identifier: LGPL-2.1-or-later
// Ids and lookup counts: an id is its inode's as long as it is counted, and nobody's afterwards, also
// when its slot lives again. Counts are exact.
#include <set>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Ids : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Ids, AllPolicies, PolicyNames);

TYPED_TEST(Ids, AStaleIdIsNeverAnotherInode) {
  World<TypeParam> w;
  std::set<std::uint64_t> ids;
  std::uint32_t reused = 0;
  NodeId last;
  for (int round = 0; round < 60; ++round) {
    const bool directory = round % 2 != 0;
    const Entry made = directory ? w.mkdir(kRoot, "x") : w.mknod(kRoot, "x");
    EXPECT_TRUE(ids.insert(made.id.raw()).second);
    if (round > 0) {
      // Its slot is in use again or free.
      const bool again = made.id.index() == last.index();
      reused += again ? 1 : 0;
      EXPECT_EQ(w.fast_attr(last), again ? Outcome::kStaleId : Outcome::kInodeBusy);
      EXPECT_EQ(code(w.cache->getattr(*w.me, last, nullptr)), ESTALE);
      EXPECT_EQ(w.fast(last, "y"), again ? Outcome::kStaleId : Outcome::kInodeBusy);
      EXPECT_EQ(w.peek_error(last, "y"), ESTALE);
      EXPECT_EQ(code(w.cache->readlink(*w.me, last)), ESTALE);
      EXPECT_EQ(code(w.cache->pin(last)), ESTALE);
      EXPECT_EQ(code(w.cache->begin_change(last, Fields::kWalk)), ESTALE);
      EXPECT_EQ(w.chmod(last, 0), ESTALE);
      EXPECT_EQ(w.unlink(last, "y"), ESTALE);
      EXPECT_EQ(w.rename(last, "y", kRoot, "z"), ESTALE);
      EXPECT_EQ(w.rename(kRoot, "x", last, "z"), ESTALE);
      EXPECT_EQ(code(w.cache->link(*w.me, last, kRoot, name_of("l"))), ESTALE);
      EXPECT_EQ(code(w.cache->access(*w.me, last, kSuper, R_OK)), ESTALE);
      EXPECT_EQ(code(w.cache->open(*w.me, last, O_RDONLY)), ESTALE);
      EXPECT_EQ(code(w.cache->walk(*w.me, last, "y", kSuper, true)), ESTALE);
      EXPECT_EQ(code(w.cache->walk(*w.me, last, ".", kSuper, true)), ESTALE);
      EXPECT_EQ(code(w.cache->lookup_parent(*w.me, last)), ESTALE);
      w.cache->invalidate(last);
      w.cache->invalidate_name(*w.me, last, name_of("y"));
      w.forget(last);  // Takes nothing from the inode that is there now.
      EXPECT_EQ(w.cache->stats().kernel_lookups, 1U);
    }
    if (directory) {
      // A dentry below it must not be found below the next inode of the slot.
      w.forget(w.mknod(made.id, "y").id);
      EXPECT_EQ(w.unlink(made.id, "y"), 0);
      EXPECT_EQ(w.peek_error(made.id, "y"), ENOENT);
    }
    EXPECT_EQ(directory ? w.rmdir(kRoot, "x") : w.unlink(kRoot, "x"), 0);
    EXPECT_EQ(w.getattr(made.id).nlink, 0U);  // Still counted, so still there.
    w.forget(made.id);
    w.cache->drop_unused(*w.me);
    EXPECT_EQ(w.cache->stats().inodes, 1U);
    last = made.id;
  }
  EXPECT_GT(reused, 20U);
}

TYPED_TEST(Ids, NoIdAtAll) {
  World<TypeParam> w;
  for (const NodeId id : {NodeId(), NodeId(0, 1), NodeId(5, 1), NodeId(~0U, 1), NodeId(2, ~0U),
                          NodeId((std::uint64_t{7} << 32) | 1)}) {
    EXPECT_EQ(code(w.cache->getattr(*w.me, id, nullptr)), ESTALE);
    EXPECT_EQ(w.peek_error(id, "x"), ESTALE);
    EXPECT_EQ(code(w.cache->readlink(*w.me, id)), ESTALE);
    EXPECT_EQ(code(w.cache->walk(*w.me, id, "x", kSuper, true)), ESTALE);
    EXPECT_EQ(code(w.cache->mkdir(*w.me, id, name_of("x"), 0755, kSuper)), ESTALE);
    w.forget(id);
  }
  EXPECT_EQ(w.count(Counter::kForgetExcess), 6U);
}

TYPED_TEST(Ids, LookupCountsAreExact) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  for (int i = 0; i < 9; ++i) EXPECT_EQ(w.lookup(kRoot, "f").id, id);
  EXPECT_EQ(w.count(Counter::kLookupHit), 9U);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 10U);
  EXPECT_EQ(w.cache->stats().kernel_inodes, 1U);
  w.cache->invalidate(id);
  w.cache->invalidate_name(*w.me, kRoot, name_of("f"));
  EXPECT_EQ(w.lookup(kRoot, "f").id, id);  // By the store: counted the same.
  EXPECT_EQ(w.cache->stats().kernel_lookups, 11U);
  w.cache->invalidate(id);
  EXPECT_EQ(w.lookup(kRoot, "f").id, id);  // By the dentry, attributes by the store.
  EXPECT_EQ(w.count(Counter::kFallMiss), 1U);
  EXPECT_EQ(w.store.calls("getattr"), 2U);
  EXPECT_EQ(w.store.calls("lookup"), 1U);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 12U);
  (void)w.peek(kRoot, "f");
  (void)w.getattr(id);
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "f", kSuper, true)), 0);
  EXPECT_EQ(w.unlink(kRoot, "missing"), ENOENT);
  EXPECT_EQ(code(w.cache->lookup(*w.me, kRoot, name_of("missing"))), ENOENT);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 12U);
  w.forget(id, 11);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 1U);
  w.forget(id, 2);  // One too many: refused as a whole.
  w.forget(id, ~std::uint64_t{0});
  w.forget(id, std::uint64_t{1} << 40);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 3U);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 1U);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);
  w.forget(id);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 0U);
  EXPECT_EQ(w.count(Counter::kForget), 5U);
  w.forget(id);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 4U);
}

TYPED_TEST(Ids, EveryEntryIsCountedOnce) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  const NodeId file = w.mknod(dir, "f").id;
  const NodeId link = w.symlink(dir, "s", "f").id;
  EXPECT_EQ(w.cache->link(*w.me, file, dir, name_of("h"))->id, file);
  NodeId created;
  {
    const auto opened = w.cache->create(*w.me, dir, name_of("c"), 0644, O_RDWR, kSuper);
    ASSERT_TRUE(opened.ok());
    created = opened->entry.id;
    const auto again = w.cache->create(*w.me, dir, name_of("c"), 0644, O_RDWR, kSuper);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->entry.id, created);
    EXPECT_EQ(code(w.cache->create(*w.me, dir, name_of("c"), 0644, O_RDWR | O_EXCL, kSuper)),
              EEXIST);
    const auto nameless = w.cache->tmpfile(*w.me, dir, 0644, O_RDWR, kSuper);
    ASSERT_TRUE(nameless.ok());
    EXPECT_EQ(w.cache->stats().kernel_lookups, 8U - 1U);
    w.forget(nameless->entry.id);
  }
  w.forget(created, 2);
  w.forget(file, 2);
  w.forget(link);
  w.forget(dir);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 0U);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 0U);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  EXPECT_EQ(w.cache->stats().dentries, 0U);
  EXPECT_EQ(w.memory.references(), 1U);
}

TYPED_TEST(Ids, ForgottenButNamedStaysCached) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  w.forget(id);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  EXPECT_EQ(w.lookup(kRoot, "f").id, id);
  w.forget(id);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
  const Entry again = w.lookup(kRoot, "f");
  EXPECT_FALSE(again.id == id);
  EXPECT_EQ(code(w.cache->getattr(*w.me, id, nullptr)), ESTALE);
}

TYPED_TEST(Ids, WhenNoSlotIsLeft) {
  CacheOptions options = small_cache();
  options.slots_max = 16;  // The root has one.
  World<TypeParam> w(options);
  std::vector<NodeId> held;
  for (int i = 0; i < 15; ++i) held.push_back(w.mknod(kRoot, "f" + std::to_string(i)).id);
  EXPECT_EQ(code(w.cache->mknod(*w.me, kRoot, name_of("more"), S_IFREG | 0644, 0, kSuper)), ENOMEM);
  EXPECT_EQ(w.memory.references(), 16U);  // Nothing leaked.
  EXPECT_EQ(code(w.cache->lookup(*w.me, kRoot, name_of("more"))), ENOMEM);
  for (int i = 0; i < 15; ++i) {
    EXPECT_EQ(w.peek(kRoot, "f" + std::to_string(i)).id, held[static_cast<std::size_t>(i)]);
  }
  w.forget(held.back());
  EXPECT_EQ(code(w.cache->lookup(*w.me, kRoot, name_of("more"))), 0);
  EXPECT_EQ(code(w.cache->getattr(*w.me, held.back(), nullptr)), ESTALE);
  for (std::size_t i = 0; i + 1 < held.size(); ++i) EXPECT_EQ(code(w.cache->pin(held[i])), 0);
}

// Forty names through fifteen slots: every answer is right though every slot is reused.
TYPED_TEST(Ids, ATinyArenaAnswersRight) {
  CacheOptions options = small_cache();
  options.slots_max = 15;
  MemoryStore::Options behind;
  behind.reuse_inode_numbers = true;
  World<TypeParam> w(options, behind);
  for (int i = 0; i < 40; ++i) w.behind_file("t" + std::to_string(i), 0400 + (i % 8));
  for (int round = 0; round < 400; ++round) {
    const std::string name = "t" + std::to_string(round * 7 % 40);
    const Entry seen = w.lookup(kRoot, name);
    const Attr truth = w.behind(w.root_node(), name)->attr;
    EXPECT_EQ(seen.attr, truth);
    EXPECT_EQ(w.getattr(seen.id), truth);
    w.forget(seen.id);
    if (round % 5 == 0) {
      EXPECT_EQ(w.unlink(kRoot, name), 0);
      // Takes the number of the object that went, if it went.
      w.forget(w.mknod(kRoot, "tmp", 0400 + static_cast<std::uint32_t>(round) % 8).id);
      EXPECT_EQ(w.peek_error(kRoot, name), ENOENT);
      EXPECT_EQ(w.rename(kRoot, "tmp", kRoot, name), 0);
    }
  }
  EXPECT_GT(w.count(Counter::kInodeReclaimed), 100U);
  EXPECT_LE(w.cache->stats().inode_slots, 15U);
}

// The root's slot has one life, and its id is 1 and no other.
TYPED_TEST(Ids, ARootWithAGenerationIsNobody) {
  World<TypeParam> w;
  for (const std::uint64_t generation : {1ULL, 2ULL, 0x7fff'ffffULL, 0xffff'ffffULL}) {
    const NodeId forged(generation << 32 | kRoot.index());
    EXPECT_EQ(code(w.cache->getattr(*w.me, forged, nullptr)), ESTALE);
    EXPECT_EQ(code(w.cache->pin(forged)), ESTALE);
    EXPECT_EQ(w.peek_error(forged, "x"), ESTALE);
    EXPECT_EQ(code(w.cache->mkdir(*w.me, forged, name_of("x"), 0755, kSuper)), ESTALE);
    EXPECT_EQ(code(w.cache->lookup_parent(*w.me, forged)), ESTALE);
    w.forget(forged);
  }
  EXPECT_EQ(w.count(Counter::kForgetExcess), 4U);
  EXPECT_EQ(w.getattr(kRoot).nlink, 2U);
}

TYPED_TEST(Ids, ContentIsTheSameOnlyWithTheSameSizeAndTimes) {
  World<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  const auto same = [&](const Attr* attr) { return w.cache->same_content(file.id, attr); };
  Attr attr = file.attr;
  EXPECT_FALSE(same(&attr));  // The first time.
  EXPECT_TRUE(same(&attr));
  for (int field = 0; field < 5; ++field) {
    if (field == 0) ++attr.size;
    if (field == 1) ++attr.mtime.sec;
    if (field == 2) ++attr.mtime.nsec;
    if (field == 3) ++attr.ctime.sec;
    if (field == 4) ++attr.ctime.nsec;
    EXPECT_FALSE(same(&attr)) << field;
    EXPECT_TRUE(same(&attr)) << field;
  }
  EXPECT_FALSE(same(nullptr));
  EXPECT_FALSE(same(&attr));  // What came between is not known.
  EXPECT_TRUE(same(&attr));

  // Another life of the slot begins anew.
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(file.id);
  w.cache->drop_unused(*w.me);
  EXPECT_FALSE(same(&attr));
  const NodeId next = w.mknod(kRoot, "g").id;
  EXPECT_EQ(next.index(), file.id.index());
  EXPECT_FALSE(w.cache->same_content(next, &attr));
}

}  // namespace
}  // namespace evenfs::test
