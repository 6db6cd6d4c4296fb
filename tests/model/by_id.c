/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * by_id: getattr by an id while the slot goes on to another life (MO-1, MO-2).
 *
 * Code      core/cache/fast_path.h: getattr_once; core/cache/reclaim.h: mark;
 *           core/cache/inode_table.h: remove_or_revive; InodeBirth.
 * Property  An id of the first life never gets attributes of the second, nor a mixture.
 *
 * Mutations
 *   -DGEN_OUTSIDE   the generation is compared before aseq is sampled
 *   -DSEQ_RESET     the birth sets aseq back to its first even value
 *   -DNO_MARK_FENCE  no release after the odd store: neither the fence of mark nor the generation's store
 *   -DNO_VALIDATION_FENCE  no acquire fence before aseq is compared
 */
#include "litmus.h"

static atomic_ulong aseq;
static atomic_int generation, ino, size;

static void reset(void) {
  PUT(aseq, 2);
  PUT(generation, 1);
  PUT(ino, 1);
  PUT(size, 1);
}

static void *reuser(void *unused) {
  PUT(aseq, 3);
#ifndef NO_MARK_FENCE
  FENCE_REL();
#endif
#ifdef NO_MARK_FENCE
  PUT(generation, 2);
#else
  PUT_REL(generation, 2);
#endif
  PUT(ino, 2);
  PUT(size, 2);
#ifdef SEQ_RESET
  PUT_REL(aseq, 2);
#else
  PUT_REL(aseq, 4);
#endif
  return unused;
}

static void *reader(void *unused) {
#ifdef GEN_OUTSIDE
  const int life = GET(generation);
#endif
  const unsigned long stamp = GET_ACQ(aseq);
  if (ODD(stamp)) return unused;
  const int i = GET(ino);
  const int s = GET(size);
#ifndef GEN_OUTSIDE
  const int life = GET(generation);
#endif
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
  if (GET(aseq) != stamp || life != 1) return unused;
  assert(i == 1 && s == 1);
  return unused;
}

LITMUS(2, reuser, reader)
