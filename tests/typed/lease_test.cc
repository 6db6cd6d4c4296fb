// SPDX-License-Identifier: LGPL-2.1-or-later
// Leases and sections: a change that slips in between the store's answer and its publication, what is
// served while a change is under way, and what is left when the store refuses.
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Lease : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Lease, AllPolicies, PolicyNames);

TYPED_TEST(Lease, AFillLosesAgainstAChange) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f", 0600).id;
  w.cache->invalidate(id);
  w.store.after("getattr", [&] { EXPECT_EQ(w.chmod(id, 0644), 0); });
  EXPECT_EQ(w.getattr(id).mode & 0777U, 0600U);  // True when the store was asked.
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.count(Counter::kFillLost), 1U);
  EXPECT_EQ(w.getattr(id).mode & 0777U, 0644U);
  EXPECT_EQ(w.count(Counter::kGetattrHit), 1U);
}

// As soon as the store has made the name, somebody may know of it and must not be told otherwise.
TYPED_TEST(Lease, ANegativeDentryIsGoneBeforeTheNameIsMade) {
  World<TypeParam> w;
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
  w.store.after("mknod", [&] { EXPECT_EQ(w.peek_error(kRoot, "f"), 0); });
  w.forget(w.mknod(kRoot, "f").id);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

TYPED_TEST(Lease, AFillThatBeganDuringAChangeIsLost) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  {
    const auto change = w.cache->begin_change(id, Fields::kStat);
    ASSERT_TRUE(change.ok());
    (void)w.getattr(id);
    EXPECT_EQ(w.count(Counter::kFillLost), 1U);
  }
  EXPECT_EQ(w.fast_attr(id), Outcome::kAttrInvalid);
}

// What setattr and link say is how the object is, unless another change overlapped with them.
TYPED_TEST(Lease, AChangeLeavesWhatTheStoreSaidOfIt) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f", 0600).id;
  Attr seen;
  EXPECT_EQ(w.chmod(id, 0644), 0);
  EXPECT_EQ(w.fast_attr(id, &seen), Outcome::kHit);
  EXPECT_EQ(seen.mode & 0777U, 0644U);
  EXPECT_EQ(w.truncate(id, 77), 0);
  EXPECT_EQ(w.fast_attr(id, &seen), Outcome::kHit);
  EXPECT_EQ(seen.size, 77U);
  EXPECT_TRUE(w.cache->link(*w.me, id, kRoot, name_of("g")).ok());
  EXPECT_EQ(w.fast_attr(id, &seen), Outcome::kHit);
  EXPECT_EQ(seen.nlink, 2U);
  EXPECT_EQ(w.count(Counter::kGetattrLocked), 0U);

  // A change inside the other: the outer one answers for a state that is over.
  w.store.after("setattr", [&] { EXPECT_EQ(w.truncate(id, 99), 0); });
  EXPECT_EQ(w.truncate(id, 88), 0);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.fast_attr(id), Outcome::kAttrInvalid);
  EXPECT_EQ(w.getattr(id).size, 99U);

  // One that began before and ends after it.
  std::optional<Result<Cache::Change>> other(w.cache->begin_change(id, Fields::kStat));
  EXPECT_EQ(w.truncate(id, 66), 0);
  EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
  other.reset();
  EXPECT_EQ(w.fast_attr(id), Outcome::kAttrInvalid);
}

// Somebody says that a name changed behind our back, just while we change it ourselves.
TYPED_TEST(Lease, AnInvalidationDuringAnOwnChangeIsNotLost) {
  World<TypeParam> w;
  const auto invalidate = [&] { w.cache->invalidate_name(*w.me, kRoot, name_of("f")); };
  w.store.after("mknod", invalidate);
  const NodeId id = w.mknod(kRoot, "f").id;
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
  EXPECT_EQ(w.peek(kRoot, "f").id, id);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  w.store.after("unlink", invalidate);
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
  (void)w.mknod(kRoot, "g");
  w.store.after("rename", invalidate);
  EXPECT_EQ(w.rename(kRoot, "g", kRoot, "f"), 0);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

// The cached name leads to what was there before others replaced it.
TYPED_TEST(Lease, ARemovalIsOfWhatIsThereNow) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 1000;
  World<TypeParam> w(options);
  const NodeId old = w.mknod(kRoot, "f").id;
  const NodeId now = w.mknod(kRoot, "g").id;
  const auto replace = [&](const char* name) {
    (void)w.memory.unlink(w.root_node(), name_of(name));
    const auto held = w.cache->pin(now);
    EXPECT_EQ(code(w.memory.link(held->node(), w.root_node(), name_of(name))), 0);
    w.cache->invalidate(now);
    EXPECT_EQ(w.getattr(now).nlink, 2U);
    EXPECT_EQ(w.peek(kRoot, name).id, old);
  };
  replace("f");
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  EXPECT_EQ(w.getattr(now).nlink, 1U);
}

