// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes on beside the requests: a clock, so that no lookup has to ask for the time, and
// housekeeping, so that requests seldom wait for a grace period or for the release of a node. Two
// threads, because the clock must not stand still while something slow is released.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "core/cache/cache.h"
#include "fusefs/worker_loop.h"

namespace evenfs {

// A thread that calls `work` again and again, `period` apart, until it is destroyed.
class Periodic {
 public:
  Periodic(std::chrono::milliseconds period, std::function<void()> work)
      : thread_([this, period, work = std::move(work)] { run(period, work); }) {}
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;
  ~Periodic() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  void run(std::chrono::milliseconds period, const std::function<void()>& work) {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      work();
      lock.lock();
      wake_.wait_for(lock, period, [this] { return stopping_; });
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // Under mutex_.
  std::thread thread_;     // Last: it uses the rest.
};

// Sets the cache's clock and watches the threads every tick, and has the cache keep house ten times a second.
class Ticker {
 public:
  Ticker(Cache& cache, WorkerRegistry& registry, WorkerLoop& loop)
      : clock_(
            std::chrono::milliseconds(kTickMs),
            [&cache, &loop, start = std::chrono::steady_clock::now()] {
              loop.watch();
              cache.set_tick(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - start) /
                                                        std::chrono::milliseconds(kTickMs)));
            }),
        keeper_(std::chrono::milliseconds(100), [&cache, &registry] {
          Worker me(registry);
          cache.housekeep(me);
        }) {}

 private:
  Periodic clock_;
  Periodic keeper_;
};

}  // namespace evenfs
