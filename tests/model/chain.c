/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain: through a bucket's chain to a dentry, and to what is plain behind it (MO-3).
 *
 * Code      core/cache/dentry_table.h: find; core/cache/dentry_change.h: insert, publish, kill_held,
 *           unlink_held; core/cache/slots.cc: carve_dentry, whose stores are plain; core/cache/fast_path.h:
 *           hold. Dentry 1 stands in chain A, and chain B is empty. One thread carves dentry 2 and publishes
 *           it in B; one kills 1 and uses its slot again in B, in front of 2; one kills it there.
 * Left out  The grace period before a slot is used again: a reader in another process has none.
 * Property  Whoever follows an index sees the slot constructed, and of a dentry that he finds the child's node.
 *
 * Mutations
 *   -DRELAXED_BUCKET_LOAD  find loads the bucket relaxed
 *   -DRELAXED_NEXT_LOAD    find loads next relaxed
 *   -DRELAXED_PUBLISH      publish stores the bucket relaxed, and insert has no fence, which would do instead
 *   -DRELAXED_PUBLISH_NEXT  publish stores the new dentry's next relaxed
 *   -DRELAXED_UNLINK       unlink_held stores the link relaxed, and begin has no fence, which would do instead
 */
#include "litmus.h"

#define END 0
#define NAME 7 /* Of dentry 2. */

struct dentry {
  atomic_ulong seq;
  atomic_int next, name;
};
static struct dentry slots[3];
static atomic_int bucket_a, bucket_b, b_turn;
static int node; /* Of 2's child: plain. */

static void construct(int index, unsigned long count) {
  atomic_init(&slots[index].seq, count);
  atomic_init(&slots[index].next, END);
  atomic_init(&slots[index].name, 0);
}

static void reset(void) {
  construct(1, 2);
  PUT(bucket_a, 1);
  PUT(bucket_b, END);
  PUT(b_turn, 0);
}

/* The bucket's lock is taken after insert's fence, so the fence does not speak for who held it before. */
static void insert_in_b(int index, int name, unsigned long count, int turn) {
#ifndef RELAXED_PUBLISH
  FENCE_REL();
#endif
  PUT(slots[index].name, name);
  if (GET_ACQ(b_turn) != turn) return;
#ifdef RELAXED_PUBLISH_NEXT
  PUT(slots[index].next, GET(bucket_b));
#else
  PUT_REL(slots[index].next, GET(bucket_b));
#endif
  PUT_REL(slots[index].seq, count);
#ifdef RELAXED_PUBLISH
  PUT(bucket_b, index);
#else
  PUT_REL(bucket_b, index);
#endif
  PUT_REL(b_turn, turn + 1);
}

static void kill(atomic_int *link, int index, unsigned long count) {
  PUT(slots[index].seq, count);
#ifdef RELAXED_UNLINK
  PUT(*link, GET(slots[index].next));
#else
  FENCE_REL();
  PUT_REL(*link, GET(slots[index].next));
#endif
}

static void *carver(void *unused) {
  construct(2, 1);
  node = 5;
  insert_in_b(2, NAME, 2, 0);
  return unused;
}

static void *reuser(void *unused) {
  kill(&bucket_a, 1, 3);
  insert_in_b(1, 1, 4, 1);
  return unused;
}

static void *killer(void *unused) {
  if (GET_ACQ(b_turn) == 2) kill(&bucket_b, 1, 5);
  return unused;
}

static void look_in(atomic_int *bucket) {
#ifdef RELAXED_BUCKET_LOAD
  int at = GET(*bucket);
#else
  int at = GET_ACQ(*bucket);
#endif
  for (int step = 0; at != END && step < 2; step++) {
    const unsigned long stamp = GET_ACQ(slots[at].seq);
    if (!ODD(stamp) && GET(slots[at].name) == NAME) {
      FENCE_ACQ();
      if (GET(slots[at].seq) == stamp) assert(node == 5);
      return;
    }
#ifdef RELAXED_NEXT_LOAD
    at = GET(slots[at].next);
#else
    at = GET_ACQ(slots[at].next);
#endif
  }
}

static void *in_a(void *unused) {
  look_in(&bucket_a);
  return unused;
}

static void *in_b(void *unused) {
  look_in(&bucket_b);
  return unused;
}

LITMUS(5, carver, reuser, killer, in_a, in_b)
