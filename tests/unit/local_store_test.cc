// SPDX-License-Identifier: LGPL-2.1-or-later
// What is the local store's own, with file handles and with names alone: staying below the root,
// never taking one object for another, and few descriptors. The rest is in store_contract_test.cc.
#include "core/store/local_store.h"

#include <sys/resource.h>
#include <sys/xattr.h>

#include <array>
#include <atomic>
#include <fstream>
#include <thread>

#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
  return count - 1;  // The iterator's own.
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
}

// The parameter: use file handles.
class LocalStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { open(32); }
  void open(std::size_t cached_descriptors) {
    user_.reset();
    store_.reset();
    LocalStore::Options options;
    options.use_handles = GetParam();
    options.cached_descriptors = cached_descriptors;
    Result<std::unique_ptr<LocalStore>> opened = LocalStore::open(dir_.path(), options);
    ASSERT_TRUE(opened.ok());
    store_ = std::move(opened).value();
    user_ = std::make_unique<StoreUser>(*store_);
    if (GetParam() && !store_->caps().has_handles) {
      GTEST_SKIP() << "file handles are refused here (file system, or not root)";
    }
  }
  int getattr_error(const Held& held) { return code(store_->getattr(held.node(), nullptr)); }

  TempDir outside_;
  TempDir dir_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<StoreUser> user_;
};

INSTANTIATE_TEST_SUITE_P(Nodes, LocalStoreTest, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "Handles" : "Names"; });

TEST_P(LocalStoreTest, WhatIsHeldOutlivesItsName) {
  for (const std::string how : {"file", "directory", "link", "file at once", "directory at once"}) {
    const Held& root = user_->root;
    const std::string type = how.substr(0, how.find(' '));
    if (type == "file") write_file(dir_ / "x", "content");
    if (type == "directory") fs::create_directory(dir_ / "x");
    if (type == "link") fs::create_symlink("target", dir_ / "x");
    Result<HeldFound> found = store_->lookup_and_hold(root.node(), name_of("x"));
    ASSERT_TRUE(found.ok());
    const Held x(*store_, found->found);
    {
      std::unique_ptr<File> hold = std::move(found->hold);
      if (how == type) {
        Result<std::unique_ptr<File>> later = store_->hold(x.node());
        ASSERT_TRUE(later.ok());
        hold = std::move(*later);
      }
      EXPECT_EQ(hold != nullptr, GetParam());  // Without handles a descriptor is pinned instead.
      const Status gone = type == "directory" ? store_->rmdir(root.node(), name_of("x"))
                                              : store_->unlink(root.node(), name_of("x"));
      ASSERT_TRUE(gone.ok());
      const Result<Attr> by_node = store_->getattr(x.node(), nullptr);
      ASSERT_TRUE(by_node.ok()) << type << code(by_node);
      EXPECT_EQ(by_node->nlink, 0U);
      const Result<Attr> by_hold = store_->getattr(x.node(), hold.get());
      ASSERT_TRUE(by_hold.ok());
      EXPECT_EQ(by_hold->ino, x.attr().ino);
    }
    if (type == "file") {
      EXPECT_EQ(getattr_error(x), GetParam() ? ESTALE : 0);
    }
  }
}

TEST_P(LocalStoreTest, CapsTellHowObjectsAreReached) {
  EXPECT_EQ(store_->caps().has_handles, GetParam());
  EXPECT_STREQ(store_->caps().name, "local");
}

TEST_P(LocalStoreTest, OpeningSomethingElseThanADirectoryFails) {
  write_file(dir_ / "f", "");
  EXPECT_EQ(code(LocalStore::open(dir_ / "f", {})), ENOTDIR);
  EXPECT_EQ(code(LocalStore::open(dir_ / "nothing", {})), ENOENT);
}

