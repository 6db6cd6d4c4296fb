// SPDX-License-Identifier: LGPL-2.1-or-later
// Ticker: a thread that moves the cache's clock on, so that no lookup has to ask for the time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/cache/cache.h"

namespace evenfs {

class Ticker {
 public:
  explicit Ticker(Cache& cache) : thread_([this, &cache] { run(cache); }) {}
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  ~Ticker() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  void run(Cache& cache) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kTick(kTickMs);
    const Clock::time_point start = Clock::now();
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      cache.set_tick(static_cast<std::uint64_t>((Clock::now() - start) / kTick));
      wake_.wait_for(lock, kTick);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // Under mutex_.
  std::thread thread_;     // Last: it uses the rest.
};

}  // namespace evenfs
