// SPDX-License-Identifier: LGPL-2.1-or-later
// Listing directories. The offset that the kernel passes back is the store's own cookie, so a
// listing continues where it stopped even when names come and go meanwhile.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "fusefs/atime.h"
#include "fusefs/handlers.h"
#include "fusefs/kept.h"

namespace evenfs {
namespace {

// Lets the kernel keep the listing, and use the one it has if that is still right. It drops it too whenever it
// changes the directory itself, or finds another mtime at the start of a listing.
void set_listing_kept(Request& r, fuse_file_info& fi, const OpenDirectory& open) {
  if (!r.fs.keeps_listings) return;
  const Result<Attr> now = open.directory->getattr();
  if (!now) return;
  const Kept kept = kept_content(r, open.id, *now);
  fi.cache_readdir = kept != Kept::kNothing ? 1 : 0;
  fi.keep_cache = kept == Kept::kAsBefore ? 1 : 0;
}

void opendir(Request& r, fuse_ino_t ino, fuse_file_info* fi) {
  const NodeId id = r.id(ino);
  auto open = std::make_unique<OpenDirectory>();
  {
    const Result<Cache::Pin> pin = r.fs.cache.pin(id);
    if (!pin) return r.reply.error(pin.error());
    Result<std::unique_ptr<Directory>> directory = r.fs.store.opendir(pin->node());
    if (!directory) return r.reply.error(by_id(directory.error()));
    open->id = id;
    open->directory = std::move(*directory);
  }
  set_listing_kept(r, *fi, *open);
  fi->fh = r.fs.directories.add(std::move(open));
  const std::uint64_t number = fi->fh;
  if (!r.reply.open(*fi)) r.fs.directories.remove(number);
}

// A listing under construction: entries are appended until one does not fit.
class Listing {
 public:
  Listing(Request& r, NodeId dir, std::size_t size, bool plus)
      : r_(r), dir_(dir), room_(r.room(std::min(size, kAnswerBytesMax))), plus_(plus) {
    // All that it will ever hold, so that nothing is counted that memory then fails to remember.
    if (plus) counted_.reserve(room_.size() / kPlusEntryMin + 1);
  }

  bool empty() const { return used_ == 0; }

  // Entries that nobody received are given back.
  ~Listing() {
    for (const NodeId id : counted_) r_.fs.cache.forget(r_.me, id, 1);
  }
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;

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
    st.st_ino = entry.ino;
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
    param = r_.entry_param(*found);
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
  const std::span<std::byte> room_;
  std::size_t used_ = 0;
  const bool plus_;
  std::vector<NodeId> counted_;
  std::array<char, 1024> name_;  // The protocol allows names of up to 1024 bytes.
};

void list(Request& r, fuse_ino_t ino, std::size_t size, off_t offset, const fuse_file_info* fi,
          bool plus) {
  const NodeId id = r.id(ino);
  OpenDirectory& open = OpenTable<OpenDirectory>::at(fi->fh);
  Listing listing(r, id, size, plus);
  Status status;
  {
    const AtimeSection atime(r, id);
    std::lock_guard lock(open.mutex);
    status = open.directory->read(static_cast<std::uint64_t>(offset),
                                  [&](const DirEntry& entry) { return listing.add(entry); });
  }
  // What was listed before an error is delivered; the error comes back with the next call.
  if (!status && listing.empty()) return r.reply.error(by_id(status.error()));
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
    status = open.directory->fsync(data_only != 0);
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