TEST_P(LocalStoreTest, SymbolicLinksDoNotLeadOut) {
  write_file(outside_ / "secret", "secret");
  fs::create_symlink(outside_.path(), dir_ / "absolute");
  fs::create_symlink("../..", dir_ / "up");
  fs::create_symlink("/proc/self/root", dir_ / "magic");
  for (const char* name : {"absolute", "up", "magic"}) {
    const Held link = user_->look(user_->root, name);
    EXPECT_TRUE(S_ISLNK(link.attr().mode)) << name;
    EXPECT_EQ(user_->look_error(link, "secret"), ENOTDIR) << name;
    EXPECT_EQ(code(store_->opendir(link.node(), 0)), ENOTDIR) << name;
    EXPECT_EQ(code(store_->mkdir(link.node(), name_of("x"), 0700, {})), ENOTDIR) << name;
    EXPECT_EQ(code(store_->create(user_->root.node(), name_of(name), 0600, O_RDWR, {})), ELOOP);
  }
}

TEST_P(LocalStoreTest, ADirectoryReplacedByALinkIsNeverFollowed) {
  for (const std::size_t cached : {std::size_t{32}, std::size_t{0}}) {
    open(cached);
    fs::remove_all(dir_ / "d");
    fs::remove_all(dir_ / "moved");
    write_file(outside_ / "secret", "secret");
    fs::create_directory(dir_ / "d");
    write_file(dir_ / "d/own", "own");
    const Held d = user_->look(user_->root, "d");
    const Held own = user_->look(d, "own");
    fs::rename(dir_ / "d", dir_ / "moved");
    fs::create_directory_symlink(outside_.path(), dir_ / "d");
    const int error = user_->look_error(d, "secret");
    EXPECT_TRUE(error == ENOENT || error == ESTALE) << error;
    const int own_error = getattr_error(own);
    EXPECT_TRUE(own_error == 0 || own_error == ESTALE) << own_error;
    if (GetParam()) {
      EXPECT_EQ(user_->content(own), "own");
    }
  }
}

TEST_P(LocalStoreTest, LookupsWhileADirectoryAndALinkChangePlacesStayInside) {
  open(0);
  write_file(outside_ / "f", "outside");
  fs::create_directory(dir_ / "d");
  write_file(dir_ / "d/f", "in");
  fs::create_directory_symlink(outside_.path(), dir_ / "link");
  struct stat secret {};
  ASSERT_EQ(::stat((outside_ / "f").c_str(), &secret), 0);
  std::atomic<bool> stop{false};
  std::atomic<int> swaps{0};
  std::thread swapper([&] {
    while (!stop.load()) {
      if (::renameat2(AT_FDCWD, (dir_ / "d").c_str(), AT_FDCWD, (dir_ / "link").c_str(),
                      RENAME_EXCHANGE) == 0) {
        swaps.fetch_add(1);
      }
    }
  });
  int inside = 0;
  for (int i = 0; i < 200000 && (i < 3000 || inside < 100 || swaps.load() < 100); ++i) {
    const Result<Found> d = store_->lookup(user_->root.node(), name_of("d"));
    if (!d) continue;
    const Result<Found> f = store_->lookup(d->node, name_of("f"));
    if (f) {
      ++inside;
      EXPECT_NE(f->attr.ino, secret.st_ino);
      EXPECT_EQ(f->attr.size, 2U);
      store_->release(f->node);
    } else {
      EXPECT_TRUE(code(f) == ENOTDIR || code(f) == ESTALE) << code(f);
    }
    store_->release(d->node);
  }
  stop.store(true);
  swapper.join();
  EXPECT_GT(inside, 0);
  EXPECT_GT(swaps.load(), 0);
}

TEST_P(LocalStoreTest, AReplacedFileIsStaleAndNeverTheOther) {
  write_file(dir_ / "f", "first");
  const Held first = user_->look(user_->root, "f");
  fs::remove(dir_ / "f");
  write_file(dir_ / "f", "second!");  // Often with the same inode number.
  EXPECT_EQ(getattr_error(first), ESTALE);
  EXPECT_EQ(code(store_->open(first.node(), O_RDONLY)), ESTALE);
  const Held second = user_->look(user_->root, "f");
  EXPECT_EQ(user_->content(second), "second!");
  EXPECT_NE(first.identity(), second.identity());
}

