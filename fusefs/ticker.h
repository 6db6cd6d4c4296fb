// SPDX-License-Identifier: LGPL-2.1-or-later
// Ticker: a thread that moves the cache's clock on, so that no lookup has to ask for the time, and
// does the cache's housekeeping, so that no request has to wait for a grace period.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/cache/cache.h"

namespace evenfs {

class Ticker {
 public:
  Ticker(Cache& cache, WorkerRegistry& registry)
      : thread_([this, &cache, &registry] { run(cache, registry); }) {}
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
  static constexpr std::uint64_t kTicksPerRound = 10;

  void run(Cache& cache, WorkerRegistry& registry) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kTick(kTickMs);
    const Clock::time_point start = Clock::now();
    Worker me(registry);
    std::unique_lock lock(mutex_);
    for (std::uint64_t i = 1; !stopping_; ++i) {
      cache.set_tick(static_cast<std::uint64_t>((Clock::now() - start) / kTick));
      if (i % kTicksPerRound == 0) {
        lock.unlock();
        cache.housekeep(me);
        lock.lock();
      }
      wake_.wait_for(lock, kTick, [this] { return stopping_; });
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // Under mutex_.
  std::thread thread_;     // Last: it uses the rest.
};

}  // namespace evenfs
