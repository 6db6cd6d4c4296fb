// SPDX-License-Identifier: LGPL-2.1-or-later
// Core: what all parts of one cache share. Owned by BasicCache.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "core/cache/absence.h"
#include "core/cache/cache.h"
#include "core/cache/inode_section.h"
#include "core/cache/name_key.h"
#include "core/cache/orphans.h"
#include "core/cache/rest.h"
#include "core/cache/slots.h"
#include "core/policy/policy.h"
#include "core/store/atime_rule.h"

namespace evenfs {

// Inodes that seemed unused when somebody looked: work for the reclaimer, which looks again. A list
// through InodePriv::queue_next, so that to queue one cannot fail. Who is in it is live: only the
// reclaimer frees inodes, and it takes them from here.
class ReclaimQueue {
 public:
  explicit ReclaimQueue(const Slots& slots) noexcept : slots_(slots) {}

  // REQUIRES: the inode lock, and that the inode is not in the queue.
  void add(const InodeLock& inode, std::uint32_t index) noexcept {
    std::lock_guard lock(mutex_);
    inode.priv().queue_next = std::exchange(first_, index);
    size_.fetch_add(1, std::memory_order_relaxed);
  }
  // Calls `visit` for each inode that was queued; `visit` resets queue_next under the inode lock.
  template <class Visit>
  void take(Visit visit) {
    std::uint32_t at = kEnd;
    {
      std::lock_guard lock(mutex_);
      size_.store(0, std::memory_order_relaxed);
      at = std::exchange(first_, kEnd);
    }
    while (at != kEnd) {
      const std::uint32_t next = slots_.inode_priv(at).queue_next;
      visit(at);
      at = next;
    }
  }
  // A hint, for those who decide whether a batch is worth a grace period.
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kEnd = ~0U;

  const Slots& slots_;
  FutexMutex mutex_;                    // A leaf lock.
  std::uint32_t first_ = kEnd;          // Under mutex_.
  std::atomic<std::uint32_t> size_{0};  // Written under mutex_.
};

// How long before relatime's day is over a read counts as one that moves the time, in seconds.
inline constexpr std::int64_t kUnseenMarginS = 3600;

// The cache's time. One word that is loaded by every hit, in a line of its own, and stored a hundred times a
// second. It only goes forward, and is never 0: what may be served until tick 0 may not be served at all. It is
// the time that it was told, and all that it was ever set forward.
class CacheClock {
 public:
  std::uint64_t now() const noexcept { return now_.load(std::memory_order_relaxed); }

  void set(std::uint64_t tick) noexcept {
    const std::lock_guard lock(mutex_);
    told_ = tick;
    store();
  }
  // By more than anything lives: `until` was at most `now + ttl` for all that was asked before.
  void expire_all(std::uint64_t ttl) noexcept {
    EVENFS_ASSERT(ttl != kForeverTicks);
    const std::lock_guard lock(mutex_);
    ahead_ = sum(ahead_, ttl + 1);
    store();
  }

 private:
  static std::uint64_t sum(std::uint64_t a, std::uint64_t b) noexcept {
    return a + std::min(b, ~a);
  }
  // If time should ever be at its end, it stays there, and nothing is fresh: `until` is then a small number.
  void store() noexcept { now_.store(sum(sum(told_, 1), ahead_), std::memory_order_relaxed); }

  alignas(kCacheLine) std::atomic<std::uint64_t> now_{1};  // Stored under mutex_.
  alignas(kCacheLine) FutexMutex mutex_;                   // A leaf lock.
  std::uint64_t told_ = 0;                                 // Under mutex_, as the next.
  std::uint64_t ahead_ = 0;
};

template <LockingPolicy Policy>
struct Core {
  Core(Store& from, std::unique_ptr<Slots> arena, std::uint64_t ttl,
       std::uint64_t unnumbered_ttl = 0, std::uint64_t ttl_least = 0) noexcept
      : store(from),
        slots_owner(std::move(arena)),
        slots(*slots_owner),
        unused(slots),
        ttl_ticks(ttl),
        unnumbered_cut(unnumbered_ttl == 0 ? 0 : ttl - unnumbered_ttl),
        ttl_least_ticks(ttl_least) {}

  Store& store;
  const std::unique_ptr<Slots> slots_owner;
  Slots& slots;
  ReclaimQueue unused;
  Orphans orphans;
  const std::uint64_t ttl_ticks;
  const std::uint64_t unnumbered_cut;   // What the time for what nobody tells of is less.
  const std::uint64_t ttl_least_ticks;  // 0: times do not grow.
  Policy policy;
  CacheClock clock;

