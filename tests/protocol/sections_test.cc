// SPDX-License-Identifier: LGPL-2.1-or-later
// Requests that change an object without a function of the cache: what was cached of before is not served after
// them, and the kernel is told where it does not expect a change.
#include <linux/fs.h>

#include "core/store/local_store.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

class Sections : public HookedProtocolTest {
 protected:
  explicit Sections(MemoryStore::Options behind = {}) : HookedProtocolTest(std::move(behind)) {
    const auto [node, fh] = create(kRootNumber, "f");
    node_ = node;
    fh_ = fh;
  }

  bool is_cached(std::uint64_t node) {
    Attr attr;
    return kernel_.cache().peek_attr(kernel_.cache().id_of_number(node), attr);
  }
  // The message succeeds and ends what was cached of `node_`. What somebody is told while the store is at it,
  // by `operation`, is not cached either.
  void expect_changes(const Message& message, std::string_view operation) {
    attr(node_);
    EXPECT_TRUE(is_cached(node_));
    int asked = 0;
    before_each([&](std::string_view now) {
      const NodeId id = kernel_.cache().id_of_number(node_);
      if (now == operation && kernel_.cache().getattr(kernel_.me(), id, nullptr)) ++asked;
      return Status();
    });
    EXPECT_EQ(error_of(message), 0) << operation;
    no_hook();
    EXPECT_EQ(asked, 1) << operation;
    EXPECT_FALSE(is_cached(node_)) << operation;
  }
  // As somebody else does it.
  void change_behind(std::uint32_t mode) {
    const Result<Cache::Pin> held = kernel_.cache().pin(kernel_.cache().id_of_number(node_));
    ASSERT_TRUE(held);
    SetAttr change;
    change.mode = mode;
    ASSERT_TRUE(store_.setattr(held->node(), change, nullptr));
  }

  std::uint64_t node_ = 0;
  std::uint64_t fh_ = 0;
};

TEST_F(Sections, AChangeOfContentEndsWhatWasCached) {
  expect_changes(request::write(node_, fh_, 0, "bytes"), "write");
  expect_changes(request::write_back(node_, fh_, 0, "pages"), "write");
  expect_changes(request::fallocate(node_, fh_, 0, 10), "fallocate");
  const auto [other, other_fh] = create(kRootNumber, "g");
  EXPECT_EQ(error_of(request::write(other, other_fh, 0, "bytes")), 0);
  expect_changes(request::copy_file_range(other, other_fh, node_, fh_, 5), "write");
  EXPECT_EQ(attr(node_).size, 10U);
}

// Blocks are found when data is written out, and given back when a file that was written is closed.
TEST_F(Sections, AnFsyncAndTheEndOfAFileThatWasWrittenEndWhatWasCached) {
  expect_changes(request::fsync(FUSE_FSYNC, node_, fh_), "fsync");
  const std::uint64_t writer = handle(request::open(node_, O_WRONLY));
  const std::uint64_t reader = handle(request::open(node_, O_RDONLY));
  attr(node_);
  EXPECT_EQ(error_of(request::release(node_, writer, O_WRONLY)), 0);
  EXPECT_FALSE(is_cached(node_));
  attr(node_);
  EXPECT_EQ(error_of(request::release(node_, reader, O_RDONLY)), 0);
  EXPECT_TRUE(is_cached(node_));
}

// A kernel that keeps attributes for a year does not find out by itself; one that asks after a second does.
TEST(SectionsInTheKernel, AreToldWhereItWouldNotAskSoon) {
  for (const double timeout_s : {1.0, 60.0}) {
    MemoryStore store;
    FakeKernel::Settings settings = FakeKernel::small();
    settings.attr_timeout_s = timeout_s;
    FakeKernel kernel(store, settings);
    kernel.negotiate();
    const Answer made = kernel.ask(request::create(kRootNumber, "f"));
    const std::uint64_t node = made.get<fuse_entry_out>().nodeid;
    const std::uint64_t fh = made.get<fuse_open_out>(sizeof(fuse_entry_out)).fh;
    const std::uint64_t reader = kernel.ask(request::open(node, O_RDONLY)).get<fuse_open_out>().fh;
    EXPECT_EQ(kernel.ask(request::write(node, fh, 0, "bytes")).error, 0);
    EXPECT_EQ(kernel.ask(request::fsync(FUSE_FSYNC, node, fh)).error, 0);
    EXPECT_EQ(kernel.ask(request::release(node, reader, O_RDONLY)).error, 0);
    EXPECT_EQ(kernel.ask(request::release(node, fh, O_WRONLY)).error, 0);
    EXPECT_EQ(kernel.notifications(),
              std::vector<int>(timeout_s > 1 ? 2 : 0, FUSE_NOTIFY_INVAL_INODE));
  }
}

