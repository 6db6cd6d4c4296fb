// SPDX-License-Identifier: LGPL-2.1-or-later
// Reclaimer: frees inodes that neither a name nor a reference keeps.
//
// The count of references (InodePriv::refs) is raised without a lock by lock-free lookups, so
// "it is zero" is not enough to free an inode. As with a percpu_ref that is killed and confirmed:
//
//   1. mark   under the inode lock: no name, no reference -> Dying, all counts odd. From now on
//             a lock-free lookup fails its validation and takes back what it added.
//   2. wait   for a grace period: every lookup that saw it live has added or taken back.
//   3. settle under id stripe and inode lock: still zero -> removed, generation + 1, slot free;
//             not zero -> live again.
//
// Invariants
//   R1  A slot is freed only when its reference count is zero, and can no longer be raised for good.
//       For a moment it can: by a lookup that began after the wait, over a name that the inode was
//       given, and lost, while it was dying. So a birth adds its first references.
//   R2  The generation changes while all counts are odd, so an id is checked inside the window.
//   R3  The store's node is released after the inode is unreachable, holding none of the cache's
//       locks but, where a change had to make room for itself, that change's operation lock.
#pragma once

#include "core/base/pause_point.h"
#include "core/cache/cells.h"
#include "core/cache/inode_table.h"

namespace evenfs {

template <LockingPolicy Policy>
class Reclaimer {
 public:
  Reclaimer(Core<Policy>& core, InodeTable<Policy>& table) noexcept : core_(core), table_(table) {}

  // Reclaims what is queued if it is a batch. No guard and no RcuGuard may be held.
  void run_if_worthwhile(Worker& me) {
    if (core_.unused.size() >= core_.slots.grace_batch()) run(me);
  }

  // Reclaims what is queued; the number of inodes freed.
  std::size_t run(Worker& me) {
    std::uint32_t doomed = 0;  // A list, like the queue: nothing here may fail halfway.
    core_.unused.take([&](std::uint32_t index) {
      if (mark(index, doomed)) doomed = index;
    });
    if (doomed == 0) return 0;
    EVENFS_PAUSE("reclaim.marked");
    core_.policy.synchronize();
    EVENFS_PAUSE("reclaim.waited");
    me.count(Counter::kReclaimBatch);
    std::size_t freed = 0;
    while (doomed != 0) {
      const std::uint32_t index = doomed;
      // Nobody else touches it while the inode is dying.
      doomed = core_.slots.inode_priv(index).queue_next;
      freed += settle(me, index) ? 1 : 0;
    }
    return freed;
  }

 private:
  // `next`: what stands in the list of the doomed so far.
  bool mark(std::uint32_t index, std::uint32_t next) {
    const auto inode = core_.lock_inode(index);
    InodePriv& priv = inode.priv();
    EVENFS_ASSERT(priv.state == SlotState::kLive);
    priv.queue_next = 0;
    // acquire, pairs with the releases that drop references.
    if (priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()) return false;
    EVENFS_ASSERT(priv.stat_users == 0 && priv.content_users == 0);
    priv.state = SlotState::kDying;
    priv.queue_next = next;
    inode.open(Fields::kWalk);
    inode.open_content();
    return true;
  }

  bool settle(Worker& me, std::uint32_t index) {
    const auto remains = table_.remove_or_revive(index);
    if (!remains) {
      me.count(Counter::kInodeRevived);
      return false;
    }
    if (remains->orphan) core_.orphans.take(index);
    EVENFS_PAUSE("reclaim.removed");
    core_.store.release(remains->node);
    free_string(core_.slots, remains->link_cell);
    // A slot whose generations are used up is retired: its ids would come round.
    if (core_.slots.inode(index).generation.load(std::memory_order_relaxed) <
        NodeId::kGenerationMax) {
      core_.slots.free_inode(index);
    }
    me.count(Counter::kInodeReclaimed);
    return true;
  }

  Core<Policy>& core_;
  InodeTable<Policy>& table_;
};

}  // namespace evenfs
