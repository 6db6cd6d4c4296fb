// SPDX-License-Identifier: LGPL-2.1-or-later
// Each request about names, attributes and extended attributes in its normal form, and what it answers.
#include <sys/xattr.h>

#include "tests/support/hooked_store.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

class Names : public ProtocolTest {};

TEST_F(Names, ALookupAnswersWithTheEntryAndCountsIt) {
  const std::uint64_t made = mknod(kRootNumber, "f");
  const Answer answer = ask(request::lookup(kRootNumber, "f"));
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer.body.size(), sizeof(fuse_entry_out));
  const auto out = answer.get<fuse_entry_out>();
  EXPECT_EQ(out.nodeid, made);
  EXPECT_EQ(out.generation, NodeId(made).generation());
  EXPECT_EQ(out.attr.mode, S_IFREG | 0644U);
  EXPECT_EQ(out.entry_valid, 1U);
  EXPECT_EQ(out.attr_valid, 1U);
  EXPECT_EQ(lookups(), 2U);
}

TEST_F(Names, AMissingNameIsAnEntryWithoutANumberThatTheKernelMayKeep) {
  const Answer answer = ask(request::lookup(kRootNumber, "none"));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.get<fuse_entry_out>().nodeid, 0U);
  EXPECT_EQ(answer.get<fuse_entry_out>().entry_valid, 1U);
  EXPECT_EQ(lookups(), 0U);
}

class Timeouts : public ProtocolTest {
 protected:
  explicit Timeouts(double negative_s = 7) : ProtocolTest({}, settings(negative_s)) {}

 private:
  static FakeKernel::Settings settings(double negative_s) {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.entry_timeout_s = 3;
    settings.attr_timeout_s = 5;
    settings.negative_timeout_s = negative_s;
    return settings;
  }
};

class WithoutNegativeTimeout : public Timeouts {
 protected:
  WithoutNegativeTimeout() : Timeouts(0) {}
};

TEST_F(Timeouts, EachAnswerHasItsOwn) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  const auto found = ask(request::lookup(kRootNumber, "f")).get<fuse_entry_out>();
  EXPECT_EQ(found.entry_valid, 3U);
  EXPECT_EQ(found.attr_valid, 5U);
  const auto none = ask(request::lookup(kRootNumber, "none")).get<fuse_entry_out>();
  EXPECT_EQ(none.nodeid, 0U);
  EXPECT_EQ(none.entry_valid, 7U);
  EXPECT_EQ(ask(request::getattr(file)).get<fuse_attr_out>().attr_valid, 5U);
  EXPECT_EQ(ask(request::chmod(file, 0600)).get<fuse_attr_out>().attr_valid, 5U);
  EXPECT_EQ(ask(request::statx(file)).get<StatxOut>().attr_valid, 5U);
}

