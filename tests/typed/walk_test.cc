// SPDX-License-Identifier: LGPL-2.1-or-later
// Whole paths: each is resolved until it is answered without a lock, and the locked walk and the
// lock-free one must say the same. Errors are answers too.
#include <array>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Walk : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Walk, AllPolicies, PolicyNames);

enum class Then { kCached, kLocked };

// The errno; 0 and `end` for success. Asserts that three tries agree and that the last one was
// answered as `then` says.
template <class Policy>
int resolve(World<Policy>& w, NodeId start, std::string_view path, NodeId* end = nullptr,
            const Cred& cred = kSuper, bool follow = true, Then then = Then::kCached) {
  const auto once = [&] { return w.cache->walk(*w.me, start, path, cred, follow); };
  // Attributes, targets and names are cached by different walks on the way; three warm all.
  const Result<Entry> first = once();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(code(once()), code(first)) << path;
  const std::uint64_t hits = w.count(Counter::kWalkHit);
  const Result<Entry> last = once();
  EXPECT_EQ(w.count(Counter::kWalkHit) - hits, then == Then::kCached ? 1U : 0U) << path;
  EXPECT_EQ(code(last), code(first)) << path;
  if (first && last) {
    EXPECT_TRUE(last->id == first->id && last->attr == first->attr) << path;
  }
  if (last && end != nullptr) *end = last->id;
  return code(last);
}

template <class Policy>
NodeId found(World<Policy>& w, std::string_view path, NodeId start = kRoot, bool follow = true) {
  NodeId end;
  EXPECT_EQ(resolve(w, start, path, &end, kSuper, follow), 0) << path;
  return end;
}

TYPED_TEST(Walk, ComponentsDotsAndSlashes) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(a, "b").id;
  const NodeId f = w.mknod(b, "f").id;
  for (const char* path :
       {"a/b/f", "/a/b/f", "//a///b/./f", "./a/../a/b/../b/f", "../../a/b/f", "a/b/../../a/b/f"}) {
    EXPECT_EQ(found(w, path), f) << path;
  }
  EXPECT_EQ(found(w, "/"), kRoot);
  EXPECT_EQ(found(w, "."), kRoot);
  EXPECT_EQ(found(w, "/.."), kRoot);
  EXPECT_EQ(found(w, "a/"), a);
  EXPECT_EQ(found(w, "a/b//"), b);
  EXPECT_EQ(found(w, "a/."), a);
  EXPECT_EQ(found(w, "f", b), f);
  EXPECT_EQ(found(w, "../b/f", b), f);
  EXPECT_EQ(found(w, "/a", b), a);
}

TYPED_TEST(Walk, Errors) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  (void)w.mknod(a, "f");
  const std::string name255(255, 'n');
  EXPECT_EQ(resolve(w, kRoot, ""), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "no"), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "no/x"), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "no/"), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "no/.."), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "a/f/x"), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, "a/f/"), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, "a/f/."), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, "a/f/.."), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, name255), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, name255 + "n"), ENAMETOOLONG);
  EXPECT_EQ(resolve(w, kRoot, "a/" + name255 + "n/x"), ENAMETOOLONG);
  EXPECT_EQ(resolve(w, kRoot, "no/" + name255 + "n"), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, std::string(PATH_MAX, '/')), ENAMETOOLONG);
  EXPECT_EQ(resolve(w, kRoot, std::string(PATH_MAX - 1, '/')), 0);
  EXPECT_EQ(resolve(w, kRoot, std::string_view("a\0b", 3)), EINVAL);
}

