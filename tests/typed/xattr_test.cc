// SPDX-License-Identifier: LGPL-2.1-or-later
// Extended attributes whose absence is remembered: when the store is asked, when it is not, and that nobody is
// told of an absence that is over.
#include "core/cache/absence.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/store_contract.h"

namespace evenfs::test {
namespace {

constexpr const char* kCapability = "security.capability";
constexpr const char* kAccessList = "system.posix_acl_access";
constexpr const char* kDefaultList = "system.posix_acl_default";
constexpr const char* kLabel = "security.selinux";
constexpr const char* kNames[] = {kCapability, kAccessList, kDefaultList, kLabel};

CacheOptions with_ttl(std::uint64_t ticks) {
  CacheOptions options = small_cache();
  options.ttl_ticks = ticks;
  return options;
}

MemoryStore::Options with_acls() {
  MemoryStore::Options options;
  options.has_acls = true;
  return options;
}

template <class Policy>
struct XattrWorld : World<Policy> {
  explicit XattrWorld(CacheOptions options = small_cache()) : World<Policy>(options, with_acls()) {}

  int get(const char* name) { return code(this->cache->getxattr(*this->me, id, name, {})); }
  Outcome lacks(const char* name) { return this->cache->try_lacks(id, absence_of(name)); }
  // As the daemon does it.
  void set(const char* name) {
    const auto change = this->cache->begin_change(id, Fields::kWalk);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(code(this->store.setxattr(change->node(), name, bytes_of("v"), 0)), 0);
  }
  void remove(const char* name) {
    const auto change = this->cache->begin_change(id, Fields::kWalk);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(code(this->store.removexattr(change->node(), name)), 0);
  }
  void set_behind(const char* name) {
    const auto pin = this->cache->pin(id);
    ASSERT_TRUE(pin.ok());
    EXPECT_EQ(code(this->memory.setxattr(pin->node(), name, bytes_of("v"), 0)), 0);
  }
  void chmod_behind(std::uint32_t mode) {
    const auto pin = this->cache->pin(id);
    SetAttr change;
    change.mode = mode;
    EXPECT_EQ(code(this->memory.setattr(pin->node(), change, nullptr)), 0);
  }
  // Learns of all of them that they are not there.
  void learn() {
    for (const char* name : kNames) EXPECT_EQ(get(name), ENODATA);
    expect_known(Outcome::kHit);
  }
  void expect_known(Outcome wanted) {
    for (const char* name : kNames) EXPECT_EQ(lacks(name), wanted) << name;
  }
  std::uint64_t asked() const { return this->store.calls("getxattr"); }

  NodeId id = this->mknod(kRoot, "f").id;
};

template <class Policy>
class Xattr : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Xattr, AllPolicies, PolicyNames);

TYPED_TEST(Xattr, OneThatIsAbsentIsAskedForOnce) {
  XattrWorld<TypeParam> w;
  w.expect_known(Outcome::kXattrUnknown);
  for (int i = 0; i < 5; ++i) {
    for (const char* name : kNames) EXPECT_EQ(w.get(name), ENODATA);
  }
  EXPECT_EQ(w.asked(), 4U);
  EXPECT_EQ(w.count(Counter::kGetxattrLocked), 4U);
  EXPECT_EQ(w.count(Counter::kGetxattrHit), 16U);
  EXPECT_EQ(w.count(Counter::kFallXattrUnknown), 4U);
}

TYPED_TEST(Xattr, AllOthersAreAskedForEachTime) {
  XattrWorld<TypeParam> w;
  w.set(kCapability);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(w.get(kCapability), 0);
    EXPECT_EQ(w.get("user.a"), ENODATA);
    w.store.fail("getxattr", EIO);
    EXPECT_EQ(w.get(kAccessList), EIO);
    EXPECT_EQ(w.store.hooks_left(), 0U);
  }
  EXPECT_EQ(w.asked(), 9U);
  EXPECT_EQ(w.count(Counter::kGetxattrHit), 0U);
}

TYPED_TEST(Xattr, OneThatIsSetIsThereFromThenOnAndOneThatIsRemovedIsNot) {
  for (const char* name : kNames) {
    XattrWorld<TypeParam> w;
    w.learn();
    w.set(name);
    EXPECT_EQ(w.get(name), 0);
    EXPECT_EQ(w.get(name), 0);
    w.remove(name);
    EXPECT_EQ(w.get(name), ENODATA);
    EXPECT_EQ(w.lacks(name), Outcome::kHit);
  }
}

