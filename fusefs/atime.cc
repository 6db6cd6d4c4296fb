// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/atime.h"

#include "core/store/atime_rule.h"

namespace evenfs {

bool AtimeSection::may_move(Request& r, NodeId id) {
  const AtimeRule rule = r.fs.store.caps().atime_rule;
  if (rule != AtimeRule::kRelative) return rule == AtimeRule::kAlways;
  Attr attr;
  return !r.fs.cache.peek_attr(id, attr) || read_moves_atime(rule, attr);
}

}  // namespace evenfs
