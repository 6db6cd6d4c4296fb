// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: objects that are reached by name, and the marks of the directories among them.
//
// A directory is marked, or is not, from the birth of its NamedNode to its end, and so for all the time that it
// has an inode in the cache: no name in it, and none of its attributes, was asked for before. So it is by its
// identity that the cache knows: with a mark it is durable.
#include <fcntl.h>
#include <sys/stat.h>

#include <new>
#include <optional>
#include <utility>

#include "core/base/pause_point.h"
#include "core/store/local_store.h"

namespace evenfs {
namespace {

// DurableNumbers' of the root.
constexpr std::uint64_t kRootNumber = 1;

}  // namespace

void LocalStore::mark_directories(UniqueFd events) {
  marks_ = std::make_unique<local::SourceMarks>(std::move(events));
  nodes_.begin_marks(root_node_, kRootNumber, [this](const NamedNode& dead, FdCache::Ref fd) {
    unmark(dead, std::move(fd));
  });
  caps_.source_tag = durable_.source_tag();
  caps_.told_after_mkdir = true;
}

void LocalStore::end_marks() noexcept {
  if (marks_ != nullptr) marks_->end();
}

local::MarkStats LocalStore::marks() const {
  return marks_ != nullptr ? marks_->stats() : local::MarkStats{};
}

Attr LocalStore::attr_of(const local::Seen& seen, bool told) const noexcept {
  Attr attr = local::attr_of(seen.stat);
  // A directory's own mark tells of it. Another name may be where nobody tells, as may be the name of a file
  // that is mounted on this one.
  const bool only_here = told && attr.nlink == 1 && durable_.is_in_mount(seen);
  attr.untold = marks_ != nullptr && !S_ISDIR(attr.mode) && !only_here;
  return attr;
}

Result<Found> LocalStore::found_by_name(UniqueFd& fd, const local::Seen& seen, const Node& dir,
                                        std::string_view name) {
  EVENFS_PAUSE("marks.seen");
  Found found;
  found.identity = local::identity_of(seen);
  found.attr = attr_of(seen, NodeTable::is_marked(dir));
  std::optional<std::uint64_t> number;
  if (marks_ != nullptr) number = durable_.number_of(seen);
  if (!number || !S_ISDIR(found.attr.mode)) {
    found.node = nodes_.named_node(found.identity, found.attr.mode, dir, name, fd);
    if (number) found.identity.generation = *number;
    return found;
  }
  local::MarkHold hold(*marks_, *number, fd.get());
  if (hold.number() != 0) {
    // What was asked before the mark may have changed untold.
    const Result<local::Seen> again = local::look_at(fd.get(), false);
    if (!again) return again.error();
    found.attr = attr_of(*again, true);
  }
  found.node = nodes_.named_node(found.identity, found.attr.mode, dir, name, fd, &hold);
  if (NodeTable::is_marked(found.node)) found.identity.generation = *number;
  return found;
}

// A mark that nobody takes away does no harm, so what cannot be done here is left.
void LocalStore::unmark(const NamedNode& dead, FdCache::Ref fd) noexcept {
  if (dead.mark == kRootNumber) return;  // At the very end.
  if (marks_->is_over()) return marks_->drop(dead.mark, -1);
  UniqueFd own;
  try {
    if (fd == nullptr && !dead.name.empty()) {
      const Result<FdCache::Ref> dir = dir_fd(dead.parent);
      const local::CName name(dead.name);
      if (dir) {
        Result<UniqueFd> child = local::open_beneath((*dir)->get(), name.get(), O_PATH);
        if (child) own = std::move(child).value();
      }
    }
  } catch (const std::bad_alloc&) {
    // Then it is not found.
  }
  const int at = fd != nullptr ? fd->get() : own.get();
  const Result<local::Seen> seen = local::look_at(at, true);
  const bool same = seen && durable_.number_of(*seen) == dead.mark;
  EVENFS_PAUSE("unmark.found");
  marks_->drop(dead.mark, same ? at : -1);
}

}  // namespace evenfs