// The times are the most. What changed a thousand seconds ago is for a hundred; names go by their directory.
TEST(TimeoutsThatGrow, AreByHowLongTheObjectHasRested) {
  MemoryStore::Options on_time;
  on_time.clock = MemoryStore::Clock::kReal;
  MemoryStore memory(on_time);
  HookedStore store(memory);
  FakeKernel::Settings settings = FakeKernel::small();
  settings.entry_timeout_s = settings.attr_timeout_s = settings.negative_timeout_s = 600;
  settings.least_timeout_s = 2;
  FakeKernel kernel(store, settings);
  kernel.negotiate();
  const auto entry = [&](Message request) {
    return kernel.ask(std::move(request)).get<fuse_entry_out>();
  };
  const Node root = memory.root()->node;
  const Node dir = memory.mkdir(root, name_of("d"), 0755, Cred{})->node;
  ASSERT_TRUE(memory.mknod(dir, name_of("f"), S_IFREG | 0644, 0, Cred{}).ok());
  store.set_older(1000);
  const auto found = entry(request::lookup(kRootNumber, "d"));
  EXPECT_EQ(found.entry_valid, 2U) << "the root is young";
  EXPECT_NEAR(static_cast<double>(found.attr_valid), 100, 1);
  const auto file = entry(request::lookup(found.nodeid, "f"));
  EXPECT_NEAR(static_cast<double>(file.entry_valid), 100, 1);
  EXPECT_NEAR(static_cast<double>(file.attr_valid), 100, 1);
  EXPECT_NEAR(static_cast<double>(entry(request::lookup(found.nodeid, "none")).entry_valid), 100,
              1);
  EXPECT_EQ(entry(request::lookup(kRootNumber, "none")).entry_valid, 2U);
  store.set_older(100'000);
  EXPECT_EQ(kernel.ask(request::chmod(file.nodeid, 0600)).get<fuse_attr_out>().attr_valid, 2U);
}

TEST_F(WithoutNegativeTimeout, AMissingNameIsAnErrorThatTheKernelDoesNotKeep) {
  EXPECT_EQ(error_of(request::lookup(kRootNumber, "none")), ENOENT);
}

TEST_F(Names, DotAndDotDotOfADirectoryAreCountedLikeNames) {
  const std::uint64_t outer = mkdir(kRootNumber, "outer");
  const std::uint64_t inner = mkdir(outer, "inner");
  EXPECT_EQ(lookup(inner, "."), inner);
  EXPECT_EQ(lookup(inner, ".."), outer);
  EXPECT_EQ(lookups(), 4U);
  EXPECT_EQ(lookup(kRootNumber, ".."), kRootNumber);
  EXPECT_EQ(lookup(kRootNumber, "."), kRootNumber);
  EXPECT_EQ(ask(request::lookup(kRootNumber, ".")).get<fuse_entry_out>().generation, 0U);
  forget(kRootNumber, 3);
  forget(outer, 2);
  forget(inner, 2);
  EXPECT_EQ(excess(), 0U);
}

TEST_F(Names, WhatIsMadeHasItsTypeModeAndOwnerAndIsCountedOnce) {
  Message message = request::mkdir(kRootNumber, "d", 0777);
  message.header.uid = 1000;
  message.header.gid = 100;
  const std::uint64_t dir = entry(std::move(message));
  EXPECT_EQ(attr(dir).mode, S_IFDIR | 0755U);  // The umask of the request is 022.
  EXPECT_EQ(attr(dir).uid, 1000U);
  EXPECT_EQ(attr(dir).gid, 100U);
  const std::uint64_t fifo = entry(request::mknod(dir, "p", S_IFIFO | 0600));
  EXPECT_EQ(attr(fifo).mode, S_IFIFO | 0600U);
  const std::uint64_t device = entry(request::mknod(dir, "c", S_IFCHR | 0600, 0x103));
  EXPECT_EQ(attr(device).rdev, 0x103U);
  const std::uint64_t symlink = entry(request::symlink(dir, "l", "to/where"));
  EXPECT_EQ(ask(request::readlink(symlink)).text(), "to/where");
  EXPECT_EQ(lookups(), 4U);
  EXPECT_EQ(error_of(request::mkdir(kRootNumber, "d")), EEXIST);
  EXPECT_EQ(error_of(request::readlink(fifo)), EINVAL);
}

TEST_F(Names, ALinkIsTheSameInodeWithOneMoreName) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  EXPECT_EQ(entry(request::link(file, dir, "g")), file);
  EXPECT_EQ(attr(file).nlink, 2U);
  EXPECT_EQ(error_of(request::link(dir, kRootNumber, "e")), EPERM);
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), 0);
  EXPECT_EQ(attr(file).nlink, 1U);
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), ENOENT);
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "d")), EISDIR);
  EXPECT_EQ(error_of(request::rmdir(kRootNumber, "d")), ENOTEMPTY);
  EXPECT_EQ(error_of(request::unlink(dir, "g")), 0);
  EXPECT_EQ(error_of(request::rmdir(kRootNumber, "d")), 0);
  forget(file, 2);
  forget(dir);
  expect_nothing_left();
}

TEST_F(Names, ARenameMovesReplacesRefusesOrExchangesAsItsFlagsSay) {
  const std::uint64_t a = mknod(kRootNumber, "a");
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  EXPECT_EQ(error_of(request::rename(kRootNumber, "a", dir, "b")), 0);
  EXPECT_EQ(lookup(dir, "b"), a);
  const std::uint64_t c = mknod(dir, "c");
  constexpr std::uint32_t kNoReplace = 1, kExchange = 2, kUnknown = 8;
  EXPECT_EQ(error_of(request::rename2(dir, "b", dir, "c", kNoReplace)), EEXIST);
  EXPECT_EQ(error_of(request::rename2(dir, "b", dir, "c", kUnknown)), EINVAL);
  EXPECT_EQ(error_of(request::rename2(dir, "b", dir, "c", kExchange)), 0);
  EXPECT_EQ(lookup(dir, "b"), c);
  EXPECT_EQ(error_of(request::rename2(dir, "b", dir, "c", 0)), 0);
  EXPECT_EQ(lookup(dir, "c"), c);
  EXPECT_EQ(attr(a).nlink, 0U);
}

