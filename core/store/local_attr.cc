// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: attributes, permissions, link targets, extended attributes.
//
// Extended attributes are reached through the magic links of /proc/self/fd: following one leads to
// the descriptor's object itself, symbolic links included, which no path could name without
// following them. What the backing file system does not have for a symbolic link (user.*) it
// refuses by itself.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/store/local_store.h"
#include "core/store/permission.h"

namespace evenfs {
namespace {

struct timespec time_for(const std::optional<SetAttr::Time>& time) noexcept {
  if (!time.has_value()) return {0, UTIME_OMIT};
  if (time->now) return {0, UTIME_NOW};
  return {time->at.sec, static_cast<long>(time->at.nsec)};
}

Result<std::size_t> size_or_error(ssize_t size) noexcept {
  if (size < 0) return Errno::last();
  return static_cast<std::size_t>(size);
}

}  // namespace

// An open file may have been moved to where nobody tells of it: if that counts, its name is asked first.
Result<Attr> LocalStore::getattr(const Node& node, File* file) {
  const bool has_file = file != nullptr && file->fd() >= 0;
  if (!has_file || marks_ != nullptr) {
    const Result<Attr> attr = attr_by_name(node);
    if (attr || !has_file) return attr;
  }
  const Result<local::Seen> seen = local::look_at(file->fd(), false);
  if (!seen) return seen.error();
  return attr_of(*seen, false);
}

// Or by handle.
Result<Attr> LocalStore::attr_by_name(const Node& node) {
  const NamesShared names = names_shared(node);
  const Result<ObjectFd> fd = object_fd(node);
  if (!fd) return fd.error();
  if (fd->seen.has_value()) return attr_of(*fd->seen, fd->told);
  const Result<local::Seen> seen = local::look_at(fd->get(), false);
  if (!seen) return seen.error();
  return attr_of(*seen, fd->told);
}

Status LocalStore::change_size(const Node& node, std::uint64_t size, File* file) {
  const std::uint32_t type = local::type_of(node);
  if (type == S_IFDIR) return Errno(EISDIR);
  if (type != S_IFREG || size > static_cast<std::uint64_t>(LLONG_MAX)) return Errno(EINVAL);
  const auto length = static_cast<off_t>(size);
  if (file != nullptr && file->fd() >= 0) {
    if (::ftruncate(file->fd(), length) == 0) return Status();
    if (errno != EINVAL && errno != EBADF) return Errno::last();  // These: not open for writing.
  }
  const Result<UniqueFd> fd = open_again(node, O_WRONLY | O_NONBLOCK);
  if (!fd) return fd.error();
  if (::ftruncate(fd->get(), length) != 0) return Errno::last();
  return Status();
}

Status LocalStore::change_owner_and_mode(int fd, const SetAttr& change) {
  if (change.is_nothing() || change.uid.has_value() || change.gid.has_value()) {
    constexpr std::uint32_t kSame = ~std::uint32_t{0};
    if (::fchownat(fd, "", change.uid.value_or(kSame), change.gid.value_or(kSame), AT_EMPTY_PATH) !=
        0) {
      return Errno::last();
    }
  }
  std::optional<std::uint32_t> mode = change.mode;
  if (!mode.has_value() && change.clear_suid_sgid) {
    const Result<local::Seen> seen = local::look_at(fd, false);
    if (!seen) return seen.error();
    const std::uint32_t cleared = without_suid_sgid(seen->stat.stx_mode);
    if (cleared != seen->stat.stx_mode) mode = cleared;
  }
  if (!mode.has_value()) return Status();
  const local::FdName number(fd);
  if (::fchmodat(proc_fds_.get(), number.relative(), *mode & 07777U, 0) != 0) {
    return Errno::last();
  }
  return Status();
}

// The size goes first: it is what fails most often, and then nothing was changed. The owner goes
// before the mode, because changing it clears set-uid. The times go last, because everything
// before them sets times.
Result<Attr> LocalStore::setattr(const Node& node, const SetAttr& change, File* file) {
  if (change.size.has_value()) {
    const Status status = change_size(node, *change.size, file);
    if (!status) return status.error();
  }
  ObjectFd held;
  int fd = file != nullptr ? file->fd() : -1;
  if (fd < 0) {
    const NamesShared names = names_shared(node);
    Result<ObjectFd> opened = object_fd(node);
    if (!opened) return opened.error();
    held = std::move(opened).value();
    fd = held.get();
  }
  const Status status = change_owner_and_mode(fd, change);
  if (!status) return status.error();
  if (change.atime.has_value() || change.mtime.has_value()) {
    const struct timespec times[2] = {time_for(change.atime), time_for(change.mtime)};
    if (::utimensat(fd, "", times, AT_EMPTY_PATH) != 0) return Errno::last();
  }
  const Result<local::Seen> seen = local::look_at(fd, false);
  if (!seen) return seen.error();
  return attr_of(*seen, held.told);
}

Status LocalStore::access(const Node& node, const Cred& cred, int mask) {
  const NamesShared names = names_shared(node);
  const Result<ObjectFd> fd = object_fd(node);
  if (!fd) return fd.error();
  const auto ask = [&fd, mask]() -> Status {
    if (::syscall(SYS_faccessat2, fd->get(), "", mask, AT_EACCESS | AT_EMPTY_PATH) != 0) {
      return Errno::last();
    }
    return Status();
  };
  if (cred.uid == ::geteuid() && cred.gid == ::getegid() && cred.groups.empty()) return ask();
  {
    const CredCheck as_caller(cred);
    if (as_caller.ok()) return ask();
  }
  const Result<local::Seen> seen = local::look_at(fd->get(), false);
  if (!seen) return seen.error();
  return check_mode_bits(local::attr_of(seen->stat), cred, mask);
}

Result<std::string> LocalStore::readlink(const Node& node) {
  if (local::type_of(node) != S_IFLNK) return Errno(EINVAL);
  const NamesShared names = names_shared(node);
  const Result<ObjectFd> fd = object_fd(node);
  if (!fd) return fd.error();
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(fd->get(), "", target.data(), target.size());
  if (length < 0) return Errno::last();
  target.resize(static_cast<std::size_t>(length));
  return target;
}

bool LocalStore::lists_all(const Node& dir) {
  {
    const NamesShared names = names_shared(dir);
    const Result<FdCache::Ref> fd = dir_fd(dir);
    if (!fd || !local::hides_no_names((*fd)->get())) return false;
  }
  const Result<UniqueFd> fd = open_again(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  return fd && !local::folds_case(fd->get());
}

Result<struct statvfs> LocalStore::statfs(const Node& node) {
  const NamesShared names = names_shared(node);
  const Result<ObjectFd> fd = object_fd(node);
  if (!fd) return fd.error();
  struct statvfs out {};
  if (::fstatvfs(fd->get(), &out) != 0) return Errno::last();
  return out;
}

template <class Call>
auto LocalStore::with_path(const Node& node, Call call) -> decltype(call("")) {
  ObjectFd held;
  {
    const NamesShared names = names_shared(node);
    Result<ObjectFd> fd = object_fd(node);
    if (!fd) return fd.error();
    held = std::move(fd).value();
  }
  return call(local::FdName(held.get()).path());
}

Result<std::size_t> LocalStore::getxattr(const Node& node, const char* name,
                                         std::span<std::byte> into) {
  return with_path(node, [&](const char* path) {
    return size_or_error(::getxattr(path, name, into.data(), into.size()));
  });
}

Result<std::size_t> LocalStore::listxattr(const Node& node, std::span<char> into) {
  return with_path(node, [&](const char* path) {
    return size_or_error(::listxattr(path, into.data(), into.size()));
  });
}

Status LocalStore::setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                            int flags) {
  return with_path(node, [&](const char* path) -> Status {
    if (::setxattr(path, name, value.data(), value.size(), flags) != 0) return Errno::last();
    return Status();
  });
}

Status LocalStore::removexattr(const Node& node, const char* name) {
  return with_path(node, [&](const char* path) -> Status {
    if (::removexattr(path, name) != 0) return Errno::last();
    return Status();
  });
}

}  // namespace evenfs
