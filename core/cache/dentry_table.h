// SPDX-License-Identifier: LGPL-2.1-or-later
// DentryTable: (directory, name) -> dentry, in chains of a fixed number of buckets.
//
// find() stores nothing and takes no lock of its own. Insert and kill hold the bucket; a dentry is
// inserted at the head of its chain complete, and is dead (its count odd) before it leaves the
// chain. A reader that stands on a dead dentry goes on through its `next`, which stays as it was
// until the slot is reused.
//
// What find() cannot do is say that a name is not there: not found is a miss, never an answer.
// lacks() can, of a directory all of whose names have dentries (InodePub::names_until).
#pragma once

#include <optional>

#include "core/base/pause_point.h"
#include "core/cache/cells.h"
#include "core/cache/core.h"
#include "core/cache/limbo.h"

namespace evenfs {

// A dentry as a reader found it: true as long as the dentry's count is still `stamp`.
struct DentrySeen {
  std::uint32_t index = 0;
  std::uint32_t child = 0;  // 0: negative.
  Stamp stamp = 1;
  std::uint64_t until = 0;
};

enum class Find : std::uint8_t { kFound, kMiss, kChanged, kTooLong };

// What confirm() found: a dentry that says so, or knows better; none, any more; or one that says otherwise
// and stands, since its directory's names_until has to go first.
enum class Confirmed : std::uint8_t { kYes, kNo, kOtherwise };

// What kill_seen() did. kListed: nothing, since the directory's names_until has to go first.
enum class Killed : std::uint8_t { kYes, kNo, kListed };

template <LockingPolicy Policy>
class DentryTable {
 public:
  static constexpr std::uint32_t kStepsMax = 64;
  static constexpr std::uint32_t kRestartsMax = 4;

  explicit DentryTable(Core<Policy>& core) noexcept : core_(core), limbo_(core) {}

  // Within Policy::read(). The directory's generation is part of the key.
  Find find(std::uint32_t dir, std::uint32_t dir_generation, const NameKey& key,
            DentrySeen& seen) const noexcept;
  bool still(const DentrySeen& seen) const noexcept {
    return core_.slots.dentry(seen.index).seq.same(seen.stamp);
  }

  // Whether no dentry of that name, live or dying, was met on one way through the whole chain. So if the
  // directory's cseq, sampled before, is still the same, it had no dentry of that name.
  bool lacks(std::uint32_t dir, std::uint32_t dir_generation, const NameKey& key) const noexcept;
  // Whether the name has a positive dentry: under the bucket's lock, so that whoever kills it later sees what
  // the caller has stored to names_until before. No guard held.
  bool has(std::uint32_t dir, NameRef name) const noexcept;

  // Caches a name. `content`: the directory's cseq as it was before the store was asked; an odd one
  // only from the change that made it odd. `child` 0 makes it negative.
  // The new dentry's count, or nothing when the name is not cached: the directory changed
  // meanwhile, the name is there already, or there are no cells for it. `slot` is a free dentry
  // slot, and consumed in any case.
  // REQUIRES: the caller pins the directory and the child; no guard held.
  std::optional<Stamp> insert(std::uint32_t slot, std::uint32_t dir, NameRef name,
                              std::uint32_t child, Stamp content, std::uint64_t until);

  // The store just said that `name` leads to `child` (0: to nothing). kYes when a dentry says so
  // already, which may now be served until `until`, or when one was confirmed later. One that says
  // otherwise is killed, unless the answer is kOtherwise.
  Confirmed confirm(std::uint32_t dir, NameRef name, std::uint32_t child, Stamp content,
                    std::uint64_t until);

  // Removes a name if it is cached. No guard held. REQUIRES: a section on the directory's content is open, and
  // its names_until goes before that ends, unless the name does.
  bool kill(std::uint32_t dir, NameRef name);
  // Removes that dentry if it is still the one seen.
  Killed kill_seen(std::uint32_t index, Stamp stamp);

  Limbo<Policy>& limbo() noexcept { return limbo_; }
  std::uint32_t negatives() const noexcept { return negatives_.load(std::memory_order_relaxed); }

