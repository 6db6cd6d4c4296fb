// SPDX-License-Identifier: LGPL-2.1-or-later
// The unit in which processors share memory.
#pragma once

#include <cstddef>

namespace evenfs {

// Bytes. x86-64 and most ARM64 cores; std::hardware_destructive_interference_size may change with
// compiler flags, and slot layouts must not.
inline constexpr std::size_t kCacheLine = 64;

}  // namespace evenfs
