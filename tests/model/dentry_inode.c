/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dentry_inode: a name and the inode that it leads to, both slots used again at once (MO-1, MO-2).
 *
 * Code      core/cache/dentry_table.h: find, still; core/cache/fast_path.h: finish_hit;
 *           core/cache/dentry_change.h: kill_held, insert; the fence of InodeBirth. Two threads change: one
 *           ends what is there, the other, ordered after it by a lock, fills the slots again.
 * Property  The attributes that are given for a name are those of its object.
 *
 * Mutations
 *   -DNO_DENTRY_CHECK   the dentry's count is not compared at the end
 *   -DNO_BIRTH_FENCE    InodeBirth and insert have no release fence of their own
 *   -DNO_VALIDATION_FENCE  no acquire fence before the counts are compared
 */
#include "litmus.h"

static atomic_ulong seq, aseq;
static atomic_int name, attributes, unlocked;

static void reset(void) {
  PUT(seq, 2);
  PUT(aseq, 2);
  PUT(name, 1);
  PUT(attributes, 1);
  PUT(unlocked, 0);
}

static void *ender(void *unused) {
  PUT(seq, 3); /* kill */
  FENCE_REL();
  PUT(aseq, 3); /* mark */
  FENCE_REL();
  PUT_REL(unlocked, 1);
  return unused;
}

static void *beginner(void *unused) {
  if (!GET_ACQ(unlocked)) return unused;
#ifndef NO_BIRTH_FENCE
  FENCE_REL();
#endif
  PUT(attributes, 2);
  PUT_REL(aseq, 4);
#ifndef NO_BIRTH_FENCE
  FENCE_REL();
#endif
  PUT(name, 2);
  PUT_REL(seq, 4);
  return unused;
}

static void *reader(void *unused) {
  const unsigned long stamp = GET_ACQ(seq);
  if (ODD(stamp)) return unused;
  const int said = GET(name);
  const unsigned long a_stamp = GET_ACQ(aseq);
  if (ODD(a_stamp)) return unused;
  const int got = GET(attributes);
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
#ifndef NO_DENTRY_CHECK
  if (GET(seq) != stamp) return unused;
#endif
  if (GET(aseq) != a_stamp) return unused;
  assert(said == got);
  return unused;
}

LITMUS(3, ender, beginner, reader)
