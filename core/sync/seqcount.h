// SPDX-License-Identifier: LGPL-2.1-or-later
// Seqcount: lets a reader find out, without storing to memory, that a record changed while the
// reader copied it.
//
// Invariants
//   S1  The count is odd while a write section is open, and while the slot is free or dead.
//   S2  The count only grows: it is never reset, not even when its slot is reused. With 64 bits
//       it does not come round, so an equal count means "nothing happened", also to a reader
//       that was stopped for hours.
//   S3  begin() and end() are called under the lock named in the record's header, so they do not
//       race with each other. Overlapping writers share one odd period by counting users there.
//   S4  What the count protects is std::atomic and accessed relaxed. A torn copy is a wrong
//       value, never undefined behaviour, and validation throws it away.
//
// Readers never wait for an even count; they leave for the locked path.
//
// The scheme is Lamport's (1977) with the fences of Boehm, "Can seqlocks get along with
// programming language memory models?" (2012).
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/assert.h"

namespace evenfs {

using Stamp = std::uint64_t;

// An odd stamp never validates: it was taken during a change, or of a slot that is not in use.
constexpr bool stamp_is_stable(Stamp stamp) noexcept { return (stamp & 1U) == 0; }

class Seqcount {
 public:
  // A value to compare later. Check stamp_is_stable() before using what it protects.
  Stamp sample() const noexcept {
    // [MO-1] acquire, pairs with the release in end(): an even count seen here brings with it
    // every field that the finished section stored.
    return count_.load(std::memory_order_acquire);
  }

  // True if nothing changed since `stamp` was sampled. Call validation_fence() once between the
  // last field read and the first same() of a batch.
  bool same(Stamp stamp) const noexcept { return count_.load(std::memory_order_relaxed) == stamp; }

  void begin() noexcept {
    const Stamp now = count_.load(std::memory_order_relaxed);
    EVENFS_ASSERT(stamp_is_stable(now));
    count_.store(now + 1, std::memory_order_relaxed);
    // [MO-2] release fence, pairs with validation_fence(): a reader that saw any field stored
    // after this fence will see the odd (or a later) count when it validates.
    std::atomic_thread_fence(std::memory_order_release);
  }

  void end() noexcept {
    const Stamp now = count_.load(std::memory_order_relaxed);
    EVENFS_ASSERT(!stamp_is_stable(now));
    // [MO-1] release, pairs with the acquire in sample(): publishes the fields with the count.
    count_.store(now + 1, std::memory_order_release);
  }

  // Makes every stamp taken before worthless without opening a section, or within one. For counts
  // that are compared under a lock only, for it orders nothing.
  void skip() noexcept {
    count_.store(count_.load(std::memory_order_relaxed) + 2, std::memory_order_relaxed);
  }

  // For tests that start near the edges of the range. REQUIRES: the slot is free.
  void advance_for_test(std::uint64_t by) noexcept {
    const Stamp now = count_.load(std::memory_order_relaxed);
    count_.store(now + 2 * by, std::memory_order_relaxed);
  }

 private:
  std::atomic<Stamp> count_{1};  // Odd: a slot that was never used is not in use.
};

// [MO-2] acquire fence, pairs with the release fence in Seqcount::begin(). One fence serves any
// number of same() calls that follow it.
inline void validation_fence() noexcept { std::atomic_thread_fence(std::memory_order_acquire); }

}  // namespace evenfs
