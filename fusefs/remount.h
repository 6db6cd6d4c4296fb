// SPDX-License-Identifier: LGPL-2.1-or-later
// mount -o remount: what mount(8) leaves to a file system's helper.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"

namespace evenfs {

// Gives an existing mount other flags: those of `options` that the kernel keeps for a mount (ro, nosuid,
// nodev, noexec, sync, dirsync, noatime, nodiratime, nosymfollow); what is not there is off. Options of
// evenfs itself stay as they are: the daemon is not told. Errors: those of mount(2).
Status remount(const std::string& mountpoint, const std::vector<std::string>& options) noexcept;

}  // namespace evenfs
