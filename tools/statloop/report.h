// SPDX-License-Identifier: LGPL-2.1-or-later
// The results of a run as text and as JSON.
#pragma once

#include <span>
#include <string>

#include "tools/statloop/options.h"
#include "tools/statloop/shared.h"

namespace evenfs::statloop {

// Prints the results and writes options.json, if any. True if no answer was wrong, no errno
// unexpected, and everything could be written.
bool report(const Options& options, std::span<const WorkerResult> results);

}  // namespace evenfs::statloop
