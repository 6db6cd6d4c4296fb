// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/mount_point.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

extern char** environ;

namespace evenfs {
namespace {

constexpr unsigned kStatxMntIdUnique = 0x4000;  // STATX_MNT_ID_UNIQUE of newer headers.

// The real path of a directory, or the complaint.
std::optional<std::string> resolve_directory(std::string& path, std::string_view what) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) return fmt::format("{} {}: {}", what, path, std::strerror(errno));
  struct stat st {};
  if (::stat(real.get(), &st) != 0)
    return fmt::format("{} {}: {}", what, path, std::strerror(errno));
  if (!S_ISDIR(st.st_mode)) return fmt::format("{} {}: not a directory", what, path);
  path = real.get();
  return std::nullopt;
}

bool same_object(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether `directory` is `path` or one of the directories above it. By what they are and not by
// their names, so that a bind mount does not hide it.
bool is_above(const std::string& directory, std::string path) {
  struct stat wanted {};
  if (::stat(directory.c_str(), &wanted) != 0) return false;
  while (true) {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0 && same_object(st, wanted)) return true;
    if (path == "/") return false;
    path.resize(std::max<std::size_t>(path.rfind('/'), 1));
  }
}

// Those who mounted without privilege need the help of fusermount3 again.
bool run_fusermount(const std::string& path) {
  std::array<const char*, 7> arguments = {"fusermount3", "-u",         "-q",   "-z",
                                          "--",          path.c_str(), nullptr};
  pid_t pid = 0;
  if (::posix_spawnp(&pid, arguments[0], nullptr, nullptr,
                     const_cast<char* const*>(arguments.data()), environ) != 0) {
    return false;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::optional<std::string> check_paths(std::string& source, std::string& mountpoint) {
  if (auto complaint = resolve_directory(source, "SOURCE")) return complaint;
  if (auto complaint = resolve_mountpoint(mountpoint)) return complaint;
  if (is_above(source, mountpoint)) {
    return fmt::format("MOUNTPOINT {} lies inside SOURCE {}", mountpoint, source);
  }
  return std::nullopt;
}

std::optional<std::string> resolve_mountpoint(std::string& mountpoint) {
  return resolve_directory(mountpoint, "MOUNTPOINT");
}

std::optional<MountPoint::Id> MountPoint::id_on(const std::string& path) {
  return id_of(AT_FDCWD, path.c_str(), 0);
}

std::optional<MountPoint::Id> MountPoint::id_of(int directory, const char* path, int flags) {
  // Asked for no attribute and told not to synchronise, a FUSE mount answers by itself: this
  // works before its daemon runs and after it has gone.
  struct statx stx {};
  if (::statx(directory, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
              STATX_MNT_ID | kStatxMntIdUnique, &stx) != 0) {
    return std::nullopt;
  }
  if ((stx.stx_mask & kStatxMntIdUnique) != 0) return Id{stx.stx_mnt_id, true};
  if ((stx.stx_mask & STATX_MNT_ID) != 0) return Id{stx.stx_mnt_id, false};
  return std::nullopt;
}

std::optional<MountPoint> MountPoint::on(const std::string& path) {
  const std::optional<Id> id = id_on(path);
  if (!id) return std::nullopt;
  MountPoint point;
  point.id_ = *id;
  point.path_ = path;
  return point;
}

UniqueFd MountPoint::root() const {
  UniqueFd root(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root || id_of(root.get(), "", AT_EMPTY_PATH) != id_) return UniqueFd();
  return root;
}

bool MountPoint::is_still_there(bool alive) const {
  if (id_on(path_) != id_) return false;
  if (id_.unique || alive) return true;
  // A number that is used again might belong to somebody else's mount; ours is one that nobody
  // answers.
  struct statfs st {};
  return ::statfs(path_.c_str(), &st) != 0 && errno == ENOTCONN;
}

bool MountPoint::detach(bool alive) const {
  if (!is_still_there(alive)) return true;
  // Lazy, because an ordinary umount fails while anybody has a file or a working directory there,
  // and then the daemon's end would leave a dead mount behind.
  if (::umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return true;
  if (errno == EPERM) return run_fusermount(path_);
  return !is_still_there(alive);
}

}  // namespace evenfs