TEST_F(Names, AttributesAreReadAndSet) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  const Answer got = ask(request::getattr(file));
  ASSERT_EQ(got.body.size(), sizeof(fuse_attr_out));
  EXPECT_EQ(got.get<fuse_attr_out>().attr_valid, 1U);
  fuse_setattr_in in{};
  in.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME;
  in.mode = S_IFREG | 0600;
  in.uid = 7;
  in.gid = 8;
  in.size = 100;
  in.atime = 5;
  in.mtime = 6;
  in.mtimensec = 9;
  const Answer set = ask(request::setattr(file, in));
  ASSERT_EQ(set.body.size(), sizeof(fuse_attr_out));
  for (const fuse_attr& now : {set.get<fuse_attr_out>().attr, attr(file)}) {
    EXPECT_EQ(now.mode, S_IFREG | 0600U);
    EXPECT_EQ(now.uid, 7U);
    EXPECT_EQ(now.gid, 8U);
    EXPECT_EQ(now.size, 100U);
    EXPECT_EQ(now.atime, 5U);
    EXPECT_EQ(now.mtime, 6U);
    EXPECT_EQ(now.mtimensec, 9U);
  }
  EXPECT_EQ(error_of(request::truncate(kRootNumber, 1)), EISDIR);
}

TEST_F(Names, StatxSaysWhatGetattrSays) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  constexpr std::uint32_t kForceSync = 0x2000;
  for (const std::uint32_t flags : {0U, kForceSync}) {
    const Answer answer = ask(request::statx(file, flags));
    ASSERT_TRUE(answer.ok());
    ASSERT_EQ(answer.body.size(), kStatxOutBytes);
    const auto out = answer.get<StatxOut>();
    EXPECT_EQ(out.mask & STATX_BASIC_STATS, static_cast<unsigned>(STATX_BASIC_STATS));
    EXPECT_EQ(out.ino, attr(file).ino);
    EXPECT_EQ(out.mode, S_IFREG | 0644U);
    EXPECT_EQ(out.nlink, 1U);
  }
}

TEST_F(Names, AccessGoesByTheModeAndStatfsByTheStore) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  Message message = request::access(file, W_OK);
  message.header.uid = 1000;
  EXPECT_EQ(error_of(message), EACCES);
  EXPECT_EQ(error_of(request::access(file, W_OK)), 0);
  const Answer answer = ask(request::statfs(kRootNumber));
  ASSERT_EQ(answer.body.size(), sizeof(fuse_statfs_out));
  EXPECT_EQ(answer.get<fuse_statfs_out>().st.namelen, 255U);
}

TEST_F(Names, ExtendedAttributesAreSetReadListedAndRemoved) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  EXPECT_EQ(error_of(request::setxattr(file, "user.a", "value")), 0);
  EXPECT_EQ(error_of(request::setxattr(file, "trusted.b", "")), 0);
  EXPECT_EQ(error_of(request::setxattr(file, "user.a", "new", XATTR_CREATE)), EEXIST);
  EXPECT_EQ(ask(request::getxattr(file, "user.a", 0)).get<fuse_getxattr_out>().size, 5U);
  EXPECT_EQ(ask(request::getxattr(file, "user.a", 100)).text(), "value");
  EXPECT_EQ(error_of(request::getxattr(file, "user.a", 4)), ERANGE);
  EXPECT_EQ(error_of(request::getxattr(file, "user.none", 4)), ENODATA);
  const std::string_view both("trusted.b\0user.a\0", 17);
  EXPECT_EQ(ask(request::listxattr(file, 0)).get<fuse_getxattr_out>().size, both.size());
  EXPECT_EQ(ask(request::listxattr(file, 100)).text(), both);
  Message of_user = request::listxattr(file, 100);
  of_user.header.uid = 1000;
  EXPECT_EQ(ask(of_user).text(), std::string_view("user.a\0", 7));
  EXPECT_EQ(error_of(request::removexattr(file, "user.a")), 0);
  EXPECT_EQ(error_of(request::removexattr(file, "user.a")), ENODATA);
}

TEST_F(Names, TheStatisticsAreAnAttributeOfTheRootAlone) {
  const Answer answer = ask(request::getxattr(kRootNumber, "evenfs.stats", 65536));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.text().front(), '{');
  EXPECT_EQ(answer.text().back(), '}');
  EXPECT_EQ(error_of(request::getxattr(kRootNumber, "evenfs.stats", 10)), ERANGE);
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  EXPECT_EQ(error_of(request::getxattr(dir, "evenfs.stats", 65536)), EOPNOTSUPP);
}

}  // namespace
}  // namespace evenfs::test
