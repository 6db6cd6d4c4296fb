// SPDX-License-Identifier: LGPL-2.1-or-later
// Slots: the arena. All inode, dentry and cell slots, and the heads of the tables' chains.
//
// What lock-free readers may look at lies in one memfd; what only the locked side uses lies in
// private memory, in parallel arrays. Everything is found by index and nothing ever moves.
//
// The memory limit is soft: is_filling() and has_reserve() say how near it is, and the caller evicts
// first; cells are refused where there is no room(). Only the reserved range itself, much larger, is a hard
// end (allocation then fails).
//
// In ASan builds what only the owner of a live slot may use is poisoned while the slot is free:
// an inode's node and names, a dentry's hook, whole cells. Counts, locks and public fields are not:
// whoever comes with a dead id may look at them, and they are what tells it so.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/cache/layout.h"
#include "core/mem/mapping.h"
#include "core/mem/slot_pool.h"

namespace evenfs {

// What stands at the start of the shared memory, for readers in other processes.
struct ArenaHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t bucket_count;  // A power of two.
  std::uint64_t inodes_at;     // Offsets from the start, bytes.
  std::uint64_t dentries_at;
  std::uint64_t cells_at;
  std::uint64_t buckets_at;
  std::uint64_t hash_seed;
  std::uint64_t id_heads_at;
  std::uint64_t shared_bytes;
  std::uint32_t names;     // What the plan of the tables was made from, as is the capacity.
  std::uint32_t capacity;  // Of inodes and of dentries: above all indices.
};

class Slots {
 public:
  struct Limits {
    std::uint64_t memory_bytes;  // Soft.
    std::uint32_t slots_max;     // Hard, for inodes and dentries each; 0: much more than the soft.
    std::uint64_t hash_seed;
    std::uint64_t seq_start;
  };
  static Result<std::unique_ptr<Slots>> create(const Limits& limits);
  // What readers may look at of the arena of another Slots, in this process or another: `fd` is its
  // fd(), mapped for reading only. What only the locked side uses is there and empty, no slot can be
  // taken, and every index below the capacity is within bounds: a slot that was never used has no
  // attributes. EINVAL: not an arena of this layout.
  static Result<std::unique_ptr<Slots>> attach(int fd);
  ~Slots();

  // REQUIRES: index < inode_bound(); likewise for the others.
  InodePub& inode(std::uint32_t index) const noexcept { return inodes_[index]; }
  InodePriv& inode_priv(std::uint32_t index) const noexcept { return inode_privs_[index]; }
  DentryPub& dentry(std::uint32_t index) const noexcept { return dentries_[index]; }
  DentryPriv& dentry_priv(std::uint32_t index) const noexcept { return dentry_privs_[index]; }
  StringCell& cell(std::uint32_t index) const noexcept { return cells_[index]; }
  Shared<std::uint32_t>& bucket(std::uint32_t index) const noexcept { return buckets_[index]; }
  // Heads of the inode table's chains: as many as buckets.
  Shared<std::uint32_t>& id_head(std::uint32_t index) const noexcept { return id_heads_[index]; }
  // The bucket of a dentry; written before it is published, read by who wants to kill it.
  std::atomic<std::uint32_t>& home(std::uint32_t index) const noexcept { return homes_[index]; }
  // 0 to 2: how lately a dentry was used, see eviction.h; 3: see prune.h.
  std::atomic<std::uint8_t>& clock(std::uint32_t index) const noexcept { return clocks_[index]; }

  std::uint32_t index_of(const DentryPriv& priv) const noexcept {
    return static_cast<std::uint32_t>(&priv - dentry_privs_);
  }

  std::uint32_t bucket_mask() const noexcept { return bucket_count_ - 1; }
  std::uint64_t hash_seed() const noexcept { return hash_seed_; }
  // One more than the greatest index that may be used. Any index from outside is checked first.
  std::uint32_t inode_bound() const noexcept { return inode_pool_.high_water(); }
  std::uint32_t dentry_bound() const noexcept { return dentry_pool_.high_water(); }

