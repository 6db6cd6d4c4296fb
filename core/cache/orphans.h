// SPDX-License-Identifier: LGPL-2.1-or-later
// Orphans: descriptors of inodes that have lost their last name while the kernel still knows them.
//
// Somebody may have such an object open without our having it open: by O_PATH, as a FIFO, as his
// working directory. A file handle no longer leads to it once nobody holds it, so a descriptor does,
// from before its name is removed until the kernel forgets it: then it is closed at once, because
// what it takes on the disk is given back only then.
//
// Not more than kMax at a time, for descriptors are scarce; beyond that an orphan is ESTALE.
//
// Threading: any function from any thread. The mutex is a leaf lock: it is taken under inode locks.
// InodePriv::orphan says, under the inode lock, whether an inode is in here.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include <boost/intrusive/unordered_set.hpp>

#include "core/store/store.h"

namespace evenfs {

struct Orphan : boost::intrusive::unordered_set_base_hook<> {
  std::uint32_t index = 0;     // The inode's slot.
  std::unique_ptr<File> file;  // Store::hold.
};

class Orphans {
 public:
  static constexpr std::uint32_t kMax = 1024;

  Orphans() : table_(Table::bucket_traits(buckets_.data(), buckets_.size())) {}
  ~Orphans() {
    table_.clear_and_dispose([](Orphan* orphan) { delete orphan; });
  }
  Orphans(const Orphans&) = delete;
  Orphans& operator=(const Orphans&) = delete;

  // REQUIRES: the slot is not in here. False when there are too many: `orphan` is as it was.
  bool add(std::unique_ptr<Orphan>& orphan) noexcept {
    const std::lock_guard lock(mutex_);
    if (table_.size() >= kMax) return false;
    table_.insert(*orphan.release());
    size_.store(static_cast<std::uint32_t>(table_.size()), std::memory_order_relaxed);
    return true;
  }
  // REQUIRES: the slot is in here. What is returned is destroyed with no lock held: closing may block.
  std::unique_ptr<Orphan> take(std::uint32_t index) noexcept {
    const std::lock_guard lock(mutex_);
    const auto at = table_.find(index);
    std::unique_ptr<Orphan> orphan(&*at);
    table_.erase(at);
    size_.store(static_cast<std::uint32_t>(table_.size()), std::memory_order_relaxed);
    return orphan;
  }
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  struct KeyOf {
    using type = std::uint32_t;
    const std::uint32_t& operator()(const Orphan& orphan) const noexcept { return orphan.index; }
  };
  using Table = boost::intrusive::unordered_set<Orphan, boost::intrusive::key_of_value<KeyOf>,
                                                boost::intrusive::power_2_buckets<true>>;

  std::mutex mutex_;
  std::array<Table::bucket_type, kMax> buckets_;
  Table table_;                         // Under mutex_.
  std::atomic<std::uint32_t> size_{0};  // Written under mutex_; a gauge.
};

}  // namespace evenfs
