// SPDX-License-Identifier: LGPL-2.1-or-later
// What an inode is known to lack: extended attributes that are asked for time and again, and of which the
// store has said that they are not there. Which ones, and up to which tick that may be believed, is one word,
// InodePub::absent, so that a reader has both or neither. Several names share the tick, that of the first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace evenfs {

inline constexpr std::uint64_t kNoCapability = 1;   // security.capability
inline constexpr std::uint64_t kNoAccessList = 2;   // system.posix_acl_access
inline constexpr std::uint64_t kNoDefaultList = 4;  // system.posix_acl_default
// The store has no lists for the object at all (EOPNOTSUPP): a walk need not ask, but the answer is another.
inline constexpr std::uint64_t kNoListsThere = 8;
inline constexpr std::uint64_t kNoLabel =
    16;  // security.selinux, which `ls -l` asks for everywhere.
inline constexpr std::uint64_t kAnyAbsence = 31;
inline constexpr unsigned kAbsenceBits = 5;

// The bit of an attribute whose absence is remembered; 0 for all others.
constexpr std::uint64_t absence_of(std::string_view name) noexcept {
  if (name == "security.capability") return kNoCapability;
  if (name == "system.posix_acl_access") return kNoAccessList;
  if (name == "system.posix_acl_default") return kNoDefaultList;
  if (name == "security.selinux") return kNoLabel;
  return 0;
}

constexpr std::uint64_t absent_until(std::uint64_t word) noexcept { return word >> kAbsenceBits; }

// A tick that does not fit, such as kForeverTicks, is so late that the greatest one will do.
constexpr std::uint64_t absent_word(std::uint64_t absences, std::uint64_t until) noexcept {
  constexpr std::uint64_t kLatest = ~std::uint64_t{0} >> kAbsenceBits;
  return (std::min(until, kLatest) << kAbsenceBits) | absences;
}

}  // namespace evenfs
