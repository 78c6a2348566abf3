/* SPDX-License-Identifier: MIT
 *
 * listener.h: a listening socket, given to us bound by Python; accepted sockets become conns.
 *
 * Workers share the socket, and each of them is woken by each connection. One that has more
 * connections than another holds back for a moment (balance.h), so that long-lived connections
 * spread evenly; but never longer, for that other worker may have better things to do. With
 * SO_REUSEPORT each has a socket of its own, and none of this applies.
 */
#ifndef ASGI_LISTENER_H
#define ASGI_LISTENER_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <uv.h>

struct asgi_server;

typedef struct asgi_listener {
    uv_poll_t poll;             /* data of both points back at the listener */
    uv_timer_t pause;           /* runs while nothing is accepted for a moment */
    asgi_link_t link;           /* in server->listeners */
    struct asgi_server *server; /* borrowed: it is held while the listener lives */
    bool pipe;                  /* AF_UNIX */
    bool alone;                 /* SO_REUSEPORT: no other worker can take its connections */
    int holds;                  /* pauses in a row in favour of other workers */
    bool refused;               /* accept failed, and the log says so */
    int fd;                     /* owned: the listener's own duplicate */
    int handles;                /* libuv handles that are not closed yet */
} asgi_listener_t;

/* Duplicates a bound socket of a family libuv knows (AF_INET, AF_INET6, AF_UNIX) and accepts from
 * it. Returns 0 or a libuv code. GIL held. */
ASGI_MUST_CHECK int asgi_listener_open(struct asgi_server *server, int fd, int family);

/* Accepts what waits in the kernel's queue (closing it would reset that), stops accepting and
 * closes the duplicate. GIL held. */
void asgi_listener_close(asgi_listener_t *listener);

#endif
