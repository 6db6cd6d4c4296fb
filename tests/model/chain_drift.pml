/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain_drift: find() in chains whose dentries die, and are used again in other chains, under it.
 *
 * Code      core/cache/dentry_table.h: find; core/cache/dentry_change.h: insert, publish, kill,
 *           unlink_held. InodeTable::scan goes through its chains in the same way.
 * World     Two buckets, four dentry slots, five names: three of bucket 0, among them the one that is
 *           looked for, two of bucket 1. Another thread kills and inserts. Slots are used again at once.
 * Left out  Memory orders (MO-3), locks: one writer. A step of find is one link of a chain.
 *           The limits are 4 steps and 1 restart.
 * Property  The dentry that is found has the name, and says what was read, as its count is compared. The
 *           search ends within its limits. A miss is told only if the name was not there all the
 *           time (a miss is never an answer, so this is about cost: a name that is cached is found, or
 *           the search says that it was disturbed).
 *
 * Mutations
 *   -DNO_MARKER       any end of a chain is taken for the end of the bucket's own
 *   -DNO_BOUND        a search goes on for as long as there are links
 *   -DNO_RECHECK      the count is not compared after the dentry was read
 *   -DODD_TAKEN       a dentry that is free or dead is read as well
 *   -DKILL_CUTS       a kill takes the dead dentry's own link away, too
 *   -DINSERT_AT_TAIL  a dentry enters its chain at the end
 * Reached
 *   -DREACH_FOUND     the name is found, after a change
 *   -DREACH_CHANGED   a search begins again because it came to another chain's end
 *   -DREACH_LONG      a search gives up after too many steps
 *   -DREACH_MISS      a miss
 *   -DREACH_DEAD      the search goes on from a dead dentry
 */
#ifndef OPS
#define OPS 4
#endif
#define SLOTS 4
#define STEPS_MAX 4
#define RESTARTS_MAX 1

#define TARGET 0 /* Names; those below 3 are of bucket 0. */
#define NAMES 5
#define BUCKET(n) ((n) < 3 -> 0 : 1)
#define END 8 /* END + b: the end of bucket b's chain. */
#define ODD(count) ((count) & 1)

byte head[2];
byte next[SLOTS];
byte seq[SLOTS];
byte name[SLOTS];
byte child[SLOTS]; /* Says which name it was stored for. */
byte ops;
bool stood = true; /* The target has been there since the search began. */
bool over;

inline find_live(n) {
  d_step {
    i = 0;
    do
    :: i < SLOTS && (ODD(seq[i]) || name[i] != n) -> i++
    :: else -> break
    od
  }
}

inline kill(at) {
  d_step {
    if
    :: name[at] == TARGET -> stood = false
    :: else
    fi;
    seq[at]++
  }
  d_step { /* unlink_held */
    j = BUCKET(name[at]);
    if
    :: head[j] == at -> head[j] = next[at]
    :: else ->
      j = head[j];
      do
      :: next[j] != at -> j = next[j]
      :: else -> break
      od;
      next[j] = next[at]
    fi;
    j = 0
  }
#ifdef KILL_CUTS
  next[at] = END + BUCKET(name[at])
#endif
}

inline insert(at, n) {
  child[at] = n;
  name[at] = n;
#ifdef INSERT_AT_TAIL
  next[at] = END + BUCKET(n);
  d_step {
    seq[at]++;
    j = BUCKET(n);
    if
    :: head[j] >= END -> head[j] = at
    :: else ->
      j = head[j];
      do
      :: next[j] < END -> j = next[j]
      :: else -> break
      od;
      next[j] = at
    fi;
    j = 0
  }
#else
  next[at] = head[BUCKET(n)];
  seq[at]++;
  head[BUCKET(n)] = at
#endif
}

proctype changer() {
  byte i, j, n;
  do
  :: ops < OPS && !over ->
    ops++;
    if
    :: n = 0
    :: n = 1
    :: n = 2
    :: n = 3
    :: n = 4
    fi;
    find_live(n);
    if
    :: i < SLOTS -> kill(i)
    :: else ->
      if
      :: atomic { ODD(seq[0]) -> i = 0 }
      :: atomic { ODD(seq[1]) -> i = 1 }
      :: atomic { ODD(seq[2]) -> i = 2 }
      :: atomic { ODD(seq[3]) -> i = 3 }
      :: else -> i = SLOTS
      fi;
      if
      :: i < SLOTS -> insert(i, n)
      :: else
      fi
    fi;
    d_step { i = 0; n = 0 }
  :: else -> break
  od
}

proctype search() {
  byte at, stamp, said, steps, restarts, begun;
  begun = ops;
again:
  at = head[0];
  steps = 0;
  do
  :: at >= END -> break
  :: else ->
#ifndef NO_BOUND
    if
    :: steps == STEPS_MAX -> goto too_long
    :: else
    fi;
#endif
    steps++;
    assert(steps <= STEPS_MAX);
    stamp = seq[at];
    if
#ifdef ODD_TAKEN
    :: name[at] == TARGET ->
#else
    :: !ODD(stamp) && name[at] == TARGET ->
#endif
      said = child[at];
#ifdef NO_RECHECK
      goto found;
#else
      if
      :: d_step { seq[at] == stamp -> assert(name[at] == TARGET && said == TARGET) } goto found
      :: else -> goto restart
      fi
#endif
    :: else
    fi;
#ifdef REACH_DEAD
    assert(!ODD(seq[at]));
#endif
    at = next[at]
  od;
#ifndef NO_MARKER
  if
  :: at == END -> goto miss
  :: else
  fi;
#else
  goto miss;
#endif
#ifdef REACH_CHANGED
  assert(false);
#endif
restart:
  if
  :: restarts < RESTARTS_MAX -> restarts++; goto again
  :: else -> goto done
  fi;
found:
  assert(said == TARGET);
#ifdef REACH_FOUND
  assert(ops == begun);
#endif
  goto done;
too_long:
#ifdef REACH_LONG
  assert(false);
#endif
  goto done;
miss:
  assert(!stood);
#ifdef REACH_MISS
  assert(false);
#endif
done:
  over = true
}

init {
  atomic {
    /* Bucket 0: name 1, the target, name 2; bucket 1: name 3. */
    head[0] = 0; name[0] = 1; child[0] = 1; next[0] = 1;
    name[1] = TARGET; child[1] = TARGET; next[1] = 2;
    name[2] = 2; child[2] = 2; next[2] = END;
    head[1] = 3; name[3] = 3; child[3] = 3; next[3] = END + 1;
    seq[0] = 2; seq[1] = 2; seq[2] = 2; seq[3] = 2;
    run changer();
    run search()
  }
}
