// SPDX-License-Identifier: LGPL-2.1-or-later
// FastPath: lookup, getattr, mode, lacks and readlink of what is cached. No system call, no allocation,
// no wait; under the lockless policy no lock and, but for LOOKUP's count and the clock's mark, which is
// set once, no store to shared memory.
//
// Every function ends in one of the outcomes below. Answers (kHit, kNegative, kAbsent) were true, as a
// whole, at one instant between the call and the return: everything read was sampled before, and
// validated after, the last field was copied. All other outcomes say why the locked path must be
// taken, and nothing about the name or the inode.
//
// A getattr or lookup that finds that something changed under it is repeated once. Nothing spins.
#pragma once

#include "core/base/pause_point.h"
#include "core/cache/dentry_table.h"
#include "core/cache/eviction.h"

namespace evenfs {

enum class Outcome : std::uint8_t {
  kHit,
  kNegative,
  kAbsent,
  kMiss,
  kDentryChanged,
  kInodeBusy,
  kInodeChanged,
  kAttrInvalid,
  kExpired,
  kStaleId,
  kChainLong,
  kAclUnknown,
  kTooDeep,
  kSymlinkUncached,
  kXattrUnknown,
};

// The counter of an outcome that is no answer.
constexpr Counter fallback_counter(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kMiss:
      return Counter::kFallMiss;
    case Outcome::kDentryChanged:
      return Counter::kFallDentryChanged;
    case Outcome::kInodeBusy:
      return Counter::kFallInodeBusy;
    case Outcome::kInodeChanged:
      return Counter::kFallInodeChanged;
    case Outcome::kAttrInvalid:
      return Counter::kFallAttrInvalid;
    case Outcome::kExpired:
      return Counter::kFallExpired;
    case Outcome::kStaleId:
      return Counter::kFallStaleId;
    case Outcome::kChainLong:
      return Counter::kFallChainLong;
    case Outcome::kAclUnknown:
      return Counter::kFallAclUnknown;
    case Outcome::kTooDeep:
      return Counter::kFallTooDeep;
    case Outcome::kSymlinkUncached:
      return Counter::kFallSymlinkUncached;
    case Outcome::kXattrUnknown:
      return Counter::kFallXattrUnknown;
    case Outcome::kHit:
    case Outcome::kNegative:
    case Outcome::kAbsent:
      break;
  }
  EVENFS_CHECK(false && "an answer is no fallback");
}

// Whether a hit raises the inode's lookup count.
enum class Count : bool { kNo, kYes };

template <LockingPolicy Policy>
class FastPath {
 public:
  static constexpr int kTries = 2;

  FastPath(Core<Policy>& core, DentryTable<Policy>& dentries, Evictor<Policy>& evictor) noexcept
      : core_(core), dentries_(dentries), evictor_(evictor) {}

  // Needs no RCU: the caller's lookup count keeps the slot, and a caller without one gets
  // kStaleId or a failed validation.
  Outcome getattr(NodeId id, Attr& attr) noexcept {
    if (!in_bounds(id)) return Outcome::kStaleId;
    const auto section = core_.policy.read_by_id();
    Outcome outcome = Outcome::kInodeChanged;
    for (int i = 0; i < kTries && outcome == Outcome::kInodeChanged; ++i) {
      outcome = getattr_once(id, attr);
    }
    return outcome;
  }

  // Under nseq alone, and not repeated: a write that changes size and times leaves it be. As for getattr
  // the caller's lookup count keeps the slot.
  Outcome mode(NodeId id, std::uint32_t& mode) noexcept {
    if (!in_bounds(id)) return Outcome::kStaleId;
    const auto section = core_.policy.read_by_id();
    const InodePub& pub = core_.slots.inode(id.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(id.index()).lock);
    const Stamp stamp = pub.nseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    mode = pub.mode.load(std::memory_order_relaxed);
    const std::uint32_t generation = pub.generation.load(std::memory_order_relaxed);
    const std::uint64_t until = pub.walk_until.load(std::memory_order_relaxed);
    EVENFS_PAUSE("mode.copied");
    validation_fence();
    if (!pub.nseq.same(stamp)) return Outcome::kInodeChanged;
    if (generation != id.generation()) return Outcome::kStaleId;
    return core_.fresh(until) ? Outcome::kHit : Outcome::kExpired;
  }

  // Whether an extended attribute (one of absence.h) is known not to be there: kHit. Under nseq, like
  // the mode, so that writes leave it be.
  Outcome lacks(NodeId id, std::uint64_t absence) noexcept {
    if (!in_bounds(id)) return Outcome::kStaleId;
    const auto section = core_.policy.read_by_id();
    const InodePub& pub = core_.slots.inode(id.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(id.index()).lock);
    const Stamp stamp = pub.nseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    const std::uint64_t absent = pub.absent.load(std::memory_order_relaxed);
    const std::uint32_t generation = pub.generation.load(std::memory_order_relaxed);
    EVENFS_PAUSE("lacks.copied");
    validation_fence();
    if (!pub.nseq.same(stamp)) return Outcome::kInodeChanged;
    if (generation != id.generation()) return Outcome::kStaleId;
    if ((absent & absence) == 0) return Outcome::kXattrUnknown;
    return core_.lacks(absent, absence) ? Outcome::kHit : Outcome::kExpired;
  }

