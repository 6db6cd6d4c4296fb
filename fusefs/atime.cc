// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/atime.h"

#include <ctime>

namespace evenfs {
namespace {

constexpr std::int64_t kDayS = 24 * 60 * 60;

}  // namespace

bool AtimeSection::may_move(Request& r, NodeId id) {
  const AtimeRule rule = r.fs.store.caps().atime_rule;
  if (rule != AtimeRule::kRelative) return rule == AtimeRule::kAlways;
  Attr attr;
  return !r.fs.cache.peek_attr(id, attr) || is_due(rule, attr);
}

bool AtimeSection::is_due(AtimeRule rule, const Attr& attr) {
  if (rule != AtimeRule::kRelative) return rule == AtimeRule::kAlways;
  // The kernel's rule for relatime.
  if (attr.atime <= attr.mtime || attr.atime <= attr.ctime) return true;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec - attr.atime.sec >= kDayS - 1;
}

}  // namespace evenfs
