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
// slots; when it finds too little, it says so in a counter, the kernel is asked to give something back
// (prune.h), and the arena grows past its limit until it does.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "core/cache/dentry_table.h"
#include "core/cache/prune.h"
#include "core/cache/reclaim.h"

namespace evenfs {

template <LockingPolicy Policy>
class Evictor {
 public:
  static constexpr std::uint32_t kBatch = 64;
  static constexpr std::uint8_t kUsed = 2;         // The mark of a dentry that was hit.
  static constexpr std::uint32_t kEffort = 16384;  // Slots a sweep looks at, at most.
  // What is taken from, until a failed sweep is repeated: 1 for a batch that was given back, 16 for nothing,
  // since there may be an answer soon; but 1 if the kernel cannot be asked.
  static constexpr std::int32_t kPatience = 1024;
  static constexpr int kRounds = 8;  // Of drop_unused, at most.

  Evictor(Core<Policy>& core, DentryTable<Policy>& dentries, Reclaimer<Policy>& reclaimer,
          Pruning<Policy>& pruning) noexcept
      : core_(core), dentries_(dentries), reclaimer_(reclaimer), pruning_(pruning) {}

  // A hit was served from `dentry`. Lock-free; stores at most once between two visits of the hand.
  [[gnu::always_inline]] void note_hit(std::uint32_t dentry) noexcept {
    std::atomic<std::uint8_t>& mark = core_.slots.clock(dentry);
    if (mark.load(std::memory_order_relaxed) != kUsed) {
      mark.store(kUsed, std::memory_order_relaxed);
    }
  }

  // For whoever is about to take a slot of an arena that is filling. No guard held.
  void keep_room(Worker& me) {
    if (!core_.slots.has_reserve()) return make_room(me, false);
    if (pruning_.is_due() && is_held_mostly()) pruning_.fill_up();
  }

  // Frees some slots, or finds that it cannot. No guard held. `insist`: there is no other way.
  //
  // While the kernel has been asked, what it gave back is taken first, for the hand would look at many that
  // are held for each that is not; and only when that runs short, or it was long ago that the hand found too
  // little, the hand looks again.
  void make_room(Worker& me, bool insist) {
    std::uint32_t evicted = 0;
    const bool short_lately = patience_.load(std::memory_order_relaxed) > 0;
    if (short_lately) {
      evicted = take_given_back(me);
      // Callers that race may count a little too few; it is a rough measure.
      const bool in_vain = evicted == 0 && pruning_.is_able();
      patience_.fetch_sub(in_vain ? kPatience / kBatch : 1, std::memory_order_relaxed);
    }
    const bool look = insist || !short_lately;
    if (!look && evicted == 0) return;
    if (look) {
      const std::uint32_t bound = core_.slots.dentry_bound();
      const std::uint32_t steps = insist ? 3 * bound : std::min(3 * bound, kEffort);
      // What was given back has its turn, and the hand lowers its mark at each visit.
      const bool spare = !insist && pruning_.given_back().size() != 0;
      evicted += sweep(me, spare ? std::min(steps, bound) : steps, kBatch, Sweep::kAny, spare);
    }
    dentries_.limbo().drain();
    const std::size_t freed = reclaimer_.run(me);
    if (!look || evicted + freed >= kBatch / 4) return;
    me.count(Counter::kEvictGaveUp);
    patience_.store(kPatience, std::memory_order_relaxed);
    pruning_.fill_up();
  }

  // The kernel has given an inode back that nobody else uses. Under its lock.
  void note_given_back(const InodeLock& inode, std::uint32_t index) noexcept {
    if (!core_.slots.is_filling() || inode.priv().names.empty()) return;
    pruning_.given_back().push(index);
  }

  // Keeps names that do not exist from crowding out those that do.
  void trim_negatives(Worker& me) { sweep(me, kEffort, kBatch, Sweep::kNegative); }
  bool too_many_negatives() const noexcept {
    return dentries_.negatives() > std::max(kBatch, core_.slots.names_for_limit() / 4);
  }

