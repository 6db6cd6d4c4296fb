// SPDX-License-Identifier: LGPL-2.1-or-later
// ioctl: the file attributes that chattr(1) and xfs_io(8) show and set, and the generation. The kernel
// has checked that the caller owns the file and, for the immutable and append-only flags, that he may
// (its fileattr_set_prepare). What else there is goes by the file on the source, which is not the one
// that the program has open: ENOTTY, as from a file system that has no such request.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fusefs/handlers.h"
#include "fusefs/open_directory.h"
#include "fusefs/request.h"

namespace evenfs {
namespace {

struct Command {
  unsigned number;
  std::size_t size;  // Bytes, of what is read or set.
  bool sets;
};

// The two for flags, and that for the generation, are declared with `long`, and have always been an `int`.
constexpr std::array kCommands = {
    Command{static_cast<unsigned>(FS_IOC_GETFLAGS), sizeof(int), false},
    Command{static_cast<unsigned>(FS_IOC_SETFLAGS), sizeof(int), true},
    Command{static_cast<unsigned>(FS_IOC_GETVERSION), sizeof(int), false},
    Command{static_cast<unsigned>(FS_IOC_FSGETXATTR), sizeof(fsxattr), false},
    Command{static_cast<unsigned>(FS_IOC_FSSETXATTR), sizeof(fsxattr), true},
};
using Argument = std::array<std::byte, sizeof(fsxattr)>;

Result<int> descriptor_of(Request& r, const fuse_file_info* fi, unsigned flags) {
  if ((flags & FUSE_IOCTL_DIR) == 0) return OpenTable<OpenFile>::at(fi->fh).file->fd();
  OpenDirectory& open = OpenTable<OpenDirectory>::at(fi->fh);
  const std::lock_guard lock(open.mutex);
  const Status opened = open_on_source(r, open);
  if (!opened) return opened.error();
  return open.directory->fd();
}

Status call(int fd, const Command& command, Argument& argument) {
  if (fd < 0) return Errno(ENOTTY);
  if (::ioctl(fd, command.number, argument.data()) < 0) return Errno::last();
  return Status();
}

Status set(Request& r, fuse_ino_t ino, int fd, const Command& command, Argument& argument,
           bool of_directory) {
  const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), Fields::kStat);
  if (!change) return change.error();
  const Status done = call(fd, command, argument);
  // Names may be equal from now on that differ in case.
  if (of_directory) r.fs.cache.invalidate(r.id(ino));
  r.outdate_in_kernel(ino);  // The time of change has moved.
  return done;
}

void ioctl(Request& r, fuse_ino_t ino, unsigned number, void* /*argument*/, fuse_file_info* fi,
           unsigned flags, const void* in, std::size_t in_size, std::size_t out_size) {
  const auto command = std::ranges::find(kCommands, number, &Command::number);
  if (command == kCommands.end()) return r.reply.error(Errno(ENOTTY));
  if (command->sets && in_size < command->size) return r.reply.error(Errno(EINVAL));
  Argument argument{};
  if (command->sets) std::memcpy(argument.data(), in, command->size);
  const Result<int> fd = descriptor_of(r, fi, flags);
  if (!fd) return r.reply.error(fd.error());
  const Status done = command->sets
                          ? set(r, ino, *fd, *command, argument, (flags & FUSE_IOCTL_DIR) != 0)
                          : call(*fd, *command, argument);
  if (!done) return r.reply.error(done.error());
  r.reply.ioctl(std::span(argument).first(command->sets ? 0 : std::min(out_size, command->size)));
}

}  // namespace

void add_ioctl_handlers(fuse_lowlevel_ops& ops) { ops.ioctl = op<opcode("ioctl"), ioctl>; }

}  // namespace evenfs
