/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lookup_count: references raised without a lock against mark, wait and settle.
 *
 * Code      core/cache/fast_path.h: finish_hit (its count) and hold_once; core/cache/core.h: queue_if_unused,
 *           recheck; core/cache/reclaim.h: mark, settle; core/cache/inode_table.h: find_held, enter,
 *           remove_or_revive; core/cache/lifetime.h: give_back, drop_refs; DentryTable::detach.
 * World     One inode slot, one dentry that leads to it and is killed once, as by the evictor. The
 *           kernel knows the inode once. Two workers serve LOOKUP and FORGET, a third thread reclaims.
 *           A freed slot is born again.
 * Stores    A reader may see the dentry's and the inode's count late, but for sections that begin in or
 *           after a grace period that began after the store. So "refs + 1, look at
 *           the counts" and "counts odd, look at refs" may miss each other, as with a store buffer.
 * Left out  What the answer says (walk, evict_count); forged FORGETs. Pins and the kernel's count are
 *           one number. The dentry comes once: new ones are evict_count's and dying_name's.
 * Property  No inode is freed while the kernel knows it; no count falls below zero; in the end the
 *           references are what the kernel knows, and an inode that nobody keeps is queued or freed.
 *
 * Mutations
 *   -DNO_GP            settle does not wait for a grace period
 *   -DNO_SETTLE_CHECK  what was unused when it was marked is freed
 *   -DCOUNT_OUTSIDE    the reference is raised after the read section
 *   -DREPLY_FIRST      the reference is raised after the reply
 *   -DNO_RECHECK       who took a reference back does not look again
 *   -DNO_DETACH_LOOK   who took the last name away does not look
 *   -DNO_STRIPE        a slow lookup raises the reference without the id stripe
 * Reached
 *   -DREACH_FREE       the slot is freed
 *   -DREACH_REVIVE     settle finds a reference
 *   -DREACH_TAKE_BACK  a reference is taken back
 *   -DREACH_LATE       a reader was right by what it saw, and the inode was marked already
 *   -DREACH_LIFE       the kernel forgets an inode of the second life
 */
#define LIVE 0
#define DYING 1
#define FREE 2

byte refs = 1;
byte known = 1; /* What the kernel was told and has not given back. */
byte state = LIVE;
bool named = true;
bool queued;
bool reusable; /* In the pool of free slots. */
byte life = 1;

bool dead; /* The dentry. */
byte aseq = 2;
bool dead_seen[2]; /* As each worker sees them. */
byte aseq_seen[2];
bool dead_before; /* As they were when the last grace period began. */
byte aseq_before = 2;

byte section[2]; /* Odd: the worker is in a read section. */
bool inode_lock;
bool stripe;
byte finished;

#define ODD(count) ((count) & 1)

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }

/* Under the inode lock. */
inline queue_if_unused() {
  d_step {
    if
    :: state == LIVE && !queued && refs == 0 && !named -> queued = true
    :: else
    fi
  }
}
inline look_again() {
  take(inode_lock);
  queue_if_unused();
  drop(inode_lock)
}

/* A section that a grace period does not wait for sees what was stored before that began. */
inline begin_section() {
  d_step {
    section[me]++;
    dead_seen[me] = dead_seen[me] || dead_before;
    aseq_seen[me] = (aseq_seen[me] < aseq_before -> aseq_before : aseq_seen[me])
  }
}
inline end_section() { section[me]++ }
/* What a reader sees may be new or old, but never older than what it has seen before. */
inline see() {
  if
  :: dead_seen[me] = dead
  :: true
  fi;
  if
  :: aseq_seen[me] = aseq
  :: true
  fi
}

/* The table's way: the object is found or entered again. */
inline slow_lookup(counted) {
#ifndef NO_STRIPE
  take(stripe);
#endif
  if
  :: state != FREE -> refs++; counted = true
  :: state == FREE && reusable ->
    take(inode_lock);
    d_step {
      reusable = false; state = LIVE; life++; queued = false;
      refs++; /* Not a store: see dying_name. */
      aseq++; counted = true
    }
    drop(inode_lock)
  :: state == FREE && !reusable -> counted = false /* Takes another slot. */
  fi;
#ifndef NO_STRIPE
  drop(stripe)
#endif
}

