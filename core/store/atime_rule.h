// SPDX-License-Identifier: LGPL-2.1-or-later
// When a read moves an access time.
#pragma once

#include <ctime>

#include "core/store/store.h"

namespace evenfs {

// Whether a read of what has these attributes moves its access time, now or, if nothing else happens to
// it, within `margin_s` seconds. The kernel's rule for relatime.
inline bool read_moves_atime(AtimeRule rule, const Attr& attr, std::int64_t margin_s = 1) noexcept {
  constexpr std::int64_t kDayS = 24 * 60 * 60;
  if (rule != AtimeRule::kRelative) return rule == AtimeRule::kAlways;
  if (attr.atime <= attr.mtime || attr.atime <= attr.ctime) return true;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec - attr.atime.sec >= kDayS - margin_s;
}

}  // namespace evenfs
