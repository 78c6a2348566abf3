/* SPDX-License-Identifier: MIT
 *
 * watch.h: one descriptor of a transport, polled by libuv.
 *
 * A transport that got its socket from Python watches a duplicate of it: libuv aborts the process
 * where a watched descriptor is closed under it, and anybody with the socket object could do that.
 * The duplicate belongs to the watch.
 *
 * Interest is given up lazily. Who stops reading and begins again before anything has arrived has
 * cost the kernel nothing; only an event that nobody wants any more takes the interest back.
 *
 * Invariants
 *   1. While something is wanted, the watch owns a reference to its owner and is in the loop's
 *      list `watches`, where the garbage collector finds it. Otherwise the reference is weak: the
 *      owner closes the watch before it goes.
 *   2. The struct is freed in the close callback of its handle.
 */
#ifndef ASGI_WATCH_H
#define ASGI_WATCH_H

#include "base/list.h"
#include "loop/loop.h"

typedef struct asgi_watch {
    uv_poll_t poll;
    LoopObject *loop;    /* borrowed: closes every watch before it goes */
    PyObject *owner;     /* see invariant 1; NULL once closed */
    asgi_link_t wanting; /* in loop->watches.wanting while something is wanted */
    asgi_link_t open;    /* in loop->watches.open until closed */
    /* GIL held, the owner kept alive; must not leave an exception set. events: UV_READABLE and
     * UV_WRITABLE, of those wanted. An error of the descriptor shows as both. */
    void (*ready)(PyObject *owner, int events);
    struct asgi_watch **slot; /* the owner's pointer to this, cleared when the loop closes */
    int fd;                   /* owned */
    int want, armed;          /* UV_READABLE | UV_WRITABLE: asked for by the owner, of libuv */
} asgi_watch_t;

typedef struct {
    asgi_link_t wanting;
    asgi_link_t open;
} asgi_watches_t;

/* Steals: fd, also when it fails. *slot becomes the watch. Returns 0, or -1 with an exception. */
int asgi_watch_open(LoopObject *loop, int fd, PyObject *owner,
                    void (*ready)(PyObject *owner, int events), asgi_watch_t **slot);
/* Asks for other events; the caller holds a reference to the owner. Thread: loop, GIL held. */
void asgi_watch_want(asgi_watch_t *watch, int events);
/* Closes the descriptor, too, and clears the owner's pointer. The caller holds a reference to the
 * owner, or is its deallocator. */
void asgi_watch_close(asgi_watch_t *watch);

void asgi_watches_init(asgi_watches_t *watches);
/* Closes all that are open: the loop closes. May run Python. */
void asgi_watches_close(LoopObject *loop);
/* In a forked child: frees them without a word to the kernel. */
void asgi_watches_abandon(LoopObject *loop);
int asgi_watches_traverse(asgi_watches_t *watches, visitproc visit, void *arg);

#endif
