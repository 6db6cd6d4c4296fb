// SPDX-License-Identifier: LGPL-2.1-or-later
// Walk: a whole path at once, for in-process users. (The kernel asks one component at a time.)
// Included by basic_cache.h.
//
//   lock-free walk                              locked walk
//     d = start, sample d.nseq                    d = start, pinned
//     each component:                             each component:
//       may search d? (mode and owner)              may search d? (mode, ACL, store)
//       dentry of (d, name), its count              inode of (d, name): dentry or store, pinned
//       d = its inode, sample nseq                  d = its inode
//     copy attributes under aseq                  attributes: cache or store
//     validate everything sampled, at the end
//
// The lock-free walk keeps every (count, stamp) that it took and validates all of them after the
// last read, so the whole path was as it says at one instant: from the last sample to the first
// validation. That holds for its errors too: EACCES, ENOTDIR, ELOOP and ENOENT are answers only when
// validated. It gives up, with a reason, wherever the locked walk would have to ask the store.
// A locked walk is true step by step, like that of any file system.
#pragma once

#include <sys/stat.h>

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"
#include "core/cache/path_cursor.h"

namespace evenfs {

// What the permission bits say of searching a directory. Root may; an ACL is not looked at here.
inline bool bits_allow_search(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                              const Cred& cred) noexcept {
  if (cred.uid == 0) return true;
  if (cred.uid == uid) return (mode & S_IXUSR) != 0;
  bool in_group = cred.gid == gid;
  for (const std::uint32_t group : cred.groups) in_group = in_group || group == gid;
  return (mode & (in_group ? S_IXGRP : S_IXOTH)) != 0;
}

template <LockingPolicy Policy>
class FastWalk {
 public:
  static constexpr std::uint32_t kStampsMax = 128;

  FastWalk(Core<Policy>& core, const DentryTable<Policy>& dentries, const Cred& cred) noexcept
      : core_(core), dentries_(dentries), cred_(cred) {}

  // kHit: `entry`, or `error` if that is not 0. Within no RcuGuard.
  Outcome run(NodeId start, std::string_view path, bool follow, Entry& entry, int& error) noexcept {
    if (start.index() == 0 || start.index() >= core_.slots.inode_bound()) return Outcome::kStaleId;
    const auto section = core_.policy.read();
    stamps_ = 0;
    error = 0;
    Status parsed = path_.start(path);
    if (!parsed) {
      error = parsed.error().code();
      return Outcome::kHit;
    }
    Outcome outcome = step_to(path_.absolute() ? NodeId::root() : start);
    while (outcome == Outcome::kHit && error == 0 && !done_) outcome = component(follow, error);
    if (outcome == Outcome::kHit && error == 0) outcome = finish(entry);
    if (outcome != Outcome::kHit) return outcome;
    EVENFS_PAUSE("walk.copied");
    validation_fence();
    for (std::uint32_t i = 0; i < stamps_; ++i) {
      if (!taken_[i].count->same(taken_[i].stamp)) return Outcome::kInodeChanged;
    }
    return Outcome::kHit;
  }

 private:
  struct Taken {
    const Seqcount* count;
    Stamp stamp;
  };

  bool keep(const Seqcount& count, Stamp stamp) noexcept {
    if (stamps_ == kStampsMax) return false;
    taken_[stamps_++] = {&count, stamp};
    return true;
  }

  // Stands on inode `id` from now on.
  Outcome step_to(NodeId id) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const InodePub& pub = core_.slots.inode(id.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(id.index()).lock);
    const Stamp stamp = pub.nseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    if (!keep(pub.nseq, stamp)) return Outcome::kTooDeep;
    if (pub.generation.load(kRelaxed) != id.generation()) return Outcome::kStaleId;
    if (!core_.fresh(pub.walk_until.load(kRelaxed))) return Outcome::kExpired;
    here_ = id;
    mode_ = pub.mode.load(kRelaxed);
    uid_ = pub.uid.load(kRelaxed);
    gid_ = pub.gid.load(kRelaxed);
    acl_decides_ = core_.store.caps().has_acls && cred_.uid != 0 &&
                   !core_.lacks(pub.absent.load(kRelaxed), kNoAccessList | kNoListsThere);
    EVENFS_PAUSE("walk.stepped");
    return Outcome::kHit;
  }

  Outcome component(bool follow, int& error) noexcept {
    const std::string_view name = path_.next();
    if (name.empty()) {
      done_ = true;
      return Outcome::kHit;
    }
    if (!S_ISDIR(mode_)) {
      error = ENOTDIR;
      return Outcome::kHit;
    }
    if (acl_decides_) return Outcome::kAclUnknown;
    if (!bits_allow_search(mode_, uid_, gid_, cred_)) {
      error = EACCES;
      return Outcome::kHit;
    }
    const bool last = path_.last();
    const bool needs_directory = path_.slash_follows();
    if (name == ".") return Outcome::kHit;
    if (name == "..") return up();
    return down(name, !last || needs_directory || follow, needs_directory, error);
  }

