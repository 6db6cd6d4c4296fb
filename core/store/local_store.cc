// SPDX-License-Identifier: LGPL-2.1-or-later
// Local store: start and end, lookup. Opening is in local_open.cc, changes of names in
// local_change.cc, making and opening files in local_create.cc, attributes in local_attr.cc.
#include "core/store/local_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>

#include "core/store/atime_view.h"
#include "core/store/local_file.h"

namespace evenfs {

using local::NodeKind;

namespace {

// Steps upwards that lookup_parent takes to see that it is still below the root.
constexpr int kDepthMax = 4096;

bool may_have_acls(int fd) {
  const local::FdName name(fd);
  return ::getxattr(name.path(), "system.posix_acl_access", nullptr, 0) >= 0 || errno != EOPNOTSUPP;
}

}  // namespace

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& path,
                                                     const Options& options) {
  UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return Errno::last();
  UniqueFd viewed;
  if (options.atime || options.keep_dir_atime) {
    Result<UniqueFd> view =
        local::view_with_atime(root.get(), options.atime, options.keep_dir_atime);
    if (view) viewed = std::exchange(root, std::move(*view));
  }
  UniqueFd proc_fds(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc_fds) return Errno::last();
  std::unique_ptr<LocalStore> store(new LocalStore(options, std::move(root), std::move(proc_fds)));
  store->settle_atime(std::move(viewed));
  Result<UniqueFd> twin = local::open_beneath(store->root_fd_->get(), ".", O_PATH | O_DIRECTORY);
  if (!twin) return twin.error();
  const Result<Found> found = store->found(*twin, Node{}, std::string_view());
  if (!found) return found.error();
  store->root_identity_ = found->identity;
  store->root_node_ = found->node;
  store->caps_.has_handles = local::kind_of(found->node) != NodeKind::kNamed;
  const int root_fd = store->root_fd_->get();
  const Result<local::Seen> seen = local::look_at(root_fd, true);
  if (!seen) return seen.error();
  store->durable_ = local::DurableNumbers(*seen, root_fd);
  if (store->caps_.has_handles) {
    store->root_mount_ =
        store->mounts_.index_of(*seen, root_fd, store->proc_fds_.get()).value_or(0);
    store->caps_.source_tag = store->durable_.source_tag();
  }
  return store;
}

LocalStore::LocalStore(const Options& options, UniqueFd root, UniqueFd proc_fds)
    : options_(options),
      proc_fds_(std::move(proc_fds)),
      root_fd_(std::make_shared<const UniqueFd>(std::move(root))),
      cache_(options.cached_descriptors),
      nodes_(cache_) {
  caps_.name = "local";
  caps_.has_acls = may_have_acls(root_fd_->get());
  caps_.may_be_slow = !local::is_on_this_machine(root_fd_->get());
  caps_.switches_cred = options.switch_cred && CredSwitch::works();
}

// Without a view there is O_NOATIME; only a superuser can be sure of that.
void LocalStore::settle_atime(UniqueFd viewed) {
  viewed_ = std::move(viewed);
  keep_file_atime_ = !viewed_ && options_.atime == AtimeRule::kNever;
  keep_dir_atime_ = keep_file_atime_ || (!viewed_ && options_.keep_dir_atime);
  const bool keeps_all = keep_file_atime_ && ::geteuid() == 0;
  caps_.atime_rule = keeps_all ? AtimeRule::kNever : local::atime_rule(root_fd_->get());
}

LocalStore::~LocalStore() { nodes_.release(root_node_); }

StoreStats LocalStore::stats() const {
  StoreStats stats;
  stats.cached_descriptors = cache_.size();
  stats.pinned_descriptors = nodes_.pinned() + mounts_.descriptors() + 2 +  // Root, /proc/self/fd.
                             (viewed_ ? 1 : 0);
  stats.node_bytes = nodes_.bytes();
  return stats;
}

Result<Found> LocalStore::root() {
  const Result<local::Seen> seen = local::look_at(root_fd_->get(), false);
  if (!seen) return seen.error();
  nodes_.retain(root_node_);
  return Found{root_node_, root_identity_, attr_of(*seen, true)};
}

// Also where other ids cannot be taken on: CAP_FSETID may be there all the same.
std::unique_ptr<StoreScope> LocalStore::without_fsetid(const Cred& cred) {
  return std::make_unique<FsetidDrop>(cred);
}

void LocalStore::release(const Node& node) noexcept { nodes_.release(node); }

