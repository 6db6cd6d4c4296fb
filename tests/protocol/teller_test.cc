// SPDX-License-Identifier: LGPL-2.1-or-later
// That a name is not there is said only if nobody may have made it by then whom the cache has not heard of.
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "fusefs/watcher.h"
#include "tests/support/event_bytes.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

struct FakeTeller final : Teller {
  bool is_behind() const noexcept override {
    if (asked) asked();
    return behind;
  }
  bool behind = false;
  std::function<void()> asked;
};

class Told : public ::testing::Test {
 protected:
  static MemoryStore::Options counted(int& lookups) {
    MemoryStore::Options options;
    options.durable = true;
    options.before = [&lookups](std::string_view operation) {
      if (operation == "lookup") ++lookups;
      return Status();
    };
    return options;
  }
  FakeKernel::Settings settings() const {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.watched = true;
    settings.cache.ttl_ticks = kWatchedTicks;
    settings.teller = &teller_;
    return settings;
  }
  void SetUp() override { kernel_.negotiate(); }

  std::uint64_t look(std::string_view name) {
    const Answer answer = kernel_.ask(request::lookup(kRootNumber, name));
    EXPECT_EQ(answer.error, 0);
    return answer.ok() ? answer.get<fuse_entry_out>().nodeid : 0;
  }

  int lookups_ = 0;
  FakeTeller teller_;
  MemoryStore store_{counted(lookups_)};
  StoreUser others_{store_};
  FakeKernel kernel_{store_, settings()};
};

TEST_F(Told, ANameIsLookedForAgainIfThereMayBeNewsOfIt) {
  EXPECT_EQ(look("f"), 0U);
  const Held made = others_.file(others_.root, "f");
  EXPECT_EQ(look("f"), 0U);
  EXPECT_EQ(lookups_, 1);
  teller_.behind = true;
  const std::uint64_t found = look("f");
  EXPECT_NE(found, 0U);
  EXPECT_EQ(lookups_, 2);
  EXPECT_EQ(look("f"), found);
  EXPECT_EQ(lookups_, 2);
  EXPECT_EQ(kernel_.stats().kernel_lookups, 2U);
}

TEST_F(Told, WhatIsNotThereIsAskedForAsLongAsThereMayBeNews) {
  teller_.behind = true;
  EXPECT_EQ(look("f"), 0U);
  EXPECT_EQ(look("f"), 0U);
  EXPECT_EQ(lookups_, 3);  // The first has asked already when it hears that there may be news.
  teller_.behind = false;
  EXPECT_EQ(look("f"), 0U);
  EXPECT_EQ(lookups_, 3);
}

// It was, when the cache had answered already.
TEST_F(Told, WhatIsToldWhileTheCacheAnswersIsHeard) {
  EXPECT_EQ(look("f"), 0U);
  const Held made = others_.file(others_.root, "f");
  int asked = 0;
  teller_.asked = [&] {
    ++asked;
    kernel_.cache().invalidate_name(kernel_.me(), NodeId::root(), name_of("f"));
  };
  EXPECT_NE(look("f"), 0U);
  EXPECT_EQ(asked, 1);
}

// A watcher that reads from a pipe, and is held in the middle of an event.
class Watching : public Told {
 protected:
  Watching() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read_end_ = UniqueFd(ends[0]);
    write_end_ = UniqueFd(ends[1]);
  }
  std::optional<std::uint64_t> number_of(const local::HandleView&) {
    std::unique_lock lock(mutex_);
    is_held_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, kPatience, [&] { return may_go_on_; });
    return std::nullopt;
  }
  void happen() {
    const EventBytes event =
        event_bytes(FAN_MODIFY, 100, {event_record(FAN_EVENT_INFO_TYPE_FID, "file")});
    ASSERT_EQ(::write(write_end_.get(), event.data(), event.size()),
              static_cast<ssize_t>(event.size()));
  }
  bool wait_until_held() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return is_held_; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    may_go_on_ = true;
    changed_.notify_all();
  }

  static constexpr std::chrono::seconds kPatience{30};
  struct NoSink final : NoticeSink {
    int send(const Notice&) noexcept override { return 0; }
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false;    // Under mutex_.
  bool may_go_on_ = false;  // Under mutex_.
  UniqueFd read_end_, write_end_;
  NoSink sink_;
  Notifier notifier_{sink_, kernel_.cache(), 100};
  OutsideChanges changes_{kernel_.cache(), notifier_,
                          [this](const auto& handle) { return number_of(handle); }, 7, nullptr};
};

TEST_F(Watching, ItIsBehindUntilAllThatWasReadIsTold) {
  Watcher watcher(std::move(read_end_), STDIN_FILENO, changes_, kernel_.workers());
  EXPECT_FALSE(watcher.is_behind());
  happen();
  EXPECT_TRUE(watcher.is_behind());  // Read or not.
  ASSERT_TRUE(wait_until_held());
  EXPECT_TRUE(watcher.is_behind());  // The pipe is empty.
  let_go();
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (watcher.is_behind() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_FALSE(watcher.is_behind());
  EXPECT_EQ(changes_.stats().events, 1U);
}

TEST_F(Watching, WhenItHasStoppedWhatHappensStaysUntold) {
  let_go();
  Watcher watcher(std::move(read_end_), STDIN_FILENO, changes_, kernel_.workers());
  watcher.stop();
  EXPECT_FALSE(watcher.is_behind());
  happen();
  EXPECT_TRUE(watcher.is_behind());
  EXPECT_EQ(changes_.stats().events, 0U);
}

}  // namespace
}  // namespace evenfs::test
