// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache, what changes: invalidate before the store is told, publish after it agreed.
// Included by basic_cache.h.
//
// Every change of a directory's content goes through the same steps, which is what makes answers
// from the cache right:
//   1. the directory's operation lock: one change of its content at a time;
//   2. sections open on everything the change touches: the directory's content and attributes,
//      the attributes of each inode that gains or loses a name;
//   3. the dentries of the names are killed;
//   4. the store is told;
//   5. new dentries are inserted, negative ones too;
//   6. sections close, the lock is let go.
// Between 3 and 5 the name is a miss: nobody answers for it but the store.
//
// Every function that removes or renames first finds the inode of the name, cached or not: an
// object that changes without an inode could be entered meanwhile with what it was before.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "core/base/pause_point.h"
#include "core/cache/basic_cache.h"
#include "core/cache/op_locks.h"

namespace evenfs {

// While it lives, the content of a directory is being changed, and so are its times.
// REQUIRES: the operation lock, and a pin.
template <LockingPolicy Policy>
class [[nodiscard]] BasicCache<Policy>::DirChange {
 public:
  DirChange(Core<Policy>& core, NodeId dir) noexcept : core_(core), index_(dir.index()) {
    const auto inode = core_.lock_inode(index_);
    inode.open_content();
    inode.open(Fields::kStat);
    lease_ = inode.pub().cseq.sample();
  }
  ~DirChange() {
    const auto inode = core_.lock_inode(index_);
    if (!names_known_) inode.forget_names();
    inode.close(Fields::kStat);
    inode.close_content();
  }
  DirChange(const DirChange&) = delete;
  DirChange& operator=(const DirChange&) = delete;

  // The right to cache what the store says of a name while this change lasts. It is void as soon
  // as somebody invalidates a name of the directory from outside.
  Stamp lease() const noexcept { return lease_; }

  // The store has done it, and `known`: each name that the directory got has a dentry, and each that was killed
  // and has none is gone. Otherwise not all names are known afterwards.
  void keep_names(bool known) noexcept { names_known_ = known; }