// What the kernel was told of a file when it was made is still so when it is closed without a write.
TEST(SectionsInTheKernel, AreNotToldOfAFileThatIsAsItWasMade) {
  MemoryStore store;
  FakeKernel::Settings settings = FakeKernel::small();
  settings.attr_timeout_s = 60;
  FakeKernel kernel(store, settings);
  kernel.negotiate();
  const auto close_after = [&](const char* name, const char* bytes) {
    const Answer made = kernel.ask(request::create(kRootNumber, name));
    const std::uint64_t node = made.get<fuse_entry_out>().nodeid;
    const std::uint64_t fh = made.get<fuse_open_out>(sizeof(fuse_entry_out)).fh;
    if (*bytes != 0) {
      EXPECT_EQ(kernel.ask(request::write(node, fh, 0, bytes)).error, 0);
    }
    EXPECT_EQ(kernel.ask(request::release(node, fh, O_WRONLY)).error, 0);
  };
  close_after("untouched", "");
  EXPECT_TRUE(kernel.notifications().empty());
  close_after("written", "bytes");
  EXPECT_EQ(kernel.notifications(), std::vector<int>{FUSE_NOTIFY_INVAL_INODE});
}

TEST_F(Sections, ExtendedAttributesThatAreSetOrRemovedEndWhatWasCached) {
  expect_changes(request::setxattr(node_, "user.a", "v"), "setxattr");
  expect_changes(request::removexattr(node_, "user.a"), "removexattr");
}

// A list may change the mode, which is not asked for again after other changes. (The store in memory has no
// lists and refuses it: the section is there all the same.)
TEST_F(Sections, AnAccessControlListEndsWhatWasKnownOfTheMode) {
  const NodeId id = kernel_.cache().id_of_number(node_);
  const auto mode = [&] { return *kernel_.cache().mode(kernel_.me(), id, nullptr) & 07777U; };
  for (const std::string_view name : {"system.posix_acl_access", "user.a"}) {
    for (const Message& message :
         {request::setxattr(node_, name, "v"), request::removexattr(node_, name)}) {
      ask(request::chmod(node_, 0644));
      EXPECT_EQ(mode(), 0644U);
      ask(message);
      change_behind(0600);
      EXPECT_EQ(mode(), name.starts_with("user.") ? 0644U : 0600U) << name;
    }
  }
}

class SectionsWithLists : public Sections {
 protected:
  SectionsWithLists() : Sections(lists()) {}

  static MemoryStore::Options lists() {
    MemoryStore::Options options;
    options.has_acls = true;
    return options;
  }
  int get(std::string_view name) { return error_of(request::getxattr(node_, name, 0)); }
};

TEST_F(SectionsWithLists, WhatIsAbsentIsAskedForOnceUntilItIsSet) {
  for (const std::string_view name : {"security.capability", "security.selinux",
                                      "system.posix_acl_access", "system.posix_acl_default"}) {
    const std::uint64_t asked = kernel_.count(Counter::kGetxattrLocked);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(get(name), ENODATA) << name;
    EXPECT_EQ(error_of(request::write(node_, fh_, 0, "bytes")), 0);
    EXPECT_EQ(get(name), ENODATA) << name;
    EXPECT_EQ(error_of(request::setxattr(node_, "user.a", "v")), 0);
    EXPECT_EQ(error_of(request::getxattr(node_, name, 100)), ENODATA) << name;
    EXPECT_EQ(kernel_.count(Counter::kGetxattrLocked), asked + 1) << name;
    EXPECT_EQ(error_of(request::setxattr(node_, name, "v")), 0);
    EXPECT_EQ(ask(request::getxattr(node_, name, 100)).text(), "v") << name;
    EXPECT_EQ(error_of(request::removexattr(node_, name)), 0);
    EXPECT_EQ(get(name), ENODATA) << name;
    ask(request::chmod(node_, 0600));
    EXPECT_EQ(get(name), ENODATA) << name;
    EXPECT_EQ(kernel_.count(Counter::kGetxattrLocked), asked + 4) << name;
  }
}

// XFS has a list of its own name behind system.posix_acl_access.
TEST_F(SectionsWithLists, AnAttributeOfTheSystemMayStandForAnother) {
  for (const std::string_view name : {"trusted.SGI_ACL_FILE", "security.other"}) {
    EXPECT_EQ(get("system.posix_acl_access"), ENODATA);
    const std::uint64_t asked = kernel_.count(Counter::kGetxattrLocked);
    EXPECT_EQ(error_of(request::setxattr(node_, name, "v")), 0);
    EXPECT_EQ(get("system.posix_acl_access"), ENODATA);
    EXPECT_EQ(error_of(request::removexattr(node_, name)), 0);
    EXPECT_EQ(get("system.posix_acl_access"), ENODATA);
    EXPECT_EQ(kernel_.count(Counter::kGetxattrLocked), asked + 2) << name;
  }
}

