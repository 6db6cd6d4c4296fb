// SPDX-License-Identifier: LGPL-2.1-or-later
// The slots: what a lock-free reader may look at (Pub), and what only the locked side uses (Priv).
// Layout only; behaviour is in the files named below.
//
// States of an inode slot (InodePriv::state)
//
//           InodeTable::enter                Reclaimer, no name and no reference left
//     Free -------------------> Live ----------------------------------> Dying
//      ^                          ^                                       |  |
//      |                          |  referenced again meanwhile           |  |
//      |                          +---------------------------------------+  |
//      +---------------------------------------------------------------------+
//             grace period passed, still unreferenced: generation + 1
//
// States of a dentry slot (its `seq`)
//
//     free (odd) --insert--> live (even) --kill, evict--> dead (odd) --grace period--> free (odd)
//
// Invariants
//   L1  A live dentry always says the same: rename is kill and insert. Only `until` moves, when
//       the store confirms it, so a dentry may be served longer than a reader has read.
//   L2  A live dentry keeps its child: an inode on whose list of names a dentry stands is not
//       reclaimed. So `child` needs no generation.
//   L3  aseq is odd while nseq is odd because of a change: who changes what a walk needs changes
//       what stat reports.
//   L4  In a Free or Dying inode all three counts are odd; they never go back (Seqcount S2).
//   L5  Pub holds indices and values, never pointers, so that another process may read it.
//
// Who may touch what
//
//   field                         writer, while holding                        reader
//   InodePub  line 0              inode lock, nseq odd                         anyone, validate nseq
//             walk_until,         inode lock; 0 with nseq odd                  anyone, validate nseq
//             absent
//             line 1, 2           inode lock, aseq odd                         anyone, validate aseq
//             generation          reclaimer: id stripe, all counts odd         anyone, validate either
//             link_cell           inode lock, 0 to a chain once per life       anyone, validate nseq
//             cseq, page_stamp    inode lock                                   anyone; the same
//             names_until         inode lock, cseq odd; 0 to kRollCall: even   anyone, validate cseq
//             id_next             id stripe of the identity                    anyone, see InodeTable
//             identity_generation birth; reclaimer, 0, before generation       anyone, see InodeTable
//   DentryPub until, next         bucket lock                                  anyone
//             all else            bucket lock, before its seq turns even       anyone, validate seq
//   InodePriv refs                anyone, atomically; see reclaim.h            reclaimer
//             users, state, names,
//             orphan, lists_all,
//             unseen_readers      inode lock                                   the same
//             unseen_writers      inode lock                                   anyone, as a hint
//             queue_next          inode lock, queue lock to add                who took the list
//             node                InodeTable::enter, reclaimer                 who pins the inode
//   DentryPriv hook               child's inode lock (live), limbo lock (dead) the same
#pragma once

#include <atomic>
#include <cstdint>

#include <boost/intrusive/list.hpp>

#include "core/base/cacheline.h"
#include "core/store/store.h"
#include "core/sync/futex_mutex.h"
#include "core/sync/seqcount.h"