  // A freed slot, or nothing.
  std::optional<std::uint32_t> reuse_inode() noexcept;
  std::optional<std::uint32_t> reuse_dentry() noexcept;
  // A fresh slot, or nothing when the reserved range is full or there is no memory for its return.
  std::optional<std::uint32_t> carve_inode() noexcept;
  std::optional<std::uint32_t> carve_dentry() noexcept;
  // Unlike those, never past the memory limit: a string can go uncached.
  std::optional<std::uint32_t> take_cell() noexcept;

  // REQUIRES: nobody can reach the slot any more, its counts are odd.
  void free_inode(std::uint32_t index) noexcept;
  void free_dentry(std::uint32_t index) noexcept;
  void free_cell(std::uint32_t index) noexcept;

  // Whoever stores to the arena afterwards dies.
  void make_read_only_for_test() const noexcept;

  // Moves what readers look at, where whole huge pages of it are in use by now, to huge pages. A
  // random lookup touches five lines in three tables, and with small pages the processor has to
  // look up where they are each time. One caller at a time; readers may be stopped for the time
  // that copying 2 MiB takes, once for each.
  void use_huge_pages() noexcept;

  // True while a fresh slot of any kind stays within the memory limit.
  bool room() const noexcept { return bytes() + kLargestSlot <= limit_bytes_; }
  // True while what is in use leaves enough of the limit for evicting to wait.
  bool has_reserve() const noexcept {
    return used_bytes() <= limit_bytes_ - limit_bytes_ / kReserveShare;
  }
  // True from when it is time to see to it that there is something to evict.
  bool is_filling() const noexcept {
    return used_bytes() > limit_bytes_ - limit_bytes_ / kFillingShare;
  }
  std::uint64_t bytes() const noexcept;
  std::uint64_t used_bytes() const noexcept;  // The same without what is free.
  std::uint64_t limit_bytes() const noexcept { return limit_bytes_; }
  // How many names with their inodes the limit is good for.
  std::uint32_t names_for_limit() const noexcept { return names_for_limit_; }
  // How many of what is dead wait for one grace period. It is an interrupt on each processor that runs a thread
  // of ours, and waits for readers that have none; so many at a time, and few beside those that live.
  std::uint32_t grace_batch() const noexcept {
    return std::clamp<std::uint32_t>(names_for_limit_ / 64, 64, 1024);
  }

  const SlotPool& inode_pool() const noexcept { return inode_pool_; }
  const SlotPool& dentry_pool() const noexcept { return dentry_pool_; }
  const SlotPool& cell_pool() const noexcept { return cell_pool_; }
  int fd() const noexcept { return shared_.fd(); }

 private:
  static constexpr std::uint64_t kReserveShare = 32;
  static constexpr std::uint64_t kFillingShare = 8;
  static constexpr std::uint64_t kLargestSlot = sizeof(InodePub) + sizeof(InodePriv);

  struct Plan;
  Slots(const Limits& limits, const Plan& plan, Mapping shared, Mapping priv,
        std::uint32_t carved) noexcept;

  void lay_out(const Plan& plan) noexcept;
  std::uint64_t bytes_of(std::uint32_t inodes, std::uint32_t dentries,
                         std::uint32_t cells) const noexcept;

  const Mapping shared_;
  const Mapping private_;
  InodePub* const inodes_;
  DentryPub* const dentries_;
  StringCell* const cells_;
  Shared<std::uint32_t>* const buckets_;
  InodePriv* const inode_privs_;
  DentryPriv* const dentry_privs_;
  Shared<std::uint32_t>* const id_heads_;
  std::atomic<std::uint32_t>* const homes_;
  std::atomic<std::uint8_t>* const clocks_;
  const std::uint32_t bucket_count_;
  const std::uint32_t names_for_limit_;
  const std::uint64_t limit_bytes_;
  const std::uint64_t hash_seed_;
  const std::uint64_t seq_start_;
  SlotPool inode_pool_;
  SlotPool dentry_pool_;
  SlotPool cell_pool_;
  // Up to where the tables lie in huge pages; by use_huge_pages.
  std::uint64_t huge_buckets_ = 0;
  std::uint64_t huge_dentries_ = 0;
  std::uint64_t huge_inodes_ = 0;
  std::uint64_t huge_id_heads_ = 0;
};

}  // namespace evenfs
