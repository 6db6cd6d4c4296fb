// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "core/cache/slots.h"
#include "core/sync/futex_mutex.h"

namespace evenfs {

// The operation locks of one or two directories, taken in the order of their slots.
class [[nodiscard]] OpLocks {
 public:
  OpLocks(const Slots& slots, NodeId a, NodeId b) noexcept {
    const std::uint32_t low = std::min(a.index(), b.index());
    const std::uint32_t high = std::max(a.index(), b.index());
    first_ = std::unique_lock(slots.inode_priv(low).op_lock);
    if (low != high) second_ = std::unique_lock(slots.inode_priv(high).op_lock);
  }
  OpLocks(const Slots& slots, NodeId dir) noexcept : OpLocks(slots, dir, dir) {}

 private:
  std::unique_lock<FutexMutex> first_;
  std::unique_lock<FutexMutex> second_;
};

}  // namespace evenfs
