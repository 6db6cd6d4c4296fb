// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/set_id.h"

#include <sys/stat.h>

#include "core/store/permission.h"
#include "fusefs/caller.h"

namespace evenfs {
namespace {

bool has_bits(std::uint32_t mode) noexcept {
  return !S_ISDIR(mode) && (mode & (S_ISUID | S_ISGID)) != 0;
}

// The kernel's rule for chown: all bits, but set-group-id that means nothing, to who may set that.
bool loses_bits(const Attr& attr, const Caller& caller) {
  if (!has_bits(attr.mode)) return false;
  if ((attr.mode & (S_ISUID | S_IXGRP)) != 0) return true;
  return !in_group(caller.cred(), attr.gid) && !caller.has_fsetid_over(attr);
}

// Whether a chown is by somebody who may not chmod the object, which would lose bits by it.
bool is_foreign(const Attr& attr, const Caller& caller) {
  return loses_bits(attr, caller) && !caller.may_chmod(attr);
}

std::unique_ptr<StoreScope> scope_over(Request& r, const Attr& attr, const Caller& caller) {
  if (caller.has_fsetid_over(attr)) return nullptr;
  return r.fs.store.without_fsetid(caller.cred());
}

// Not everywhere, but over the object he may have CAP_FSETID; then he counts as one of its group.
Result<std::unique_ptr<StoreScope>> scope_of_content(Request& r, NodeId id, File* file,
                                                     const Caller& caller) {
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, file);
  if (!attr) return attr.error();
  Cred cred = caller.cred();
  if (caller.has_fsetid_over(*attr)) cred.gid = attr->gid;
  return r.fs.store.without_fsetid(cred);
}

// The kernel is about to write the file by itself, with our rights: the bits that the caller's write would
// cost it have to go before. A chown to nobody costs the same.
Result<Attr> before_unseen_write(Request& r, NodeId id, const Attr& attr, File* file,
                                 const Caller& caller) {
  if (caller.has_fsetid()) return attr;
  const auto by_caller = scope_of_content(r, id, file, caller);
  if (!by_caller) return by_caller.error();
  return r.fs.cache.setattr(r.me, id, SetAttr(), file);
}

// With nothing to set it is chown(-1, -1), or the kernel before a change of content. If that comes by us, the
// change itself will see to the bits.
Result<Attr> change_owner(Request& r, NodeId id, const SetAttr& change, File* file) {
  const Result<std::uint32_t> mode = r.fs.cache.mode(r.me, id, file);
  if (!mode) return mode.error();
  if (!has_bits(*mode)) return r.fs.cache.setattr(r.me, id, change, file);
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, file);
  if (!attr) return attr.error();
  const Caller caller(r);
  if (change.is_nothing() && !caller.is_in_chown()) {
    return r.fs.cache.writes_unseen(id) ? before_unseen_write(r, id, *attr, file, caller) : *attr;
  }
  if (is_foreign(*attr, caller)) return Errno(EPERM);
  const auto by_caller = scope_over(r, *attr, caller);
  return r.fs.cache.setattr(r.me, id, change, file);
}

}  // namespace

ContentChange::ContentChange(Request& r, NodeId id, File& file, WrittenBy by)
    : r_(r), id_(id), file_(file) {
  if (by == WrittenBy::kCall) {
    const Result<std::uint32_t> mode = r.fs.cache.mode(r.me, id, &file);
    if (!mode) {
      status_ = mode.error();
      return;
    }
    if (has_bits(*mode)) status_ = take_scope();
    if (!status_) return;
  }
  Result<Cache::Change> change =
      r.fs.cache.begin_change(id, may_lose_bits_ ? Fields::kWalk : Fields::kStat);
  if (change) {
    change_.emplace(std::move(*change));
  } else {
    status_ = change.error();
  }
}

Status ContentChange::take_scope() {
  const Caller caller(r_);
  may_lose_bits_ = !caller.has_fsetid();
  if (!may_lose_bits_) return Status();
  Result<std::unique_ptr<StoreScope>> scope = scope_of_content(r_, id_, &file_, caller);
  if (!scope) return scope.error();
  by_caller_ = std::move(*scope);
  return Status();
}

// A call that fails may have changed something first, but not for other reasons than these.
Status ContentChange::finish(const Status& done) {
  const bool changed = done || done.error() == Errno(ENOSPC) || done.error() == Errno(EDQUOT) ||
                       done.error() == Errno(EIO);
  if (!may_lose_bits_ || !changed) return done;
  by_caller_.reset();
  SetAttr left;
  left.clear_suid_sgid = true;
  const Result<Attr> attr = r_.fs.store.setattr(change_->node(), left, &file_);
  return attr ? done : attr.error();
}

// The kernel expects a change of content to change size and times only.
ContentChange::~ContentChange() {
  by_caller_.reset();
  // While the inode is pinned: the kernel's count alone might be gone.
  const fuse_ino_t number = change_ ? r_.fs.cache.number_of(id_) : 0;
  change_.reset();
  if (may_lose_bits_ && number != 0) r_.outdate_in_kernel(number);
}

std::unique_ptr<StoreScope> scope_of_caller(Request& r, const Attr& attr) {
  return scope_over(r, attr, Caller(r));
}

Result<Attr> set_attributes(Request& r, NodeId id, SetAttr change, File* file, bool lacks_fsetid) {
  if (change.uid || change.gid || change.is_nothing()) return change_owner(r, id, change, file);
  if (!change.size) return r.fs.cache.setattr(r.me, id, change, file);
  const Result<std::uint32_t> mode = r.fs.cache.mode(r.me, id, file);
  if (!mode) return mode.error();
  if (!has_bits(*mode)) return r.fs.cache.setattr(r.me, id, change, file);
  const Caller caller(r);
  change.clear_suid_sgid = lacks_fsetid || !caller.has_fsetid();
  if (!change.clear_suid_sgid) return r.fs.cache.setattr(r.me, id, change, file);
  const auto by_caller = scope_of_content(r, id, file, caller);
  if (!by_caller) return by_caller.error();
  return r.fs.cache.setattr(r.me, id, change, file);
}

bool is_foreign_chown(Request& r, NodeId id) {
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, nullptr);
  const Caller caller(r);
  return attr && is_foreign(*attr, caller) && caller.is_in_chown();
}

}  // namespace evenfs
