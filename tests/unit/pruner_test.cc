// SPDX-License-Identifier: LGPL-2.1-or-later
// Pruner: asks when the cache is short, for what that has chosen; not again of a kernel that cannot be asked;
// and whoever needs memory does not wait for it.
#include "fusefs/pruner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/store/memory_store.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::chrono::seconds kPatience{30};

class PrunerTest : public ::testing::Test {
 protected:
  PrunerTest() {
    CacheOptions options;
    options.memory_bytes = std::uint64_t{1} << 20;
    cache_ = make_cache(Locking::kLockless, store_, options).value();
  }
  // Until the cache is short, and a little more.
  void hold(int count) {
    for (int i = 0; i < count; ++i) {
      const Result<Entry> made = cache_->mknod(
          me_, NodeId::root(), name_of("f" + std::to_string(made_++)), S_IFREG | 0644, 0, Cred{});
      ASSERT_TRUE(made.ok());
    }
  }
  int take(std::span<const std::uint64_t> numbers) {
    std::unique_lock lock(mutex_);
    ++messages_;
    for (const std::uint64_t number : numbers) asked_.push_back(number);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    return answer_;
  }
  bool wait_for_messages(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return messages_ >= count; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  Pruner::Send send() {
    return [this](std::span<const std::uint64_t> numbers) { return take(numbers); };
  }

  MemoryStore store_;
  WorkerRegistry registry_;
  Worker me_{registry_};
  std::unique_ptr<Cache> cache_;
  int made_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_.
  int messages_ = 0;
  std::vector<std::uint64_t> asked_;
  bool held_ = false;
  int answer_ = 0;
};

TEST_F(PrunerTest, AsksForWhatTheKernelHoldsWhenMemoryIsShort) {
  Pruner pruner(*cache_, send());
  hold(500);
  EXPECT_EQ(pruner.stats().asked, 0U);
  hold(4000);
  ASSERT_TRUE(wait_for_messages(1));
  ASSERT_TRUE(pruner.stop(kPatience));
  EXPECT_EQ(pruner.stats().asked, asked_.size());
  EXPECT_EQ(pruner.stats().messages, static_cast<std::uint64_t>(messages_));
  for (const std::uint64_t number : asked_) EXPECT_TRUE(cache_->is_counted(number));
}

TEST_F(PrunerTest, AKernelThatCannotBeAskedIsAskedOnce) {
  answer_ = EINVAL;
  Pruner pruner(*cache_, send());
  hold(4000);
  ASSERT_TRUE(wait_for_messages(1));
  std::array<std::uint64_t, 512> some;
  while (cache_->choose_to_prune(some) != 0) {
  }
  hold(4000);  // Short again.
  ASSERT_TRUE(pruner.stop(kPatience));
  EXPECT_FALSE(pruner.stats().able);
  EXPECT_EQ(pruner.stats().asked, 0U);
  EXPECT_EQ(messages_, 1);
}

TEST_F(PrunerTest, NobodyWaitsForTheKernelButWhoeverEnds) {
  held_ = true;
  Pruner pruner(*cache_, send());
  hold(4000);
  ASSERT_TRUE(wait_for_messages(1));
  hold(4000);  // While the message is being taken.
  EXPECT_FALSE(pruner.stop(std::chrono::milliseconds(1)));
  let_go();
  EXPECT_TRUE(pruner.stop(kPatience));
  EXPECT_EQ(messages_, 1);
}

}  // namespace
}  // namespace evenfs::test
