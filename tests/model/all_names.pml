/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * all_names: a directory all of whose names have dentries, and what says so, names_until.
 *
 * Code      core/cache/roll_call.h; core/cache/fast_path.h and walk.h: answer_miss;
 *           core/cache/dentry_change.h: is_listed_held, has, kill_seen, confirm; core/cache/eviction.h: kill;
 *           core/cache/change.h: DirChange, keep_names; core/cache/inode_section.h: forget_names, note_names,
 *           outdate_content.
 * World     One directory and two names, each in a bucket of its own. It begins as one that was made just now,
 *           with one name, or as one of which nothing is known. A listing asks for each name, and for its
 *           dentry. Changes through the cache, one after the other: a name is made, removed, renamed, which is
 *           nothing where both names are of one inode, or the store refuses, or does it and says that it
 *           failed; what is made may find no slot. An evictor takes one dentry. Somebody else makes or removes
 *           a name and has it invalidated. One reader misses. Beside listing and reader there are two
 *           changes, or two of: a change, the evictor, somebody else.
 * Left out  Chains: to pass by a dentry that is not there is one step (chain_drift); leases: to fill is one
 *           (name_lease). Inodes, ticks, negative dentries. A listing that lists what was there when it began.
 * Property  If the reader answers that the name is not there, then that was so at one instant of its call. What
 *           others have made may be denied until the invalidation returns.
 *
 * Mutations
 *   -DSAMPLE_LATE      the reader samples cseq after it has passed the chain
 *   -DNO_VALIDATION    the reader does not compare cseq
 *   -DEVICT_KEEPS      an eviction leaves names_until as it is
 *   -DEVICT_NO_CSEQ    an eviction clears names_until and leaves cseq as it is
 *   -DEVICT_LATE       an eviction clears names_until after the kill
 *   -DNO_SECOND_LOOK   the evictor does not look at names_until again when it kills
 *   -DNO_MARK          a roll call does not tell evictors of itself
 *   -DHAS_UNLOCKED     a roll call looks for a dentry without the bucket
 *   -DNO_RECHECK       a roll call ends without comparing cseq
 *   -DLIST_FIRST       a roll call samples cseq after it has read the store
 *   -DODD_BEGIN        a roll call begins during a change
 *   -DCREATE_KEEPS     what is made finds no slot, and all names are still known
 *   -DFAILURE_KEEPS    a change fails, and all names are still known
 *   -DNOTHING_KEEPS    a rename that does nothing has killed two names, and all are still known
 *   -DSKIP_ONLY        an invalidation moves cseq by two, and a roll call may begin before the kill
 * Reached
 *   -DREACH_LISTED     an absence is answered after a listing
 *   -DREACH_KEPT       an absence is answered after a change that kept it
 *   -DREACH_CHANGED    the reader passes the chain, and cseq is not what it was
 *   -DREACH_EVICTED    an eviction ends it
 */
#define NAMES 2
#define ROLL_CALL 1
#define KNOWN 2

byte cseq = 2;
byte users;
byte until;
bool inode_lock;
bool bucket[NAMES];
bool dentry[NAMES];

bool there[NAMES]; /* In the store. */
bool both_one; /* Both names are of one inode. */
bool excused[NAMES];

bool reading;
byte asked;
bool was_absent;
byte changes;
#ifdef REACH_LISTED
bool listed;
#endif
#ifdef REACH_KEPT
bool kept;
#endif

#define ODD(count) ((count) & 1)
#ifdef ODD_BEGIN
#define ONLY_EVEN true
#else
#define ONLY_EVEN !ODD(lease)
#endif

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }

/* In a d_step, after a change of the store. */
inline note() {
  if
  :: reading && !there[asked] -> was_absent = true
  :: else
  fi
}

/* Under the inode lock. */
inline open_content() {
  d_step {
    users++;
    if
    :: users == 1 -> cseq++
    :: else
    fi
  }
}
inline close_content() {
  d_step {
    users--;
    if
    :: users == 0 -> cseq++
    :: else
    fi
  }
}
inline forget_names() {
  if
#if defined(EVICT_NO_CSEQ)
  :: until != 0 -> until = 0
#else
  :: until != 0 -> open_content(); until = 0; close_content()
#endif
  :: else
  fi
}

inline kill(at) {
  atomic { !bucket[at] -> dentry[at] = false }
}

/* A lookup fills, or loses its lease. */
inline fill(at) {
  atomic {
    !bucket[at] ->
    if
    :: there[at] && !ODD(cseq) -> dentry[at] = true
    :: true
    fi
  }
}

proctype lister() {
  byte lease, n;
  bool told, of_use = true;
#ifdef LIST_FIRST
  bool read0 = there[0];
  bool read1 = there[1];
#endif
  atomic {
    !inode_lock -> lease = cseq;
    if
#ifndef ODD_BEGIN
    :: ODD(lease) -> of_use = false
#endif
#ifdef NO_MARK
    :: until == 0
#else
    :: ONLY_EVEN && until == 0 -> until = ROLL_CALL
#endif
    :: else
    fi
  };
  do
  :: of_use && n < NAMES ->
    if
#ifdef LIST_FIRST
    :: (n == 0 -> read0 : read1) ->
#else
    :: there[n] ->
#endif
      if
      :: dentry[n] /* A hit, which takes no lock. */
      :: !dentry[n] -> fill(n)
      fi;
#ifdef HAS_UNLOCKED
      told = dentry[n];
#else
      atomic { !bucket[n] -> told = dentry[n] };
#endif
      d_step { of_use = told; told = false }
    :: else
    fi;
    n++
  :: else -> break
  od;
  if
  :: of_use ->
    take(inode_lock);
    if
#ifndef NO_RECHECK
    :: cseq == lease ->
#else
    :: true ->
#endif
      open_content();
      until = KNOWN;
#ifdef REACH_LISTED
      listed = true;
#endif
      close_content()
#ifndef NO_RECHECK
    :: else
#endif
    fi;
    drop(inode_lock)
  :: else
  fi
}

