// SPDX-License-Identifier: LGPL-2.1-or-later
// How the kernel is told of what others change: each thing once while it waits, in order, and all at once when
// too much waits; an inode again that the kernel is only just being told of. Nobody who adds waits.
#include "fusefs/notifier.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/store/memory_store.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

using What = Notice::What;
constexpr std::chrono::seconds kPatience{30};

// A kernel that keeps what it is told, and can be held inside one message.
class FakeSink final : public NoticeSink {
 public:
  int send(const Notice& notice) noexcept override {
    std::unique_lock lock(mutex_);
    seen_.push_back(notice);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    return answer ? answer(notice, seen_.size()) : 0;
  }
  // Until so many messages have come.
  std::vector<Notice> seen(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return seen_.size() >= count; });
    return seen_;
  }
  void hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  std::function<int(const Notice&, std::size_t)> answer;  // Before the first message.

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Notice> seen_;  // Under mutex_, as the next.
  bool held_ = false;
};

class NotifierTest : public ::testing::Test {
 protected:
  NotifierTest() {
    CacheOptions options;
    options.memory_bytes = std::uint64_t{1} << 20;
    cache_ = make_cache(Locking::kLockless, store_, options).value();
  }
  Entry mknod(std::string_view name) {
    return *cache_->mknod(me_, NodeId::root(), name_of(name), S_IFREG | 0644, 0, Cred{});
  }
  static Notice name(std::string text) { return {What::kName, 1, 0, std::move(text)}; }

  MemoryStore store_;
  WorkerRegistry registry_;
  Worker me_{registry_};
  std::unique_ptr<Cache> cache_;
  FakeSink sink_;
};

TEST_F(NotifierTest, WhatWaitsIsToldOnceAndInOrder) {
  sink_.hold(true);
  Notifier notifier(sink_, *cache_, 100);
  notifier.add(name("first"));
  sink_.seen(1);
  // The kernel is being told of the first: the same again is news.
  for (const char* text : {"first", "second", "third", "second"}) notifier.add(name(text));
  notifier.add({What::kAttributes, 1});
  notifier.add({What::kContent, 1});
  notifier.add({What::kAttributes, 1});
  EXPECT_EQ(notifier.stats().waiting, 5U);
  EXPECT_EQ(notifier.stats().merged, 2U);
  sink_.hold(false);
  const std::vector<Notice> wanted = {name("first"), name("first"),          name("second"),
                                      name("third"), {What::kAttributes, 1}, {What::kContent, 1}};
  EXPECT_EQ(sink_.seen(6), wanted);
}

// The same may wait from before, and would be told before.
TEST_F(NotifierTest, AfterARemovalTheOtherNamesOfTheObjectCount) {
  sink_.hold(true);
  Notifier notifier(sink_, *cache_, 100);
  const Notice attributes{What::kAttributes, 77};
  const Notice removed{What::kRemoved, 1, 77, "gone"};
  notifier.add(name("first"));
  sink_.seen(1);
  notifier.add(attributes);
  notifier.add(removed);
  notifier.add(attributes);
  sink_.hold(false);
  EXPECT_EQ(sink_.seen(4), (std::vector<Notice>{name("first"), attributes, removed, attributes}));
}

TEST_F(NotifierTest, WhenTooMuchWaitsAllIsTold) {
  const Entry f = mknod("f");
  const Entry g = mknod("g");
  const Entry forgotten = mknod("h");
  cache_->forget(me_, forgotten.id, 1);
  sink_.hold(true);
  Notifier notifier(sink_, *cache_, 4);
  notifier.add(name("first"));
  sink_.seen(1);
  for (const char* text : {"1", "2", "3", "4", "5", "6"}) notifier.add(name(text));
  EXPECT_EQ(notifier.stats().overflows, 1U);
  EXPECT_EQ(notifier.stats().dropped, 6U);
  EXPECT_EQ(notifier.stats().waiting, 0U);
  sink_.hold(false);
  const std::vector<Notice> wanted = {name("first"),
                                      {What::kAllNames},
                                      {What::kContent, 1},
                                      {What::kContent, f.id.raw()},
                                      {What::kContent, g.id.raw()}};
  EXPECT_EQ(sink_.seen(5), wanted);
  EXPECT_EQ(notifier.stats().everything, 1U);
  notifier.add(name("after"));
  EXPECT_EQ(sink_.seen(6).back(), name("after"));
}

// The answer that brings it to the kernel is on its way: it may be of before the change.
TEST_F(NotifierTest, AnInodeThatTheKernelIsBeingToldOfIsToldAgain) {
  const Entry f = mknod("f");
  const Notice wanted{What::kAttributes, f.id.raw()};
  sink_.answer = [](const Notice&, std::size_t count) { return count < 4 ? ENOENT : 0; };
  Notifier notifier(sink_, *cache_, 100);
  notifier.add(wanted);
  EXPECT_EQ(sink_.seen(4), std::vector<Notice>(4, wanted));
}

TEST_F(NotifierTest, AnInodeThatTheKernelHasForgottenIsNot) {
  const Entry f = mknod("f");
  cache_->forget(me_, f.id, 1);
  sink_.answer = [](const Notice& notice, std::size_t) {
    return notice.what == What::kAttributes ? ENOENT : 0;
  };
  Notifier notifier(sink_, *cache_, 100);
  const Notice unknown{What::kAttributes, f.id.raw()};
  notifier.add(unknown);
  // Twice: who has just counted it may not have been seen the first time.
  EXPECT_EQ(sink_.seen(2), std::vector<Notice>(2, unknown));
  notifier.add(name("last"));
  EXPECT_EQ(sink_.seen(3).back(), name("last"));
  // A name that the kernel does not know needs nothing.
  EXPECT_EQ(notifier.stats().unknown, 2U);
}

TEST_F(NotifierTest, WhoAddsNeverWaitsAndTheEndWaitsOnlyAsLongAsItIsTold) {
  sink_.hold(true);
  Notifier notifier(sink_, *cache_, 8);
  notifier.add(name("held"));
  sink_.seen(1);
  for (int i = 0; i < 100; ++i) notifier.add(name(std::to_string(i)));
  notifier.everything();
  EXPECT_FALSE(notifier.stop(std::chrono::milliseconds(1)));
  sink_.hold(false);
  EXPECT_TRUE(notifier.stop(kPatience));
  EXPECT_EQ(sink_.seen(1).size(), 1U);  // Nothing after the end.
}

}  // namespace
}  // namespace evenfs::test
