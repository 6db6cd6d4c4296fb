/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * id_chain: through the inode table's chain to an inode (MO-6).
 *
 * Code      core/cache/inode_table.h: scan, enter, unlink_held, remove_or_revive; the fence of InodeBirth;
 *           core/cache/slots.cc: carve_inode, whose stores are plain. Inode 1 stands in chain A, and chain B is
 *           empty. One thread carves inode 2 and enters it in B; one removes 1 and uses its slot again in B,
 *           in front of 2; one removes it there. Who reads waits for nobody and nobody waits for him.
 * Property  Whoever follows an index sees the inode born, or taken out of the chain again.
 *
 * Mutations
 *   -DRELAXED_HEAD_LOAD   scan loads the chain's head relaxed
 *   -DRELAXED_NEXT_LOAD   scan loads id_next relaxed
 *   -DRELAXED_HEAD        enter stores the head relaxed, and InodeBirth has no fence, which would do instead
 *   -DRELAXED_ENTER_NEXT  the same for the inode's own link
 *   -DRELAXED_UNLINK      unlink_held stores the predecessor's link relaxed
 */
#include "litmus.h"

#define END 0

struct inode {
  atomic_int generation, identity, next;
};
static struct inode slots[3];
static atomic_int head_a, head_b, b_turn;

static void construct(int index, int identity) {
  atomic_init(&slots[index].generation, 1);
  atomic_init(&slots[index].identity, identity);
  atomic_init(&slots[index].next, END);
}

/* Inode N of a life has the identity 10 * life + N. */
static void reset(void) {
  construct(1, 11);
  PUT(head_a, 1);
  PUT(head_b, END);
  PUT(b_turn, 0);
}

/* The stripe of B is locked in turn. */
static void enter_in_b(int index, int identity) {
#if !defined(RELAXED_HEAD) && !defined(RELAXED_ENTER_NEXT)
  FENCE_REL();
#endif
  PUT(slots[index].identity, identity);
#ifdef RELAXED_ENTER_NEXT
  PUT(slots[index].next, GET(head_b));
#else
  PUT_REL(slots[index].next, GET(head_b));
#endif
#ifdef RELAXED_HEAD
  PUT(head_b, index);
#else
  PUT_REL(head_b, index);
#endif
}

static void take_out(atomic_int *link, int index) {
#ifdef RELAXED_UNLINK
  PUT(*link, GET(slots[index].next));
#else
  PUT_REL(*link, GET(slots[index].next));
#endif
  PUT(slots[index].identity, 0);
  PUT_REL(slots[index].generation, GET(slots[index].generation) + 1);
}

static void *carver(void *unused) {
  construct(2, 0);
  enter_in_b(2, 12);
  PUT_REL(b_turn, 1);
  return unused;
}

static void *reuser(void *unused) {
  take_out(&head_a, 1);
  if (GET_ACQ(b_turn) != 1) return unused;
  enter_in_b(1, 21);
  PUT_REL(b_turn, 2);
  return unused;
}

static void *remover(void *unused) {
  if (GET_ACQ(b_turn) == 2) take_out(&head_b, 1);
  return unused;
}

static void look_in(atomic_int *head) {
#ifdef RELAXED_HEAD_LOAD
  int at = GET(*head);
#else
  int at = GET_ACQ(*head);
#endif
  for (int step = 0; at != END && step < 2; step++) {
    const int life = GET_ACQ(slots[at].generation);
    const int identity = GET(slots[at].identity);
    if (at == 2) assert(life == 1 && identity == 12);
#ifdef RELAXED_NEXT_LOAD
    at = GET(slots[at].next);
#else
    at = GET_ACQ(slots[at].next);
#endif
  }
}

static void *in_a(void *unused) {
  look_in(&head_a);
  return unused;
}

static void *in_b(void *unused) {
  look_in(&head_b);
  return unused;
}

LITMUS(5, carver, reuser, remover, in_a, in_b)
