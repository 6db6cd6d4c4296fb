// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/local_sys.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <initializer_list>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace evenfs::local {
namespace {

// EAGAIN is openat2's word for "the tree was changed while I looked"; a few tries are enough
// unless somebody renames without pause, and then the caller may try again.
constexpr int kTries = 16;

// For somebody else who has to get on before the next try can end otherwise: kTries times the
// processor is given up, then it is slept, 1 ms at first and 16 ms at last, 0.4 s in all.
constexpr int kMemoryTries = 48;

// AT_HANDLE_FID, which older headers lack; older kernels answer EINVAL.
constexpr int kHandleFid = 0x200;

// Magic numbers that linux/magic.h lacks.
constexpr std::uint64_t kZfsMagic = 0x2fc12fc1;
constexpr std::uint64_t kBcachefsMagic = 0xca451a4e;

bool is_one_of(int fd, std::initializer_list<std::uint64_t> types) noexcept {
  struct statfs st {};
  if (::fstatfs(fd, &st) != 0) return false;
  return std::ranges::find(types, static_cast<std::uint64_t>(st.f_type)) != types.end();
}

// An odd number, so that multiplying by it loses nothing.
constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15U;

void give_way(int tries) noexcept {
  if (tries < kTries) {
    ::sched_yield();
    return;
  }
  const long ms = 1L << std::min((tries - kTries) / 2, 4);
  const timespec wait{.tv_sec = 0, .tv_nsec = ms * 1'000'000};
  ::nanosleep(&wait, nullptr);
}

// file_handle with room for its bytes, which the kernel's type leaves open.
struct RawHandle {
  unsigned int length;
  int type;
  std::uint8_t bytes[FileHandle::kBytesMax];
};
static_assert(offsetof(RawHandle, bytes) == sizeof(struct file_handle));

Result<UniqueFd> open_with(int dir, const char* path, const struct open_how& how) noexcept {
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    const int error = errno;
    // EXDEV too: at the end of the way openat2 looks once more whether it has left the directory, and a
    // file that is moved to another one in that moment has.
    const bool again = error == EAGAIN || error == EINTR || error == EXDEV;
    if (!again || tries == kTries) return Errno(error);
  }
}

Timestamp time_of(const struct statx_timestamp& at) noexcept {
  return Timestamp{at.tv_sec, at.tv_nsec};
}

}  // namespace

Result<UniqueFd> open_beneath(int dir, const char* path, int flags, std::uint32_t mode,
                              bool no_symlinks) noexcept {
  struct open_how how {};
  how.flags = static_cast<std::uint32_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (no_symlinks) how.resolve |= RESOLVE_NO_SYMLINKS;
  return open_with(dir, path, how);
}

Result<UniqueFd> open_parent(int dir) noexcept {
  struct open_how how {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return open_with(dir, "..", how);
}

bool is_on_this_machine(int fd) noexcept {
  return is_one_of(fd, {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                        TMPFS_MAGIC, RAMFS_MAGIC, kZfsMagic, kBcachefsMagic});
}

bool hides_no_names(int fd) noexcept {
  return is_one_of(fd, {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                        TMPFS_MAGIC, RAMFS_MAGIC, OVERLAYFS_SUPER_MAGIC, kBcachefsMagic});
}

bool folds_case(int fd) noexcept {
  int flags = 0;
  // An error: there are no such flags.
  return ::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL) != 0;
}

Result<Seen> look_at(int fd, bool want_handle) noexcept {
  Seen seen;
  constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, kWanted, &seen.stat) != 0) {
    return Errno::last();
  }
  if (!want_handle) return seen;
  RawHandle raw{};
  raw.length = FileHandle::kBytesMax;
  auto* handle = reinterpret_cast<struct file_handle*>(&raw);
  int failed = ::name_to_handle_at(fd, "", handle, &seen.handle.mount_id, AT_EMPTY_PATH);
  if (failed != 0 && errno == EOPNOTSUPP) {
    // Linux 6.5 gives one that cannot be opened, but tells objects apart.
    raw.length = FileHandle::kBytesMax;
    failed = ::name_to_handle_at(fd, "", handle, &seen.handle.mount_id, AT_EMPTY_PATH | kHandleFid);
  }
  if (failed != 0) {
    // No error: the object is then known by its name, and by its time of birth unless the first
    // write to it makes it be born again in another layer.
    struct statfs system {};
    seen.birth_is_stable = ::fstatfs(fd, &system) != 0 || system.f_type != OVERLAYFS_SUPER_MAGIC;
    return seen;
  }
  seen.handle.length = raw.length;
  seen.handle.type = raw.type;
  std::memcpy(seen.handle.bytes.data(), raw.bytes, raw.length);
  return seen;
}

