// SPDX-License-Identifier: LGPL-2.1-or-later
// Open files: open, create, read, write and what else goes through a descriptor.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include "fusefs/atime.h"
#include "fusefs/handlers.h"
#include "fusefs/kept.h"
#include "fusefs/set_id.h"

namespace evenfs {
namespace {

OpenFile& file_at(const fuse_file_info* fi) { return OpenTable<OpenFile>::at(fi->fh); }

// The flags for the file on the source.
//   O_APPEND  goes: the kernel sends offsets, and pages that were written through a mapping come
//             back by any open file of the inode; appending those would corrupt it.
//   O_DIRECT  goes: our buffers need not meet the source's alignment. The kernel keeps its own
//             page cache out of the way of such a file without our help.
//   The rest that goes has been dealt with before the request was sent. O_SYNC and O_DSYNC stay:
//   they are promises about the source's disk.
int backing_flags(int flags) {
  return flags & ~(O_APPEND | O_DIRECT | O_CREAT | O_EXCL | O_NOCTTY | O_NOFOLLOW | O_DIRECTORY);
}

// Whether the kernel may keep the pages of the open before.
bool keeps_pages(Request& r, NodeId id, File& file) {
  const Result<Cache::Pin> held = r.fs.cache.pin(id);
  if (!held) return false;
  const Result<Attr> now = r.fs.store.getattr(held->node(), &file);
  return now && kept_content(r, id, *now) == Kept::kAsBefore;
}

// Lets the kernel read and write the source's file by itself, where it can.
Status pass_through(Request& r, OpenFile& open, int flags) {
  if (r.fs.backing == nullptr || !r.fs.backing->on()) return Status();
  const int access = flags & O_ACCMODE;
  // What cannot be read cannot be mapped.
  const auto what = access == O_RDONLY   ? Cache::Unseen::kReads
                    : access == O_WRONLY ? Cache::Unseen::kWrites
                                         : Cache::Unseen::kMaps;
  // First, so that nothing of before is served when the first read or write comes.
  if (access != O_RDONLY || r.fs.store.caps().atime_rule != AtimeRule::kNever) {
    Result<Cache::Bypass> begun = r.fs.cache.begin_bypass(open.id, what);
    if (!begun) return begun.error();
    open.bypass.emplace(std::move(*begun));
  }
  Result<BackingTable::Use> use = r.fs.backing->open(open.id, open.file->fd(), access != O_RDONLY);
  if (!use) return use.error();
  open.backing = std::move(*use);
  if (open.backing.backing_id() == 0) open.bypass.reset();
  return Status();
}

// How the kernel treats its pages of this open file. Unless they are known to be good the pages of an
// earlier open are dropped, so a program that opens a file sees what others wrote to the source
// before. Within one open AUTO_INVAL_DATA drops them when size or mtime are seen to change. That is too late
// for who has to see each change: of several askers only who is answered first makes the kernel take the
// answer, and he may have asked before the change; and mtime is set before the content is. Such reads all
// come to us.
void set_open_reply(Request& r, fuse_file_info& fi, std::uint64_t number, bool keep_pages) {
  fi.fh = number;
  fi.backing_id = file_at(&fi).backing.backing_id();
  fi.keep_cache = keep_pages ? 1 : 0;
  fi.direct_io = fi.backing_id == 0 && r.fs.always_asks ? 1 : 0;
  // A file of a local disk has nothing to say when it is closed, and pages of ours there are none.
  fi.noflush = fi.backing_id != 0 && !r.fs.store.caps().may_be_slow ? 1 : 0;
  // Writes are at given offsets, so those that O_DIRECT does not cache need not wait for each
  // other. The kernel still serialises those that extend the file. Where all are direct a mapping would have
  // to wait for them, with a lock that they need when what they write is not in memory yet.
  fi.parallel_direct_writes = fi.direct_io == 0 ? 1 : 0;
}

void open(Request& r, fuse_ino_t ino, fuse_file_info* fi) {
  const NodeId id = r.id(ino);
  auto open = std::make_unique<OpenFile>();
  const int flags = backing_flags(fi->flags);
  Result<std::unique_ptr<File>> file = r.fs.cache.open(r.me, id, flags);
  if (!file && file.error() == Errno(EPERM) && (fi->flags & O_APPEND) != 0) {
    // A file that may only be appended to (chattr +a) is opened in no other way.
    file = r.fs.cache.open(r.me, id, flags | O_APPEND);
    open->append_only = true;
  }
  if (!file) return r.reply.error(r.gone(id, file.error()));
  open->id = id;
  open->file = std::move(*file);
  if (const Status passed = pass_through(r, *open, fi->flags); !passed) {
    return r.reply.error(r.gone(id, passed.error()));
  }
  const bool through = open->backing.backing_id() != 0;
  const bool keep_pages = !through && keeps_pages(r, id, *open->file);
  // What it knows it may soon not notice to be outdated.
  if (through && r.kernel_cannot_tell(id)) r.outdate_in_kernel(ino);
  const std::uint64_t number = r.fs.files.add(std::move(open));
  set_open_reply(r, *fi, number, keep_pages);
  if (!r.reply.open(*fi)) r.fs.files.remove(number);
}

// Answers with a file that was just made: an entry, counted once, and an open file.
void reply_created(Request& r, fuse_ino_t dir, std::unique_ptr<OpenFile> open, Result<Opened> made,
                   fuse_file_info& fi) {
  if (!made) return r.reply.error(made.error());
  const NodeId id = made->entry.id;
  open->id = id;
  open->file = std::move(made->file);
  open->made = made->entry.attr;
  if (const Status passed = pass_through(r, *open, fi.flags); !passed) {
    r.fs.cache.forget(r.me, id, 1);
    return r.reply.error(passed.error());
  }
  const std::uint64_t number = r.fs.files.add(std::move(open));
  set_open_reply(r, fi, number, false);
  fuse_entry_param param = r.entry_param(made->entry, dir);
  // Somebody else may have made it, under another name too.
  param.attr_timeout = r.changed_timeout(id, param.ino, made->entry.attr);
  if (r.reply.create(param, fi)) return;
  r.fs.files.remove(number);
  r.fs.cache.forget(r.me, id, 1);
}

void create(Request& r, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
  const Result<NameRef> ref = NameRef::make(name);
  if (!ref) return r.reply.error(ref.error());
  // Allocated first: once the file is made, nothing may fail for want of memory.
  auto open = std::make_unique<OpenFile>();
  const int flags = backing_flags(fi->flags) | (fi->flags & O_EXCL);
  const auto make = [&](const Cred& cred) {
    return r.fs.cache.create(r.me, r.id(parent), *ref, mode, flags, cred);
  };
  // Groups matter only if somebody else has made the file meanwhile; to know them is expensive.
  Result<Opened> made = make(r.maker());
  if (!made && made.error() == Errno(EACCES)) made = make(r.cred());
  reply_created(r, parent, std::move(open), std::move(made), *fi);
}

void tmpfile(Request& r, fuse_ino_t parent, mode_t mode, fuse_file_info* fi) {
  auto open = std::make_unique<OpenFile>();
  // O_EXCL means here that no name may ever be given to the file.
  const int flags = (backing_flags(fi->flags) & ~O_TMPFILE) | (fi->flags & O_EXCL);
  reply_created(r, parent, std::move(open),
                r.fs.cache.tmpfile(r.me, r.id(parent), mode, flags, r.maker()), *fi);
}

// Into the thread's own buffer: one read and one write, where handing the descriptor to libfuse
// would add an allocation, and splicing several more system calls.
void read(Request& r, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* fi) {
  const OpenFile& open = file_at(fi);
  const std::span<std::byte> room = r.room(std::min(size, kAnswerBytesMax));
  const Result<std::size_t> got = [&] {
    const AtimeSection atime(r, r.id(ino));
    return open.file->read(room, static_cast<std::uint64_t>(offset));
  }();
  if (!got) return r.reply.error(got.error());
  r.reply.bytes(room.first(*got));
}

void write(Request& r, fuse_ino_t ino, const char* data, std::size_t size, off_t offset,
           fuse_file_info* fi) {
  const OpenFile& open = file_at(fi);
  // Pages that were written through a mapping have a place, which appending would not give them.
  if (open.append_only && fi->writepage != 0) return r.reply.error(Errno(EPERM));
  const WrittenBy by = fi->writepage != 0 ? WrittenBy::kMapping : WrittenBy::kCall;
  const Result<std::size_t> put = change_content(r, r.id(ino), *open.file, by, [&] {
    return open.file->write(std::as_bytes(std::span(data, size)),
                            static_cast<std::uint64_t>(offset));
  });
  put ? r.reply.written(*put) : r.reply.error(put.error());
}

void fallocate(Request& r, fuse_ino_t ino, int mode, off_t offset, off_t length,
               fuse_file_info* fi) {
  File& file = *file_at(fi).file;
  r.reply.status(change_content(r, r.id(ino), file, WrittenBy::kCall, [&] {
    return file.fallocate(mode, static_cast<std::uint64_t>(offset),
                          static_cast<std::uint64_t>(length));
  }));
}

void copy_file_range(Request& r, fuse_ino_t ino, off_t offset, fuse_file_info* fi,
                     fuse_ino_t to_ino, off_t to_offset, fuse_file_info* to_fi, std::size_t length,
                     int flags) {
  if (flags != 0) return r.reply.error(Errno(EINVAL));
  File& to = *file_at(to_fi).file;
  // The kernel knows that the second file changes, not that the first one is read.
  bool moves_atime = AtimeSection::may_move(r, r.id(ino));
  const Result<std::size_t> copied = [&] {
    const AtimeSection atime(r, r.id(ino));
    Result<std::size_t> done = change_content(r, r.id(to_ino), to, WrittenBy::kCall, [&] {
      return file_at(fi).file->copy_range(static_cast<std::uint64_t>(offset), to,
                                          static_cast<std::uint64_t>(to_offset), length);
    });
    moves_atime = moves_atime || AtimeSection::may_move(r, r.id(ino));
    return done;
  }();
  if (moves_atime) r.outdate_in_kernel(ino);
  copied ? r.reply.written(*copied) : r.reply.error(copied.error());
}

void lseek(Request& r, fuse_ino_t /*ino*/, off_t offset, int whence, fuse_file_info* fi) {
  // The kernel knows the size and answers the others itself.
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return r.reply.error(Errno(EINVAL));
  const Result<std::uint64_t> at =
      file_at(fi).file->lseek(static_cast<std::uint64_t>(offset), whence);
  at ? r.reply.offset(*at) : r.reply.error(at.error());
}

void flush(Request& r, fuse_ino_t /*ino*/, fuse_file_info* fi) {
  r.reply.status(file_at(fi).file->flush());
}

// To write data out is to find blocks for it, and st_blocks counts them.
void fsync(Request& r, fuse_ino_t ino, int data_only, fuse_file_info* fi) {
  Status done;
  {
    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), Fields::kStat);
    if (!change) return r.reply.error(change.error());
    done = file_at(fi).file->fsync(data_only != 0);
  }
  r.outdate_if_kept(ino);
  r.reply.status(done);
}

