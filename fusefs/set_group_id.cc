// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/set_group_id.h"

#include <sys/stat.h>

#include <algorithm>

namespace evenfs {
namespace {

bool is_member(const Cred& cred, std::uint32_t group) {
  return cred.gid == group || std::ranges::count(cred.groups, group) != 0;
}

SetAttr without_set_group_id(const Attr& attr) {
  SetAttr change;
  change.mode = attr.mode & 07777U & ~static_cast<std::uint32_t>(S_ISGID);
  return change;
}

}  // namespace

Result<std::optional<std::uint32_t>> mode_without_set_group_id(Request& r, NodeId id, File* file) {
  using Mode = std::optional<std::uint32_t>;
  if (r.maker().uid == 0) return Mode();
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, file);
  if (!attr) return attr.error();
  const bool kernel_leaves_it =
      !S_ISDIR(attr->mode) && (attr->mode & (S_ISGID | S_IXGRP)) == static_cast<mode_t>(S_ISGID);
  if (!kernel_leaves_it || is_member(r.cred(), attr->gid)) return Mode();
  return without_set_group_id(*attr).mode;
}

Status drop_set_group_id(Request& r, NodeId id, File* file) {
  const auto mode = mode_without_set_group_id(r, id, file);
  if (!mode) return mode.error();
  if (!mode->has_value()) return Status();
  SetAttr change;
  change.mode = **mode;
  const Result<Attr> changed = r.fs.cache.setattr(r.me, id, change, file);
  if (!changed) return changed.error();
  r.outdate_in_kernel(id);
  return Status();
}

Status drop_set_group_id_after_acl(Request& r, const Node& node) {
  if (r.maker().uid == 0) return Status();
  const Result<Attr> attr = r.fs.store.getattr(node, nullptr);
  if (!attr) return attr.error();
  if ((attr->mode & S_ISGID) == 0 || is_member(r.cred(), attr->gid)) return Status();
  const Result<Attr> changed = r.fs.store.setattr(node, without_set_group_id(*attr), nullptr);
  return changed ? Status() : Status(changed.error());
}

}  // namespace evenfs
