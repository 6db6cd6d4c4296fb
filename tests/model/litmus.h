/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the litmus programs share: short names for C11's accesses, and main.
 * A checker explores all executions of one round; for a smoke run ROUNDS is greater. */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define GET(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define GET_ACQ(x) atomic_load_explicit(&(x), memory_order_acquire)
#define PUT(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)
#define PUT_REL(x, v) atomic_store_explicit(&(x), (v), memory_order_release)
#define FENCE_ACQ() atomic_thread_fence(memory_order_acquire)
#define FENCE_REL() atomic_thread_fence(memory_order_release)
#define ODD(count) ((count)&1)

#ifndef ROUNDS
#define ROUNDS 1
#endif

/* THREADS: each a statement that a thread runs; reset() comes before each round. */
#define LITMUS(count, ...)                                                          \
  int main(void) {                                                                  \
    void *(*const bodies[count])(void *) = {__VA_ARGS__};                           \
    pthread_t threads[count];                                                       \
    for (int round = 0; round < ROUNDS; round++) {                                  \
      reset();                                                                      \
      for (int i = 0; i < count; i++) pthread_create(&threads[i], 0, bodies[i], 0); \
      for (int i = 0; i < count; i++) pthread_join(threads[i], 0);                  \
    }                                                                               \
    return 0;                                                                       \
  }
