// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel tells of changes of a file system (fanotify with directories and names), as it is told:
// masks and file handles. Whose change it was and what follows from it is for others.
//
// What is not told: writing by a mapping, until the file is closed; reading, and the access times it moves;
// changes on the disk or server behind the file system's back; what is mounted. Where single directories are
// marked, also what is done to a file by another of its names, or by its handle alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.h"
#include "core/base/unique_fd.h"

namespace evenfs::local {

// A file handle within a buffer. No bytes: none.
struct HandleView {
  std::int32_t type = 0;
  std::span<const std::uint8_t> bytes{};
};

// One event. The handles and names stand in the buffer.
struct SourceEvent {
  struct Name {
    HandleView dir;
    std::string_view name;
  };
  // What an event says. Several may be merged into one, if they are the same process's.
  enum : unsigned {
    kMade = 1,     // names[0] appeared.
    kRemoved = 2,  // names[0] went.
    kMoved = 4,    // names[0] became names[1]; either may be missing.
    kContent = 8,
    kAttributes = 16,
    kLost = 32,  // Events were lost, and there is nothing else.
  };
  unsigned what = 0;
  std::int32_t pid = 0;  // Of the process; 0 if it is not to be seen from here.
  HandleView object;     // What was changed, made, removed or moved.
  Name names[2];         // For the first three.
};

// The events in what was read at once. The kernel is believed, and bounds are checked all the same.
class SourceEvents {
 public:
  explicit SourceEvents(std::span<const std::byte> buffer) noexcept : left_(buffer) {}
  // False at the end. What cannot be read is an event that says kLost, and the last.
  bool next(SourceEvent& event) noexcept;

 private:
  bool parse(SourceEvent& event) noexcept;

  std::span<const std::byte> left_;
};

// A descriptor from which the changes of what is marked for it are read, without waiting. Errors: EPERM without
// CAP_SYS_ADMIN before Linux 5.13, or where system calls are filtered; EINVAL before Linux 5.17; EMFILE for
// more than fs.fanotify.max_user_groups, or than there may be descriptors; ENOSYS, ENOMEM.
Result<UniqueFd> open_events() noexcept;

// Marks the whole file system of `dir`. Errors: EPERM without CAP_SYS_ADMIN; ENODEV, EXDEV, EOPNOTSUPP where
// the file system cannot be watched; ENOSPC, ENOMEM.
Status mark_file_system(int events, int dir) noexcept;

// Marks one directory: for its own attributes, for its names, and for what is done to an object by a name
// in it. `dir` may be an O_PATH descriptor. Takes no privilege. To mark it once more changes nothing. Errors:
// EACCES without the right to read and search it; ENOSPC for more than fs.fanotify.max_user_marks; the rest as
// above.
Status mark_directory(int events, int dir) noexcept;
void unmark_directory(int events, int dir) noexcept;

// Nothing is told of writes to one file, cuts among them, until heed_writes(); what else happens to it is
// told as before, also that one who could write has closed it. The kernel keeps the inode in memory meanwhile.
// Errors: EBADF for an O_PATH descriptor; the rest as above.
Status ignore_writes(int events, int file) noexcept;
// REQUIRES: no directory is marked for `events`. Who ignored nothing, or a file that is gone: nothing to do.
void heed_writes(int events, int file) noexcept;

}  // namespace evenfs::local
