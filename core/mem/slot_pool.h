// SPDX-License-Identifier: LGPL-2.1-or-later
// SlotPool: hands out the indices of one kind of slot, and counts them.
//
// Index 0 is never handed out: it means none. Fresh slots are carved in order, so the memory that
// was touched is a prefix of the reserved range; freed ones are used again first, the latest
// freed first.
//
// Threading: any thread. high_water() is read by those who check an index that came from outside.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

namespace evenfs {

class SlotPool {
 public:
  // `capacity` indices in all, the unusable 0 among them, of which those below `carved` are handed out.
  explicit SlotPool(std::uint32_t capacity, std::uint32_t carved = 1) noexcept
      : capacity_(capacity), high_water_(carved) {}

  // A slot that was freed before, or nothing.
  std::optional<std::uint32_t> take_free() noexcept {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::nullopt;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    used_.store(used_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return index;
  }

  // A slot that was never used, made ready by `construct(index)` before anybody can pass the
  // bound check with its index. Nothing when the range is full, or there is no memory for the slot to come
  // back: callers have a way to do without a fresh slot, and are often where nothing may fail any more.
  template <class Construct>
  std::optional<std::uint32_t> carve(Construct construct) noexcept {
    std::lock_guard lock(mutex_);
    const std::uint32_t index = high_water_.load(std::memory_order_relaxed);
    if (index >= capacity_) return std::nullopt;
    if (!has_room_for(index)) return std::nullopt;
    construct(index);
    // [MO-4] release, pairs with the acquire in high_water(): who passes the bound check sees
    // the slot constructed.
    high_water_.store(index + 1, std::memory_order_release);
    used_.store(used_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return index;
  }

  void give_back(std::uint32_t index) noexcept {
    std::lock_guard lock(mutex_);
    free_.push_back(index);
    used_.store(used_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }

  // One more than the greatest index handed out so far.
  std::uint32_t high_water() const noexcept {
    // [MO-4] acquire, pairs with the release in carve().
    return high_water_.load(std::memory_order_acquire);
  }

  std::uint32_t slots() const noexcept { return high_water_.load(std::memory_order_relaxed) - 1; }
  std::uint32_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

 private:
  // Room for all slots up to `index` to come back, so that to give one back cannot fail.
  bool has_room_for(std::uint32_t index) noexcept {
    if (free_.capacity() > index) return true;
    try {
      free_.reserve(std::size_t{2} * index + 64);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }

  const std::uint32_t capacity_;
  std::mutex mutex_;
  std::vector<std::uint32_t> free_;        // Under mutex_.
  std::atomic<std::uint32_t> high_water_;  // Written under mutex_.
  std::atomic<std::uint32_t> used_{0};     // Written under mutex_.
};

}  // namespace evenfs
