// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: opening files and directories, and making files that are open.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "core/store/local_file.h"
#include "core/store/local_store.h"

namespace evenfs {

using local::CName;

namespace {

// What an open file may keep of the caller's flags. The rest is about finding it.
constexpr int kFileFlags =
    O_ACCMODE | O_APPEND | O_DIRECT | O_DSYNC | O_SYNC | O_NOATIME | O_TRUNC | O_NONBLOCK;
// Names that vanish between "it is there" and opening it, before we believe in bad luck.
constexpr int kCreateTries = 8;

Status openable(std::uint32_t type) {
  if (type == S_IFREG) return Status();
  if (type == S_IFDIR) return Errno(EISDIR);
  if (type == S_IFLNK) return Errno(ELOOP);
  return Errno(ENXIO);  // Opening a device or a FIFO is the kernel's business, not a store's.
}

int wanted_access(int flags) {
  const int mode = flags & O_ACCMODE;
  const int mask = mode == O_RDONLY ? R_OK : (mode == O_WRONLY ? W_OK : R_OK | W_OK);
  return (flags & O_TRUNC) != 0 ? mask | W_OK : mask;
}

}  // namespace

Result<std::unique_ptr<File>> LocalStore::open(const Node& node, int flags) {
  const Status status = openable(local::type_of(node));
  if (!status) return status.error();
  auto file = std::make_unique<LocalFile>();  // First: to open may be to truncate.
  Result<UniqueFd> fd = open_quietly(node, flags & kFileFlags, keep_file_atime_);
  if (!fd) return fd.error();
  file->take(std::move(fd).value());
  list_open(*file, node);
  return std::unique_ptr<File>(std::move(file));
}

// By inline handles only: what another Node points to may be gone while the file is open. And on this machine:
// where a call may take its time nobody should have to wait for it in order to close a file.
void LocalStore::list_open(LocalFile& file, const Node& node) noexcept {
  if (local::kind_of(node) != local::NodeKind::kInline) return;
  if (mounts_.is_on_this_machine(local::inline_mount(node))) file.list_in(open_files_, node);
}

Result<std::unique_ptr<Directory>> LocalStore::opendir(const Node& node, int flags) {
  if (local::type_of(node) != S_IFDIR) return Errno(ENOTDIR);
  // The caller may read it quietly; where we may not it is read all the same.
  const bool keep_atime = keep_dir_atime_ || (flags & O_NOATIME) != 0;
  Result<UniqueFd> fd = open_quietly(node, O_RDONLY | O_DIRECTORY, keep_atime);
  if (!fd) return fd.error();
  return std::unique_ptr<Directory>(std::make_unique<LocalDirectory>(std::move(fd).value()));
}

Result<std::unique_ptr<File>> LocalStore::hold(const Node& node) {
  // What has no handle is pinned when its name goes; see NodeTable.
  if (local::kind_of(node) == local::NodeKind::kNamed) return std::unique_ptr<File>();
  Result<UniqueFd> fd = open_again(node, O_PATH);
  if (!fd) return fd.error();
  return std::unique_ptr<File>(std::make_unique<LocalFile>(std::move(fd).value()));
}

// Always with O_EXCL first: then what is opened is new and a regular file, and opening it can
// neither block nor need a permission that the caller lacks.
Result<Created> LocalStore::create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                                   const Cred& cred) {
  const CName path(name);
  auto file = std::make_unique<LocalFile>();  // First: it must not fail when there is a file.
  const int how = (flags & kFileFlags & ~O_TRUNC) | O_CREAT | O_EXCL;
  for (int tries = 0; tries < kCreateTries; ++tries) {
    {
      const NamesShared names = names_shared(dir);
      const Result<FdCache::Ref> parent = dir_fd(dir);
      if (!parent) return parent.error();
      Result<UniqueFd> fd = with_room([&]() -> Result<UniqueFd> {
        const CredSwitch as_caller(caps_.switches_cred, cred);
        if (!as_caller.status()) return as_caller.status().error();
        const UmaskSwitch umask(cred);
        return local::open_beneath((*parent)->get(), path.get(), how, umask.permissions(mode));
      });
      if (fd) {
        const Result<Found> object = found(*fd, dir, name.view());
        if (!object) return object.error();
        file->take(std::move(fd).value());
        list_open(*file, object->node);
        return Created{*object, std::move(file)};
      }
      if (fd.error() != Errno(EEXIST) || (flags & O_EXCL) != 0) return fd.error();
    }
    Result<Created> existing = open_existing(dir, name, flags, cred);
    const bool vanished =
        !existing && (existing.error() == Errno(ENOENT) || existing.error() == Errno(ESTALE));
    if (!vanished) return existing;
  }
  return Errno(ESTALE);
}

// Somebody else made the file. The kernel asked us to create one and takes it for new, so it
// does not check the caller's right to open this one: we have to.
Result<Created> LocalStore::open_existing(const Node& dir, NameRef name, int flags,
                                          const Cred& cred) {
  const Result<Found> object = lookup(dir, name);
  if (!object) return object.error();
  OwnedNode owned(nodes_, object->node);
  const Status type = openable(object->attr.mode & S_IFMT);
  if (!type) return type.error();
  const Status allowed = access(object->node, cred, wanted_access(flags));
  if (!allowed) return allowed.error();
  Result<std::unique_ptr<File>> file = open(object->node, flags);
  if (!file) return file.error();
  owned.hand_on();
  return Created{*object, std::move(file).value()};
}

Result<Created> LocalStore::tmpfile(const Node& dir, std::uint32_t mode, int flags,
                                    const Cred& cred) {
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> parent = dir_fd(dir);
  if (!parent) return parent.error();
  auto file = std::make_unique<LocalFile>();
  const int how = (flags & kFileFlags & ~O_TRUNC) | O_TMPFILE | (flags & O_EXCL);
  Result<UniqueFd> fd = with_room([&]() -> Result<UniqueFd> {
    const CredSwitch as_caller(caps_.switches_cred, cred);
    if (!as_caller.status()) return as_caller.status().error();
    const UmaskSwitch umask(cred);
    return local::open_beneath((*parent)->get(), ".", how, umask.permissions(mode));
  });
  if (!fd) return fd.error();
  // What has no name may have to be pinned, which must not count as the file being open.
  Result<UniqueFd> twin =
      with_room([&] { return local::reopen(proc_fds_.get(), fd->get(), O_PATH); });
  if (!twin) return twin.error();
  const Result<Found> object = found(*twin, Node{}, std::string_view());
  if (!object) return object.error();
  file->take(std::move(fd).value());
  list_open(*file, object->node);
  return Created{*object, std::move(file)};
}

}  // namespace evenfs
