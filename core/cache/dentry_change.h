// SPDX-License-Identifier: LGPL-2.1-or-later
// DentryTable, the writers' side: insert and kill. Included by dentry_table.h.
//
// Order of the steps, and why
//   insert: child's list of names, then the chain. A dentry that can be found keeps its child (L2).
//   kill:   count odd, chain, child's list, limbo. The other way round, so L2 holds throughout.
#pragma once

#include "core/cache/dentry_table.h"

namespace evenfs {

template <LockingPolicy Policy>
bool DentryTable<Policy>::write_name(DentryPub& dentry, const NameKey& key) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::uint32_t whole = key.whole_words();
  for (std::uint32_t i = 0; i < whole; ++i) dentry.name[i].store(key.word(i), kRelaxed);
  if (key.has_tail()) dentry.name[whole].store(key.tail, kRelaxed);
  dentry.name_length.store(key.name.size(), kRelaxed);
  if (!key.is_long()) return true;
  const std::uint32_t cell = make_string(core_.slots, key.name.view().substr(kInlinePrefix));
  dentry.name[kInlinePrefix / 4].store(cell, kRelaxed);
  return cell != 0;
}

template <LockingPolicy Policy>
std::optional<std::uint32_t> DentryTable<Policy>::find_held(std::uint32_t dir,
                                                            std::uint32_t generation,
                                                            const NameKey& key,
                                                            std::uint32_t bucket) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  std::uint32_t index = core_.slots.bucket(bucket).load(kRelaxed);
  while ((index & kEndOfChain) == 0) {
    const DentryPub& dentry = core_.slots.dentry(index);
    if (dentry.parent_index.load(kRelaxed) == dir &&
        dentry.parent_generation.load(kRelaxed) == generation && name_matches(dentry, key)) {
      return index;
    }
    index = dentry.next.load(kRelaxed);
  }
  return std::nullopt;
}

template <LockingPolicy Policy>
bool DentryTable<Policy>::is_listed_held(const DentryPub& dentry) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  if (dentry.child.load(kRelaxed) == 0) return false;
  const InodePub& dir = core_.slots.inode(dentry.parent_index.load(kRelaxed));
  // Of another life of the slot: nobody asks for the names of this one.
  if (dir.generation.load(kRelaxed) != dentry.parent_generation.load(kRelaxed)) return false;
  // Without cseq. Who began a roll call before it asked has() of this name, or inserted the name where all were
  // known, held this bucket afterwards, so it shows here. Who does so later finds the name gone.
  return dir.names_until.load(kRelaxed) != 0;
}

template <LockingPolicy Policy>
bool DentryTable<Policy>::has(std::uint32_t dir, NameRef name) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const NameKey key = core_.key(dir, name);
  const std::uint32_t generation = core_.slots.inode(dir).generation.load(kRelaxed);
  const std::uint32_t bucket = bucket_of(key);
  const auto guard = core_.policy.write_bucket(bucket);
  const auto index = find_held(dir, generation, key, bucket);
  return index && core_.slots.dentry(*index).child.load(kRelaxed) != 0;
}

template <LockingPolicy Policy>
void DentryTable<Policy>::unlink_held(std::uint32_t index, std::uint32_t bucket) noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Shared<std::uint32_t>* link = &core_.slots.bucket(bucket);
  for (std::uint32_t at = link->load(kRelaxed); at != index; at = link->load(kRelaxed)) {
    EVENFS_ASSERT((at & kEndOfChain) == 0);
    link = &core_.slots.dentry(at).next;
  }
  // [MO-3] release, pairs with the acquire loads in find().
  link->store(core_.slots.dentry(index).next.load(kRelaxed), std::memory_order_release);
}

template <LockingPolicy Policy>
std::optional<Stamp> DentryTable<Policy>::publish(std::uint32_t slot, const NameKey& key,
                                                  Stamp content) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  DentryPub& dentry = core_.slots.dentry(slot);
  const std::uint32_t dir = dentry.parent_index.load(kRelaxed);
  const std::uint32_t bucket = bucket_of(key);
  const auto guard = core_.policy.write_bucket(bucket);
  // The lease: a change or invalidation that began after `content` was sampled either shows here,
  // or takes this bucket after us and kills what we insert.
  if (!core_.slots.inode(dir).cseq.same(content)) return std::nullopt;
  if (find_held(dir, dentry.parent_generation.load(kRelaxed), key, bucket)) return std::nullopt;
  // [MO-3] release, here and for the bucket, pairs with the acquires in find(). Here for a reader in another
  // process, for whom no grace period waits: he may have stood on this slot in its life before.
  dentry.next.store(core_.slots.bucket(bucket).load(kRelaxed), std::memory_order_release);
  dentry.seq.end();
  core_.slots.bucket(bucket).store(slot, std::memory_order_release);  // [MO-3], as above.
  return dentry.seq.sample();
}

