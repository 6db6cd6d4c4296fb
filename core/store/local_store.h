// SPDX-License-Identifier: LGPL-2.1-or-later
// LocalStore: a directory of this machine and all below it, mounts included.
//
// No descriptor is kept for an object. Where the file system gives out file handles and we may
// open them (CAP_DAC_READ_SEARCH), a Node is the handle; elsewhere it leads to a NamedNode, which
// remembers a parent and a name. In both cases the object that is reached is the one that was
// looked up or the answer is ESTALE, never another object.
//
// Nothing above the root is reached: every step is one component, opened beneath its directory
// and never through a symbolic link. A handle, though, opens its object wherever it is: what
// others move out of the root while we hold a Node stays reachable by that Node, as for anybody
// who had it open.
//
// Descriptors: the directory cache (Options::cached_descriptors), at most 12 mounts, the root and
// /proc/self/fd, those pinned by unlinked objects that only a name could reach, what is open, and
// two or three for each call that is being made. When the process has none left, the cache is
// emptied and the call tried once more. All are close-on-exec.
//
// Threads that make objects get a umask of their own (UmaskSwitch).
//
// Limits: an object that was unlinked and that nobody holds is ESTALE by its handle. Extended
// attributes of what is not open need /proc, and so do changes of mode before Linux 6.6. Renames
// through another path while a NamedNode is unknown by its new name make it ESTALE until it is
// looked up again.
//
// Who watches the source may have each directory marked before anything of it is asked (mark_directories), so
// that nothing is missed of what others do there. What is not told all the same has no durable number, or its
// attributes say so (Attr::untold): a directory that could not be marked, and what is in it; what has
// other names than the one that was followed, or none.
//
// Threading: any function from any thread. With handles there is no lock but the cache's.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

#include "core/store/cred_switch.h"
#include "core/store/durable.h"
#include "core/store/fd_cache.h"
#include "core/store/local_node.h"
#include "core/store/mount_table.h"
#include "core/store/node_table.h"
#include "core/store/open_files.h"
#include "core/store/source_marks.h"
#include "core/store/store.h"

namespace evenfs {

class LocalFile;

class LocalStore final : public Store {
 public:
  struct Options {
    std::size_t cached_descriptors = 32;
    bool use_handles = true;   // False: reach everything by name, as where we may not open handles.
    bool switch_cred = false;  // New objects are made as the caller; needs a process of root.
    // Which reads move access times, and whether listings do, in place of what the source's mount says. By
    // a view of the source with mount flags of its own (local::view_with_atime). Where that cannot be made,
    // only what shall not move is kept, by O_NOATIME, for what is our own or with CAP_FOWNER.
    std::optional<AtimeRule> atime;
    bool keep_dir_atime = false;
  };

  // Errors: those of opening `path` as a directory, ENOSYS without openat2 (Linux 5.6), and
  // those of opening /proc/self/fd.
  static Result<std::unique_ptr<LocalStore>> open(const std::string& path, const Options& options);
  ~LocalStore() override;
  LocalStore(const LocalStore&) = delete;
  LocalStore& operator=(const LocalStore&) = delete;

  // For who watches the source: whether an object of which the kernel tells by its handle can have a durable
  // number; which one (1: the root); and any descriptor of the root, where others see it. Without handles
  // objects have one only where directories are marked.
  bool has_numbers() const noexcept { return durable_.known(); }
  std::optional<std::uint64_t> number_of(const local::HandleView& handle) const noexcept {
    return durable_.number_of(handle);
  }
  int seen_by_others() const noexcept { return viewed_ ? viewed_.get() : root_fd_->get(); }
  // From now on the directories that are met are marked for `events` (local::open_events), as the root is
  // already. REQUIRES: has_numbers(), a store without handles, and that nothing but the root was asked for.
  void mark_directories(UniqueFd events);
  // Nobody reads the events any more.
  void end_marks() noexcept;
  local::MarkStats marks() const;

  const StoreCaps& caps() const noexcept override { return caps_; }
  StoreStats stats() const override;

  Result<Found> root() override;
  std::unique_ptr<StoreScope> without_fsetid(const Cred& cred) override;
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
                RenameMode mode, const Cred& cred) override;

