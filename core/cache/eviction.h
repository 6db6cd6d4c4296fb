// SPDX-License-Identifier: LGPL-2.1-or-later
// Evictor: chooses dentries to remove when memory is wanted, with a clock (Corbato 1968).
//
// A hand goes round the dentry slots. A hit sets a dentry's mark once and then finds it set, so
// hits store nothing in a steady state; the hand lowers the mark and takes what has none. A new
// dentry has none: it earns its stay by being found a second time, so that one pass through a
// great tree does not push out what is in use.
//
// What the kernel holds (a child with references) is passed over, for its inode could not be
// freed. Dentries whose directory is gone are taken at once. A sweep looks at a bounded number of
// slots; when it finds too little, it says so in a counter and the arena grows past its limit
// until the kernel gives something back.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>

#include "core/cache/dentry_table.h"
#include "core/cache/reclaim.h"

namespace evenfs {

template <LockingPolicy Policy>
class Evictor {
 public:
  static constexpr std::uint32_t kBatch = 64;
  static constexpr std::uint8_t kUsed = 2;         // The mark of a dentry that was hit.
  static constexpr std::uint32_t kEffort = 16384;  // Slots a sweep looks at, at most.
  static constexpr std::int32_t kPatience = 1024;  // Allocations until a failed sweep is repeated.
  static constexpr int kRounds = 8;                // Of drop_unused, at most.

  Evictor(Core<Policy>& core, DentryTable<Policy>& dentries, Reclaimer<Policy>& reclaimer) noexcept
      : core_(core), dentries_(dentries), reclaimer_(reclaimer) {}

  // A hit was served from `dentry`. Lock-free; stores at most once between two visits of the hand.
  [[gnu::always_inline]] void note_hit(std::uint32_t dentry) noexcept {
    std::atomic<std::uint8_t>& mark = core_.slots.clock(dentry);
    if (mark.load(std::memory_order_relaxed) != kUsed) {
      mark.store(kUsed, std::memory_order_relaxed);
    }
  }

  // Frees some slots, or finds that it cannot. No guard held. `insist`: there is no other way.
  void make_room(Worker& me, bool insist) {
    if (!insist && patience_.load(std::memory_order_relaxed) > 0) {
      // Callers that race may count one too few; it is a rough measure.
      patience_.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    const std::uint32_t bound = core_.slots.dentry_bound();
    const std::uint32_t steps = insist ? 3 * bound : std::min(3 * bound, kEffort);
    const std::uint32_t evicted = sweep(me, steps, kBatch, false);
    dentries_.limbo().drain();
    const std::size_t freed = reclaimer_.run(me);
    if (evicted + freed < kBatch / 4) {
      me.count(Counter::kEvictGaveUp);
      patience_.store(kPatience, std::memory_order_relaxed);
    }
  }

  // Keeps names that do not exist from crowding out those that do.
  void trim_negatives(Worker& me) { sweep(me, kEffort, kBatch, true); }
  bool too_many_negatives() const noexcept {
    return dentries_.negatives() > std::max(kBatch, core_.slots.names_for_limit() / 4);
  }

  // Evicts every dentry that the kernel does not need and reclaims what follows. A dentry leaves
  // by the first round, its mark being lowered twice; the others are for those whose child or
  // directory only went meanwhile, and there is no end to those while others use the cache.
  void drop_unused(Worker& me) {
    for (int round = 0; round < kRounds; ++round) {
      const std::uint32_t bound = core_.slots.dentry_bound();
      const std::uint32_t evicted = sweep(me, 3 * bound, bound, false);
      dentries_.limbo().drain();
      if (reclaimer_.run(me) == 0 && evicted == 0) return;
    }
  }

 private:
  std::uint32_t sweep(Worker& me, std::uint32_t steps, std::uint32_t wanted, bool negatives_only) {
    std::lock_guard lock(mutex_);
    const std::uint32_t bound = core_.slots.dentry_bound();
    std::uint32_t evicted = 0;
    for (; steps > 0 && evicted < wanted; --steps) {
      hand_ = hand_ + 1 < bound ? hand_ + 1 : 1;
      if (hand_ < bound && try_evict(hand_, negatives_only)) ++evicted;
    }
    me.count(Counter::kDentryEvicted, evicted);
    return evicted;
  }

  bool try_evict(std::uint32_t index, bool negatives_only) {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const DentryPub& dentry = core_.slots.dentry(index);
    const Stamp stamp = dentry.seq.sample();
    if (!stamp_is_stable(stamp)) return false;
    const std::uint32_t child = dentry.child.load(kRelaxed);
    const std::uint32_t parent = dentry.parent_index.load(kRelaxed);
    const bool orphan = core_.slots.inode(parent).generation.load(kRelaxed) !=
                        dentry.parent_generation.load(kRelaxed);
    if (!orphan) {
      if (child != 0 && negatives_only) return false;
      if (child != 0 && core_.slots.inode_priv(child).refs.load(kRelaxed) != 0) return false;
      std::atomic<std::uint8_t>& mark = core_.slots.clock(index);
      const std::uint8_t now = mark.load(kRelaxed);
      if (now != 0) {
        mark.store(static_cast<std::uint8_t>(now - 1), kRelaxed);
        return false;
      }
    }
    return kill(index, stamp, parent);
  }

  // What is known of the names of the directory goes first, in a moment of its own in which cseq is odd. If
  // somebody asks for its names again by now, the dentry stays this time.
  bool kill(std::uint32_t index, Stamp stamp, std::uint32_t parent) {
    const Killed killed = dentries_.kill_seen(index, stamp);
    if (killed != Killed::kListed) return killed == Killed::kYes;
    core_.lock_inode(parent).forget_names();
    EVENFS_PAUSE("evict.names_forgotten");
    return dentries_.kill_seen(index, stamp) == Killed::kYes;
  }

  Core<Policy>& core_;
  DentryTable<Policy>& dentries_;
  Reclaimer<Policy>& reclaimer_;
  std::mutex mutex_;                       // One sweep at a time.
  std::uint32_t hand_ = 0;                 // Under mutex_.
  std::atomic<std::int32_t> patience_{0};  // Written by make_room.
};

}  // namespace evenfs
