/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dying_name: an inode that is found again while it is reclaimed, and has a name for a moment.
 *
 * Code      core/cache/fast_path.h: hold_once; core/cache/reclaim.h: run, settle; core/cache/inode_table.h:
 *           find_held, remove_or_revive; core/cache/inode_section.cc: InodeBirth::finish; kill and detach.
 * World     One inode slot, marked already: the reclaimer waits, settles, frees. A finder pins the dying
 *           inode by its identity, gives it a name, lets go; a killer takes the name away. A holder, whose read
 *           section may begin after the grace period did, goes by that name. A freed slot is born
 *           again with a pin of its owner's.
 * Left out  What lookup_count has: the mark, the kernel's count, the queue; slots of dentries.
 * Property  The references are never fewer than those who hold the inode that is in the slot, and in the end
 *           there are none.
 *
 * Mutations
 *   -DBIRTH_STORES    a birth stores its first reference over what is there
 *   -DNO_NAME_CHECK   settle does not look for names
 *   -DNOT_TAKEN_BACK  hold() keeps its reference although the name died
 *   -DNOT_VALIDATED   hold() does not look whether the name still stands
 * Reached
 *   -DREACH_FREE      the inode is freed although it had a name while it was dying
 *   -DREACH_REVIVE    the inode is revived
 *   -DREACH_ON_FREE   hold() counts on a free slot
 *   -DREACH_HELD      hold() holds an inode that it found by the name
 */
#define DYING 0
#define LIVE 1
#define FREE 2

byte state = DYING;
byte life = 1;
byte refs;
byte holders; /* Of the inode that is in the slot: the owner's pin, a finder's, a holder's. */
bool named; /* On the inode's list of names. */
bool alive; /* The dentry. */
bool was_named;
byte section; /* Odd: the holder is in a read section. */
bool stripe;
bool inode_lock;
byte finished;

#define ODD(count) ((count) & 1)

inline take(l) { atomic { !l -> l = true } }
inline drop(l) { l = false }

proctype finder() {
  bool found;
  take(stripe);
  if
  :: state != FREE && life == 1 -> d_step { refs++; holders++ } found = true
  :: else
  fi;
  drop(stripe);
  if
  :: found ->
    take(inode_lock);
    named = true;
    drop(inode_lock);
    d_step { alive = true; was_named = true }
    d_step { assert(refs >= holders && refs > 0); refs--; holders-- }
  :: else
  fi;
  finished++
}

proctype killer() {
  if
  :: atomic { alive -> alive = false } /* Under the bucket's lock. */
    take(inode_lock);
    named = false;
    drop(inode_lock)
  :: finished >= 1 && !alive /* There was no name. */
  fi;
  finished++
}

proctype holder() {
  section++;
  if
  :: alive ->
    refs++;
#ifdef REACH_ON_FREE
    assert(state != FREE);
#endif
    if
#ifdef NOT_VALIDATED
    :: true -> holders++; section++; assert(state != FREE);
#else
    :: atomic { alive -> holders++ } section++; assert(state != FREE);
#endif
#ifdef REACH_HELD
      assert(false);
#endif
      d_step { assert(refs >= holders && refs > 0); refs--; holders-- }
    :: !alive ->
#ifndef NOT_TAKEN_BACK
      d_step { assert(refs > 0); refs-- }
#endif
      section++
    fi
  :: true -> section++ /* No such name, or not yet. */
  fi;
  finished++
}

proctype reclaimer() {
  byte s = section;
  if
  :: ODD(s) -> section != s
  :: else
  fi;
  take(stripe);
  take(inode_lock);
  if
#ifdef NO_NAME_CHECK
  :: refs != 0 ->
#else
  :: refs != 0 || named ->
#endif
#ifdef REACH_REVIVE
    assert(false);
#endif
    state = LIVE
  :: else ->
#ifdef REACH_FREE
    assert(!was_named);
#endif
    d_step { assert(holders == 0); state = FREE }
  fi;
  drop(inode_lock);
  drop(stripe);
  if
  :: state == FREE -> /* The next inode in the slot, with its owner's pin. */
    take(inode_lock);
    d_step {
#ifdef BIRTH_STORES
      refs = 1;
#else
      refs++;
#endif
      holders = 1; life = 2; state = LIVE
    }
    drop(inode_lock);
    d_step { assert(refs >= holders && refs > 0); refs--; holders-- }
  :: else
  fi;
  finished++
}

init {
  atomic { run finder(); run killer(); run holder(); run reclaimer() }
  finished == 4;
  assert(refs == 0 && holders == 0)
}
