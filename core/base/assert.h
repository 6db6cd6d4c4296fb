// SPDX-License-Identifier: LGPL-2.1-or-later
// Assertions for what we can get wrong; never for what a user, a disk or the kernel can do.
//
// EVENFS_ASSERT is checked in debug and sanitizer builds only, EVENFS_CHECK always.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace evenfs::base_detail {

[[noreturn]] inline void assertion_failed(const char* what, const char* file, int line) noexcept {
  std::fprintf(stderr, "evenfs: %s:%d: assertion failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace evenfs::base_detail

#define EVENFS_CHECK(condition) \
  ((condition) ? (void)0 : ::evenfs::base_detail::assertion_failed(#condition, __FILE__, __LINE__))

#ifdef EVENFS_ASSERTIONS
#define EVENFS_ASSERT(condition) EVENFS_CHECK(condition)
#else
#define EVENFS_ASSERT(condition) ((void)sizeof(!(condition)))
#endif
