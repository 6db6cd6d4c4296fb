// SPDX-License-Identifier: LGPL-2.1-or-later
// The way to change an inode's attributes: under its lock, inside a write section. (Outside of one, under
// the lock all the same: the link's target, once in a life; absent; a dying inode's generation. What is
// known of a directory's names has cseq instead.)
//
// InodeGuard is the proof that the inode lock is held, InodeSection the proof that the counts are
// odd; every setter is a member of InodeSection, so neither can be forgotten.
//
// Sections are counted (users), because writers overlap: two writes to one file share one odd
// period, and the count turns even when the last one ends. A long section is opened and closed
// under the lock, with the system call between; a short one begins and ends under one guard.
#pragma once

#include "core/base/assert.h"
#include "core/base/pause_point.h"
#include "core/cache/cache.h"
#include "core/cache/slots.h"

namespace evenfs {

// The inode whose lock is held. Made by InodeGuard only.
class InodeLock {
 public:
  InodePub& pub() const noexcept { return pub_; }
  InodePriv& priv() const noexcept { return priv_; }

  // Opens a section: the fields stop being served. Every open is closed once.
  void open(Fields fields) const noexcept {
    priv_.overlapped = priv_.stat_users != 0;
    if (priv_.stat_users++ == 0) pub_.aseq.begin();
    pub_.stat_flags.store(0, std::memory_order_relaxed);
    if (fields == Fields::kWalk) {
      if (priv_.walk_users++ == 0) pub_.nseq.begin();
      pub_.walk_until.store(0, std::memory_order_relaxed);
      pub_.absent.store(0, std::memory_order_relaxed);
    }
  }
  // Whether the one open section was alone from its beginning: then what the store said after the
  // change is how the object is.
  bool was_alone() const noexcept { return priv_.stat_users == 1 && !priv_.overlapped; }

  void close(Fields fields) const noexcept {
    if (fields == Fields::kWalk && --priv_.walk_users == 0) pub_.nseq.end();
    if (--priv_.stat_users == 0) pub_.aseq.end();
  }

  // The same for a directory's content: no dentry is filled in from outside meanwhile. While it
  // is open the count is odd, and moves on by two for each invalidation from outside.
  void open_content() const noexcept {
    if (priv_.content_users++ == 0) pub_.cseq.begin();
  }
  void close_content() const noexcept {
    if (--priv_.content_users == 0) pub_.cseq.end();
  }
  // What was read of the content before this is not filled in any more. REQUIRES: open_content().
  void outdate_content() const noexcept {
    pub_.cseq.skip();
    pub_.names_until.store(0, std::memory_order_relaxed);
  }
  // Not all names have dentries, or will not in a moment. A roll call that is under way, and whoever is about
  // to answer with what was known, finds cseq changed.
  void forget_names() const noexcept {
    if (pub_.names_until.load(std::memory_order_relaxed) == 0) return;
    open_content();
    pub_.names_until.store(0, std::memory_order_relaxed);
    close_content();
  }
  // REQUIRES: no section on the content is open, and each name has a dentry.
  void note_names(std::uint64_t until) const noexcept {
    open_content();
    pub_.names_until.store(until, std::memory_order_relaxed);
    close_content();
  }

 protected:
  InodeLock(InodePub& pub, InodePriv& priv) noexcept : pub_(pub), priv_(priv) {}
  ~InodeLock() = default;

 private:
  InodePub& pub_;
  InodePriv& priv_;
};

template <class Policy>
class [[nodiscard]] InodeGuard : public InodeLock {
 public:
  InodeGuard(Policy& policy, const Slots& slots, std::uint32_t index) noexcept
      : InodeLock(slots.inode(index), slots.inode_priv(index)),
        guard_(policy.write_inode(slots.inode_priv(index).lock)) {}
  InodeGuard(const InodeGuard&) = delete;
  InodeGuard& operator=(const InodeGuard&) = delete;

 private:
  decltype(std::declval<Policy&>().write_inode(std::declval<FutexMutex&>())) guard_;
};

// A section that begins and ends under one guard. Unlike InodeLock::open it does not take away
// what is cached: it is for those who know the truth and publish it.
class [[nodiscard]] InodeSection {
 public:
  InodeSection(const InodeLock& lock, Fields fields) noexcept : lock_(lock), fields_(fields) {
    if (lock.priv().stat_users++ == 0) lock.pub().aseq.begin();
    if (fields == Fields::kWalk && lock.priv().walk_users++ == 0) lock.pub().nseq.begin();
    // [MO-2] release fence, pairs with validation_fence(), where another thread made the count odd:
    // that thread's fence does not order our stores.
    std::atomic_thread_fence(std::memory_order_release);
  }
  ~InodeSection() { lock_.close(fields_); }
  InodeSection(const InodeSection&) = delete;
  InodeSection& operator=(const InodeSection&) = delete;

