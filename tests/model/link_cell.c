/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link_cell: a link's target is cached, which moves no count (MO-5).
 *
 * Code      core/cache/answer.h: remember_link; core/cache/fast_path.h: readlink;
 *           core/cache/walk.h: through_link.
 * Property  Who finds the chain's index finds its bytes.
 *
 * Mutations
 *   -DRELAXED_STORE  the index is stored relaxed
 *   -DRELAXED_LOAD   the index is loaded relaxed
 */
#include "litmus.h"

static atomic_ulong nseq;
static atomic_int link_cell, bytes;

static void reset(void) {
  PUT(nseq, 2);
  PUT(link_cell, 0);
  PUT(bytes, 0);
}

static void *rememberer(void *unused) {
  PUT(bytes, 5);
#ifdef RELAXED_STORE
  PUT(link_cell, 1);
#else
  PUT_REL(link_cell, 1);
#endif
  return unused;
}

static void *reader(void *unused) {
  const unsigned long stamp = GET_ACQ(nseq);
  if (ODD(stamp)) return unused;
#ifdef RELAXED_LOAD
  const int cell = GET(link_cell);
#else
  const int cell = GET_ACQ(link_cell);
#endif
  if (cell == 0) return unused;
  const int got = GET(bytes);
  FENCE_ACQ();
  if (GET(nseq) != stamp) return unused;
  assert(got == 5);
  return unused;
}

LITMUS(2, rememberer, reader)