TYPED_TEST(Walk, Links) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(a, "b").id;
  const NodeId f = w.mknod(b, "f").id;
  const NodeId to_f = w.symlink(a, "to_f", "b/f").id;
  const NodeId to_b = w.symlink(kRoot, "to_b", "/a/b").id;
  (void)w.symlink(b, "up", "../to_f");
  (void)w.symlink(kRoot, "dangling", "nowhere");
  (void)w.symlink(kRoot, "slash", "a/");
  (void)w.symlink(kRoot, "file_slash", "a/b/f/");
  (void)w.symlink(kRoot, "root", "/");
  EXPECT_EQ(found(w, "a/to_f"), f);
  EXPECT_EQ(found(w, "a/to_f", kRoot, false), to_f);
  EXPECT_EQ(found(w, "to_b/f", kRoot, false), f);
  EXPECT_EQ(found(w, "to_b", kRoot, false), to_b);
  EXPECT_EQ(found(w, "to_b/", kRoot, false), b);
  EXPECT_EQ(found(w, "to_b/."), b);
  EXPECT_EQ(found(w, "to_b/.."), a);
  EXPECT_EQ(found(w, "to_b/up"), f);
  EXPECT_EQ(found(w, "slash/b"), b);
  EXPECT_EQ(found(w, "root/a"), a);
  EXPECT_EQ(found(w, "root/"), kRoot);
  EXPECT_EQ(resolve(w, kRoot, "dangling"), ENOENT);
  EXPECT_EQ(resolve(w, kRoot, "dangling", nullptr, kSuper, false), 0);
  EXPECT_EQ(resolve(w, kRoot, "a/to_f/"), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, "a/to_f/x"), ENOTDIR);
  EXPECT_EQ(resolve(w, kRoot, "file_slash"), ENOTDIR);
}

TYPED_TEST(Walk, FortyLinksAndNoMore) {
  World<TypeParam> w;
  const NodeId end = w.mknod(kRoot, "l0").id;
  for (int i = 1; i <= 41; ++i) {
    (void)w.symlink(kRoot, "l" + std::to_string(i), "l" + std::to_string(i - 1));
  }
  EXPECT_EQ(found(w, "l40"), end);
  EXPECT_EQ(resolve(w, kRoot, "l41"), ELOOP);
  (void)w.symlink(kRoot, "self", "self");
  EXPECT_EQ(resolve(w, kRoot, "self"), ELOOP);
  EXPECT_EQ(resolve(w, kRoot, "self/x"), ELOOP);
  (void)w.mkdir(kRoot, "dir");
  (void)w.symlink(kRoot, "long", std::string(4000, '/') + "dir");
  EXPECT_EQ(resolve(w, kRoot, "long/" + std::string(90, 'b') + "/c"), ENAMETOOLONG);
  EXPECT_EQ(resolve(w, kRoot, "long/" + std::string(80, 'b')), ENOENT);
}

TYPED_TEST(Walk, TooDeepForTheLockFreeWalkIsStillRight) {
  World<TypeParam> w;
  NodeId at = kRoot;
  std::string path;
  // Two counts for each component, and two at the ends: 63 fit in FastWalk::kStampsMax, 64 do not.
  for (std::uint32_t depth = 1; depth <= FastWalk<TypeParam>::kStampsMax / 2 + 6; ++depth) {
    at = w.mkdir(at, "d").id;
    path += "/d";
    const bool fits = 2 * depth + 2 <= FastWalk<TypeParam>::kStampsMax;
    NodeId end;
    EXPECT_EQ(resolve(w, kRoot, path, &end, kSuper, true, fits ? Then::kCached : Then::kLocked), 0);
    EXPECT_EQ(end, at);
  }
  EXPECT_GT(w.count(Counter::kFallTooDeep), 0U);
}

