// SPDX-License-Identifier: LGPL-2.1-or-later
// FutexMutex: a mutex of four bytes, since there are two in every inode. Meets Lockable.
//
// Three states (Drepper, "Futexes are tricky", 2011, mutex 2): free, held, held with waiters.
// The waiting is std::atomic's, which is a futex on Linux. Not recursive and not fair.
#pragma once

#include <atomic>
#include <cstdint>

namespace evenfs {

class FutexMutex {
 public:
  FutexMutex() noexcept = default;
  FutexMutex(const FutexMutex&) = delete;
  FutexMutex& operator=(const FutexMutex&) = delete;

  void lock() noexcept {
    if (!try_lock()) lock_slowly();
  }

  bool try_lock() noexcept {
    int expected = kFree;
    // acquire, pairs with the release in unlock(): what the last holder did is visible.
    return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }

  void unlock() noexcept {
    // release, pairs with the acquire exchanges that take the lock.
    if (state_.exchange(kFree, std::memory_order_release) == kContended) state_.notify_one();
  }

 private:
  static constexpr int kFree = 0;
  static constexpr int kHeld = 1;
  static constexpr int kContended = 2;

  void lock_slowly() noexcept {
    // acquire, pairs with the release in unlock().
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
      state_.wait(kContended, std::memory_order_relaxed);
    }
  }

  std::atomic<int> state_{kFree};
};

static_assert(sizeof(FutexMutex) == 4);

}  // namespace evenfs
