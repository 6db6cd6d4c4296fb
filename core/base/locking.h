// SPDX-License-Identifier: LGPL-2.1-or-later
// Locking: the names of the four ways in which a cache can protect its data (core/policy).
#pragma once

#include <string_view>

namespace evenfs {

enum class Locking { kLockless, kSharded, kRwlock, kMutex };

constexpr std::string_view locking_name(Locking locking) noexcept {
  switch (locking) {
    case Locking::kLockless:
      return "lockless";
    case Locking::kSharded:
      return "sharded";
    case Locking::kRwlock:
      return "rwlock";
    case Locking::kMutex:
      return "mutex";
  }
  return "unknown";
}

}  // namespace evenfs
