// SPDX-License-Identifier: LGPL-2.1-or-later
// Poison for ASan builds: a type-stable arena hides use-after-free from ASan, unless free slots
// are marked as such by hand. In other builds these do nothing.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define EVENFS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EVENFS_ASAN 1
#endif
#endif

#ifdef EVENFS_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace evenfs {

inline void poison([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef EVENFS_ASAN
  __asan_poison_memory_region(at, bytes);
#endif
}

inline void unpoison([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef EVENFS_ASAN
  __asan_unpoison_memory_region(at, bytes);
#endif
}

}  // namespace evenfs
