// SPDX-License-Identifier: LGPL-2.1-or-later
// Core: what all parts of one cache share. Owned by BasicCache.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/cache/cache.h"
#include "core/cache/inode_section.h"
#include "core/cache/name_key.h"
#include "core/cache/slots.h"
#include "core/policy/policy.h"

namespace evenfs {

// Inodes that seemed unused when somebody looked: work for the reclaimer, which looks again.
class ReclaimQueue {
 public:
  static constexpr std::size_t kBatch = 64;

  // A leaf lock: may be called with an inode lock held.
  void add(std::uint32_t index) {
    std::lock_guard lock(mutex_);
    waiting_.push_back(index);
    size_.store(waiting_.size(), std::memory_order_relaxed);
  }
  std::vector<std::uint32_t> take() {
    std::lock_guard lock(mutex_);
    size_.store(0, std::memory_order_relaxed);
    return std::exchange(waiting_, {});
  }
  // A hint, for those who decide whether a batch is worth a grace period.
  std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::vector<std::uint32_t> waiting_;  // Under mutex_.
  std::atomic<std::size_t> size_{0};    // Written under mutex_.
};

template <LockingPolicy Policy>
struct Core {
  Core(Store& from, std::unique_ptr<Slots> arena, std::uint64_t ttl) noexcept
      : store(from), slots_owner(std::move(arena)), slots(*slots_owner), ttl_ticks(ttl) {}

  Store& store;
  const std::unique_ptr<Slots> slots_owner;
  Slots& slots;
  const std::uint64_t ttl_ticks;
  Policy policy;
  ReclaimQueue unused;
  // The cache's clock. One writer a hundred times a second, in a line of its own. Never 0: what
  // may be served until tick 0 may not be served at all.
  alignas(kCacheLine) std::atomic<std::uint64_t> tick{1};

  // The tick up to which what was asked of the store now may be served. Taken before asking.
  std::uint64_t until() const noexcept {
    return ttl_ticks == kForeverTicks ? kForeverTicks
                                      : tick.load(std::memory_order_relaxed) + ttl_ticks;
  }
  // 0 is never: what has to be asked for in any case.
  bool fresh(std::uint64_t until_tick) const noexcept {
    return until_tick != 0 && until_tick >= tick.load(std::memory_order_relaxed);
  }

  auto lock_inode(std::uint32_t index) noexcept { return InodeGuard<Policy>(policy, slots, index); }
  // Called under the inode lock by whoever took away a reference or a name.
  void queue_if_unused(const InodeLock& inode, std::uint32_t index) {
    if (inode.priv().state != SlotState::kLive || inode.priv().queued) return;
    // acquire, pairs with the release of Cache::forget and unpin: what the last user did with the
    // inode happened before it is reclaimed.
    if (inode.priv().refs.load(std::memory_order_acquire) != 0) return;
    if (!inode.priv().names.empty()) return;
    inode.priv().queued = true;
    unused.add(index);
  }

  // After a reference was raised and taken back without the lock: whoever killed the inode's last
  // name meanwhile may have seen the reference and passed by. No guard held.
  void recheck(std::uint32_t index) { queue_if_unused(lock_inode(index), index); }

  NameKey key(std::uint32_t dir_index, NameRef name) const noexcept {
    const std::uint32_t generation =
        slots.inode(dir_index).generation.load(std::memory_order_relaxed);
    return NameKey(slots.hash_seed(), dir_index, generation, name);
  }
};

}  // namespace evenfs
