/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * walk: a lock-free walk of "d/f" while another thread changes all that it reads.
 *
 * Code      core/cache/walk.h: FastWalk::run, step_to, component, down, finish;
 *           core/cache/dentry_table.h: find's own recheck;
 *           the steps of a change, core/cache/change.h; birth and end of an inode,
 *           core/cache/inode_section.h, reclaim.h, inode_table.h.
 * World     "d" in the root is directory D, or file X after an exchange with "e". D may have "f".
 *           Three dentry slots; inode slots of D, X and f; the last has many lives.
 * Left out  Chains: the walker tries any slot, as if it had drifted there. Grace periods: slots are
 *           used again at once, as readers in another process see it. "..", links, times (attributes
 *           are one word, so a torn copy does not show; seqcount.c has two), the second try
 *           (it is a walk of its own). Changes come one after another; how they exclude each other
 *           is name_lease's business.
 * Property  The answer (a value of f, ENOENT, EACCES or ENOTDIR) was true at one instant of the walk.
 *
 * Mutations
 *   -DHOP_ONLY       hand over hand: a dentry is checked when its child was sampled, not at the end
 *   -DNO_NEG_CHECK   ENOENT is given without looking once more
 *   -DEARLY_ERROR    EACCES and ENOTDIR are given without looking once more
 *   -DINPLACE        the exchange edits live dentries
 *   -DNO_MODE_STAMP  the directory's nseq is not kept
 * Reached
 *   -DREACH_HIT      a hit during which something changed
 *   -DREACH_LIFE     a hit in a later life of f's inode slot
 *   -DREACH_ENOENT   ENOENT
 *   -DREACH_EACCES   EACCES
 *   -DREACH_ENOTDIR  ENOTDIR
 */
#ifndef OPS
#define OPS 3
#endif
#define SLOTS 3

#define NAME_D 1 /* In the root. */
#define NAME_F 2 /* In D. */
#define NAME_G 3
#define DIR 1 /* Inode slots. */
#define OTHER 2
#define FILE 3

#define ENOTDIR 0 /* Answers; a value v of f is ENOENT + v. */
#define EACCES 1
#define ENOENT 2

/* What readers see. */
byte seq[SLOTS];
byte name[SLOTS];
byte child[SLOTS]; /* 0: negative. */
byte nseq[4];
byte aseq; /* Of FILE. */
byte generation = 1;
bool denied;
byte value;
bool valid;

/* How things are. */
bool exchanged;
bool deny;
byte f = 1; /* Its value; 0: there is none. */
byte last_value = 1;
bool walking;
bool over; /* What happens after the walk does not matter. */
byte was_true; /* Bit a: answer a was true at some instant since the walk began. */

#define ODD(count) ((count) & 1)
#define OF_D (exchanged -> OTHER : DIR)
#define TRUTH (exchanged -> ENOTDIR : (deny -> EACCES : ENOENT + f))

inline note() {
  if
  :: walking -> was_true = was_true | (1 << TRUTH)
  :: else
  fi
}

/* The live dentry of name `n`, or SLOTS. */
inline find(n) {
  d_step {
    t = 0;
    do
    :: t < SLOTS && (ODD(seq[t]) || name[t] != n) -> t++
    :: else -> break
    od
  }
}
inline kill(n) {
  find(n);
  if
  :: t < SLOTS -> seq[t]++
  :: else
  fi
}
/* Any free slot; without one the name stays uncached. */
inline insert(n, c) {
  if
  :: atomic { ODD(seq[0]) -> t = 0 }
  :: atomic { ODD(seq[1]) -> t = 1 }
  :: atomic { ODD(seq[2]) -> t = 2 }
  :: else -> t = SLOTS
  fi;
  if
  :: t < SLOTS -> name[t] = n; child[t] = c; seq[t]++
  :: else
  fi
}
inline birth() {
  value = f; valid = true; nseq[FILE]++; aseq++
}
inline be_cached() {
  if
  :: ODD(aseq) -> birth()
  :: else
  fi
}
inline reclaim() {
  aseq++; valid = false; nseq[FILE]++; generation++
}