  // Evicts every dentry that the kernel does not need and reclaims what follows. A dentry leaves
  // by the first round, its mark being lowered twice; the others are for those whose child or
  // directory only went meanwhile, and there is no end to those while others use the cache.
  void drop_unused(Worker& me) {
    for (int round = 0; round < kRounds; ++round) {
      const std::uint32_t bound = core_.slots.dentry_bound();
      const std::uint32_t evicted = sweep(me, 3 * bound, bound, Sweep::kAny);
      dentries_.limbo().drain();
      if (reclaimer_.run(me) == 0 && evicted == 0) return;
    }
  }

 private:
  // Whether few of some dentries could be evicted. Where the hand stands, or near: it may move meanwhile.
  bool is_held_mostly() const noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const std::uint32_t bound = core_.slots.dentry_bound();
    std::uint32_t at = hand_.load(kRelaxed);
    std::uint32_t held = 0;
    for (std::uint32_t i = 0; i < kBatch; ++i) {
      at = at + 1 < bound ? at + 1 : 1;
      if (at >= bound) return false;
      const std::uint32_t child = core_.slots.dentry(at).child.load(kRelaxed);
      if (child != 0 && core_.slots.inode_priv(child).refs.load(kRelaxed) != 0) ++held;
    }
    return held > kBatch - kBatch / 4;
  }

  std::uint32_t take_given_back(Worker& me) {
    std::uint32_t evicted = 0;
    std::uint32_t inodes = 0;
    for (std::uint32_t steps = 4 * kBatch; steps > 0 && evicted < kBatch; --steps) {
      const std::optional<std::uint32_t> index = pruning_.given_back().pop();
      if (!index) break;
      const std::uint32_t before = evicted;
      while (evict_name_of(*index)) ++evicted;
      if (evicted != before) ++inodes;
    }
    pruning_.replace(inodes);
    me.count(Counter::kDentryEvicted, evicted);
    return evicted;
  }

  // Of several names the first.
  bool evict_name_of(std::uint32_t child) {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    std::uint32_t index = 0;
    Stamp stamp = 1;
    {
      const auto inode = core_.lock_inode(child);
      const InodePriv& priv = inode.priv();
      if (priv.state != SlotState::kLive || priv.names.empty()) return false;
      if (priv.refs.load(kRelaxed) != 0) return false;
      index = core_.slots.index_of(priv.names.front());
      stamp = core_.slots.dentry(index).seq.sample();
      if (core_.slots.clock(index).load(kRelaxed) == kUsed) return false;
    }
    if (!stamp_is_stable(stamp)) return false;
    return kill(index, stamp, core_.slots.dentry(index).parent_index.load(kRelaxed));
  }

  enum class Sweep : std::uint8_t { kAny, kNegative };
  std::uint32_t sweep(Worker& me, std::uint32_t steps, std::uint32_t wanted, Sweep what,
                      bool spare = false) {
    std::lock_guard lock(mutex_);
    const std::uint32_t bound = core_.slots.dentry_bound();
    std::uint32_t evicted = 0;
    std::uint32_t at = hand_.load(std::memory_order_relaxed);
    for (; steps > 0 && evicted < wanted; --steps) {
      at = at + 1 < bound ? at + 1 : 1;
      if (at < bound && try_evict(at, what == Sweep::kNegative, spare)) ++evicted;
    }
    hand_.store(at, std::memory_order_relaxed);
    me.count(Counter::kDentryEvicted, evicted);
    return evicted;
  }

  bool try_evict(std::uint32_t index, bool negatives_only, bool spare) {
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
      const bool asked = now == Pruning<Policy>::kAsked;
      if (now != 0) {
        const int lowered = asked ? (spare ? 1 : 0) : now - 1;
        mark.store(static_cast<std::uint8_t>(lowered), kRelaxed);
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
  Pruning<Policy>& pruning_;
  std::mutex mutex_;                       // One sweep at a time.
  std::atomic<std::uint32_t> hand_{0};     // Written under mutex_.
  std::atomic<std::int32_t> patience_{0};  // Written by make_room.
};

}  // namespace evenfs
