// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel is told it may keep from one open to the next: a directory's listing, the target of a link.
#include <ctime>

#include "tests/support/hooked_store.h"
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::uint32_t kFromNow = FOPEN_CACHE_DIR;
constexpr std::uint32_t kAsBefore = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;

// A directory whose times are those that a test says.
class Timed final : public Directory {
 public:
  Timed(std::unique_ptr<Directory> real, const Result<Attr>& says)
      : real_(std::move(real)), says_(says) {}
  int fd() const noexcept override { return -1; }
  Status fsync(bool data_only) override { return real_->fsync(data_only); }
  Result<Attr> getattr() override { return says_; }
  Status read(std::uint64_t cookie, const std::function<bool(const DirEntry&)>& visit) override {
    return real_->read(cookie, visit);
  }

 private:
  std::unique_ptr<Directory> real_;
  const Result<Attr>& says_;
};

class KeptListing : public ::testing::Test {
 protected:
  KeptListing() : says_(Attr{}) {
    store_.wrap_directory = [this](std::unique_ptr<Directory> real) {
      return std::make_unique<Timed>(std::move(real), says_);
    };
    changed(1000);
  }

  void start(unsigned minor = FUSE_KERNEL_MINOR_VERSION) {
    kernel_.emplace(store_);
    fuse_init_in in = FakeKernel::init_of_today();
    in.minor = minor;
    ASSERT_TRUE(kernel_->ask(Message(FUSE_INIT, 0).add(in)).ok());
  }
  // The directory has been changed that long ago, and is read last afterwards.
  void changed(std::int64_t seconds_ago) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    says_->mtime = says_->ctime = {now.tv_sec - seconds_ago, 0};
    says_->atime = {now.tv_sec, 0};
  }
  std::uint32_t open_flags() {
    const Answer answer = kernel_->ask(request::opendir(kRootNumber));
    EXPECT_TRUE(answer.ok());
    if (!answer.ok()) return ~0U;
    const auto open = answer.get<fuse_open_out>();
    EXPECT_EQ(kernel_->ask(request::releasedir(kRootNumber, open.fh)).error, 0);
    return open.open_flags;
  }

  Result<Attr> says_;
  MemoryStore memory_;
  HookedStore store_{memory_};
  std::optional<FakeKernel> kernel_;
};

TEST_F(KeptListing, IsUsedAgainWhileTheDirectoryRests) {
  start();
  EXPECT_EQ(open_flags(), kFromNow);
  EXPECT_EQ(open_flags(), kAsBefore);
  EXPECT_EQ(open_flags(), kAsBefore);
}

TEST_F(KeptListing, IsReadAnewAfterAChange) {
  start();
  open_flags();
  changed(500);
  EXPECT_EQ(open_flags(), kFromNow);
  EXPECT_EQ(open_flags(), kAsBefore);
}

TEST_F(KeptListing, OfAChangeIsNoticedThoughMtimeWasSetBack) {
  start();
  open_flags();
  says_->ctime.sec += 1;
  EXPECT_EQ(open_flags(), kFromNow);
}

TEST_F(KeptListing, IsNotKeptWhileAnotherChangeCouldHaveTheSameTime) {
  start();
  open_flags();
  changed(0);
  EXPECT_EQ(open_flags(), 0U);
  EXPECT_EQ(open_flags(), 0U);
  changed(1000);
  EXPECT_EQ(open_flags(), kFromNow);
}

TEST_F(KeptListing, IsNotKeptWhenReadingItMovesTheAccessTime) {
  store_.set_atime_rule(AtimeRule::kRelative);
  start();
  EXPECT_EQ(open_flags(), kFromNow);
  says_->atime.sec -= 2000;  // Before the last change.
  EXPECT_EQ(open_flags(), 0U);
}

TEST_F(KeptListing, IsNotKeptOfADirectoryThatTellsNothing) {
  says_ = Errno(EIO);
  start();
  EXPECT_EQ(open_flags(), 0U);
}

TEST_F(KeptListing, IsNotKeptByKernelsThatWouldNotLetItGo) {
  for (const unsigned minor : {40U, 41U}) {  // Linux 6.9 to 6.12.
    start(minor);
    EXPECT_EQ(open_flags(), 0U) << minor;
  }
  for (const unsigned minor : {39U, 42U}) {
    start(minor);
    EXPECT_EQ(open_flags(), kFromNow) << minor;
  }
}

TEST(KeptLink, IsKeptWhereReadingItMovesNoAccessTime) {
  for (const AtimeRule rule : {AtimeRule::kNever, AtimeRule::kRelative, AtimeRule::kAlways}) {
    MemoryStore memory;
    HookedStore store(memory);
    store.set_atime_rule(rule);
    FakeKernel kernel(store);
    const std::uint32_t agreed = kernel.negotiate().flags;
    EXPECT_EQ((agreed & FUSE_CACHE_SYMLINKS) != 0, rule == AtimeRule::kNever);
  }
}

}  // namespace
}  // namespace evenfs::test
