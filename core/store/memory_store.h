// SPDX-License-Identifier: LGPL-2.1-or-later
// MemoryStore: a file system in this process's memory, for tests and for measuring the cache
// without a disk. Deterministic: the same calls in the same order give the same inode numbers,
// cookies and, with Clock::kCounter, times.
//
// Threading: one mutex, so every call is one instant. Permissions are not enforced, but access()
// answers by the mode bits. Changing things "behind the cache's back" is calling the store.
//
// Limits: reading does not change atime; kWhiteout is EINVAL; there is no limit on space. Files
// and directories that are open, and Nodes, must not be used once the store is destroyed.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "core/store/memory_inode.h"
#include "core/store/store.h"

namespace evenfs {

class MemoryStore final : public Store {
 public:
  enum class Clock {
    kReal,     // The system's.
    kCounter,  // Every change is one millisecond after the one before, from second 1,000,000.
  };

  struct Options {
    Clock clock = Clock::kCounter;
    // Gives the number of a freed object to the next one; Identity::generation then differs.
    bool reuse_inode_numbers = false;
    std::uint64_t dev = 0x4d45;  // Reported as st_dev.
    std::uint32_t root_mode = 0755;
    std::uint32_t root_uid = 0;
    std::uint32_t root_gid = 0;
    bool has_acls = false;  // What caps() says; lists are kept, and mean nothing.
    AtimeRule atime_rule = AtimeRule::kNever;  // What caps() says; reading moves nothing.
    bool durable = false;  // Identity::generation is durable, for all but the root.
    // As where each directory is marked by itself: StoreCaps::told_after_mkdir, and what has other names is
    // Attr::untold.
    bool by_directory = false;
    // Called at the start of each operation with its name ("lookup", "rename", "write", ...),
    // with no lock held: a test may count, wait or change the tree here. An error that it
    // returns is the operation's answer.
    std::function<Status(std::string_view operation)> before = nullptr;
  };

  explicit MemoryStore(Options options);
  MemoryStore() : MemoryStore(Options()) {}
  ~MemoryStore() override;
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  // Objects that exist: reachable by name, referenced by a Node, or open.
  std::uint64_t objects() const;
  // Nodes handed out and not released, and open files and directories.
  std::uint64_t references() const;

  const StoreCaps& caps() const noexcept override { return caps_; }
  StoreStats stats() const override { return StoreStats{}; }

  Result<Found> root() override;
  std::unique_ptr<StoreScope> without_fsetid(const Cred&) override { return nullptr; }
  void release(const Node& node) noexcept override;
  Result<Found> lookup(const Node& dir, NameRef name) override;
  Result<Found> lookup_parent(const Node& dir) override;
  Result<Found> find(std::uint64_t durable) override;

  Result<Attr> getattr(const Node& node, File* file) override;
  Result<Attr> setattr(const Node& node, const SetAttr& change, File* file) override;
  Status access(const Node& node, const Cred& cred, int mask) override;
  Result<std::string> readlink(const Node& node) override;

  Result<Found> mknod(const Node& dir, NameRef name, std::uint32_t mode, std::uint64_t rdev,
                      const Cred& cred) override;
  Result<Found> mkdir(const Node& dir, NameRef name, std::uint32_t mode, const Cred& cred) override;
  Result<Found> symlink(const Node& dir, NameRef name, const char* target,
                        const Cred& cred) override;
  Result<Attr> link(const Node& node, const Node& new_dir, NameRef new_name) override;
  Status unlink(const Node& dir, NameRef name) override;
  Status rmdir(const Node& dir, NameRef name) override;
  Status rename(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                RenameMode mode, const Cred&) override;

  Result<std::unique_ptr<File>> open(const Node& node, int flags) override;
  Result<Created> create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                         const Cred& cred) override;
  Result<Created> tmpfile(const Node& dir, std::uint32_t mode, int flags,
                          const Cred& cred) override;
  Result<std::unique_ptr<Directory>> opendir(const Node& node, int flags) override;
  Result<std::unique_ptr<File>> hold(const Node&) override { return std::unique_ptr<File>(); }
  Result<HeldFound> lookup_and_hold(const Node& dir, NameRef name) override {
    const Result<Found> found = lookup(dir, name);
    if (!found) return found.error();
    return HeldFound{*found, nullptr};
  }

  bool lists_all(const Node&) override { return true; }
  Result<struct statvfs> statfs(const Node& node) override;
  Result<std::size_t> getxattr(const Node& node, const char* name,
                               std::span<std::byte> into) override;
  Result<std::size_t> listxattr(const Node& node, std::span<char> into) override;
  Status setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                  int flags) override;
  Status removexattr(const Node& node, const char* name) override;

 private:
  friend class MemoryFile;
  friend class MemoryDirectory;
  using Guard = std::lock_guard<std::mutex>;
  using Inodes = boost::intrusive::list<MemoryInode>;

  static MemoryInode& inode_of(const Node& node) noexcept;
  std::uint64_t generation_of(const MemoryInode& inode) const noexcept;
  Status enter(std::string_view operation) const;

  // All of these: with mutex_ held.
  Timestamp now();
  void touch(MemoryInode& inode, bool data);  // ctime, and mtime if `data`.
  Found hand_out(MemoryInode& inode);         // Counts a reference.
  void unref(MemoryInode& inode) noexcept;
  void free_if_unused(MemoryInode& inode) noexcept;
  MemoryInode& new_inode(const MemoryInode& dir, std::uint32_t mode, const Cred& cred);
  Result<MemoryInode*> child(MemoryInode& dir, std::string_view name);
  // ENOTDIR, EEXIST, or ENOENT when `dir` is removed.
  Status may_create(const MemoryInode& dir, std::string_view name) const;
  MemoryInode& make(MemoryInode& dir, NameRef name, std::uint32_t mode, const Cred& cred);
  void drop_name(MemoryInode& dir, MemoryInode::Children::iterator at);
  Status may_replace(const MemoryInode& source, const MemoryInode& target) const;
  void exchange(MemoryInode& dir, MemoryInode::Children::iterator a, MemoryInode& new_dir,
                MemoryInode::Children::iterator b);
  void move_dir_link(MemoryInode& moved, MemoryInode& from, MemoryInode& to);
  std::unique_ptr<File> open_inode(MemoryInode& inode, int flags);

  const Options options_;
  const StoreCaps caps_;

  mutable std::mutex mutex_;
  // Protected by mutex_, as is every MemoryInode.
  Inodes inodes_;
  MemoryInode* root_ = nullptr;
  std::uint64_t next_ino_ = 1;
  std::uint64_t clock_ms_ = 0;
  struct FreeNumber {
    std::uint64_t ino;
    std::uint64_t generation;
  };
  std::vector<FreeNumber> free_numbers_;
};

}  // namespace evenfs
