/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fill_lease: attributes that are asked for, and those that a change publishes, against other changes.
 *
 * Code      core/cache/answer.h: ask_getattr, publish; core/cache/inode_section.h: open, close, was_alone,
 *           InodeSection; core/cache/lifetime.h: begin_change, end_change;
 *           core/cache/fast_path.h: getattr_once, mode.
 * World     One object with a mode (a walk field, under nseq) and a size (under aseq). One caller
 *           changes the mode, one the size; each is told the attributes in a step of its own and may
 *           publish them, or not. One fills twice. One reads, by stat or by mode alone.
 * Left out  Ticks, but for "never"; the generation (slot_reuse). Attributes are two words, one for each count.
 * Property  What a reader is given was true at one instant of its call, mode and size together.
 *
 * Mutations
 *   -DNO_LEASE         a fill does not compare aseq
 *   -DODD_LEASE        a fill takes an odd aseq for a lease
 *   -DLATE_BEGIN       sections open after the store was told
 *   -DNO_OVERLAP_MARK  a change publishes if its section is the only one open as it ends
 *   -DNO_USERS         each end makes the counts even, whoever else has a section open
 *   -DKEEP_VALID       opening a section leaves the attributes valid
 *   -DKEEP_FRESH       opening a section about the mode leaves walk_until
 *   -DNO_MODE_CHECK    the end of a section that is not about the mode publishes whatever the mode is
 *   -DNO_ASEQ_IN_WALK  a section about the mode leaves aseq alone (L3)
 * Reached
 *   -DREACH_FILL       a hit on what a fill published, after a change
 *   -DREACH_TOLD       a hit on what a change published
 *   -DREACH_OVERLAP    the section is alone as it ends, and was not before
 *   -DREACH_MODE       the mode alone is read while the size changes
 */
byte aseq = 2; /* What readers see. */
byte nseq = 2;
byte mode;
byte size;
bool valid = true; /* stat_flags; under aseq */
bool walk_fresh = true; /* walk_until; 0 when a section about the mode opens */

byte stat_users; /* Under the inode lock. */
byte walk_users;
bool overlapped;
bool inode_lock;
byte origin; /* Who published last. */
#define FILL 1
#define CHANGE 2

byte true_mode; /* How things are. */
byte true_size;
bool reading;
bool over;
byte was_true; /* Bit 2 * mode + size: were true together since the reader began. */

#define ODD(count) ((count) & 1)
#define PAIR(m, s) (1 << (2 * (m) + (s)))

#ifdef NO_USERS
#define FIRST !ODD(aseq)
#define LAST ODD(aseq)
#else
#define FIRST (stat_users == 1)
#define LAST (stat_users == 0)
#endif
#ifdef NO_OVERLAP_MARK
#define ALONE (stat_users == 1)
#else
#define ALONE (stat_users == 1 && !overlapped)
#endif
#ifdef NO_MODE_CHECK
#define MAY_TELL(walk, m) true
#else
#define MAY_TELL(walk, m) (walk || m == mode)
#endif
#ifdef NO_ASEQ_IN_WALK
#define STAT_TOO(walk) !walk
#else
#define STAT_TOO(walk) true
#endif
#ifdef NO_LEASE
#define HOLDS(lease) true
#else
#define HOLDS(lease) (aseq == lease)
#endif
#ifdef ODD_LEASE
#define MAY_FILL(lease) true
#else
#define MAY_FILL(lease) !ODD(lease)
#endif

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }
inline note() {
  if
  :: reading -> was_true = was_true | PAIR(true_mode, true_size)
  :: else
  fi
}

