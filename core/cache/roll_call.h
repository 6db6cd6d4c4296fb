// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache, what knows all names of a directory: InodePub::names_until. While it holds, a name without
// a dentry is not there, and FastPath and FastWalk say so. Included by basic_cache.h.
//
//   begins to hold   with the birth of an inode whose directory was just made; at the end of a roll call
//   goes on          through own changes that say so (DirChange::keep_names)
//   ends             before a positive dentry goes for any other reason, when somebody else has changed a name,
//                    with a change that fails, and by its tick
//
// All of that in a section on cseq, but that a roll call begins. A roll call is right if from its first
// question to its end no name came and no dentry went. Names come in sections, so cseq tells of them. Who is
// about to kill a dentry outside of a section looks at names_until under the bucket's lock, which has()
// takes, too: so the dentry is dead before has() looks, or the killer sees that somebody asks, and moves
// cseq first.
#pragma once

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"

namespace evenfs {

template <LockingPolicy Policy>
Cache::RollCall BasicCache<Policy>::begin_roll_call(NodeId dir) {
  RollCall call;
  call.dir = dir;
  const std::uint64_t until = core_.until();
  if (until == 0 || dir.index() == 0 || dir.index() >= core_.slots.inode_bound()) return call;
  const auto inode = core_.lock_inode(dir.index());
  call.until = core_.until_of(dir.index(), until);
  InodePub& pub = inode.pub();
  if (pub.generation.load(std::memory_order_relaxed) != dir.generation()) return call;
  // What is known already is not made known once more.
  if (core_.has_all_names(pub.names_until.load(std::memory_order_relaxed))) return call;
  call.content = pub.cseq.sample();  // Odd: names are coming and going, and it is of no use.
  if (call.is_of_use() && pub.names_until.load(std::memory_order_relaxed) == 0) {
    pub.names_until.store(kRollCall, std::memory_order_relaxed);
  }
  return call;
}

template <LockingPolicy Policy>
void BasicCache<Policy>::end_roll_call(Worker& me, const RollCall& call, ListingLease& lease) {
  if (!call.is_of_use()) return;
  const Result<Pin> held = pin(call.dir);
  if (!held || !lists_all(*held)) return;
  EVENFS_PAUSE("roll_call.over");
  const auto inode = core_.lock_inode(call.dir.index());
  if (!inode.pub().cseq.same(call.content) || !core_.fresh(call.until)) return;
  // What is known already is not made known once more: that would move cseq.
  if (core_.has_all_names(inode.pub().names_until.load(std::memory_order_relaxed))) return;
  inode.note_names(call.until);
  if (lease.content == call.content) lease.content = inode.pub().cseq.sample();
  me.count(Counter::kNamesComplete);
}

template <LockingPolicy Policy>
bool BasicCache<Policy>::lists_all(const Pin& dir) {
  if (core_.lock_inode(dir.id().index()).priv().lists_all) return true;
  if (!core_.store.lists_all(dir.node())) return false;
  core_.lock_inode(dir.id().index()).priv().lists_all = true;
  return true;
}

template <LockingPolicy Policy>
void BasicCache<Policy>::outdate_name(Worker& me, NodeId dir, NameRef name) {
  // First the count, so that nobody fills in what he read before; a change of the directory that
  // is under way loses its right to cache the names it made. It stays odd until the name is gone, so that
  // no roll call begins before.
  {
    const auto inode = core_.lock_inode(dir.index());
    inode.open_content();
    inode.outdate_content();
  }
  EVENFS_PAUSE("invalidate.outdated");
  kill_name(me, dir, name);
  core_.lock_inode(dir.index()).close_content();
}

// --- Names that are kept in the store's order (listing.h): as long as cseq and nseq and the tick hold.

template <LockingPolicy Policy>
bool BasicCache<Policy>::holds(const ListingLease& lease) noexcept {
  if (!lease.is_of_use() || !core_.fresh(lease.until)) return false;
  const auto inode = core_.lock_inode(lease.dir.index());
  const InodePub& pub = inode.pub();
  return pub.generation.load(std::memory_order_relaxed) == lease.dir.generation() &&
         pub.cseq.same(lease.content) && pub.nseq.same(lease.walk);
}

template <LockingPolicy Policy>
ListingUnderWay BasicCache<Policy>::begin_listing(NodeId dir) {
  ListingLease lease;
  lease.dir = dir;
  const std::uint64_t until = core_.until();
  if (dir.index() != 0 && dir.index() < core_.slots.inode_bound()) {
    const auto inode = core_.lock_inode(dir.index());
    lease.until = core_.until_of(dir.index(), until);
    lease.content = inode.pub().cseq.sample();
    lease.walk = inode.pub().nseq.sample();
  }
  return ListingUnderWay(lease, listing_budget_, listings_.largest());
}

template <LockingPolicy Policy>
void BasicCache<Policy>::keep_listing(const ListingLease& lease,
                                      std::shared_ptr<const Listing> listing) {
  if (listing == nullptr || !holds(lease)) return;
  try {
    listings_.put(lease, std::move(listing));
  } catch (const std::bad_alloc&) {
    // Then it is not kept.
  }
}

// nseq too: a directory that was removed has no names, not even "." and "..", and one that was moved has
// another "..".
template <LockingPolicy Policy>
std::shared_ptr<const Listing> BasicCache<Policy>::kept_listing(NodeId dir) {
  ListingTable::Kept kept = listings_.find(dir);
  if (kept.listing != nullptr && !holds(kept.lease)) {
    listings_.drop(kept.lease);
    kept.listing.reset();
  }
  return std::move(kept.listing);
}

}  // namespace evenfs
