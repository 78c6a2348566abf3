/* SPDX-License-Identifier: MIT
 *
 * loop_object.h: what a LoopObject is made of, for the files of loop/ only. Others see loop.h.
 *
 * Three uv handles live as long as the loop: `wake` (an async, always referenced, so that uv_run
 * never returns for want of handles), `spin` (an idle, started to keep the current uv_run from
 * blocking) and `alarm` (the one timer, set to the earliest call_later before a blocking poll).
 * The readers' and the signals' uv_poll_t are made at first use.
 *
 * Invariants
 *   1. `polling` is set, GIL held, before a poll that may block, and cleared, GIL held, after it.
 *      Who changes what the poll waits for (ready queue, timers, hooks, stop) while it is set
 *      calls asgi_loop_awaken().
 *   2. The ready queue, the timers and the reader table change with the GIL held only. What the
 *      loop's thread queues without the GIL goes to `polled` first.
 *   3. The uv handles are embedded: the object is not freed before their close callbacks have
 *      run (asgi_loop_shut sees to it).
 */
#ifndef ASGI_LOOP_OBJECT_H
#define ASGI_LOOP_OBJECT_H

#include "loop/loop.h"

#include <structmember.h>
#include <sys/types.h>

#include "loop/pulse.h"
#include "loop/reader.h"
#include "loop/ready.h"
#include "loop/signal.h"
#include "loop/timer.h"
#include "state.h"
#include "transport/watch.h"

/* What one read of a transport may bring, as in asyncio. */
#define ASGI_READ_BUFFER (256 * 1024)

struct LoopObject {
    asgi_loop_head_t head;

    asgi_ready_t ready;
    asgi_soon_t *polled_first; /* borrowed: queued by this thread without the GIL */
    asgi_soon_t *polled_last;
    asgi_hook_t hooks;   /* sentinel of the before-poll hooks */
    asgi_hook_t closers; /* sentinel of the at-close hooks */
    asgi_timers_t timers;
    asgi_readers_t readers;
    asgi_signals_t signals;
    asgi_watches_t watches; /* descriptors of transports */
    char *read_buffer;      /* owned, ASGI_READ_BUFFER bytes; NULL before the first read */
    char *plain_buffer;     /* owned, as large: what TLS has opened */

    uv_async_t wake;
    uv_idle_t spin;
    uv_timer_t alarm;
    uint64_t alarm_ms;  /* uv time the alarm is set to; 0: not set */
    uint64_t polled_at; /* uv_hrtime() after the last poll; 0: poll at once */

    /* Since the loop was made; for stats(). */
    uint64_t turns, callbacks, polls;
    /* Nanoseconds that an event had to wait at most: last, most since take_lag, most before that. */
    uint64_t lag_last, lag_peak, lag_before;
    uint64_t busy_since; /* uv_hrtime() when a blocking poll ended or another began; 0: not yet */

    unsigned long thread_id; /* of the thread in run_forever; 0: none */
    pid_t pid;               /* the process that made it: see asgi_loop_shut */
    int uv_open;             /* own uv handles whose close callback has not run */
    char polling;
    char spinning;
    char stopping;
    char closed;
    char debug;

    asgi_pulse_t *pulse; /* own_pulse, or in pulse_view */
    asgi_pulse_t own_pulse;
    Py_buffer pulse_view; /* owned where its obj is not NULL */

    double slow_callback_duration;
    PyObject *current_handle; /* owned, debug mode only */
    PyObject *task_factory;   /* owned or NULL */
    PyObject *self_kwargs;    /* owned {"loop": self}, a cycle until close(); or NULL */
    PyObject *fatal;          /* owned: what run_forever shall raise, or NULL */
};

static inline int
asgi_loop_on_thread(LoopObject *loop)
{
    return loop->thread_id == PyThread_get_thread_ident();
}

/* ---- loop.c ---- */
int asgi_loop_raise_closed(void);
/* asyncio.base_events.logger.level(...), arguments as of Py_BuildValue. Returns: new or NULL. */
PyObject *asgi_loop_log(struct asgi_state *state, const char *level, const char *format, ...);

/* Makes read_buffer and plain_buffer. Returns 0, or -1 with MemoryError. */
int asgi_loop_buffers(LoopObject *loop);

/* RuntimeError where the loop is closed. Returns 0 or -1. */
static inline int
asgi_loop_check_open(LoopObject *loop)
{
    return loop->closed ? asgi_loop_raise_closed() : 0;
}

/* Steals: the reference in a Handle's entry, also when it fails. Returns 0, or -1 with
 * MemoryError. Thread: any, GIL held. */
int asgi_loop_push(LoopObject *loop, uintptr_t entry);
/* Turns until stop(). Returns 0, or -1 with the exception that ended it. */
int asgi_loop_run(LoopObject *loop);
/* Keeps the exception for run_forever and stops the loop. Steals: exception. */
void asgi_loop_set_fatal(LoopObject *loop, PyObject *exception);
/* Calls loop.call_exception_handler(context). Steals: context (may be NULL, with an exception
 * set). What the handler itself raises is fatal or unraisable. */
void asgi_loop_call_handler(LoopObject *loop, PyObject *context);
/* Steals: exception. */
void asgi_exception_raise(PyObject *exception);
int asgi_exception_is_fatal(PyObject *exception);

/* ---- shut.c ---- */
int asgi_loop_open(LoopObject *loop);
/* Has jsrt, where anybody has imported it, free the JavaScript engines that live on this loop: Node
 * alone can close their handles. Before asgi_loop_shut, while is_closed() is false. Runs Python. */
void asgi_loop_free_engines(LoopObject *loop);
/* Closes what is open; safe to call twice. May run Python through other owners' hooks. */
void asgi_loop_shut(LoopObject *loop);
void asgi_loop_drop_ready(LoopObject *loop);
/* Close callback for every uv handle embedded in a LoopObject. */
void asgi_loop_on_handle_closed(uv_handle_t *handle);
/* Counts a uv handle of ours as open; its data becomes the loop. */
void asgi_loop_own(LoopObject *loop, uv_handle_t *handle);

/* ---- wake.c ---- */
int asgi_wake_open(LoopObject *loop);
/* The poll under way, or the next, does not block. Thread: any, GIL held. */
void asgi_loop_awaken(LoopObject *loop);
/* The uv_run under way on this thread does not block. Thread: loop, GIL not needed. */
void asgi_loop_spin(LoopObject *loop);
void asgi_loop_spin_stop(LoopObject *loop);

/* ---- loop_api.c ---- */
extern PyMethodDef asgi_loop_methods[];
extern PyGetSetDef asgi_loop_getset[];
extern PyMemberDef asgi_loop_members[];

#endif