// Whether a file that was just made is as it was: nothing was written, so closing it changes nothing.
bool is_as_made(Request& r, const OpenFile& open) {
  if (!open.made) return false;
  const Result<Cache::Pin> held = r.fs.cache.pin(open.id);
  if (!held) return false;
  const Result<Attr> now = r.fs.store.getattr(held->node(), open.file.get());
  return now && *now == *open.made;
}

void release(Request& r, fuse_ino_t ino, fuse_file_info* fi) {
  const bool writable = (fi->flags & O_ACCMODE) != O_RDONLY;
  const bool as_made = writable && is_as_made(r, file_at(fi));
  {
    // To close a file that was written gives back blocks that were set aside for more of it.
    std::optional<Cache::Change> change;
    if (writable) {
      Result<Cache::Change> begun = r.fs.cache.begin_change(r.id(ino), Fields::kStat);
      if (begun) change.emplace(std::move(begun).value());
    }
    r.fs.files.remove(fi->fh);
  }
  if (writable && !as_made) r.outdate_if_kept(ino);
  r.reply.ok();
}

}  // namespace

void add_io_handlers(fuse_lowlevel_ops& ops) {
  ops.open = op<opcode("open"), open>;
  ops.create = op<opcode("create"), create>;
  ops.tmpfile = op<opcode("tmpfile"), tmpfile>;
  ops.read = op<opcode("read"), read>;
  ops.write = op<opcode("write"), write>;
  ops.fallocate = op<opcode("fallocate"), fallocate>;
  ops.copy_file_range = op<opcode("copy_file_range"), copy_file_range>;
  ops.lseek = op<opcode("lseek"), lseek>;
  ops.flush = op<opcode("flush"), flush>;
  ops.fsync = op<opcode("fsync"), fsync>;
  ops.release = op<opcode("release"), release>;
}

}  // namespace evenfs
