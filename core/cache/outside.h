// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache, what others change: how whoever watches the store tells the cache, and what he has to know of
// the inodes that the kernel holds. Included by basic_cache.h.
//
// Whoever tells comes after the change, and waits for nobody. What a fill was told before the change it
// cannot cache after it: its lease is lost (aseq, nseq, cseq), or, for an object that had no inode, its
// ticket; or, if everything is invalidated, its `until` has passed.
#pragma once

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"

namespace evenfs {

template <LockingPolicy Policy>
void BasicCache<Policy>::invalidate(NodeId id) {
  // A change that changes nothing: its section takes away what is cached.
  const Result<Change> section = begin_change(id, Fields::kWalk);
  if (!section) return;
  const auto inode = core_.lock_inode(id.index());
  inode.open_content();
  inode.outdate_content();
  inode.close_content();
  inode.priv().lists_all = false;
}

template <LockingPolicy Policy>
void BasicCache<Policy>::invalidate_name(Worker& me, NodeId dir, NameRef name) {
  const Result<Pin> held = pin(dir);
  if (held) outdate_name(me, dir, name);
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::lookup_anew(Worker& me, NodeId dir, NameRef name) {
  const Result<Pin> held = pin(dir);
  if (!held) return held.error();
  Attr attr;
  const Result<Resolved> child = resolve(me, *held, name, &attr);
  if (!child) return child.error();
  const NodeId id = child->pin.id();
  core_.slots.inode_priv(id.index()).refs.fetch_add(1, std::memory_order_relaxed);
  return Entry{id, attr};
}

template <LockingPolicy Policy>
NodeId BasicCache<Policy>::invalidate_number(std::uint64_t number) {
  const NodeId id = Identity::is_durable(number) ? inodes_.find_or_outdate(number) : NodeId(number);
  // If it is reclaimed now, whoever enters it again has asked the store after that, and so after the change.
  if (id != NodeId()) invalidate(id);
  return id;
}

template <LockingPolicy Policy>
bool BasicCache<Policy>::is_counted(std::uint64_t number) noexcept {
  const NodeId id = id_of_number(number);
  if (id.index() == 0 || id.index() >= core_.slots.inode_bound()) return false;
  const auto inode = core_.lock_inode(id.index());
  return inode.pub().generation.load(std::memory_order_relaxed) == id.generation() &&
         (inode.priv().refs.load(std::memory_order_relaxed) & kLookupMask) != 0;
}

template <LockingPolicy Policy>
std::uint64_t BasicCache<Policy>::next_counted(std::uint32_t& at) noexcept {
  for (at = std::max(at, NodeId::kRootIndex + 1); at < core_.slots.inode_bound(); ++at) {
    if ((core_.slots.inode_priv(at).refs.load(std::memory_order_relaxed) & kLookupMask) == 0) {
      continue;
    }
    const auto inode = core_.lock_inode(at);  // So that the number belongs to a life.
    if (inode.priv().state == SlotState::kFree) continue;
    return number_of(id_of(at++));
  }
  return 0;
}

}  // namespace evenfs
