// SPDX-License-Identifier: LGPL-2.1-or-later
// Counters: what the cache did, counted per thread so that counting never shares a line.
//
// Each thread owns a Worker, the only writer of its counters; whoever wants totals sums over all
// workers. A total is exact once the threads are still, and at most a few operations old before.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include <boost/intrusive/list.hpp>

#include "core/base/cacheline.h"
#include "core/sync/rcu.h"

namespace evenfs {

// X(enumerator, exported name, sentence). Exported names are stable: tools and scripts read them.
// clang-format off
#define EVENFS_COUNTERS(X) \
  X(kLookupHit, "lookup.hit", "lookups answered without a lock by a dentry and its inode") \
  X(kLookupNegative, "lookup.negative", "lookups answered ENOENT without a lock by a negative dentry") \
  X(kLookupComplete, "lookup.complete", "lookups answered ENOENT without a lock: all names are cached") \
  X(kGetattrHit, "getattr.hit", "getattrs answered without a lock") \
  X(kReadlinkHit, "readlink.hit", "symbolic links read without a lock") \
  X(kGetxattrHit, "getxattr.hit", "extended attributes known to be absent, answered without a lock") \
  X(kListingHit, "listing.hit", "listings begun from names that were kept") \
  X(kWalkHit, "walk.hit", "whole paths resolved without a lock, errors included") \
  X(kLookupLocked, "lookup.store", "lookups that asked the store") \
  X(kGetattrLocked, "getattr.store", "getattrs that asked the store") \
  X(kReadlinkLocked, "readlink.store", "readlinks that asked the store") \
  X(kGetxattrLocked, "getxattr.store", "getxattrs that asked the store") \
  X(kListingStore, "listing.store", "listings begun at the store") \
  X(kWalkLocked, "walk.locked", "paths that were finished component by component") \
  X(kFallMiss, "fallback.miss", "left the lock-free path: no dentry of that name is cached") \
  X(kFallDentryChanged, "fallback.dentry_changed", "left: a dentry died or its chain moved while it was read") \
  X(kFallInodeBusy, "fallback.inode_busy", "left: the inode is being changed") \
  X(kFallInodeChanged, "fallback.inode_changed", "left: something changed before the answer was validated") \
  X(kFallAttrInvalid, "fallback.attr_invalid", "left: the attributes are not cached") \
  X(kFallExpired, "fallback.expired", "left: what is cached is older than --cache-ttl") \
  X(kFallStaleId, "fallback.stale_id", "left: the id belongs to an inode that is gone") \
  X(kFallChainLong, "fallback.chain_long", "left: a hash chain had too many steps") \
  X(kFallAclUnknown, "fallback.acl_unknown", "left: the permission bits alone do not decide") \
  X(kFallTooDeep, "fallback.too_deep", "left: more components or links than a lock-free walk keeps") \
  X(kFallSymlinkUncached, "fallback.symlink_uncached", "left: a symbolic link's target is not cached") \
  X(kFallXattrUnknown, "fallback.xattr_unknown", "left: an extended attribute is not known to be absent") \
  X(kFillPublished, "fill.published", "attributes read from the store and cached") \
  X(kFillLost, "fill.lost", "attributes not cached: the inode changed while the store was asked") \
  X(kDentryInserted, "dentry.inserted", "positive dentries cached") \
  X(kNegativeInserted, "dentry.negative_inserted", "negative dentries cached") \
  X(kDentryLeaseLost, "dentry.lease_lost", "dentries not cached: the directory changed, or it was there") \
  X(kDentryKilled, "dentry.killed", "dentries removed because their name changed") \
  X(kDentryEvicted, "dentry.evicted", "dentries removed to make room") \
  X(kNamesComplete, "dentry.names_complete", "listings after which all names of a directory are cached") \
  X(kInodeCreated, "inode.created", "inodes that got a slot") \
  X(kInodeReclaimed, "inode.reclaimed", "inodes whose slot was freed") \
  X(kInodeRevived, "inode.revived", "inodes that were referenced again while being reclaimed") \
  X(kReclaimBatch, "reclaim.batches", "grace periods waited for by the reclaimer") \
  X(kEvictGaveUp, "evict.gave_up", "sweeps that found too little to evict") \
  X(kForget, "forget.requests", "forgets received") \
  X(kForgetExcess, "forget.excess", "forgets refused: more than was looked up, or a stale id")
// clang-format on

enum class Counter : std::uint8_t {
#define EVENFS_X(id, name, sentence) id,
  EVENFS_COUNTERS(EVENFS_X)
#undef EVENFS_X
};

struct CounterInfo {
  std::string_view name;
  std::string_view sentence;
};

inline constexpr CounterInfo kCounterInfo[] = {
#define EVENFS_X(id, name, sentence) {name, sentence},
    EVENFS_COUNTERS(EVENFS_X)
#undef EVENFS_X
};

inline constexpr std::size_t kCounterCount = std::size(kCounterInfo);
using CounterTotals = std::array<std::uint64_t, kCounterCount>;

class WorkerRegistry;

// A thread's standing in the cache: its counters and its RCU registration. Made and destroyed on
// the thread that uses it; passed to every call of the cache.
class alignas(kCacheLine) Worker {
 public:
  explicit Worker(WorkerRegistry& registry);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void count(Counter counter, std::uint64_t n = 1) noexcept {
    // One writer, so this needs no read-modify-write; relaxed, since nothing follows from it.
    std::atomic<std::uint64_t>& cell = cells_[static_cast<std::size_t>(counter)];
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

 private:
  friend class WorkerRegistry;
  std::array<std::atomic<std::uint64_t>, kCounterCount> cells_{};
  boost::intrusive::list_member_hook<> hook_;
  WorkerRegistry& registry_;
  RcuThread rcu_;
};

class WorkerRegistry {
 public:
  // Sums over all workers, those that ended included. Any thread.
  CounterTotals totals() const;

 private:
  friend class Worker;
  using List = boost::intrusive::list<
      Worker,
      boost::intrusive::member_hook<Worker, boost::intrusive::list_member_hook<>, &Worker::hook_>>;
  mutable std::mutex mutex_;
  List workers_;             // Under mutex_.
  CounterTotals retired_{};  // Under mutex_: the counters of workers that ended.
};

}  // namespace evenfs
