// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes of which the kernel is asked not to tell: a file that is open for writing by its backing file, in a
// source that is really watched, behind handlers that are asked by a test. Whoever writes in the source
// counts as somebody else. Skipped where a directory cannot be marked, or where objects have no durable
// numbers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/store/local_store.h"
#include "core/store/source_events.h"
#include "fusefs/watcher.h"
#include "tests/support/fake_backing.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/recorded_notices.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

using local::SourceEvent;
using What = Notice::What;
constexpr std::uint64_t kLong = 3600;

FakeKernel::Settings watched() {
  FakeKernel::Settings settings = FakeKernel::small();
  settings.entry_timeout_s = settings.attr_timeout_s = kLong;
  settings.watched = true;
  settings.cache.ttl_ticks = kWatchedTicks;
  return settings;
}

// Looks besides that nothing of a file may be cached yet when its writes are told again.
class InOrder final : public WriteWatch {
 public:
  InOrder(Cache& cache, WriteWatch& watch) : cache_(cache), watch_(watch) {}
  bool ignore(NodeId id, int fd) noexcept override {
    EXPECT_TRUE(cache_.writes_unseen(id));
    return watch_.ignore(id, fd);
  }
  void heed(NodeId id, int fd) noexcept override {
    EXPECT_TRUE(cache_.writes_unseen(id));
    watch_.heed(id, fd);
  }

 private:
  Cache& cache_;
  WriteWatch& watch_;
};

// A file of a source, and somebody who writes to it there.
class World {
 public:
  explicit World(LocalStore& store, const std::string& path, UniqueFd events)
      : events_(std::move(events)), store_(store), path_(path), kernel_(store, watched()) {
    kernel_.negotiate();
    kernel_.pass_through(backing_);
    outsider_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    const Answer found = kernel_.ask(request::lookup(kRootNumber, "f"));
    EXPECT_EQ(found.error, 0);
    file = found.get<fuse_entry_out>().nodeid;
    backing_.set_watch(&in_order_);
    std::array<std::byte, 4096> before;
    EXPECT_GT(::read(events_.get(), before.data(), before.size()), 0);  // Of how it was made.
  }
  ~World() {
    EXPECT_EQ(kernel_.open_files(), 0U);
    EXPECT_EQ(backing_.ignored(), 0U);
    backing_.set_watch(nullptr);
  }

  std::uint64_t open(std::uint32_t flags) {
    const Answer answer = kernel_.ask(request::open(file, flags));
    EXPECT_EQ(answer.error, 0);
    return answer.get<fuse_open_out>().fh;
  }
  void close(std::uint64_t fh, std::uint32_t flags) {
    EXPECT_EQ(kernel_.ask(request::release(file, fh, flags)).error, 0);
  }
  fuse_attr_out attr() { return kernel_.ask(request::getattr(file)).get<fuse_attr_out>(); }
  bool is_cached() {
    Attr attr;
    return kernel_.cache().peek_attr(kernel_.cache().id_of_number(file), attr);
  }

  // In the source.
  void write() { EXPECT_EQ(::pwrite(outsider_.get(), "x", 1, size++), 1); }
  void chmod() { EXPECT_EQ(::fchmod(outsider_.get(), 0640), 0); }
  void end_outsider() { outsider_.reset(); }
  void remove() { EXPECT_EQ(::unlink(path_.c_str()), 0); }

  // What happened to the file since the last call, with all that follows from it. Whoever changes something has
  // queued it before he returns.
  unsigned told() {
    unsigned what = 0;
    std::array<std::byte, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(events_.get(), buffer.data(), buffer.size())) > 0;) {
      local::SourceEvents events({buffer.data(), static_cast<std::size_t>(got)});
      for (SourceEvent event; events.next(event);) {
        changes_.apply(kernel_.me(), event);
        what |= event.what;
      }
    }
    return what;
  }
  void write_until_ignored() {
    for (unsigned i = 0; i < BackingTable::kIgnoredAfter; ++i) {
      EXPECT_EQ(ignored(), 0U);
      write();
      EXPECT_EQ(told(), SourceEvent::kContent);
    }
    EXPECT_EQ(ignored(), 1U);
  }
  std::uint64_t ignored() const { return backing_.ignored(); }
  std::vector<Notice> notices(std::size_t count) { return sink_.take(count); }

  std::uint64_t file = 0;
  off_t size = 0;

 private:
  UniqueFd events_;
  LocalStore& store_;
  const std::string path_;
  FakeBacking backing_;  // Outlives the files that use it.
  FakeKernel kernel_;
  RecordedNotices sink_;
  Notifier notifier_{sink_, kernel_.cache(), 100};
  OutsideChanges changes_{
      kernel_.cache(), notifier_,
      [this](const local::HandleView& handle) { return store_.number_of(handle); }, -1, &backing_};
  IgnoredWrites ignored_{kernel_.cache(), notifier_, events_.get()};
  InOrder in_order_{kernel_.cache(), ignored_};
  UniqueFd outsider_;
};

