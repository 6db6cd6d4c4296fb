// SPDX-License-Identifier: LGPL-2.1-or-later
// What reading does to access times, as a mount has it, and a view of a directory in which it does
// something else.
#pragma once

#include <optional>

#include "core/base/result.h"
#include "core/base/unique_fd.h"
#include "core/store/store.h"

namespace evenfs::local {

// Of the mount that `fd` is on. kAlways if it does not say.
AtimeRule atime_rule(int fd);

// A descriptor (O_PATH) of the same directory, through a mount that nobody else sees: a copy of the one it
// is on, and of those below but for unbindable ones, as they are now. `rule`: for all of them; none leaves
// each its own. `keep_dirs`: besides, listings move nothing. Errors: EPERM without CAP_SYS_ADMIN, or where
// a namespace around ours has fixed the flags; ENOSYS before Linux 5.12; EINVAL where the mount cannot be
// copied; ENOSPC, ENOMEM.
Result<UniqueFd> view_with_atime(int dir, std::optional<AtimeRule> rule, bool keep_dirs);

}  // namespace evenfs::local
