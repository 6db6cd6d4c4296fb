// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cache/inode_section.h"

namespace evenfs {

namespace {
constexpr auto kRelaxed = std::memory_order_relaxed;
}

void InodeSection::store_stat(InodePub& pub, const Attr& attr, std::uint64_t until) noexcept {
  pub.size.store(attr.size, kRelaxed);
  pub.blocks.store(attr.blocks, kRelaxed);
  pub.nlink.store(attr.nlink, kRelaxed);
  pub.blksize.store(attr.blksize, kRelaxed);
  pub.rdev.store(static_cast<std::uint32_t>(attr.rdev), kRelaxed);
  pub.atime_sec.store(attr.atime.sec, kRelaxed);
  pub.atime_nsec.store(attr.atime.nsec, kRelaxed);
  pub.mtime_sec.store(attr.mtime.sec, kRelaxed);
  pub.mtime_nsec.store(attr.mtime.nsec, kRelaxed);
  pub.ctime_sec.store(attr.ctime.sec, kRelaxed);
  pub.ctime_nsec.store(attr.ctime.nsec, kRelaxed);
  pub.btime_sec.store(attr.btime.sec, kRelaxed);
  pub.btime_nsec.store(attr.btime.nsec, kRelaxed);
  pub.stat_until.store(until, kRelaxed);
  pub.stat_flags.store(attr.untold ? kAttrValid | kAttrUntold : kAttrValid, kRelaxed);
}

void InodeSection::store_walk(InodePub& pub, const Attr& attr, std::uint64_t until) noexcept {
  pub.mode.store(attr.mode, kRelaxed);
  pub.uid.store(attr.uid, kRelaxed);
  pub.gid.store(attr.gid, kRelaxed);
  pub.walk_until.store(until, kRelaxed);
  pub.absent.store(0, kRelaxed);
}

void InodeBirth::finish(const Found& found, bool trusted, std::uint64_t until,
                        std::uint64_t first_refs, bool empty) noexcept {
  InodeSection::store_stat(pub_, found.attr, until);
  InodeSection::store_walk(pub_, found.attr, trusted ? until : 0);
  if (!trusted) pub_.stat_flags.store(0, kRelaxed);
  EVENFS_ASSERT(found.identity.ino == found.attr.ino && found.identity.dev == found.attr.dev);
  pub_.ino.store(found.identity.ino, kRelaxed);
  EVENFS_ASSERT(found.identity.dev >> 32 == 0);
  pub_.dev.store(static_cast<std::uint32_t>(found.identity.dev), kRelaxed);
  pub_.identity_generation.store(found.identity.generation, kRelaxed);
  pub_.parent_index.store(0, kRelaxed);
  pub_.parent_generation.store(0, kRelaxed);
  pub_.link_cell.store(0, kRelaxed);
  pub_.page_stamp.store(0, kRelaxed);
  // Not if it had an inode before: names may have been made through that.
  pub_.names_until.store(empty && trusted ? until : 0, kRelaxed);
  priv_.node = found.node;
  priv_.stat_users = priv_.walk_users = priv_.content_users = 0;
  priv_.overlapped = priv_.orphan = false;
  priv_.lists_all = empty;
  EVENFS_ASSERT((priv_.unseen_writers.load(kRelaxed) & kUnseenMax) == 0);
  EVENFS_ASSERT(priv_.unseen_readers == 0);
  priv_.unseen_writers.store(0, kRelaxed);
  priv_.queue_next = 0;
  // Added, not stored: hold() may be counting here for a moment, by a name that the life before had while
  // it was dying. It will find that name dead, and take back what it added.
  priv_.refs.fetch_add(first_refs, kRelaxed);
  priv_.state = SlotState::kLive;
  pub_.cseq.end();
  pub_.nseq.end();
  pub_.aseq.end();
}

}  // namespace evenfs
