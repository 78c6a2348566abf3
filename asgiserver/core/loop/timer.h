/* SPDX-License-Identifier: MIT
 *
 * timer.h: the loop's pending call_later and call_at, in a four-way heap over an array.
 *
 * The key stands beside the pointer, so that sifting touches no handle. A cancelled timer stays
 * until it comes to the top, or until more than half of the heap (and 100 entries) is cancelled,
 * which sweeps; the one added last is taken out at once, the usual case for a timeout that was
 * not needed. One uv_timer_t (loop->alarm) stands for the earliest; libuv counts milliseconds,
 * so it is set to the next whole one: late by up to that, never early.
 */
#ifndef ASGI_TIMER_H
#define ASGI_TIMER_H

#include "loop/handle.h"

typedef struct {
    double when;              /* seconds of loop.time() */
    uint64_t seq;             /* equal times run in the order they were asked for */
    TimerHandleObject *timer; /* owned */
} asgi_timer_t;

typedef struct {
    asgi_timer_t *heap; /* owned */
    size_t length, capacity;
    size_t cancelled; /* entries of the heap that are */
    uint64_t seq;
} asgi_timers_t;

/* Takes a reference of its own. Returns 0, or -1 with MemoryError. GIL held. */
int asgi_timers_add(LoopObject *loop, TimerHandleObject *timer);
/* To be called when a timer in the heap has been cancelled. */
void asgi_timers_cancelled(LoopObject *loop, TimerHandleObject *timer);
/* Moves what is due at now (nanoseconds) to the ready queue. Returns 0, or -1 with MemoryError. */
int asgi_timers_collect(LoopObject *loop, uint64_t now);
/* Sets the alarm for the earliest timer. Returns 1 where one is due already: do not block. */
int asgi_timers_arm(LoopObject *loop);
void asgi_timers_drop(LoopObject *loop);
int asgi_timers_traverse(asgi_timers_t *timers, visitproc visit, void *arg);

#endif
