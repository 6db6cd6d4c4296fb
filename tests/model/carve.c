/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * carve: an index from outside leads to a slot that was never used before (MO-4).
 *
 * Code      core/mem/slot_pool.h: carve, high_water; core/cache/fast_path.h: in_bounds, getattr_once;
 *           core/cache/lifetime.h: pin. Two slots are carved by two threads, one after the other under the
 *           pool's mutex. To construct a slot takes plain stores.
 * Property  Whoever passes the bound check sees the slot constructed.
 *
 * Mutations
 *   -DRELAXED_CARVE       the high-water mark is stored relaxed
 *   -DRELAXED_HIGH_WATER  it is loaded relaxed
 */
#include "litmus.h"

struct slot {
  atomic_ulong aseq;
  int lock; /* Plain. The lock is one of its own: here it stands for what pin() comes to. */
};
static struct slot slots[3];
static atomic_int high_water, unlocked;

static void reset(void) {
  PUT(high_water, 1);
  PUT(unlocked, 0);
}

static void carve(int index) {
  atomic_init(&slots[index].aseq, 1);
  slots[index].lock = 5;
#ifdef RELAXED_CARVE
  PUT(high_water, index + 1);
#else
  PUT_REL(high_water, index + 1);
#endif
}

static void *first(void *unused) {
  carve(1);
  PUT_REL(unlocked, 1);
  return unused;
}

static void *second(void *unused) {
  if (GET_ACQ(unlocked)) carve(2);
  return unused;
}

static void *reader(void *unused) {
#ifdef RELAXED_HIGH_WATER
  const int bound = GET(high_water);
#else
  const int bound = GET_ACQ(high_water);
#endif
  for (int index = 1; index < bound; index++) {
    assert(ODD(GET_ACQ(slots[index].aseq)));
    assert(slots[index].lock == 5);
  }
  return unused;
}

LITMUS(3, first, second, reader)
