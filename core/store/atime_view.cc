// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/atime_view.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

namespace evenfs::local {
namespace {

std::uint64_t attribute(AtimeRule rule) {
  switch (rule) {
    case AtimeRule::kNever:
      return MOUNT_ATTR_NOATIME;
    case AtimeRule::kRelative:
      return MOUNT_ATTR_RELATIME;
    case AtimeRule::kAlways:
      break;
  }
  return MOUNT_ATTR_STRICTATIME;
}

}  // namespace

AtimeRule atime_rule(int fd) {
  struct statvfs st {};
  if (::fstatvfs(fd, &st) != 0) return AtimeRule::kAlways;
  if ((st.f_flag & (ST_NOATIME | ST_RDONLY)) != 0) return AtimeRule::kNever;
  return (st.f_flag & ST_RELATIME) != 0 ? AtimeRule::kRelative : AtimeRule::kAlways;
}

Result<UniqueFd> view_with_atime(int dir, std::optional<AtimeRule> rule, bool keep_dirs) {
  constexpr unsigned kBelowToo = AT_EMPTY_PATH | AT_RECURSIVE;
  UniqueFd view(::open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kBelowToo));
  if (!view) return Errno::last();
  mount_attr attr{};
  if (rule) {
    attr.attr_clr = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
    attr.attr_set = attribute(*rule);
  }
  if (keep_dirs) attr.attr_set |= MOUNT_ATTR_NODIRATIME;
  if (::mount_setattr(view.get(), "", kBelowToo, &attr, sizeof attr) != 0) return Errno::last();
  return view;
}

}  // namespace evenfs::local
