// SPDX-License-Identifier: LGPL-2.1-or-later
// Locking policies: only the answer to "how is this section protected?".
//
// The cache is one code for all four. It takes the same sequence-count samples and validations
// everywhere, and asks its policy for a guard at the places where a locked cache would lock. So a
// comparison between them measures the locks and nothing else: no branch in core/cache knows
// which policy it has.
//
//             a lookup          a getattr         a bucket    an inode     who removes waits
//   lockless  RcuGuard          -                 -           -            a grace period
//   sharded   -                 -                 stripe      its mutex    -
//   rwlock    shared, global    shared, global    -           -            -
//   mutex     global            global            -           -            -
//
// A getattr has an id, and the lookup count behind the id keeps the slot: it needs no RcuGuard. The
// inode table, from a number to an id, is read like a bucket: sharded takes the stripe of the table.
//
// Writers take a bucket's or an inode's guard for a few stores and never hold two of them
// (docs/locking.md), so one global lock can stand for all. In lockless and sharded that guard is the
// bucket's stripe and the inode's own mutex; readers of `lockless` do not take them.
//
// A locked reader that has let go of a bucket needs nothing to keep the inode it found: slots are
// type-stable, and the final validation tells whether it was still the one.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

#include "core/base/cacheline.h"
#include "core/base/locking.h"
#include "core/sync/futex_mutex.h"
#include "core/sync/rcu.h"

namespace evenfs {

struct [[nodiscard]] NoGuard {
  NoGuard() noexcept {}
  ~NoGuard() {}  // Not trivial, so that a guard is not an unused variable.
};

template <class P>
concept LockingPolicy = requires(P policy, std::uint32_t bucket, FutexMutex& inode_lock,
                                 std::mutex& table_stripe) {
  { P::kLocking } -> std::convertible_to<Locking>;
  { policy.read() } -> std::destructible;
  { policy.read_by_id() } -> std::destructible;
  { policy.read_bucket(bucket) } -> std::destructible;
  { policy.read_inode(inode_lock) } -> std::destructible;
  { policy.read_table(table_stripe) } -> std::destructible;
  { policy.write_bucket(bucket) } -> std::destructible;
  { policy.write_inode(inode_lock) } -> std::destructible;
  { policy.synchronize() } -> std::same_as<void>;
};

// Mutexes for the buckets of a table, each in a line of its own.
class BucketStripes {
 public:
  std::unique_lock<FutexMutex> lock(std::uint32_t bucket) noexcept {
    return std::unique_lock(stripes_[bucket % kStripes].mutex);
  }

 private:
  static constexpr std::uint32_t kStripes = 1024;
  struct alignas(kCacheLine) Stripe {
    FutexMutex mutex;
  };
  std::array<Stripe, kStripes> stripes_;
};

class LocklessPolicy {
 public:
  static constexpr Locking kLocking = Locking::kLockless;
  RcuGuard read() noexcept { return RcuGuard(); }
  NoGuard read_by_id() noexcept { return {}; }
  NoGuard read_bucket(std::uint32_t) noexcept { return {}; }
  NoGuard read_inode(FutexMutex&) noexcept { return {}; }
  NoGuard read_table(std::mutex&) noexcept { return {}; }
  auto write_bucket(std::uint32_t bucket) noexcept { return buckets_.lock(bucket); }
  auto write_inode(FutexMutex& lock) noexcept { return std::unique_lock(lock); }
  void synchronize() noexcept { rcu_synchronize(); }

 private:
  BucketStripes buckets_;
};

class ShardedPolicy {
 public:
  static constexpr Locking kLocking = Locking::kSharded;
  NoGuard read() noexcept { return {}; }
  NoGuard read_by_id() noexcept { return {}; }
  auto read_bucket(std::uint32_t bucket) noexcept { return buckets_.lock(bucket); }
  auto read_inode(FutexMutex& lock) noexcept { return std::unique_lock(lock); }
  auto read_table(std::mutex& stripe) noexcept { return std::unique_lock(stripe); }
  auto write_bucket(std::uint32_t bucket) noexcept { return buckets_.lock(bucket); }
  auto write_inode(FutexMutex& lock) noexcept { return std::unique_lock(lock); }
  void synchronize() noexcept {}

 private:
  BucketStripes buckets_;
};

class RwlockPolicy {
 public:
  static constexpr Locking kLocking = Locking::kRwlock;
  auto read() { return std::shared_lock(lock_); }
  auto read_by_id() { return std::shared_lock(lock_); }
  NoGuard read_bucket(std::uint32_t) noexcept { return {}; }
  NoGuard read_inode(FutexMutex&) noexcept { return {}; }
  NoGuard read_table(std::mutex&) noexcept { return {}; }
  auto write_bucket(std::uint32_t) { return std::unique_lock(lock_); }
  auto write_inode(FutexMutex&) { return std::unique_lock(lock_); }
  void synchronize() noexcept {}

 private:
  std::shared_mutex lock_;
};

class MutexPolicy {
 public:
  static constexpr Locking kLocking = Locking::kMutex;
  auto read() { return std::unique_lock(lock_); }
  auto read_by_id() { return std::unique_lock(lock_); }
  NoGuard read_bucket(std::uint32_t) noexcept { return {}; }
  NoGuard read_inode(FutexMutex&) noexcept { return {}; }
  NoGuard read_table(std::mutex&) noexcept { return {}; }
  auto write_bucket(std::uint32_t) { return std::unique_lock(lock_); }
  auto write_inode(FutexMutex&) { return std::unique_lock(lock_); }
  void synchronize() noexcept {}

 private:
  std::mutex lock_;
};

static_assert(LockingPolicy<LocklessPolicy>);
static_assert(LockingPolicy<ShardedPolicy>);
static_assert(LockingPolicy<RwlockPolicy>);
static_assert(LockingPolicy<MutexPolicy>);

}  // namespace evenfs
