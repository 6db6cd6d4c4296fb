// SPDX-License-Identifier: LGPL-2.1-or-later
// The local store's durable numbers: another store over the same directory finds an object by them, as
// long as it exists and nobody has taken it out. Skipped where handles cannot be opened.
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "core/store/local_store.h"
#include "tests/support/private_mounts.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;

struct Opened {
  explicit Opened(const std::string& path, bool use_handles = true) {
    LocalStore::Options options;
    options.use_handles = use_handles;
    auto made = LocalStore::open(path, options);
    EXPECT_EQ(code(made), 0);
    store = std::move(made).value();
    user.emplace(*store);
  }
  std::uint64_t number(std::string_view name) {
    return user->look(user->root, name).identity().generation;
  }
  // The errno, 0 if something was found.
  int find_error(std::uint64_t number) {
    const Result<Found> found = store->find(number);
    if (found) store->release(found->node);
    return code(found);
  }
  std::unique_ptr<LocalStore> store;
  std::optional<StoreUser> user;
};

class LocalStoreNumbers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs a superuser";
    fs::create_directories(dir_ / "d/e");
    fs::create_directories(dir_ / "outside");
    std::ofstream(dir_ / "d/f") << "content";
    std::ofstream(dir_ / "d/g") << "g";
    if (!Opened(dir_ / "d").store->caps().has_handles) GTEST_SKIP() << "no handles on this source";
  }
  TempDir dir_;
};

TEST_F(LocalStoreNumbers, AnotherStoreFindsTheObject) {
  Opened first(dir_ / "d");
  Opened second(dir_ / "d");
  EXPECT_EQ(first.store->caps().source_tag, second.store->caps().source_tag);
  EXPECT_EQ(first.store->caps().source_tag >> 31, 0U);
  for (const std::string_view name : {"f", "e"}) {
    const Held by_name = first.user->look(first.user->root, name);
    ASSERT_TRUE(Identity::is_durable(by_name.identity().generation));
    const Held by_number = second.user->take(second.store->find(by_name.identity().generation));
    EXPECT_EQ(by_number.identity(), by_name.identity());
    EXPECT_EQ(by_number.attr(), by_name.attr());
  }
  EXPECT_EQ(second.user->content(second.user->take(second.store->find(first.number("f")))),
            "content");
}

TEST_F(LocalStoreNumbers, WhatIsGoneIsStaleAndNobodyInheritsItsNumber) {
  Opened source(dir_ / "d");
  const std::uint64_t number = source.number("f");
  fs::remove(dir_ / "d/f");
  EXPECT_EQ(source.find_error(number), ESTALE);
  for (int i = 0; i < 100; ++i) {
    const std::string name = "n" + std::to_string(i);
    std::ofstream(dir_ / ("d/" + name)) << name;
    EXPECT_NE(source.number(name), number);
  }
  EXPECT_EQ(source.find_error(number), ESTALE);
}

TEST_F(LocalStoreNumbers, ADirectoryThatWasTakenOutIsNotFound) {
  Opened source(dir_ / "d");
  const std::uint64_t number = source.number("e");
  EXPECT_EQ(source.find_error(number), 0);
  fs::rename(dir_ / "d/e", dir_ / "outside/e");
  EXPECT_EQ(source.find_error(number), ESTALE);
  fs::rename(dir_ / "outside/e", dir_ / "d/again");
  EXPECT_EQ(source.find_error(number), 0);
}

TEST_F(LocalStoreNumbers, TheRootHasNoneAndForgedOnesAreStale) {
  Opened source(dir_ / "d");
  EXPECT_FALSE(Identity::is_durable(source.user->root.identity().generation));
  const std::uint64_t number = source.number("f");
  for (const std::uint64_t flip : {0ULL, 1ULL, 31ULL, 40ULL, 62ULL}) {
    EXPECT_EQ(source.find_error(flip == 0 ? Identity::kDurable : number ^ (1ULL << flip)), ESTALE)
        << flip;
  }
}

// ext4 opens a handle whose generation is 0 whatever that of the object is.
TEST_F(LocalStoreNumbers, AHandleThatOpensSomethingElseIsStale) {
  Opened source(dir_ / "d");
  EXPECT_EQ(source.find_error(source.number("f") >> 32 << 32), ESTALE);
  // To another store over the same file system the same number may mean its root, which has none.
  std::ofstream(dir_ / "d/e/f") << "below";
  Opened inner(dir_ / "d/e");
  EXPECT_EQ(inner.find_error(inner.number("f")), 0);
  EXPECT_EQ(inner.find_error(source.number("e")), ESTALE);
}

