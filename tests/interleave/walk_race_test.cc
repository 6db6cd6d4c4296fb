// SPDX-License-Identifier: LGPL-2.1-or-later
// A lock-free walk that is held half way while what it has already passed changes. Its answer is for
// the whole path at one instant, so what it passed counts until the end. Lockless only, as in
// lookup_race_test.cc.
#include "tests/interleave/steer.h"
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using Lockless = World<LocklessPolicy>;
constexpr Cred kOther{.uid = 11, .gid = 21};

struct Walked {
  Result<Entry> seen = Errno(EIO);
  std::uint64_t locked = 0;  // Walks that left the lock-free path.
};

// Walks while `meanwhile` happens as the walk reaches `point` for the nth time.
template <class Meanwhile>
Walked walk_while(Lockless& w, NodeId start, const char* path, const Cred& cred, const char* point,
                  int nth, Meanwhile meanwhile) {
  Walked walked;
  Steered reader(w.registry,
                 [&](Worker& me) { walked.seen = w.cache->walk(me, start, path, cred, true); });
  EXPECT_TRUE(reader.run_to(point, nth)) << point << " " << nth;
  meanwhile();
  reader.finish();
  walked.locked = w.count(Counter::kWalkLocked);
  return walked;
}

// Nobody sees what was written below a directory after it was closed.
TEST(WalkRace, ADirectoryThatCloses) {
  struct Stop {
    const char* point;
    int nth;
  };
  // Standing on the directory; having found the file; on the file; before the validation.
  for (const Stop stop : {Stop{"walk.stepped", 2}, Stop{"walk.found", 2}, Stop{"walk.stepped", 3},
                          Stop{"walk.copied", 1}}) {
    Lockless w;
    const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
    const NodeId file = w.mknod(dir, "f", 0111).id;
    const Walked walked = walk_while(w, kRoot, "d/f", kOther, stop.point, stop.nth, [&] {
      EXPECT_EQ(w.chmod(dir, 0700), 0);
      EXPECT_EQ(w.chmod(file, 0222), 0);  // The secret.
      (void)w.getattr(file);
    });
    EXPECT_EQ(code(walked.seen), EACCES) << stop.point;
    EXPECT_EQ(walked.locked, 0U) << stop.point;
  }
}

// The file alone is as it was: only the directory on the way tells.
TEST(WalkRace, ADirectoryThatClosesAboveAFileThatRests) {
  Lockless w;
  const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
  w.forget(w.mknod(dir, "f", 0111).id);
  const Walked walked = walk_while(w, kRoot, "d/f", kOther, "walk.copied", 1,
                                   [&] { EXPECT_EQ(w.chmod(dir, 0700), 0); });
  EXPECT_EQ(code(walked.seen), EACCES);
}

// An error is an answer: it has to be true too.
TEST(WalkRace, ARefusalOfADirectoryThatOpens) {
  Lockless w;
  const NodeId dir = w.mkdir(kRoot, "d", 0700).id;
  w.forget(w.mknod(dir, "f", 0111).id);
  const Walked walked = walk_while(w, kRoot, "d/f", kOther, "walk.stepped", 2,
                                   [&] { EXPECT_EQ(w.chmod(dir, 0755), 0); });
  EXPECT_EQ(code(walked.seen), 0);
}

TEST(WalkRace, AFileThatBecomesADirectory) {
  Lockless w;
  w.forget(w.mknod(kRoot, "d").id);
  const Walked walked = walk_while(w, kRoot, "d/f", kSuper, "walk.stepped", 2, [&] {
    EXPECT_EQ(w.unlink(kRoot, "d"), 0);
    w.forget(w.mknod(w.mkdir(kRoot, "d").id, "f", 0640).id);
  });
  ASSERT_EQ(code(walked.seen), 0);  // Not ENOTDIR, which was only true before the file was there.
  EXPECT_EQ(walked.seen->attr.mode & 0777U, 0640U);
}

TEST(WalkRace, ANegativeDentryBelowADirectoryThatMoves) {
  Lockless w;
  const NodeId old = w.mkdir(kRoot, "d").id;
  // That it is empty is known as well, and then no dentry is made.
  w.cache->invalidate_name(*w.me, old, name_of("f"));
  EXPECT_EQ(w.peek_error(old, "f"), ENOENT);
  const Walked walked = walk_while(w, kRoot, "d/f", kSuper, "walk.found", 2, [&] {
    const NodeId fresh = w.mkdir(kRoot, "fresh").id;
    w.forget(w.mknod(fresh, "f", 0640).id);
    EXPECT_EQ(w.rename(kRoot, "fresh", kRoot, "d", RenameMode::kExchange), 0);
  });
  ASSERT_EQ(code(walked.seen), 0);  // d/f was there at every instant from the exchange on.
  EXPECT_EQ(walked.seen->attr.mode & 0777U, 0640U);
}

