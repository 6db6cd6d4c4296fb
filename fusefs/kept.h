// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel may keep of an object's content from one open to the next: the pages of a file, the listing
// of a directory.
#pragma once

#include <ctime>

#include "core/store/atime_rule.h"
#include "fusefs/request.h"

namespace evenfs {

enum class Kept : std::uint8_t {
  kNothing,   // Neither what it has nor what it reads in this open.
  kFromNow,   // What it reads in this open, but not what it has.
  kAsBefore,  // What it has as well: nobody has changed the content in the source since.
};

// By size and times, of which `now` is what the source says at this moment. A time that is younger than what
// the source's clock can tell apart does not tell the content: another change may get the same one. And a read
// of what the kernel keeps moves no access time.
inline Kept kept_content(Request& r, NodeId id, const Attr& now) {
  constexpr std::int64_t kYoungS = 2;
  if (read_moves_atime(r.fs.store.caps().atime_rule, now)) return Kept::kNothing;
  timespec clock{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &clock);
  const bool settled = clock.tv_sec - now.ctime.sec > kYoungS;
  if (r.fs.cache.same_content(id, settled ? &now : nullptr)) return Kept::kAsBefore;
  return settled ? Kept::kFromNow : Kept::kNothing;
}

}  // namespace evenfs