TYPED_TEST(Lease, ANameLosesAgainstItsRemoval) {
  World<TypeParam> w;
  w.behind_file("f");
  w.store.after("lookup", [&] { EXPECT_EQ(w.unlink(kRoot, "f"), 0); });
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_GT(w.count(Counter::kDentryLeaseLost), 0U);
  EXPECT_NE(w.fast(kRoot, "f"), Outcome::kHit);
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

TYPED_TEST(Lease, ANameLosesAgainstItsReplacement) {
  World<TypeParam> w;
  w.behind_file("f");
  const NodeId other = w.mknod(kRoot, "g").id;
  w.store.after("lookup", [&] { EXPECT_EQ(w.rename(kRoot, "g", kRoot, "f"), 0); });
  (void)w.peek_error(kRoot, "f");
  EXPECT_EQ(w.peek(kRoot, "f").id, other);
  EXPECT_EQ(w.peek_error(kRoot, "g"), ENOENT);
}

TYPED_TEST(Lease, ANegativeNameLosesAgainstACreation) {
  World<TypeParam> w;
  w.store.after("lookup", [&] { (void)w.mknod(kRoot, "f"); });
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
  // Gone and negative again meanwhile would be right; made, and then unknown, must be a miss.
  w.store.after("lookup", [&] {
    (void)w.mknod(kRoot, "g");
    w.cache->invalidate_name(*w.me, kRoot, name_of("g"));
  });
  EXPECT_EQ(w.peek_error(kRoot, "g"), ENOENT);
  EXPECT_EQ(w.fast(kRoot, "g"), Outcome::kMiss);
  EXPECT_EQ(w.peek_error(kRoot, "g"), 0);
}

TYPED_TEST(Lease, AConfirmationLosesToo) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  World<TypeParam> w(options);
  (void)w.mknod(kRoot, "f");
  w.cache->set_tick(11);
  w.store.after("lookup", [&] { EXPECT_EQ(w.unlink(kRoot, "f"), 0); });
  (void)w.peek_error(kRoot, "f");
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
}

// The object had an inode, was changed through it and lost it, all before we enter what we were told.
TYPED_TEST(Lease, AnInodeInBetweenTakesTheTrustAway) {
  World<TypeParam> w;
  w.behind_file("f", 0600);
  w.store.after("lookup", [&] {
    const NodeId id = w.lookup(kRoot, "f").id;
    EXPECT_EQ(w.chmod(id, 0644), 0);
    w.forget(id);
    w.cache->drop_unused(*w.me);
    EXPECT_EQ(code(w.cache->pin(id)), ESTALE);
  });
  (void)w.peek_error(kRoot, "f");
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0644U);
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0644U);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
}

