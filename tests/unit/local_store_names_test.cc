// SPDX-License-Identifier: LGPL-2.1-or-later
// The local store where objects are reached by name: pins, and names that change under threads.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "core/store/local_store.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

class LocalNames : public ::testing::Test {
 protected:
  LocalNames() {
    LocalStore::Options options;
    options.use_handles = false;
    options.cached_descriptors = 1;  // So that descriptors come and go.
    store_ = LocalStore::open(dir_.path(), options).value();
    user_ = std::make_unique<StoreUser>(*store_);
  }
  const Node& root() const { return user_->root.node(); }
  std::uint64_t pinned() const { return store_->stats().pinned_descriptors; }

  TempDir dir_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<StoreUser> user_;
};

TEST_F(LocalNames, UnlinkedObjectsArePinnedWhileTheyAreKnown) {
  const std::uint64_t before = pinned();
  {
    const Held f = user_->file(user_->root, "f", "gone");
    const Held d = user_->mkdir(user_->root, "d");
    ASSERT_TRUE(store_->unlink(root(), name_of("f")).ok());
    ASSERT_TRUE(store_->rmdir(root(), name_of("d")).ok());
    EXPECT_EQ(pinned(), before + 2);
    EXPECT_EQ(user_->content(f), "gone");
    EXPECT_EQ(user_->attr(d).nlink, 0U);
  }
  EXPECT_EQ(pinned(), before);
}

TEST_F(LocalNames, ReplacedObjectsArePinnedAndUnknownOnesAreNot) {
  const std::uint64_t before = pinned();
  const Held a = user_->file(user_->root, "a", "a");
  const Held b = user_->file(user_->root, "b", "b");
  user_->file(user_->root, "c", "c");
  ASSERT_TRUE(
      store_->rename(root(), name_of("a"), root(), name_of("b"), RenameMode::kReplace, Cred{})
          .ok());
  ASSERT_TRUE(store_->unlink(root(), name_of("c")).ok());
  EXPECT_EQ(pinned(), before + 1);
  EXPECT_EQ(user_->content(b), "b");
  EXPECT_EQ(user_->content(a), "a");
}

TEST_F(LocalNames, APinEndsWhenAnotherNameIsFound) {
  const std::uint64_t before = pinned();
  const Held f = user_->file(user_->root, "a", "x");
  ASSERT_TRUE(store_->link(f.node(), root(), name_of("b")).ok());
  ASSERT_TRUE(store_->unlink(root(), name_of("a")).ok());
  EXPECT_EQ(pinned(), before + 1);
  const Held again = user_->look(user_->root, "b");
  EXPECT_EQ(pinned(), before);
  EXPECT_EQ(user_->content(f), "x");
}

TEST_F(LocalNames, AFreedNodeLeavesNoDescriptorThatMeansAnother) {
  for (int i = 0; i < 200; ++i) {
    const std::string name = "n" + std::to_string(i);
    const Held dir = user_->mkdir(user_->root, name);
    const Held file = user_->file(dir, name);
    EXPECT_TRUE(std::filesystem::exists(dir_ / (name + "/" + name)));
    EXPECT_EQ(user_->attr(dir).ino, dir.attr().ino);
  }
}

TEST_F(LocalNames, DirectoriesTurnedInsideOutByOthersMakeNoCircle) {
  namespace fs = std::filesystem;
  fs::create_directories(dir_ / "a/b");
  fs::create_directory(dir_ / "z");
  const std::uint64_t before = store_->stats().node_bytes;
  {
    const Held a = user_->look(user_->root, "a");
    const Held b = user_->look(a, "b");
    EXPECT_EQ(user_->look_error(b, "x"), ENOENT);  // b's descriptor is in the cache now.
    fs::rename(dir_ / "a/b", dir_ / "b");
    fs::rename(dir_ / "a", dir_ / "b/a");
    const Held a_again = user_->look(b, "a");
    EXPECT_EQ(a_again.identity(), a.identity());
    EXPECT_EQ(user_->look_error(user_->look(user_->root, "z"), "x"), ENOENT);  // Now z's is.
    EXPECT_EQ(code(store_->getattr(a.node(), nullptr)), 0);
    EXPECT_EQ(code(store_->getattr(b.node(), nullptr)), ESTALE);
    EXPECT_EQ(user_->look(user_->root, "b").identity(), b.identity());
    EXPECT_EQ(code(store_->getattr(b.node(), nullptr)), 0);
  }
  EXPECT_EQ(store_->stats().node_bytes, before);
}

