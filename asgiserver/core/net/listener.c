/* SPDX-License-Identifier: MIT
 *
 * listener.c: listening handles of a Server; see listener.h.
 *
 * TCP_NODELAY and TCP_NOTSENT_LOWAT are set on the listening socket: on Linux accepted sockets inherit
 * them, which saves system calls per connection.
 */
#define _GNU_SOURCE /* accept4 */

#include "net/listener.h"

#include "asgi/server.h"
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BURST = 64,       /* connections accepted in one turn of the loop */
    HOLD_BACK_MS = 1, /* in favour of a worker with fewer connections */
    COURTESY = 4,     /* pauses in a row before a connection is taken after all */
    PATIENCE = 50,    /* pauses after which that worker is taken to be stuck */
    /* Bytes that the kernel holds for a connection beyond what is on its way: without a bound it takes
     * up to 4 MiB, and a thousand clients that read slowly use up all memory for TCP. */
    UNSENT_AT_MOST = 1048576,
    OUT_OF_FILES_MS = 100, /* until accept is tried again after EMFILE and the like */
};

static void on_readable(uv_poll_t *handle, int status, int events);

static void
on_pause_over(uv_timer_t *timer)
{
    asgi_listener_t *listener = timer->data;

    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void
pause_for(asgi_listener_t *listener, uint64_t milliseconds)
{
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->pause, on_pause_over, milliseconds, 0);
}

/* Whether the kernel has given this listener its connections for itself. */
static bool
has_own_queue(int fd, int family)
{
    int shared = 0;
    socklen_t size = sizeof shared;

    return family != AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, &size) == 0
           && shared != 0;
}

/* A socket, or -1 with errno. What ended before it was accepted is passed over. */
static int
accept_one(asgi_listener_t *listener)
{
    int fd;

    do
        fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd;
}

static void
on_readable(uv_poll_t *handle, int status, int events)
{
    asgi_listener_t *listener = handle->data;
    asgi_server_t *server = listener->server;
    int fd, due = listener->holds < COURTESY ? 0 : listener->holds < PATIENCE ? 1 : BURST;

    for (int i = 0; i < BURST; i++) {
        if (listener->alone || !asgi_balance_busier(&server->balance, server->connections)) {
            listener->holds = 0;
        } else if (due-- <= 0) {
            if (listener->holds < PATIENCE)
                listener->holds++;
            pause_for(listener, HOLD_BACK_MS);
            return;
        }
        fd = accept_one(listener);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            listener->holds = 0;
            return;
        }
        if (fd < 0)
            break;
        listener->refused = false;
        asgi_conn_adopt(listener, fd);
    }
    if (fd >= 0)
        return;
    if (!listener->refused) {
        char message[128];

        snprintf(message, sizeof message, "Cannot accept connections for now: %s.",
                 strerror(errno));
        asgi_loop_acquire(server->loop);
        asgi_server_log(server, 40, message, NULL);
    }
    listener->refused = true;
    pause_for(listener, OUT_OF_FILES_MS);
}

static void
on_closed(uv_handle_t *handle)
{
    asgi_listener_t *listener = handle->data;
    asgi_server_t *server = listener->server;

    if (--listener->handles > 0)
        return;
    asgi_loop_acquire(server->loop);
    ASGI_COUNT(server->state, listeners)--;
    free(listener);
    asgi_server_release(server);
}

int
asgi_listener_open(asgi_server_t *server, int fd, int family)
{
    asgi_listener_t *listener;
    int own, one = 1, unsent = UNSENT_AT_MOST, rc;

    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return UV_EAFNOSUPPORT;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return uv_translate_sys_error(errno);
    if (listen(own, server->backlog) < 0 || (listener = calloc(1, sizeof *listener)) == NULL) {
        rc = errno != 0 ? uv_translate_sys_error(errno) : UV_ENOMEM;
        close(own);
        return rc;
    }
    if (family != AF_UNIX) {
        setsockopt(own, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(own, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    }
    listener->server = server;
    listener->pipe = family == AF_UNIX;
    listener->fd = own;
    listener->alone = has_own_queue(own, family);
    asgi_link_init(&listener->link);
    rc = uv_poll_init(asgi_loop_uv(server->loop), &listener->poll, own);
    if (rc < 0) {
        close(own);
        free(listener);
        return rc;
    }
    uv_timer_init(asgi_loop_uv(server->loop), &listener->pause);
    uv_unref((uv_handle_t *)&listener->pause);
    listener->poll.data = listener->pause.data = listener;
    listener->handles = 2;
    ASGI_COUNT(server->state, listeners)++;
    asgi_server_hold(server);
    asgi_list_push(&server->listeners, &listener->link);
    asgi_balance_tell(&server->balance, server->connections);
    rc = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    if (rc < 0)
        asgi_listener_close(listener);
    return rc;
}

void
asgi_listener_close(asgi_listener_t *listener)
{
    int fd;

    asgi_link_remove(&listener->link);
    asgi_balance_leave(&listener->server->balance);
    for (int i = 0; i < listener->server->backlog && (fd = accept_one(listener)) >= 0; i++)
        asgi_conn_adopt(listener, fd);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    uv_close((uv_handle_t *)&listener->pause, on_closed);
    /* At once, not when libuv calls back: who connects in between would be reset. */
    close(listener->fd);
}
