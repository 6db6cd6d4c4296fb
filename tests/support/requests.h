// SPDX-License-Identifier: LGPL-2.1-or-later
// One function for each kind of request, which makes the message as the kernel would: the normal form,
// for tests to send or to spoil.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/wire.h"

namespace evenfs::test::request {

inline Message lookup(std::uint64_t dir, std::string_view name) {
  return Message(FUSE_LOOKUP, dir).name(name);
}
inline Message forget(std::uint64_t node, std::uint64_t count) {
  return Message(FUSE_FORGET, node).add(fuse_forget_in{count});
}
// `claimed`: how many entries the message says it has.
inline Message batch_forget(const std::vector<fuse_forget_one>& forgets, std::uint32_t claimed) {
  Message message(FUSE_BATCH_FORGET, 0);
  message.add(fuse_batch_forget_in{claimed, 0});
  for (const fuse_forget_one& one : forgets) message.add(one);
  return message;
}
inline Message batch_forget(const std::vector<fuse_forget_one>& forgets) {
  return batch_forget(forgets, static_cast<std::uint32_t>(forgets.size()));
}

inline Message getattr(std::uint64_t node) {
  return Message(FUSE_GETATTR, node).add(fuse_getattr_in{});
}
inline Message getattr_of_file(std::uint64_t node, std::uint64_t fh) {
  return Message(FUSE_GETATTR, node).add(fuse_getattr_in{FUSE_GETATTR_FH, 0, fh});
}
inline Message statx(std::uint64_t node, std::uint32_t flags = 0) {
  StatxIn in;
  in.sx_flags = flags;
  in.sx_mask = STATX_BASIC_STATS;
  return Message(kOpStatx, node).add(in);
}
inline Message setattr(std::uint64_t node, const fuse_setattr_in& in) {
  return Message(FUSE_SETATTR, node).add(in);
}
inline Message chmod(std::uint64_t node, std::uint32_t mode) {
  fuse_setattr_in in{};
  in.valid = FATTR_MODE;
  in.mode = mode;
  return setattr(node, in);
}
inline Message truncate(std::uint64_t node, std::uint64_t size) {
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE;
  in.size = size;
  return setattr(node, in);
}
inline Message access(std::uint64_t node, std::uint32_t mask) {
  return Message(FUSE_ACCESS, node).add(fuse_access_in{mask, 0});
}
inline Message readlink(std::uint64_t node) { return Message(FUSE_READLINK, node); }
inline Message statfs(std::uint64_t node) { return Message(FUSE_STATFS, node); }

inline Message mknod(std::uint64_t dir, std::string_view name, std::uint32_t mode,
                     std::uint32_t rdev = 0) {
  return Message(FUSE_MKNOD, dir).add(fuse_mknod_in{mode, rdev, 022, 0}).name(name);
}
inline Message mkdir(std::uint64_t dir, std::string_view name, std::uint32_t mode = 0755) {
  return Message(FUSE_MKDIR, dir).add(fuse_mkdir_in{mode, 022}).name(name);
}
inline Message symlink(std::uint64_t dir, std::string_view name, std::string_view target) {
  return Message(FUSE_SYMLINK, dir).name(name).name(target);
}
inline Message link(std::uint64_t node, std::uint64_t dir, std::string_view name) {
  return Message(FUSE_LINK, dir).add(fuse_link_in{node}).name(name);
}
inline Message unlink(std::uint64_t dir, std::string_view name) {
  return Message(FUSE_UNLINK, dir).name(name);
}
inline Message rmdir(std::uint64_t dir, std::string_view name) {
  return Message(FUSE_RMDIR, dir).name(name);
}
inline Message rename(std::uint64_t dir, std::string_view name, std::uint64_t new_dir,
                      std::string_view new_name) {
  return Message(FUSE_RENAME, dir).add(fuse_rename_in{new_dir}).name(name).name(new_name);
}
inline Message rename2(std::uint64_t dir, std::string_view name, std::uint64_t new_dir,
                       std::string_view new_name, std::uint32_t flags) {
  const fuse_rename2_in in{new_dir, flags, 0};
  return Message(FUSE_RENAME2, dir).add(in).name(name).name(new_name);
}

inline Message create(std::uint64_t dir, std::string_view name, std::uint32_t flags = O_RDWR,
                      std::uint32_t mode = S_IFREG | 0644) {
  return Message(FUSE_CREATE, dir).add(fuse_create_in{flags, mode, 022, 0}).name(name);
}
// The kernel sends the name that it shows for the file; nobody looks at it.
inline Message tmpfile(std::uint64_t dir, std::uint32_t flags = O_RDWR | O_TMPFILE) {
  return Message(kOpTmpfile, dir).add(fuse_create_in{flags, S_IFREG | 0600, 022, 0}).name("#1");
}
inline Message open(std::uint64_t node, std::uint32_t flags) {
  return Message(FUSE_OPEN, node).add(fuse_open_in{flags, 0});
}
inline Message opendir(std::uint64_t node) {
  return Message(FUSE_OPENDIR, node).add(fuse_open_in{O_RDONLY | O_DIRECTORY, 0});
}
inline Message release(std::uint64_t node, std::uint64_t fh, std::uint32_t flags = O_RDWR) {
  return Message(FUSE_RELEASE, node).add(fuse_release_in{fh, flags, 0, 0});
}
inline Message releasedir(std::uint64_t node, std::uint64_t fh) {
  return Message(FUSE_RELEASEDIR, node).add(fuse_release_in{fh, O_RDONLY, 0, 0});
}
inline fuse_read_in read_in(std::uint64_t fh, std::uint64_t offset, std::uint32_t size) {
  fuse_read_in in{};
  in.fh = fh;
  in.offset = offset;
  in.size = size;
  return in;
}
inline Message read(std::uint64_t node, std::uint64_t fh, std::uint64_t offset,
                    std::uint32_t size) {
  return Message(FUSE_READ, node).add(read_in(fh, offset, size));
}
inline Message readdir(std::uint64_t node, std::uint64_t fh, std::uint64_t offset = 0,
                       std::uint32_t size = 4096) {
  return Message(FUSE_READDIR, node).add(read_in(fh, offset, size));
}
inline Message readdirplus(std::uint64_t node, std::uint64_t fh, std::uint64_t offset = 0,
                           std::uint32_t size = 4096) {
  return Message(FUSE_READDIRPLUS, node).add(read_in(fh, offset, size));
}
inline Message write(std::uint64_t node, std::uint64_t fh, std::uint64_t offset,
                     std::string_view bytes) {
  fuse_write_in in{};
  in.fh = fh;
  in.offset = offset;
  in.size = static_cast<std::uint32_t>(bytes.size());
  return Message(FUSE_WRITE, node).add(in).text(bytes);
}
// Pages of a mapping, which the kernel writes back whenever it likes.
inline Message write_back(std::uint64_t node, std::uint64_t fh, std::uint64_t offset,
                          std::string_view bytes) {
  fuse_write_in in{};
  in.fh = fh;
  in.offset = offset;
  in.size = static_cast<std::uint32_t>(bytes.size());
  in.write_flags = FUSE_WRITE_CACHE;
  return Message(FUSE_WRITE, node).add(in).text(bytes);
}
inline Message flush(std::uint64_t node, std::uint64_t fh) {
  return Message(FUSE_FLUSH, node).add(fuse_flush_in{fh, 0, 0, 0});
}
inline Message fsync(std::uint32_t opcode, std::uint64_t node, std::uint64_t fh) {
  return Message(opcode, node).add(fuse_fsync_in{fh, 0, 0});
}
inline Message fallocate(std::uint64_t node, std::uint64_t fh, std::uint64_t offset,
                         std::uint64_t length, std::uint32_t mode = 0) {
  return Message(FUSE_FALLOCATE, node).add(fuse_fallocate_in{fh, offset, length, mode, 0});
}
inline Message lseek(std::uint64_t node, std::uint64_t fh, std::uint64_t offset,
                     std::uint32_t whence) {
  return Message(FUSE_LSEEK, node).add(fuse_lseek_in{fh, offset, whence, 0});
}
inline Message copy_file_range(std::uint64_t node, std::uint64_t fh, std::uint64_t to_node,
                               std::uint64_t to_fh, std::uint64_t length) {
  return Message(FUSE_COPY_FILE_RANGE, node)
      .add(fuse_copy_file_range_in{fh, 0, to_node, to_fh, 0, length, 0});
}

// As it is sent where FUSE_SETXATTR_EXT was not agreed upon: without the second half.
inline Message setxattr(std::uint64_t node, std::string_view name, std::string_view value,
                        std::uint32_t flags = 0) {
  struct Short {
    std::uint32_t size;
    std::uint32_t flags;
  };
  return Message(FUSE_SETXATTR, node)
      .add(Short{static_cast<std::uint32_t>(value.size()), flags})
      .name(name)
      .text(value);
}
inline Message getxattr(std::uint64_t node, std::string_view name, std::uint32_t size) {
  return Message(FUSE_GETXATTR, node).add(fuse_getxattr_in{size, 0}).name(name);
}
inline Message listxattr(std::uint64_t node, std::uint32_t size) {
  return Message(FUSE_LISTXATTR, node).add(fuse_getxattr_in{size, 0});
}
inline Message removexattr(std::uint64_t node, std::string_view name) {
  return Message(FUSE_REMOVEXATTR, node).name(name);
}
inline Message ioctl(std::uint64_t node, std::uint64_t fh, std::uint32_t command,
                     std::string_view in, std::uint32_t out_size, std::uint32_t flags = 0) {
  const fuse_ioctl_in head{fh, flags, command, 0, static_cast<std::uint32_t>(in.size()), out_size};
  return Message(FUSE_IOCTL, node).add(head).text(in);
}

}  // namespace evenfs::test::request
