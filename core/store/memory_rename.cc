// SPDX-License-Identifier: LGPL-2.1-or-later
// Rename in the memory store: the checks in the order in which the kernel makes them.
#include <utility>

#include "core/store/memory_store.h"

namespace evenfs {
namespace {

// True iff `dir` is `inode` or lies below it. The root is its own parent.
bool is_within(const MemoryInode* dir, const MemoryInode* inode) {
  for (const MemoryInode* at = dir; at != nullptr; at = at->parent) {
    if (at == inode) return true;
    if (at->parent == at) return false;
  }
  return false;
}

}  // namespace

Status MemoryStore::may_replace(const MemoryInode& source, const MemoryInode& target) const {
  if (source.is_dir() && !target.is_dir()) return Errno(ENOTDIR);
  if (!source.is_dir() && target.is_dir()) return Errno(EISDIR);
  if (target.is_dir() && !target.children.empty()) return Errno(ENOTEMPTY);
  return Status();
}

// A directory counts as a link of the one that it is in.
void MemoryStore::move_dir_link(MemoryInode& moved, MemoryInode& from, MemoryInode& to) {
  if (!moved.is_dir()) return;
  --from.attr.nlink;
  ++to.attr.nlink;
  moved.parent = &to;
}

void MemoryStore::exchange(MemoryInode& dir, MemoryInode::Children::iterator a,
                           MemoryInode& new_dir, MemoryInode::Children::iterator b) {
  MemoryInode& first = *a->second.inode;
  MemoryInode& second = *b->second.inode;
  std::swap(a->second.inode, b->second.inode);
  move_dir_link(first, dir, new_dir);
  move_dir_link(second, new_dir, dir);
  touch(dir, true);
  touch(new_dir, true);
  touch(first, false);
  touch(second, false);
}

Status MemoryStore::rename(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                           RenameMode mode, const Cred& /*cred*/) {
  if (const Status status = enter("rename"); !status) return status;
  const Guard guard(mutex_);
  MemoryInode& from = inode_of(dir);
  MemoryInode& to = inode_of(new_dir);
  if (mode == RenameMode::kWhiteout || mode == RenameMode::kNoReplaceWhiteout) return Errno(EINVAL);
  const Result<MemoryInode*> source = child(from, name.view());
  if (!source) return source.error();
  if (!to.is_dir()) return Errno(ENOTDIR);
  if (to.parent == nullptr) return Errno(ENOENT);
  const auto target = to.children.find(new_name.view());
  const bool exists = target != to.children.end();
  if (mode == RenameMode::kNoReplace && exists) return Errno(EEXIST);
  if (mode == RenameMode::kExchange && !exists) return Errno(ENOENT);
  if (is_within(&to, *source)) return Errno(EINVAL);  // Into itself.
  if (exists && is_within(&from, target->second.inode)) {
    return Errno(mode == RenameMode::kExchange ? EINVAL : ENOTEMPTY);
  }
  if (exists && target->second.inode == *source) return Status();  // Two names of one object.

  const auto at = from.children.find(name.view());
  if (mode == RenameMode::kExchange) {
    exchange(from, at, to, target);
    return Status();
  }
  if (exists) {
    const Status status = may_replace(**source, *target->second.inode);
    if (!status) return status;
    drop_name(to, target);
  }
  from.remove_child(at);
  to.add_child(new_name.view(), *source);
  move_dir_link(**source, from, to);
  touch(from, true);
  touch(to, true);
  touch(**source, false);
  return Status();
}

}  // namespace evenfs
