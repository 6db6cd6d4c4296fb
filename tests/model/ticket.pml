/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ticket: attributes that are older than a life of the object's inode.
 *
 * Code      core/cache/inode_table.h: ticket, find, enter, remove_or_revive; core/cache/answer.h: adopt,
 *           ask_getattr, publish; InodeBirth::finish; Reclaimer::settle.
 * World     One object, with no inode at first. Two callers look it up: each asks the store and then
 *           finds or enters the inode. Between, the second may change the object through the
 *           inode, and give the inode back, so that it is removed; twice. A reader takes the attributes.
 * Left out  How an inode is removed (lookup_count) and changed (fill_lease): one step each here.
 * Property  Attributes that are served were true at one instant of the reader's call.
 *
 * Mutations
 *   -DNO_TICKET       what was asked is served, whatever happened since
 *   -DLATE_TICKET     the ticket is taken after the store was asked
 *   -DNO_NUMBER       a removal is not noted in the stripe
 *   -DNO_INODE_FIRST  a caller changes the object without having found its inode
 * Reached
 *   -DREACH_TRUSTED   attributes of a birth are served, after a removal
 *   -DREACH_DISTRUST  an inode is born whose attributes are not served
 *   -DREACH_FILLED    such an inode is filled by a lease, and served
 */
byte removals;
byte last_removal; /* Of the stripe; under its lock. */
bool stripe;

bool there; /* The inode. */
byte refs;
byte mode;
bool served;
bool born_so;
byte aseq = 1;

byte truth;
byte was_true;
bool reading;
bool over;

#define ODD(count) ((count) & 1)

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }
/* In a d_step. */
inline note() {
  if
  :: reading -> was_true = was_true | (1 << truth)
  :: else
  fi
}

inline lookup() {
#ifndef LATE_TICKET
  ticket = removals;
#endif
  told = truth;
#ifdef LATE_TICKET
  ticket = removals;
#endif
  take(stripe);
  if
  :: there -> refs++
  :: else ->
#if defined(NO_TICKET)
    served = true;
#else
    served = (last_removal <= ticket);
#endif
#ifdef REACH_DISTRUST
    assert(served);
#endif
    d_step { mode = told; refs = 1; there = true; born_so = true; aseq++ }
  fi;
  drop(stripe)
}

/* The last reference goes, and the inode with it. */
inline forget() {
  take(stripe);
  d_step {
    refs--;
    if
    :: refs == 0 -> there = false; served = false; aseq++
    :: else
    fi
  }
  if
  :: !there ->
    removals++;
#ifndef NO_NUMBER
    last_removal = removals
#endif
  :: else
  fi;
  drop(stripe)
}

/* ask_getattr by who holds the inode. */
inline fill() {
  ticket = aseq;
  told = truth;
  d_step {
    if
    :: aseq == ticket && !ODD(ticket) -> aseq = aseq + 2; mode = told; served = true; born_so = false
    :: else
    fi
  }
}

/* A long section; nobody is told. */
inline change() {
  d_step { aseq++; served = false }
  d_step { truth++; note() }
  aseq++
}

proctype slow_caller() {
  byte ticket, told;
  lookup();
  if
  :: fill()
  :: true
  fi;
  forget()
}

proctype changer() {
  byte ticket, told, n;
  do
  :: n < 2 && !over ->
    n++;
#ifdef NO_INODE_FIRST
    if
    :: d_step { truth++; note() }
    :: true
    fi;
#endif
    lookup();
    if
    :: change()
    :: fill()
    :: true
    fi;
    forget();
    ticket = 0; told = 0
  :: else -> break
  od
}

proctype reader() {
  d_step { reading = true; note() }
  d_step {
    if
    :: there && served && !ODD(aseq) ->
      assert(was_true & (1 << mode));
#ifdef REACH_TRUSTED
      assert(!(born_so && removals > 0));
#endif
#ifdef REACH_FILLED
      assert(!(!born_so && removals > 0));
#endif
    :: else
    fi
  }
  over = true
}

init {
  atomic { run slow_caller(); run changer(); run reader() }
}
