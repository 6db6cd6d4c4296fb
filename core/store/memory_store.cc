// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory store: objects, names and their lives. Renames are in memory_rename.cc, attributes in
// memory_attr.cc, open files in memory_file.cc.
#include "core/store/memory_store.h"

#include <sys/stat.h>

#include <ctime>
#include <utility>

#include "core/base/assert.h"

namespace evenfs {
namespace {

constexpr std::uint32_t kLinkMax = 65000;

StoreCaps caps_of(const MemoryStore::Options& options) {
  StoreCaps caps;
  caps.name = "memory";
  caps.has_acls = options.has_acls;
  caps.atime_rule = options.atime_rule;
  caps.has_handles = true;
  caps.switches_cred = true;
  caps.told_after_mkdir = options.by_directory;
  return caps;
}

}  // namespace

MemoryStore::MemoryStore(Options options) : options_(std::move(options)), caps_(caps_of(options_)) {
  MemoryInode nowhere;
  Cred cred;
  cred.uid = options_.root_uid;
  cred.gid = options_.root_gid;
  root_ = &new_inode(nowhere, S_IFDIR | (options_.root_mode & 07777U), cred);
  root_->attr.nlink = 2;
  root_->parent = root_;
}

MemoryStore::~MemoryStore() {
  inodes_.clear_and_dispose([](MemoryInode* inode) { delete inode; });
}

MemoryInode& MemoryStore::inode_of(const Node& node) noexcept {
  EVENFS_ASSERT(node.words[0] != 0);
  return *reinterpret_cast<MemoryInode*>(static_cast<std::uintptr_t>(node.words[0]));
}

Status MemoryStore::enter(std::string_view operation) const {
  return options_.before ? options_.before(operation) : Status();
}

std::uint64_t MemoryStore::objects() const {
  const Guard guard(mutex_);
  return inodes_.size();
}

std::uint64_t MemoryStore::references() const {
  const Guard guard(mutex_);
  std::uint64_t sum = 0;
  for (const MemoryInode& inode : inodes_) sum += inode.refs;
  return sum;
}

Timestamp MemoryStore::now() {
  if (options_.clock == Clock::kCounter) {
    ++clock_ms_;
    return Timestamp{static_cast<std::int64_t>(1'000'000 + clock_ms_ / 1000),
                     static_cast<std::uint32_t>(clock_ms_ % 1000 * 1'000'000)};
  }
  struct timespec ts {};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  return Timestamp{ts.tv_sec, static_cast<std::uint32_t>(ts.tv_nsec)};
}

void MemoryStore::touch(MemoryInode& inode, bool data) {
  inode.attr.ctime = now();
  if (data) inode.attr.mtime = inode.attr.ctime;
}

std::uint64_t MemoryStore::generation_of(const MemoryInode& inode) const noexcept {
  if (!options_.durable || &inode == root_) return inode.generation;
  return Identity::kDurable | inode.attr.ino << 32 | (inode.generation & 0xffff'ffffU);
}

Found MemoryStore::hand_out(MemoryInode& inode) {
  ++inode.refs;
  Found found;
  found.node.words[0] = reinterpret_cast<std::uintptr_t>(&inode);
  found.identity = Identity{inode.attr.dev, inode.attr.ino, generation_of(inode)};
  found.attr = inode.snapshot();
  return found;
}

void MemoryStore::unref(MemoryInode& inode) noexcept {
  EVENFS_CHECK(inode.refs > 0);
  --inode.refs;
  free_if_unused(inode);
}

void MemoryStore::free_if_unused(MemoryInode& inode) noexcept {
  if (inode.refs != 0 || inode.attr.nlink != 0) return;
  if (options_.reuse_inode_numbers) {
    free_numbers_.push_back(FreeNumber{inode.attr.ino, inode.generation + 1});
  }
  inodes_.erase_and_dispose(inodes_.iterator_to(inode), [](MemoryInode* dead) { delete dead; });
}

MemoryInode& MemoryStore::new_inode(const MemoryInode& dir, std::uint32_t mode, const Cred& cred) {
  auto owned = std::make_unique<MemoryInode>();
  Attr& attr = owned->attr;
  if (free_numbers_.empty()) {
    attr.ino = next_ino_++;
  } else {
    attr.ino = free_numbers_.back().ino;
    owned->generation = free_numbers_.back().generation;
    free_numbers_.pop_back();
  }
  attr.dev = options_.dev;
  attr.mode = S_ISLNK(mode) ? mode : mode & ~(cred.umask & 0777U);
  attr.uid = cred.uid;
  attr.gid = cred.gid;
  if ((dir.attr.mode & S_ISGID) != 0) {
    attr.gid = dir.attr.gid;
    if (S_ISDIR(mode)) attr.mode |= S_ISGID;
  }
  attr.atime = attr.mtime = attr.ctime = attr.btime = now();
  inodes_.push_back(*owned);
  return *owned.release();
}

Result<MemoryInode*> MemoryStore::child(MemoryInode& dir, std::string_view name) {
  if (!dir.is_dir()) return Errno(ENOTDIR);
  const auto at = dir.children.find(name);
  if (at == dir.children.end()) return Errno(ENOENT);
  return at->second.inode;
}

Status MemoryStore::may_create(const MemoryInode& dir, std::string_view name) const {
  if (!dir.is_dir()) return Errno(ENOTDIR);
  if (dir.children.find(name) != dir.children.end()) return Errno(EEXIST);
  if (dir.parent == nullptr) return Errno(ENOENT);
  return Status();
}

MemoryInode& MemoryStore::make(MemoryInode& dir, NameRef name, std::uint32_t mode,
                               const Cred& cred) {
  MemoryInode& made = new_inode(dir, mode, cred);
  made.attr.nlink = 1;
  if (made.is_dir()) {
    made.attr.nlink = 2;
    made.parent = &dir;
    ++dir.attr.nlink;
  }
  dir.add_child(name.view(), &made);
  touch(dir, true);
  return made;
}

Result<Found> MemoryStore::root() {
  if (const Status status = enter("root"); !status) return status.error();
  const Guard guard(mutex_);
  return hand_out(*root_);
}

void MemoryStore::release(const Node& node) noexcept {
  const Guard guard(mutex_);
  unref(inode_of(node));
}

Result<Found> MemoryStore::lookup(const Node& dir, NameRef name) {
  if (const Status status = enter("lookup"); !status) return status.error();
  const Guard guard(mutex_);
  const Result<MemoryInode*> found = child(inode_of(dir), name.view());
  if (!found) return found.error();
  return hand_out(**found);
}

Result<Found> MemoryStore::lookup_parent(const Node& dir) {
  if (const Status status = enter("lookup_parent"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(dir);
  if (!inode.is_dir()) return Errno(ENOTDIR);
  if (inode.parent == nullptr) return Errno(ESTALE);
  return hand_out(*inode.parent);
}

Result<Found> MemoryStore::find(std::uint64_t durable) {
  if (const Status status = enter("find"); !status) return status.error();
  const Guard guard(mutex_);
  for (MemoryInode& inode : inodes_) {
    if (generation_of(inode) == durable) return hand_out(inode);
  }
  return Errno(ESTALE);
}

Result<Found> MemoryStore::mknod(const Node& dir, NameRef name, std::uint32_t mode,
                                 std::uint64_t rdev, const Cred& cred) {
  if (const Status status = enter("mknod"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  if (S_ISDIR(mode)) return Errno(EPERM);
  if (S_ISLNK(mode)) return Errno(EINVAL);
  if (const Status status = may_create(parent, name.view()); !status) return status.error();
  MemoryInode& made = make(parent, name, mode, cred);
  if (S_ISCHR(mode) || S_ISBLK(mode)) made.attr.rdev = rdev;
  return hand_out(made);
}

Result<Found> MemoryStore::mkdir(const Node& dir, NameRef name, std::uint32_t mode,
                                 const Cred& cred) {
  if (const Status status = enter("mkdir"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  if (const Status status = may_create(parent, name.view()); !status) return status.error();
  return hand_out(make(parent, name, S_IFDIR | (mode & 07777U), cred));
}

Result<Found> MemoryStore::symlink(const Node& dir, NameRef name, const char* target,
                                   const Cred& cred) {
  if (const Status status = enter("symlink"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  const std::string_view to(target);
  if (to.empty()) return Errno(ENOENT);
  if (to.size() >= MemoryData::kPage) return Errno(ENAMETOOLONG);
  if (const Status status = may_create(parent, name.view()); !status) return status.error();
  MemoryInode& made = make(parent, name, S_IFLNK | 0777U, cred);
  made.target = to;
  return hand_out(made);
}

Result<Attr> MemoryStore::link(const Node& node, const Node& new_dir, NameRef new_name) {
  if (const Status status = enter("link"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  MemoryInode& parent = inode_of(new_dir);
  if (const Status status = may_create(parent, new_name.view()); !status) return status.error();
  if (inode.is_dir()) return Errno(EPERM);
  if (inode.attr.nlink == 0 && !inode.linkable) return Errno(ENOENT);
  if (inode.attr.nlink >= kLinkMax) return Errno(EMLINK);
  inode.linkable = false;
  ++inode.attr.nlink;
  inode.attr.untold = options_.by_directory && inode.attr.nlink != 1;
  parent.add_child(new_name.view(), &inode);
  touch(parent, true);
  touch(inode, false);
  return inode.snapshot();
}

void MemoryStore::drop_name(MemoryInode& dir, MemoryInode::Children::iterator at) {
  MemoryInode& gone = *at->second.inode;
  dir.remove_child(at);
  touch(dir, true);
  touch(gone, false);
  if (gone.is_dir()) {
    gone.attr.nlink = 0;
    gone.parent = nullptr;
    --dir.attr.nlink;
  } else {
    --gone.attr.nlink;
    gone.attr.untold = options_.by_directory && gone.attr.nlink != 1;
  }
  free_if_unused(gone);
}

Status MemoryStore::unlink(const Node& dir, NameRef name) {
  if (const Status status = enter("unlink"); !status) return status;
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  const Result<MemoryInode*> found = child(parent, name.view());
  if (!found) return found.error();
  if ((*found)->is_dir()) return Errno(EISDIR);
  drop_name(parent, parent.children.find(name.view()));
  return Status();
}

Status MemoryStore::rmdir(const Node& dir, NameRef name) {
  if (const Status status = enter("rmdir"); !status) return status;
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  const Result<MemoryInode*> found = child(parent, name.view());
  if (!found) return found.error();
  if (!(*found)->is_dir()) return Errno(ENOTDIR);
  if (!(*found)->children.empty()) return Errno(ENOTEMPTY);
  drop_name(parent, parent.children.find(name.view()));
  return Status();
}

}  // namespace evenfs
