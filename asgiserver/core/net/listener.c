/* SPDX-License-Identifier: MIT
 *
 * listener.c: listening handles of a Server; see listener.h.
 *
 * TCP_NODELAY is set on the listening socket: on Linux accepted sockets inherit it, which saves a
 * system call per connection.
 */
#define _GNU_SOURCE /* accept4 */

#include "net/listener.h"

#include "asgi/server.h"
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void
on_connection(uv_stream_t *handle, int status)
{
    asgi_listener_t *listener = handle->data;

    /* An accept that failed (EMFILE, ECONNABORTED) is libuv's to retry. */
    if (status == 0)
        asgi_conn_accept(listener);
}

static void
on_closed(uv_handle_t *handle)
{
    asgi_listener_t *listener = handle->data;
    asgi_server_t *server = listener->server;

    asgi_loop_acquire(server->loop);
    ASGI_COUNT(server->state, listeners)--;
    free(listener);
    asgi_server_release(server);
}

int
asgi_listener_open(asgi_server_t *server, int fd, int family)
{
    asgi_listener_t *listener;
    int own, one = 1, rc;

    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return UV_EAFNOSUPPORT;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return uv_translate_sys_error(errno);
    listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        close(own);
        return UV_ENOMEM;
    }
    listener->server = server;
    listener->pipe = family == AF_UNIX;
    listener->fd = own;
    asgi_link_init(&listener->link);
    rc = listener->pipe ? uv_pipe_init(asgi_loop_uv(server->loop), &listener->uv.pipe, 0)
                        : uv_tcp_init(asgi_loop_uv(server->loop), &listener->uv.tcp);
    if (rc < 0) {
        close(own);
        free(listener);
        return rc;
    }
    listener->uv.handle.data = listener;
    ASGI_COUNT(server->state, listeners)++;
    asgi_server_hold(server);
    rc = listener->pipe ? uv_pipe_open(&listener->uv.pipe, own)
                        : uv_tcp_open(&listener->uv.tcp, own);
    if (rc < 0)
        close(own);
    if (rc == 0 && !listener->pipe)
        setsockopt(own, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (rc == 0)
        rc = uv_listen(&listener->uv.stream, server->backlog, on_connection);
    if (rc < 0) {
        uv_close(&listener->uv.handle, on_closed);
        return rc;
    }
    asgi_list_push(&server->listeners, &listener->link);
    return 0;
}

void
asgi_listener_close(asgi_listener_t *listener)
{
    int fd;

    asgi_link_remove(&listener->link);
    for (int i = 0; i < listener->server->backlog; i++) {
        do
            fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
        if (fd < 0)
            break;
        asgi_conn_adopt(listener, fd);
    }
    uv_close(&listener->uv.handle, on_closed);
}
