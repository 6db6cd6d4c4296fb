// SPDX-License-Identifier: LGPL-2.1-or-later
// FuseMount: a libfuse session that is mounted, and what both daemons want of the kernel.
#pragma once

#include <fuse_lowlevel.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"
#include "fusefs/mount_point.h"
#include "fusefs/worker_loop.h"

namespace evenfs {

struct MountRequest {
  std::string source;      // Shown as the device.
  std::string mountpoint;  // A real path.
  std::string subtype;
  std::vector<std::string> options;  // For libfuse and the kernel, one each.
  bool debug = false;
  bool uring = false;  // Ask for rings (transport.h).
};

class FuseMount {
 public:
  // Nothing, with one line in `error`, if the mount fails.
  static std::unique_ptr<FuseMount> mount(const MountRequest& request, const fuse_lowlevel_ops& ops,
                                          void* userdata, std::string& error);
  // Ends the rings and closes the device: whoever still uses the mount gets ENOTCONN. REQUIRES: no thread of
  // ours uses it.
  ~FuseMount();
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;

  fuse_session* session() const noexcept { return session_; }
  // Removes the mount if it is still there. See MountPoint::detach.
  bool detach() const;
  // See MountPoint::root.
  UniqueFd root() const { return point_ ? point_->root() : UniqueFd(); }

 private:
  explicit FuseMount(fuse_session* session) noexcept : session_(session) {}

  fuse_session* session_;
  std::optional<MountPoint> point_;
};

// Waits for the signals that end a daemon. Made before the first thread, which inherits that all
// signals are blocked.
class EndSignals {
 public:
  EndSignals();
  // Waits until one of SIGINT, SIGTERM, SIGHUP arrives, or `other` is readable. True if it was
  // a signal.
  bool wait(int other) const;

 private:
  UniqueFd signals_;
};

// How long a request may still run once the daemon is to end.
inline constexpr std::chrono::seconds kStopPatience{20};

// Serves until the mount is gone or a signal ends it; then nothing is mounted any more and all
// threads have ended. Returns the status to exit with. Does not return, but ends the process, if
// a request does not come back from the source: what its thread uses cannot be freed. `before_stop` is called
// when the end has come and requests are still answered; false is like such a request.
int serve_until_end(const FuseMount& mount, WorkerLoop& loop, const EndSignals& signals,
                    const std::function<bool()>& before_stop = nullptr);

}  // namespace evenfs
