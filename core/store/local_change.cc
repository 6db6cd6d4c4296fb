// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: making, linking, removing and renaming names.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "core/store/local_store.h"

namespace evenfs {

using local::CName;
using local::NodeKind;

namespace {

FdCache::Ref shared(Result<UniqueFd>& fd) {
  return std::make_shared<const UniqueFd>(std::move(fd).value());
}

}  // namespace

Result<UniqueFd> LocalStore::child_fd(const FdCache::Ref& dir_descriptor, NameRef name) {
  const CName path(name);
  return with_room([&] { return local::open_beneath(dir_descriptor->get(), path.get(), O_PATH); });
}

// Looks up what was just made. Somebody may have put another object there meanwhile, which is
// then what the name means; of another type, it would not be what the caller asked for.
Result<Found> LocalStore::made(const FdCache::Ref& dir_descriptor, const Node& dir, NameRef name,
                               std::uint32_t type) {
  Result<Found> found = lookup_in(dir_descriptor, dir, name);
  if (found && (found->attr.mode & S_IFMT) != type) {
    release(found->node);
    return Errno(ESTALE);
  }
  return found;
}

Result<Found> LocalStore::mknod(const Node& dir, NameRef name, std::uint32_t mode,
                                std::uint64_t rdev, const Cred& cred) {
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  {
    const CredSwitch as_caller(caps_.switches_cred, cred);
    if (!as_caller.status()) return as_caller.status().error();
    const UmaskSwitch umask(cred);
    const std::uint32_t type_and_mode = (mode & S_IFMT) | umask.permissions(mode);
    if (::mknodat((*fd)->get(), CName(name).get(), type_and_mode, rdev) != 0) return Errno::last();
  }
  return made(*fd, dir, name, mode & S_IFMT);
}

Result<Found> LocalStore::mkdir(const Node& dir, NameRef name, std::uint32_t mode,
                                const Cred& cred) {
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  {
    const CredSwitch as_caller(caps_.switches_cred, cred);
    if (!as_caller.status()) return as_caller.status().error();
    const UmaskSwitch umask(cred);
    const std::uint32_t permissions = umask.permissions(mode);
    if (::mkdirat((*fd)->get(), CName(name).get(), permissions) != 0) return Errno::last();
  }
  return made(*fd, dir, name, S_IFDIR);
}

Result<Found> LocalStore::symlink(const Node& dir, NameRef name, const char* target,
                                  const Cred& cred) {
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  {
    const CredSwitch as_caller(caps_.switches_cred, cred);
    if (!as_caller.status()) return as_caller.status().error();
    if (::symlinkat(target, (*fd)->get(), CName(name).get()) != 0) return Errno::last();
  }
  return made(*fd, dir, name, S_IFLNK);
}

Result<Attr> LocalStore::link(const Node& node, const Node& new_dir, NameRef new_name) {
  const bool by_name = local::kind_of(node) == NodeKind::kNamed;
  const NamesShared names = names_shared(by_name ? node : new_dir);
  const Result<FdCache::Ref> dir = dir_fd(new_dir);
  if (!dir) return dir.error();
  const Result<ObjectFd> object = object_fd(node);
  if (!object) return object.error();
  const CName name(new_name);
  std::string known_as(new_name.view());
  int failed = ::linkat(object->get(), "", (*dir)->get(), name.get(), AT_EMPTY_PATH);
  if (failed != 0 && errno == ENOENT) {
    // ENOENT is also how the kernel says that AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH.
    const local::FdName number(object->get());
    failed =
        ::linkat(proc_fds_.get(), number.relative(), (*dir)->get(), name.get(), AT_SYMLINK_FOLLOW);
  }
  if (failed != 0) return Errno::last();
  nodes_.name_given(node, new_dir, std::move(known_as));
  const Result<local::Seen> seen = local::look_at(object->get(), false);
  if (!seen) return seen.error();
  return attr_of(*seen, false);
}

Status LocalStore::remove(const Node& dir, NameRef name, int flags) {
  const CName path(name);
  if (local::kind_of(dir) != NodeKind::kNamed) {
    const Result<FdCache::Ref> fd = dir_fd(dir);
    if (!fd) return fd.error();
    if (::unlinkat((*fd)->get(), path.get(), flags) != 0) return Errno::last();
    return Status();
  }
  const NamesExclusive names(nodes_.names);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  // Opened before, because afterwards nothing leads to it.
  Result<UniqueFd> child = child_fd(*fd, name);
  if (!child) return child.error();
  const Result<local::Seen> seen = local::look_at(child->get(), true);
  if (!seen) return seen.error();
  FdCache::Ref pinned = shared(child);
  if (::unlinkat((*fd)->get(), path.get(), flags) != 0) return Errno::last();
  nodes_.name_removed(local::identity_of(*seen), dir, name.view(), std::move(pinned));
  return Status();
}

Status LocalStore::unlink(const Node& dir, NameRef name) { return remove(dir, name, 0); }
Status LocalStore::rmdir(const Node& dir, NameRef name) { return remove(dir, name, AT_REMOVEDIR); }

// A whiteout is a new object, and like any other is made as the caller.
Status LocalStore::rename_at(int from, NameRef name, int to, NameRef new_name, RenameMode mode,
                             const Cred& cred) {
  const auto flags = static_cast<unsigned>(mode);
  const CredSwitch as_caller(caps_.switches_cred && (flags & RENAME_WHITEOUT) != 0, cred);
  if (!as_caller.status()) return as_caller.status();
  if (::renameat2(from, CName(name).get(), to, CName(new_name).get(), flags) != 0) {
    return Errno::last();
  }
  return Status();
}

Status LocalStore::rename(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                          RenameMode mode, const Cred& cred) {
  if (local::kind_of(dir) == NodeKind::kNamed || local::kind_of(new_dir) == NodeKind::kNamed) {
    return rename_named(dir, name, new_dir, new_name, mode, cred);
  }
  const Result<FdCache::Ref> from = dir_fd(dir);
  if (!from) return from.error();
  const Result<FdCache::Ref> to = dir_fd(new_dir);
  if (!to) return to.error();
  return rename_at((*from)->get(), name, (*to)->get(), new_name, mode, cred);
}

Status LocalStore::rename_named(const Node& dir, NameRef name, const Node& new_dir,
                                NameRef new_name, RenameMode mode, const Cred& cred) {
  const NamesExclusive names(nodes_.names);
  const Result<FdCache::Ref> from = dir_fd(dir);
  if (!from) return from.error();
  const Result<FdCache::Ref> to = dir_fd(new_dir);
  if (!to) return to.error();
  Result<UniqueFd> source = child_fd(*from, name);
  if (!source) return source.error();
  Result<UniqueFd> target = child_fd(*to, new_name);
  if (!target && target.error() != Errno(ENOENT)) return target.error();
  const Result<local::Seen> moved = local::look_at(source->get(), true);
  if (!moved) return moved.error();
  const Identity identity = local::identity_of(*moved);
  Identity other;
  if (target) {
    const Result<local::Seen> seen = local::look_at(target->get(), true);
    if (!seen) return seen.error();
    other = local::identity_of(*seen);
  }
  std::string names_then[] = {std::string(new_name.view()), std::string(name.view())};
  FdCache::Ref pinned = shared(source);
  FdCache::Ref pinned_other = target ? shared(target) : nullptr;
  const Status done = rename_at((*from)->get(), name, (*to)->get(), new_name, mode, cred);
  if (!done) return done;
  if (target && other == identity) return Status();  // Two names of one object: nothing happens.
  if (target && mode == RenameMode::kExchange) {
    nodes_.name_moved(other, new_dir, new_name.view(), dir, std::move(names_then[1]),
                      std::move(pinned_other));
  } else if (target) {
    nodes_.name_removed(other, new_dir, new_name.view(), std::move(pinned_other));
  }
  nodes_.name_moved(identity, dir, name.view(), new_dir, std::move(names_then[0]),
                    std::move(pinned));
  return Status();
}

}  // namespace evenfs
