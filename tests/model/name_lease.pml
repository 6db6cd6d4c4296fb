/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * name_lease: a name that lookups, changes and invalidations cache and kill.
 *
 * Code      core/cache/answer.h: resolve, cache_name, cache_negative; core/cache/change.h: DirChange,
 *           make_node, remove, rename; core/cache/dentry_change.h: publish, confirm, kill;
 *           core/cache/lifetime.h: invalidate_name; Seqcount::skip.
 * World     One name in one directory; what it leads to is a number, new with each change, or 0 for
 *           nothing. A lookup asks the store and fills. Two callers change the name through the
 *           cache (create, replace, remove, or the store refuses). Somebody else changes it in the store
 *           and then has it invalidated. One reader takes what the dentry says.
 * Left out  Two directories; inodes; chains (a hit is one step: that it may be is walk's result). Which of
 *           two answers is the older by its tick is left to chance.
 * Property  The reader's answer was true at one instant of its call. What others changed may be
 *           answered as before until the invalidation returns, unless the cache has changed it since.
 *
 * Mutations
 *   -DNO_NAME_LEASE    a lookup's answer is cached without comparing cseq
 *   -DODD_LEASE        a lookup takes an odd cseq for a lease
 *   -DKILL_FIRST       a change kills the name before it opens cseq
 *   -DLATE_KILL        a change kills the name after the store was told
 *   -DNO_KILL          a change leaves it to the insert to replace what is cached
 *   -DNO_OP_LOCK       two changes of the directory at a time
 *   -DNO_CHANGE_LEASE  a change caches its name without comparing cseq
 *   -DNO_SKIP          an invalidation only kills
 *   -DINVALIDATE_KILL_FIRST  an invalidation kills, and then moves cseq
 * Reached
 *   -DREACH_FILLED     a hit on what a lookup filled after a change
 *   -DREACH_MADE       a hit on what a change inserted
 *   -DREACH_NEGATIVE   a negative hit
 *   -DREACH_LOST       a change loses its lease to an invalidation
 */
byte cseq = 2;
byte content_users;
bool op_lock;
bool bucket;
bool inode_lock;

bool cached = true; /* The dentry; under the bucket's lock. */
byte child = 1;
byte origin;
#define GONE 99 /* Nothing to cache. */
#define LOOKUP 1
#define CHANGE 2

byte truth = 1;
byte last = 1;
byte excused; /* Bit v: v may still be answered, since an invalidation is on its way. */
byte was_true;
bool reading;
bool over;

#define ODD(count) ((count) & 1)
#ifdef NO_NAME_LEASE
#define FILL_HOLDS(lease) true
#else
#define FILL_HOLDS(lease) (cseq == lease)
#endif
#ifdef NO_CHANGE_LEASE
#define CHANGE_HOLDS(lease) true
#else
#define CHANGE_HOLDS(lease) (cseq == lease)
#endif
#ifdef ODD_LEASE
#define MAY_FILL(lease) true
#else
#define MAY_FILL(lease) !ODD(lease)
#endif

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }

/* In a d_step. */
inline note() {
  if
  :: reading -> was_true = was_true | (1 << truth)
  :: else
  fi
}

inline kill() {
  atomic { !bucket -> cached = false }
}

/* confirm, then insert. */
inline cache(holds, v, who) {
  take(bucket);
  if
  :: holds && cached && child != v -> cached = false
  :: holds && cached -> v = GONE /* It says so already, or was asked for later. */
  :: !holds -> v = GONE
  :: holds && !cached
  fi;
  drop(bucket);
  if
  :: v == GONE
  :: else ->
    take(bucket);
    if
    :: holds && !cached -> d_step { cached = true; child = v; origin = who }
    :: else
    fi;
    drop(bucket)
  fi
}

inline open_content() {
  take(inode_lock);
  content_users++;
  if
  :: content_users == 1 -> cseq++
  :: else
  fi;
  lease = cseq;
  drop(inode_lock)
}
inline close_content() {
  take(inode_lock);
  content_users--;
  if
  :: content_users == 0 -> cseq++
  :: else
  fi;
  drop(inode_lock)
}

proctype lookup() {
  byte lease, told;
  lease = cseq;
  told = truth;
  if
  :: MAY_FILL(lease) ->
    cache(FILL_HOLDS(lease), told, LOOKUP)
  :: else
  fi
}

proctype change() {
  byte lease, told;
  bool agreed;
#ifndef NO_OP_LOCK
  take(op_lock);
#endif
#ifdef KILL_FIRST
  kill();
#endif
  open_content();
#if !defined(KILL_FIRST) && !defined(LATE_KILL) && !defined(NO_KILL)
  kill();
#endif
  if
  :: d_step { last++; truth = last; told = truth; excused = 0; agreed = true; note() }
  :: d_step { truth != 0 -> truth = 0; told = 0; excused = 0; agreed = true; note() }
  :: true
  fi;
#ifdef LATE_KILL
  kill();
#endif
  if
  :: agreed ->
#ifdef REACH_LOST
    assert(cseq == lease);
#endif
    cache(CHANGE_HOLDS(lease), told, CHANGE)
  :: else
  fi;
  close_content();
#ifndef NO_OP_LOCK
  drop(op_lock)
#endif
}

proctype outsider() {
  d_step { excused = excused | (1 << truth); last++; truth = last; note() }
#ifdef INVALIDATE_KILL_FIRST
  kill();
#endif
#ifndef NO_SKIP
  take(inode_lock);
  cseq = cseq + 2;
  drop(inode_lock);
#endif
#ifndef INVALIDATE_KILL_FIRST
  kill();
#endif
  excused = 0
}

proctype reader() {
  d_step { reading = true; was_true = excused; note() }
  d_step {
    if
    :: cached ->
      assert(was_true & (1 << child));
#ifdef REACH_FILLED
      assert(!(origin == LOOKUP && child > 1));
#endif
#ifdef REACH_MADE
      assert(!(origin == CHANGE && child > 1));
#endif
#ifdef REACH_NEGATIVE
      assert(child != 0);
#endif
    :: else
    fi
  }
  over = true
}

init {
  atomic {
    run change(); run change(); run reader();
#ifndef NO_OP_LOCK /* They are not needed for it, and the search is long. */
    run lookup(); run outsider()
#endif
  }
}