template <LockingPolicy Policy>
std::optional<Stamp> DentryTable<Policy>::insert(std::uint32_t slot, std::uint32_t dir,
                                                 NameRef name, std::uint32_t child, Stamp content,
                                                 std::uint64_t until) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Slots& slots = core_.slots;
  const NameKey key = core_.key(dir, name);
  DentryPub& dentry = slots.dentry(slot);
  // [MO-2] release fence, pairs with validation_fence(): the count was made odd by whoever killed
  // the dentry that was here before.
  std::atomic_thread_fence(std::memory_order_release);
  dentry.parent_index.store(dir, kRelaxed);
  dentry.parent_generation.store(slots.inode(dir).generation.load(kRelaxed), kRelaxed);
  dentry.child.store(child, kRelaxed);
  dentry.until.store(until, kRelaxed);
  slots.home(slot).store(bucket_of(key), kRelaxed);
  slots.clock(slot).store(0, kRelaxed);
  if (!write_name(dentry, key)) {
    slots.free_dentry(slot);
    return std::nullopt;
  }
  if (child != 0) {
    const auto inode = core_.lock_inode(child);
    inode.priv().names.push_back(slots.dentry_priv(slot));
  } else {
    negatives_.fetch_add(1, kRelaxed);
  }
  EVENFS_PAUSE("insert.listed");
  const std::optional<Stamp> stamp = publish(slot, key, content);
  if (!stamp) {
    // It was never in a chain, so nobody can stand on it: no grace period.
    detach(slot, child);
    if (key.is_long()) free_string(slots, dentry.name[kInlinePrefix / 4].load(kRelaxed));
    slots.free_dentry(slot);
  }
  return stamp;
}

template <LockingPolicy Policy>
Confirmed DentryTable<Policy>::confirm(std::uint32_t dir, NameRef name, std::uint32_t child,
                                       Stamp content, std::uint64_t until) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Slots& slots = core_.slots;
  const NameKey key = core_.key(dir, name);
  const std::uint32_t generation = slots.inode(dir).generation.load(kRelaxed);
  const std::uint32_t bucket = bucket_of(key);
  std::optional<std::uint32_t> index;
  std::uint32_t old_child = 0;
  {
    const auto guard = core_.policy.write_bucket(bucket);
    if (!slots.inode(dir).cseq.same(content)) return Confirmed::kNo;
    index = find_held(dir, generation, key, bucket);
    if (!index) return Confirmed::kNo;
    old_child = slots.dentry(*index).child.load(kRelaxed);
    if (old_child == child) {
      // [MO-2] release, as in Seqcount::begin(): who sees this tick sees the count it goes with.
      slots.dentry(*index).until.store(until, std::memory_order_release);
      return Confirmed::kYes;
    }
    // Who asked the store later knows better.
    if (slots.dentry(*index).until.load(kRelaxed) > until) return Confirmed::kYes;
    if (is_listed_held(slots.dentry(*index))) return Confirmed::kOtherwise;
    kill_held(*index, bucket);
  }
  detach(*index, old_child);
  limbo_.add(*index);
  return Confirmed::kNo;
}

template <LockingPolicy Policy>
void DentryTable<Policy>::kill_held(std::uint32_t index, std::uint32_t bucket) noexcept {
  core_.slots.dentry(index).seq.begin();
  unlink_held(index, bucket);
}

// Takes a dentry that cannot be found any more off its child's names. No guard held.
template <LockingPolicy Policy>
void DentryTable<Policy>::detach(std::uint32_t index, std::uint32_t child) {
  if (child == 0) {
    negatives_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  const auto inode = core_.lock_inode(child);
  inode.priv().names.erase(inode.priv().names.iterator_to(core_.slots.dentry_priv(index)));
  core_.queue_if_unused(inode, child);
}

template <LockingPolicy Policy>
bool DentryTable<Policy>::kill(std::uint32_t dir, NameRef name) {
  Slots& slots = core_.slots;
  const NameKey key = core_.key(dir, name);
  const std::uint32_t generation = slots.inode(dir).generation.load(std::memory_order_relaxed);
  const std::uint32_t bucket = bucket_of(key);
  std::optional<std::uint32_t> index;
  std::uint32_t child = 0;
  {
    const auto guard = core_.policy.write_bucket(bucket);
    index = find_held(dir, generation, key, bucket);
    if (!index) return false;
    child = slots.dentry(*index).child.load(std::memory_order_relaxed);
    kill_held(*index, bucket);
  }
  EVENFS_PAUSE("kill.dead");
  detach(*index, child);
  limbo_.add(*index);
  return true;
}

template <LockingPolicy Policy>
Killed DentryTable<Policy>::kill_seen(std::uint32_t index, Stamp stamp) {
  const DentryPub& dentry = core_.slots.dentry(index);
  const std::uint32_t bucket = core_.slots.home(index).load(std::memory_order_relaxed);
  std::uint32_t child = 0;
  EVENFS_PAUSE("evict.seen");
  {
    const auto guard = core_.policy.write_bucket(bucket);
    // A dentry leaves `stamp` only under its own bucket's lock. If that is not the one we hold,
    // the dentry had changed before we read its home, and the stamp is not the same.
    validation_fence();
    if (!dentry.seq.same(stamp)) return Killed::kNo;
    if (is_listed_held(dentry)) return Killed::kListed;
    child = dentry.child.load(std::memory_order_relaxed);
    kill_held(index, bucket);
  }
  detach(index, child);
  limbo_.add(index);
  return Killed::kYes;
}

}  // namespace evenfs
