// SPDX-License-Identifier: LGPL-2.1-or-later
// What is the memory store's own; what all stores promise is in store_contract_test.cc.
#include "core/store/memory_store.h"

#include <linux/falloc.h>
#include <sys/xattr.h>

#include <random>
#include <thread>

#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(MemoryStore, TheSameCallsGiveTheSameNumbersAndTimes) {
  const auto build = [] {
    MemoryStore store;
    StoreUser user(store);
    const Held dir = user.mkdir(user.root, "d");
    const Held file = user.file(dir, "f", "abc");
    return user.attr(file);
  };
  EXPECT_EQ(build(), build());
}

TEST(MemoryStore, NumbersAreNotReusedUnlessAsked) {
  MemoryStore store;
  StoreUser user(store);
  const std::uint64_t first = user.file(user.root, "a").attr().ino;
  ASSERT_TRUE(store.unlink(user.root.node(), name_of("a")).ok());
  EXPECT_NE(user.file(user.root, "a").attr().ino, first);
}

TEST(MemoryStore, AReusedNumberHasAnotherGeneration) {
  MemoryStore store(MemoryStore::Options{.reuse_inode_numbers = true});
  StoreUser user(store);
  const Identity first = user.file(user.root, "a").identity();
  ASSERT_TRUE(store.unlink(user.root.node(), name_of("a")).ok());
  const Identity second = user.file(user.root, "b").identity();
  EXPECT_EQ(first.ino, second.ino);
  EXPECT_NE(first, second);
}

TEST(MemoryStore, ANumberIsNotReusedWhileItsObjectIsReferenced) {
  MemoryStore store(MemoryStore::Options{.reuse_inode_numbers = true});
  StoreUser user(store);
  const Held held = user.file(user.root, "a");
  ASSERT_TRUE(store.unlink(user.root.node(), name_of("a")).ok());
  EXPECT_NE(user.file(user.root, "b").attr().ino, held.attr().ino);
  EXPECT_EQ(user.attr(held).nlink, 0U);
}

TEST(MemoryStore, ObjectsAreFreedWhenNothingNamesOrHoldsThem) {
  MemoryStore store;
  {
    StoreUser user(store);
    {
      const Held dir = user.mkdir(user.root, "d");
      const Held file = user.file(user.root, "f");
      ASSERT_TRUE(store.unlink(user.root.node(), name_of("f")).ok());
      ASSERT_TRUE(store.rmdir(user.root.node(), name_of("d")).ok());
      EXPECT_EQ(store.objects(), 3U);
    }
    EXPECT_EQ(store.objects(), 1U);
  }
  EXPECT_EQ(store.references(), 0U);
}

TEST(MemoryStore, TheHookIsAskedFirstAndItsErrorIsTheAnswer) {
  std::vector<std::string> seen;
  MemoryStore store(MemoryStore::Options{.before = [&seen](std::string_view operation) -> Status {
    seen.emplace_back(operation);
    return operation == "lookup" ? Status(Errno(EIO)) : Status();
  }});
  StoreUser user(store);
  EXPECT_EQ(user.look_error(user.root, "x"), EIO);
  EXPECT_EQ(seen, (std::vector<std::string>{"root", "lookup"}));
}

TEST(MemoryStore, WhiteoutIsRefused) {
  MemoryStore store;
  StoreUser user(store);
  const Held file = user.file(user.root, "a");
  EXPECT_EQ(code(store.rename(user.root.node(), name_of("a"), user.root.node(), name_of("b"),
                              RenameMode::kWhiteout, Cred{})),
            EINVAL);
}

TEST(MemoryStore, AccessIsAnsweredByOwnerGroupAndOthersBits) {
  MemoryStore store;
  StoreUser user(store);
  Cred owner{.uid = 10, .gid = 20};
  const Found made = *store.mknod(user.root.node(), name_of("f"), S_IFREG | 0640, 0, owner);
  const Held file(store, made);
  const std::uint32_t groups[] = {20};
  const Cred member{.uid = 11, .gid = 21, .groups = groups};
  const Cred other{.uid = 11, .gid = 21};
  EXPECT_EQ(code(store.access(file.node(), owner, R_OK | W_OK)), 0);
  EXPECT_EQ(code(store.access(file.node(), member, R_OK)), 0);
  EXPECT_EQ(code(store.access(file.node(), member, W_OK)), EACCES);
  EXPECT_EQ(code(store.access(file.node(), other, R_OK)), EACCES);
  EXPECT_EQ(code(store.access(file.node(), Cred{}, R_OK | W_OK)), 0);
  EXPECT_EQ(code(store.access(file.node(), Cred{}, X_OK)), EACCES);
}