  Outcome lookup(NodeId dir, NameRef name, Count count, Entry& entry) noexcept {
    if (!in_bounds(dir)) return Outcome::kStaleId;
    const NameKey key(core_.slots.hash_seed(), dir.index(), dir.generation(), name);
    Outcome outcome = Outcome::kInodeChanged;
    for (int i = 0; i < kTries && outcome == Outcome::kInodeChanged; ++i) {
      std::uint32_t taken_back = 0;
      {
        const auto section = core_.policy.read();
        outcome = lookup_once(dir, key, count, entry, taken_back);
      }
      if (taken_back != 0) core_.recheck(taken_back);
    }
    return outcome;
  }

  // Finds the inode of a cached name and adds `refs` to its references, whatever the state of its
  // attributes: `seen.child` 0 is a negative dentry. Nothing else is promised about the inode. kAbsent as of
  // lookup().
  Outcome hold(NodeId dir, NameRef name, std::uint64_t refs, DentrySeen& seen) noexcept {
    if (!in_bounds(dir)) return Outcome::kStaleId;
    const NameKey key(core_.slots.hash_seed(), dir.index(), dir.generation(), name);
    Outcome outcome = Outcome::kHit;
    {
      const auto section = core_.policy.read();
      outcome = hold_once(dir, key, refs, seen);
    }
    if (outcome == Outcome::kInodeChanged && seen.child != 0) core_.recheck(seen.child);
    return outcome;
  }

  // `target` has room for `max` bytes.
  Outcome readlink(NodeId id, char* target, std::uint32_t max, std::uint32_t& length) noexcept {
    if (!in_bounds(id)) return Outcome::kStaleId;
    const auto section = core_.policy.read();
    const InodePub& pub = core_.slots.inode(id.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(id.index()).lock);
    const Stamp stamp = pub.nseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    // [MO-5] acquire, pairs with the release in BasicCache::remember_link: a chain's index brings
    // its bytes with it.
    const std::uint32_t cell = pub.link_cell.load(std::memory_order_acquire);
    const std::uint32_t generation = pub.generation.load(std::memory_order_relaxed);
    const bool copied = cell != 0 && copy_string(core_.slots, cell, target, max, length);
    EVENFS_PAUSE("readlink.copied");
    validation_fence();
    if (!pub.nseq.same(stamp)) return Outcome::kInodeChanged;
    if (generation != id.generation()) return Outcome::kStaleId;
    return copied ? Outcome::kHit : Outcome::kSymlinkUncached;
  }

 private:
  Outcome hold_once(NodeId dir, const NameKey& key, std::uint64_t refs, DentrySeen& seen) noexcept {
    if (dentries_.find(dir.index(), dir.generation(), key, seen) != Find::kFound) {
      const InodePub& parent = core_.slots.inode(dir.index());
      return answer_miss(parent, parent.nseq.sample(), dir, key);
    }
    if (!core_.fresh(seen.until)) return Outcome::kExpired;
    if (seen.child == 0) return Outcome::kNegative;
    InodePriv& priv = core_.slots.inode_priv(seen.child);
    const auto guard = core_.policy.read_inode(priv.lock);
    // As in finish_hit: a live dentry keeps its child from being marked, and who kills it later
    // waits for this section before the count is looked at again.
    EVENFS_PAUSE("hold.found");
    priv.refs.fetch_add(refs, std::memory_order_relaxed);
    EVENFS_PAUSE("hold.counted");
    validation_fence();
    if (dentries_.still(seen)) return Outcome::kHit;
    priv.refs.fetch_sub(refs, std::memory_order_relaxed);
    return Outcome::kInodeChanged;
  }

  bool in_bounds(NodeId id) const noexcept {
    return id.index() != 0 && id.index() < core_.slots.inode_bound();
  }

