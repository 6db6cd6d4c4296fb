// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel is told it may keep from one open to the next: a directory's listing, the target of a link.
#include <ctime>
#include <map>
#include <set>

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

// Names that the daemon keeps: the source is not opened for them.
class KeptNames : public ::testing::Test {
 protected:
  KeptNames() { kernel_.negotiate(); }

  Answer ask(Message message) { return kernel_.ask(std::move(message)); }
  std::uint64_t made(Message message) {
    const Answer answer = ask(std::move(message));
    EXPECT_TRUE(answer.ok());
    return answer.ok() ? answer.get<fuse_entry_out>().nodeid : 0;
  }
  std::uint64_t mkdir(std::uint64_t dir, std::string_view name) {
    return made(request::mkdir(dir, name));
  }
  std::uint64_t mknod(std::uint64_t dir, std::string_view name) {
    return made(request::mknod(dir, name, S_IFREG | 0644));
  }
  std::uint64_t opendir(std::uint64_t dir) {
    const Answer answer = ask(request::opendir(dir));
    EXPECT_TRUE(answer.ok());
    return answer.ok() ? answer.get<fuse_open_out>().fh : 0;
  }
  void close(std::uint64_t dir, std::uint64_t fh) {
    EXPECT_EQ(ask(request::releasedir(dir, fh)).error, 0);
  }
  // From `offset` on, two names at a time.
  std::multiset<std::string> names(std::uint64_t dir, std::uint64_t fh, std::uint64_t offset = 0) {
    std::multiset<std::string> names;
    for (int calls = 0; calls < 100; ++calls) {
      const Answer answer = ask(request::readdir(dir, fh, offset, 64));
      EXPECT_TRUE(answer.ok());
      if (!answer.ok() || answer.body.empty()) return names;
      for (const Listed& one : parse_listing(answer, false)) {
        names.emplace(one.name);
        offset = one.next;
      }
    }
    ADD_FAILURE() << "a listing without an end";
    return names;
  }
  std::multiset<std::string> list(std::uint64_t dir) {
    const std::uint64_t fh = opendir(dir);
    std::multiset<std::string> all = names(dir, fh);
    close(dir, fh);
    return all;
  }
  std::uint64_t opened() const { return store_.calls("opendir"); }

  MemoryStore memory_;
  HookedStore store_{memory_};
  FakeKernel kernel_{store_};
  const std::multiset<std::string> all_{".", "..", "a", "b", "c"};
};

TEST_F(KeptNames, AnswerTheNextListing) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  for (const char* name : {"a", "b", "c"}) mknod(dir, name);
  EXPECT_EQ(list(dir), all_);
  EXPECT_EQ(opened(), 1U);
  EXPECT_EQ(list(dir), all_);
  EXPECT_EQ(opened(), 1U);
  EXPECT_EQ(kernel_.count(Counter::kListingHit), 1U);
  EXPECT_EQ(kernel_.count(Counter::kListingStore), 1U);
  mknod(dir, "e");
  EXPECT_EQ(list(dir).count("e"), 1U);
  EXPECT_EQ(opened(), 2U);
}

TEST_F(KeptNames, AnswerAListingWithAttributes) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  const std::uint64_t a = mknod(dir, "a");
  list(dir);
  const std::uint64_t fh = opendir(dir);
  const Answer answer = ask(request::readdirplus(dir, fh));
  ASSERT_TRUE(answer.ok());
  std::map<std::string, std::uint64_t> numbers;
  for (const Listed& one : parse_listing(answer, true)) numbers.emplace(one.name, one.nodeid);
  EXPECT_EQ(numbers, (std::map<std::string, std::uint64_t>{{".", 0}, {"..", 0}, {"a", a}}));
  EXPECT_EQ(opened(), 1U);
  close(dir, fh);
}

