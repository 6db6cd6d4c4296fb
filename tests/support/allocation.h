// SPDX-License-Identifier: LGPL-2.1-or-later
// Allocations that fail: while an AllocationFault lives, the nth allocation by `new` of the thread that made
// it throws std::bad_alloc. A binary that wants that links allocation.cc, which replaces the global operators;
// in others nothing fails and nothing is counted. What C code takes from malloc() is left alone.
#pragma once

#include <cstdint>

#include "core/base/assert.h"

namespace evenfs::test {

// Whether only the nth fails, or all from the nth on, as when memory is wanting for a while.
enum class Shortage : std::uint8_t { kOnce, kFromThenOn };
inline constexpr Shortage kShortages[] = {Shortage::kOnce, Shortage::kFromThenOn};

// What the operators go by, of one thread.
struct AllocationPlan {
  bool armed = false;
  Shortage shortage = Shortage::kOnce;
  std::uint64_t nth = 0;   // 0: none.
  std::uint64_t seen = 0;  // Allocations since it was armed.
  unsigned pauses = 0;     // Of AllocationPause, how many live.
};
inline constinit thread_local AllocationPlan allocation_plan;

// Not to be nested.
class [[nodiscard]] AllocationFault {
 public:
  // The first allocation is 1; with 0 all are counted and none fails.
  explicit AllocationFault(std::uint64_t nth, Shortage shortage = Shortage::kOnce) noexcept {
    EVENFS_CHECK(!allocation_plan.armed);
    allocation_plan = {true, shortage, nth, 0, allocation_plan.pauses};
  }
  ~AllocationFault() { allocation_plan.armed = false; }
  AllocationFault(const AllocationFault&) = delete;
  AllocationFault& operator=(const AllocationFault&) = delete;

  std::uint64_t seen() const noexcept { return allocation_plan.seen; }
};

// What is allocated while one lives is the test's own: it does not fail and is not counted.
class [[nodiscard]] AllocationPause {
 public:
  AllocationPause() noexcept { ++allocation_plan.pauses; }
  ~AllocationPause() { --allocation_plan.pauses; }
  AllocationPause(const AllocationPause&) = delete;
  AllocationPause& operator=(const AllocationPause&) = delete;
};

// Calls `run(nth, shortage)` for each allocation that it makes, and once more without a failure; it arms the
// fault itself, and returns how many it has seen. Returns how many failed.
template <class RunWith>
std::uint64_t for_each_allocation(RunWith run) {
  std::uint64_t failed = 0;
  for (const Shortage shortage : kShortages) {
    for (std::uint64_t nth = 1; run(nth, shortage) >= nth; ++nth) ++failed;
  }
  return failed;
}

}  // namespace evenfs::test
