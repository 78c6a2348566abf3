/* SPDX-License-Identifier: MIT
 *
 * bell.h: a thread with the GIL waits, the GIL put down, until another one rings.
 *
 * Who rings is a thread that left an engine others wait for, or its turn of the loop (engine.c). A
 * bell says that something has changed, not what: who waits asks again. It is rung only where somebody
 * is known to wait, which is counted under the GIL.
 *
 * Invariants
 *   1. A ring between the question (under the GIL) and the wait is not lost: rings are counted, and
 *      the count is read before the GIL is put down.
 *   2. No wait is longer than a moment, so that Ctrl-C is seen, and what changes without a ring.
 */
#ifndef JSRT_BELL_H
#define JSRT_BELL_H

#include <pthread.h>
#include <stdint.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t rung;
    uint64_t rings; /* under the mutex */
} jsrt_bell_t;

#define JSRT_BELL_INIT                                         \
    {                                                          \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 \
    }

/* Until the next ring, 100 ms at most. With the GIL, which is put down meanwhile. Returns 0, or -1
 * with what a signal handler raised. May run Python. */
int jsrt_bell_wait(jsrt_bell_t *bell);
/* Wakes all that wait. Thread: any, GIL not needed. */
void jsrt_bell_ring(jsrt_bell_t *bell);

#endif