TYPED_TEST(Lease, DuringAChangeOnlyTheStoreAnswers) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f", 0600).id;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  w.store.before("setattr", [&] {
    EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kInodeBusy);
    return Status();
  });
  w.store.after("setattr", [&] { EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy); });
  EXPECT_EQ(w.chmod(id, 0644), 0);
  EXPECT_EQ(w.fast_attr(id), Outcome::kHit);

  const auto unknown = [&] {
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
    EXPECT_EQ(w.fast(dir, "g"), Outcome::kMiss);
    EXPECT_EQ(w.fast_attr(kRoot), Outcome::kInodeBusy);
    EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
    EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
    // What is asked now may be cached by nobody: it is about to change.
    (void)w.peek_error(kRoot, "f");
    (void)w.peek_error(dir, "g");
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kMiss);
    EXPECT_EQ(w.fast(dir, "g"), Outcome::kMiss);
    return Status();
  };
  EXPECT_EQ(w.peek_error(dir, "g"), ENOENT);
  w.store.before("rename", unknown);
  w.store.after("rename", [&] { (void)unknown(); });
  EXPECT_EQ(w.rename(kRoot, "f", dir, "g"), 0);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kNegative);
  EXPECT_EQ(w.peek(dir, "g").id, id);
  EXPECT_EQ(w.fast(dir, "g"), Outcome::kHit);

  const auto g_unknown = [&] {
    EXPECT_EQ(w.fast(dir, "g"), Outcome::kMiss);
    EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
    EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
    return Status();
  };
  w.store.before("unlink", g_unknown);
  w.store.after("unlink", [&] { (void)g_unknown(); });
  EXPECT_EQ(w.unlink(dir, "g"), 0);
  EXPECT_EQ(w.fast(dir, "g"), Outcome::kNegative);

  EXPECT_EQ(w.store.hooks_left(), 0U);
}

TYPED_TEST(Lease, DuringMkdirAndRmdirOnlyTheStoreAnswers) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  const auto new_unknown = [&] {
    EXPECT_EQ(w.fast(dir, "g"), Outcome::kMiss);
    EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
    return Status();
  };
  w.store.before("mkdir", new_unknown);
  w.store.after("mkdir", [&] { (void)new_unknown(); });
  const NodeId made = w.mkdir(dir, "g").id;
  EXPECT_EQ(w.fast(dir, "g"), Outcome::kHit);
  w.store.before("rmdir", [&] {
    EXPECT_EQ(w.fast(dir, "g"), Outcome::kMiss);
    EXPECT_EQ(w.fast(made, "x"), Outcome::kInodeBusy);  // nseq: a walk through it notices.
    return Status();
  });
  EXPECT_EQ(w.rmdir(dir, "g"), 0);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

TYPED_TEST(Lease, LinkIsAChangeOfTheInode) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  EXPECT_EQ(w.peek_error(kRoot, "g"), ENOENT);
  w.store.after("link", [&] {
    EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
    EXPECT_EQ(w.fast(kRoot, "g"), Outcome::kMiss);
  });
  ASSERT_TRUE(w.cache->link(*w.me, id, kRoot, name_of("g")).ok());
  EXPECT_EQ(w.getattr(id).nlink, 2U);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

TYPED_TEST(Lease, OverlappingSectionsStayOddUntilTheLastEnds) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  auto first = std::make_optional(w.cache->begin_change(dir, Fields::kStat));
  auto second = std::make_optional(w.cache->begin_change(dir, Fields::kWalk));
  auto third = std::make_optional(w.cache->begin_change(dir, Fields::kStat));
  EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
  EXPECT_EQ(w.fast(dir, "x"), Outcome::kInodeBusy);
  first.reset();
  EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
  EXPECT_EQ(w.fast(dir, "x"), Outcome::kInodeBusy);
  second.reset();
  EXPECT_EQ(w.fast_attr(dir), Outcome::kInodeBusy);
  EXPECT_EQ(w.fast(dir, "x"), Outcome::kAbsent);  // Nothing of a walk is being changed any more.
  third.reset();
  EXPECT_EQ(w.fast_attr(dir), Outcome::kAttrInvalid);
  (void)w.getattr(dir);
  EXPECT_EQ(w.fast_attr(dir), Outcome::kHit);
}

TYPED_TEST(Lease, AFillBetweenTwoSectionsOfOneChangeIsLost) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f", 0600).id;
  w.cache->invalidate(id);
  // Begins before a section, ends within another: the count is odd, not the same.
  std::optional<Result<Cache::Change>> open;
  w.store.after("getattr", [&] { open.emplace(w.cache->begin_change(id, Fields::kStat)); });
  (void)w.getattr(id);
  EXPECT_EQ(w.fast_attr(id), Outcome::kInodeBusy);
  open.reset();
  EXPECT_EQ(w.fast_attr(id), Outcome::kAttrInvalid);
}

