/* SPDX-License-Identifier: MIT
 *
 * watch.h: the watchdog: time limits, Ctrl-C, and the GIL during long calls.
 *
 * One thread per process looks every few milliseconds at every booted engine. A call costs it two
 * increments of a counter (odd: a call is in there) and the reading of one flag; it reads no
 * clock. A call that the watchdog meets twice is long: an interrupt makes the thread that runs it
 * put down the GIL, look for signals, or stop itself when its time is over.
 *
 * Invariants
 *   1. The watchdog asks for an interrupt. Whatever follows (putting down the GIL, terminating)
 *      happens on the thread that runs the JavaScript, which checks that the call is still the one
 *      that was meant: a call can never be stopped for another one's sins. Where an interrupt is
 *      not served (V8's own C++ runs, or Python that JavaScript called), and the time is over, the
 *      watchdog stops the call itself, by a means that no later call is hit by (jsv8_force).
 *   2. The GIL is put down without V8's Locker as long as one thread uses V8: Lockers cost more than
 *      a call, and V8 never forgets that there was one. Another thread that wants V8 waits, that
 *      once, for the end of the call (engine.c, turn_locking_on).
 *   3. Records are linked and unlinked under the watchdog's mutex, and unlinked before the
 *      isolate is freed.
 */
#ifndef JSRT_WATCH_H
#define JSRT_WATCH_H

#include <stdatomic.h>

#include "state.h"

typedef struct jsrt_watch {
    /* Written by the thread that has the GIL, read by the watchdog. Odd: a call is running. */
    _Atomic uint64_t sequence;

    /* Under the mutex; the watchdog's notes. */
    struct jsrt_watch *next, *previous; /* borrowed */
    jsv8_isolate_t *isolate;            /* borrowed; NULL: not linked */
    uint64_t timeout;                   /* ns, 0: none */
    uint64_t seen, since, asked, overdue_since;
    int forcing; /* jsv8_force_next was called for the call seen last */

    /* Between the watchdog and the interrupted thread: numbers of calls. */
    _Atomic uint64_t long_call, overdue_call, forced_call;
    _Atomic int interrupt_due;

    /* Of the thread that runs the call. */
    PyThreadState *released; /* the GIL was put down; take it back with this */
    PyObject *raised;        /* owned: what a signal handler raised, or NULL */
    int stopped;             /* jsv8_terminate was called for this call */
    int timed_out;
} jsrt_watch_t;

extern _Atomic int jsrt_watchdog_asleep;
/* PyThread_get_thread_ident() of the thread that runs signal handlers; set once. */
extern unsigned long jsrt_main_thread;

/* Starts watching; starts the watchdog's thread when it is the first. */
int jsrt_watch_start(jsrt_watch_t *watch, jsv8_isolate_t *isolate, double timeout);
void jsrt_watch_stop(jsrt_watch_t *watch);
/* Another time limit, in seconds, from the next call on (0: none). */
void jsrt_watch_limit(jsrt_watch_t *watch, double timeout);
void jsrt_watchdog_wake(void);
/* Ends the thread. */
void jsrt_watchdog_stop(void);
/* How many callbacks from V8 this thread is in: Python that runs meanwhile must free no isolate. */
extern _Thread_local int jsrt_inside;
/* Nanoseconds of a clock that only goes forward. */
uint64_t jsrt_now(void);

/* Around a call, with the GIL held. */
static inline void
jsrt_watch_enter(jsrt_watch_t *watch)
{
    uint64_t sequence = atomic_load_explicit(&watch->sequence, memory_order_relaxed);
    atomic_store_explicit(&watch->sequence, sequence + 1, memory_order_relaxed);
    if (atomic_load_explicit(&jsrt_watchdog_asleep, memory_order_relaxed)) {
        jsrt_watchdog_wake();
    }
}

static inline void
jsrt_watch_leave(jsrt_watch_t *watch)
{
    uint64_t sequence = atomic_load_explicit(&watch->sequence, memory_order_relaxed);
    atomic_store_explicit(&watch->sequence, sequence + 1, memory_order_relaxed);
}

static inline int
jsrt_watch_busy(jsrt_watch_t *watch)
{
    return (int)(atomic_load_explicit(&watch->sequence, memory_order_relaxed) & 1);
}

/* Whether the call that runs was stopped because its time is over. Inside. */
static inline int
jsrt_watch_timed_out(jsrt_watch_t *watch)
{
    return watch->timed_out
           || atomic_load_explicit(&watch->forced_call, memory_order_relaxed)
                  == atomic_load_explicit(&watch->sequence, memory_order_relaxed);
}

/* Takes the GIL back where it was put down during a call. */
static inline void
jsrt_watch_regain(jsrt_watch_t *watch)
{
    if (watch->released != NULL) {
        PyThreadState *released = watch->released;
        watch->released = NULL;
        PyEval_RestoreThread(released);
    }
}

#endif
