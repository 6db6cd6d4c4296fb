// SPDX-License-Identifier: LGPL-2.1-or-later
// Each request about open files and directories in its normal form; and those that nobody answers.
#include <linux/falloc.h>
#include <linux/fs.h>
#include <unistd.h>

#include <set>

#include "core/store/local_store.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

class Files : public ProtocolTest {};

TEST_F(Files, AFileIsMadeWrittenReadAndReleased) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(kernel_.open_files(), 1U);
  const Answer written = ask(request::write(file, fh, 2, "hello"));
  ASSERT_EQ(written.body.size(), sizeof(fuse_write_out));
  EXPECT_EQ(written.get<fuse_write_out>().size, 5U);
  EXPECT_EQ(ask(request::read(file, fh, 0, 100)).text(), std::string_view("\0\0hello", 7));
  EXPECT_EQ(ask(request::read(file, fh, 5, 2)).text(), "lo");
  EXPECT_EQ(ask(request::read(file, fh, 7, 100)).text(), "");
  EXPECT_EQ(ask(request::getattr_of_file(file, fh)).get<fuse_attr_out>().attr.size, 7U);
  EXPECT_EQ(error_of(request::flush(file, fh)), 0);
  EXPECT_EQ(error_of(request::fsync(FUSE_FSYNC, file, fh)), 0);
  EXPECT_EQ(error_of(request::release(file, fh)), 0);
  EXPECT_EQ(kernel_.open_files(), 0U);
  forget(file);
  expect_nothing_left();
}

TEST_F(Files, AnOpenFileOutlivesItsNameAndATemporaryOneNeedsNone) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), 0);
  EXPECT_EQ(ask(request::write(file, fh, 0, "x")).error, 0);
  EXPECT_EQ(attr(file).nlink, 0U);
  const auto [temporary, temporary_fh] = opened(request::tmpfile(kRootNumber));
  EXPECT_EQ(attr(temporary).nlink, 0U);
  EXPECT_EQ(entry(request::link(temporary, kRootNumber, "named")), temporary);
  EXPECT_EQ(attr(temporary).nlink, 1U);
  EXPECT_EQ(error_of(request::release(file, fh)), 0);
  EXPECT_EQ(error_of(request::release(temporary, temporary_fh)), 0);
  forget(file);
  forget(temporary, 2);
  expect_nothing_left();
}

TEST_F(Files, OpenGivesEachCallerAFileOfItsOwnAndRefusesWhatIsNoFile) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  const std::uint64_t reader = handle(request::open(file, O_RDONLY));
  const std::uint64_t writer = handle(request::open(file, O_WRONLY));
  EXPECT_NE(reader, writer);
  EXPECT_EQ(ask(request::write(file, writer, 0, "abc")).error, 0);
  EXPECT_EQ(ask(request::read(file, reader, 0, 3)).text(), "abc");
  EXPECT_EQ(ask(request::read(file, writer, 0, 3)).error, EBADF);
  EXPECT_EQ(ask(request::write(file, reader, 0, "abc")).error, EBADF);
  EXPECT_EQ(error_of(request::open(kRootNumber, O_RDONLY)), EISDIR);
  EXPECT_EQ(error_of(request::opendir(file)), ENOTDIR);
  EXPECT_EQ(error_of(request::release(file, reader)), 0);
  EXPECT_EQ(error_of(request::release(file, writer)), 0);
}