class Ignored : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<LocalStore>> store = LocalStore::open(dir_.path(), {});
    ASSERT_TRUE(store.ok());
    store_ = std::move(*store);
    Result<UniqueFd> events = local::open_events();
    if (!events || !store_->has_numbers() || !store_->caps().has_handles ||
        !local::mark_directory(events->get(), store_->seen_by_others())) {
      GTEST_SKIP() << "the source cannot be watched here";
    }
    w.emplace(*store_, dir_ / "f", std::move(*events));
  }

  TempDir dir_;
  std::unique_ptr<LocalStore> store_;
  std::optional<World> w;
};

TEST_F(Ignored, WritesAreNotToldUntilTheLastWhoWritesHasClosed) {
  const std::uint64_t reader = w->open(O_RDONLY);
  const std::uint64_t first = w->open(O_WRONLY);
  const std::uint64_t second = w->open(O_RDWR);
  w->write_until_ignored();
  w->write();
  EXPECT_EQ(w->told(), 0U);
  w->close(second, O_RDWR);
  (void)w->told();  // That it was closed.
  w->write();
  EXPECT_EQ(w->told(), 0U);
  EXPECT_EQ(w->ignored(), 1U);
  w->close(first, O_WRONLY);
  EXPECT_EQ(w->ignored(), 0U);
  (void)w->told();
  w->write();
  EXPECT_EQ(w->told(), SourceEvent::kContent);
  w->close(reader, O_RDONLY);
}

// Whoever asks is told what is true, each time; afterwards it is kept again.
TEST_F(Ignored, AttributesAreNotKeptMeanwhile) {
  EXPECT_EQ(w->attr().attr_valid, kLong);
  const std::uint64_t fh = w->open(O_WRONLY);
  EXPECT_EQ(w->attr().attr_valid,
            kLong);  // By the kernel, who knows of its own writes and is told of others.
  w->write_until_ignored();
  for (int i = 0; i < 3; ++i) {
    w->write();
    EXPECT_EQ(w->told(), 0U);
    const fuse_attr_out now = w->attr();
    EXPECT_EQ(now.attr.size, static_cast<std::uint64_t>(w->size));
    EXPECT_EQ(now.attr_valid, 0U);
    EXPECT_EQ(now.attr_valid_nsec, 0U);
    EXPECT_FALSE(w->is_cached());
  }
  w->close(fh, O_WRONLY);
  (void)w->told();
  const fuse_attr_out now = w->attr();
  EXPECT_EQ(now.attr.size, static_cast<std::uint64_t>(w->size));
  EXPECT_EQ(now.attr_valid, kLong);
  EXPECT_TRUE(w->is_cached());
  w->write();
  EXPECT_EQ(w->told(), SourceEvent::kContent);
  EXPECT_FALSE(w->is_cached());
  EXPECT_EQ(w->attr().attr.size, static_cast<std::uint64_t>(w->size));
}

// What the kernel asked for before is outdated once more in the end: it may be true before the last write only.
TEST_F(Ignored, TheKernelIsToldOnceMoreWhenTheyAreHeeded) {
  const std::uint64_t fh = w->open(O_WRONLY);
  w->write_until_ignored();
  w->close(fh, O_WRONLY);
  // The writes were told as content.
  std::vector<Notice> all;
  do {
    all = w->notices(1);
    ASSERT_FALSE(all.empty());
  } while (all.back() != Notice{What::kAttributes, w->file});
}

TEST_F(Ignored, WhatElseHappensToItIsTold) {
  const std::uint64_t fh = w->open(O_WRONLY);
  w->write_until_ignored();
  w->chmod();
  EXPECT_EQ(w->told(), SourceEvent::kAttributes);
  w->write();
  w->end_outsider();
  EXPECT_EQ(w->told(), SourceEvent::kContent);
  w->close(fh, O_WRONLY);
}

TEST_F(Ignored, WhatIsOnlyReadIsTold) {
  const std::uint64_t fh = w->open(O_RDONLY);
  for (unsigned i = 0; i < 3 * BackingTable::kIgnoredAfter; ++i) {
    w->write();
    EXPECT_EQ(w->told(), SourceEvent::kContent);
  }
  EXPECT_EQ(w->ignored(), 0U);
  w->close(fh, O_RDONLY);
}

TEST_F(Ignored, AFileThatIsRemovedMeanwhileIsHeeded) {
  const std::uint64_t fh = w->open(O_WRONLY);
  w->write_until_ignored();
  w->remove();
  (void)w->told();
  w->close(fh, O_WRONLY);
  EXPECT_EQ(w->ignored(), 0U);
}

}  // namespace
}  // namespace evenfs::test
