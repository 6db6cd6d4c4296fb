// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/atime_view.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

namespace evenfs::local {

AtimeFlags atime_flags(int fd) {
  AtimeFlags flags;
  struct statvfs st {};
  if (::fstatvfs(fd, &st) != 0) return flags;
  if ((st.f_flag & (ST_NOATIME | ST_RDONLY)) != 0) {
    flags.rule = AtimeRule::kNever;
  } else if ((st.f_flag & ST_RELATIME) != 0) {
    flags.rule = AtimeRule::kRelative;
  }
  flags.keeps_dirs = flags.rule == AtimeRule::kNever || (st.f_flag & ST_NODIRATIME) != 0;
  return flags;
}

Result<UniqueFd> view_with_atime(int dir, const AtimeFlags& flags) {
  UniqueFd view(
      ::open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!view) return Errno::last();
  mount_attr attr{};
  attr.attr_clr = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  switch (flags.rule) {
    case AtimeRule::kNever:
      attr.attr_set = MOUNT_ATTR_NOATIME;
      break;
    case AtimeRule::kRelative:
      attr.attr_set = MOUNT_ATTR_RELATIME;
      break;
    case AtimeRule::kAlways:
      attr.attr_set = MOUNT_ATTR_STRICTATIME;
      break;
  }
  if (flags.keeps_dirs) attr.attr_set |= MOUNT_ATTR_NODIRATIME;
  if (::mount_setattr(view.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return Errno::last();
  }
  return view;
}

}  // namespace evenfs::local
