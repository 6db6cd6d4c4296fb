/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evict_count: eviction of a dentry, and of what it kept, against a LOOKUP that counts.
 *
 * Code      core/cache/eviction.h: try_evict, make_room; core/cache/dentry_change.h: kill, kill_seen, detach,
 *           insert; core/cache/limbo.h; core/cache/fast_path.h: finish_hit; core/cache/reclaim.h.
 * World     One dentry slot, one inode slot: name a leads to object 1. An evictor takes the dentry, by the
 *           stamp that it saw; a caller unlinks a. The reclaimer frees the inode, and then the slots serve
 *           name b and object 2, which the kernel knows. A worker looks a or b up and counts.
 * Left out  Chains, the clock's marks; stores that are seen late, without which a
 *           settle finds no reference (lookup_count).
 * Property  A name leads to its own object (a live dentry keeps its child, L2). No inode is freed while the
 *           kernel knows it. A dentry is killed, and taken off its child's list, once.
 *
 * Mutations
 *   -DDETACH_FIRST    the dentry leaves its child's list before it is killed
 *   -DLIST_LATE       a new dentry can be found before it stands on its child's list
 *   -DKILL_UNSEEN     the evictor does not compare the stamp under the bucket's lock
 *   -DNO_GP           settle does not wait for a grace period
 * Reached
 *   -DREACH_HIT       a counted hit on a after the evictor saw it unused
 *   -DREACH_NEXT      a counted hit on b, in the same slots
 *   -DREACH_PASSED    the evictor comes too late, by the stamp
 */
#define LIVE 0
#define DYING 1
#define FREE 2

byte seq = 2; /* The dentry. */
byte name = 1;
byte listed = 1; /* Dentries on the inode's list. */

byte state = LIVE; /* The inode. */
byte object = 1;
byte aseq = 2;
byte refs;
byte known; /* What the kernel holds of this inode. */
bool queued;

bool limbo; /* The dead dentry waits. */
bool inode_free;
bool seen_unused;
byte section;
bool bucket;
bool inode_lock;

#define ODD(count) ((count) & 1)

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }
/* Under the inode lock. */
inline queue_if_unused() {
  d_step {
    if
    :: state == LIVE && !queued && refs == 0 && listed == 0 -> queued = true
    :: else
    fi
  }
}
inline detach() {
  take(inode_lock);
  assert(listed > 0);
  listed--;
  queue_if_unused();
  drop(inode_lock)
}
inline wait_for_readers() {
  s = section;
  if
  :: ODD(s) -> section != s
  :: else
  fi;
  s = 0
}

proctype evictor() {
  byte stamp;
  bool killed;
  stamp = seq;
  if
  :: ODD(stamp) || refs != 0 -> goto done
  :: else -> seen_unused = true
  fi;
#ifdef DETACH_FIRST
  detach();
#endif
  take(bucket);
  if
#ifdef KILL_UNSEEN
  :: true ->
#else
  :: seq == stamp ->
#endif
    assert(!ODD(seq));
    seq++;
    killed = true
#ifndef KILL_UNSEEN
  :: else
#ifdef REACH_PASSED
    -> assert(false)
#endif
#endif
  fi;
  drop(bucket);
  if
  :: killed ->
#ifndef DETACH_FIRST
    detach();
#endif
    limbo = true
  :: else
  fi;
done:
  skip
}

/* unlink, as far as the dentry goes. */
proctype unlinker() {
  bool killed;
  take(bucket);
  if
  :: !ODD(seq) && name == 1 -> seq++; killed = true
  :: else
  fi;
  drop(bucket);
  if
  :: killed -> detach(); limbo = true
  :: else
  fi
}

proctype reclaimer() {
  byte s, n;
  do
  :: n < 2 && queued ->
    n++;
    take(inode_lock);
    assert(state == LIVE);
    queued = false;
    if
    :: refs != 0 || listed != 0 -> drop(inode_lock)
    :: else ->
      state = DYING;
      aseq++;
      drop(inode_lock);
#ifndef NO_GP
      wait_for_readers();
#endif
      take(inode_lock);
      if
      :: refs != 0 || listed != 0 ->
        state = LIVE; aseq++
      :: else ->
        d_step { assert(known == 0); state = FREE; inode_free = true }
      fi;
      drop(inode_lock)
    fi
  :: true -> break
  od
}

/* Another name: a new inode and a new dentry in the slots that were freed. */
proctype filler() {
  byte s;
end_no_slot:
  inode_free;
  d_step { object = 2; state = LIVE; refs = 1; known = 1; aseq++ } /* With a count of the kernel's. */
  if
  :: limbo
  :: true -> goto done
  fi;
  wait_for_readers();
  name = 2;
#ifndef LIST_LATE
  take(inode_lock);
  listed++;
  drop(inode_lock);
#endif
  take(bucket);
  seq++;
  drop(bucket);
#ifdef LIST_LATE
  /* The kernel forgets before the name is on the list. */
  take(inode_lock);
  d_step { known--; refs-- }
  queue_if_unused();
  drop(inode_lock);
  take(inode_lock);
  listed++;
  drop(inode_lock)
#else
  take(inode_lock);
  d_step {
    if
    :: known > 0 -> known--; refs--
    :: else
    fi
  }
  queue_if_unused();
  drop(inode_lock)
#endif
done:
  skip
}

proctype worker() {
  byte stamp, a_stamp, n, found, i;
  do
  :: i < 2 ->
    i++;
    section++;
    stamp = seq;
    n = name;
    if
    :: ODD(stamp) || seq != stamp -> section++
    :: else ->
      a_stamp = aseq;
      if
      :: ODD(a_stamp) -> section++
      :: else ->
        found = object;
        refs++;
        if
        :: seq == stamp && aseq == a_stamp ->
          assert(found == n);
          section++;
          d_step { assert(state != FREE); known++ }
#ifdef REACH_HIT
          assert(!(n == 1 && seen_unused));
#endif
#ifdef REACH_NEXT
          assert(n != 2);
#endif
        :: else ->
          d_step { assert(refs > 0); refs-- }
          section++;
          take(inode_lock);
          queue_if_unused();
          drop(inode_lock)
        fi
      fi
    fi;
    d_step { stamp = 0; a_stamp = 0; n = 0; found = 0 }
  :: else -> break
  od
}

init {
  atomic { run evictor(); run unlinker(); run reclaimer(); run filler(); run worker() }
}
