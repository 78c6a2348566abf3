/* SPDX-License-Identifier: MIT
 *
 * awaitable.h: what receive() and send() return.
 *
 *   READY     done, gives None: one object per module, nothing is allocated
 *   YIELD     suspends the task once, so that an app which never waits lets others run
 *   RECEIVE   waits until the exchange has something to receive, then gives it
 *   DRAIN     waits until the client has taken enough of the output, or is gone
 *
 * They are coroutines in all but name (send, throw, close; registered as
 * collections.abc.Coroutine), so asyncio.create_task(receive()) and wait_for() work. A waiting one
 * sleeps on a future of the loop and, when woken, looks again for itself: a message is taken in
 * the moment it is given to the app, so a cancelled receive() loses nothing.
 */
#ifndef ASGI_AWAITABLE_H
#define ASGI_AWAITABLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/list.h"

struct asgi_state;
struct CycleObject;

typedef enum {
    ASGI_AWAIT_READY,
    ASGI_AWAIT_YIELD,
    ASGI_AWAIT_RECEIVE,
    ASGI_AWAIT_DRAIN,
    ASGI_AWAIT_OVER, /* has given its value */
} asgi_await_kind_t;

typedef struct {
    PyObject_HEAD
    struct CycleObject *cycle; /* owned: RECEIVE and DRAIN */
    PyObject *future;          /* owned: what a waiting one sleeps on */
    PyObject *waiter;          /* owned: the future's iterator */
    asgi_link_t link;          /* in cycle->receivers or cycle->senders while it sleeps */
    asgi_await_kind_t kind;
} AwaitableObject;

/* Returns: new AwaitableType. */
PyTypeObject *asgi_awaitable_type(PyObject *module);

/* The one that is always done. Returns: new. Called once per module. */
PyObject *asgi_awaitable_ready(PyTypeObject *type);
/* Returns: new awaitable, or NULL with an exception. cycle: NULL for YIELD. */
PyObject *asgi_awaitable_new(struct asgi_state *state, struct CycleObject *cycle,
                             asgi_await_kind_t kind);

/* Wakes what sleeps in a list of links. GIL held. May run Python (future callbacks are queued). */
void asgi_awaitable_wake(struct asgi_state *state, asgi_link_t *list);

#endif
