// SPDX-License-Identifier: LGPL-2.1-or-later
// InodeTable: the store's identity -> inode. Locked in every policy: only misses and changes come
// here, and they have asked the store already.
//
// An object has at most one inode at a time, however many names lead to it. An inode is entered
// with a reference already counted, and removed only by the reclaimer, which takes the same stripe
// lock, so nobody finds one that is going.
//
// Tickets: attributes that were read from the store before the inode was entered may be served
// only if the object had no inode in between, for with an inode it could have been changed
// through it. Removals are numbered; who enters an inode compares the last removal in its stripe
// with the number it took before it asked the store. (The kernel's FUSE client has the same
// problem and solves it with an eviction counter.)
#pragma once

#include <array>
#include <mutex>
#include <optional>

#include "core/cache/core.h"

namespace evenfs {

template <LockingPolicy Policy>
class InodeTable {
 public:
  explicit InodeTable(Core<Policy>& core) : core_(core) {}

  using Ticket = std::uint64_t;
  // Taken before the store is asked. relaxed: an older number only makes enter() more careful.
  Ticket ticket() const noexcept { return removals_.load(std::memory_order_relaxed); }

  // The inode of `identity` with `refs` added, or 0.
  std::uint32_t find(const Identity& identity, std::uint64_t refs) {
    const std::uint32_t bucket = bucket_of(identity);
    std::lock_guard lock(stripe(bucket).mutex);
    return find_held(identity, bucket, refs);
  }

  // Enters `found` into the free `slot`, or finds that somebody was faster: then the result is not
  // `slot`, and slot and node still belong to the caller.
  std::uint32_t enter(std::uint32_t slot, const Found& found, Ticket ticket, std::uint64_t until,
                      std::uint64_t refs) {
    const std::uint32_t bucket = bucket_of(found.identity);
    Stripe& held = stripe(bucket);
    std::lock_guard lock(held.mutex);
    if (const std::uint32_t there = find_held(found.identity, bucket, refs)) return there;
    const bool trusted = held.last_removal <= ticket;
    const auto inode = core_.lock_inode(slot);
    InodeBirth(inode).finish(found, trusted, until, refs);
    inode.priv().id_next = core_.slots.id_head(bucket);
    core_.slots.id_head(bucket) = slot;
    return slot;
  }

  // What is left of an inode when it has been removed.
  struct Remains {
    Node node;
    std::uint32_t link_cell;
    bool orphan;
  };

  // Removes a dying inode unless it is referenced again; then it lives on. REQUIRES: a grace
  // period has passed since it was marked.
  std::optional<Remains> remove_or_revive(std::uint32_t index) {
    InodePub& pub = core_.slots.inode(index);
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const Identity identity{pub.dev.load(kRelaxed), pub.ino.load(kRelaxed),
                            pub.identity_generation.load(kRelaxed)};
    const std::uint32_t bucket = bucket_of(identity);
    Stripe& held = stripe(bucket);
    std::lock_guard lock(held.mutex);
    const auto inode = core_.lock_inode(index);
    InodePriv& priv = inode.priv();
    // acquire, pairs with the releases that drop references: their users are done.
    priv.queue_next = 0;
    if (priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()) {
      priv.state = SlotState::kLive;
      inode.close(Fields::kWalk);
      inode.close_content();
      return std::nullopt;
    }
    unlink_held(index, bucket);
    held.last_removal = removals_.fetch_add(1, kRelaxed) + 1;
    priv.state = SlotState::kFree;
    pub.generation.store(pub.generation.load(kRelaxed) + 1, kRelaxed);
    return Remains{priv.node, pub.link_cell.load(kRelaxed), priv.orphan};
  }

 private:
  static constexpr std::size_t kStripes = 256;
  struct alignas(kCacheLine) Stripe {
    std::mutex mutex;
    std::uint64_t last_removal = 0;  // Under mutex.
  };

  std::uint32_t bucket_of(const Identity& identity) const noexcept {
    const std::uint64_t words[3] = {identity.dev, identity.ino, identity.generation};
    const std::uint64_t hash = XXH3_64bits_withSeed(words, sizeof words, core_.slots.hash_seed());
    return static_cast<std::uint32_t>(hash) & core_.slots.bucket_mask();
  }
  // A bucket belongs to one stripe, so the stripe's lock covers it.
  Stripe& stripe(std::uint32_t bucket) noexcept { return stripes_[bucket % kStripes]; }

  std::uint32_t find_held(const Identity& identity, std::uint32_t bucket, std::uint64_t refs) {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    for (std::uint32_t at = core_.slots.id_head(bucket); at != 0;
         at = core_.slots.inode_priv(at).id_next) {
      const InodePub& pub = core_.slots.inode(at);
      if (pub.ino.load(kRelaxed) == identity.ino && pub.dev.load(kRelaxed) == identity.dev &&
          pub.identity_generation.load(kRelaxed) == identity.generation) {
        core_.slots.inode_priv(at).refs.fetch_add(refs, kRelaxed);
        return at;
      }
    }
    return 0;
  }

  void unlink_held(std::uint32_t index, std::uint32_t bucket) noexcept {
    std::uint32_t* link = &core_.slots.id_head(bucket);
    while (*link != index) link = &core_.slots.inode_priv(*link).id_next;
    *link = core_.slots.inode_priv(index).id_next;
  }

  Core<Policy>& core_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<Ticket> removals_{0};
};

}  // namespace evenfs