  Outcome getattr_once(NodeId id, Attr& attr) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const InodePub& pub = core_.slots.inode(id.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(id.index()).lock);
    const Stamp stamp = pub.aseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    copy_attr(pub, attr);
    const std::uint32_t generation = pub.generation.load(kRelaxed);
    const std::uint32_t flags = pub.stat_flags.load(kRelaxed);
    const std::uint64_t until = pub.stat_until.load(kRelaxed);
    EVENFS_PAUSE("getattr.copied");
    validation_fence();
    if (!pub.aseq.same(stamp)) return Outcome::kInodeChanged;
    if (generation != id.generation()) return Outcome::kStaleId;
    if ((flags & kAttrValid) == 0) return Outcome::kAttrInvalid;
    return core_.fresh(until) ? Outcome::kHit : Outcome::kExpired;
  }

  // One instant for the whole: the directory is alive, the dentry stands, the inode is as copied.
  // The child's aseq covers what its nseq would say of it (L3), and the dentry keeps the child's
  // slot (L2), so the child's generation is the one that belongs to the name.
  // `taken_back`: the inode whose count was raised although this is no hit, and lowered again.
  [[gnu::always_inline]] Outcome lookup_once(NodeId dir, const NameKey& key, Count count,
                                             Entry& entry, std::uint32_t& taken_back) noexcept {
    const InodePub& parent = core_.slots.inode(dir.index());
    const Stamp parent_stamp = parent.nseq.sample();
    if (!stamp_is_stable(parent_stamp)) return Outcome::kInodeBusy;
    if (parent.generation.load(std::memory_order_relaxed) != dir.generation()) {
      return Outcome::kStaleId;
    }
    DentrySeen seen;
    switch (dentries_.find(dir.index(), dir.generation(), key, seen)) {
      case Find::kFound:
        break;
      case Find::kMiss:
        return answer_miss(parent, parent_stamp, dir, key);
      case Find::kChanged:
        return Outcome::kDentryChanged;
      case Find::kTooLong:
        return Outcome::kChainLong;
    }
    if (!core_.fresh(seen.until)) return Outcome::kExpired;
    EVENFS_PAUSE("lookup.found");
    if (seen.child != 0) {
      return finish_hit(parent, parent_stamp, seen, count, entry, taken_back);
    }
    validation_fence();
    if (!dentries_.still(seen) || !parent.nseq.same(parent_stamp)) return Outcome::kInodeChanged;
    evictor_.note_hit(seen.index);
    return Outcome::kNegative;
  }

  // No dentry was found. If all names of the directory have dentries that is an answer; but whether they
  // have must be known before the chain is passed, and hits are not to pay for that. So once more.
  [[gnu::noinline]] Outcome answer_miss(const InodePub& parent, Stamp parent_stamp, NodeId dir,
                                        const NameKey& key) const noexcept {
    EVENFS_PAUSE("miss.found_none");
    const Stamp content = parent.cseq.sample();
    if (!stamp_is_stable(content) || !stamp_is_stable(parent_stamp)) return Outcome::kMiss;
    if (!core_.has_all_names(parent.names_until.load(std::memory_order_relaxed))) {
      return Outcome::kMiss;
    }
    const bool same_life = parent.generation.load(std::memory_order_relaxed) == dir.generation();
    EVENFS_PAUSE("miss.names_known");
    if (!same_life || !dentries_.lacks(dir.index(), dir.generation(), key)) return Outcome::kMiss;
    EVENFS_PAUSE("miss.passed");
    validation_fence();
    const bool stands = parent.cseq.same(content) && parent.nseq.same(parent_stamp);
    return stands ? Outcome::kAbsent : Outcome::kInodeChanged;
  }

  [[gnu::always_inline]] Outcome finish_hit(const InodePub& parent, Stamp parent_stamp,
                                            const DentrySeen& seen, Count count, Entry& entry,
                                            std::uint32_t& taken_back) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const InodePub& pub = core_.slots.inode(seen.child);
    InodePriv& priv = core_.slots.inode_priv(seen.child);
    const auto guard = core_.policy.read_inode(priv.lock);
    const Stamp stamp = pub.aseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    copy_attr(pub, entry.attr);
    entry.id = NodeId(seen.child, pub.generation.load(kRelaxed));
    const std::uint32_t flags = pub.stat_flags.load(kRelaxed);
    const std::uint64_t until = pub.stat_until.load(kRelaxed);
    EVENFS_PAUSE("lookup.copied");
    // The count is raised before the validation and taken back within the same read section, so
    // that the reclaimer, who waits for the section, sees it or the validation fails.
    if (count == Count::kYes) priv.refs.fetch_add(1, kRelaxed);
    EVENFS_PAUSE("lookup.counted");
    validation_fence();
    Outcome outcome = Outcome::kHit;
    if (!dentries_.still(seen) || !pub.aseq.same(stamp) || !parent.nseq.same(parent_stamp)) {
      outcome = Outcome::kInodeChanged;
    } else if ((flags & kAttrValid) == 0) {
      outcome = Outcome::kAttrInvalid;
    } else if (!core_.fresh(until)) {
      outcome = Outcome::kExpired;
    } else {
      evictor_.note_hit(seen.index);
      return outcome;
    }
    if (count == Count::kYes) {
      take_back(priv.refs);
      taken_back = seen.child;
    }
    return outcome;
  }

  // A forget of more than the kernel was given may have taken what we added; then there is nothing
  // to take back.
  static void take_back(std::atomic<std::uint64_t>& refs) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    std::uint64_t now = refs.load(kRelaxed);
    while ((now & kLookupMask) != 0 &&
           !refs.compare_exchange_weak(now, now - 1, kRelaxed, kRelaxed)) {
    }
  }

  Core<Policy>& core_;
  DentryTable<Policy>& dentries_;
  Evictor<Policy>& evictor_;
};

}  // namespace evenfs
