// SPDX-License-Identifier: LGPL-2.1-or-later
// Open files and directories of the memory store. Each holds a reference to its object.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/store/memory_store.h"
#include "core/store/permission.h"

namespace evenfs {
namespace {

constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 43;      // Bytes in a file: 8 TiB.
constexpr std::uint64_t kAllocateMax = std::uint64_t{1} << 30;  // Bytes that fallocate backs.

}  // namespace

class MemoryFile final : public File {
 public:
  // The caller holds the store's mutex.
  MemoryFile(MemoryStore& store, MemoryInode& inode, int flags) noexcept
      : store_(store), inode_(inode), flags_(flags) {
    ++inode_.refs;
  }
  ~MemoryFile() override {
    const MemoryStore::Guard guard(store_.mutex_);
    store_.unref(inode_);
  }

  int fd() const noexcept override { return -1; }

  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) override {
    if (const Status status = store_.enter("read"); !status) return status.error();
    const MemoryStore::Guard guard(store_.mutex_);
    if (!readable()) return Errno(EBADF);
    return inode_.data.read(into, offset);
  }

  Result<std::size_t> write(std::span<const std::byte> from, std::uint64_t offset) override {
    if (const Status status = store_.enter("write"); !status) return status.error();
    const MemoryStore::Guard guard(store_.mutex_);
    if (!writable()) return Errno(EBADF);
    if ((flags_ & O_APPEND) != 0) offset = inode_.data.size();
    if (offset > kSizeMax || from.size() > kSizeMax - offset) return Errno(EFBIG);
    if (from.empty()) return std::size_t{0};
    inode_.data.write(from, offset);
    store_.touch(inode_, true);
    return from.size();
  }

  Status fsync(bool /*data_only*/) override { return store_.enter("fsync"); }
  Status flush() override { return store_.enter("flush"); }

  Status fallocate(int mode, std::uint64_t offset, std::uint64_t length) override {
    if (const Status status = store_.enter("fallocate"); !status) return status;
    const MemoryStore::Guard guard(store_.mutex_);
    if (!writable()) return Errno(EBADF);
    if (length == 0) return Errno(EINVAL);
    if (offset > kSizeMax || length > kSizeMax - offset) return Errno(EFBIG);
    const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    const int what = mode & ~FALLOC_FL_KEEP_SIZE;
    if (what == FALLOC_FL_PUNCH_HOLE && !keep_size) return Errno(EOPNOTSUPP);
    if (what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE) {
      return Errno(EOPNOTSUPP);
    }
    if (what == 0 && length > kAllocateMax) return Errno(ENOSPC);
    if (what != 0) inode_.data.punch(offset, length);
    if (what == 0) inode_.data.allocate(offset, length);
    if (!keep_size && offset + length > inode_.data.size()) inode_.data.truncate(offset + length);
    store_.touch(inode_, true);
    return Status();
  }

  Result<std::uint64_t> lseek(std::uint64_t offset, int whence) override {
    if (const Status status = store_.enter("lseek"); !status) return status.error();
    const MemoryStore::Guard guard(store_.mutex_);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return Errno(EINVAL);
    const std::uint64_t size = inode_.data.size();
    if (offset >= size) return Errno(ENXIO);
    if (whence == SEEK_HOLE) return inode_.data.next_hole(offset);
    const std::uint64_t at = inode_.data.next_data(offset);
    if (at >= size) return Errno(ENXIO);
    return at;
  }

  Result<std::size_t> copy_range(std::uint64_t offset, File& to, std::uint64_t to_offset,
                                 std::size_t length) override {
    if (to.fd() >= 0) return Errno(EXDEV);  // Not one of ours.
    std::vector<std::byte> bytes(std::min<std::size_t>(length, std::size_t{1} << 20));
    const Result<std::size_t> got = read(bytes, offset);
    if (!got) return got.error();
    return to.write(std::span(bytes).first(*got), to_offset);
  }

 private:
  bool readable() const noexcept { return (flags_ & O_ACCMODE) != O_WRONLY; }
  bool writable() const noexcept { return (flags_ & O_ACCMODE) != O_RDONLY; }

  MemoryStore& store_;
  MemoryInode& inode_;
  const int flags_;
};

class MemoryDirectory final : public Directory {
 public:
  MemoryDirectory(MemoryStore& store, MemoryInode& inode) noexcept : store_(store), inode_(inode) {
    ++inode_.refs;
  }
  ~MemoryDirectory() override {
    const MemoryStore::Guard guard(store_.mutex_);
    store_.unref(inode_);
  }