// As soon as the store has set it, somebody may know of it.
TYPED_TEST(Xattr, WhileOneIsBeingSetTheStoreIsAsked) {
  XattrWorld<TypeParam> w;
  w.learn();
  w.store.before("setxattr", [&] {
    EXPECT_EQ(w.lacks(kCapability), Outcome::kInodeBusy);
    EXPECT_EQ(w.get(kCapability), ENODATA);
    return Status();
  });
  w.store.after("setxattr", [&] { EXPECT_EQ(w.get(kCapability), 0); });
  w.set(kCapability);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  w.expect_known(Outcome::kXattrUnknown);
  EXPECT_EQ(w.get(kCapability), 0);
}

TYPED_TEST(Xattr, AnAbsenceOfBeforeItWasSetIsNotKept) {
  for (const char* name : kNames) {
    XattrWorld<TypeParam> w;
    w.store.after("getxattr", [&] { w.set(name); });
    EXPECT_EQ(w.get(name), ENODATA);  // True when the store was asked.
    EXPECT_EQ(w.store.hooks_left(), 0U);
    EXPECT_EQ(w.get(name), 0);
  }
}

TYPED_TEST(Xattr, AnAbsenceOfBeforeAnInvalidationIsNotKept) {
  XattrWorld<TypeParam> w;
  w.store.after("getxattr", [&] {
    w.set_behind(kCapability);
    w.cache->invalidate(w.id);
  });
  EXPECT_EQ(w.get(kCapability), ENODATA);
  EXPECT_EQ(w.get(kCapability), 0);
}

TYPED_TEST(Xattr, AnAbsenceThatWasToldDuringAChangeIsNotKept) {
  XattrWorld<TypeParam> w;
  {
    const auto change = w.cache->begin_change(w.id, Fields::kWalk);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(w.get(kCapability), ENODATA);
    EXPECT_EQ(w.lacks(kCapability), Outcome::kInodeBusy);
  }
  EXPECT_EQ(w.lacks(kCapability), Outcome::kXattrUnknown);
}

// They set no attribute; a write may remove one.
TYPED_TEST(Xattr, ChangesOfContentAndNamesLeaveIt) {
  XattrWorld<TypeParam> w;
  w.learn();
  EXPECT_EQ(w.truncate(w.id, 5), 0);
  w.expect_known(Outcome::kHit);
  {
    const auto write = w.cache->begin_change(w.id, Fields::kStat);
    w.expect_known(Outcome::kHit);
  }
  {
    const auto bypass = w.cache->begin_bypass(w.id, Cache::Unseen::kWrites);
    w.expect_known(Outcome::kHit);
  }
  EXPECT_TRUE(w.cache->link(*w.me, w.id, kRoot, name_of("g")).ok());
  EXPECT_EQ(w.unlink(kRoot, "g"), 0);
  (void)w.getattr(w.id);
  w.expect_known(Outcome::kHit);
  EXPECT_EQ(w.asked(), 4U);
}

TYPED_TEST(Xattr, WhateverMayBringOneEndsIt) {
  XattrWorld<TypeParam> w;
  w.learn();
  EXPECT_EQ(w.chmod(w.id, 0600), 0);
  w.expect_known(Outcome::kXattrUnknown);
  w.learn();
  SetAttr owner;
  owner.uid = 7;
  EXPECT_EQ(code(w.cache->setattr(*w.me, w.id, owner, nullptr)), 0);
  w.expect_known(Outcome::kXattrUnknown);
  w.learn();
  EXPECT_EQ(code(w.cache->setattr(*w.me, w.id, SetAttr(), nullptr)), 0);
  w.expect_known(Outcome::kXattrUnknown);
  w.learn();
  EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g"), 0);
  w.expect_known(Outcome::kXattrUnknown);
  w.learn();
  w.cache->invalidate(w.id);
  w.expect_known(Outcome::kXattrUnknown);
}

TYPED_TEST(Xattr, WhatOthersSetIsSeenWhenTheAbsenceHasExpired) {
  XattrWorld<TypeParam> w(with_ttl(10));
  EXPECT_EQ(w.get(kCapability), ENODATA);
  w.set_behind(kCapability);
  w.cache->set_tick(9);
  (void)w.getattr(w.id);
  EXPECT_EQ(w.get(kAccessList), ENODATA);  // Does not make the other one last longer.
  w.cache->set_tick(10);
  (void)w.getattr(w.id);
  EXPECT_EQ(w.get(kCapability), ENODATA);
  EXPECT_EQ(w.asked(), 2U);
  w.cache->set_tick(11);
  EXPECT_EQ(w.lacks(kCapability), Outcome::kExpired);
  EXPECT_EQ(w.lacks(kAccessList), Outcome::kExpired);
  EXPECT_EQ(w.get(kCapability), 0);
  EXPECT_EQ(w.get(kAccessList), ENODATA);
  EXPECT_EQ(w.lacks(kCapability), Outcome::kXattrUnknown);  // What had expired is not taken along.
  EXPECT_EQ(w.lacks(kAccessList), Outcome::kHit);
  w.cache->set_tick(21);
  EXPECT_EQ(w.lacks(kAccessList), Outcome::kHit);
}

