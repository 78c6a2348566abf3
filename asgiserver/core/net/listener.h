/* SPDX-License-Identifier: MIT
 *
 * listener.h: a listening socket, given to us bound by Python; accepted streams become conns.
 */
#ifndef ASGI_LISTENER_H
#define ASGI_LISTENER_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <uv.h>

struct asgi_server;

typedef struct asgi_listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;                       /* data points back at the listener */
    asgi_link_t link;           /* in server->listeners */
    struct asgi_server *server; /* borrowed: it is held while the listener lives */
    bool pipe;
    int fd; /* the handle's own duplicate */
} asgi_listener_t;

/* Duplicates a bound socket of a family libuv knows (AF_INET, AF_INET6, AF_UNIX) and accepts from
 * it. Returns 0 or a libuv code. GIL held. */
ASGI_MUST_CHECK int asgi_listener_open(struct asgi_server *server, int fd, int family);

/* Accepts what waits in the kernel's queue (closing it would reset that), stops accepting and
 * closes the duplicate. GIL held. */
void asgi_listener_close(asgi_listener_t *listener);

#endif