 private:
  Core<Policy>& core_;
  const std::uint32_t index_;
  Stamp lease_ = 0;
  bool names_known_ = false;
};

// A lookup that was counted: it is given back unless the caller of the operation is told of it.
template <LockingPolicy Policy>
class [[nodiscard]] BasicCache<Policy>::Counted {
 public:
  Counted(BasicCache& cache, Worker& me, NodeId id) noexcept : cache_(&cache), me_(me), id_(id) {}
  ~Counted() {
    if (cache_ != nullptr) cache_->forget(me_, id_, 1);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void keep() noexcept { cache_ = nullptr; }

 private:
  BasicCache* cache_;
  Worker& me_;
  const NodeId id_;
};

template <LockingPolicy Policy>
void BasicCache<Policy>::kill_name(Worker& me, NodeId dir, NameRef name) {
  if (dentries_.kill(dir.index(), name)) me.count(Counter::kDentryKilled);
}

template <LockingPolicy Policy>
template <class Make>
Result<Entry> BasicCache<Policy>::make_node(Worker& me, NodeId dir, NameRef name, Make make) {
  reclaimer_.run_if_worthwhile(me);
  const Result<Pin> parent = pin(dir);
  if (!parent) return parent.error();
  return make_node_in(me, *parent, name, false, make);
}

template <LockingPolicy Policy>
template <class Make>
Result<Entry> BasicCache<Policy>::make_node_in(Worker& me, const Pin& parent, NameRef name,
                                               bool empty, Make make) {
  const NodeId dir = parent.id();
  const OpLocks op(core_.slots, dir);
  DirChange change(core_, dir);
  EVENFS_PAUSE("change.opened");
  kill_name(me, dir, name);
  const auto ticket = inodes_.ticket();
  const std::uint64_t until = core_.until();
  const Result<Found> found = make(parent.node());
  if (!found) return found.error();
  const Result<NodeId> id = adopt(me, *found, ticket, until, 1, empty);
  if (!id) return id.error();
  change.keep_names(cache_name(me, dir, name, *id, change.lease(), until));
  return Entry{*id, found->attr};
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::mknod(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                                        std::uint64_t rdev, const Cred& cred) {
  return make_node(me, dir, name, [&](const Node& parent) {
    return core_.store.mknod(parent, name, mode, rdev, cred);
  });
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::mkdir(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                                        const Cred& cred) {
  reclaimer_.run_if_worthwhile(me);
  const Result<Pin> held = pin(dir);
  if (!held) return held.error();
  // There is nothing in it, unless others are faster; and it lists its names as the directory does in which it
  // is made.
  const bool told_at_once = !core_.store.caps().told_after_mkdir;
  return make_node_in(me, *held, name, told_at_once && lists_all(*held), [&](const Node& parent) {
    return core_.store.mkdir(parent, name, mode, cred);
  });
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::symlink(Worker& me, NodeId dir, NameRef name, const char* target,
                                          const Cred& cred) {
  return make_node(me, dir, name, [&](const Node& parent) {
    return core_.store.symlink(parent, name, target, cred);
  });
}

template <LockingPolicy Policy>
Result<Opened> BasicCache<Policy>::create(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                                          int flags, const Cred& cred) {
  // Without O_EXCL a file may be there and be gone before it is opened. Somebody who does that on
  // purpose gets his ENOENT in the end.
  for (int i = 0; i < kCreateTries - 1; ++i) {
    Result<Opened> opened = make_or_open(me, dir, name, mode, flags, cred);
    if (opened || (flags & O_EXCL) != 0 ||
        (opened.error() != Errno(ENOENT) && opened.error() != Errno(ESTALE))) {
      return opened;
    }
  }
  return make_or_open(me, dir, name, mode, flags, cred);
}

template <LockingPolicy Policy>
Result<Opened> BasicCache<Policy>::make_or_open(Worker& me, NodeId dir, NameRef name,
                                                std::uint32_t mode, int flags, const Cred& cred) {
  std::unique_ptr<File> file;
  // Exclusive whatever the caller asks: a file that is there already is opened as such, inside
  // its own section if it is truncated.
  const Result<Entry> made = make_node(me, dir, name, [&](const Node& parent) -> Result<Found> {
    Result<Created> created = core_.store.create(parent, name, mode, flags | O_EXCL, cred);
    if (!created) return created.error();
    file = std::move(created->file);
    return created->found;
  });
  if (made) return Opened{*made, std::move(file)};
  if (made.error() != Errno(EEXIST) || (flags & O_EXCL) != 0) return made.error();
  Result<Entry> there = lookup(me, dir, name);
  if (!there) return there.error();
  Counted counted(*this, me, there->id);
  Result<std::unique_ptr<File>> opened = open_for(me, there->id, flags, cred);
  if (!opened) return opened.error();
  // Opening may have cut it short.
  if (const Result<Attr> attr = getattr(me, there->id, opened->get())) there->attr = *attr;
  counted.keep();
  return Opened{*there, std::move(opened).value()};
}

// Opens a file that the caller asked to be made. Nobody has checked yet whether he may open it: the
// kernel checks the directory when it sends CREATE, and takes the file for his own.
template <LockingPolicy Policy>
Result<std::unique_ptr<File>> BasicCache<Policy>::open_for(Worker& me, NodeId id, int flags,
                                                           const Cred& cred) {
  const int mode = flags & O_ACCMODE;
  int mask = mode == O_RDONLY ? R_OK : (mode == O_WRONLY ? W_OK : R_OK | W_OK);
  if ((flags & O_TRUNC) != 0) mask |= W_OK;
  const Status allowed = access(me, id, cred, mask);
  if (!allowed) return allowed.error();
  if ((flags & O_TRUNC) != 0) {
    SetAttr cut;
    cut.size = 0;
    cut.clear_suid_sgid = cred.uid != 0;
    const Result<Attr> done = setattr(me, id, cut, nullptr);
    if (!done) return done.error();
  }
  return open(me, id, flags & ~(O_CREAT | O_TRUNC));
}

template <LockingPolicy Policy>
Result<Opened> BasicCache<Policy>::tmpfile(Worker& me, NodeId dir, std::uint32_t mode, int flags,
                                           const Cred& cred) {
  reclaimer_.run_if_worthwhile(me);
  const Result<Pin> parent = pin(dir);
  if (!parent) return parent.error();
  const auto ticket = inodes_.ticket();
  const std::uint64_t until = core_.until();
  Result<Created> created = core_.store.tmpfile(parent->node(), mode, flags, cred);
  if (!created) return created.error();
  const Result<NodeId> id = adopt(me, created->found, ticket, until, 1);
  if (!id) return id.error();
  return Opened{Entry{*id, created->found.attr}, std::move(created->file)};
}

template <LockingPolicy Policy>
Result<Entry> BasicCache<Policy>::link(Worker& me, NodeId id, NodeId new_dir, NameRef new_name) {
  const Result<Pin> parent = pin(new_dir);
  if (!parent) return parent.error();
  const OpLocks op(core_.slots, new_dir);
  Result<Change> inode = begin_change(id, Fields::kStat);
  if (!inode) return inode.error();
  DirChange change(core_, new_dir);
  EVENFS_PAUSE("change.opened");
  kill_name(me, new_dir, new_name);
  const std::uint64_t until = core_.until();
  const Result<Attr> attr = core_.store.link(inode->node(), parent->node(), new_name);
  if (!attr) return attr.error();
  core_.slots.inode_priv(id.index()).refs.fetch_add(1, std::memory_order_relaxed);
  inode->end_with(*attr, until);
  change.keep_names(cache_name(me, new_dir, new_name, id, change.lease(), until));
  return Entry{id, *attr};
}

// A dentry that others may have outdated would have us open the section of an object that is not
// the one that changes, so then the store is asked.
template <LockingPolicy Policy>
auto BasicCache<Policy>::resolve_to_change(Worker& me, const Pin& dir, NameRef name, bool goes)
    -> Result<Renamed> {
  auto orphan = std::make_unique<Orphan>();
  Attr attr;
  const bool asks = core_.ttl_ticks != kForeverTicks;
  Result<Resolved> child =
      resolve(me, dir, name, asks ? &attr : nullptr, asks && goes ? &orphan->file : nullptr);
  if (!child) return child.error();
  const NodeId id = child->pin.id();
  if (!asks && goes) {
    Result<std::unique_ptr<File>> file = core_.store.hold(child->pin.node());
    if (file) orphan->file = std::move(*file);
    if (fast_.getattr(id, attr) != Outcome::kHit) attr = Attr();  // Nobody has told.
  }
  orphan->index = id.index();
  if (orphan->file == nullptr) orphan.reset();
  // A source on a network may keep a name for what is held: then it is to be let go at once.
  const bool last_name = !core_.store.caps().may_be_slow && (attr.nlink == 1 || S_ISDIR(attr.mode));
  return Renamed{std::move(*child), std::move(orphan), last_name};
}

template <LockingPolicy Policy>
template <class Remove>
Status BasicCache<Policy>::remove(Worker& me, NodeId dir, NameRef name, Fields fields,
                                  Remove call) {
  reclaimer_.run_if_worthwhile(me);
  const Result<Pin> parent = pin(dir);
  if (!parent) return parent.error();
  const OpLocks op(core_.slots, dir);
  Result<Renamed> lost = resolve_to_change(me, *parent, name, true);
  if (!lost) return lost.error();
  Result<Change> inode = begin_change(lost->child.pin.id(), fields);
  if (!inode) return inode.error();
  DirChange change(core_, dir);
  EVENFS_PAUSE("change.opened");
  kill_name(me, dir, name);
  const std::uint64_t until = core_.until();
  const Status done = call(parent->node());
  if (!done) return done;
  change.keep_names(true);
  cache_negative(me, dir, name, change.lease(), until);
  end_nameless(*inode, *lost, until);
  return done;
}

template <LockingPolicy Policy>
Status BasicCache<Policy>::unlink(Worker& me, NodeId dir, NameRef name) {
  return remove(me, dir, name, Fields::kStat,
                [&](const Node& parent) { return core_.store.unlink(parent, name); });
}

// kWalk: a walk that stands in the directory is to notice that it is gone.
template <LockingPolicy Policy>
Status BasicCache<Policy>::rmdir(Worker& me, NodeId dir, NameRef name) {
  return remove(me, dir, name, Fields::kWalk,
                [&](const Node& parent) { return core_.store.rmdir(parent, name); });
}

// Whether or not the new name can be cached, the old parent must not be answered for "..".
template <LockingPolicy Policy>
void BasicCache<Policy>::set_parent(NodeId child, NodeId parent) {
  const auto inode = core_.lock_inode(child.index());
  if (!S_ISDIR(inode.pub().mode.load(std::memory_order_relaxed))) return;
  InodeSection(inode, Fields::kWalk).set_parent(parent.index(), parent.generation());
}

template <LockingPolicy Policy>
Status BasicCache<Policy>::rename(Worker& me, NodeId dir, NameRef name, NodeId new_dir,
                                  NameRef new_name, RenameMode mode, const Cred& cred) {
  reclaimer_.run_if_worthwhile(me);
  const Result<Pin> from = pin(dir);
  if (!from) return from.error();
  const Result<Pin> to = pin(new_dir);
  if (!to) return to.error();
  const OpLocks op(core_.slots, dir, new_dir);
  const bool victim_goes = mode == RenameMode::kReplace || mode == RenameMode::kWhiteout;
  const Result<Renamed> source = resolve_to_change(me, *from, name, false);
  if (!source) return source.error();
  Result<Renamed> victim = resolve_to_change(me, *to, new_name, victim_goes);
  if (!victim && victim.error() != Errno(ENOENT)) return victim.error();
  // kWalk: a directory that moves changes its parent, one that is replaced dies.
  const Result<Change> moving = begin_change(source->child.pin.id(), Fields::kWalk);
  if (!moving) return moving.error();
  std::optional<Change> replaced;
  if (victim) {
    Result<Change> section = begin_change(victim->child.pin.id(), Fields::kWalk);
    if (!section) return section.error();
    replaced.emplace(std::move(section).value());
  }
  DirChange from_change(core_, dir);
  DirChange to_change(core_, new_dir);
  kill_name(me, dir, name);
  kill_name(me, new_dir, new_name);
  EVENFS_PAUSE("rename.killed");
  const std::uint64_t until = core_.until();
  const Status done = core_.store.rename(from->node(), name, to->node(), new_name, mode, cred);
  if (!done) return done;
  const NodeId source_id = source->child.pin.id();
  const NodeId victim_id = victim ? victim->child.pin.id() : NodeId();
  // Two names of one inode: POSIX has rename do nothing then. Both stay, uncached.
  if (victim_id == source_id) return done;
  // What moved is what the old name led to, as far as we knew: no newer than that knowledge.
  EVENFS_PAUSE("rename.done");
  set_parent(source_id, new_dir);
  to_change.keep_names(
      cache_name(me, new_dir, new_name, source_id, to_change.lease(), source->child.until));
  if (mode == RenameMode::kExchange && victim) {
    set_parent(victim_id, dir);
    from_change.keep_names(
        cache_name(me, dir, name, victim_id, from_change.lease(), victim->child.until));
  } else if (mode == RenameMode::kNoReplace ||
             (mode == RenameMode::kReplace && core_.ttl_ticks == kForeverTicks)) {
    // If others may make links, the new name may have been one of the same inode without our
    // knowing, and then the old name is still there.
    from_change.keep_names(true);
    cache_negative(me, dir, name, from_change.lease(), until);
  }
  if (victim) end_nameless(*replaced, *victim, until);
  return done;
}

template <LockingPolicy Policy>
Result<Attr> BasicCache<Policy>::setattr(Worker&, NodeId id, const SetAttr& change, File* file) {
  // With nothing to set, as by chown(-1, -1), set-id bits may go.
  const bool walk =
      change.mode || change.uid || change.gid || change.clear_suid_sgid || change.is_nothing();
  Result<Change> inode = begin_change(id, walk ? Fields::kWalk : Fields::kStat);
  if (!inode) return inode.error();
  const std::uint64_t until = core_.until();
  const Result<Attr> told = core_.store.setattr(inode->node(), change, file);
  if (told) inode->end_with(*told, until);
  return told;
}

template <LockingPolicy Policy>
Result<std::unique_ptr<File>> BasicCache<Policy>::open(Worker&, NodeId id, int flags) {
  if ((flags & O_TRUNC) != 0) {
    const Result<Change> inode = begin_change(id, Fields::kStat);
    if (!inode) return inode.error();
    return core_.store.open(inode->node(), flags);
  }
  const Result<Pin> held = pin(id);
  if (!held) return held.error();
  return core_.store.open(held->node(), flags);
}

}  // namespace evenfs