proctype changer() {
  byte t;
  byte n;
  byte done;
  do
  :: done < OPS && !over ->
    done++;
    if
    :: true -> /* Rename with exchange. */
#ifdef INPLACE
      d_step { exchanged = !exchanged; note() }
      find(NAME_D);
      if
      :: t < SLOTS -> child[t] = OF_D
      :: else
      fi
#else
      nseq[DIR]++; nseq[OTHER]++;
      kill(NAME_D);
      d_step { exchanged = !exchanged; note() }
      insert(NAME_D, OF_D);
      nseq[OTHER]++; nseq[DIR]++
#endif
    :: true -> /* chmod of D */
      nseq[DIR]++;
      d_step { deny = !deny; note() }
      denied = deny;
      nseq[DIR]++
    :: f != 0 -> /* unlink */
      be_cached();
      aseq++; valid = false;
      kill(NAME_F);
      d_step { f = 0; note() }
      insert(NAME_F, 0);
      aseq++;
      reclaim()
    :: f == 0 -> /* create */
      kill(NAME_F);
      d_step { last_value++; f = last_value; note() }
      birth();
      insert(NAME_F, FILE)
    :: f != 0 -> /* write; its section ends with what is true then */
      be_cached();
      aseq++; valid = false;
      d_step { last_value++; f = last_value; note() }
      value = f; valid = true;
      aseq++
    :: true -> /* Eviction of any dentry, and of what it led to. */
      if
      :: kill(NAME_D)
      :: kill(NAME_G)
      :: kill(NAME_F);
        if
        :: f != 0 && !ODD(aseq) -> reclaim()
        :: true
        fi
      fi
    :: true -> /* A lookup that asked the store. */
      if
      :: n = NAME_D
      :: n = NAME_F
      :: n = NAME_G
      fi;
      find(n);
      if
      :: t < SLOTS -> skip
      :: t == SLOTS && n == NAME_D -> insert(NAME_D, OF_D)
      :: t == SLOTS && (n == NAME_G || (n == NAME_F && f == 0)) -> insert(n, 0)
      :: t == SLOTS && n == NAME_F && f != 0 -> be_cached(); insert(NAME_F, FILE)
      fi
    fi
  :: else -> break
  od
}

/* find(): wherever the chain led, the slot says it is `n` and stood while it was read. */
inline look_for(n, at, stamp, into) {
  if
  :: at = 0
  :: at = 1
  :: at = 2
  fi;
  stamp = seq[at];
  if
  :: ODD(stamp) -> goto leave
  :: else
  fi;
  if
  :: name[at] != n -> goto leave
  :: else
  fi;
  into = child[at];
  if
  :: seq[at] != stamp -> goto leave
  :: else
  fi
}
inline same(count, stamp) {
  if
  :: count != stamp -> goto leave
  :: else
  fi
}

proctype walker() {
  byte at_d, d_stamp, here, here_stamp, at_f, f_stamp, to, to_stamp, life, answer, a_stamp;
  d_step { walking = true; note() }
  look_for(NAME_D, at_d, d_stamp, here);
  here_stamp = nseq[here];
  if
  :: ODD(here_stamp) -> goto leave
  :: else
  fi;
#ifdef HOP_ONLY
  same(seq[at_d], d_stamp);
#endif
  answer = ENOTDIR;
  if
  :: here == OTHER -> goto error
  :: else
  fi;
  answer = EACCES;
  if
  :: denied -> goto error
  :: else
  fi;
  look_for(NAME_F, at_f, f_stamp, to);
  answer = ENOENT;
  if
#ifdef NO_NEG_CHECK
  :: to == 0 -> goto given
#else
  :: to == 0 -> goto validate
#endif
  :: else
  fi;
  life = generation;
  to_stamp = nseq[to];
  if
  :: ODD(to_stamp) || generation != life -> goto leave
  :: else
  fi;
  a_stamp = aseq;
  if
  :: ODD(a_stamp) -> goto leave
  :: else
  fi;
  answer = ENOENT + value;
  if
  :: !valid -> goto leave
  :: else
  fi;
  goto validate;
error:
#ifdef EARLY_ERROR
  goto given;
#endif
validate:
#ifndef HOP_ONLY
  same(seq[at_d], d_stamp);
#ifndef NO_MODE_STAMP
  same(nseq[here], here_stamp);
#endif
#endif
  if
  :: answer >= ENOENT ->
    same(seq[at_f], f_stamp);
    if
    :: answer > ENOENT ->
      same(nseq[to], to_stamp);
      same(aseq, a_stamp)
    :: else
    fi
  :: else
  fi;
given:
  assert(was_true & (1 << answer));
#ifdef REACH_HIT
  assert(answer <= ENOENT || was_true == (1 << answer));
#endif
#ifdef REACH_LIFE
  assert(answer <= ENOENT || life == 1);
#endif
#ifdef REACH_ENOENT
  assert(answer != ENOENT);
#endif
#ifdef REACH_EACCES
  assert(answer != EACCES);
#endif
#ifdef REACH_ENOTDIR
  assert(answer != ENOTDIR);
#endif
leave:
  over = true;
  d_step {
    walking = false; was_true = 0;
    at_d = 0; d_stamp = 0; here = 0; here_stamp = 0; at_f = 0; f_stamp = 0;
    to = 0; to_stamp = 0; life = 0; answer = 0; a_stamp = 0
  }
}

init {
  atomic {
    seq[0] = 2; name[0] = NAME_D; child[0] = DIR;
    seq[1] = 2; name[1] = NAME_F; child[1] = FILE;
    seq[2] = 1;
    nseq[DIR] = 2; nseq[OTHER] = 2; nseq[FILE] = 2;
    aseq = 2; value = f; valid = true;
    run changer();
    run walker()
  }
}
