// SPDX-License-Identifier: LGPL-2.1-or-later
// Changes of names, one by one, and then thousands at random, compared with the store each time.
// EVENFS_SEED repeats a random run.
#include <algorithm>
#include <random>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Namespace : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Namespace, AllPolicies, PolicyNames);

template <class Policy>
int walk_id(World<Policy>& w, NodeId start, std::string_view path, NodeId* into) {
  const Result<Entry> end = w.cache->walk(*w.me, start, path, kSuper, true);
  if (end) *into = end->id;
  return code(end);
}

// What ".." of `dir` says, twice: by the locked walk and, the second time, without a lock.
template <class Policy>
void expect_parent(World<Policy>& w, NodeId dir, NodeId parent) {
  for (int i = 0; i < 3; ++i) {
    NodeId up;
    EXPECT_EQ(walk_id(w, dir, "..", &up), 0);
    EXPECT_EQ(up, parent);
  }
}

TYPED_TEST(Namespace, RenameOntoNothingAFileAndAnEmptyDirectory) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const NodeId sub = w.mkdir(a, "sub").id;
  const NodeId f = w.mknod(a, "f").id;
  const NodeId g = w.mknod(b, "g").id;
  EXPECT_EQ(w.rename(a, "f", b, "g"), 0);
  EXPECT_EQ(w.peek(b, "g").id, f);
  EXPECT_EQ(w.fast(a, "f"), Outcome::kNegative);
  EXPECT_EQ(w.getattr(g).nlink, 0U);
  const NodeId empty = w.mkdir(b, "empty").id;
  EXPECT_EQ(w.rename(a, "sub", b, "empty"), 0);
  EXPECT_EQ(w.peek(b, "empty").id, sub);
  EXPECT_EQ(w.getattr(empty).nlink, 0U);
  expect_parent(w, sub, b);
  EXPECT_GT(w.count(Counter::kWalkHit), 0U);
  EXPECT_EQ(w.rename(b, "empty", b, "g"), ENOTDIR);
  EXPECT_EQ(w.rename(b, "g", b, "empty"), EISDIR);
  (void)w.mknod(sub, "x");
  (void)w.mkdir(a, "dir");
  EXPECT_EQ(w.rename(a, "dir", b, "empty"), ENOTEMPTY);
  EXPECT_EQ(w.rename(kRoot, "b", sub, "loop"), EINVAL);
  EXPECT_EQ(w.rename(sub, "x", kRoot, "b"), ENOTEMPTY);  // What it is in.
  EXPECT_EQ(w.rename(kRoot, "missing", kRoot, "b"), ENOENT);
  EXPECT_EQ(w.rename(a, "dir", b, "g", RenameMode::kNoReplace), EEXIST);
  EXPECT_EQ(w.rename(a, "dir", b, "free", RenameMode::kNoReplace), 0);
  EXPECT_EQ(w.rename(b, "g", b, "g"), 0);
  EXPECT_EQ(w.peek(b, "g").id, f);
  EXPECT_EQ(w.peek(b, "empty").id, sub);
  expect_parent(w, sub, b);
  expect_parent(w, b, kRoot);
}

TYPED_TEST(Namespace, ExchangeOfADirectoryAndAFile) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const NodeId dir = w.mkdir(a, "x").id;
  const NodeId file = w.mknod(b, "y").id;
  expect_parent(w, dir, a);
  EXPECT_EQ(w.rename(a, "x", b, "y", RenameMode::kExchange), 0);
  EXPECT_EQ(w.peek(a, "x").id, file);
  EXPECT_EQ(w.peek(b, "y").id, dir);
  expect_parent(w, dir, b);
  EXPECT_EQ(w.rename(a, "x", b, "y", RenameMode::kExchange), 0);  // The victim is the directory.
  expect_parent(w, dir, a);
  EXPECT_EQ(w.peek(a, "x").id, dir);
  EXPECT_EQ(w.rename(a, "x", b, "no", RenameMode::kExchange), ENOENT);
  EXPECT_EQ(w.rename(kRoot, "a", a, "x", RenameMode::kExchange), EINVAL);
  const NodeId other = w.mkdir(b, "z").id;
  EXPECT_EQ(w.rename(a, "x", b, "z", RenameMode::kExchange), 0);
  expect_parent(w, dir, b);
  expect_parent(w, other, a);
}