proctype change() {
  byte n, round;
  bool known, made;
again:
  atomic { !inode_lock -> open_content() };
  if
  :: n = 0
  :: n = 1
  fi;
  kill(n);
  if
  :: d_step { !there[n] -> there[n] = true; both_one = false; note(); made = true }
  :: d_step { there[n] -> there[n] = false; note(); known = true }
  :: !there[n] || there[1 - n] -> /* Renamed, from n to the other. */
    kill(1 - n);
    if
    :: d_step {
         there[n] && !both_one -> there[n] = false; there[1 - n] = true; note(); n = 1 - n; made = true
       }
    :: d_step {
         there[n] && there[1 - n] && both_one ->
#ifdef NOTHING_KEEPS
         known = true
#endif
       }
    :: else
    fi
  :: d_step { there[n] = !there[n]; note() } /* And says that it failed. */
#ifdef FAILURE_KEEPS
     known = true
#endif
  :: true
#ifdef FAILURE_KEEPS
     ; known = true
#endif
  fi;
  if
  :: made -> atomic { !bucket[n] -> dentry[n] = true; known = true }
  :: made -> /* No slot. */
#ifdef CREATE_KEEPS
    known = true
#endif
    skip
  :: else
  fi;
  take(inode_lock);
  if
  :: !known -> forget_names()
#ifdef REACH_KEPT
  :: else -> kept = kept || until == KNOWN
#else
  :: else
#endif
  fi;
  close_content();
  drop(inode_lock);
  d_step { n = 0; known = false; made = false; round++ };
  if
  :: round < changes -> goto again
  :: else
  fi
}

proctype evictor() {
  byte n;
  bool listed_there;
  if
  :: n = 0
  :: n = 1
  fi;
#ifndef EVICT_LATE
  take(bucket[n]);
  if
  :: dentry[n] && until == 0 -> dentry[n] = false
  :: else -> listed_there = dentry[n]
  fi;
  drop(bucket[n]);
#else
  listed_there = true;
#endif
  if
  :: listed_there ->
#if !defined(EVICT_KEEPS) && !defined(EVICT_LATE)
    take(inode_lock);
#ifdef REACH_EVICTED
    assert(until != KNOWN);
#endif
    forget_names();
    drop(inode_lock);
#endif
    take(bucket[n]);
    if
#if defined(NO_SECOND_LOOK) || defined(EVICT_KEEPS) || defined(EVICT_LATE)
    :: true -> dentry[n] = false
#else
    :: until == 0 -> dentry[n] = false
    :: else
#endif
    fi;
    drop(bucket[n]);
#ifdef EVICT_LATE
    take(inode_lock);
    forget_names();
    drop(inode_lock)
#else
    skip
#endif
  :: else
  fi
}

proctype outsider() {
  byte n;
  if
  :: n = 0
  :: n = 1
  fi;
  d_step { excused[n] = true; there[n] = !there[n]; both_one = false; note() }
  take(inode_lock);
#ifndef SKIP_ONLY
  open_content();
#endif
  cseq = cseq + 2;
  until = 0;
  drop(inode_lock);
  kill(n);
#ifndef SKIP_ONLY
  atomic { !inode_lock -> close_content() };
#endif
  excused[n] = false
}

proctype reader() {
  byte content;
  if
  :: asked = 0
  :: asked = 1
  fi;
  d_step { was_absent = excused[asked]; reading = true; note() }
#ifndef SAMPLE_LATE
  content = cseq;
#endif
  if
#ifndef SAMPLE_LATE
  :: !ODD(content) && until == KNOWN ->
#else
  :: until == KNOWN ->
#endif
    if
    :: !dentry[asked] ->
#ifdef SAMPLE_LATE
      content = cseq;
#endif
#ifdef REACH_CHANGED
      assert(cseq == content);
#endif
      if
#ifndef NO_VALIDATION
      :: cseq == content && !ODD(content) ->
#else
      :: true ->
#endif
        assert(was_absent);
#ifdef REACH_LISTED
        assert(!listed);
#endif
#ifdef REACH_KEPT
        assert(!kept);
#endif
        skip
#ifndef NO_VALIDATION
      :: else
#endif
      fi
    :: else
    fi
  :: else
  fi;
  reading = false
}

init {
  atomic {
    there[0] = true;
    if
    :: dentry[0] = true; until = KNOWN
    :: true
    fi;
    run lister();
    if /* All at once are too many. */
    :: changes = 2; run change()
    :: until == 0 -> there[1] = true; both_one = true; changes = 1; run change()
    :: changes = 1; run change(); run evictor()
    :: changes = 1; run change(); run outsider()
    :: run evictor(); run outsider()
    fi;
    run reader()
  }
}
