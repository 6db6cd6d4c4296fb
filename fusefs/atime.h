// SPDX-License-Identifier: LGPL-2.1-or-later
// Reading changes a file too: the source's file system may note the time. Cached attributes must
// not outlive that, and a read that changes nothing must not cost them.
#pragma once

#include <optional>

#include "fusefs/request.h"

namespace evenfs {

// Spans a read of `id` on the source. If the read may move the access time, it is a change of
// the attributes like any other.
class AtimeSection {
 public:
  AtimeSection(Request& r, NodeId id) {
    if (!may_move(r, id)) return;
    Result<Cache::Change> change = r.fs.cache.begin_change(id, Fields::kStat);
    if (change) change_.emplace(std::move(*change));
  }

 private:
  static bool may_move(Request& r, NodeId id);

  std::optional<Cache::Change> change_;
};

}  // namespace evenfs
