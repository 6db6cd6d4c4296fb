// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: from a Node to a descriptor of the object that it means, or ESTALE.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "core/store/local_store.h"

namespace evenfs {

using local::NodeKind;

namespace {

// The next names of `way` as one path that the kernel takes; they are removed from it.
std::string next_path(std::vector<std::string>& names) {
  std::string path = std::move(names.back());
  names.pop_back();
  while (!names.empty() && path.size() + 1 + names.back().size() < PATH_MAX) {
    path.append("/").append(names.back());
    names.pop_back();
  }
  return path;
}

// What a name that should be there says when it is gone or leads elsewhere now.
Errno stale_if_gone(Errno error) {
  const int code = error.code();
  const bool gone = code == ENOENT || code == ENOTDIR || code == ELOOP || code == EXDEV;
  return gone ? Errno(ESTALE) : error;
}

// What a way has led to, if it is the named node's object.
Result<local::Seen> seen_as(const Node& node, int fd) {
  const Result<local::Seen> seen = local::look_at(fd, true);
  if (!seen) return seen.error();
  const bool same = local::identity_of(*seen) == local::pointed<NamedNode>(node).identity;
  if (!same) return Errno(ESTALE);
  return *seen;
}

}  // namespace

LocalStore::NamesShared LocalStore::names_shared(const Node& node) {
  if (local::kind_of(node) != NodeKind::kNamed) return NamesShared();
  return NamesShared(nodes_.names);
}

Result<FdCache::Ref> LocalStore::dir_fd(const Node& node) {
  if (local::type_of(node) != S_IFDIR) return Errno(ENOTDIR);
  if (local::same_node(node, root_node_)) return root_fd_;
  if (FdCache::Ref cached = cache_.get(node); cached != nullptr) return cached;
  Result<ObjectFd> fd = local::kind_of(node) == NodeKind::kNamed ? follow(node) : object_fd(node);
  if (!fd) return fd.error();
  if (fd->shared != nullptr) return fd->shared;
  return cache_.put(node, std::move(fd->own));
}

Result<LocalStore::ObjectFd> LocalStore::object_fd(const Node& node) {
  ObjectFd fd;
  if (local::same_node(node, root_node_)) {
    fd.shared = root_fd_;
    return fd;
  }
  const bool is_dir = local::type_of(node) == S_IFDIR;
  if (is_dir) fd.shared = cache_.get(node);
  if (fd.shared != nullptr) return fd;
  if (local::kind_of(node) == NodeKind::kNamed) {
    const bool in_dir = marks_ != nullptr && local::type_of(node) != S_IFDIR;
    return in_dir ? follow_in_dir(node) : follow(node);
  }
  if (!is_dir) fd.open = open_files_.find(node);
  if (fd.open) return fd;
  Result<UniqueFd> opened = open_by_handle(node, O_PATH);
  if (!opened) return opened.error();
  if (is_dir) {
    // Whoever asks for its attributes is often about to make or remove a name in it.
    fd.shared = cache_.put(node, std::move(opened).value());
  } else {
    fd.own = std::move(opened).value();
  }
  return fd;
}

Result<UniqueFd> LocalStore::open_by_handle(const Node& node, int flags) {
  if (local::kind_of(node) == NodeKind::kInline) {
    const int mount = mounts_.descriptor(local::inline_mount(node));
    const local::FileHandle handle = local::inline_handle(node);
    return with_room([&] { return local::open_handle(mount, handle, flags); });
  }
  const auto& heap = local::pointed<HeapHandle>(node);
  const int mount = mounts_.descriptor(heap.mount);
  return with_room([&] { return local::open_handle(mount, heap.handle, flags); });
}

Result<LocalStore::ObjectFd> LocalStore::follow(const Node& node) {
  Result<Way> way = nodes_.way_to(node);
  if (!way) return way.error();
  ObjectFd fd;
  fd.shared = std::move(way->from);
  if (fd.shared == nullptr) {
    const OwnedNode from(nodes_, way->start);
    Result<FdCache::Ref> start = dir_fd(way->start);
    if (!start) return start.error();
    fd.shared = std::move(start).value();
  }
  if (way->names.empty()) return fd;
  while (!way->names.empty()) {
    const std::string path = next_path(way->names);
    Result<UniqueFd> next =
        with_room([&] { return local::open_beneath(fd.get(), path.c_str(), O_PATH, 0, true); });
    if (!next) return stale_if_gone(next.error());
    fd.own = std::move(next).value();
    fd.shared = nullptr;
  }
  const Result<local::Seen> seen = seen_as(node, fd.get());
  if (!seen) return seen.error();
  fd.seen = *seen;
  return fd;
}

// A way of many names may lead to the object in another directory of the same name. Here the directory is the
// one that is marked, or not.
Result<LocalStore::ObjectFd> LocalStore::follow_in_dir(const Node& node) {
  const Result<Place> place = nodes_.place_of(node);
  if (!place) return follow(node);  // What has no name is pinned.
  const OwnedNode dir(nodes_, place->dir);
  const Result<FdCache::Ref> dir_descriptor = dir_fd(place->dir);
  if (!dir_descriptor) return dir_descriptor.error();
  const local::CName name(place->name);
  Result<UniqueFd> own =
      with_room([&] { return local::open_beneath((*dir_descriptor)->get(), name.get(), O_PATH); });
  if (!own) return stale_if_gone(own.error());
  const Result<local::Seen> seen = seen_as(node, own->get());
  if (!seen) return seen.error();
  ObjectFd fd;
  fd.own = std::move(own).value();
  fd.seen = *seen;
  fd.told = NodeTable::is_marked(place->dir);
  return fd;
}

Result<UniqueFd> LocalStore::open_again(const Node& node, int flags) {
  const NamesShared names = names_shared(node);
  if (local::kind_of(node) != NodeKind::kNamed && !local::same_node(node, root_node_)) {
    return open_by_handle(node, flags);
  }
  const Result<ObjectFd> fd = object_fd(node);
  if (!fd) return fd.error();
  return with_room([&] { return local::reopen(proc_fds_.get(), fd->get(), flags); });
}

Result<UniqueFd> LocalStore::open_quietly(const Node& node, int flags, bool keep_atime) {
  if (keep_atime) {
    Result<UniqueFd> fd = open_again(node, flags | O_NOATIME);
    if (fd || fd.error() != Errno(EPERM)) return fd;
  }
  return open_again(node, flags);
}

}  // namespace evenfs
