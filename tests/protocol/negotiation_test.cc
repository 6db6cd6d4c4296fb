// SPDX-License-Identifier: LGPL-2.1-or-later
// INIT, what comes before it, and DESTROY.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Negotiation : public ::testing::Test {
 protected:
  Answer init(const fuse_init_in& in) { return kernel_.ask(Message(FUSE_INIT, 0).add(in)); }

  MemoryStore store_;
  FakeKernel kernel_{store_};
};

TEST_F(Negotiation, WhatEvenfsNeedsIsAskedForAndWhatItCannotDoIsNot) {
  const Answer answer = init(FakeKernel::init_of_today());
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer.body.size(), sizeof(fuse_init_out));
  const auto out = answer.get<fuse_init_out>();
  EXPECT_EQ(out.major, 7U);
  EXPECT_EQ(out.max_write, kWriteBytesMax);
  EXPECT_EQ(out.max_pages, kWriteBytesMax / 4096);
  EXPECT_EQ(out.max_background, 1024U);
  const std::uint32_t needed = FUSE_ASYNC_READ | FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES |
                               FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
                               FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL |
                               FUSE_HANDLE_KILLPRIV_V2 | FUSE_CACHE_SYMLINKS;
  EXPECT_EQ(out.flags & needed, needed);
  const std::uint32_t unwanted = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC |
                                 FUSE_HANDLE_KILLPRIV | FUSE_WRITEBACK_CACHE |
                                 FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT | FUSE_SETXATTR_EXT;
  EXPECT_EQ(out.flags & unwanted, 0U);
}

TEST_F(Negotiation, AKernelThatOffersNothingGetsNothingItDidNotOffer) {
  fuse_init_in in = FakeKernel::init_of_today();
  in.flags = 0;
  const Answer answer = init(in);
  ASSERT_TRUE(answer.ok());
  // libfuse always says big writes, which a kernel that does not know them passes over.
  EXPECT_EQ(answer.get<fuse_init_out>().flags & ~static_cast<std::uint32_t>(FUSE_BIG_WRITES), 0U);
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, 0);
}

TEST_F(Negotiation, AllFlagsAtOnceWithAHugeReadaheadAreAgreedUpon) {
  fuse_init_in in = FakeKernel::init_of_today();
  in.max_readahead = ~0U;
  in.flags2 = ~0U;
  std::ranges::fill(in.unused, ~0U);
  const Answer answer = init(in);
  ASSERT_TRUE(answer.ok());
  // No passthrough, no io_uring, no idmapped mounts: they are of the second word.
  EXPECT_EQ(answer.get<fuse_init_out>().flags2, 0U);
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, 0);
}

TEST_F(Negotiation, AnOldMinorGetsTheShorterAnswerOfItsTime) {
  fuse_init_in in = FakeKernel::init_of_today();
  in.minor = 12;
  const Answer answer = init(in);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.body.size(), static_cast<std::size_t>(FUSE_COMPAT_22_INIT_OUT_SIZE));
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, 0);
}

TEST_F(Negotiation, ANewerMajorIsToldOursAndMayAskAgain) {
  fuse_init_in in = FakeKernel::init_of_today();
  in.major = 8;
  const Answer first = init(in);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first.get<fuse_init_out>().major, 7U);
  EXPECT_NE(kernel_.ask(request::getattr(kRootNumber)).error, 0);
  in.major = 7;
  EXPECT_TRUE(init(in).ok());
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, 0);
}

TEST_F(Negotiation, AnOlderMajorIsRefused) {
  fuse_init_in in = FakeKernel::init_of_today();
  in.major = 6;
  EXPECT_EQ(init(in).error, EPROTO);
}

// Both are libfuse's own answers; what counts is that no handler has run.
TEST_F(Negotiation, NothingIsAnsweredBeforeInitAndInitIsAnsweredOnce) {
  EXPECT_EQ(kernel_.ask(request::mkdir(kRootNumber, "early")).error, EIO);
  EXPECT_EQ(store_.objects(), 1U);
  kernel_.negotiate();
  EXPECT_EQ(init(FakeKernel::init_of_today()).error, EIO);
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, 0);
}

TEST_F(Negotiation, DestroyIsAnsweredAndNothingAfterIt) {
  kernel_.negotiate();
  const Answer made = kernel_.ask(request::create(kRootNumber, "open"));
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(kernel_.ask(Message(FUSE_DESTROY, 0)).error, 0);
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).error, EIO);
  // What was not released and forgotten goes with the daemon; AddressSanitizer sees what does not.
  EXPECT_EQ(kernel_.open_files(), 1U);
}

}  // namespace
}  // namespace evenfs::test