// On btrfs handles are too long for a node, which holds memory instead.
TEST_F(LocalStoreNumbers, ANumberThatLeadsNowhereLeavesNothingOfWhatItLedTo) {
  std::string missing;
  const std::string refused = in_private_mounts([&] {
    const std::string at = dir_ / "d", image = dir_ / "image";
    const std::string make = "(truncate -s 128M " + image +
                             " && PATH=$PATH:/sbin:/usr/sbin mkfs.btrfs -q " + image +
                             " && mount -o loop " + image + " " + at + ") >/dev/null 2>&1";
    if (std::system(make.c_str()) != 0) {
      missing = "no btrfs can be made and mounted here";
      return;
    }
    std::ofstream(at + "/f") << "content";
    Opened source(at);
    const std::uint64_t number = source.number("f");
    ASSERT_TRUE(Identity::is_durable(number));
    const std::uint64_t bytes = source.store->stats().node_bytes;
    EXPECT_EQ(source.find_error(number >> 32 << 32), ESTALE);
    EXPECT_EQ(source.find_error(number), 0);
    EXPECT_EQ(source.store->stats().node_bytes, bytes);
  });
  if (!(refused + missing).empty()) GTEST_SKIP() << refused << missing;
}

TEST_F(LocalStoreNumbers, WithoutHandlesThereAreNone) {
  Opened with(dir_ / "d");
  Opened without(dir_ / "d", false);
  EXPECT_FALSE(Identity::is_durable(without.number("f")));
  EXPECT_EQ(without.find_error(with.number("f")), ESTALE);
}

TEST_F(LocalStoreNumbers, AnotherMountOfTheSameFileSystem) {
  const std::string refused = in_private_mounts([this] {
    fs::create_directories(dir_ / "d/bound");
    ASSERT_EQ(
        ::mount((dir_ / "d/e").c_str(), (dir_ / "d/bound").c_str(), nullptr, MS_BIND, nullptr), 0);
    fs::create_hard_link(dir_ / "d/f", dir_ / "d/e/f");
    fs::create_directories(dir_ / "d/e/sub");
    Opened source(dir_ / "d");
    StoreUser& user = *source.user;
    const Held bound = user.look(user.root, "bound");
    const Held straight = user.look(user.root, "e");
    // One file, by whatever mount; but each directory has one parent.
    EXPECT_EQ(user.look(bound, "f").identity(), user.look(user.root, "f").identity());
    EXPECT_NE(user.look(bound, "sub").identity(), user.look(straight, "sub").identity());
    EXPECT_TRUE(Identity::is_durable(user.look(straight, "sub").identity().generation));
    EXPECT_FALSE(Identity::is_durable(user.look(bound, "sub").identity().generation));
  });
  if (!refused.empty()) GTEST_SKIP() << refused;
}

TEST_F(LocalStoreNumbers, AnotherFileSystemBelowTheRoot) {
  const std::string refused = in_private_mounts([this] {
    fs::create_directories(dir_ / "d/tmp");
    ASSERT_EQ(::mount("tmpfs", (dir_ / "d/tmp").c_str(), "tmpfs", 0, nullptr), 0);
    std::ofstream(dir_ / "d/tmp/f") << "t";
    Opened source(dir_ / "d");
    StoreUser& user = *source.user;
    EXPECT_FALSE(
        Identity::is_durable(user.look(user.look(user.root, "tmp"), "f").identity().generation));

    Opened tmpfs(dir_ / "d/tmp");
    if (!tmpfs.store->caps().has_handles) return;
    const std::uint64_t number = tmpfs.number("f");
    EXPECT_TRUE(Identity::is_durable(number));
    EXPECT_EQ(Opened(dir_ / "d/tmp").find_error(number), 0);
    EXPECT_NE(tmpfs.store->caps().source_tag, source.store->caps().source_tag);
  });
  if (!refused.empty()) GTEST_SKIP() << refused;
}

// Where numbers are used again at once, the kernel may say ENOMEM of the one before.
TEST_F(LocalStoreNumbers, AFileThatIsReplacedAllTheTimeIsThereOrStale) {
  constexpr int kReads = 100000;
  Opened opened(dir_ / "d");
  fs::create_symlink("one", dir_ / "d/link");
  std::atomic<bool> stop{false};
  std::thread replacer([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      fs::create_symlink("two", dir_ / "d/new");
      fs::rename(dir_ / "d/new", dir_ / "d/link");
    }
  });
  for (int i = 0; i < kReads; ++i) {
    const Result<Found> found = opened.store->lookup(opened.user->root.node(), name_of("link"));
    if (!found) {
      EXPECT_EQ(code(found), ESTALE);
      continue;
    }
    const Result<std::string> target = opened.store->readlink(found->node);
    EXPECT_TRUE(target || code(target) == ESTALE) << code(target);
    opened.store->release(found->node);
    if (testing::Test::HasFailure()) break;
  }
  stop.store(true, std::memory_order_relaxed);
  replacer.join();
}

}  // namespace
}  // namespace evenfs::test
