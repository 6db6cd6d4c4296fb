// SPDX-License-Identifier: LGPL-2.1-or-later
// What reading does to access times, as mounts have it, and a view of a directory in which it does
// something else.
#pragma once

#include <optional>

#include "core/base/result.h"
#include "core/base/unique_fd.h"
#include "core/store/store.h"

namespace evenfs::local {

struct AtimeFlags {
  AtimeRule rule = AtimeRule::kAlways;
  bool keeps_dirs = false;  // Listings move nothing.
  friend bool operator==(const AtimeFlags&, const AtimeFlags&) = default;
};

// Of the mount that `fd` is on. kAlways if it does not say.
AtimeFlags atime_flags(int fd);

// A descriptor (O_PATH) of the same directory, through a mount that nobody else sees: a copy of the one it
// is on, and of those below. Errors: EPERM without CAP_SYS_ADMIN, or where a namespace around ours has
// fixed the flags; ENOSYS before Linux 5.12.
Result<UniqueFd> view_with_atime(int dir, const AtimeFlags& flags);

}  // namespace evenfs::local
