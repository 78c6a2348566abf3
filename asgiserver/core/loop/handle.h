/* SPDX-License-Identifier: MIT
 *
 * handle.h: Handle and TimerHandle: a callback, its arguments and the context it runs in.
 *
 * Called by loop_api.c (which makes them), loop.c (which runs them), timer.c and reader.c.
 *
 * Neither derives from asyncio's classes, whose slots would only be dead weight; their __class__
 * answers with asyncio.Handle and asyncio.TimerHandle, which is what isinstance() asks for.
 *
 * Invariants
 *   1. callback is NULL once cancelled, never otherwise.
 *   2. loop and context are set as long as the object lives: tp_clear leaves them, the loop's
 *      own tp_clear breaks the cycles.
 */
#ifndef ASGI_HANDLE_H
#define ASGI_HANDLE_H

#include "loop/loop.h"

#define ASGI_HANDLE_ARGS 2 /* arguments kept inline; more go into a tuple */

typedef struct {
    PyObject_HEAD
    LoopObject *loop;                 /* owned */
    PyObject *callback;               /* owned, NULL: cancelled */
    PyObject *context;                /* owned */
    PyObject *args[ASGI_HANDLE_ARGS]; /* owned; args[0] is a tuple if nargs is above the bound */
    Py_ssize_t nargs;
    PyObject *traceback; /* owned, debug mode only, else NULL */
    PyObject *repr;      /* owned: as it was before cancel() in debug mode, else NULL */
    PyObject *weakrefs;
    char cancelled;
    char queued;    /* in the ready queue on a reader's account */
    char scheduled; /* timers: in the heap */
    char is_timer;
} HandleObject;

typedef struct {
    HandleObject handle;
    double when; /* seconds of loop.time() */
} TimerHandleObject;

/* args: the positional arguments; context: borrowed, or NULL for a copy of the current one.
 * Returns: new, or NULL with an exception. */
HandleObject *asgi_handle_new(LoopObject *loop, PyObject *callback, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *context);
TimerHandleObject *asgi_timer_handle_new(LoopObject *loop, double when, PyObject *callback,
                                         PyObject *const *args, Py_ssize_t nargs,
                                         PyObject *context);

/* Both kinds. */
int asgi_handle_check(struct asgi_state *state, PyObject *object);

/* Runs the callback in its context; errors go to the loop's exception handler.
 * Returns 0, or -1 with KeyboardInterrupt or SystemExit set. May run Python. */
int asgi_handle_run(HandleObject *handle);
/* The same with the clock held against it, for debug mode. */
int asgi_handle_run_timed(HandleObject *handle);
/* Returns 0, or -1 with an exception (only repr() in debug mode can fail). May run Python. */
int asgi_handle_cancel(HandleObject *handle);

/* For good: called while the types are alive, when the module is cleared. */
void asgi_handle_freelist_drain(struct asgi_state *state);
/* Adds the two types. Returns 0 or -1. */
int asgi_handle_exec(PyObject *module, struct asgi_state *state);

#endif