// Others removed a name on the way, and told us: only its dentry dies.
TEST(WalkRace, ANameOnTheWayThatIsInvalidated) {
  Lockless w;
  const NodeId dir = w.mkdir(kRoot, "d").id;
  w.forget(w.mknod(dir, "f").id);
  const Walked walked = walk_while(w, kRoot, "d/f", kSuper, "walk.copied", 1, [&] {
    EXPECT_EQ(code(w.memory.rename(w.root_node(), name_of("d"), w.root_node(), name_of("e"),
                                   RenameMode::kReplace, Cred{})),
              0);
    w.cache->invalidate_name(*w.me, kRoot, name_of("d"));
  });
  EXPECT_EQ(code(walked.seen), ENOENT);
}

TEST(WalkRace, AnExchangeOfAComponent) {
  for (const int nth : {1, 2}) {
    Lockless w;
    const NodeId a = w.mkdir(kRoot, "a").id;
    const NodeId b = w.mkdir(kRoot, "b").id;
    w.forget(w.mknod(a, "t", 0101).id);
    w.forget(w.mknod(b, "t", 0102).id);
    const Walked walked = walk_while(w, kRoot, "a/t", kSuper, "walk.found", nth, [&] {
      EXPECT_EQ(w.rename(kRoot, "a", kRoot, "b", RenameMode::kExchange), 0);
    });
    ASSERT_EQ(code(walked.seen), 0);
    EXPECT_EQ(walked.seen->attr.mode & 0777U, 0102U) << nth;
  }
}

// ".." is where the directory is, not where it was.
TEST(WalkRace, DotDotOfADirectoryThatMoves) {
  for (const int nth : {1, 2}) {  // On the directory; on its old parent.
    Lockless w;
    const NodeId a = w.mkdir(kRoot, "a").id;
    const NodeId b = w.mkdir(kRoot, "b").id;
    const NodeId d = w.mkdir(a, "d").id;
    w.forget(w.mknod(a, "who", 0101).id);
    w.forget(w.mknod(b, "who", 0102).id);
    const Walked walked = walk_while(w, d, "../who", kSuper, "walk.stepped", nth,
                                     [&] { EXPECT_EQ(w.rename(a, "d", b, "d"), 0); });
    ASSERT_EQ(code(walked.seen), 0);
    EXPECT_EQ(walked.seen->attr.mode & 0777U, 0102U) << nth;
  }
}

// The other side: the rename has happened, and the parent link is not yet set.
TEST(WalkRace, DotDotWhileTheRenameIsUnderWay) {
  for (const char* point : {"rename.killed", "rename.done"}) {
    Lockless w;
    const NodeId a = w.mkdir(kRoot, "a").id;
    const NodeId b = w.mkdir(kRoot, "b").id;
    const NodeId d = w.mkdir(a, "d").id;
    Steered mover(w.registry, [&](Worker& me) {
      EXPECT_EQ(
          code(w.cache->rename(me, a, name_of("d"), b, name_of("d"), RenameMode::kReplace, Cred{})),
          0);
    });
    ASSERT_TRUE(mover.run_to(point)) << point;
    const auto up = w.cache->walk(*w.me, d, "..", kSuper, true);
    ASSERT_EQ(code(up), 0);
    EXPECT_EQ(up->id, std::string_view(point) == "rename.killed" ? a : b);
    EXPECT_EQ(w.count(Counter::kWalkHit), 0U) << point;  // Only the store could know.
    mover.finish();
    for (const NodeId id : {a, b, d}) (void)w.getattr(id);  // So that the cache alone answers.
    const auto after = w.cache->walk(*w.me, d, "..", kSuper, true);
    ASSERT_EQ(code(after), 0);
    EXPECT_EQ(after->id, b);
    EXPECT_EQ(w.count(Counter::kWalkHit), 1U);
  }
}

// The new name is not cached, since others have changed the directory meanwhile; the parent is new all
// the same.
TEST(WalkRace, DotDotAfterARenameThatLostItsLease) {
  Lockless w;
  const NodeId a = w.mkdir(kRoot, "a").id;
  const NodeId b = w.mkdir(kRoot, "b").id;
  const NodeId d = w.mkdir(a, "d").id;
  Steered mover(w.registry, [&](Worker& me) {
    EXPECT_EQ(
        code(w.cache->rename(me, a, name_of("d"), b, name_of("d"), RenameMode::kReplace, Cred{})),
        0);
  });
  ASSERT_TRUE(mover.run_to("rename.done"));
  w.cache->invalidate_name(*w.me, b, name_of("x"));
  mover.finish();
  EXPECT_EQ(w.fast(b, "d"), Outcome::kMiss);
  for (const NodeId id : {a, b, d}) (void)w.getattr(id);
  const auto up = w.cache->walk(*w.me, d, "..", kSuper, true);
  ASSERT_EQ(code(up), 0);
  EXPECT_EQ(up->id, b);
  EXPECT_EQ(w.count(Counter::kWalkHit), 1U);
}

}  // namespace
}  // namespace evenfs::test
