// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache, what answers: the lock-free path first, then the store, whose answer is cached if
// nothing changed while it was given (the lease). Included by basic_cache.h.
//
// A lease is a count sampled before the store is asked: aseq for attributes, the directory's cseq
// for a name, nseq for the absence of an extended attribute. Whoever changes the object makes it odd
// before the store is told. So an unchanged, even count means that what the store said is still so.
// A lost lease costs caching, never truth: the caller gets what the store said during the call.
#pragma once

#include <sys/stat.h>

#include <climits>

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"

namespace evenfs {

// The answer is filled in where the caller will find it: copying it once more would cost as much
// as finding it.
template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::answer_lookup(Worker& me, NodeId dir, NameRef name, Count count) {
  Result<Entry> answer(std::in_place);
  const Outcome outcome = fast_.lookup(dir, name, count, *answer);
  if (outcome == Outcome::kHit) [[likely]] {
    me.count(Counter::kLookupHit);
  } else if (outcome == Outcome::kNegative) {
    me.count(Counter::kLookupNegative);
    answer = Errno(ENOENT);
  } else if (outcome == Outcome::kAbsent) {
    me.count(Counter::kLookupComplete);
    answer = Errno(ENOENT);
  } else {
    me.count(fallback_counter(outcome));
    answer = ask_lookup(me, dir, name, count == Count::kYes ? 1 : 0);
  }
  return answer;
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::ask_lookup(Worker& me, NodeId dir, NameRef name,
                                             std::uint64_t lookups) {
  Result<Pin> dir_pin = pin(dir);
  if (!dir_pin) return dir_pin.error();
  Attr attr;
  const Result<Pin> child = find_child(me, *dir_pin, name, attr);
  if (!child) return child.error();
  if (lookups != 0) {
    core_.slots.inode_priv(child->id().index()).refs.fetch_add(lookups, std::memory_order_relaxed);
  }
  return Entry{child->id(), attr};
}

template <LockingPolicy Policy>
auto BasicCache<Policy>::find_child(Worker& me, const Pin& dir, NameRef name, Attr& attr)
    -> Result<Pin> {
  Result<Resolved> child = resolve(me, dir, name, nullptr);
  if (!child) return child.error();
  // The name is known and the child pinned; its attributes come from the cache or the store.
  const Result<Attr> told = attr_of(me, child->pin);
  if (told) {
    attr = *told;
  } else {
    if (told.error() != Errno(ESTALE)) return told.error();
    // Replaced behind our back. Ask for the name itself, once.
    invalidate_name(me, dir.id(), name);
    child = resolve(me, dir, name, &attr);
    if (!child) return child.error();
  }
  return std::move(child->pin);
}

template <LockingPolicy Policy>
Result<Found> BasicCache<Policy>::ask_for_name(const Node& dir, NameRef name,
                                               std::unique_ptr<File>* hold) {
  if (hold == nullptr) return core_.store.lookup(dir, name);
  Result<HeldFound> held = core_.store.lookup_and_hold(dir, name);
  if (!held) return held.error();
  *hold = std::move(held->hold);
  return held->found;
}

template <LockingPolicy Policy>
auto BasicCache<Policy>::resolve(Worker& me, const Pin& dir, NameRef name, Attr* attr,
                                 std::unique_ptr<File>* hold) -> Result<Resolved> {
  DentrySeen seen;
  if (attr == nullptr) {
    const Outcome held = fast_.hold(dir.id(), name, kPinUnit, seen);
    if (held == Outcome::kNegative || held == Outcome::kAbsent) return Errno(ENOENT);
    if (held == Outcome::kHit) return Resolved{pinned(seen.child), seen.until};
  }
  // Odd: a change is under way, and what the store says may be of before it.
  const Stamp lease = core_.slots.inode(dir.id().index()).cseq.sample();
  const bool may_cache = stamp_is_stable(lease);
  const auto ticket = inodes_.ticket();
  const std::uint64_t until = core_.until();
  me.count(Counter::kLookupLocked);
  const Result<Found> found = ask_for_name(dir.node(), name, hold);
  if (!found) {
    EVENFS_PAUSE("resolve.told_none");
    if (found.error() == Errno(ENOENT) && may_cache) {
      cache_negative(me, dir.id(), name, lease, until);
    }
    return found.error();
  }
  if (attr != nullptr) *attr = found->attr;
  EVENFS_PAUSE("resolve.told");
  const Result<NodeId> id = adopt(me, *found, ticket, until, kPinUnit);
  if (!id) return id.error();
  Resolved child{pinned(id->index()), until};
  if (may_cache) cache_name(me, dir.id(), name, *id, lease, until);
  return child;
}

template <LockingPolicy Policy>
Result<NodeId> BasicCache<Policy>::adopt(Worker& me, const Found& found,
                                         typename InodeTable<Policy>::Ticket ticket,
                                         std::uint64_t until, std::uint64_t refs, bool empty) {
  std::uint32_t index = inodes_.find(found.identity, refs);
  if (index == 0) {
    const std::uint32_t slot = take_inode_slot(me);
    if (slot == 0) {
      core_.store.release(found.node);
      return Errno(ENOMEM);
    }
    EVENFS_PAUSE("adopt.none_there");
    index = inodes_.enter(slot, found, ticket, until, refs, empty);
    if (index == slot) {
      me.count(Counter::kInodeCreated);
      return id_of(index);
    }
    core_.slots.free_inode(slot);
  }
  core_.store.release(found.node);  // The inode has a node of its own.
  // What is cached of it may be of when somebody told: of one name, and now there are two.
  if (found.attr.untold) invalidate(id_of(index));
  return id_of(index);
}

template <LockingPolicy Policy>
bool BasicCache<Policy>::cache_name(Worker& me, NodeId dir, NameRef name, NodeId child, Stamp lease,
                                    std::uint64_t until) {
  until = core_.until_of(dir.index(), until);
  const Confirmed confirmed = dentries_.confirm(dir.index(), name, child.index(), lease, until);
  if (confirmed == Confirmed::kYes) return true;
  if (confirmed == Confirmed::kOtherwise) outdate_name(me, dir, name);
  const std::uint32_t slot = take_dentry_slot(me);
  if (slot == 0) return false;
  const auto stamp = dentries_.insert(slot, dir.index(), name, child.index(), lease, until);
  me.count(stamp ? Counter::kDentryInserted : Counter::kDentryLeaseLost);
  if (!stamp || !S_ISDIR(core_.slots.inode(child.index()).mode.load(std::memory_order_relaxed))) {
    return stamp.has_value();
  }
  EVENFS_PAUSE("cache_name.inserted");
  // A directory's only name tells its parent. A rename that came in between killed the dentry
  // first and sets the parent after us.
  const auto inode = core_.lock_inode(child.index());
  if (core_.slots.dentry(slot).seq.sample() != *stamp) return true;
  if (inode.pub().parent_index.load(std::memory_order_relaxed) == dir.index() &&
      inode.pub().parent_generation.load(std::memory_order_relaxed) == dir.generation()) {
    return true;
  }
  InodeSection(inode, Fields::kWalk).set_parent(dir.index(), dir.generation());
  return true;
}

template <LockingPolicy Policy>
void BasicCache<Policy>::cache_negative(Worker& me, NodeId dir, NameRef name, Stamp lease,
                                        std::uint64_t until) {
  until = core_.until_of(dir.index(), until);
  const Confirmed confirmed = dentries_.confirm(dir.index(), name, 0, lease, until);
  if (confirmed == Confirmed::kYes) return;
  if (confirmed == Confirmed::kOtherwise) outdate_name(me, dir, name);
  if (evictor_.too_many_negatives()) evictor_.trim_negatives(me);
  if (evictor_.too_many_negatives()) return;
  const std::uint32_t slot = take_dentry_slot(me);
  if (slot == 0) return;
  const auto stamp = dentries_.insert(slot, dir.index(), name, 0, lease, until);
  me.count(stamp ? Counter::kNegativeInserted : Counter::kDentryLeaseLost);
}

template <LockingPolicy Policy>
Result<Attr> BasicCache<Policy>::getattr(Worker& me, NodeId id, File* file) {
  Result<Attr> answer(std::in_place);
  const Outcome outcome = fast_.getattr(id, *answer);
  if (outcome == Outcome::kHit) [[likely]] {
    me.count(Counter::kGetattrHit);
    return answer;
  }
  me.count(fallback_counter(outcome));
  if (const Result<Pin> held = pin(id)) {
    answer = ask_getattr(me, *held, file);
  } else {
    answer = held.error();
  }
  return answer;
}

template <LockingPolicy Policy>
Result<std::uint32_t> BasicCache<Policy>::mode(Worker& me, NodeId id, File* file) {
  std::uint32_t mode = 0;
  if (fast_.mode(id, mode) == Outcome::kHit) return mode;
  const Result<Pin> held = pin(id);
  if (!held) return held.error();
  const Result<Attr> told = ask_getattr(me, *held, file);
  if (!told) return told.error();
  return told->mode;
}

template <LockingPolicy Policy>
Result<Attr> BasicCache<Policy>::ask_getattr(Worker& me, const Pin& held, File* file) {
  const Stamp before = core_.slots.inode(held.id().index()).aseq.sample();
  const std::uint64_t until = core_.until();
  me.count(Counter::kGetattrLocked);
  Result<Attr> told = core_.store.getattr(held.node(), file);
  if (!told) return told.error() == Errno(ENOENT) ? Errno(ESTALE) : told.error();
  EVENFS_PAUSE("getattr.told");
  const bool kept = stamp_is_stable(before) && publish(held.id(), *told, before, until);
  me.count(kept ? Counter::kFillPublished : Counter::kFillLost);
  return told;
}

// Part of a lookup or a walk: not counted as a hit, but what it asks of the store is.
template <LockingPolicy Policy>
Result<Attr> BasicCache<Policy>::attr_of(Worker& me, const Pin& held) {
  Attr attr;
  if (fast_.getattr(held.id(), attr) == Outcome::kHit) return attr;
  return ask_getattr(me, held, nullptr);
}

template <LockingPolicy Policy>
bool BasicCache<Policy>::publish(NodeId id, const Attr& attr, Stamp before, std::uint64_t until) {
  const auto inode = core_.lock_inode(id.index());
  const InodePub& pub = inode.pub();
  if (!pub.aseq.same(before)) return false;
  if (!core_.may_cache(inode.priv(), attr)) return false;
  until = core_.until_of(id.index(), attr, until);
  const bool walk_same = same_owner_and_mode(pub, attr);
  InodeSection section(inode, walk_same ? Fields::kStat : Fields::kWalk);
  section.set_stat(attr, core_.until_seen(inode.priv(), until));
  if (walk_same) {
    section.confirm_walk(until);
  } else {
    section.set_owner_and_mode(attr, until);
  }
  return true;
}

template <LockingPolicy Policy>
Result<std::string> BasicCache<Policy>::readlink(Worker& me, NodeId id) {
  char target[PATH_MAX];
  std::uint32_t length = 0;
  const Outcome outcome = fast_.readlink(id, target, sizeof target, length);
  if (outcome == Outcome::kHit) {
    me.count(Counter::kReadlinkHit);
    return std::string(target, length);
  }
  me.count(fallback_counter(outcome));
  // Reading a link on the store may move its access time.
  const Result<Change> reading = begin_change(id, Fields::kStat);
  if (!reading) return reading.error();
  me.count(Counter::kReadlinkLocked);
  Result<std::string> told = core_.store.readlink(reading->node());
  if (told && !told->empty()) remember_link(id, *told);
  return told;
}

// A link's target never changes while its inode lives, so it needs no lease and no section.
template <LockingPolicy Policy>
void BasicCache<Policy>::remember_link(NodeId id, std::string_view target) {
  const std::uint32_t cells = make_string(core_.slots, target);
  {
    const auto inode = core_.lock_inode(id.index());
    if (inode.pub().link_cell.load(std::memory_order_relaxed) == 0) {
      // [MO-5] release, pairs with the acquires in FastPath::readlink and through_link.
      inode.pub().link_cell.store(cells, std::memory_order_release);
      return;
    }
  }
  free_string(core_.slots, cells);
}

template <LockingPolicy Policy>
Result<std::size_t> BasicCache<Policy>::getxattr(Worker& me, NodeId id, const char* name,
                                                 std::span<std::byte> into) {
  const std::uint64_t absence = absence_of(name);
  if (absence != 0) {
    const Outcome outcome = fast_.lacks(id, absence);
    if (outcome == Outcome::kHit) {
      me.count(Counter::kGetxattrHit);
      return Errno(ENODATA);
    }
    me.count(fallback_counter(outcome));
  }
  const Result<Pin> held = pin(id);
  if (!held) return held.error();
  const Stamp before = core_.slots.inode(id.index()).nseq.sample();
  const std::uint64_t until = core_.until();
  me.count(Counter::kGetxattrLocked);
  Result<std::size_t> told = core_.store.getxattr(held->node(), name, into);
  EVENFS_PAUSE("getxattr.told");
  if (absence != 0 && !told && told.error() == Errno(ENODATA)) {
    (void)note_absence(id, absence, before, until);
  }
  return told;
}

// Nothing else changes, so this needs no section: who reads the old value asks, too.
template <LockingPolicy Policy>
bool BasicCache<Policy>::note_absence(NodeId id, std::uint64_t absence, Stamp before,
                                      std::uint64_t until) {
  const auto inode = core_.lock_inode(id.index());
  InodePub& pub = inode.pub();
  if (!stamp_is_stable(before) || !pub.nseq.same(before)) return false;
  until = core_.until_with_attr(id.index(), until);
  const std::uint64_t known = pub.absent.load(std::memory_order_relaxed);
  std::uint64_t word = absent_word(absence, until);
  // No longer than what was told first.
  if (core_.lacks(known, kAnyAbsence)) {
    word = absent_word(absence | (known & kAnyAbsence), std::min(until, absent_until(known)));
  }
  // [MO-2] release, as in Seqcount::begin(): who sees this sees the count that it goes with.
  pub.absent.store(word, std::memory_order_release);
  return true;
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::lookup(Worker& me, NodeId dir, NameRef name) {
  return answer_lookup(me, dir, name, Count::kYes);
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::peek(Worker& me, NodeId dir, NameRef name) {
  return answer_lookup(me, dir, name, Count::kNo);
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::lookup_self(Worker& me, NodeId id) {
  const Result<Pin> held = pin(id);
  if (!held) return held.error();
  const Result<Attr> attr = attr_of(me, *held);
  if (!attr) return attr.error();
  // The kernel asks because it has no such inode: nobody there holds it, and what has no name is gone.
  if (attr->nlink == 0) return Errno(ESTALE);
  core_.slots.inode_priv(id.index()).refs.fetch_add(1, std::memory_order_relaxed);
  return Entry{id, *attr};
}

template <LockingPolicy Policy>
std::uint64_t BasicCache<Policy>::number_of(NodeId id) const noexcept {
  // relaxed: constant as long as the caller keeps the inode.
  const std::uint64_t generation =
      core_.slots.inode(id.index()).identity_generation.load(std::memory_order_relaxed);
  return Identity::is_durable(generation) ? generation : id.raw();
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::lookup_number(Worker& me, std::uint64_t number) {
  const Result<Entry> here = lookup_self(me, id_of_number(number));
  if (here || !Identity::is_durable(number)) return here;
  // Not in the cache, or no longer when it was to be pinned.
  const auto ticket = inodes_.ticket();
  const std::uint64_t until = core_.until();
  me.count(Counter::kLookupLocked);
  const Result<Found> found = core_.store.find(number);
  if (!found) return found.error() == Errno(ENOENT) ? Errno(ESTALE) : found.error();
  if (found->attr.nlink == 0) {  // As in lookup_self; what keeps it may be ourselves.
    core_.store.release(found->node);
    return Errno(ESTALE);
  }
  const Result<NodeId> id = adopt(me, *found, ticket, until, 1);
  if (!id) return id.error();
  return Entry{*id, found->attr};
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::lookup_parent(Worker& me, NodeId dir) {
  if (dir.is_root()) return lookup_self(me, dir);
  const Result<Pin> held = pin(dir);
  if (!held) return held.error();
  const auto ticket = inodes_.ticket();
  const std::uint64_t until = core_.until();
  me.count(Counter::kLookupLocked);
  const Result<Found> found = core_.store.lookup_parent(held->node());
  if (!found) return found.error();
  const Result<NodeId> id = adopt(me, *found, ticket, until, 1);
  if (!id) return id.error();
  return Entry{*id, found->attr};
}

template <LockingPolicy Policy>
Status BasicCache<Policy>::access(Worker&, NodeId id, const Cred& cred, int mask) {
  const Result<Pin> held = pin(id);
  if (!held) return held.error();
  return core_.store.access(held->node(), cred, mask);
}

}  // namespace evenfs