TEST_F(Files, RoomIsSetAsideHolesAreMadeAndFoundAndRangesCopied) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(error_of(request::fallocate(file, fh, 0, 3 * 4096)), 0);
  EXPECT_EQ(attr(file).size, 3U * 4096);
  constexpr std::uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  EXPECT_EQ(error_of(request::fallocate(file, fh, 4096, 4096, kPunch)), 0);
  const auto at = [](const Answer& answer) { return answer.get<fuse_lseek_out>().offset; };
  EXPECT_EQ(at(ask(request::lseek(file, fh, 0, SEEK_HOLE))), 4096U);
  EXPECT_EQ(at(ask(request::lseek(file, fh, 4096, SEEK_DATA))), 2U * 4096);
  EXPECT_EQ(error_of(request::lseek(file, fh, 0, SEEK_END)), EINVAL);
  EXPECT_EQ(ask(request::write(file, fh, 0, "copied")).error, 0);
  const auto [other, other_fh] = create(kRootNumber, "g");
  const Answer copied = ask(request::copy_file_range(file, fh, other, other_fh, 6));
  EXPECT_EQ(copied.get<fuse_write_out>().size, 6U);
  EXPECT_EQ(ask(request::read(other, other_fh, 0, 100)).text(), "copied");
}

TEST_F(Files, TheSecondFormOfCopyFileRangeCopiesToo) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(ask(request::write(file, fh, 0, "copied")).error, 0);
  Message message = request::copy_file_range(file, fh, file, fh, 3);
  message.header.opcode = kOpCopyFileRange64;
  const Answer copied = ask(message);
  // A libfuse that does not know it yet says so, and the kernel sends the first form.
  if (copied.error == ENOSYS) GTEST_SKIP() << "this libfuse does not know it";
  EXPECT_EQ(copied.get<std::uint64_t>(), 3U);
}

TEST_F(Files, AListingHasEachNameOnceAndGoesOnWhereItStopped) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  for (const char* name : {"a", "b", "c", "d"}) mknod(dir, name);
  const std::uint64_t fh = handle(request::opendir(dir));
  std::multiset<std::string> names;
  std::uint64_t offset = 0;
  constexpr std::uint32_t kTwoEntries = 64;
  for (int calls = 0; calls < 10; ++calls) {
    const Answer answer = ask(request::readdir(dir, fh, offset, kTwoEntries));
    ASSERT_TRUE(answer.ok());
    if (answer.body.empty()) break;
    for (const Listed& one : parse_listing(answer, false)) {
      names.emplace(one.name);
      offset = one.next;
    }
  }
  EXPECT_EQ(names, (std::multiset<std::string>{".", "..", "a", "b", "c", "d"}));
  EXPECT_EQ(error_of(request::fsync(FUSE_FSYNCDIR, dir, fh)), 0);
  EXPECT_EQ(error_of(request::releasedir(dir, fh)), 0);
  EXPECT_EQ(kernel_.open_directories(), 0U);
}

TEST_F(Files, AListingWithAttributesCountsEachNameButNotTheDots) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  const std::uint64_t a = mknod(dir, "a");
  const std::uint64_t b = mknod(dir, "b");
  const std::uint64_t fh = handle(request::opendir(dir));
  const Answer answer = ask(request::readdirplus(dir, fh));
  ASSERT_TRUE(answer.ok());
  std::map<std::string, std::uint64_t> numbers;
  for (const Listed& one : parse_listing(answer, true)) {
    numbers.emplace(one.name, one.nodeid);
  }
  EXPECT_EQ(numbers,
            (std::map<std::string, std::uint64_t>{{".", 0}, {"..", 0}, {"a", a}, {"b", b}}));
  EXPECT_EQ(lookups(), 5U);
  EXPECT_EQ(error_of(request::releasedir(dir, fh)), 0);
  forget(a, 2);
  forget(b, 2);
  forget(dir);
  expect_nothing_left();
}

TEST_F(Files, WhatDoesNotFitIntoAListingIsNotCounted) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  forget(mknod(dir, "a"));
  forget(mknod(dir, "b"));
  const std::uint64_t fh = handle(request::opendir(dir));
  // From behind the dots: room for none, and for one.
  EXPECT_TRUE(ask(request::readdirplus(dir, fh, 2, 100)).body.empty());
  EXPECT_EQ(lookups(), 1U);
  EXPECT_EQ(parse_listing(ask(request::readdirplus(dir, fh, 2, 200)), true).size(), 1U);
  EXPECT_EQ(lookups(), 2U);
}