TYPED_TEST(Lease, WhatTheStoreRefusesChangesNothing) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  const NodeId file = w.mknod(kRoot, "f").id;
  const auto as_before = [&](const std::string& what) {
    SCOPED_TRACE(what);
    EXPECT_EQ(w.store.hooks_left(), 0U);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(w.peek(kRoot, "f").id, file);
      EXPECT_EQ(w.peek(kRoot, "f").attr, w.behind(w.root_node(), "f")->attr);
      EXPECT_EQ(w.peek(kRoot, "d").attr, w.behind(w.root_node(), "d")->attr);
      EXPECT_EQ(w.peek_error(kRoot, "new"), ENOENT);
      EXPECT_EQ(w.peek_error(dir, "f"), ENOENT);
      EXPECT_EQ(w.getattr(kRoot).nlink, 3U);
    }
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
    EXPECT_EQ(w.fast(kRoot, "new"), Outcome::kNegative);
    EXPECT_EQ(w.cache->stats().kernel_lookups, 2U);
    EXPECT_EQ(w.memory.references(), 3U);
  };
  auto& cache = *w.cache;
  Worker& me = *w.me;
  const NameRef made = name_of("new");
  const std::map<std::string, std::function<int()>> changes = {
      {"mkdir", [&] { return code(cache.mkdir(me, kRoot, made, 0755, kSuper)); }},
      {"mknod", [&] { return code(cache.mknod(me, kRoot, made, 0644, 0, kSuper)); }},
      {"symlink", [&] { return code(cache.symlink(me, kRoot, made, "f", kSuper)); }},
      {"create", [&] { return code(cache.create(me, kRoot, made, 0644, O_RDWR, kSuper)); }},
      {"tmpfile", [&] { return code(cache.tmpfile(me, kRoot, 0644, O_RDWR, kSuper)); }},
      {"link", [&] { return code(cache.link(me, file, kRoot, made)); }},
      {"unlink", [&] { return w.unlink(kRoot, "f"); }},
      {"rmdir", [&] { return w.rmdir(kRoot, "d"); }},
      {"rename", [&] { return w.rename(kRoot, "f", dir, "f"); }},
      {"setattr", [&] { return w.chmod(file, 0); }},
  };
  for (const int error : {EIO, ENOSPC, EROFS, EDQUOT}) {
    for (const auto& [operation, change] : changes) {
      w.store.fail(operation, error);
      EXPECT_EQ(change(), error) << operation;
      as_before(operation);
    }
    w.cache->invalidate_name(me, kRoot, name_of("f"));
    w.store.fail("lookup", error);
    EXPECT_EQ(w.peek_error(kRoot, "f"), error);
    as_before("lookup");
    w.cache->invalidate(file);
    w.store.fail("getattr", error);
    EXPECT_EQ(code(cache.getattr(me, file, nullptr)), error);
    as_before("getattr");
  }
  EXPECT_EQ(w.unlink(kRoot, "d"), EISDIR);
  as_before("unlink of a directory");
  EXPECT_EQ(w.rmdir(kRoot, "f"), ENOTDIR);
  as_before("rmdir of a file");
  EXPECT_EQ(code(cache.mkdir(me, kRoot, name_of("f"), 0755, kSuper)), EEXIST);
  as_before("mkdir of what is there");
}

// Not exclusive: whatever others do with the name, ENOENT is not what O_CREAT says.
TYPED_TEST(Lease, CreateOfAFileThatGoesMeanwhile) {
  World<TypeParam> w;
  (void)w.mknod(kRoot, "f");
  w.store.before("lookup", [&] {
    EXPECT_EQ(w.unlink(kRoot, "f"), 0);
    return Status();
  });
  const auto opened = w.cache->create(*w.me, kRoot, name_of("f"), 0644, O_RDWR, kSuper);
  EXPECT_EQ(code(opened), 0);
  EXPECT_EQ(w.peek_error(kRoot, "f"), 0);
}

TYPED_TEST(Lease, TheStoreSaysTheObjectIsGone) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  w.cache->invalidate(id);
  w.store.fail("getattr", ENOENT);
  EXPECT_EQ(code(w.cache->getattr(*w.me, id, nullptr)), ESTALE);
  // For a name, what stands there now is asked for, once.
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  w.behind_file("f", 0604);
  w.store.fail("getattr", ESTALE);
  const Entry now = w.peek(kRoot, "f");
  EXPECT_EQ(now.attr.mode & 0777U, 0604U);
  EXPECT_FALSE(now.id == id);
}

}  // namespace
}  // namespace evenfs::test
