// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache, lifetimes: slots, pins, lookup counts, birth and end of the cache.
// Included by basic_cache.h.
#pragma once

#include <random>

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"

namespace evenfs {

template <LockingPolicy Policy>
BasicCache<Policy>::BasicCache(Store& store, std::unique_ptr<Slots> slots,
                               const CacheOptions& options)
    : core_(store, std::move(slots), options.ttl_ticks, options.unnumbered_ttl_ticks,
            options.ttl_least_ticks),
      dentries_(core_),
      inodes_(core_),
      reclaimer_(core_, inodes_),
      pruning_(core_),
      evictor_(core_, dentries_, reclaimer_, pruning_),
      fast_(core_, dentries_, evictor_),
      listing_budget_(options.memory_bytes / kListingShare),
      listings_(listing_budget_.max() / 2) {}

template <LockingPolicy Policy>
Result<std::unique_ptr<BasicCache<Policy>>> BasicCache<Policy>::create(
    Store& store, const CacheOptions& options) {
  if (options.memory_bytes < (1U << 20)) return Errno(EINVAL);
  if (options.unnumbered_ttl_ticks != 0 &&
      (options.ttl_ticks == kForeverTicks ||
       options.unnumbered_ttl_ticks >= options.ttl_ticks / 4)) {
    return Errno(EINVAL);
  }
  if (options.ttl_least_ticks != 0 &&
      (options.ttl_ticks == kForeverTicks || options.ttl_least_ticks > options.ttl_ticks ||
       options.unnumbered_ttl_ticks != 0)) {
    return Errno(EINVAL);
  }
  std::uint64_t seed = options.hash_seed;
  while (seed == 0) {
    std::random_device random;
    seed = (static_cast<std::uint64_t>(random()) << 32) | random();
  }
  Result<std::unique_ptr<Slots>> slots =
      Slots::create({options.memory_bytes - options.memory_bytes / kListingShare, options.slots_max,
                     seed, options.seq_start});
  if (!slots) return slots.error();
  std::unique_ptr<BasicCache> cache(new BasicCache(store, std::move(slots).value(), options));
  const Result<Found> root = store.root();
  if (!root) return root.error();
  const std::optional<std::uint32_t> slot = cache->core_.slots.carve_inode();
  if (!slot) {
    store.release(root->node);
    return Errno(ENOMEM);
  }
  EVENFS_CHECK(*slot == NodeId::kRootIndex);
  // The pin is never dropped: the root lives as long as the cache.
  cache->inodes_.enter(*slot, *root, cache->inodes_.ticket(), cache->core_.until(), kPinUnit);
  return cache;
}

// Nobody uses the cache any more, and counts that the kernel did not give back are void.
template <LockingPolicy Policy>
BasicCache<Policy>::~BasicCache() {
  dentries_.limbo().drain();
  for (std::uint32_t index = 1; index < core_.slots.inode_bound(); ++index) {
    InodePriv& priv = core_.slots.inode_priv(index);
    if (priv.state == SlotState::kFree) continue;
    core_.store.release(priv.node);
  }
}

template <LockingPolicy Policy>
std::uint32_t BasicCache<Policy>::take_inode_slot(Worker& me) {
  Slots& slots = core_.slots;
  if (slots.is_filling()) evictor_.keep_room(me);
  if (const auto slot = slots.reuse_inode()) return *slot;
  // Slots of the other kind are free, and this one is wanting.
  if (!slots.room() && slots.has_reserve()) {
    evictor_.make_room(me, false);
    if (const auto slot = slots.reuse_inode()) return *slot;
  }
  // Past the limit, if need be: an inode that the kernel is to know must have a slot.
  if (const auto slot = slots.carve_inode()) return *slot;
  evictor_.make_room(me, true);
  return slots.reuse_inode().value_or(0);
}

template <LockingPolicy Policy>
std::uint32_t BasicCache<Policy>::take_dentry_slot(Worker& me) {
  Slots& slots = core_.slots;
  if (slots.is_filling()) evictor_.keep_room(me);
  if (const auto slot = slots.reuse_dentry()) return *slot;
  // Slots of the other kind are free, and this one is wanting.
  if (!slots.room() && slots.has_reserve()) {
    evictor_.make_room(me, false);
    if (const auto slot = slots.reuse_dentry()) return *slot;
  }
  if (const auto slot = slots.carve_dentry()) return *slot;
  evictor_.make_room(me, true);
  return slots.reuse_dentry().value_or(0);
}

template <LockingPolicy Policy>
Result<Cache::Pin> BasicCache<Policy>::pin(NodeId id) {
  if (id.index() == 0 || id.index() >= core_.slots.inode_bound()) return Errno(ESTALE);
  const auto inode = core_.lock_inode(id.index());
  if (inode.priv().state == SlotState::kFree ||
      inode.pub().generation.load(std::memory_order_relaxed) != id.generation()) {
    return Errno(ESTALE);
  }
  inode.priv().refs.fetch_add(kPinUnit, std::memory_order_relaxed);
  return Pin(*this, id, inode.priv().node);
}

// A Pin that takes over a reference of kPinUnit which the caller has counted already.
template <LockingPolicy Policy>
Cache::Pin BasicCache<Policy>::pinned(std::uint32_t index) noexcept {
  return Pin(*this, id_of(index), core_.slots.inode_priv(index).node);
}

template <LockingPolicy Policy>
void BasicCache<Policy>::drop_refs(std::uint32_t index, std::uint64_t refs) noexcept {
  // release, pairs with the acquire in queue_if_unused and the reclaimer.
  if (core_.slots.inode_priv(index).refs.fetch_sub(refs, std::memory_order_release) != refs) {
    return;
  }
  core_.queue_if_unused(core_.lock_inode(index), index);
}

template <LockingPolicy Policy>
void BasicCache<Policy>::forget(Worker& me, NodeId id, std::uint64_t n) {
  me.count(Counter::kForget);
  const std::uint32_t index = id.index();
  std::unique_ptr<Orphan> forgotten;  // Closed at the end, when no lock is held.
  if (index == 0 || index >= core_.slots.inode_bound() || !give_back(id, n, forgotten)) {
    me.count(Counter::kForgetExcess);
    return;
  }
  reclaimer_.run_if_worthwhile(me);
}

// Under the inode lock, so that the slot cannot go on to another life between the look at the
// generation and the subtraction.
template <LockingPolicy Policy>
bool BasicCache<Policy>::give_back(NodeId id, std::uint64_t n,
                                   std::unique_ptr<Orphan>& forgotten) noexcept {
  const auto inode = core_.lock_inode(id.index());
  if (inode.priv().state == SlotState::kFree ||
      inode.pub().generation.load(std::memory_order_relaxed) != id.generation()) {
    return false;
  }
  std::atomic<std::uint64_t>& refs = inode.priv().refs;
  std::uint64_t now = refs.load(std::memory_order_relaxed);
  do {
    if ((now & kLookupMask) < n) return false;
    // release, pairs with the acquire in queue_if_unused, as in drop_refs.
  } while (!refs.compare_exchange_weak(now, now - n, std::memory_order_release,
                                       std::memory_order_relaxed));
  if (((now - n) & kLookupMask) == 0 && inode.priv().orphan) {
    inode.priv().orphan = false;
    forgotten = core_.orphans.take(id.index());
  }
  if (now == n) evictor_.note_given_back(inode, id.index());
  core_.queue_if_unused(inode, id.index());
  return true;
}

template <LockingPolicy Policy>
Result<Cache::Change> BasicCache<Policy>::begin_change(NodeId id, Fields fields) {
  Result<Pin> held = pin(id);
  if (!held) return held.error();
  core_.lock_inode(id.index()).open(fields);
  return Change(*this, std::move(held).value(), fields);
}

template <LockingPolicy Policy>
void BasicCache<Policy>::end_change(NodeId id, Fields fields, const Attr* now,
                                    std::uint64_t until) noexcept {
  const auto inode = core_.lock_inode(id.index());
  // A mode that changed although the section is not about it: let the next getattr see to it.
  if (now != nullptr && inode.was_alone() && core_.may_cache(inode.priv(), *now) &&
      (fields == Fields::kWalk || same_owner_and_mode(inode.pub(), *now))) {
    until = core_.until_of(id.index(), *now, until);
    InodeSection section(inode, fields);
    section.set_stat(*now, core_.until_seen(inode.priv(), until));
    if (fields == Fields::kWalk) section.set_owner_and_mode(*now, until);
  }
  inode.close(fields);
}

template <LockingPolicy Policy>
Result<Cache::Bypass> BasicCache<Policy>::begin_bypass(NodeId id, Unseen what) {
  Result<Pin> held = pin(id);
  if (!held) return held.error();
  const auto inode = core_.lock_inode(id.index());
  InodePriv& priv = inode.priv();
  if (what != Unseen::kReads) {
    const std::uint16_t writers = priv.unseen_writers.load(std::memory_order_relaxed);
    if ((writers & kUnseenMax) == kUnseenMax) return Errno(EMFILE);
    const int marks = kOnceWritten | (what == Unseen::kMaps ? kUnseenMap | kOnceMapped : 0);
    priv.unseen_writers.store(static_cast<std::uint16_t>((writers + 1) | marks),
                              std::memory_order_relaxed);
  } else {
    if (priv.unseen_readers == kUnseenReadersMax) return Errno(EMFILE);
    ++priv.unseen_readers;
  }
  // What is cached was cached under other rules.
  inode.open(Fields::kStat);
  inode.close(Fields::kStat);
  return Bypass(*this, std::move(held).value(), what);
}

template <LockingPolicy Policy>
void BasicCache<Policy>::hide_writes(NodeId id) noexcept {
  const auto inode = core_.lock_inode(id.index());
  std::atomic<std::uint16_t>& writers = inode.priv().unseen_writers;
  const std::uint16_t now = writers.load(std::memory_order_relaxed);
  EVENFS_ASSERT(now != 0);
  writers.store(static_cast<std::uint16_t>(now | kUnseenMap), std::memory_order_relaxed);
}

// What was read of the store while it could be changed unseen, and is to be cached now, loses its lease.
template <LockingPolicy Policy>
void BasicCache<Policy>::end_bypass(NodeId id, Unseen what) noexcept {
  const auto inode = core_.lock_inode(id.index());
  InodePriv& priv = inode.priv();
  if (what != Unseen::kReads) {
    const int left = priv.unseen_writers.load(std::memory_order_relaxed) - 1;
    const int marks = (left & kUnseenMax) == 0 ? ~kUnseenMap : ~0;
    priv.unseen_writers.store(static_cast<std::uint16_t>(left & marks), std::memory_order_relaxed);
  } else {
    --priv.unseen_readers;
    // What is served stands: no read moves its access time.
    if (inode.pub().stat_flags.load(std::memory_order_relaxed) != 0) return;
  }
  inode.open(Fields::kStat);
  inode.close(Fields::kStat);
}

template <LockingPolicy Policy>
bool BasicCache<Policy>::keep_orphan(std::unique_ptr<Orphan>& orphan) noexcept {
  const auto inode = core_.lock_inode(orphan->index);
  InodePriv& priv = inode.priv();
  // The count is lowered under this lock, or by those who had raised it for a moment and cannot
  // mean an object without a name.
  const bool known = (priv.refs.load(std::memory_order_relaxed) & kLookupMask) != 0;
  if (known && !priv.orphan) priv.orphan = core_.orphans.add(orphan);
  return priv.orphan;
}

// The inode has lost a name. If it was the last one, what keeps the inode in being is kept until the kernel
// forgets it; whoever asks for its attributes asks the store. If others have made another name meanwhile, it is
// kept for nothing. Otherwise the section ends with what is true now: that also is the last word about an inode
// that cannot be kept.
template <LockingPolicy Policy>
void BasicCache<Policy>::end_nameless(Change& change, Renamed& lost, std::uint64_t until) {
  if (lost.held == nullptr) return;
  File* const file = lost.held->file.get();
  if (lost.last_name && keep_orphan(lost.held)) return;
  const Result<Attr> now = core_.store.getattr(change.node(), file);
  if (!now) return;
  if (now->nlink == 0) (void)keep_orphan(lost.held);
  change.end_with(*now, until);
}

template <LockingPolicy Policy>
void BasicCache<Policy>::housekeep(Worker& me) {
  dentries_.limbo().drain();
  reclaimer_.run(me);
  core_.slots.use_huge_pages();
}

// 32 bits of a hash: one change in two thousand million is missed.
template <LockingPolicy Policy>
bool BasicCache<Policy>::same_content(NodeId id, const Attr* now) noexcept {
  std::uint32_t stamp = 0;  // None.
  if (now != nullptr) {
    const std::uint64_t words[5] = {now->size, static_cast<std::uint64_t>(now->mtime.sec),
                                    static_cast<std::uint64_t>(now->ctime.sec), now->mtime.nsec,
                                    now->ctime.nsec};
    stamp = static_cast<std::uint32_t>(
                XXH3_64bits_withSeed(words, sizeof words, core_.slots.hash_seed())) |
            1U;
  }
  const auto inode = core_.lock_inode(id.index());
  if (inode.pub().generation.load(std::memory_order_relaxed) != id.generation()) return false;
  const bool same = stamp != 0 && inode.pub().page_stamp.load(std::memory_order_relaxed) == stamp;
  inode.pub().page_stamp.store(stamp, std::memory_order_relaxed);
  return same;
}

template <LockingPolicy Policy>
CacheStats BasicCache<Policy>::stats() const {
  const Slots& slots = core_.slots;
  CacheStats stats;
  stats.listings = listings_.size();
  stats.listing_bytes = listing_budget_.used();
  stats.memory_limit = slots.limit_bytes() + listing_budget_.max();
  stats.memory_bytes = slots.bytes() + stats.listing_bytes;
  stats.inodes = slots.inode_pool().used();
  stats.inode_slots = slots.inode_pool().slots();
  stats.dentries = slots.dentry_pool().used();
  stats.negative_dentries = dentries_.negatives();
  stats.dentry_slots = slots.dentry_pool().slots();
  stats.cells = slots.cell_pool().used();
  stats.cell_slots = slots.cell_pool().slots();
  stats.orphans = core_.orphans.size();
  for (std::uint32_t i = NodeId::kRootIndex + 1; i < slots.inode_bound(); ++i) {
    const std::uint64_t lookups =
        slots.inode_priv(i).refs.load(std::memory_order_relaxed) & kLookupMask;
    stats.kernel_inodes += lookups != 0 ? 1 : 0;
    stats.kernel_lookups += lookups;
  }
  return stats;
}

}  // namespace evenfs
