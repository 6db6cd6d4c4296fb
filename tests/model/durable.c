/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * durable: from a durable number to an id, while the slot goes on to another life (MO-6, MO-7).
 *
 * Code      core/cache/inode_table.h: scan, remove_or_revive, enter; the fence of InodeBirth. The chain is its
 *           head alone.
 * Property  The id is of the life in which the slot had the number's object, and who finds a slot in the
 *           chain sees it born.
 *
 * Mutations
 *   -DRELAXED_GENERATION  scan loads the generation relaxed at first
 *   -DRELAXED_REMOVAL     the generation moves by a relaxed store
 *   -DNO_BIRTH_FENCE      InodeBirth has no release fence
 *   -DNO_SCAN_FENCE       scan has no acquire fence before it looks again
 *   -DRELAXED_HEAD        the chain's head is stored relaxed
 */
#include "litmus.h"

static atomic_int generation, identity, head;

/* Life 1 of the slot has object 10, life 2 object 20. The head is 1 when life 2 has been entered. */
static void reset(void) {
  PUT(generation, 1);
  PUT(identity, 10);
  PUT(head, 0);
}

static void *reuser(void *unused) {
  PUT(identity, 0);
#ifdef RELAXED_REMOVAL
  PUT(generation, 2);
#else
  PUT_REL(generation, 2);
#endif
#ifndef NO_BIRTH_FENCE
  FENCE_REL();
#endif
  PUT(identity, 20);
#ifdef RELAXED_HEAD
  PUT(head, 1);
#else
  PUT_REL(head, 1);
#endif
  return unused;
}

static int look_for(int number) {
  const int first = GET_ACQ(head);
#ifdef RELAXED_GENERATION
  const int life = GET(generation);
#else
  const int life = GET_ACQ(generation);
#endif
  const int found = GET(identity);
  if (first == 1) assert(life == 2 && found == 20);
  if (found != number) return 0;
#ifndef NO_SCAN_FENCE
  FENCE_ACQ();
#endif
  return GET(generation) == life ? life : 0;
}

static void *old_number(void *unused) {
  const int life = look_for(10);
  assert(life == 0 || life == 1);
  return unused;
}

static void *new_number(void *unused) {
  const int life = look_for(20);
  assert(life == 0 || life == 2);
  return unused;
}

LITMUS(3, reuser, old_number, new_number)