TYPED_TEST(Namespace, RenameOntoAHardLinkOfItself) {
  World<TypeParam> w;
  const NodeId f = w.mknod(kRoot, "f").id;
  ASSERT_TRUE(w.cache->link(*w.me, f, kRoot, name_of("g")).ok());
  EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g"), 0);
  EXPECT_EQ(w.peek(kRoot, "f").id, f);
  EXPECT_EQ(w.peek(kRoot, "g").id, f);
  EXPECT_EQ(w.getattr(f).nlink, 2U);
}

// The new name of a directory cannot be cached, because there is no slot for it. Its parent is
// nevertheless the new one.
TYPED_TEST(Namespace, AMovedDirectoryKnowsItsParentWithoutADentry) {
  CacheOptions options = small_cache();
  options.slots_max = 12;
  World<TypeParam> w(options);
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const NodeId sub = w.mkdir(a, "sub").id;
  const NodeId file = w.mknod(kRoot, "f").id;
  expect_parent(w, sub, a);
  w.cache->invalidate_name(*w.me, a, name_of("sub"));
  for (int i = 0; i < 12; ++i) {  // Names of held inodes fill all dentry slots.
    ASSERT_TRUE(w.cache->link(*w.me, file, kRoot, name_of("l" + std::to_string(i))).ok());
  }
  EXPECT_EQ(w.cache->stats().dentries, 12U);
  EXPECT_EQ(w.rename(a, "sub", b, "sub"), 0);
  expect_parent(w, sub, b);
}

TYPED_TEST(Namespace, TmpfileGetsAName) {
  World<TypeParam> w;
  const auto made = w.cache->tmpfile(*w.me, kRoot, 0600, O_RDWR, kSuper);
  ASSERT_TRUE(made.ok());
  const NodeId id = made->entry.id;
  EXPECT_EQ(w.getattr(id).nlink, 0U);
  EXPECT_EQ(w.peek_error(kRoot, "t"), ENOENT);
  ASSERT_TRUE(w.cache->link(*w.me, id, kRoot, name_of("t")).ok());
  EXPECT_EQ(w.peek(kRoot, "t").id, id);
  EXPECT_EQ(w.getattr(id).nlink, 1U);
}

TYPED_TEST(Namespace, OpenWithTruncationIsAChange) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  EXPECT_EQ(w.truncate(id, 100), 0);
  EXPECT_EQ(w.getattr(id).size, 100U);
  EXPECT_EQ(code(w.cache->create(*w.me, kRoot, name_of("f"), 0600, O_RDWR | O_TRUNC, kSuper)), 0);
  EXPECT_EQ(w.getattr(id).size, 0U);
  EXPECT_EQ(w.truncate(id, 7), 0);
  EXPECT_EQ(code(w.cache->open(*w.me, id, O_RDWR | O_TRUNC)), 0);
  EXPECT_EQ(w.getattr(id).size, 0U);
}

// --- At random.

template <class Policy>
class Differential {
 public:
  Differential(World<Policy>& world, std::uint64_t seed) : w_(world), random_(seed) {
    dirs_.push_back(kRoot);
    for (const char* name : {"d0", "d1", "d2"}) dirs_.push_back(w_.mkdir(kRoot, name).id);
    dirs_.push_back(w_.mkdir(dirs_[1], "deep").id);
    for (const NodeId dir : dirs_) pins_.push_back(w_.cache->pin(dir).value());
  }

  void step() {
    const NodeId dir = dirs_[pick(dirs_.size())];
    const NodeId to = dirs_[pick(dirs_.size())];
    const std::string name = any_name();
    const std::string new_name = any_name();
    static constexpr RenameMode kModes[] = {RenameMode::kReplace, RenameMode::kReplace,
                                            RenameMode::kNoReplace, RenameMode::kExchange};
    switch (pick(14)) {
      case 0:
        done(w_.cache->mkdir(*w_.me, dir, name_of(name), 0755, kSuper));
        break;
      case 1:
        done(w_.cache->mknod(*w_.me, dir, name_of(name), 0644, 0, kSuper));
        break;
      case 2:
        done(w_.cache->symlink(*w_.me, dir, name_of(name), "d0", kSuper));
        break;
      case 3:
        (void)w_.unlink(dir, name);
        break;
      case 4:
        (void)w_.rmdir(dir, name);
        break;
      case 5:
      case 6:
        (void)w_.rename(dir, name, to, new_name, kModes[pick(4)]);
        break;
      case 7:
        if (const auto found = w_.cache->lookup(*w_.me, dir, name_of(name))) {
          done(w_.cache->link(*w_.me, found->id, to, name_of(new_name)));
          done(found);
        }
        break;
      case 8:
        if (const auto found = w_.cache->lookup(*w_.me, dir, name_of(name))) {
          const int changed = w_.chmod(found->id, 0400 + static_cast<std::uint32_t>(pick(0377)));
          EXPECT_EQ(changed, S_ISLNK(found->attr.mode) ? EOPNOTSUPP : 0);
          done(found);
        }
        break;
      case 9:
        if (const auto opened =
                w_.cache->create(*w_.me, dir, name_of(name), 0644, O_RDWR, kSuper)) {
          w_.forget(opened->entry.id);
        }
        break;
      case 10:
        w_.cache->invalidate_name(*w_.me, dir, name_of(name));
        break;
      case 11:
        if (pick(10) == 0) w_.cache->drop_unused(*w_.me);
        break;
      case 12:
        (void)w_.list(dir);
        known_ += w_.knows_names(dir) ? 1 : 0;
        break;
      default:
        (void)w_.peek_error(dir, name);
    }
  }

