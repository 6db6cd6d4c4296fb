/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overlap: a field is stored while the count is odd because of another thread (MO-2).
 *
 * Code      core/cache/inode_section.h: open, InodeSection; core/cache/answer.h: cache_name;
 *           core/cache/change.h: set_parent. One thread has a long section open on nseq (a chmod); another,
 *           ordered after it by the inode lock, notes a parent in a short one, and does not make the count
 *           odd.
 * Property  A validated copy is of before both.
 *
 * Mutations
 *   -DNO_SECTION_FENCE     InodeSection has no release fence of its own
 *   -DNO_VALIDATION_FENCE  no acquire fence before the count is compared
 */
#include "litmus.h"

static atomic_ulong nseq;
static atomic_int parent, unlocked;

static void reset(void) {
  PUT(nseq, 2);
  PUT(parent, 1);
  PUT(unlocked, 0);
}

static void *changer(void *unused) {
  PUT(nseq, 3);
  FENCE_REL();
  PUT_REL(unlocked, 1);
  return unused;
}

static void *noter(void *unused) {
  if (!GET_ACQ(unlocked)) return unused;
#ifndef NO_SECTION_FENCE
  FENCE_REL();
#endif
  PUT(parent, 2);
  return unused;
}

static void *walker(void *unused) {
  const unsigned long stamp = GET_ACQ(nseq);
  if (ODD(stamp)) return unused;
  const int up = GET(parent);
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
  if (GET(nseq) != stamp) return unused;
  assert(up == 1);
  return unused;
}

LITMUS(3, changer, noter, walker)