Attr attr_of(const struct statx& stat) noexcept {
  Attr attr;
  attr.ino = stat.stx_ino;
  attr.dev = ::gnu_dev_makedev(stat.stx_dev_major, stat.stx_dev_minor);
  attr.mode = stat.stx_mode;
  attr.nlink = stat.stx_nlink;
  attr.uid = stat.stx_uid;
  attr.gid = stat.stx_gid;
  attr.rdev = ::gnu_dev_makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  attr.size = stat.stx_size;
  attr.blocks = stat.stx_blocks;
  attr.blksize = stat.stx_blksize;
  attr.atime = time_of(stat.stx_atime);
  attr.mtime = time_of(stat.stx_mtime);
  attr.ctime = time_of(stat.stx_ctime);
  if ((stat.stx_mask & STATX_BTIME) != 0) attr.btime = time_of(stat.stx_btime);
  return attr;
}

Identity identity_of(const Seen& seen) noexcept {
  Identity identity;
  identity.dev = ::gnu_dev_makedev(seen.stat.stx_dev_major, seen.stat.stx_dev_minor);
  identity.ino = seen.stat.stx_ino;
  if (seen.handle.length != 0) {
    identity.generation = XXH3_64bits_withSeed(seen.handle.bytes.data(), seen.handle.length,
                                               static_cast<std::uint32_t>(seen.handle.type));
  } else if (seen.birth_is_stable && (seen.stat.stx_mask & STATX_BTIME) != 0) {
    identity.generation = static_cast<std::uint64_t>(seen.stat.stx_btime.tv_sec) * 1'000'000'000U +
                          seen.stat.stx_btime.tv_nsec;
  }
  // A directory that is bind-mounted once more below the root must be two directories, since
  // each has one parent. A file may have two names; there the cache has to see that it is one.
  if (S_ISDIR(seen.stat.stx_mode)) identity.generation ^= seen.stat.stx_mnt_id * kSpread;
  identity.generation &= ~Identity::kDurable;
  return identity;
}

Result<UniqueFd> open_handle(int mount, const FileHandle& handle, int flags) noexcept {
  RawHandle raw{};
  raw.length = handle.length;
  raw.type = handle.type;
  std::memcpy(raw.bytes, handle.bytes.data(), handle.length);
  for (int tries = 0;; ++tries) {
    const int fd =
        ::open_by_handle_at(mount, reinterpret_cast<struct file_handle*>(&raw), flags | O_CLOEXEC);
    if (fd >= 0) return UniqueFd(fd);
    const int error = errno;
    // ENOMEM is also what ext4 says of an inode number that is just being given to a new file: until
    // whoever makes that file has done so; then the handle is ESTALE. On a busy directory that is one
    // open in some thousand, for a moment; where the maker lost its processor, for milliseconds.
    const bool again = error == EINTR ? tries < kTries : error == ENOMEM && tries < kMemoryTries;
    if (!again) return Errno(error);
    if (error == ENOMEM) give_way(tries);
  }
}

Result<UniqueFd> reopen(int proc_fds, int fd, int flags) noexcept {
  const FdName name(fd);
  for (int tries = 0;; ++tries) {
    const int opened = ::openat(proc_fds, name.relative(), flags | O_CLOEXEC);
    if (opened >= 0) return UniqueFd(opened);
    const int error = errno;
    if (error != EINTR || tries == kTries) return Errno(error);
  }
}

FdName::FdName(int fd) noexcept {
  char* digits = text_.data() + kPrefix.copy(text_.data(), kPrefix.size());
  *std::to_chars(digits, text_.data() + text_.size() - 1, fd).ptr = '\0';
}

}  // namespace evenfs::local
