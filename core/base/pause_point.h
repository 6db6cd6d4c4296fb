// SPDX-License-Identifier: LGPL-2.1-or-later
// Pause points: names for the gaps between two steps of the protocol, where a test can hold a thread
// while others go on (tests/interleave) or yield at random (tests/torture).
//
// They exist only where EVENFS_PAUSE_POINTS is set: the presets `pause`, `asan` and `tsan`. In any other
// build they are nothing, which lint.no_pause_points looks after.
#pragma once

#ifdef EVENFS_PAUSE_POINTS

#include <functional>

namespace evenfs {

// Called with the name of each point that this thread reaches. Only for tests; the hook outlives its use.
using PauseHook = std::function<void(const char*)>;
inline thread_local const PauseHook* pause_hook = nullptr;

inline void pause_point_reached(const char* name) {
  if (pause_hook != nullptr) (*pause_hook)(name);
}

}  // namespace evenfs

#define EVENFS_PAUSE(name) ::evenfs::pause_point_reached(name)

#else

#define EVENFS_PAUSE(name) ((void)0)

#endif
