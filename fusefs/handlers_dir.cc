// SPDX-License-Identifier: LGPL-2.1-or-later
// Listing directories. The offset that the kernel passes back is the store's own cookie, so a
// listing continues where it stopped even when names come and go meanwhile.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "fusefs/atime.h"
#include "fusefs/handlers.h"
#include "fusefs/open_directory.h"

namespace evenfs {
namespace {

void opendir(Request& r, fuse_ino_t ino, fuse_file_info* fi) {
  const NodeId id = r.id(ino);
  auto open = std::make_unique<OpenDirectory>();
  open->id = id;
  open->flags = fi->flags & O_NOATIME;
  const Result<Cache::Pin> pin = r.fs.cache.pin(id);
  if (!pin) return r.reply.error(pin.error());
  open->roll_call = r.fs.cache.begin_roll_call(id);
  if (!kept_names_may_do(r, id)) {
    const Status opened = open_on_source(r, *open);
    if (!opened) return r.reply.error(opened.error());
  }
  set_listing_kept(r, *fi, *open);
  fi->fh = r.fs.directories.add(std::move(open));
  const std::uint64_t number = fi->fh;
  if (!r.reply.open(*fi)) r.fs.directories.remove(number);
}

// A listing under construction: entries are appended until one does not fit.
class ListingReply {
 public:
  // `device`: the directory's.
  ListingReply(Request& r, NodeId dir, fuse_ino_t number, std::uint64_t device, std::size_t size,
               bool plus)
      : r_(r),
        dir_(dir),
        number_(number),
        device_(device),
        room_(r.room(std::min(size, kAnswerBytesMax))),
        plus_(plus) {
    // All that it will ever hold, so that nothing is counted that memory then fails to remember.
    if (plus) counted_.reserve(room_.size() / kPlusEntryMin + 1);
  }

  bool empty() const { return used_ == 0; }

  // Entries that nobody received are given back.
  ~ListingReply() {
    for (const NodeId id : counted_) r_.fs.cache.forget(r_.me, id, 1);
  }
  ListingReply(const ListingReply&) = delete;
  ListingReply& operator=(const ListingReply&) = delete;

  // Answers with the listing.
  void send() {
    if (r_.reply.bytes(room_.first(used_))) counted_.clear();
  }

  bool add(const DirEntry& entry) {
    // DirEntry::name is not followed by a zero byte, and libfuse wants one.
    if (entry.name.size() >= name_.size()) return true;  // No name of ours: left out.
    std::memcpy(name_.data(), entry.name.data(), entry.name.size());
    name_[entry.name.size()] = '\0';
    return plus_ ? add_plus(entry) : add_plain(entry);
  }

 private:
  static constexpr std::size_t kPlusEntryMin = 128;  // Bytes; the fixed part alone is more.

  struct stat dirent_stat(const DirEntry& entry) const {
    struct stat st {};
    st.st_ino = r_.fs.numbers->of(device_, entry.ino);
    st.st_mode = entry.type;
    return st;
  }

  bool add_plain(const DirEntry& entry) {
    const struct stat st = dirent_stat(entry);
    return take(fuse_add_direntry(r_.req, place(), left(), name_.data(), &st,
                                  static_cast<off_t>(entry.next)));
  }

  bool add_plus(const DirEntry& entry) {
    // An entry without a number tells the kernel nothing but name and type, and is not counted.
    fuse_entry_param param{};
    param.attr = dirent_stat(entry);
    const NodeId counted = look_up(entry, param);
    if (take(fuse_add_direntry_plus(r_.req, place(), left(), name_.data(), &param,
                                    static_cast<off_t>(entry.next)))) {
      if (counted != NodeId()) counted_.push_back(counted);
      return true;
    }
    if (counted != NodeId()) r_.fs.cache.forget(r_.me, counted, 1);
    return false;
  }

  // Fills `param` from the cache and returns the id that was counted, if one was.
  NodeId look_up(const DirEntry& entry, fuse_entry_param& param) {
    // "." and ".." cannot be made into a NameRef: the kernel does not want to be told of them.
    const Result<NameRef> name = NameRef::make(entry.name);
    if (!name) return NodeId();
    const Result<Entry> found = r_.fs.cache.lookup(r_.me, dir_, *name);
    if (!found) return NodeId();  // Gone since, or not ours to see: the name alone must do.
    param = r_.entry_param(*found, number_);
    return found->id;
  }