  int known() const { return known_; }

  void compare() {
    for (std::size_t d = 0; d < dirs_.size(); ++d) {
      const Attr truth = *w_.memory.getattr(pins_[d].node(), nullptr);
      EXPECT_EQ(w_.getattr(dirs_[d]), truth);
      for (int i = 0; i < kNames; ++i) {
        const std::string name = this->name(i);
        const auto behind = w_.behind(pins_[d].node(), name);
        const auto seen = w_.cache->peek(*w_.me, dirs_[d], name_of(name));
        ASSERT_EQ(seen.ok(), behind.has_value()) << name << " in " << d << ": " << code(seen);
        if (!seen) continue;
        ASSERT_EQ(seen->attr, behind->attr) << name;
        const auto walked = w_.cache->walk(*w_.me, dirs_[d], name, kSuper, false);
        ASSERT_TRUE(walked.ok()) << code(walked);
        ASSERT_EQ(walked->id, seen->id);
        ASSERT_EQ(walked->attr, behind->attr);
      }
      if (truth.nlink == 0) continue;
      const auto up = w_.cache->walk(*w_.me, dirs_[d], "..", kSuper, true);
      const auto parent = w_.memory.lookup_parent(pins_[d].node());
      ASSERT_TRUE(up.ok() && parent.ok());
      w_.memory.release(parent->node);
      ASSERT_EQ(up->attr, parent->attr) << "parent of " << d;
    }
  }

 private:
  static constexpr int kNames = 8;
  static std::string name(int i) {
    if (i < 3) return "d" + std::to_string(i);
    if (i == 3) return "deep";
    return std::string(i % 2 == 0 ? 3 : 60, static_cast<char>('p' + i));
  }
  std::string any_name() { return name(static_cast<int>(pick(kNames))); }
  std::size_t pick(std::size_t below) { return random_() % below; }
  void done(const Result<Entry>& entry) {
    if (entry) w_.forget(entry->id);
  }

  World<Policy>& w_;
  int known_ = 0;
  std::mt19937_64 random_;
  std::vector<NodeId> dirs_;
  std::vector<Cache::Pin> pins_;  // They stay reachable whatever becomes of their names.
};

template <class Policy>
void run_differential(CacheOptions options, int steps) {
  const char* given = std::getenv("EVENFS_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  SCOPED_TRACE("EVENFS_SEED=" + std::to_string(seed));
  MemoryStore::Options behind;
  behind.reuse_inode_numbers = true;
  World<Policy> w(options, behind);
  {
    Differential<Policy> differential(w, seed);
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      differential.step();
      if (i % 7 == 0) differential.compare();
    }
    EXPECT_GT(differential.known(), 20);
  }
  EXPECT_GT(w.count(Counter::kLookupHit), 100U);
  EXPECT_GT(w.count(Counter::kLookupNegative), 100U);
  EXPECT_GT(w.count(Counter::kLookupComplete), 20U);
  EXPECT_GT(w.count(Counter::kWalkHit), 100U);
  EXPECT_GT(w.count(Counter::kInodeReclaimed), 20U);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 0U);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 4U);
}

TYPED_TEST(Namespace, RandomChangesAgreeWithTheStore) {
  run_differential<TypeParam>(small_cache(), 3000);
}

TYPED_TEST(Namespace, RandomChangesInATinyArena) {
  CacheOptions options = small_cache();
  options.slots_max = 40;
  run_differential<TypeParam>(options, 3000);
}

}  // namespace
}  // namespace evenfs::test
