// SPDX-License-Identifier: LGPL-2.1-or-later
// Names: making, linking, renaming and removing them. The permission was checked by the kernel
// (default_permissions).
#include "fusefs/handlers.h"
#include "fusefs/request.h"

namespace evenfs {
namespace {

// Answers an error and returns nothing if `name` is not one that a directory can hold.
std::optional<NameRef> checked(Request& r, const char* name) {
  Result<NameRef> ref = NameRef::make(name);
  if (ref) return *ref;
  r.reply.error(ref.error());
  return std::nullopt;
}

void mknod(Request& r, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  const auto ref = checked(r, name);
  if (!ref) return;
  r.reply_entry(r.fs.cache.mknod(r.me, r.id(parent), *ref, mode, rdev, r.maker()), parent);
}

void mkdir(Request& r, fuse_ino_t parent, const char* name, mode_t mode) {
  const auto ref = checked(r, name);
  if (!ref) return;
  r.reply_entry(r.fs.cache.mkdir(r.me, r.id(parent), *ref, mode, r.maker()), parent);
}

void symlink(Request& r, const char* target, fuse_ino_t parent, const char* name) {
  const auto ref = checked(r, name);
  if (!ref) return;
  r.reply_entry(r.fs.cache.symlink(r.me, r.id(parent), *ref, target, r.maker()), parent);
}

void link(Request& r, fuse_ino_t ino, fuse_ino_t new_parent, const char* new_name) {
  const auto ref = checked(r, new_name);
  if (!ref) return;
  const Result<Entry> linked = r.fs.cache.link(r.me, r.id(ino), r.id(new_parent), *ref);
  if (!linked) return r.reply.error(linked.error());
  fuse_entry_param param = r.entry_param(*linked, new_parent);
  param.attr_timeout = r.changed_timeout(linked->id, param.ino, linked->attr);
  r.reply_entry(param, linked->id);
}

void unlink(Request& r, fuse_ino_t parent, const char* name) {
  const auto ref = checked(r, name);
  if (!ref) return;
  r.reply.status(r.fs.cache.unlink(r.me, r.id(parent), *ref));
}

void rmdir(Request& r, fuse_ino_t parent, const char* name) {
  const auto ref = checked(r, name);
  if (!ref) return;
  r.reply.status(r.fs.cache.rmdir(r.me, r.id(parent), *ref));
}

std::optional<RenameMode> rename_mode(unsigned flags) {
  for (const RenameMode mode : {RenameMode::kReplace, RenameMode::kNoReplace, RenameMode::kExchange,
                                RenameMode::kWhiteout, RenameMode::kNoReplaceWhiteout}) {
    if (flags == static_cast<unsigned>(mode)) return mode;
  }
  return std::nullopt;
}

void rename(Request& r, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  const auto mode = rename_mode(flags);
  if (!mode) return r.reply.error(Errno(EINVAL));
  const auto from = checked(r, name);
  if (!from) return;
  const auto to = checked(r, new_name);
  if (!to) return;
  // Only a whiteout has an owner; to find the caller's groups costs the reading of a file.
  const Cred cred = (flags & RENAME_WHITEOUT) != 0 ? r.cred() : r.maker();
  const Status done =
      r.fs.cache.rename(r.me, r.id(parent), *from, r.id(new_parent), *to, *mode, cred);
  if (!done && (flags & RENAME_WHITEOUT) != 0) {
    // ext4 has put the whiteout there and taken it away again, and the directory has a new time.
    r.outdate_in_kernel(parent);
    r.outdate_in_kernel(new_parent);
  }
  r.reply.status(done);
}

}  // namespace

void add_namespace_handlers(fuse_lowlevel_ops& ops) {
  ops.mknod = op<opcode("mknod"), mknod>;
  ops.mkdir = op<opcode("mkdir"), mkdir>;
  ops.symlink = op<opcode("symlink"), symlink>;
  ops.link = op<opcode("link"), link>;
  ops.unlink = op<opcode("unlink"), unlink>;
  ops.rmdir = op<opcode("rmdir"), rmdir>;
  ops.rename = op<opcode("rename"), rename>;
}

}  // namespace evenfs