TEST_F(Sections, AStatxThatWantsTheSourcesWordGetsIt) {
  constexpr std::uint32_t kForceSync = 0x2000;
  attr(node_);
  change_behind(0600);
  EXPECT_EQ(ask(request::statx(node_)).get<StatxOut>().mode, S_IFREG | 0644U);
  EXPECT_EQ(ask(request::statx(node_, kForceSync)).get<StatxOut>().mode, S_IFREG | 0600U);
}

class SectionsOfReads : public Sections {
 protected:
  SectionsOfReads() : Sections(relatime()) {}

  static MemoryStore::Options relatime() {
    MemoryStore::Options options;
    options.atime_rule = AtimeRule::kRelative;
    return options;
  }
  // A time of access that no read moves, and one of change that makes each read move it.
  static constexpr std::int64_t kFarAhead = std::int64_t{1} << 40;
};

// The change's own answer is cached, and says nothing of what the read did.
TEST_F(SectionsOfReads, AReadThatAChangeBesideItMakesMoveTheTimeEndsWhatWasCached) {
  const NodeId id = kernel_.cache().id_of_number(node_);
  SetAttr change;
  change.atime = {false, {kFarAhead, 0}};
  ASSERT_TRUE(kernel_.cache().setattr(kernel_.me(), id, change, nullptr));
  EXPECT_EQ(error_of(request::read(node_, fh_, 0, 10)), 0);
  EXPECT_TRUE(is_cached(node_));
  change = SetAttr();
  change.mtime = {false, {kFarAhead + 1, 0}};
  before_each([&](std::string_view now) {
    if (now == "read") (void)kernel_.cache().setattr(kernel_.me(), id, change, nullptr);
    return Status();
  });
  EXPECT_EQ(error_of(request::read(node_, fh_, 0, 10)), 0);
  no_hook();
  EXPECT_FALSE(is_cached(node_));
}

// Over a directory on disk: files have descriptors there, and reading moves times.
class SectionsOnDisk : public ::testing::Test {
 protected:
  SectionsOnDisk() : store_(LocalStore::open(dir_.path(), {}).value()), kernel_(*store_) {
    kernel_.negotiate();
    const Answer made = kernel_.ask(request::create(kRootNumber, "f"));
    node_ = made.get<fuse_entry_out>().nodeid;
    fh_ = made.get<fuse_open_out>(sizeof(fuse_entry_out)).fh;
  }
  fuse_attr attr() { return kernel_.ask(request::getattr(node_)).get<fuse_attr_out>().attr; }

  TempDir dir_;
  std::unique_ptr<LocalStore> store_;
  FakeKernel kernel_;
  std::uint64_t node_ = 0;
  std::uint64_t fh_ = 0;
};

TEST_F(SectionsOnDisk, FlagsThatAreSetEndWhatWasCachedAndTheKernelIsTold) {
  attr();
  const auto command = static_cast<std::uint32_t>(FS_IOC_SETFLAGS);
  const std::string none(sizeof(int), '\0');
  // Whatever the source says: it may have no flags.
  kernel_.ask(request::ioctl(node_, fh_, command, none, 0));
  Attr cached;
  EXPECT_FALSE(kernel_.cache().peek_attr(kernel_.cache().id_of_number(node_), cached));
  EXPECT_EQ(kernel_.notifications(), std::vector<int>{FUSE_NOTIFY_INVAL_INODE});
}

TEST_F(SectionsOnDisk, AReadThatMovesTheAccessTimeIsSeen) {
  ASSERT_EQ(kernel_.ask(request::write(node_, fh_, 0, "bytes")).error, 0);
  fuse_setattr_in in{};
  in.valid = FATTR_ATIME | FATTR_MTIME;
  in.atime = 5;
  in.mtime = 6;
  ASSERT_TRUE(kernel_.ask(request::setattr(node_, in)).ok());
  EXPECT_EQ(attr().atime, 5U);
  EXPECT_EQ(kernel_.ask(request::read(node_, fh_, 0, 100)).text(), "bytes");
  struct stat source {};
  ASSERT_EQ(::stat((dir_.path() + "/f").c_str(), &source), 0);
  EXPECT_EQ(attr().atime, static_cast<std::uint64_t>(source.st_atim.tv_sec));
}

}  // namespace
}  // namespace evenfs::test
