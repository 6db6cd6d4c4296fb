/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * seqcount: one record, one writer, one reader (MO-1, MO-2).
 *
 * Code      core/sync/seqcount.h: sample, begin, end, validation_fence, same.
 * Property  A validated copy is whole, and of the count it was validated by.
 *
 * Mutations
 *   -DRELAXED_SAMPLE  sample is relaxed
 *   -DRELAXED_END     end is relaxed
 *   -DNO_BEGIN_FENCE  begin has no release fence
 *   -DNO_VALIDATION_FENCE  no acquire fence before the count is compared
 */
#include "litmus.h"

static atomic_ulong count;
static atomic_int a, b;

static void reset(void) {
  PUT(count, 2);
  PUT(a, 1);
  PUT(b, 1);
}

static void *writer(void *unused) {
  PUT(count, 3);
#ifndef NO_BEGIN_FENCE
  FENCE_REL();
#endif
  PUT(a, 2);
  PUT(b, 2);
#ifdef RELAXED_END
  PUT(count, 4);
#else
  PUT_REL(count, 4);
#endif
  return unused;
}

static void *reader(void *unused) {
#ifdef RELAXED_SAMPLE
  const unsigned long stamp = GET(count);
#else
  const unsigned long stamp = GET_ACQ(count);
#endif
  if (ODD(stamp)) return unused;
  const int x = GET(a);
  const int y = GET(b);
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
  if (GET(count) != stamp) return unused;
  assert(x == y);
  assert(x == (int)(stamp / 2));
  return unused;
}

LITMUS(2, writer, reader)