  // The tick up to which what was asked of the store now may be served. Taken before asking. With no time
  // to live at all it is 0: within one tick much can happen behind our back.
  std::uint64_t until() const noexcept {
    if (ttl_ticks == kForeverTicks || ttl_ticks == 0) return ttl_ticks;
    return clock.now() + ttl_ticks;
  }
  // The same for names in a directory, or for attributes of an inode, of which whoever tells of others' changes
  // may not tell, or, where times grow, which has not rested for long. `until` is of until(), or has been cut
  // already. REQUIRES: the inode is pinned.
  std::uint64_t until_of(std::uint32_t index, std::uint64_t until_tick) const noexcept {
    // relaxed: when it changed, as somebody was told at some moment; half of two such times will do as well.
    const Timestamp changed{slots.inode(index).ctime_sec.load(std::memory_order_relaxed), 0};
    return until_rested(changed, is_told(index) ? until_tick : cut(until_tick));
  }
  std::uint64_t until_of(std::uint32_t index, const Attr& attr,
                         std::uint64_t until_tick) const noexcept {
    const bool told = is_told(index) && !attr.untold;
    return until_rested(attr.ctime, told ? until_tick : cut(until_tick));
  }
  // For an inode that is being entered into slot `index`.
  std::uint64_t until_of(std::uint32_t index, const Found& found,
                         std::uint64_t until_tick) const noexcept {
    const bool told = is_told(index, found.identity.generation) && !found.attr.untold;
    return until_rested(found.attr.ctime, told ? until_tick : cut(until_tick));
  }
  // For what is told of with the attributes, and was asked for without them: they say whether it is. REQUIRES:
  // the inode lock.
  std::uint64_t until_with_attr(std::uint32_t index, std::uint64_t until_tick) const noexcept {
    const InodePub& pub = slots.inode(index);
    const bool told = pub.stat_flags.load(std::memory_order_relaxed) == kAttrValid &&
                      fresh(pub.stat_until.load(std::memory_order_relaxed));
    return told ? until_of(index, until_tick) : cut(until_tick);
  }
  // Whether attributes may be cached, although somebody may read or write the object unseen. REQUIRES: the
  // inode lock.
  bool may_cache(const InodePriv& priv, const Attr& attr) const noexcept {
    if ((priv.unseen_writers.load(std::memory_order_relaxed) & kUnseenMax) != 0) return false;
    return priv.unseen_readers == 0 ||
           !read_moves_atime(store.caps().atime_rule, attr, kUnseenMarginS);
  }
  // And up to when: what a read does not move now it may move later, and what was mapped may be written.
  std::uint64_t until_seen(const InodePriv& priv, std::uint64_t until_tick) const noexcept {
    if ((priv.unseen_writers.load(std::memory_order_relaxed) & kOnceMapped) != 0) {
      until_tick = cut(until_tick);
    }
    if (priv.unseen_readers == 0) return until_tick;
    constexpr std::uint64_t kMarginTicks = kUnseenMarginS * 1000 / kTickMs;
    return std::min(until_tick, clock.now() + kMarginTicks);
  }
  // 0 is never: what has to be asked for in any case.
  bool fresh(std::uint64_t until_tick) const noexcept {
    return until_tick != 0 && until_tick >= clock.now();
  }
  // Whether an inode's `names_until` says that all names have dentries, and may still be believed.
  bool has_all_names(std::uint64_t word) const noexcept { return word > kRollCall && fresh(word); }
  // Whether an inode's `absent` says that of one of `absences`, and may still be believed.
  bool lacks(std::uint64_t word, std::uint64_t absences) const noexcept {
    return (word & absences) != 0 && fresh(absent_until(word));
  }

  auto lock_inode(std::uint32_t index) noexcept { return InodeGuard<Policy>(policy, slots, index); }
  // Called under the inode lock by whoever took away a reference or a name.
  void queue_if_unused(const InodeLock& inode, std::uint32_t index) noexcept {
    if (inode.priv().state != SlotState::kLive || inode.priv().queue_next != 0) return;
    // acquire, pairs with the release of BasicCache::give_back and drop_refs: what the last user did with the
    // inode happened before it is reclaimed.
    if (inode.priv().refs.load(std::memory_order_acquire) != 0) return;
    if (!inode.priv().names.empty()) return;
    unused.add(inode, index);
  }

  // After a reference was raised and taken back without the lock: whoever killed the inode's last
  // name meanwhile may have seen the reference and passed by. No guard held.
  void recheck(std::uint32_t index) noexcept { queue_if_unused(lock_inode(index), index); }

  NameKey key(std::uint32_t dir_index, NameRef name) const noexcept {
    const std::uint32_t generation =
        slots.inode(dir_index).generation.load(std::memory_order_relaxed);
    return NameKey(slots.hash_seed(), dir_index, generation, name);
  }

 private:
  std::uint64_t until_rested(Timestamp changed, std::uint64_t until_tick) const noexcept {
    if (ttl_least_ticks == 0) return until_tick;
    const std::uint64_t rest = static_cast<std::uint64_t>(rest_ms(changed)) / kTickMs;
    return std::min(until_tick, clock.now() + std::max(rest, ttl_least_ticks));
  }
  bool is_told(std::uint32_t index) const noexcept {
    return is_told(index, slots.inode(index).identity_generation.load(std::memory_order_relaxed));
  }
  bool is_told(std::uint32_t index, std::uint64_t generation) const noexcept {
    return index == NodeId::kRootIndex || Identity::is_durable(generation);
  }
  std::uint64_t cut(std::uint64_t until_tick) const noexcept {
    if (unnumbered_cut == 0) return until_tick;
    const std::uint64_t now = clock.now();
    return until_tick > now && until_tick - now > ttl_ticks / 2 ? until_tick - unnumbered_cut
                                                                : until_tick;
  }
};

}  // namespace evenfs
