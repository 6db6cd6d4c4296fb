/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * two_writers: who sees a name that was made after a chmod does not see the mode before it (MO-1).
 *
 * Code      core/cache/walk.h: step_to, run; core/cache/dentry_change.h: publish. One thread
 *           changes the directory's mode; another, ordered after it by a lock, inserts a dentry.
 * Property  A walk that found the dentry, with all counts as they were, has the new mode.
 *
 * Mutations
 *   -DNO_DIR_CHECK    the directory's nseq is not compared at the end
 *   -DRELAXED_SAMPLE  the dentry's count is sampled relaxed, and the fence comes too late for it
 *   -DRELAXED_END     the dentry's count turns even by a relaxed store
 */
#include "litmus.h"

static atomic_ulong nseq, seq;
static atomic_int mode, child, unlocked;

static void reset(void) {
  PUT(nseq, 2);
  PUT(seq, 1);
  PUT(mode, 1);
  PUT(child, 0);
  PUT(unlocked, 0);
}

static void *chmod_directory(void *unused) {
  PUT(nseq, 3);
  FENCE_REL();
  PUT(mode, 2);
  PUT_REL(nseq, 4);
  PUT_REL(unlocked, 1);
  return unused;
}

static void *insert(void *unused) {
  if (!GET_ACQ(unlocked)) return unused;
  PUT(child, 7);
#ifdef RELAXED_END
  PUT(seq, 2);
#else
  PUT_REL(seq, 2);
#endif
  return unused;
}

static void *walker(void *unused) {
  const unsigned long n_stamp = GET_ACQ(nseq);
  if (ODD(n_stamp)) return unused;
  const int searched = GET(mode);
#ifdef RELAXED_SAMPLE
  const unsigned long stamp = GET(seq);
#else
  const unsigned long stamp = GET_ACQ(seq);
#endif
  if (ODD(stamp)) return unused;
  const int found = GET(child);
#ifndef RELAXED_SAMPLE
  FENCE_ACQ();
#endif
  if (GET(seq) != stamp) return unused;
#ifndef NO_DIR_CHECK
  if (GET(nseq) != n_stamp) return unused;
#endif
  assert(found == 7);
  assert(searched == 2);
  return unused;
}

LITMUS(3, chmod_directory, insert, walker)
