/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * confirm: a name's time is made longer without its count being made odd (MO-2).
 *
 * Code      core/cache/dentry_change.h: confirm, kill_held, insert, publish; core/cache/dentry_table.h: find.
 *           One thread kills a name that has expired and caches in its slot what the store says now;
 *           another, ordered after it by the bucket's lock, was told the same and confirms it.
 * Left out  The grace period before the slot is used again: a reader in another process has none.
 * Property  A name is served for the time that was given to what it leads to, not to what it led to before.
 *
 * Mutations
 *   -DRELAXED_UNTIL   confirm stores the tick relaxed
 *   -DNO_VALIDATION_FENCE  no acquire fence before the count is compared
 */
#include "litmus.h"

#define OVER 1 /* Ticks. */
#define FRESH 9

static atomic_ulong seq;
static atomic_int child, until, unlocked;

static void reset(void) {
  PUT(seq, 2);
  PUT(child, 1);
  PUT(until, OVER);
  PUT(unlocked, 0);
}

static void *replacer(void *unused) {
  PUT(seq, 3); /* kill */
  FENCE_REL();
  PUT(child, 2); /* insert, with an answer that is as old */
  PUT(until, OVER);
  PUT_REL(seq, 4);
  PUT_REL(unlocked, 1);
  return unused;
}

static void *confirmer(void *unused) {
  if (!GET_ACQ(unlocked)) return unused;
#ifdef RELAXED_UNTIL
  PUT(until, FRESH);
#else
  PUT_REL(until, FRESH);
#endif
  return unused;
}

static void *reader(void *unused) {
  const unsigned long stamp = GET_ACQ(seq);
  if (ODD(stamp)) return unused;
  const int found = GET(child);
  const int good_until = GET(until);
#ifndef NO_VALIDATION_FENCE
  FENCE_ACQ();
#endif
  if (GET(seq) != stamp || good_until != FRESH) return unused;
  assert(found == 2);
  return unused;
}

LITMUS(3, replacer, confirmer, reader)