  char* place() const { return reinterpret_cast<char*>(room_.data()) + used_; }
  std::size_t left() const { return room_.size() - used_; }
  bool take(std::size_t needed) {
    if (needed > left()) return false;
    used_ += needed;
    return true;
  }

  Request& r_;
  const NodeId dir_;
  const fuse_ino_t number_;
  const std::uint64_t device_;
  const std::span<std::byte> room_;
  std::size_t used_ = 0;
  const bool plus_;
  std::vector<NodeId> counted_;
  std::array<char, 1024> name_;  // The protocol allows names of up to 1024 bytes.
};

// What a listing that reaches the end finds out: whether all names of the directory have dentries. READDIRPLUS
// makes them; READDIR only looks, up to the first that has none.
class RollCaller {
 public:
  // Within the directory's mutex.
  RollCaller(Request& r, OpenDirectory& open, std::uint64_t offset) noexcept : r_(r), open_(open) {
    if (offset != open.roll_call_at) give_up();
  }

  // An entry was listed.
  void note(const DirEntry& entry) {
    open_.roll_call_at = entry.next;
    if (!open_.roll_call.is_of_use()) return;
    // "." and ".." are no names, nor is what nobody can ask for.
    const Result<NameRef> name = NameRef::make(entry.name);
    if (name && !r_.fs.cache.has_name(open_.id, *name)) give_up();
  }

  // Behind the last one. Names that were read from the source are kept.
  void end() {
    ListingLease lease = open_.under_way.lease();
    r_.fs.cache.end_roll_call(r_.me, open_.roll_call, lease);
    give_up();
    r_.fs.cache.keep_listing(lease, open_.under_way.finish());
  }

 private:
  void give_up() noexcept { open_.roll_call = {}; }

  Request& r_;
  OpenDirectory& open_;
};

void list(Request& r, fuse_ino_t ino, std::size_t size, off_t offset, const fuse_file_info* fi,
          bool plus) {
  const NodeId id = r.id(ino);
  OpenDirectory& open = OpenTable<OpenDirectory>::at(fi->fh);
  // By the id that was opened: a number may be anybody's.
  ListingReply listing(r, id, ino, r.fs.cache.device_of(open.id), size, plus);
  Status status;
  {
    std::lock_guard lock(open.mutex);
    RollCaller roll_caller(r, open, static_cast<std::uint64_t>(offset));
    bool is_full = false;
    status = read_names(r, open, static_cast<std::uint64_t>(offset), [&](const DirEntry& entry) {
      is_full = !listing.add(entry);
      if (!is_full) roll_caller.note(entry);
      return !is_full;
    });
    if (status && !is_full) roll_caller.end();
  }
  // What was listed before an error is delivered; the error comes back with the next call.
  if (!status && listing.empty()) return r.reply.error(r.gone(id, status.error()));
  listing.send();
}

void readdir(Request& r, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* fi) {
  list(r, ino, size, offset, fi, false);
}

void readdirplus(Request& r, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* fi) {
  list(r, ino, size, offset, fi, true);
}

void releasedir(Request& r, fuse_ino_t /*ino*/, fuse_file_info* fi) {
  r.fs.directories.remove(fi->fh);
  r.reply.ok();
}

void fsyncdir(Request& r, fuse_ino_t /*ino*/, int data_only, fuse_file_info* fi) {
  OpenDirectory& open = OpenTable<OpenDirectory>::at(fi->fh);
  Status status;
  {
    std::lock_guard lock(open.mutex);
    status = open_on_source(r, open);
    if (status) status = open.directory->fsync(data_only != 0);
  }
  r.reply.status(status);
}

}  // namespace

void add_dir_handlers(fuse_lowlevel_ops& ops) {
  ops.opendir = op<opcode("opendir"), opendir>;
  ops.readdir = op<opcode("readdir"), readdir>;
  ops.readdirplus = op<opcode("readdirplus"), readdirplus>;
  ops.releasedir = op<opcode("releasedir"), releasedir>;
  ops.fsyncdir = op<opcode("fsyncdir"), fsyncdir>;
}

}  // namespace evenfs
