// SPDX-License-Identifier: LGPL-2.1-or-later
// Pruner: a thread that asks the kernel to give inodes back when the cache wants memory for others.
//
// The kernel forgets what it does not use at that moment, and tells so by FORGET like ever. Linux 6.18 can be
// asked (FUSE_NOTIFY_PRUNE). An older one could only be told that a name is no longer true, which takes
// files from whoever has them open and mounts from where they are; so it is left alone, and the arena grows
// past --memory by what it holds.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>

#include "core/cache/cache.h"

namespace evenfs {

struct PrunerStats {
  bool able = true;            // Until the kernel says that it cannot.
  std::uint64_t asked = 0;     // Inodes, each time.
  std::uint64_t messages = 0;  // That the kernel took.
};

class Pruner {
 public:
  // Asks for the inodes of these numbers; 0 or an errno.
  using Send = std::function<int(std::span<const std::uint64_t>)>;

  // Of the cache's shortages from now on. REQUIRES: nobody uses the cache yet. Throws std::system_error.
  Pruner(Cache& cache, Send send);
  ~Pruner();  // REQUIRES: `send` does not block for ever.
  Pruner(const Pruner&) = delete;
  Pruner& operator=(const Pruner&) = delete;

  // Nothing more is asked. Waits, at most `patience`, for the message that is being taken. False: it is
  // still on its way.
  bool stop(std::chrono::milliseconds patience) noexcept;

  PrunerStats stats() const noexcept;

 private:
  void wake() noexcept;
  void run() noexcept;
  void ask() noexcept;

  Cache& cache_;
  const Send send_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;
  bool wanted_ = false;  // Under mutex_, as is the next.
  bool running_ = true;
  std::atomic<bool> stopping_{false};  // Set under mutex_.
  // Written by the thread.
  std::atomic<bool> able_{true};
  std::atomic<std::uint64_t> asked_{0};
  std::atomic<std::uint64_t> messages_{0};
  std::thread thread_;  // Last: it uses the rest.
};

// Asks by the descriptor of a session.
int send_prune(int device, std::span<const std::uint64_t> numbers) noexcept;

}  // namespace evenfs
