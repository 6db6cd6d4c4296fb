// SPDX-License-Identifier: LGPL-2.1-or-later
// Store: what stands behind the cache. The cache and the handlers reach a file system only
// through this interface.
//
// Threading: every function may be called from any thread at any time, also for the same object.
// A store keeps its own locks and never calls back. No cache lock is held across a call, but
// a directory's operation lock is held across the call that changes it, so a store that blocks
// delays other changes of that directory and nothing else.
//
// Errors are the errno that the backing system gave. ESTALE means that the object behind a Node
// is gone; ENOENT that a name is not there.
//
// A call that finds no memory may throw std::bad_alloc, but for those that are noexcept. That is like an error:
// the object may have been changed or made, and whatever would have been handed out is not.
#pragma once

#include <sys/statvfs.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/attr.h"
#include "core/base/name.h"
#include "core/base/result.h"

namespace evenfs {

// A store's own name for an object: 16 bytes that only the store can read (a file handle, or a
// pointer). It is copied freely; exactly one copy of each that the store handed out is given
// back with Store::release, after which no copy may be used.
struct Node {
  std::uint64_t words[2] = {0, 0};
};

// An object as the store just saw it; `attr` has the device and inode number of `identity`. The
// receiver owns `node`.
struct Found {
  Node node;
  Identity identity;
  Attr attr;
};

// An open file. Destroying it closes it. All functions may be called from several threads.
class File {
 public:
  virtual ~File() = default;

  // The descriptor where the store has one, -1 otherwise; then read and write are the way.
  virtual int fd() const noexcept = 0;

  // Bytes read: fewer than asked at the end of the file.
  virtual Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) = 0;
  virtual Result<std::size_t> write(std::span<const std::byte> from, std::uint64_t offset) = 0;
  virtual Status fsync(bool data_only) = 0;
  // What close(2) of one duplicate would report (an error of delayed writing).
  virtual Status flush() = 0;
  virtual Status fallocate(int mode, std::uint64_t offset, std::uint64_t length) = 0;
  // `whence` is SEEK_DATA or SEEK_HOLE.
  virtual Result<std::uint64_t> lseek(std::uint64_t offset, int whence) = 0;
  virtual Result<std::size_t> copy_range(std::uint64_t offset, File& to, std::uint64_t to_offset,
                                         std::size_t length) = 0;
};

// One name in a directory listing.
struct DirEntry {
  std::string_view name;  // Valid only during the visit. "." and ".." are listed too.
  std::uint64_t ino = 0;
  std::uint32_t type = 0;  // File type as in st_mode (S_IFMT); 0 is unknown.
  std::uint64_t next = 0;  // Cookie that continues behind this entry.
};

// An open directory. Calls for one Directory are serialised by the caller.
class Directory {
 public:
  virtual ~Directory() = default;
  virtual int fd() const noexcept = 0;  // -1 where the store has none.
  // Visits entries from `cookie` on (0 is the start) until `visit` returns false or the end.
  // The entry for which `visit` returned false counts as not visited.
  virtual Status read(std::uint64_t cookie, const std::function<bool(const DirEntry&)>& visit) = 0;
  // Of the directory itself.
  virtual Result<Attr> getattr() = 0;
  virtual Status fsync(bool data_only) = 0;
};

// A file or directory that was just made, open where it was asked for.
struct Created {
  Found found;
  std::unique_ptr<File> file;
};

// What a name led to, and what keeps it in being without the name: see Store::hold.
struct HeldFound {
  Found found;
  std::unique_ptr<File> hold;
};

// While one lives, the thread that made it acts through its store in another way than its own.
class StoreScope {
 public:
  virtual ~StoreScope() = default;
};

// Which reads move the access time of what is read: none; those that relatime lets, by the rule in
// mount(8); all.
enum class AtimeRule { kNever, kRelative, kAlways };

// What a store is and can do; constant for its life.
struct StoreCaps {
  const char* name = "";       // "local" or "memory".
  bool has_acls = false;       // Permission bits alone may not decide.
  bool has_handles = false;    // Objects are reached again without a descriptor kept for them.
  bool switches_cred = false;  // New objects are made as the caller.
  AtimeRule atime_rule = AtimeRule::kNever;
  // Of a directory that was just made somebody tells only from a moment later on, when others may have made
  // names in it.
  bool told_after_mkdir = false;
  bool may_be_slow = false;  // Behind a network, or another program: a call may take milliseconds.
  // Differs between sources, so that a durable number of one is not taken for another's: 31 bits.
  std::uint32_t source_tag = 0;
};

