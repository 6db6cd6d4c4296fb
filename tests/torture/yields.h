// SPDX-License-Identifier: LGPL-2.1-or-later
// Yields: while it lives, its thread gives way at some of the pause points that it reaches, so that few
// processors show what otherwise needs many. In builds without pause points it does nothing.
#pragma once

#include <sched.h>

#include <cstdint>
#include <random>

#include "core/base/pause_point.h"

namespace evenfs::test {

class Yields {
 public:
#ifdef EVENFS_PAUSE_POINTS
  static constexpr bool kInEffect = true;
  explicit Yields(std::uint64_t seed)
      : random_(static_cast<std::uint32_t>(seed)), hook_([this](const char*) { maybe(); }) {
    pause_hook = &hook_;
  }
  ~Yields() { pause_hook = nullptr; }
  Yields(const Yields&) = delete;
  Yields& operator=(const Yields&) = delete;

 private:
  void maybe() {
    if (random_() % 16 == 0) ::sched_yield();
  }
  std::minstd_rand random_;
  PauseHook hook_;
#else
  static constexpr bool kInEffect = false;
  explicit Yields(std::uint64_t) {}
  ~Yields() {}  // Not trivial, so that it is not an unused variable.
#endif
};

}  // namespace evenfs::test