// A directory that was opened on the source before its names were kept.
TEST_F(KeptNames, AreNotWhatWasReadWhileTheyAnswered) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  for (const char* name : {"a", "b", "c"}) mknod(dir, name);
  const std::uint64_t fh = opendir(dir);
  list(dir);
  EXPECT_EQ(names(dir, fh), all_);
  EXPECT_EQ(kernel_.count(Counter::kListingHit), 1U);
  EXPECT_EQ(list(dir), all_);
  EXPECT_EQ(names(dir, fh), all_);
  close(dir, fh);
}

// One that is going on goes on with what it began with, and the next from the start shows the change.
TEST_F(KeptNames, AreForOneListingFromItsStart) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  for (const char* name : {"a", "b", "c"}) mknod(dir, name);
  list(dir);
  const std::uint64_t fh = opendir(dir);
  const Answer answer = ask(request::readdir(dir, fh, 0, 64));
  ASSERT_TRUE(answer.ok());
  const std::uint64_t offset = parse_listing(answer, false).back().next;
  mknod(dir, "e");
  EXPECT_EQ(names(dir, fh, offset), (std::multiset<std::string>{"a", "b", "c"}));
  EXPECT_EQ(opened(), 1U);
  EXPECT_EQ(names(dir, fh).count("e"), 1U);
  EXPECT_EQ(opened(), 2U);
  close(dir, fh);
}

// A place in a listing means the same to the source, which is asked for one that the kept names do not have.
TEST_F(KeptNames, AreLeftForTheSourceAtAPlaceTheyDoNotKnow) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  const std::uint64_t a = mknod(dir, "a");
  const std::uint64_t before = opendir(dir);
  ask(request::readdir(dir, before, 0, 4096));
  close(dir, before);
  EXPECT_EQ(ask(request::unlink(dir, "a")).error, 0);
  kernel_.ask(request::forget(a, 1));
  mknod(dir, "b");
  list(dir);
  const std::uint64_t fh = opendir(dir);
  EXPECT_EQ(names(dir, fh), (std::multiset<std::string>{".", "..", "b"}));
  const std::uint64_t so_far = opened();
  EXPECT_EQ(names(dir, fh, 3), (std::multiset<std::string>{"b"}));  // Behind "a".
  EXPECT_EQ(opened(), so_far + 1);
  close(dir, fh);
}

TEST_F(KeptNames, AreNotMadeOfAListingThatWasNotReadThrough) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  for (const char* name : {"a", "b", "c"}) mknod(dir, name);
  const std::uint64_t fh = opendir(dir);
  const Answer first = ask(request::readdir(dir, fh, 0, 64));
  ask(request::readdir(dir, fh, 0, 64));
  EXPECT_EQ(names(dir, fh, parse_listing(first, false).back().next).size(), 3U);
  close(dir, fh);
  EXPECT_EQ(list(dir), all_);
  EXPECT_EQ(opened(), 2U);
}

// Some sources list what was there when the directory was opened.
TEST_F(KeptNames, AreNotMadeOfADirectoryThatChangedWhileItWasOpened) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  store_.after("opendir", [&] {
    const NodeId id = kernel_.cache().id_of_number(dir);
    EXPECT_TRUE(
        kernel_.cache().mknod(kernel_.me(), id, *NameRef::make("a"), S_IFREG, 0, Cred{}).ok());
  });
  list(dir);
  EXPECT_EQ(store_.hooks_left(), 0U);
  EXPECT_EQ(opened(), 1U);
  list(dir);
  EXPECT_EQ(opened(), 2U);
}

TEST_F(KeptNames, ADirectoryIsOpenedWhenMoreThanItsNamesIsWanted) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  list(dir);
  const std::uint64_t fh = opendir(dir);
  EXPECT_EQ(opened(), 1U);
  EXPECT_EQ(ask(request::fsync(FUSE_FSYNCDIR, dir, fh)).error, 0);
  EXPECT_EQ(opened(), 2U);
  EXPECT_EQ(ask(request::fsync(FUSE_FSYNCDIR, dir, fh)).error, 0);
  EXPECT_EQ(opened(), 2U);
  EXPECT_EQ(names(dir, fh).size(), 2U);
  close(dir, fh);
}