// The source's own O_APPEND would put there what has a place: pages that are written back.
TEST_F(Files, AWriteGoesWhereItSaysAlsoByAFileThatWasOpenedToAppend) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(error_of(request::write(file, fh, 0, "bytes")), 0);
  const std::uint64_t appending = handle(request::open(file, O_RDWR | O_APPEND));
  EXPECT_EQ(error_of(request::write_back(file, appending, 0, "B")), 0);
  EXPECT_EQ(error_of(request::write(file, appending, 5, "+")), 0);
  EXPECT_EQ(ask(request::read(file, fh, 0, 100)).text(), "Bytes+");
}

TEST_F(Files, ACreateThatMustBeNewOpensNothingThatIsThere) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  EXPECT_EQ(error_of(request::create(kRootNumber, "f", O_RDWR | O_EXCL)), EEXIST);
  EXPECT_EQ(create(kRootNumber, "f").node, file);
  EXPECT_EQ(kernel_.open_files(), 1U);
}

// A read or a listing of 4 GiB is no kernel's, and must not cost 4 GiB.
TEST_F(Files, AReadOrListingThatAsksForMoreThanWasAgreedGetsWhatWasAgreed) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(error_of(request::truncate(file, std::uint64_t{1} << 32)), 0);
  EXPECT_EQ(ask(request::read(file, fh, 0, ~0U)).body.size(), kAnswerBytesMax);
  EXPECT_EQ(ask(request::read(file, fh, 0, kAnswerBytesMax)).body.size(), kAnswerBytesMax);
  const std::uint64_t dir = handle(request::opendir(kRootNumber));
  EXPECT_EQ(parse_listing(ask(request::readdir(kRootNumber, dir, 0, ~0U)), false).size(), 3U);
  EXPECT_EQ(parse_listing(ask(request::readdirplus(kRootNumber, dir, 0, ~0U)), true).size(), 3U);
  EXPECT_EQ(error_of(request::getxattr(file, "user.none", ~0U)), ENODATA);
  EXPECT_EQ(error_of(request::listxattr(file, ~0U)), 0);
  EXPECT_EQ(kernel_.buffer_bytes(), kAnswerBytesMax);
}

