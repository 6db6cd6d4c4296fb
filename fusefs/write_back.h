// SPDX-License-Identifier: LGPL-2.1-or-later
// What programs have written through mappings is in the kernel until it writes it back, and after a lazy
// unmount it does not while they live.
#pragma once

#include <chrono>

#include "core/base/unique_fd.h"
#include "fusefs/worker_loop.h"

namespace evenfs {

// Has the kernel write back what it holds of a mount, and waits until that has been answered or `patience`
// has passed. `root`: its root, of any kind of descriptor. Not for a thread that answers requests.
//
// By another process (`sync -f`) that shares neither memory nor descriptors with this one: it may hang in
// the kernel until the connection ends, and the connection ends only when nobody holds the device, nor the
// rings, any more.
void write_back(UniqueFd root, const WorkerLoop& loop, int device,
                std::chrono::milliseconds patience);

}  // namespace evenfs
