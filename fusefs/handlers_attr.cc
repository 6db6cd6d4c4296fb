// SPDX-License-Identifier: LGPL-2.1-or-later
// Attributes: getattr, statx, setattr, access, statfs, and readlink, which is one more thing that
// an inode says of itself.
#include <fcntl.h>
#include <sys/stat.h>

#include "fusefs/atime.h"
#include "fusefs/handlers.h"
#include "fusefs/request.h"
#include "fusefs/set_id.h"

namespace evenfs {
namespace {

// The open file that came with the request, if one did.
File* file_of(const fuse_file_info* fi) {
  return fi == nullptr ? nullptr : OpenTable<OpenFile>::at(fi->fh).file.get();
}

void getattr(Request& r, fuse_ino_t ino, fuse_file_info* fi) {
  const NodeId id = r.id(ino);
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, file_of(fi));
  attr ? r.reply.attr(*attr, r.attr_timeout(id, ino, *attr))
       : r.reply.error(r.gone(id, attr.error()));
}

// The kernel sends STATX instead of GETATTR when somebody wants to know the time of birth.
void statx(Request& r, fuse_ino_t ino, int flags, int /*mask*/, fuse_file_info* fi) {
  const NodeId id = r.id(ino);
  if ((flags & AT_STATX_FORCE_SYNC) != 0) r.fs.cache.invalidate(id);
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, file_of(fi));
  attr ? r.reply.statx(*attr, r.attr_timeout(id, ino, *attr))
       : r.reply.error(r.gone(id, attr.error()));
}

SetAttr::Time time_of(bool now, const timespec& at) {
  return {now, {at.tv_sec, static_cast<std::uint32_t>(at.tv_nsec)}};
}

SetAttr to_change(const struct stat& attr, int to_set) {
  const auto has = [to_set](int flag) { return (to_set & flag) != 0; };
  SetAttr change;
  if (has(FUSE_SET_ATTR_MODE)) change.mode = attr.st_mode & 07777;
  if (has(FUSE_SET_ATTR_UID)) change.uid = attr.st_uid;
  if (has(FUSE_SET_ATTR_GID)) change.gid = attr.st_gid;
  if (has(FUSE_SET_ATTR_SIZE)) change.size = static_cast<std::uint64_t>(attr.st_size);
  if (has(FUSE_SET_ATTR_ATIME)) {
    change.atime = time_of(has(FUSE_SET_ATTR_ATIME_NOW), attr.st_atim);
  }
  if (has(FUSE_SET_ATTR_MTIME)) {
    change.mtime = time_of(has(FUSE_SET_ATTR_MTIME_NOW), attr.st_mtim);
  }
  return change;
}

void setattr(Request& r, fuse_ino_t ino, struct stat* attr, int to_set, fuse_file_info* fi) {
  const bool lacks_fsetid = (to_set & FUSE_SET_ATTR_KILL_SUID) != 0;
  const NodeId id = r.id(ino);
  const Result<Attr> now =
      set_attributes(r, id, to_change(*attr, to_set), file_of(fi), lacks_fsetid);
  if (!now) return r.reply.error(r.gone(id, now.error()));
  r.reply.attr(*now, r.changed_timeout(id, ino, *now));
}

// Not asked while the kernel checks permissions itself (default_permissions).
void access(Request& r, fuse_ino_t ino, int mask) {
  const NodeId id = r.id(ino);
  r.reply.status(r.gone(id, r.fs.cache.access(r.me, id, r.cred(), mask)));
}

// The cache knows the target, but only the source moves the access time: it is asked when that is due,
// by relatime's rule once a day.
Result<std::string> read_target(Request& r, NodeId id) {
  if (!AtimeSection::may_move(r, id)) return r.fs.cache.readlink(r.me, id);
  Result<std::string> target = Errno(EIO);
  {
    const Result<Cache::Change> reading = r.fs.cache.begin_change(id, Fields::kStat);
    if (!reading) return reading.error();
    target = r.fs.store.readlink(reading->node());
  }
  // Without attributes the cache could not tell next time.
  (void)r.fs.cache.getattr(r.me, id, nullptr);
  return target;
}

void readlink(Request& r, fuse_ino_t ino) {
  const NodeId id = r.id(ino);
  const Result<std::string> target = read_target(r, id);
  target ? r.reply.link_target(target->c_str()) : r.reply.error(r.gone(id, target.error()));
}

void statfs(Request& r, fuse_ino_t ino) {
  const Result<Cache::Pin> pin = r.fs.cache.pin(r.id(ino));
  if (!pin) return r.reply.error(pin.error());
  const Result<struct statvfs> st = r.fs.store.statfs(pin->node());
  st ? r.reply.statfs(*st) : r.reply.error(r.gone(pin->id(), st.error()));
}

}  // namespace

void add_attr_handlers(fuse_lowlevel_ops& ops) {
  ops.getattr = op<opcode("getattr"), getattr>;
  ops.statx = op<opcode("statx"), statx>;
  ops.setattr = op<opcode("setattr"), setattr>;
  ops.access = op<opcode("access"), access>;
  ops.readlink = op<opcode("readlink"), readlink>;
  ops.statfs = op<opcode("statfs"), statfs>;
}

}  // namespace evenfs
