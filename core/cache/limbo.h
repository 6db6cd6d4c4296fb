// SPDX-License-Identifier: LGPL-2.1-or-later
// Limbo: dead dentries on their way to being free. They wait for a grace period in batches, so
// that one wait serves many.
#pragma once

#include <mutex>

#include "core/base/pause_point.h"
#include "core/cache/cells.h"
#include "core/cache/core.h"

namespace evenfs {

template <LockingPolicy Policy>
class Limbo {
 public:
  explicit Limbo(Core<Policy>& core) noexcept : core_(core) {}
  ~Limbo() { waiting_.clear(); }  // The arena goes as a whole.

  // REQUIRES: the dentry is dead, out of its chain and off its child's list. No guard held: one
  // call in Slots::grace_batch() waits for a grace period.
  void add(std::uint32_t dentry) {
    typename InodePriv::Names batch;
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back(core_.slots.dentry_priv(dentry));
      if (++count_ < core_.slots.grace_batch()) return;
      batch.swap(waiting_);
      count_ = 0;
    }
    free_after_grace(batch);
  }

  // Frees all that wait now.
  void drain() {
    typename InodePriv::Names batch;
    {
      std::lock_guard lock(mutex_);
      batch.swap(waiting_);
      count_ = 0;
    }
    if (!batch.empty()) free_after_grace(batch);
  }

 private:
  void free_after_grace(typename InodePriv::Names& batch) {
    EVENFS_PAUSE("limbo.full");
    core_.policy.synchronize();
    while (!batch.empty()) {
      const std::uint32_t index = core_.slots.index_of(batch.front());
      batch.pop_front();
      const DentryPub& dentry = core_.slots.dentry(index);
      if (dentry.name_length.load(std::memory_order_relaxed) > kInlineName) {
        free_string(core_.slots, dentry.name[kInlinePrefix / 4].load(std::memory_order_relaxed));
      }
      core_.slots.free_dentry(index);
    }
  }

  Core<Policy>& core_;
  std::mutex mutex_;
  typename InodePriv::Names waiting_;  // Under mutex_.
  std::uint32_t count_ = 0;            // Under mutex_.
};

}  // namespace evenfs