TYPED_TEST(Walk, WhoMaySearch) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d", 0000).id;
  (void)w.mknod(dir, "f", 0000);
  SetAttr owner;
  owner.uid = 10;
  owner.gid = 20;
  ASSERT_TRUE(w.cache->setattr(*w.me, dir, owner, nullptr).ok());
  static constexpr std::array<std::uint32_t, 3> kGroups = {7, 20, 9};
  Cred user{.uid = 10, .gid = 20};
  Cred member{.uid = 11, .gid = 20};
  Cred supplementary{.uid = 11, .gid = 21, .groups = kGroups};
  Cred other{.uid = 11, .gid = 21};
  for (std::uint32_t bits = 0; bits < 8; ++bits) {
    const std::uint32_t mode =
        ((bits & 4U) != 0 ? 0100U : 0U) | ((bits & 2U) != 0 ? 0010U : 0U) | (bits & 1U) | 0666U;
    ASSERT_EQ(w.chmod(dir, mode), 0);
    const int by_owner = (bits & 4U) != 0 ? 0 : EACCES;
    const int by_group = (bits & 2U) != 0 ? 0 : EACCES;
    const int by_other = (bits & 1U) != 0 ? 0 : EACCES;
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, user), by_owner);
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, member), by_group);
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, supplementary), by_group);
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), by_other);
    EXPECT_EQ(resolve(w, kRoot, "d/missing", nullptr, other), by_other != 0 ? EACCES : ENOENT);
    EXPECT_EQ(resolve(w, kRoot, "d/..", nullptr, other), by_other);
    EXPECT_EQ(resolve(w, kRoot, "d/.", nullptr, other), by_other);
    EXPECT_EQ(resolve(w, dir, "f", nullptr, other), by_other);
    EXPECT_EQ(resolve(w, kRoot, "d", nullptr, other), 0);  // The last one is not searched.
    EXPECT_EQ(resolve(w, kRoot, "d/", nullptr, other), 0);
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, kSuper), 0);
  }
}

TYPED_TEST(Walk, AChangedModeDecidesAtOnce) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
  (void)w.mknod(dir, "f");
  const Cred other{.uid = 11, .gid = 21};
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(w.chmod(dir, i % 2 != 0 ? 0755 : 0700), 0);
    const int expected = i % 2 != 0 ? 0 : EACCES;
    EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "d/f", other, true)), expected);
    EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), expected);
  }
}

TYPED_TEST(Walk, WithAclsTheBitsDecideOnlyWhenThereIsNone) {
  MemoryStore::Options behind;
  behind.has_acls = true;
  World<TypeParam> w(small_cache(), behind);
  const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
  (void)w.mknod(dir, "f");
  const Cred other{.uid = 11, .gid = 21};
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "d/f", other, true)), 0);
  EXPECT_EQ(w.count(Counter::kFallAclUnknown), 1U);
  EXPECT_EQ(w.store.calls("getxattr"), 2U);
  EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), 0);
  EXPECT_EQ(w.store.calls("getxattr"), 2U);
  // A name more in the directory says nothing of its ACL.
  (void)w.mknod(dir, "g");
  (void)w.getattr(dir);
  EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), 0);
  EXPECT_EQ(w.store.calls("getxattr"), 2U);
  // A section may have brought an ACL: asked again. When it cannot be ruled out, access() decides.
  w.cache->invalidate(dir);
  (void)w.getattr(dir);
  w.store.fail("getxattr", EIO);
  w.store.fail("access", EACCES);
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "d/f", other, true)), EACCES);
  EXPECT_EQ(w.store.hooks_left(), 0U);
  EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, kSuper), 0);  // Root needs no ACL.
  EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), 0);
}

TYPED_TEST(Walk, ExpiredDirectoriesAreAskedAgain) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  World<TypeParam> w(options);
  const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
  (void)w.mknod(dir, "f");
  const Cred other{.uid = 11, .gid = 21};
  EXPECT_EQ(resolve(w, kRoot, "d/f", nullptr, other), 0);
  SetAttr closed;
  closed.mode = 0700;
  const auto pin = w.cache->pin(dir);
  ASSERT_TRUE(w.memory.setattr(pin->node(), closed, nullptr).ok());
  w.cache->set_tick(11);
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "d/f", other, true)), EACCES);
  EXPECT_EQ(w.count(Counter::kFallExpired) > 0, true);
}

TYPED_TEST(Walk, RemovedDirectory) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  EXPECT_EQ(found(w, "d"), dir);
  EXPECT_EQ(w.rmdir(kRoot, "d"), 0);
  EXPECT_EQ(resolve(w, kRoot, "d"), ENOENT);
  EXPECT_EQ(resolve(w, dir, "x"), ENOENT);
  EXPECT_EQ(found(w, ".", dir), dir);
}

}  // namespace
}  // namespace evenfs::test
