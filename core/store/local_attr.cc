// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: attributes, permissions, link targets, extended attributes.
//
// Extended attributes are reached by the descriptor of a file that is open, else through the magic links
// of /proc/self/fd: following one leads to the descriptor's object itself, symbolic links included, which
// no path could name without following them. What the backing file system does not have for a symbolic
// link (user.*) it refuses by itself.
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

#if defined(SYS_fchmodat2)
constexpr long kFchmodat2 = SYS_fchmodat2;
#elif defined(__alpha__) || defined(__mips__) || defined(__ILP32__)
constexpr long kFchmodat2 = -1;  // ENOSYS.
#else
constexpr long kFchmodat2 = 452;  // Headers may be older than the kernel.
#endif

struct timespec time_for(const std::optional<SetAttr::Time>& time) noexcept {
  if (!time.has_value()) return {0, UTIME_OMIT};
  if (time->now) return {0, UTIME_NOW};
  return {time->at.sec, static_cast<long>(time->at.nsec)};
}

Result<std::size_t> size_or_error(ssize_t size) noexcept {
  if (size < 0) return Errno::last();
  return static_cast<std::size_t>(size);
}

Status status_of(int failed) noexcept { return failed != 0 ? Status(Errno::last()) : Status(); }

// chmod by a descriptor of any kind; `proc_fds` is one of /proc/self/fd, for kernels before Linux 6.6 and
// filters of system calls that do not know the newer one, which say EPERM.
Status change_mode(int fd, std::uint32_t mode, int proc_fds) noexcept {
  if (::syscall(kFchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) return Status();
  if (errno != ENOSYS && errno != EPERM) return Errno::last();
  return status_of(::fchmodat(proc_fds, local::FdName(fd).relative(), mode, 0));
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
  return change_mode(fd, *mode & 07777U, proc_fds_.get());
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

template <class ByFd, class ByPath>
auto LocalStore::with_object(const Node& node, ByFd by_fd, ByPath by_path)
    -> decltype(by_path("")) {
  ObjectFd held;
  {
    const NamesShared names = names_shared(node);
    Result<ObjectFd> fd = object_fd(node);
    if (!fd) return fd.error();
    held = std::move(fd).value();
  }
  if (held.open) return by_fd(held.get());
  return by_path(local::FdName(held.get()).path());
}

Result<std::size_t> LocalStore::getxattr(const Node& node, const char* name,
                                         std::span<std::byte> into) {
  return with_object(
      node, [&](int fd) { return size_or_error(::fgetxattr(fd, name, into.data(), into.size())); },
      [&](const char* path) {
        return size_or_error(::getxattr(path, name, into.data(), into.size()));
      });
}

Result<std::size_t> LocalStore::listxattr(const Node& node, std::span<char> into) {
  return with_object(
      node, [&](int fd) { return size_or_error(::flistxattr(fd, into.data(), into.size())); },
      [&](const char* path) { return size_or_error(::listxattr(path, into.data(), into.size())); });
}

Status LocalStore::setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                            int flags) {
  return with_object(
      node,
      [&](int fd) { return status_of(::fsetxattr(fd, name, value.data(), value.size(), flags)); },
      [&](const char* path) {
        return status_of(::setxattr(path, name, value.data(), value.size(), flags));
      });
}

Status LocalStore::removexattr(const Node& node, const char* name) {
  return with_object(
      node, [&](int fd) { return status_of(::fremovexattr(fd, name)); },
      [&](const char* path) { return status_of(::removexattr(path, name)); });
}

}  // namespace evenfs