TEST_F(Files, LocksPollBmapInterruptAndWhatNobodyKnowsAreNotImplemented) {
  const auto [file, fh] = create(kRootNumber, "f");
  const auto error = [&](std::uint32_t opcode, const auto& in) {
    return error_of(Message(opcode, file).add(in));
  };
  fuse_lk_in lock{};
  lock.fh = fh;
  for (const std::uint32_t opcode : {FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW}) {
    EXPECT_EQ(error(opcode, lock), ENOSYS);
  }
  lock.lk_flags = FUSE_LK_FLOCK;
  EXPECT_EQ(error(FUSE_SETLKW, lock), ENOSYS);
  EXPECT_EQ(error(FUSE_POLL, fuse_poll_in{fh, 1, FUSE_POLL_SCHEDULE_NOTIFY, 1}), ENOSYS);
  EXPECT_EQ(error(FUSE_BMAP, fuse_bmap_in{0, 4096, 0}), ENOSYS);
  EXPECT_EQ(error(kOpSyncfs, fuse_syncfs_in{}), ENOSYS);
  // Of a request that is not there. The first one tells the kernel to send no more of them.
  EXPECT_EQ(error(FUSE_INTERRUPT, fuse_interrupt_in{12345}), ENOSYS);
  for (const std::uint32_t opcode : {0U, 7U, 19U, 48U, 49U, 63U, 0x7fff'ffffU, ~0U}) {
    EXPECT_EQ(error(opcode, fuse_lk_in{}), ENOSYS) << opcode;
  }
}

// Over a directory on disk, where files have descriptors.
TEST(FilesOnDisk, AnIoctlReadsFlagsAndRefusesWhatItDoesNotKnow) {
  TempDir dir;
  const Result<std::unique_ptr<LocalStore>> store = LocalStore::open(dir.path(), {});
  ASSERT_TRUE(store.ok());
  FakeKernel kernel(**store);
  kernel.negotiate();
  const std::uint64_t pinned = (*store)->stats().pinned_descriptors;
  const Answer made = kernel.ask(request::create(kRootNumber, "f"));
  ASSERT_TRUE(made.ok());
  const std::uint64_t file = made.get<fuse_entry_out>().nodeid;
  const std::uint64_t fh = made.get<fuse_open_out>(sizeof(fuse_entry_out)).fh;
  const auto ioctl = [&](std::uint64_t command, std::string_view in, std::uint32_t out) {
    return kernel.ask(request::ioctl(file, fh, static_cast<std::uint32_t>(command), in, out));
  };
  const Answer flags = ioctl(FS_IOC_GETFLAGS, "", 4);
  if (flags.error != ENOTTY && flags.error != EOPNOTSUPP) {
    EXPECT_EQ(flags.error, 0);
    EXPECT_EQ(flags.body.size(), sizeof(fuse_ioctl_out) + sizeof(int));
  }
  EXPECT_EQ(ioctl(FS_IOC_SETFLAGS, "", 0).error, EINVAL);       // Nothing to set.
  EXPECT_EQ(ioctl(FS_IOC_FSSETXATTR, "abc", 0).error, EINVAL);  // Too little.
  EXPECT_EQ(ioctl(0x5401, "", 4).error, ENOTTY);
  EXPECT_EQ(kernel.ask(request::write(file, fh, 0, "on disk")).error, 0);
  EXPECT_EQ(kernel.ask(request::read(file, fh, 3, 100)).text(), "disk");
  EXPECT_EQ(kernel.ask(request::release(file, fh)).error, 0);
  kernel.ask(request::forget(file, 1));
  kernel.cache().drop_unused(kernel.me());
  EXPECT_EQ(kernel.stats().inodes, 1U);
  EXPECT_EQ((*store)->stats().pinned_descriptors, pinned);
}

// Who has to see each change reads at the source: the kernel's pages may be older than the attributes it has.
TEST(Pages, AreNoneWhereNothingMayBeServedTwice) {
  struct Case {
    std::uint64_t ttl_ticks;
    double attr_timeout_s;
    std::uint32_t offered;
    std::uint32_t opened;
  };
  constexpr std::uint32_t kOffered =
      1U << (36 - 32);  // FUSE_DIRECT_IO_ALLOW_MMAP, newer than some headers.
  for (const auto& [ttl_ticks, attr_timeout_s, offered, opened] :
       {Case{0, 0, kOffered, FOPEN_DIRECT_IO}, Case{0, 0, 0, 0}, Case{0, 1, kOffered, 0},
        Case{100, 0, kOffered, 0}}) {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.cache.ttl_ticks = ttl_ticks;
    settings.attr_timeout_s = attr_timeout_s;
    MemoryStore store;
    FakeKernel kernel(store, settings);
    fuse_init_in in = FakeKernel::init_of_today();
    in.flags2 = offered;
    ASSERT_TRUE(kernel.ask(Message(FUSE_INIT, 0).add(in)).ok());
    const Answer created = kernel.ask(request::create(kRootNumber, "f"));
    ASSERT_TRUE(created.ok());
    const std::uint64_t file = created.get<fuse_entry_out>().nodeid;
    const Answer again = kernel.ask(request::open(file, O_RDONLY));
    ASSERT_TRUE(again.ok());
    const auto flags = [](const fuse_open_out& open) { return open.open_flags & FOPEN_DIRECT_IO; };
    EXPECT_EQ(flags(created.get<fuse_open_out>(sizeof(fuse_entry_out))), opened);
    EXPECT_EQ(flags(again.get<fuse_open_out>()), opened);
  }
}

}  // namespace
}  // namespace evenfs::test