TEST_F(KeptNames, NothingIsLeftOfADirectoryThatWasRemovedWhileItIsOpen) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  list(dir);
  const std::uint64_t fh = opendir(dir);
  EXPECT_EQ(ask(request::rmdir(kRootNumber, "d")).error, 0);
  EXPECT_TRUE(names(dir, fh).empty());
  close(dir, fh);
}

TEST_F(KeptNames, ADirectoryThatTheSourceHasLostIsStaleAndNotEmpty) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  list(dir);
  const std::uint64_t fh = opendir(dir);
  mknod(dir, "a");  // The kept names are not right any more.
  store_.fail("opendir", ESTALE);
  EXPECT_EQ(ask(request::readdir(dir, fh)).error, ESTALE);
  store_.fail("opendir", ENOENT);
  EXPECT_EQ(ask(request::readdir(dir, fh)).error, ESTALE);
  store_.fail("opendir", EIO);
  EXPECT_EQ(ask(request::readdir(dir, fh)).error, EIO);
  store_.fail("opendir", ESTALE);
  EXPECT_EQ(ask(request::fsync(FUSE_FSYNCDIR, dir, fh)).error, ESTALE);
  EXPECT_EQ(names(dir, fh).size(), 3U);
  close(dir, fh);
}

// What the kernel keeps from now on has to be of now: it goes by the times that the directory has now.
TEST(KeptNamesAndTimes, AreNotWhatTheKernelKeepsWhereOthersMayChangeThem) {
  MemoryStore memory;
  HookedStore store(memory);
  Result<Attr> says = Attr{};
  store.wrap_directory = [&](std::unique_ptr<Directory> real) {
    return std::make_unique<Timed>(std::move(real), says);
  };
  FakeKernel::Settings settings = FakeKernel::small();
  settings.cache.ttl_ticks = 1000;
  FakeKernel kernel(store, settings);
  kernel.negotiate();
  const auto names = [&](std::uint32_t expected) {
    const Answer answer = kernel.ask(request::opendir(kRootNumber));
    EXPECT_EQ(answer.get<fuse_open_out>().open_flags, expected);
    const std::uint64_t fh = answer.get<fuse_open_out>().fh;
    const std::size_t count =
        parse_listing(kernel.ask(request::readdir(kRootNumber, fh)), false).size();
    kernel.ask(request::readdir(kRootNumber, fh, count));
    EXPECT_EQ(kernel.ask(request::releasedir(kRootNumber, fh)).error, 0);
    return count;
  };
  EXPECT_EQ(names(kFromNow), 2U);
  const Node root = memory.root().value().node;
  EXPECT_TRUE(memory.mknod(root, *NameRef::make("behind"), S_IFREG, 0, Cred{}).ok());
  memory.release(root);
  says->ctime.sec = says->mtime.sec = 5;
  EXPECT_EQ(names(kFromNow), 3U);
}

TEST(KeptNamesAndTimes, AreNotUsedWhereAListingMovesTheAccessTime) {
  MemoryStore memory;
  HookedStore store(memory);
  store.set_atime_rule(AtimeRule::kAlways);
  FakeKernel kernel(store);
  kernel.negotiate();
  for (int i = 1; i <= 3; ++i) {
    const Answer answer = kernel.ask(request::opendir(kRootNumber));
    ASSERT_TRUE(answer.ok());
    const std::uint64_t fh = answer.get<fuse_open_out>().fh;
    EXPECT_TRUE(kernel.ask(request::readdir(kRootNumber, fh)).ok());
    EXPECT_EQ(kernel.ask(request::releasedir(kRootNumber, fh)).error, 0);
    EXPECT_EQ(store.calls("opendir"), static_cast<std::uint64_t>(i));
    EXPECT_EQ(kernel.count(Counter::kListingHit), 0U);
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
