// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel would have been told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "fusefs/notifier.h"

namespace evenfs::test {

class RecordedNotices final : public NoticeSink {
 public:
  int send(const Notice& notice) noexcept override {
    const std::lock_guard lock(mutex_);
    seen_.push_back(notice);
    changed_.notify_all();
    return 0;
  }
  // All since the last call, as soon as there are `count`.
  std::vector<Notice> take(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return seen_.size() >= count; });
    return std::exchange(seen_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Notice> seen_;  // Under mutex_.
};

}  // namespace evenfs::test
