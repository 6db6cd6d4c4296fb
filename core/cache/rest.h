// SPDX-License-Identifier: LGPL-2.1-or-later
// How long may be believed what has rested for a while: a tenth of that while. So what changes often is asked
// for often, and what has not changed for years seldom. FreeBSD's NFS client has its attribute cache go by
// this rule, within acregmin and acregmax; Linux's gets to much the same by doubling the time whenever nothing
// has changed, for which it keeps a word in each inode.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>

#include "core/base/attr.h"

namespace evenfs {

// In milliseconds, from 0, for what has last changed at `changed`, as whoever changed it told the time. What
// changed in a time that is yet to come has not rested.
inline std::int64_t rest_ms(Timestamp changed) noexcept {
  constexpr std::int64_t kShare = 10;
  constexpr std::int64_t kMostS = std::int64_t{10} * 365 * 86400;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (changed.sec > now.tv_sec) return 0;
  if (changed.sec < now.tv_sec - kMostS) return kMostS * 1000 / kShare;
  const std::int64_t rested_ms =
      (now.tv_sec - changed.sec) * 1000 +
      (now.tv_nsec - static_cast<std::int64_t>(changed.nsec)) / 1'000'000;
  return std::max<std::int64_t>(rested_ms, 0) / kShare;
}

}  // namespace evenfs