TEST_F(LocalNames, NodesOfOneObjectAreOne) {
  const Held a = user_->file(user_->root, "a");
  ASSERT_TRUE(store_->link(a.node(), root(), name_of("b")).ok());
  const Held b = user_->look(user_->root, "b");
  EXPECT_EQ(a.node().words[0], b.node().words[0]);
  EXPECT_EQ(a.node().words[1], b.node().words[1]);
}

// Each file's content is its own number, so an answer about another file is seen. Each thread
// renames its own files between shared directories, which are renamed too.
TEST_F(LocalNames, WhileNamesChangeAFileIsAlwaysItself) {
  constexpr unsigned kSeed = 42;
  constexpr unsigned kThreads = 4;
  constexpr int kRounds = 400;
  SCOPED_TRACE(kSeed);
  std::vector<Held> dirs;
  for (int d = 0; d < 3; ++d) dirs.push_back(user_->mkdir(user_->root, "d" + std::to_string(d)));
  std::atomic<int> wrong{0};
  std::atomic<int> renamed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(kSeed + t);
      const std::string content(t + 1, 'x');
      const std::string name = "f" + std::to_string(t);
      std::size_t at = t % dirs.size();
      const Held mine = user_->file(dirs[at], name, content);
      for (int i = 0; i < kRounds; ++i) {
        const std::size_t to = random() % dirs.size();
        if (store_
                ->rename(dirs[at].node(), name_of(name), dirs[to].node(), name_of(name),
                         RenameMode::kReplace, Cred{})
                .ok()) {
          at = to;
          renamed.fetch_add(1);
        }
        const Result<Attr> attr = store_->getattr(mine.node(), nullptr);
        const Result<Found> found = store_->lookup(dirs[at].node(), name_of(name));
        if (!attr || attr->size != t + 1 || !found || found->identity != mine.identity()) {
          wrong.fetch_add(1);
        }
        if (found) store_->release(found->node);
        const std::string dir_name = "d" + std::to_string(random() % 3);
        const std::string moved = dir_name + "-moved";  // Back by whoever finds it there.
        (void)store_->rename(root(), name_of(dir_name), root(), name_of(moved),
                             RenameMode::kNoReplace, Cred{});
        (void)store_->rename(root(), name_of(moved), root(), name_of(dir_name),
                             RenameMode::kNoReplace, Cred{});
      }
      if (!store_->unlink(dirs[at].node(), name_of(name)).ok()) wrong.fetch_add(1);
      if (user_->attr(mine).nlink != 0) wrong.fetch_add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(renamed.load(), static_cast<int>(kThreads) * kRounds);
}

TEST_F(LocalNames, ThreadsThatFindAndReleaseTheSameObjectsLeaveNothing) {
  const std::uint64_t before = store_->stats().node_bytes;
  std::filesystem::create_directories(dir_ / "a/b/c");
  std::atomic<int> found{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const Held a = user_->look(user_->root, "a");
        const Held b = user_->look(a, "b");
        const Held c = user_->look(b, "c");
        if (store_->getattr(c.node(), nullptr).ok()) found.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found.load(), 2000);
  EXPECT_EQ(store_->stats().node_bytes, before);
}

// While it is looked for, a name moves to another directory and back: it is there or it is not.
TEST_F(LocalNames, AFileThatMovesBetweenDirectoriesIsThereOrNot) {
  constexpr int kLooks = 100000;
  const Held a = user_->mkdir(user_->root, "a");
  user_->mkdir(user_->root, "b");
  user_->file(a, "f");
  std::atomic<bool> stop{false};
  std::thread mover([&] {
    while (!stop.load()) {
      std::filesystem::rename(dir_ / "a/f", dir_ / "b/f");
      std::filesystem::rename(dir_ / "b/f", dir_ / "a/f");
    }
  });
  int strange = 0;
  for (int i = 0; i < kLooks && strange == 0; ++i) {
    const int error = user_->look_error(a, "f");
    if (error != 0 && error != ENOENT) strange = error;
  }
  stop.store(true);
  mover.join();
  EXPECT_EQ(strange, 0);
}

}  // namespace
}  // namespace evenfs::test