  int fd() const noexcept override { return -1; }
  Status fsync(bool /*data_only*/) override { return store_.enter("fsync"); }
  Result<Attr> getattr() override {
    if (const Status status = store_.enter("getattr"); !status) return status.error();
    const MemoryStore::Guard guard(store_.mutex_);
    return inode_.snapshot();
  }

  Status read(std::uint64_t cookie, const std::function<bool(const DirEntry&)>& visit) override {
    if (const Status status = store_.enter("readdir"); !status) return status;
    // One entry at a time under the mutex, so that `visit` may call the store.
    for (Listed entry; next(cookie, entry); cookie = entry.cookie) {
      if (!visit(DirEntry{entry.name, entry.ino, entry.type, entry.cookie})) break;
    }
    return Status();
  }

 private:
  struct Listed {
    std::string name;
    std::uint64_t ino = 0;
    std::uint32_t type = 0;
    std::uint64_t cookie = 0;
  };

  bool next(std::uint64_t behind, Listed& entry) {
    const MemoryStore::Guard guard(store_.mutex_);
    if (inode_.parent == nullptr) return false;  // Removed: not even "." is left, as on ext4.
    if (behind < 2) {
      entry = Listed{behind == 0 ? "." : "..",
                     behind == 0 ? inode_.attr.ino : inode_.parent->attr.ino, S_IFDIR, behind + 1};
      return true;
    }
    const auto at = inode_.by_cookie.upper_bound(behind);
    if (at == inode_.by_cookie.end()) return false;
    const MemoryInode& child = *at->second->second.inode;
    entry = Listed{at->second->first, child.attr.ino, child.attr.mode & S_IFMT, at->first};
    return true;
  }

  MemoryStore& store_;
  MemoryInode& inode_;
};

std::unique_ptr<File> MemoryStore::open_inode(MemoryInode& inode, int flags) {
  if ((flags & O_TRUNC) != 0) {
    inode.data.truncate(0);
    touch(inode, true);
  }
  return std::make_unique<MemoryFile>(*this, inode, flags);
}

Result<std::unique_ptr<File>> MemoryStore::open(const Node& node, int flags) {
  if (const Status status = enter("open"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  if (inode.is_dir()) return Errno(EISDIR);
  if (inode.is_symlink()) return Errno(ELOOP);
  if (!inode.is_regular()) return Errno(ENXIO);
  return open_inode(inode, flags);
}

Result<Created> MemoryStore::create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                                    const Cred& cred) {
  if (const Status status = enter("create"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  const Result<MemoryInode*> there = child(parent, name.view());
  if (there) {
    if ((flags & O_EXCL) != 0) return Errno(EEXIST);
    if ((*there)->is_dir()) return Errno(EISDIR);
    if ((*there)->is_symlink()) return Errno(ELOOP);
    if (!(*there)->is_regular()) return Errno(ENXIO);
    std::unique_ptr<File> file = open_inode(**there, flags);
    return Created{hand_out(**there), std::move(file)};
  }
  if (const Status status = may_create(parent, name.view()); !status) return status.error();
  MemoryInode& made = make(parent, name, S_IFREG | (mode & 07777U), cred);
  std::unique_ptr<File> file = open_inode(made, flags & ~O_TRUNC);
  return Created{hand_out(made), std::move(file)};
}

Result<Created> MemoryStore::tmpfile(const Node& dir, std::uint32_t mode, int flags,
                                     const Cred& cred) {
  if (const Status status = enter("tmpfile"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& parent = inode_of(dir);
  if (!parent.is_dir()) return Errno(ENOTDIR);
  if (parent.parent == nullptr) return Errno(ENOENT);
  if ((flags & O_ACCMODE) == O_RDONLY) return Errno(EINVAL);
  MemoryInode& made = new_inode(parent, S_IFREG | (mode & 07777U), cred);
  made.attr.nlink = 0;
  made.linkable = (flags & O_EXCL) == 0;
  std::unique_ptr<File> file = open_inode(made, flags & ~O_TRUNC);
  return Created{hand_out(made), std::move(file)};
}

Result<std::unique_ptr<Directory>> MemoryStore::opendir(const Node& node, int /*flags*/) {
  if (const Status status = enter("opendir"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  if (!inode.is_dir()) return Errno(ENOTDIR);
  return std::unique_ptr<Directory>(std::make_unique<MemoryDirectory>(*this, inode));
}

}  // namespace evenfs
