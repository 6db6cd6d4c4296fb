// SPDX-License-Identifier: LGPL-2.1-or-later
// Stalls: while it lives, its thread stops now and then at the pause points that it reaches, and where the
// store is asked, until other threads have come further by some steps of a clock that they share. So what
// many processors would do at the same time happens on few, and on busy ones too.
//
// It may be holding a lock that the others wait for, so it does not wait for them for ever. In
// builds without pause points only the store's calls are left.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <string_view>

#include "core/base/pause_point.h"

namespace evenfs::test {

class Stalls {
 public:
#ifdef EVENFS_PAUSE_POINTS
  static constexpr bool kAtPausePoints = true;
#else
  static constexpr bool kAtPausePoints = false;
#endif

  Stalls(const std::atomic<std::uint64_t>& clock, std::uint64_t seed)
      : clock_(clock), random_(static_cast<std::uint32_t>(seed)) {
    current = this;
#ifdef EVENFS_PAUSE_POINTS
    pause_hook = &hook_;
#endif
  }
  ~Stalls() {
    current = nullptr;
#ifdef EVENFS_PAUSE_POINTS
    pause_hook = nullptr;
#endif
  }
  Stalls(const Stalls&) = delete;
  Stalls& operator=(const Stalls&) = delete;

  // For the store's hooks: of whichever thread calls.
  static void here() {
    if (current != nullptr) current->maybe(kOneInCalls);
  }

 private:
  static constexpr std::uint32_t kOneInReads = 10;
  static constexpr std::uint32_t kOneInCalls = 24;  // And of all other points.
  static constexpr std::uint32_t kSteps = 16;       // At most; an operation takes two.
  static constexpr std::uint32_t kPatience = 40;    // Times that it gives way.

  // Readers stop more often, since to notice that they are wrong takes two changes under them at least.
  static std::uint32_t one_in(std::string_view point) {
    for (const std::string_view read : {"attr.", "lookup.", "walk."}) {
      if (point.starts_with(read)) return kOneInReads;
    }
    return kOneInCalls;
  }

  void maybe(std::uint32_t one_in) {
    if (random_() % one_in != 0) return;
    const std::uint64_t until = clock_.load() + 1 + random_() % kSteps;
    for (std::uint32_t i = 0; i < kPatience && clock_.load() < until; ++i) ::sched_yield();
  }

  static inline thread_local Stalls* current = nullptr;
  const std::atomic<std::uint64_t>& clock_;
  std::minstd_rand random_;
#ifdef EVENFS_PAUSE_POINTS
  const PauseHook hook_ = [this](const char* point) { maybe(one_in(point)); };
#endif
};

}  // namespace evenfs::test
