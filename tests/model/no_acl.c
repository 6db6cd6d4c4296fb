/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * no_acl: that an inode has no access control list is noted without its count being made odd (MO-2).
 *
 * Code      core/cache/answer.h: note_absence; walk.h: step_to, run; fast_path.h: lacks; inode_section.h: open,
 *           close. One thread takes the list away; another, ordered after it by the inode lock, is told that
 *           there is none, and notes it; a walk, or somebody who asks for the list, began before.
 * Property  A walk that has validated the bits, and believes that they decide, is of a time without a list;
 *           so is the answer that there is none.
 *
 * Mutations
 *   -DRELAXED_ABSENT  note_absence stores the word relaxed
 *   -DNO_VALIDATION_FENCE  no acquire fence before the count is compared
 */
#include "litmus.h"

#define FRESH 9 /* A tick. 0 is none. */

static atomic_ulong nseq;
static atomic_int absent, unlocked;

static void reset(void) {
  PUT(nseq, 2);
  PUT(absent, 0);
  PUT(unlocked, 0);
}

/* While nseq is 2 there is a list, while it is 4 there is none. */
static void *changer(void *unused) {
  PUT(nseq, 3);
  FENCE_REL();
  PUT(absent, 0);
  PUT_REL(nseq, 4);
  PUT_REL(unlocked, 1);
  return unused;
}

static void *noter(void *unused) {
  if (!GET_ACQ(unlocked)) return unused;
#ifdef RELAXED_ABSENT
  PUT(absent, FRESH);
#else
  PUT_REL(absent, FRESH);
#endif
  return unused;
}

static void *walker(void *unused) {
  const unsigned long stamp = GET_ACQ(nseq);
  if (ODD(stamp)) return unused;
  const int seen = GET(absent);
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
  if (GET(nseq) != stamp || seen != FRESH) return unused;
  assert(stamp == 4);
  return unused;
}

LITMUS(3, changer, noter, walker)
