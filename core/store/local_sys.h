// SPDX-License-Identifier: LGPL-2.1-or-later
// The system calls that the local store is made of, with their errors as values. No state.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/attr.h"
#include "core/base/name.h"
#include "core/base/result.h"
#include "core/base/unique_fd.h"

namespace evenfs::local {

// A name with the NUL that system calls want.
class CName {
 public:
  explicit CName(NameRef name) noexcept : CName(name.view()) {}
  explicit CName(std::string_view name) noexcept {
    bytes_[name.copy(bytes_.data(), kNameMax)] = '\0';
  }
  const char* get() const noexcept { return bytes_.data(); }

 private:
  std::array<char, kNameMax + 1> bytes_;
};

// What name_to_handle_at gives: the object's name within its file system, forever.
struct FileHandle {
  static constexpr std::size_t kBytesMax = 128;  // As MAX_HANDLE_SZ.
  std::uint32_t length = 0;                      // Bytes; 0: the file system gave none.
  std::int32_t type = 0;
  std::int32_t mount_id = 0;
  std::array<std::uint8_t, kBytesMax> bytes{};
};

// One object at one moment.
struct Seen {
  struct statx stat {};
  FileHandle handle;
  bool birth_is_stable = true;  // False: writing may change the time of birth (overlayfs).
};

// Opens `path` below `dir`: never through a magic link, never above `dir`, never through a
// symbolic link at its end; with `no_symlinks` through none at all. O_CLOEXEC is implied.
// `mode` is for O_CREAT and O_TMPFILE only.
Result<UniqueFd> open_beneath(int dir, const char* path, int flags, std::uint32_t mode = 0,
                              bool no_symlinks = false) noexcept;

// Opens "..", which open_beneath refuses; the caller checks where that is.
Result<UniqueFd> open_parent(int dir) noexcept;

// Whether a call on the file system of `fd` is known to need nobody but this machine's kernel.
bool is_on_this_machine(int fd) noexcept;

// Whether the file system of `fd` is known to list each name that it finds. (ZFS hides its snapshots, network
// file systems theirs, /proc threads, and another program whatever it likes.)
bool hides_no_names(int fd) noexcept;

// Whether names in a directory are equal that differ in case only. `fd` is open for reading. (Of XFS made
// with `-n version=ci` this is not found out.)
bool folds_case(int fd) noexcept;

// `fd` may be an O_PATH descriptor. With `want_handle` the handle too, where there is one.
Result<Seen> look_at(int fd, bool want_handle) noexcept;

Attr attr_of(const struct statx& stat) noexcept;

// The generation is a digest of the handle, or the time of birth where there is no handle (then
// a number that is used again within one tick of the kernel's clock is not told apart). For a
// directory it tells the mount, too. Never durable; DurableNumbers makes it so.
Identity identity_of(const Seen& seen) noexcept;

// `mount` is any descriptor but O_PATH on the handle's mount. ESTALE when the object is gone.
Result<UniqueFd> open_handle(int mount, const FileHandle& handle, int flags) noexcept;

// Opens once more what `fd` refers to. `proc_fds` is a descriptor of /proc/self/fd.
Result<UniqueFd> reopen(int proc_fds, int fd, int flags) noexcept;

// The decimal form of a descriptor, as the directory /proc/self/fd names it.
class FdName {
 public:
  explicit FdName(int fd) noexcept;
  const char* relative() const noexcept { return text_.data() + kPrefix.size(); }
  const char* path() const noexcept { return text_.data(); }

 private:
  static constexpr std::string_view kPrefix = "/proc/self/fd/";
  std::array<char, 32> text_;
};

}  // namespace evenfs::local