TYPED_TEST(Xattr, WithoutATimeToLiveTheStoreIsAskedEachTime) {
  XattrWorld<TypeParam> w(with_ttl(0));
  EXPECT_EQ(w.get(kCapability), ENODATA);
  w.set_behind(kCapability);
  EXPECT_EQ(w.get(kCapability), 0);
}

TYPED_TEST(Xattr, ForEverIsForEver) {
  XattrWorld<TypeParam> w(with_ttl(kForeverTicks));
  w.learn();
  w.cache->set_tick(std::uint64_t{1} << 50);
  w.expect_known(Outcome::kHit);
}

// A list that others set shows in the mode, most often. Mode and list are to be of one time then.
TYPED_TEST(Xattr, AModeThatOthersChangedEndsIt) {
  XattrWorld<TypeParam> w(with_ttl(10));
  w.cache->set_tick(8);
  w.learn();
  w.chmod_behind(0660);
  w.set_behind(kAccessList);
  w.cache->set_tick(12);
  w.expect_known(Outcome::kHit);
  EXPECT_EQ(w.getattr(w.id).mode & 0777U, 0660U);
  w.expect_known(Outcome::kXattrUnknown);
  EXPECT_EQ(w.get(kAccessList), 0);
}

TYPED_TEST(Xattr, OfTheNextInodeInTheSlotNothingIsKnown) {
  XattrWorld<TypeParam> w;
  w.learn();
  const NodeId old = w.id;
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(old);
  w.cache->drop_unused(*w.me);
  w.store.after("mknod", [&] {
    const auto made = w.behind(w.root_node(), "g");
    EXPECT_EQ(code(w.memory.setxattr(made->node, kAccessList, bytes_of("inherited"), 0)), 0);
  });
  w.id = w.mknod(kRoot, "g").id;
  ASSERT_EQ(w.id.index(), old.index());
  w.expect_known(Outcome::kXattrUnknown);
  EXPECT_EQ(w.get(kAccessList), 0);
  w.id = old;
  w.expect_known(Outcome::kStaleId);
  EXPECT_EQ(w.get(kAccessList), ESTALE);
}

TYPED_TEST(Xattr, AWalkAndTheKernelLearnFromEachOther) {
  XattrWorld<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  (void)w.mknod(dir, "g");
  const Cred other{.uid = 11, .gid = 21};
  const auto walk = [&] { return code(w.cache->walk(*w.me, kRoot, "d/g", other, true)); };
  for (const NodeId id : {kRoot, dir}) {
    w.id = id;
    EXPECT_EQ(w.get(kAccessList), ENODATA);
  }
  EXPECT_EQ(walk(), 0);
  EXPECT_EQ(w.asked(), 2U);
  EXPECT_EQ(w.count(Counter::kWalkHit), 1U);
  w.cache->invalidate(dir);
  EXPECT_EQ(walk(), 0);
  EXPECT_EQ(w.lacks(kAccessList), Outcome::kHit);
  EXPECT_EQ(w.asked(), 3U);
}

// Below the source there may be a file system that has no lists: its answer is not ENODATA.
TYPED_TEST(Xattr, WhereThereAreNoListsAWalkLearnsThatAndTheKernelIsToldSo) {
  XattrWorld<TypeParam> w;
  w.id = w.mkdir(kRoot, "d").id;
  (void)w.mknod(w.id, "g");
  const Cred other{.uid = 11, .gid = 21};
  const auto walk = [&] { return code(w.cache->walk(*w.me, w.id, "g", other, true)); };
  w.store.fail("getxattr", EOPNOTSUPP);
  EXPECT_EQ(walk(), 0);
  EXPECT_EQ(walk(), 0);
  EXPECT_EQ(w.asked(), 1U);
  w.store.fail("getxattr", EOPNOTSUPP);
  EXPECT_EQ(w.get(kAccessList), EOPNOTSUPP);
  w.store.fail("getxattr", EOPNOTSUPP);
  EXPECT_EQ(w.get(kAccessList), EOPNOTSUPP);
}

}  // namespace
}  // namespace evenfs::test
