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
  AtimeSection(Request& r, NodeId id) : r_(r), id_(id) {
    if (!may_move(r, id)) return;
    Result<Cache::Change> change = r.fs.cache.begin_change(id, Fields::kStat);
    if (change) change_.emplace(std::move(*change));
  }
  // Somebody else's change may have made the read move the time after all. A section that begins
  // now takes away what was cached of the time before, or makes that change doubt what it read.
  ~AtimeSection() {
    if (!change_ && may_move(r_, id_)) (void)r_.fs.cache.begin_change(id_, Fields::kStat);
  }
  AtimeSection(const AtimeSection&) = delete;
  AtimeSection& operator=(const AtimeSection&) = delete;

  // Whether reading `id` may move its access time, as far as the cache knows.
  static bool may_move(Request& r, NodeId id);

 private:
  Request& r_;
  const NodeId id_;
  std::optional<Cache::Change> change_;
};

}  // namespace evenfs