  Outcome up() noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    if (here_.is_root()) return Outcome::kHit;
    // Nothing confirms the link while the directory stays where it is, so it is only believed
    // when nobody else moves directories.
    if (core_.ttl_ticks != kForeverTicks) return Outcome::kExpired;
    // Under the nseq that step_to() kept.
    const InodePub& pub = core_.slots.inode(here_.index());
    const std::uint32_t parent = pub.parent_index.load(kRelaxed);
    if (parent == 0) return Outcome::kMiss;
    return step_to(NodeId(parent, pub.parent_generation.load(kRelaxed)));
  }

  Outcome down(std::string_view component, bool follow, bool needs_directory, int& error) noexcept {
    const Result<NameRef> name = NameRef::make(component);
    if (!name) {
      error = name.error().code();
      return Outcome::kHit;
    }
    const NameKey key(core_.slots.hash_seed(), here_.index(), here_.generation(), *name);
    DentrySeen seen;
    switch (dentries_.find(here_.index(), here_.generation(), key, seen)) {
      case Find::kFound:
        break;
      case Find::kMiss:
        return answer_miss(key, error);
      case Find::kChanged:
        return Outcome::kDentryChanged;
      case Find::kTooLong:
        return Outcome::kChainLong;
    }
    if (!core_.fresh(seen.until)) return Outcome::kExpired;
    if (!keep(core_.slots.dentry(seen.index).seq, seen.stamp)) return Outcome::kTooDeep;
    EVENFS_PAUSE("walk.found");
    if (seen.child == 0) {
      error = ENOENT;
      return Outcome::kHit;
    }
    const std::uint32_t generation =
        core_.slots.inode(seen.child).generation.load(std::memory_order_relaxed);
    const NodeId directory = here_;
    const Outcome outcome = step_to(NodeId(seen.child, generation));
    if (outcome != Outcome::kHit) return outcome;
    if (S_ISLNK(mode_) && follow) {
      const Outcome spliced = through_link(error);
      return spliced != Outcome::kHit || error != 0 ? spliced : after_link(directory);
    }
    if (needs_directory && !S_ISDIR(mode_)) error = ENOTDIR;
    return Outcome::kHit;
  }

  // As FastPath::answer_miss; the directory's nseq is kept already.
  Outcome answer_miss(const NameKey& key, int& error) noexcept {
    EVENFS_PAUSE("walk.found_none");
    const InodePub& pub = core_.slots.inode(here_.index());
    const Stamp content = pub.cseq.sample();
    if (!stamp_is_stable(content)) return Outcome::kMiss;
    if (!core_.has_all_names(pub.names_until.load(std::memory_order_relaxed))) {
      return Outcome::kMiss;
    }
    EVENFS_PAUSE("walk.names_known");
    if (!dentries_.lacks(here_.index(), here_.generation(), key)) return Outcome::kMiss;
    if (!keep(pub.cseq, content)) return Outcome::kTooDeep;
    error = ENOENT;
    return Outcome::kHit;
  }

  Outcome through_link(int& error) noexcept {
    const InodePub& pub = core_.slots.inode(here_.index());
    char target[PATH_MAX];
    // The cells are there as long as the inode lives: step_to() kept its count last.
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(here_.index()).lock);
    if (!pub.nseq.same(taken_[stamps_ - 1].stamp)) return Outcome::kInodeChanged;
    std::uint32_t length = 0;
    // [MO-5] acquire, pairs with the release in BasicCache::remember_link.
    const std::uint32_t cell = pub.link_cell.load(std::memory_order_acquire);
    if (cell == 0 || !copy_string(core_.slots, cell, target, sizeof target, length)) {
      return Outcome::kSymlinkUncached;
    }
    const Status spliced = path_.splice({target, length});
    if (!spliced) {
      error = spliced.error().code();
      return Outcome::kHit;
    }
    return Outcome::kHit;
  }

  // Where a link's target starts: at the root, or where the link stands.
  Outcome after_link(NodeId directory) noexcept {
    return step_to(path_.absolute() ? NodeId::root() : directory);
  }

  Outcome finish(Entry& entry) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const InodePub& pub = core_.slots.inode(here_.index());
    const auto guard = core_.policy.read_inode(core_.slots.inode_priv(here_.index()).lock);
    const Stamp stamp = pub.aseq.sample();
    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;
    if (!keep(pub.aseq, stamp)) return Outcome::kTooDeep;
    copy_attr(pub, entry.attr);
    entry.id = here_;
    if ((pub.stat_flags.load(kRelaxed) & kAttrValid) == 0) return Outcome::kAttrInvalid;
    return core_.fresh(pub.stat_until.load(kRelaxed)) ? Outcome::kHit : Outcome::kExpired;
  }

  Core<Policy>& core_;
  const DentryTable<Policy>& dentries_;
  const Cred& cred_;
  PathCursor path_;
  bool done_ = false;
  // What was read of the inode we stand on, under the last kept nseq.
  NodeId here_;
  std::uint32_t mode_ = 0;
  std::uint32_t uid_ = 0;
  std::uint32_t gid_ = 0;
  bool acl_decides_ = false;
  std::uint32_t stamps_ = 0;
  Taken taken_[kStampsMax];
};