namespace evenfs {

template <class T>
using Shared = std::atomic<
    T>;  // A field that lock-free readers load; relaxed, see S4, but for [MO-3] and [MO-5].

static_assert(Shared<std::uint64_t>::is_always_lock_free &&
              Shared<std::uint32_t>::is_always_lock_free);

// InodePub::stat_flags
inline constexpr std::uint32_t kAttrValid = 1;   // Lines 1 and 2 and the mode hold what stat said.
inline constexpr std::uint32_t kAttrUntold = 2;  // And Attr::untold was set.

// InodePub::names_until
inline constexpr std::uint64_t kRollCall =
    1;  // A roll call may be under way; no tick up to which anything is served.

struct alignas(kCacheLine) InodePub {
  // Line 0: what a walk needs.
  Seqcount nseq;
  Shared<std::uint32_t> generation{0};  // Of the life it is in or will be in next; the root's is 0.
  Shared<std::uint32_t> mode{0};
  Shared<std::uint32_t> uid{0};
  Shared<std::uint32_t> gid{0};
  Shared<std::uint32_t> parent_index{0};  // Directories only; 0 is unknown.
  Shared<std::uint32_t> parent_generation{0};
  Shared<std::uint32_t> link_cell{0};   // Symbolic links only: the target; 0 is not cached.
  Shared<std::uint32_t> id_next{0};     // Next in the inode table's chain, or its end marker.
  Shared<std::uint64_t> walk_until{0};  // Tick up to which line 0 was confirmed by the store.
  Shared<std::uint64_t> absent{0};      // Attributes that are not there, and up to when: absence.h.
  Shared<std::uint64_t> identity_generation{0};  // Constant in a life; 0 between two.
  // Line 1: what stat reports.
  Seqcount aseq;
  Shared<std::uint64_t> size{0};
  Shared<std::uint64_t> blocks{0};
  Shared<std::int64_t> mtime_sec{0};
  Shared<std::int64_t> ctime_sec{0};
  Shared<std::uint32_t> mtime_nsec{0};
  Shared<std::uint32_t> ctime_nsec{0};
  Shared<std::uint32_t> nlink{0};
  Shared<std::uint32_t> stat_flags{0};
  Shared<std::uint64_t> stat_until{0};  // Tick up to which the attributes may be served.
  // Line 2: the rest of it, and the directory's content count.
  Seqcount cseq;
  // Directories only: tick up to which each name in it is known to have a dentry, so that one without is not
  // there; 0: that is not known; or kRollCall.
  Shared<std::uint64_t> names_until{0};
  Shared<std::int64_t> atime_sec{0};
  Shared<std::int64_t> btime_sec{0};
  Shared<std::uint32_t> atime_nsec{0};
  Shared<std::uint32_t> btime_nsec{0};
  Shared<std::uint32_t> rdev{0};  // Numbers of devices have 32 bits in Linux, in dev_t's form too.
  Shared<std::uint32_t> dev{0};
  Shared<std::uint32_t> blksize{0};
  Shared<std::uint32_t> page_stamp{0};  // See Cache::same_content. Under the inode lock, no count.
  Shared<std::uint64_t> ino{0};         // Constant while the slot is in use.
};
static_assert(sizeof(InodePub) == 3 * kCacheLine);

// Names up to 28 bytes stand in the dentry; longer ones keep their first 24 bytes here and the
// rest in cells, the first of which is named by the last word. Four of five names in a Debian
// /usr have at most 28 bytes, and a dentry is then one line.
inline constexpr std::uint32_t kInlineName = 28;
inline constexpr std::uint32_t kInlinePrefix = 24;

struct alignas(kCacheLine) DentryPub {
  Seqcount seq;
  Shared<std::uint64_t> until{0};  // Tick up to which the name may be served.
  Shared<std::uint32_t> next{0};   // Next in the chain, or the chain's end marker.
  Shared<std::uint32_t> parent_index{0};
  Shared<std::uint32_t> parent_generation{0};
  Shared<std::uint32_t> child{0};  // 0: negative, the name is known not to be there.
  Shared<std::uint32_t> name_length{0};
  Shared<std::uint32_t> name[kInlineName / 4]{};  // Zero padded.
};
static_assert(sizeof(DentryPub) == kCacheLine);

// Bytes of a long name or a link's target, in a chain. Owned by one dentry or inode and validated
// by that owner's count.
struct alignas(kCacheLine) StringCell {
  Shared<std::uint32_t> next{0};
  Shared<std::uint32_t> length{0};  // First cell: bytes in the whole chain.
  Shared<std::uint64_t> bytes[7]{};
};
inline constexpr std::uint32_t kCellBytes = 56;
static_assert(sizeof(StringCell) == kCacheLine);

// The last link of a chain names the bucket it belongs to, so a reader that was led into another
// chain by the reuse of a dentry notices.
inline constexpr std::uint32_t kEndOfChain = 0x8000'0000;

struct DentryPriv {
  boost::intrusive::list_member_hook<> hook;
};

enum class SlotState : std::uint8_t { kFree, kLive, kDying };

struct alignas(kCacheLine) InodePriv {
  using Names = boost::intrusive::list<
      DentryPriv,
      boost::intrusive::member_hook<DentryPriv, boost::intrusive::list_member_hook<>,
                                    &DentryPriv::hook>,
      boost::intrusive::constant_time_size<false>>;

  std::atomic<std::uint64_t> refs{0};  // Lookup count in the low 40 bits, pins above.
  FutexMutex lock;                     // The inode lock: short, never held across a store call.
  FutexMutex op_lock;                  // Directories: one change of the content at a time.
  std::uint16_t stat_users = 0;        // Open sections on aseq, nseq and cseq.
  std::uint16_t walk_users = 0;
  std::uint16_t content_users = 0;
  // Bypasses (Cache::begin_bypass), and the marks below. Writers: inode lock; read by anyone.
  std::atomic<std::uint16_t> unseen_writers{0};
  std::uint16_t unseen_readers = 0;
  SlotState state = SlotState::kFree;
  bool overlapped : 1 = false;   // The section on aseq that is open was opened more than once.
  bool orphan : 1 = false;       // Orphans has a descriptor of it.
  bool lists_all : 1 = false;    // Store::lists_all has said so.
  std::uint32_t queue_next = 0;  // In the reclaimer's queue: the next there, or its end. 0: not.
  Node node;
  Names names;  // Live dentries that lead here.
};
static_assert(sizeof(InodePriv) == kCacheLine);

// InodePriv::unseen_writers: how many; that a mapping may be written, or nobody tells of writes, until there
// are none; and, until the inode is forgotten, that who has closed the file may write by a mapping still, and
// that there was anybody at all.
inline constexpr std::uint16_t kUnseenMax = 0x1fff;
inline constexpr std::uint16_t kUnseenReadersMax = 0xffff;
inline constexpr std::uint16_t kUnseenMap = 0x8000;
inline constexpr std::uint16_t kOnceMapped = 0x4000;
inline constexpr std::uint16_t kOnceWritten = 0x2000;

inline constexpr std::uint64_t kPinUnit = std::uint64_t{1} << 40;
inline constexpr std::uint64_t kLookupMask = kPinUnit - 1;

}  // namespace evenfs