TEST_P(LocalStoreTest, AFileMovedByOthersIsItselfOrStaleUntilItIsFoundAgain) {
  write_file(dir_ / "f", "content");
  fs::create_directory(dir_ / "d");
  const Held file = user_->look(user_->root, "f");
  fs::rename(dir_ / "f", dir_ / "d/g");
  EXPECT_EQ(getattr_error(file), GetParam() ? 0 : ESTALE);
  const Held d = user_->look(user_->root, "d");
  const Held again = user_->look(d, "g");
  EXPECT_EQ(again.identity(), file.identity());
  EXPECT_EQ(user_->content(file), "content");
}

TEST_P(LocalStoreTest, TheParentOfADirectoryMovedOutIsNotTold) {
  fs::create_directories(dir_ / "a/b");
  const Held a = user_->look(user_->root, "a");
  const Held b = user_->look(a, "b");
  EXPECT_EQ(user_->look_error(b, "x"), ENOENT);
  fs::rename(dir_ / "a/b", outside_ / "b");
  EXPECT_EQ(code(store_->lookup_parent(b.node())), ESTALE);
}

TEST_P(LocalStoreTest, ManyLookupsLeaveFewDescriptors) {
  const std::size_t before = open_descriptors();
  constexpr int kDirs = 100;
  for (int d = 0; d < kDirs; ++d) {
    fs::create_directory(dir_ / std::to_string(d));
    for (int f = 0; f < 25; ++f) {
      write_file(dir_ / (std::to_string(d) + "/" + std::to_string(f)), "");
    }
  }
  std::atomic<std::size_t> most{0};
  std::vector<std::vector<Held>> held(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < held.size(); ++t) {
    threads.emplace_back([this, &held, &most, t] {
      for (int i = 0; i < 2500; ++i) {
        const Result<Found> d =
            store_->lookup(user_->root.node(), name_of(std::to_string(i % kDirs)));
        ASSERT_TRUE(d.ok());
        held[t].emplace_back(*store_, *d);
        const Result<Found> f =
            store_->lookup(held[t].back().node(), name_of(std::to_string(i / kDirs)));
        ASSERT_TRUE(f.ok()) << code(f);
        held[t].emplace_back(*store_, *f);
        ASSERT_TRUE(store_->getattr(f->node, nullptr).ok());
        if (i % 500 == 0) most.store(std::max(most.load(), open_descriptors()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(open_descriptors(), before + 36);
  EXPECT_LE(most.load(), before + 60);  // Those of four threads and of the counting included.
  EXPECT_LE(store_->stats().cached_descriptors, 32U);
  EXPECT_LE(store_->stats().pinned_descriptors, 3U);
  if (GetParam()) {
    EXPECT_EQ(store_->stats().node_bytes, 0U);
  }
}

TEST_P(LocalStoreTest, NodesGiveTheirMemoryBack) {
  const std::uint64_t before = store_->stats().node_bytes;
  {
    const Held d = user_->mkdir(user_->root, "d");
    const Held f = user_->file(d, "a name that is longer than a short string");
    if (!GetParam()) {
      EXPECT_GT(store_->stats().node_bytes, before);
    }
    ASSERT_TRUE(store_
                    ->rename(d.node(), name_of("a name that is longer than a short string"),
                             user_->root.node(), name_of("f"), RenameMode::kReplace, Cred{})
                    .ok());
  }
  EXPECT_EQ(store_->stats().node_bytes, before);
}

TEST_P(LocalStoreTest, PathsLongerThanTheKernelTakesAreReached) {
  open(0);
  std::vector<Held> chain;
  chain.push_back(user_->mkdir(user_->root, std::string(200, 'd')));
  for (int depth = 1; depth < 50; ++depth) {
    chain.push_back(user_->mkdir(chain.back(), std::string(200, 'd')));
  }
  const Held deep = user_->file(chain.back(), "f", "deep");
  EXPECT_EQ(user_->content(deep), "deep");
  EXPECT_EQ(user_->take(store_->lookup_parent(chain.back().node())).identity(),
            chain[chain.size() - 2].identity());
}

TEST_P(LocalStoreTest, ADirectoryThatIsAskedForIsNotOpenedAgainForItsNames) {
  open(4);
  const Held dir = user_->mkdir(user_->root, "d");
  ASSERT_TRUE(store_->getattr(dir.node(), nullptr).ok());
  EXPECT_EQ(store_->stats().cached_descriptors, GetParam() ? 1U : 0U);
  EXPECT_EQ(user_->look_error(dir, "x"), ENOENT);
  EXPECT_EQ(store_->stats().cached_descriptors, 1U);
}

// Takes all descriptors that the process may have, until it goes.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &old_), 0);
    struct rlimit low = old_;
    low.rlim_cur = 256;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int fd = 0; fd >= 0;) {
      fd = ::open("/", O_PATH | O_CLOEXEC);
      if (fd >= 0) fill_.emplace_back(fd);
    }
    EXPECT_EQ(errno, EMFILE);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &old_), 0); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  struct rlimit old_ {};
  std::vector<UniqueFd> fill_;
};

TEST_P(LocalStoreTest, AFileThatIsOpenIsNotOpenedOnceMore) {
  open(0);
  const Held file = user_->file(user_->root, "f");
  if (GetParam() &&
      (store_->caps().may_be_slow || local::kind_of(file.node()) != local::NodeKind::kInline)) {
    GTEST_SKIP() << "open files are not listed on a file system like that of " << dir_.path();
  }
  const Held closed = user_->file(user_->root, "closed");
  std::unique_ptr<File> open_file = store_->open(file.node(), O_RDONLY).value();
  const int without = GetParam() ? 0 : EMFILE;
  SetAttr change;
  change.mode = 0640;
  const auto value = std::as_bytes(std::span("value", 5));
  {
    const NoDescriptors none;
    EXPECT_EQ(getattr_error(file), without);
    EXPECT_EQ(code(store_->setattr(file.node(), change, nullptr)), without);
    EXPECT_EQ(code(store_->setxattr(file.node(), "user.a", value, 0)), without);
    std::array<std::byte, 64> bytes;
    EXPECT_EQ(code(store_->getxattr(file.node(), "user.a", bytes)), without);
    std::array<char, 1024> names;
    EXPECT_EQ(code(store_->listxattr(file.node(), names)), without);
    EXPECT_EQ(code(store_->removexattr(file.node(), "user.a")), without);
    EXPECT_EQ(getattr_error(closed), EMFILE);
    open_file.reset();
    EXPECT_EQ(getattr_error(file), 0);  // By the descriptor that has become free.
  }
  EXPECT_EQ(store_->getattr(file.node(), nullptr)->mode & 07777U, GetParam() ? 0640U : 0644U);
}

TEST_P(LocalStoreTest, WithoutFreeDescriptorsTheCacheMakesRoom) {
  std::vector<Held> dirs;
  for (int i = 0; i < 20; ++i) {
    dirs.push_back(user_->mkdir(user_->root, std::to_string(i)));
    EXPECT_EQ(user_->look_error(dirs.back(), "x"), ENOENT);
  }
  const Held file = user_->file(user_->root, "f");
  ASSERT_GT(store_->stats().cached_descriptors, 10U);
  const NoDescriptors none;
  const Result<Found> found = store_->lookup(user_->root.node(), name_of("f"));
  EXPECT_EQ(code(found), 0);
  EXPECT_EQ(store_->stats().cached_descriptors, 0U);
  if (found) store_->release(found->node);
}

TEST_P(LocalStoreTest, DescriptorsAreCloseOnExec) {
  const Held d = user_->mkdir(user_->root, "d");
  EXPECT_EQ(user_->look_error(d, "x"), ENOENT);
  const Held f = user_->file(d, "f");
  const std::unique_ptr<File> file = store_->open(f.node(), O_RDWR).value();
  const std::unique_ptr<Directory> listing = store_->opendir(d.node(), 0).value();
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = fs::read_symlink(entry.path(), gone);
    if (gone || target.find(dir_.path()) != 0) continue;
    const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFD);
    EXPECT_NE(flags & FD_CLOEXEC, 0) << target;
  }
}

}  // namespace
}  // namespace evenfs::test
