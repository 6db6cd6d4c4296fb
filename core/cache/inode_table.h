// SPDX-License-Identifier: LGPL-2.1-or-later
// InodeTable: the store's identity -> inode.
//
// An object has at most one inode at a time, however many names lead to it. An inode is entered
// with a reference already counted, and removed only by the reclaimer, which takes the same stripe
// lock, so nobody who takes it finds one that is going. Misses and changes do, in every policy: they
// have asked the store already.
//
// Every request of the kernel comes by find_durable(), so that one is lock-free where the policy is:
// it stores nothing and waits for nobody. It only says which slot, in which life, has been the
// number's inode at some instant of the call; whether it still is, is for those to say who use the id
// (the generation is compared wherever one is used). A life is told from the next like this:
//
//     who ends a life      identity := 0, then generation + 1 (release)
//     who begins one       release fence, then identity := the new one
//     a reader             generation (acquire), identity, acquire fence, generation: unchanged?
//
// An identity that was read belongs to the generation that was read: had the life ended before the
// first look, the identity would be 0 or a later one; had it begun after it, the second look would
// show that. A reader on an inode that leaves its chain, and enters another, meets that chain's end
// marker and begins again. What it does not find it looks for under the lock.
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

#include "core/base/pause_point.h"
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
  // `slot`, and slot and node still belong to the caller. `empty`: see InodeBirth::finish.
  std::uint32_t enter(std::uint32_t slot, const Found& found, Ticket ticket, std::uint64_t until,
                      std::uint64_t refs, bool empty = false) {
    const std::uint32_t bucket = bucket_of(found.identity);
    Stripe& held = stripe(bucket);
    std::lock_guard lock(held.mutex);
    if (const std::uint32_t there = find_held(found.identity, bucket, refs)) return there;
    const bool trusted = held.last_removal <= ticket;
    const auto inode = core_.lock_inode(slot);
    InodeBirth(inode).finish(found, trusted, core_.until_of(slot, found, until), refs, empty);
    Shared<std::uint32_t>& head = core_.slots.id_head(bucket);
    // [MO-6] release, here and for the head, pairs with the acquires in scan(): who finds an index sees
    // the inode. Here for a reader who stood on this slot in the life before.
    inode.pub().id_next.store(head.load(std::memory_order_relaxed), std::memory_order_release);
    head.store(slot, std::memory_order_release);
    return slot;
  }

  // The inode of a durable number, or no id: there is none now. Nothing is counted.
  NodeId find_durable(std::uint64_t durable) noexcept {
    const std::uint32_t bucket = bucket_of({0, 0, durable});
    {
      const auto section = core_.policy.read_by_id();
      const auto guard = core_.policy.read_table(stripe(bucket).mutex);
      if (const NodeId id = scan(durable, bucket); id != NodeId()) return id;
    }
    const std::lock_guard lock(stripe(bucket).mutex);
    const std::uint32_t there = find_held({0, 0, durable}, bucket, 0);
    if (there == 0) return NodeId();
    return NodeId(there, core_.slots.inode(there).generation.load(std::memory_order_relaxed));
  }

  // The same, for somebody who knows that the object was changed. If it has no inode, whoever has asked the
  // store for it before, and enters it now, is treated as if it had had one that was removed since.
  NodeId find_or_outdate(std::uint64_t durable) noexcept {
    if (const NodeId id = find_durable(durable); id != NodeId()) return id;
    const std::uint32_t bucket = bucket_of({0, 0, durable});
    Stripe& held = stripe(bucket);
    const std::lock_guard lock(held.mutex);
    const std::uint32_t there = find_held({0, 0, durable}, bucket, 0);
    if (there == 0) {
      held.last_removal = removals_.fetch_add(1, std::memory_order_relaxed) + 1;
      return NodeId();
    }
    return NodeId(there, core_.slots.inode(there).generation.load(std::memory_order_relaxed));
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
    pub.identity_generation.store(0, kRelaxed);
    // [MO-7] release, pairs with the acquire in scan().
    pub.generation.store(pub.generation.load(kRelaxed) + 1, std::memory_order_release);
    return Remains{priv.node, pub.link_cell.load(kRelaxed), priv.orphan};
  }

 private:
  static constexpr std::size_t kStripes = 256;
  static constexpr std::uint32_t kStepsMax = 64;
  static constexpr std::uint32_t kRestartsMax = 4;
  struct alignas(kCacheLine) Stripe {
    std::mutex mutex;
    std::uint64_t last_removal = 0;  // Under mutex.
  };

  // Of a durable one the generation is all that is known where it is looked for.
  std::uint32_t bucket_of(const Identity& identity) const noexcept {
    const bool durable = Identity::is_durable(identity.generation);
    const std::uint64_t words[3] = {identity.generation, durable ? 0 : identity.ino,
                                    durable ? 0 : identity.dev};
    const std::uint64_t hash = XXH3_64bits_withSeed(words, sizeof words, core_.slots.hash_seed());
    return static_cast<std::uint32_t>(hash) & core_.slots.bucket_mask();
  }
  // A bucket belongs to one stripe, so the stripe's lock covers it.
  Stripe& stripe(std::uint32_t bucket) noexcept { return stripes_[bucket % kStripes]; }

  NodeId scan(std::uint64_t durable, std::uint32_t bucket) const noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    for (std::uint32_t restarts = 0; restarts <= kRestartsMax; ++restarts) {
      // [MO-6] acquire, here and at `id_next` below, pairs with the releases of enter() and
      // unlink_held().
      std::uint32_t at = core_.slots.id_head(bucket).load(std::memory_order_acquire);
      for (std::uint32_t step = 0; (at & kEndOfChain) == 0 && step < kStepsMax; ++step) {
        const InodePub& pub = core_.slots.inode(at);
        // [MO-7] acquire, pairs with the release in remove_or_revive(): with a life's generation it is
        // seen that the life before has no identity any more.
        const std::uint32_t generation = pub.generation.load(std::memory_order_acquire);
        EVENFS_PAUSE("scan.at_inode");
        if (pub.identity_generation.load(kRelaxed) == durable) {
          // [MO-7] acquire fence, pairs with the release fence of InodeBirth: with a life's identity
          // its generation is seen.
          validation_fence();
          if (pub.generation.load(kRelaxed) == generation) return NodeId(at, generation);
          break;
        }
        at = pub.id_next.load(std::memory_order_acquire);  // [MO-6], pairs as above.
      }
      if (at == (kEndOfChain | bucket)) break;
    }
    return NodeId();
  }

  std::uint32_t find_held(const Identity& identity, std::uint32_t bucket, std::uint64_t refs) {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    std::uint32_t at = core_.slots.id_head(bucket).load(kRelaxed);
    for (; (at & kEndOfChain) == 0; at = core_.slots.inode(at).id_next.load(kRelaxed)) {
      const InodePub& pub = core_.slots.inode(at);
      if (pub.identity_generation.load(kRelaxed) != identity.generation) continue;
      if (Identity::is_durable(identity.generation) ||
          (pub.ino.load(kRelaxed) == identity.ino && pub.dev.load(kRelaxed) == identity.dev)) {
        core_.slots.inode_priv(at).refs.fetch_add(refs, kRelaxed);
        return at;
      }
    }
    return 0;
  }

  void unlink_held(std::uint32_t index, std::uint32_t bucket) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    Shared<std::uint32_t>* link = &core_.slots.id_head(bucket);
    for (std::uint32_t at = link->load(kRelaxed); at != index; at = link->load(kRelaxed)) {
      EVENFS_ASSERT((at & kEndOfChain) == 0);
      link = &core_.slots.inode(at).id_next;
    }
    // [MO-6] release, pairs with the acquires in scan().
    link->store(core_.slots.inode(index).id_next.load(kRelaxed), std::memory_order_release);
  }

  Core<Policy>& core_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<Ticket> removals_{0};
};

}  // namespace evenfs