  Result<std::unique_ptr<File>> open(const Node& node, int flags) override;
  Result<Created> create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                         const Cred& cred) override;
  Result<Created> tmpfile(const Node& dir, std::uint32_t mode, int flags,
                          const Cred& cred) override;
  Result<std::unique_ptr<Directory>> opendir(const Node& node, int flags) override;
  Result<std::unique_ptr<File>> hold(const Node& node) override;
  Result<HeldFound> lookup_and_hold(const Node& dir, NameRef name) override;

  bool lists_all(const Node& dir) override;
  Result<struct statvfs> statfs(const Node& node) override;
  Result<std::size_t> getxattr(const Node& node, const char* name,
                               std::span<std::byte> into) override;
  Result<std::size_t> listxattr(const Node& node, std::span<char> into) override;
  Status setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                  int flags) override;
  Status removexattr(const Node& node, const char* name) override;

 private:
  // A descriptor of an object: an O_PATH one of its own, or shared with the cache, or that of an open file.
  // `seen` is set when the object had to be looked at anyway.
  struct ObjectFd {
    FdCache::Ref shared;
    UniqueFd own;
    OpenFiles::Use open;
    std::optional<local::Seen> seen;
    bool told = false;  // It was reached in a directory that is marked.
    int get() const noexcept {
      if (open) return open.fd();
      return shared != nullptr ? shared->get() : own.get();
    }
  };
  // Names stay as they are while it lives, where names matter for `node`.
  using NamesShared = std::shared_lock<std::shared_mutex>;
  using NamesExclusive = std::unique_lock<std::shared_mutex>;

  LocalStore(const Options& options, UniqueFd root, UniqueFd proc_fds);
  void settle_atime(UniqueFd viewed);

  // --- local_open.cc: from a Node to a descriptor. The callers hold `names` where it matters.
  NamesShared names_shared(const Node& node);
  Result<FdCache::Ref> dir_fd(const Node& node);  // ENOTDIR for anything else; is cached.
  Result<ObjectFd> object_fd(const Node& node);
  Result<ObjectFd> follow(const Node& node);         // REQUIRES: a named node.
  Result<ObjectFd> follow_in_dir(const Node& node);  // The same, over its directory itself.
  Result<UniqueFd> open_by_handle(const Node& node, int flags);
  Result<UniqueFd> open_again(const Node& node, int flags);  // Not O_PATH: for reading, writing.
  Result<UniqueFd> open_quietly(const Node& node, int flags, bool keep_atime);  // The same.
  // Calls `open`; when it fails for want of descriptors, empties the cache and calls it again.
  template <class Open>
  auto with_room(Open open) -> decltype(open()) {
    auto result = open();
    if (result.ok() || (result.error() != Errno(EMFILE) && result.error() != Errno(ENFILE))) {
      return result;
    }
    cache_.clear();
    return open();
  }

  // Makes a Node of what `fd` was just opened as: `name` in `dir`, or something without a name.
  // `fd` is an O_PATH descriptor where the object is a directory or has no name; it may be taken.
  Result<Found> found(UniqueFd& fd, const Node& dir, std::string_view name);
  Result<Found> found_by_name(UniqueFd& fd, const local::Seen& seen, const Node& dir,
                              std::string_view name);
  // Whether a directory is the root or below it. ESTALE if not.
  Status below_root(int dir);
  Result<Found> lookup_in(const FdCache::Ref& dir_descriptor, const Node& dir, NameRef name);

  // --- local_change.cc.
  Result<Found> made(const FdCache::Ref& dir_descriptor, const Node& dir, NameRef name,
                     std::uint32_t type);
  Status remove(const Node& dir, NameRef name, int flags);
  Status rename_at(int from, NameRef name, int to, NameRef new_name, RenameMode mode,
                   const Cred& cred);
  Result<UniqueFd> child_fd(const FdCache::Ref& dir_descriptor, NameRef name);
  Status rename_named(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                      RenameMode mode, const Cred& cred);

  // --- local_create.cc.
  // Makes the descriptor of an open file known, where that may be used for other calls.
  void list_open(LocalFile& file, const Node& node) noexcept;
  Result<Created> open_existing(const Node& dir, NameRef name, int flags, const Cred& cred);

  // --- local_marks.cc.
  // Attributes as they are handed out. `told`: as in ObjectFd.
  Attr attr_of(const local::Seen& seen, bool told) const noexcept;
  void unmark(const NamedNode& dead, FdCache::Ref fd) noexcept;

  // --- local_attr.cc.
  Result<Attr> attr_by_name(const Node& node);
  Status change_size(const Node& node, std::uint64_t size, File* file);
  Status change_owner_and_mode(int fd, const SetAttr& change);
  // Calls one of the two: with a descriptor, or with a path that means the object.
  template <class ByFd, class ByPath>
  auto with_object(const Node& node, ByFd by_fd, ByPath by_path) -> decltype(by_path(""));

  const Options options_;
  // Set by open().
  UniqueFd viewed_;  // If the root is a view: what it is a view of, so that this stays mounted.
  bool keep_file_atime_ = false;  // By O_NOATIME, as the next.
  bool keep_dir_atime_ = false;
  StoreCaps caps_;
  const UniqueFd proc_fds_;
  FdCache::Ref root_fd_;
  Node root_node_;
  Identity root_identity_;
  FdCache cache_;
  OpenFiles open_files_;
  MountTable mounts_;
  std::uint16_t root_mount_ = 0;  // Set by open(), as the next.
  local::DurableNumbers durable_;
  std::unique_ptr<local::SourceMarks> marks_;  // Set by mark_directories(), as the root's mark is.
  NodeTable nodes_;
};

}  // namespace evenfs