// Figures for the statistics: gauges, not totals.
struct StoreStats {
  std::uint64_t cached_descriptors = 0;  // O_PATH descriptors kept only for speed.
  std::uint64_t pinned_descriptors = 0;  // Descriptors that must stay while their object is known.
  std::uint64_t node_bytes = 0;          // Heap bytes behind the Nodes handed out.
};

enum class RenameMode : std::uint32_t {  // The values of renameat2's flags.
  kReplace = 0,
  kNoReplace = 1,
  kExchange = 2,
  kWhiteout = 4,
  kNoReplaceWhiteout = 5,
};

class Store {
 public:
  virtual ~Store() = default;

  virtual const StoreCaps& caps() const noexcept = 0;
  virtual StoreStats stats() const = 0;

  virtual Result<Found> root() = 0;
  virtual void release(const Node& node) noexcept = 0;

  // Lets what this thread changes of content, owner or access control list cost a file the set-id bits
  // that it would cost it if `cred`, with its groups, changed it without CAP_FSETID. For write, fallocate,
  // copy_range, setattr and setxattr. Null: the store knows one way only.
  virtual std::unique_ptr<StoreScope> without_fsetid(const Cred& cred) = 0;

  // Never follows a symbolic link. ENOENT when the name is not there.
  virtual Result<Found> lookup(const Node& dir, NameRef name) = 0;
  virtual Result<Found> lookup_parent(const Node& dir) = 0;  // "..", never above the root.
  // The object whose Identity::generation is `durable`: ESTALE when it is gone, or no such number.
  virtual Result<Found> find(std::uint64_t durable) = 0;

  // `file`, where given, is an open file of the node and is preferred.
  virtual Result<Attr> getattr(const Node& node, File* file) = 0;
  virtual Result<Attr> setattr(const Node& node, const SetAttr& change, File* file) = 0;
  // `mask` is made of R_OK, W_OK, X_OK. EACCES when `cred` may not.
  virtual Status access(const Node& node, const Cred& cred, int mask) = 0;
  virtual Result<std::string> readlink(const Node& node) = 0;

  // `mode` is what the caller asked for; the store applies the umask of `cred`, or a default ACL of the
  // directory in its place. So for mkdir, create and tmpfile.
  virtual Result<Found> mknod(const Node& dir, NameRef name, std::uint32_t mode, std::uint64_t rdev,
                              const Cred& cred) = 0;
  virtual Result<Found> mkdir(const Node& dir, NameRef name, std::uint32_t mode,
                              const Cred& cred) = 0;
  virtual Result<Found> symlink(const Node& dir, NameRef name, const char* target,
                                const Cred& cred) = 0;
  virtual Result<Attr> link(const Node& node, const Node& new_dir, NameRef new_name) = 0;
  virtual Status unlink(const Node& dir, NameRef name) = 0;
  virtual Status rmdir(const Node& dir, NameRef name) = 0;
  // `cred`: whose the whiteout becomes, where `mode` leaves one.
  virtual Status rename(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                        RenameMode mode, const Cred& cred) = 0;

  // `flags` as in open(2), without O_CREAT. O_NOFOLLOW is implied.
  virtual Result<std::unique_ptr<File>> open(const Node& node, int flags) = 0;
  // With O_EXCL in `flags` EEXIST when the name is there; else an existing file is opened.
  virtual Result<Created> create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                                 const Cred& cred) = 0;
  virtual Result<Created> tmpfile(const Node& dir, std::uint32_t mode, int flags,
                                  const Cred& cred) = 0;
  // `flags`: 0 or O_NOATIME.
  virtual Result<std::unique_ptr<Directory>> opendir(const Node& node, int flags) = 0;
  // A File that stands for the object, of any type, and is good for getattr only. While it lives the
  // Node keeps leading to the object, also when its last name goes. Null where a Node does so by
  // itself.
  virtual Result<std::unique_ptr<File>> hold(const Node& node) = 0;
  // lookup, and hold of what it finds, at the price of a lookup; null also where holding fails.
  virtual Result<HeldFound> lookup_and_hold(const Node& dir, NameRef name) = 0;

  // Whether a listing of the directory shows each name that lookup finds in it, so that what it does not
  // show is not there: false where names are equal that are spelled differently, where names are hidden, and
  // where the store does not know.
  virtual bool lists_all(const Node& dir) = 0;

  virtual Result<struct statvfs> statfs(const Node& node) = 0;

  // The value's size for an empty `into`; ERANGE when it does not fit.
  virtual Result<std::size_t> getxattr(const Node& node, const char* name,
                                       std::span<std::byte> into) = 0;
  virtual Result<std::size_t> listxattr(const Node& node, std::span<char> into) = 0;
  virtual Status setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                          int flags) = 0;
  virtual Status removexattr(const Node& node, const char* name) = 0;
};

}  // namespace evenfs