 private:
  bool name_matches(const DentryPub& dentry, const NameKey& key) const noexcept;
  // REQUIRES: the bucket is held.
  std::optional<std::uint32_t> find_held(std::uint32_t dir, std::uint32_t generation,
                                         const NameKey& key, std::uint32_t bucket) const noexcept;
  // Whether a positive dentry is one of those that names_until of its directory speaks of, or may be about to.
  bool is_listed_held(const DentryPub& dentry) const noexcept;
  void unlink_held(std::uint32_t index, std::uint32_t bucket) noexcept;
  void kill_held(std::uint32_t index, std::uint32_t bucket) noexcept;
  void detach(std::uint32_t index, std::uint32_t child);
  std::optional<Stamp> publish(std::uint32_t slot, const NameKey& key, Stamp content);
  std::uint32_t bucket_of(const NameKey& key) const noexcept {
    return static_cast<std::uint32_t>(key.hash) & core_.slots.bucket_mask();
  }
  bool write_name(DentryPub& dentry, const NameKey& key);

  Core<Policy>& core_;
  Limbo<Policy> limbo_;
  std::atomic<std::uint32_t> negatives_{
      0};  // Live negative dentries; written by insert and detach.
};

// --- The reader's side.

template <LockingPolicy Policy>
inline bool DentryTable<Policy>::name_matches(const DentryPub& dentry,
                                              const NameKey& key) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  if (dentry.name_length.load(kRelaxed) != key.name.size()) return false;
  const std::uint32_t whole = key.whole_words();
  for (std::uint32_t i = 0; i < whole; ++i) {
    if (dentry.name[i].load(kRelaxed) != key.word(i)) return false;
  }
  if (key.has_tail() && dentry.name[whole].load(kRelaxed) != key.tail) return false;
  if (!key.is_long()) return true;
  return string_equals(core_.slots, dentry.name[kInlinePrefix / 4].load(kRelaxed),
                       key.name.view().substr(kInlinePrefix));
}

template <LockingPolicy Policy>
[[gnu::always_inline]] inline Find DentryTable<Policy>::find(std::uint32_t dir,
                                                             std::uint32_t dir_generation,
                                                             const NameKey& key,
                                                             DentrySeen& seen) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const Slots& slots = core_.slots;
  const std::uint32_t bucket = bucket_of(key);
  const auto guard = core_.policy.read_bucket(bucket);
  for (std::uint32_t restarts = 0; restarts <= kRestartsMax; ++restarts) {
    // [MO-3] acquire, here and at `next` below, pairs with the release stores of publish() and
    // unlink_held(): who finds an index sees the dentry behind it as it was published.
    std::uint32_t index = slots.bucket(bucket).load(std::memory_order_acquire);
    for (std::uint32_t step = 0; (index & kEndOfChain) == 0; ++step) {
      if (step == kStepsMax) return Find::kTooLong;
      const DentryPub& dentry = slots.dentry(index);
      const Stamp stamp = dentry.seq.sample();
      if (stamp_is_stable(stamp) && dentry.parent_index.load(kRelaxed) == dir &&
          dentry.parent_generation.load(kRelaxed) == dir_generation && name_matches(dentry, key)) {
        seen = {index, dentry.child.load(kRelaxed), stamp, dentry.until.load(kRelaxed)};
        EVENFS_PAUSE("find.matched");
        validation_fence();
        if (dentry.seq.same(stamp)) return Find::kFound;
        break;  // It died while we read it; what replaces it stands at the head.
      }
      EVENFS_PAUSE("find.passing");
      index = dentry.next.load(std::memory_order_acquire);  // [MO-3]
    }
    if (index == (kEndOfChain | bucket)) return Find::kMiss;
  }
  return Find::kChanged;
}

template <LockingPolicy Policy>
bool DentryTable<Policy>::lacks(std::uint32_t dir, std::uint32_t dir_generation,
                                const NameKey& key) const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const Slots& slots = core_.slots;
  const std::uint32_t bucket = bucket_of(key);
  const auto guard = core_.policy.read_bucket(bucket);
  // [MO-3] acquire, as in find(). No dentry's count is sampled: one that is live all the time says the same
  // all the time, and who passes by another need not know what it was.
  std::uint32_t index = slots.bucket(bucket).load(std::memory_order_acquire);
  for (std::uint32_t step = 0; step < kStepsMax && (index & kEndOfChain) == 0; ++step) {
    const DentryPub& dentry = slots.dentry(index);
    if (dentry.parent_index.load(kRelaxed) == dir &&
        dentry.parent_generation.load(kRelaxed) == dir_generation && name_matches(dentry, key)) {
      return false;
    }
    EVENFS_PAUSE("lacks.passing");
    index = dentry.next.load(std::memory_order_acquire);  // [MO-3]
  }
  return index == (kEndOfChain | bucket);
}

}  // namespace evenfs

#include "core/cache/dentry_change.h"  // Insert and kill.
