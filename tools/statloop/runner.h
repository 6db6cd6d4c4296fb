// SPDX-License-Identifier: LGPL-2.1-or-later
// Starts the workers, as threads or as processes, and waits for them.
#pragma once

#include <string>

#include "tools/statloop/options.h"
#include "tools/statloop/shared.h"
#include "tools/statloop/tree.h"

namespace evenfs::statloop {

// Results: the workers first, then the mutators. SIGINT and SIGTERM end the run early; its results
// are then those until that moment. Returns what went wrong, or an empty string.
std::string run_all(const Options& options, const Tree& tree, Shared& shared);

}  // namespace evenfs::statloop
