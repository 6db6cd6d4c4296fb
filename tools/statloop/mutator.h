// SPDX-License-Identifier: LGPL-2.1-or-later
// A worker that changes names and files while readers ask for them, and checks each change of its
// own by a stat right after it: nobody else touches what it owns, so the answer is known exactly.
#pragma once

#include "tools/statloop/options.h"
#include "tools/statloop/shared.h"
#include "tools/statloop/tree.h"

namespace evenfs::statloop {

// Waits for the start and works until control.stop.
void run_mutator(const Options& options, const Tree& tree, unsigned mutator, Control& control,
                 WorkerResult& result);

}  // namespace evenfs::statloop