  // What stat reports but type, mode and owner. `until`: the tick up to which it may be served.
  void set_stat(const Attr& attr, std::uint64_t until) noexcept { store_stat(pub(), attr, until); }

  // Line 0 was read again and is as it was: no change, so no section on nseq.
  void confirm_walk(std::uint64_t until) noexcept {
    pub().walk_until.store(until, std::memory_order_relaxed);
  }

  // Whoever changed them may have set a list, too: no absence is believed any more. REQUIRES: Fields::kWalk;
  // likewise for set_parent.
  void set_owner_and_mode(const Attr& attr, std::uint64_t until) noexcept {
    EVENFS_ASSERT(fields_ == Fields::kWalk);
    store_walk(pub(), attr, until);
  }
  void set_parent(std::uint32_t index, std::uint32_t generation) noexcept {
    EVENFS_ASSERT(fields_ == Fields::kWalk);
    pub().parent_index.store(index, std::memory_order_relaxed);
    pub().parent_generation.store(generation, std::memory_order_relaxed);
  }

 private:
  friend class InodeBirth;
  static void store_stat(InodePub& pub, const Attr& attr, std::uint64_t until) noexcept;
  static void store_walk(InodePub& pub, const Attr& attr, std::uint64_t until) noexcept;
  InodePub& pub() const noexcept { return lock_.pub(); }

  const InodeLock& lock_;
  const Fields fields_;
};

// The section in which a slot is between two lives: its counts are odd already. Ends with the
// birth of the inode.
class [[nodiscard]] InodeBirth {
 public:
  // REQUIRES: the caller got the slot from Slots::reuse_inode or carve_inode.
  explicit InodeBirth(const InodeLock& lock) noexcept : pub_(lock.pub()), priv_(lock.priv()) {
    EVENFS_ASSERT(priv_.state == SlotState::kFree);
    // [MO-2] release fence, pairs with validation_fence(): the counts were made odd by whoever
    // ended the life before.
    std::atomic_thread_fence(std::memory_order_release);
  }
  // Makes the inode live. `trusted`: the attributes may be served until `until`; otherwise they
  // are there, but not served. `empty`: a directory in which there was no name when the store was asked.
  void finish(const Found& found, bool trusted, std::uint64_t until, std::uint64_t first_refs,
              bool empty) noexcept;

 private:
  InodePub& pub_;
  InodePriv& priv_;
};

// A copy of all that stat reports, with relaxed loads. It is worth nothing until aseq, sampled
// before, has been validated after.
void copy_attr(const InodePub& pub, Attr& into) noexcept;

// REQUIRES: the inode lock.
inline bool same_owner_and_mode(const InodePub& pub, const Attr& attr) noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  return pub.mode.load(kRelaxed) == attr.mode && pub.uid.load(kRelaxed) == attr.uid &&
         pub.gid.load(kRelaxed) == attr.gid;
}

// --- Inline, because they are most of a hit.

[[gnu::always_inline]] inline void copy_attr(const InodePub& pub, Attr& into) noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  into.ino = pub.ino.load(kRelaxed);
  into.dev = pub.dev.load(kRelaxed);
  into.mode = pub.mode.load(kRelaxed);
  into.nlink = pub.nlink.load(kRelaxed);
  into.uid = pub.uid.load(kRelaxed);
  into.gid = pub.gid.load(kRelaxed);
  EVENFS_PAUSE("attr.half_copied");
  into.rdev = pub.rdev.load(kRelaxed);
  into.size = pub.size.load(kRelaxed);
  into.blocks = pub.blocks.load(kRelaxed);
  into.blksize = pub.blksize.load(kRelaxed);
  into.untold = (pub.stat_flags.load(kRelaxed) & kAttrUntold) != 0;
  into.atime = {pub.atime_sec.load(kRelaxed), pub.atime_nsec.load(kRelaxed)};
  into.mtime = {pub.mtime_sec.load(kRelaxed), pub.mtime_nsec.load(kRelaxed)};
  into.ctime = {pub.ctime_sec.load(kRelaxed), pub.ctime_nsec.load(kRelaxed)};
  into.btime = {pub.btime_sec.load(kRelaxed), pub.btime_nsec.load(kRelaxed)};
}

}  // namespace evenfs
