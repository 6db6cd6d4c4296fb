// SPDX-License-Identifier: LGPL-2.1-or-later
// Answers that the kernel does not take, as it does not (ENOENT) when whoever asked was interrupted: what the
// answer would have handed over is taken back. What the request changed stays changed.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Undelivered : public ProtocolTest {
 protected:
  void ask_in_vain(Message message) {
    kernel_.refuse_next_answer();
    EXPECT_FALSE(ask(std::move(message)).came);
  }
};

TEST_F(Undelivered, AnEntryIsNotCounted) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  EXPECT_EQ(lookups(), 1U);
  ask_in_vain(request::lookup(kRootNumber, "f"));
  ask_in_vain(request::lookup(file, "."));
  ask_in_vain(request::lookup(kRootNumber, ".."));
  ask_in_vain(request::lookup(kRootNumber, "none"));
  ask_in_vain(request::mknod(kRootNumber, "made", S_IFREG));
  ask_in_vain(request::mkdir(kRootNumber, "d"));
  ask_in_vain(request::symlink(kRootNumber, "l", "t"));
  ask_in_vain(request::link(file, kRootNumber, "g"));
  EXPECT_EQ(lookups(), 1U);
  EXPECT_EQ(attr(file).nlink, 2U);  // The link was made all the same.
  forget(file);
  expect_nothing_left();
  for (const char* name : {"made", "d", "l", "g"}) forget(lookup(kRootNumber, name));
  EXPECT_EQ(excess(), 0U);
}

// The root has no count in the statistics: more than was delivered must be too much.
TEST_F(Undelivered, TheRootIsNotCountedEither) {
  ask_in_vain(request::lookup(kRootNumber, ".."));
  forget(kRootNumber);
  EXPECT_EQ(excess(), 1U);
}

TEST_F(Undelivered, AFileThatWasOpenedIsClosed) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  ask_in_vain(request::open(file, O_RDWR));
  ask_in_vain(request::create(kRootNumber, "g"));
  ask_in_vain(request::create(kRootNumber, "f"));
  ask_in_vain(request::tmpfile(kRootNumber));
  EXPECT_EQ(kernel_.open_files(), 0U);
  EXPECT_EQ(lookups(), 1U);
  forget(file);
  expect_nothing_left();
  EXPECT_EQ(store_.objects(), 3U);  // The root and two files; the temporary one is gone.
}

TEST_F(Undelivered, ADirectoryThatWasOpenedIsClosed) {
  ask_in_vain(request::opendir(kRootNumber));
  EXPECT_EQ(kernel_.open_directories(), 0U);
  expect_nothing_left();
}

TEST_F(Undelivered, AListingCountsNoneOfItsNames) {
  for (const char* name : {"a", "b", "c"}) forget(mknod(kRootNumber, name));
  const std::uint64_t fh = handle(request::opendir(kRootNumber));
  ask_in_vain(request::readdirplus(kRootNumber, fh));
  EXPECT_EQ(lookups(), 0U);
  EXPECT_EQ(parse_listing(ask(request::readdirplus(kRootNumber, fh)), true).size(), 5U);
  EXPECT_EQ(lookups(), 3U);
}

TEST_F(Undelivered, AReleaseReleases) {
  const auto [file, fh] = create(kRootNumber, "f");
  const std::uint64_t dir = handle(request::opendir(kRootNumber));
  ask_in_vain(request::release(file, fh));
  ask_in_vain(request::releasedir(kRootNumber, dir));
  forget(file);
  expect_nothing_left();
}

TEST_F(Undelivered, WhatHandsNothingOverChangesNothingByItsLoss) {
  const auto [file, fh] = create(kRootNumber, "f");
  ask_in_vain(request::getattr(file));
  ask_in_vain(request::statx(file));
  ask_in_vain(request::write(file, fh, 0, "written"));
  ask_in_vain(request::read(file, fh, 0, 100));
  ask_in_vain(request::truncate(file, 3));
  ask_in_vain(request::setxattr(file, "user.a", "v"));
  ask_in_vain(request::getxattr(file, "user.a", 100));
  ask_in_vain(request::listxattr(file, 100));
  ask_in_vain(request::statfs(file));
  ask_in_vain(request::unlink(kRootNumber, "f"));
  EXPECT_EQ(ask(request::read(file, fh, 0, 100)).text(), "wri");
  EXPECT_EQ(attr(file).nlink, 0U);
  EXPECT_EQ(lookups(), 1U);
}

}  // namespace
}  // namespace evenfs::test