TEST(MemoryStore, NewObjectsBelongToTheCallerOrToTheSetGidDirectory) {
  MemoryStore store;
  StoreUser user(store);
  const Cred caller{.uid = 10, .gid = 20};
  const Held plain(store, *store.mkdir(user.root.node(), name_of("p"), 0755, caller));
  EXPECT_EQ(plain.attr().uid, 10U);
  EXPECT_EQ(plain.attr().gid, 20U);
  SetAttr set_gid;
  set_gid.mode = 02775;
  set_gid.gid = 77;
  ASSERT_TRUE(store.setattr(plain.node(), set_gid, nullptr).ok());
  const Held below(store, *store.mkdir(plain.node(), name_of("d"), 0755, caller));
  EXPECT_EQ(below.attr().gid, 77U);
  EXPECT_EQ(below.attr().mode & 07777U, 02755U);
}

// The data functions against a plain array, over random operations.
TEST(MemoryStore, DataEqualsThatOfAnArrayAfterRandomOperations) {
  const unsigned seed = 20240611;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  MemoryData data;
  std::string model;
  constexpr std::size_t kMax = 40000;
  for (int step = 0; step < 3000; ++step) {
    const std::size_t offset = random() % kMax;
    const std::size_t length = 1 + random() % 9000;
    switch (random() % 4) {
      case 0: {
        const std::string text(length, static_cast<char>('a' + step % 26));
        data.write(bytes_of(text), offset);
        if (model.size() < offset + length) model.resize(offset + length, '\0');
        model.replace(offset, length, text);
        break;
      }
      case 1:
        data.truncate(offset);
        model.resize(offset, '\0');
        break;
      case 2:
        data.punch(offset, length);
        for (std::size_t i = offset; i < std::min(model.size(), offset + length); ++i) {
          model[i] = '\0';
        }
        break;
      default:
        data.allocate(offset, std::min(length, model.size() - std::min(model.size(), offset)));
    }
    ASSERT_EQ(data.size(), model.size());
    std::string read(model.size() + 10, 'x');
    const std::size_t got =
        data.read(std::as_writable_bytes(std::span(read.data(), read.size())), 0);
    read.resize(got);
    ASSERT_EQ(read, model) << "step " << step;
  }
}

TEST(MemoryStore, HolesAndDataAreFound) {
  MemoryStore store;
  StoreUser user(store);
  const Held held = user.file(user.root, "f");
  const std::unique_ptr<File> file = store.open(held.node(), O_RDWR).value();
  ASSERT_TRUE(file->write(bytes_of("x"), 10 * 4096).ok());
  EXPECT_EQ(*file->lseek(0, SEEK_HOLE), 0U);
  EXPECT_EQ(*file->lseek(0, SEEK_DATA), 10U * 4096);
  EXPECT_EQ(*file->lseek(10 * 4096, SEEK_HOLE), 10U * 4096 + 1);
  EXPECT_EQ(code(file->lseek(10 * 4096 + 1, SEEK_DATA)), ENXIO);
  EXPECT_EQ(user.attr(held).blocks, 8U);
  ASSERT_TRUE(file->fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 11 * 4096).ok());
  EXPECT_EQ(user.attr(held).blocks, 0U);
}

TEST(MemoryStore, ListsAreKeptIfItSaysThatItHasThem) {
  for (const bool has_acls : {true, false}) {
    MemoryStore::Options options;
    options.has_acls = has_acls;
    MemoryStore store(options);
    const Node root = store.root()->node;
    constexpr const char* kList = "system.posix_acl_default";
    EXPECT_EQ(code(store.getxattr(root, kList, {})), has_acls ? ENODATA : EOPNOTSUPP);
    EXPECT_EQ(code(store.setxattr(root, kList, bytes_of("list"), 0)), has_acls ? 0 : EOPNOTSUPP);
    EXPECT_EQ(code(store.getxattr(root, kList, {})), has_acls ? 0 : EOPNOTSUPP);
    EXPECT_EQ(code(store.getxattr(root, "system.other", {})), EOPNOTSUPP);
    store.release(root);
  }
}

TEST(MemoryStore, ThreadsThatCreateAndRemoveLeaveNothing) {
  MemoryStore store;
  {
    StoreUser user(store);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&store, &user, t] {
        const std::string mine = "f" + std::to_string(t);
        for (int i = 0; i < 500; ++i) {
          const Result<Found> made = store.mknod(user.root.node(), name_of(mine), 0644, 0, {});
          ASSERT_TRUE(made.ok());
          const std::string other = "f" + std::to_string((t + 1) % 4);
          const Result<Found> seen = store.lookup(user.root.node(), name_of(other));
          if (seen) store.release(seen->node);
          ASSERT_TRUE(store.unlink(user.root.node(), name_of(mine)).ok());
          store.release(made->node);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(user.attr(user.root).nlink, 2U);
  }
  EXPECT_EQ(store.objects(), 1U);
  EXPECT_EQ(store.references(), 0U);
}

}  // namespace
}  // namespace evenfs::test
