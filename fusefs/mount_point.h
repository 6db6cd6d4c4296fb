// SPDX-License-Identifier: LGPL-2.1-or-later
// The two ends of a mount as paths: whether they will do, and how the mount is taken down.
//
// Why not fuse_session_unmount: it closes the device first, under threads that still read from
// it, and it leaves the mount where it is after an abort.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/unique_fd.h"

namespace evenfs {

// Replaces both by their real paths. Returns the complaint, if there is one: `source` is no
// directory, `mountpoint` is none, or `mountpoint` lies in `source` (also by a symbolic link, or
// below a bind mount of it), where the daemon would wait for itself. A bind mount of a part of
// `source` is not recognised. The reverse is allowed: what the mount hides from others, the
// daemon still reaches through what it holds open.
std::optional<std::string> check_paths(std::string& source, std::string& mountpoint);

// The same for a mount that has no source: only that `mountpoint` is a directory.
std::optional<std::string> resolve_mountpoint(std::string& mountpoint);

// One mount of this mount namespace, told from any that takes its place on the same path later.
class MountPoint {
 public:
  // The topmost mount on `path`, which must be a real path. Sends the mount no request. Nothing
  // if the system does not tell (Linux before 5.8).
  static std::optional<MountPoint> on(const std::string& path);

  // Takes the mount down if it is still the topmost on its path: away from the path at once, and
  // for good when its last user leaves. While `alive`, that is, while somebody answers its
  // requests, they must go on doing so meanwhile. False if the system refused.
  bool detach(bool alive) const;

  // Its root by O_PATH, while it is the topmost on its path; else none. Sends the mount no request, but
  // keeps it from being unmounted for good.
  UniqueFd root() const;

 private:
  struct Id {
    std::uint64_t number = 0;
    bool unique = false;  // Else it may be used again, for another mount (Linux before 6.8).
    friend bool operator==(const Id&, const Id&) = default;
  };
  static std::optional<Id> id_of(int directory, const char* path, int flags);
  static std::optional<Id> id_on(const std::string& path);
  bool is_still_there(bool alive) const;

  Id id_;
  std::string path_;
};

}  // namespace evenfs