template <LockingPolicy Policy>
Outcome BasicCache<Policy>::try_walk(NodeId start, std::string_view path, const Cred& cred,
                                     bool follow, Entry& entry, int& error) {
  return FastWalk<Policy>(core_, dentries_, cred).run(start, path, follow, entry, error);
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::walk(Worker& me, NodeId start, std::string_view path,
                                       const Cred& cred, bool follow) {
  Entry entry;
  int error = 0;
  Outcome outcome = Outcome::kInodeChanged;
  for (int i = 0; i < FastPath<Policy>::kTries && outcome == Outcome::kInodeChanged; ++i) {
    outcome = try_walk(start, path, cred, follow, entry, error);
  }
  if (outcome != Outcome::kHit) {
    me.count(fallback_counter(outcome));
    me.count(Counter::kWalkLocked);
    return locked_walk(me, start, path, cred, follow);
  }
  me.count(Counter::kWalkHit);
  if (error != 0) return Errno(error);
  return entry;
}

// The bits decide if there is no ACL; whether there is one is asked and remembered, like the bits.
template <LockingPolicy Policy>
Status BasicCache<Policy>::may_search(Worker& me, const Pin& dir, const Cred& cred) {
  const InodePub& pub = core_.slots.inode(dir.id().index());
  const Stamp before = pub.nseq.sample();
  const Result<Attr> attr = attr_of(me, dir);
  if (!attr) return attr.error();
  if (!S_ISDIR(attr->mode)) return Errno(ENOTDIR);
  const bool allowed = bits_allow_search(attr->mode, attr->uid, attr->gid, cred);
  if (!core_.store.caps().has_acls || cred.uid == 0 ||
      core_.lacks(pub.absent.load(std::memory_order_relaxed), kNoAccessList | kNoListsThere)) {
    return allowed ? Status() : Errno(EACCES);
  }
  const std::uint64_t until = core_.until();
  const Result<std::size_t> acl = core_.store.getxattr(dir.node(), "system.posix_acl_access", {});
  if (acl || (acl.error() != Errno(ENODATA) && acl.error() != Errno(EOPNOTSUPP))) {
    return core_.store.access(dir.node(), cred, X_OK);
  }
  const std::uint64_t absence = acl.error() == Errno(ENODATA) ? kNoAccessList : kNoListsThere;
  if (note_absence(dir.id(), absence, before, until)) return allowed ? Status() : Errno(EACCES);
  // The bits may be of before a change, and the list of after it.
  return core_.store.access(dir.node(), cred, X_OK);
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::locked_walk(Worker& me, NodeId start, std::string_view path,
                                              const Cred& cred, bool follow) {
  PathCursor cursor;
  const Status parsed = cursor.start(path);
  if (!parsed) return parsed.error();
  Result<Pin> here = pin(cursor.absolute() ? NodeId::root() : start);
  if (!here) return here.error();
  bool must_be_directory = false;
  while (true) {
    const std::string_view component = cursor.next();
    if (component.empty()) break;
    const bool follow_this = !cursor.last() || cursor.slash_follows() || follow;
    must_be_directory = cursor.slash_follows();
    const Status allowed = may_search(me, *here, cred);
    if (!allowed) return allowed.error();
    if (component == ".") continue;
    if (component == "..") {
      const Result<Entry> up = lookup_parent(me, here->id());
      if (!up) return up.error();
      here = pin(up->id);
      forget(me, up->id, 1);
      if (!here) return here.error();
      continue;
    }
    const Result<NameRef> name = NameRef::make(component);
    if (!name) return name.error();
    Attr attr;
    Result<Pin> child = find_child(me, *here, *name, attr);
    if (!child) return child.error();
    if (!S_ISLNK(attr.mode) || !follow_this) {
      here = std::move(child);
      continue;
    }
    const Result<std::string> target = readlink(me, child->id());
    if (!target) return target.error();
    const Status spliced = cursor.splice(*target);
    if (!spliced) return spliced.error();
    if (cursor.absolute()) here = pin(NodeId::root());
    if (!here) return here.error();
  }
  const Result<Attr> attr = attr_of(me, *here);
  if (!attr) return attr.error();
  if (must_be_directory && !S_ISDIR(attr->mode)) return Errno(ENOTDIR);
  return Entry{here->id(), *attr};
}

}  // namespace evenfs
