/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slot_reuse: one inode slot goes from life to life while readers come with ids and durable numbers.
 *
 * Code      core/cache/reclaim.h: mark; core/cache/inode_table.h: remove_or_revive, enter, scan,
 *           find_durable; core/cache/inode_section.h: InodeBirth;
 *           core/cache/fast_path.h: getattr_once.
 * World     One slot, used again for one object after the other, two of which take turns, as with a full
 *           memory limit. A reader has an id of the slot's first or second life and asks for the
 *           attributes. Another has a durable number and looks for the slot's id.
 * Left out  Chains: the second reader stands on the slot, however it came there. Grace periods. What is not
 *           found is looked for under the lock. Attributes are one word.
 * Property  The attributes are those of the object that had the slot in the id's life. The id that is found
 *           is of a life in which the slot had the number's object.
 *
 * Mutations
 *   -DSEQ_RESET        a birth sets aseq to its first even value
 *   -DGEN_OUTSIDE      getattr compares the generation before it samples aseq
 *   -DGEN_AFTER_BIRTH  the generation moves when the counts are even again
 *   -DID_KEPT          the identity stays between two lives
 *   -DID_AFTER_GEN     the identity is taken away after the generation has moved
 *   -DSCAN_ONCE        scan does not look at the generation again
 * Reached
 *   -DREACH_HIT        getattr answers for the second life
 *   -DREACH_STALE      getattr says ESTALE
 *   -DREACH_FOUND      a number is found in a third life
 *   -DREACH_REVIVE     a slot is marked, and lives on
 */
#ifndef LIVES
#define LIVES 4
#endif
byte aseq = 2;
byte generation = 1;
byte identity = 1;
byte attributes = 1;
bool over[2];

#define OBJECT(life) (1 + (((life) + 1) & 1)) /* Who has the slot in which life. */
#define ODD(count) ((count) & 1)

proctype slot() {
  byte life = 1;
  bool revived; /* Once. */
  do
  :: life < LIVES && !(over[0] && over[1]) ->
    aseq++; /* mark */
    if
    :: !revived ->
      revived = true;
#ifdef REACH_REVIVE
      assert(false);
#endif
      aseq++ /* settle: referenced after all */
    :: true ->
      life++;
#if defined(GEN_AFTER_BIRTH)
      identity = 0;
#elif defined(ID_KEPT)
      generation++;
#elif defined(ID_AFTER_GEN)
      generation++;
      identity = 0;
#else
      identity = 0;
      generation++;
#endif
      /* Free, and born again. */
      attributes = OBJECT(life);
      identity = OBJECT(life);
#ifdef SEQ_RESET
      aseq = 2;
#else
      aseq++;
#endif
#ifdef GEN_AFTER_BIRTH
      generation++
#endif
    fi
  :: else -> break
  od
}

proctype getattr() {
  byte stamp, got, seen, id;
  if
  :: id = 1
  :: id = 2
  fi;
#ifdef GEN_OUTSIDE
  seen = generation;
#endif
  stamp = aseq;
  if
  :: ODD(stamp) -> goto done
  :: else
  fi;
  got = attributes;
#ifndef GEN_OUTSIDE
  seen = generation;
#endif
  if
  :: aseq != stamp -> goto done
  :: else
  fi;
#ifdef REACH_STALE
  assert(seen == id);
#endif
  if
  :: seen != id -> goto done
  :: else
  fi;
  assert(got == OBJECT(id));
#ifdef REACH_HIT
  assert(id != 2);
#endif
done:
  over[0] = true;
  d_step { stamp = 0; got = 0; seen = 0; id = 0 }
}

proctype find_durable() {
  byte number, seen;
  if
  :: number = 1
  :: number = 2
  fi;
  seen = generation;
  if
  :: identity != number -> goto done
  :: else
  fi;
#ifndef SCAN_ONCE
  if
  :: generation != seen -> goto done
  :: else
  fi;
#endif
  assert(OBJECT(seen) == number);
#ifdef REACH_FOUND
  assert(seen != 3);
#endif
done:
  over[1] = true;
  d_step { seen = 0; number = 0 }
}

init {
  atomic { run slot(); run getattr(); run find_durable() }
}
