// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's life: store, cache, mount, threads, and all of it in reverse.
#pragma once

#include <fuse_lowlevel.h>

#include "fusefs/launcher.h"
#include "fusefs/options.h"

namespace evenfs {

// Mounts, serves until the end, and returns the status to exit with. Failures are printed as one
// line. `options` have checked paths. `ops`: make_handlers(), or those with something put before them.
int run_session(const Options& options, Launcher& launcher, const fuse_lowlevel_ops& ops);

}  // namespace evenfs
