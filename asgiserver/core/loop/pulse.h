/* SPDX-License-Identifier: MIT
 *
 * pulse.h: a sign of life of the loop, in memory that another process reads.
 *
 * A supervisor gives each worker's loop a few bytes of a shared mapping. The loop stores there what
 * it does and counts each change, so a reader that sees RUNNING twice with the same count knows that
 * the loop is still in the same turn: a callback blocks it. An idle loop is POLLING and is never
 * woken for this; one that waits for the GIL is WAITING, which says nothing about the loop. No lock,
 * no thread, no GIL: relaxed stores of one writer. Called by loop.c and, from Python, through
 * Loop._set_pulse().
 *
 * Invariants
 *   1. loop->pulse is never NULL: without a buffer it is the loop's own.
 *   2. The buffer is held for as long as loop->pulse points into it.
 */
#ifndef ASGI_PULSE_H
#define ASGI_PULSE_H

#include "loop/loop.h"

typedef enum {
    ASGI_PULSE_POLLING = 0, /* or not running at all */
    ASGI_PULSE_RUNNING = 1,
    ASGI_PULSE_WAITING = 2,
} asgi_pulse_state_t;

/* What the other process reads: two native unsigned 64-bit numbers. */
typedef struct {
    uint64_t count; /* changes of state, and turns */
    uint64_t state; /* asgi_pulse_state_t */
} asgi_pulse_t;

static inline void
asgi_pulse_beat(asgi_pulse_t *pulse, asgi_pulse_state_t state)
{
    uint64_t count = __atomic_load_n(&pulse->count, __ATOMIC_RELAXED);

    __atomic_store_n(&pulse->state, (uint64_t)state, __ATOMIC_RELAXED);
    __atomic_store_n(&pulse->count, count + 1, __ATOMIC_RELEASE);
}

/* loop._set_pulse(buffer): a writable buffer of at least 16 bytes, 8-aligned; None: none. */
PyObject *asgi_pulse_set(PyObject *loop, PyObject *buffer);

/* Lets the buffer go; safe to call twice. */
void asgi_pulse_drop(LoopObject *loop);

#endif