Result<Found> LocalStore::found(UniqueFd& fd, const Node& dir, std::string_view name) {
  const Result<local::Seen> seen = local::look_at(fd.get(), true);
  if (!seen) return seen.error();
  std::optional<std::uint16_t> mount;
  // Of a handle nobody can say in which directory its object is.
  if (options_.use_handles && marks_ == nullptr) {
    mount = mounts_.index_of(*seen, fd.get(), proc_fds_.get());
  }
  if (!mount.has_value()) return found_by_name(fd, *seen, dir, name);
  Found found;
  found.identity = local::identity_of(*seen);
  found.attr = local::attr_of(seen->stat);
  if (const auto number = durable_.number_of(*seen)) found.identity.generation = *number;
  if (local::fits_inline(seen->handle)) {
    found.node = local::inline_node(seen->handle, found.attr.mode, *mount);
  } else {
    found.node = nodes_.heap_node(seen->handle, found.attr.mode, *mount);
  }
  return found;
}

Result<Found> LocalStore::lookup_in(const FdCache::Ref& dir_descriptor, const Node& dir,
                                    NameRef name) {
  Result<UniqueFd> fd = child_fd(dir_descriptor, name);
  if (!fd) return fd.error();
  return found(*fd, dir, name.view());
}

Result<Found> LocalStore::lookup(const Node& dir, NameRef name) {
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  return lookup_in(*fd, dir, name);
}

// The descriptor by which a name is looked up is what holds, where something has to.
Result<HeldFound> LocalStore::lookup_and_hold(const Node& dir, NameRef name) {
  auto hold = std::make_unique<LocalFile>();  // First: afterwards nothing may fail.
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> dir_descriptor = dir_fd(dir);
  if (!dir_descriptor) return dir_descriptor.error();
  Result<UniqueFd> fd = child_fd(*dir_descriptor, name);
  if (!fd) return fd.error();
  const Result<Found> there = found(*fd, dir, name.view());
  if (!there) return there.error();
  if (local::kind_of(there->node) == NodeKind::kNamed) return HeldFound{*there, nullptr};
  hold->take(std::move(*fd));
  return HeldFound{*there, std::move(hold)};
}

// ".." of a directory that somebody moved out of the root would lead outside, and RESOLVE_BENEATH
// does not allow ".." at all; so the way up is walked until the root is met.
Result<Found> LocalStore::lookup_parent(const Node& dir) {
  if (local::same_node(dir, root_node_)) return root();
  const NamesShared names = names_shared(dir);
  const Result<FdCache::Ref> fd = dir_fd(dir);
  if (!fd) return fd.error();
  Result<UniqueFd> parent = with_room([&] { return local::open_parent((*fd)->get()); });
  if (!parent) return parent.error();

  const Result<local::Seen> seen = local::look_at(parent->get(), true);
  if (!seen) return seen.error();
  if (local::identity_of(*seen) == root_identity_) return root();
  if (const Status below = below_root(parent->get()); !below) return below.error();
  return found(*parent, Node{}, std::string_view());
}

Status LocalStore::below_root(int dir) {
  UniqueFd above;
  Identity below;
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const int at = above ? above.get() : dir;
    const Result<local::Seen> seen = local::look_at(at, true);
    if (!seen) return seen.error();
    const Identity identity = local::identity_of(*seen);
    if (identity == root_identity_) return Status();
    if (identity == below) return Errno(ESTALE);  // The top of everything: we were outside.
    below = identity;
    Result<UniqueFd> next = with_room([&] { return local::open_parent(at); });
    if (!next) return next.error();
    above = std::move(next).value();
  }
  return Errno(ESTALE);
}

Result<Found> LocalStore::find(std::uint64_t durable) {
  if (!durable_.known() || !caps_.has_handles) return Errno(ESTALE);
  const local::FileHandle handle = durable_.handle_of(durable);
  const int mount = mounts_.descriptor(root_mount_);
  Result<UniqueFd> fd = with_room([&] { return local::open_handle(mount, handle, O_PATH); });
  if (!fd) return fd.error();
  Result<Found> object = found(*fd, Node{}, std::string_view());
  if (!object) return object.error();
  Status here;
  if (object->identity.generation != durable) here = Errno(ESTALE);
  if (here && S_ISDIR(object->attr.mode)) here = below_root(fd->get());
  if (here) return object;
  release(object->node);
  return here.error();
}

}  // namespace evenfs