proctype worker(byte me) {
  byte stamp;
  bool counted;
  bool asked;
  do
  :: !asked -> /* LOOKUP */
    asked = true;
    counted = false;
    begin_section();
    atomic { see(); stamp = aseq_seen[me] }
    if
    :: dead_seen[me] || ODD(stamp) -> end_section()
    :: else ->
#if !defined(COUNT_OUTSIDE) && !defined(REPLY_FIRST)
      refs++;
#endif
      atomic {
        see();
        if
        :: !dead_seen[me] && aseq_seen[me] == stamp -> counted = true
        :: !dead_seen[me] -> counted = true /* hold_once: only the name has to stand. */
        :: dead_seen[me] || aseq_seen[me] != stamp
        fi
      }
#ifdef REACH_LATE
      assert(!counted || state == LIVE);
#endif
#if defined(REPLY_FIRST)
      if
      :: counted -> known++; refs++
      :: else
      fi;
      end_section();
#elif defined(COUNT_OUTSIDE)
      end_section();
      if
      :: counted -> refs++; known++
      :: else
      fi
#else
      if
      :: counted -> end_section(); known++
      :: else ->
#ifdef REACH_TAKE_BACK
        assert(false);
#endif
        d_step { assert(refs > 0); refs-- }
        end_section();
#ifndef NO_RECHECK
        look_again()
#endif
      fi
#endif
    fi;
    if
    :: counted
    :: !counted /* The store says that the name is gone. */
    :: !counted ->
      slow_lookup(counted);
      if
      :: counted -> known++
      :: counted -> /* For ourselves only: drop_refs. */
        d_step { assert(refs > 0); refs--; counted = (refs == 0) }
        if
        :: counted -> look_again()
        :: else
        fi
      :: !counted
      fi
    fi
  :: atomic { known > 0 -> known-- } /* FORGET */
    take(inode_lock);
    d_step { assert(state != FREE); assert(refs > 0); refs-- }
#ifdef REACH_LIFE
    assert(life == 1);
#endif
    queue_if_unused();
    drop(inode_lock)
  :: asked -> break
  od;
  finished++
}

proctype evictor() {
  dead = true;
  take(inode_lock);
  named = false;
#ifndef NO_DETACH_LOOK
  queue_if_unused();
#endif
  drop(inode_lock);
  finished++
}

proctype reclaimer() {
  byte rounds;
  byte s;
  byte t;
  do
  :: rounds < 2 && queued ->
    rounds++;
    take(inode_lock);
    assert(state == LIVE);
    queued = false;
    if
    :: refs != 0 || named -> drop(inode_lock)
    :: else ->
      state = DYING;
      aseq++;
      drop(inode_lock);
#ifndef NO_GP
      d_step { dead_before = dead; aseq_before = aseq; s = section[0]; t = section[1] }
      if
      :: ODD(s) -> section[0] != s
      :: else
      fi;
      if
      :: ODD(t) -> section[1] != t
      :: else
      fi;
      d_step { s = 0; t = 0 }
#endif
      take(stripe);
      take(inode_lock);
#ifdef NO_SETTLE_CHECK
      if
      :: false
#else
      if
      :: refs != 0 || named ->
#ifdef REACH_REVIVE
        assert(false);
#endif
        state = LIVE;
        aseq++
#endif
      :: else ->
#ifdef REACH_FREE
        assert(false);
#endif
        d_step { assert(known == 0); state = FREE }
        reusable = true
      fi;
      drop(inode_lock);
      drop(stripe)
    fi
  :: true -> break
  od;
  finished++
}

init {
  atomic {
    aseq_seen[0] = 2; aseq_seen[1] = 2;
    run worker(0); run worker(1); run evictor(); run reclaimer()
  }
  finished == 4;
  assert(refs == known || state == FREE);
  assert(state != DYING);
  assert(state == FREE || refs != 0 || named || queued)
}
