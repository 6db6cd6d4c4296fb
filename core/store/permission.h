// SPDX-License-Identifier: LGPL-2.1-or-later
// The classic permission check: mode bits, owner, group. Access control lists are not looked at.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/attr.h"
#include "core/base/result.h"

namespace evenfs {

// True iff `gid` is the caller's group or one of the supplementary groups that are known.
inline bool in_group(const Cred& cred, std::uint32_t gid) noexcept {
  return cred.gid == gid ||
         std::find(cred.groups.begin(), cred.groups.end(), gid) != cred.groups.end();
}

// `mask` is made of R_OK, W_OK, X_OK. EACCES when one of them is not granted. Root may do all,
// but may execute a file only if somebody may.
inline Status check_mode_bits(const Attr& attr, const Cred& cred, int mask) noexcept {
  const auto wanted = static_cast<std::uint32_t>(mask & (R_OK | W_OK | X_OK));
  if (cred.uid == 0) {
    const bool needs_any_x = (wanted & X_OK) != 0 && !S_ISDIR(attr.mode);
    if (needs_any_x && (attr.mode & 0111U) == 0) return Errno(EACCES);
    return Status();
  }
  const unsigned shift = cred.uid == attr.uid ? 6U : (in_group(cred, attr.gid) ? 3U : 0U);
  if ((wanted & ~(attr.mode >> shift)) != 0) return Errno(EACCES);
  return Status();
}

// The mode that is left when somebody without privilege changed a file's data or owner.
inline std::uint32_t without_suid_sgid(std::uint32_t mode) noexcept {
  if (!S_ISREG(mode)) return mode;
  mode &= ~static_cast<std::uint32_t>(S_ISUID);
  // Without group execution the set-gid bit once meant mandatory locking; the kernel keeps it.
  if ((mode & S_IXGRP) != 0) mode &= ~static_cast<std::uint32_t>(S_ISGID);
  return mode;
}

}  // namespace evenfs