/* begin() and end() of both counts; `walk`: nseq too. Under the inode lock. */
inline enter(walk) {
  if
  :: STAT_TOO(walk) ->
    stat_users++;
    if
    :: FIRST -> aseq++
    :: else
    fi
  :: else
  fi;
  if
  :: walk ->
    walk_users++;
    if
    :: walk_users == 1 -> nseq++
    :: else
    fi
  :: else
  fi
}
inline leave(walk) {
  if
  :: walk ->
    walk_users--;
    if
    :: walk_users == 0 -> nseq++
    :: else
    fi
  :: else
  fi;
  if
  :: STAT_TOO(walk) ->
    stat_users--;
    if
    :: LAST -> aseq++
    :: else
    fi
  :: else
  fi
}

inline open(walk) {
  take(inode_lock);
  overlapped = (stat_users != 0);
  enter(walk);
#ifndef KEEP_VALID
  valid = false;
#endif
#ifndef KEEP_FRESH
  if
  :: walk -> walk_fresh = false
  :: else
  fi;
#endif
  drop(inode_lock)
}
inline publish(walk, m, s, who) {
  enter(walk);
  size = s; d_step { valid = true; origin = who }
  if
  :: walk -> mode = m; walk_fresh = true
  :: !walk && who == FILL -> walk_fresh = true /* confirm_walk, without nseq */
  :: else
  fi;
  leave(walk)
}
inline end_change(walk, m, s, tell) {
  take(inode_lock);
#ifdef REACH_OVERLAP
  assert(!(tell && stat_users == 1 && overlapped));
#endif
  if
  :: tell && ALONE && MAY_TELL(walk, m) -> publish(walk, m, s, CHANGE)
  :: else
  fi;
  leave(walk);
  drop(inode_lock)
}

inline ask(m, s) { d_step { m = true_mode; s = true_size } }
inline change(walk) {
#ifndef LATE_BEGIN
  open(walk);
#endif
  d_step {
    if
    :: walk -> true_mode = 1 - true_mode
    :: else -> true_size++
    fi;
    note()
  }
#ifdef LATE_BEGIN
  open(walk);
#endif
  if
  :: ask(m, s); tell = true
  :: tell = false
  fi;
  end_change(walk, m, s, tell);
  m = 0; s = 0
}

proctype chmod() {
  byte m, s;
  bool tell;
  change(true)
}
proctype write() {
  byte m, s;
  bool tell;
  change(false)
}

proctype filler() {
  byte m, s, lease, n;
  do
  :: n < 2 && !over ->
    n++;
    lease = aseq;
    ask(m, s);
    if
    :: MAY_FILL(lease) ->
      take(inode_lock);
      if
      :: HOLDS(lease) && m == mode -> publish(false, m, s, FILL)
      :: HOLDS(lease) && m != mode -> publish(true, m, s, FILL)
      :: !HOLDS(lease)
      fi;
      drop(inode_lock)
    :: else
    fi;
    m = 0; s = 0; lease = 0
  :: else -> break
  od
}

proctype reader() {
  byte stamp, m, s, who;
  bool ok;
  d_step { reading = true; note() }
  if
  :: true -> /* getattr */
    stamp = aseq;
    if
    :: ODD(stamp) -> goto done
    :: else
    fi;
    m = mode;
    s = size;
    ok = valid;
    who = origin;
    if
    :: aseq != stamp || !ok -> goto done
    :: else
    fi;
    assert(was_true & PAIR(m, s));
#ifdef REACH_FILL
    assert(!(who == FILL && m != 0 && s != 0));
#endif
#ifdef REACH_TOLD
    assert(who != CHANGE);
#endif
  :: true -> /* mode alone */
    stamp = nseq;
    if
    :: ODD(stamp) -> goto done
    :: else
    fi;
    m = mode;
    ok = walk_fresh;
    if
    :: nseq != stamp || !ok -> goto done
    :: else
    fi;
    assert((was_true >> (2 * m)) & 3);
#ifdef REACH_MODE
    assert(!ODD(aseq));
#endif
  fi;
done:
  over = true;
  d_step { reading = false; was_true = 0; stamp = 0; m = 0; s = 0; ok = false; who = 0 }
}

init {
  atomic { run chmod(); run write(); run filler(); run reader() }
}
