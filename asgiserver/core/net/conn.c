/* SPDX-License-Identifier: MIT
 *
 * conn.c: accept, close, deadlines and protocol switch of connections; see conn.h.
 *
 * The HTTP/1 side is conn_http1.c. Stream callbacks arrive without the GIL and take it where a
 * Python object is touched: a connection that sends nothing complete never does.
 */
#include "net/conn.h"

#include "asgi/cycle.h"
#include "asgi/server.h"
#include "asgi/tls_object.h"
#include "net/conn_http1.h"
#include "net/conn_http2.h"
#include "net/proxied.h"
#include "net/stream_tls.h"
#include "proto/date.h"

#include <arpa/inet.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

/* Returns 0, or -1 where the client has no address. */
static int
client_address(const asgi_conn_t *conn, struct sockaddr_storage *address)
{
    int size = sizeof *address;

    if (conn->proxied != NULL)
        return asgi_proxied_address(conn->proxied, true, address);
    if (conn->pipe)
        return -1;
    return uv_tcp_getpeername(&conn->stream.uv.tcp, (struct sockaddr *)address, &size);
}

static int begin(asgi_conn_t *conn);

/* ---- stream events ---- */

/* The first bytes tell whether the client begins with HTTP/2 (RFC 9113 3.3, prior knowledge). */
static size_t
on_first_bytes(asgi_conn_t *conn, const char *data, size_t size)
{
    size_t known = size < ASGI_HTTP2_PREFACE_SIZE ? size : ASGI_HTTP2_PREFACE_SIZE;

    if (memcmp(data, ASGI_HTTP2_PREFACE, known) != 0) {
        conn->preface_due = false;
        return asgi_http1_conn_input(conn, data, size);
    }
    if (known < ASGI_HTTP2_PREFACE_SIZE)
        return 0;
    conn->preface_due = false;
    if (asgi_http2_conn_start(conn) < 0) {
        asgi_conn_close(conn);
        return size;
    }
    return conn->proto->on_input(conn, data, size);
}

/* A proxy has to say first whose connection it is. */
static size_t
on_introduction(asgi_conn_t *conn, const char *data, size_t size)
{
    ssize_t used = asgi_proxied_read(conn, data, size);

    if (used == 0)
        return 0;
    if (used == ASGI_ERR_PROXY) {
        asgi_loop_acquire(conn->server->loop);
        asgi_server_log(conn->server, 30, "Invalid PROXY protocol header received.", NULL);
    }
    if (used < 0 || begin(conn) < 0) {
        asgi_conn_close(conn);
        return size;
    }
    conn->proxy_due = false;
    if (conn->stream.tls != NULL || (size_t)used == size)
        return (size_t)used; /* the stream takes the rest for a handshake */
    data += used;
    size -= (size_t)used;
    return (size_t)used
           + (conn->preface_due ? on_first_bytes(conn, data, size)
                                : asgi_http1_conn_input(conn, data, size));
}

static size_t
on_input(asgi_stream_t *stream, const char *data, size_t size)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;

    if (conn->ending)
        return size;
    if (conn->proxy_due)
        return on_introduction(conn, data, size);
    if (conn->proto != NULL)
        return conn->proto->on_input(conn, data, size);
    if (conn->preface_due)
        return on_first_bytes(conn, data, size);
    return asgi_http1_conn_input(conn, data, size);
}

static void
on_eof(asgi_stream_t *stream)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;

    if (conn->ending) {
        if (asgi_stream_pending(stream) == 0)
            asgi_conn_close(conn);
        return;
    }
    if (conn->proxy_due)
        asgi_conn_close(conn);
    else if (conn->proto != NULL)
        conn->proto->on_eof(conn);
    else
        asgi_http1_conn_eof(conn);
}

/* At debug level: anybody can make handshakes fail, all day long. */
static void
log_failed_handshake(asgi_conn_t *conn)
{
    char line[512] = "TLS handshake failed: ";
    size_t used = strlen(line);

    if (!asgi_tls_object_verbose(conn->server->tls))
        return;
    asgi_tls_explain(&conn->stream.tls->session, line + used, sizeof line - used);
    asgi_loop_acquire(conn->server->loop);
    asgi_server_log(conn->server, 10, line, NULL);
}

/* The handshake has failed. The client is told why, by an alert or a plain 400, and may still be
 * sending: what it sends must not make a reset of our answer. */
static void
end_handshake(asgi_conn_t *conn, int code)
{
    log_failed_handshake(conn);
    if (conn->stream.closing)
        return; /* error_log closed the server */
    if (code == ASGI_ERR_NOT_TLS) {
        asgi_stream_tls_drop(&conn->stream);
        conn->http1.error = code;
        asgi_loop_acquire(conn->server->loop);
        asgi_http1_conn_refuse(conn, 400, "This port speaks HTTPS only.");
        return;
    }
    conn->ending = conn->lingering = true;
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_LINGER);
    asgi_stream_shutdown(&conn->stream);
    if (!conn->stream.closing && asgi_stream_read_start(&conn->stream) < 0)
        asgi_conn_close(conn);
}

static void
on_broken(asgi_stream_t *stream, int code)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;

    if ((code == ASGI_ERR_TLS || code == ASGI_ERR_NOT_TLS) && !stream->broken && !conn->ending
        && !stream->tls->session.ready)
        end_handshake(conn, code);
    else
        asgi_conn_close(conn);
}

static void
on_secured(asgi_stream_t *stream)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;

    if (conn->ending)
        return;
    if (!asgi_tls_is_http2(&stream->tls->session))
        asgi_http1_conn_set_deadline(conn, true);
    else if (asgi_http2_conn_start(conn) < 0)
        asgi_conn_close(conn);
}

/* All output of an ending connection is sent. */
static void
end_now(asgi_conn_t *conn)
{
    bool owes = conn->proto != NULL ? conn->linger
                                    : (asgi_http1_in_body(&conn->http1) || conn->http1.error != 0
                                       || asgi_buf_size(&conn->stream.in) > 0);

    if (conn->lingering)
        return;
    if (conn->stream.eof || !owes) {
        asgi_stream_tls_close_notify(&conn->stream);
        asgi_conn_close(conn);
        return;
    }
    conn->lingering = true;
    asgi_stream_shutdown(&conn->stream);
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_LINGER);
    if (asgi_stream_read_start(&conn->stream) < 0)
        asgi_conn_close(conn);
}

static void
on_sent(asgi_stream_t *stream)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;

    if (conn->ending) {
        if (asgi_stream_pending(stream) == 0)
            end_now(conn);
        return;
    }
    if (conn->proto != NULL)
        conn->proto->on_sent(conn);
    else
        asgi_http1_conn_sent(conn);
}

static void
on_closed(asgi_stream_t *stream)
{
    asgi_conn_t *conn = (asgi_conn_t *)stream;
    asgi_server_t *server = conn->server;

    Py_CLEAR(conn->client);
    Py_CLEAR(conn->local);
    Py_CLEAR(conn->tls);
    free(conn->proxied);
    asgi_http1_dispose(&conn->http1);
    asgi_pool_give(&server->conn_pool, conn);
    ASGI_COUNT(server->state, connections)--;
    asgi_server_release(server);
}

static const asgi_stream_events_t events = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_broken = on_broken,
    .on_secured = on_secured,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

/* ---- life ---- */

static void
count_connection(asgi_server_t *server, int change)
{
    server->connections += (size_t)change;
    if (server->balance.present)
        asgi_balance_tell(&server->balance, server->connections);
    if (server->stats != NULL) {
        asgi_stats_set(server->stats->connections, server->connections);
        if (change > 0)
            asgi_stats_count(server->stats->accepted, 1);
    }
}

static void
on_flush_hook(asgi_hook_t *hook)
{
    asgi_conn_t *conn = ASGI_CONTAINER(hook, asgi_conn_t, flush_hook);

    if (conn->proto != NULL && conn->proto->on_flush != NULL)
        conn->proto->on_flush(conn);
    else if (conn->proto == NULL && asgi_http1_conn_holds(conn))
        asgi_conn_flush_soon(conn);
    else
        asgi_conn_flush(conn);
}

/* Whether the client may have one more connection. */
static bool
admitted(asgi_conn_t *conn)
{
    asgi_server_t *server = conn->server;
    struct sockaddr_storage address;
    int rc;

    if (server->peers.limit == 0)
        return true;
    if (client_address(conn, &address) < 0)
        return conn->pipe || conn->proxied != NULL; /* else it is gone again */
    rc = asgi_peers_enter(&server->peers, (struct sockaddr *)&address, &conn->peer);
    if (rc == ASGI_ERR_LIMIT && asgi_date_now() != server->peer_warned_at) {
        /* Once a second at most: whoever opens too many opens many more. */
        server->peer_warned_at = asgi_date_now();
        asgi_loop_acquire(server->loop);
        asgi_server_log(server, 30, "Too many connections from one client, refused.", NULL);
    }
    return rc == 0;
}

/* It is known whose connection it is. Returns 0, or an error where it is to be closed. */
static int
begin(asgi_conn_t *conn)
{
    asgi_server_t *server = conn->server;

    if (!admitted(conn))
        return UV_ECONNREFUSED;
    if (server->tls == NULL)
        return 0;
    return asgi_stream_tls_start(&conn->stream, asgi_tls_object_context(server->tls),
                                 server->plain_buffer);
}

void
asgi_conn_adopt(asgi_listener_t *listener, int fd)
{
    asgi_server_t *server = listener->server;
    asgi_conn_t *conn = asgi_pool_take(&server->conn_pool);
    int rc;

    if (conn == NULL) {
        close(fd);
        return;
    }
    memset(conn, 0, offsetof(asgi_conn_t, http1));
    asgi_link_init(&conn->link);
    asgi_deadline_init(&conn->deadline);
    asgi_http1_init(&conn->http1);
    conn->http1.max_head_bytes = server->max_header_bytes;
    conn->http1.max_line_bytes = server->max_line_bytes;
    conn->http1.max_fields = server->max_header_count;
    conn->http1.max_chunk_extra = server->max_chunk_extra;
    conn->http1.max_body_bytes = server->max_body_bytes;
    conn->server = server;
    conn->pipe = listener->pipe;
    conn->flush_hook.run = on_flush_hook;
    conn->preface_due = server->http2 && server->tls == NULL;
    if (asgi_stream_init(&conn->stream, server->loop, server->read_buffer, &server->spares, &events,
                         listener->pipe)
        < 0) {
        asgi_pool_give(&server->conn_pool, conn);
        close(fd);
        return;
    }
    asgi_server_hold(server);
    ASGI_COUNT(server->state, connections)++;
    count_connection(server, 1);
    asgi_list_push(&server->conns, &conn->link);
    asgi_deadline_set(&server->deadlines, &conn->deadline,
                      server->tls != NULL ? ASGI_DEADLINE_TLS : ASGI_DEADLINE_HEAD);
    rc = listener->pipe ? uv_pipe_open(&conn->stream.uv.pipe, fd)
                        : uv_tcp_open(&conn->stream.uv.tcp, fd);
    if (rc < 0)
        close(fd);
    if (rc == 0 && !(conn->proxy_due = asgi_proxied_due(conn)))
        rc = begin(conn);
    if (rc < 0 || asgi_stream_read_start(&conn->stream) < 0)
        asgi_conn_close(conn);
}

void
asgi_conn_detach(asgi_conn_t *conn, bool gone)
{
    CycleObject *cycle = conn->cycle;

    if (cycle == NULL)
        return;
    conn->cycle = NULL;
    asgi_cycle_leave(cycle, gone);
}

void
asgi_conn_close(asgi_conn_t *conn)
{
    asgi_server_t *server = conn->server;

    if (conn->stream.closing)
        return;
    asgi_stream_close(&conn->stream);
    asgi_link_remove(&conn->link);
    count_connection(server, -1);
    asgi_peers_leave(&server->peers, conn->peer);
    conn->peer = NULL;
    asgi_deadline_set(&server->deadlines, &conn->deadline, ASGI_DEADLINE_NONE);
    if (conn->cycle == NULL && conn->proto == NULL && conn->flush_hook.next == NULL)
        return;
    asgi_loop_acquire(server->loop);
    asgi_loop_hook_cancel(server->loop, &conn->flush_hook);
    if (conn->proto != NULL)
        conn->proto->on_gone(conn);
    else if (conn->cycle != NULL && server->stats != NULL)
        asgi_stats_count(server->stats->unfinished, 1);
    asgi_conn_detach(conn, true);
}

void
asgi_conn_end(asgi_conn_t *conn)
{
    if (conn->ending || conn->stream.closing)
        return;
    conn->ending = true;
    asgi_conn_flush(conn);
    if (conn->stream.closing)
        return;
    if (asgi_stream_pending(&conn->stream) == 0) {
        end_now(conn);
        return;
    }
    conn->mark = SIZE_MAX;
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_WRITE);
}

void
asgi_conn_flush(asgi_conn_t *conn)
{
    asgi_stream_flush(&conn->stream, (asgi_slice_t){NULL, 0}, NULL);
}

void
asgi_conn_flush_soon(asgi_conn_t *conn)
{
    if (!conn->stream.closing && conn->flush_hook.next == NULL)
        asgi_loop_before_poll(conn->server->loop, &conn->flush_hook);
}

void
asgi_conn_upgrade(asgi_conn_t *conn, const asgi_conn_proto_t *proto, void *data)
{
    conn->proto = proto;
    conn->proto_data = data;
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_NONE);
    asgi_stream_replay(&conn->stream);
    if (asgi_stream_read_start(&conn->stream) < 0)
        asgi_conn_close(conn);
}

void
asgi_conn_shutdown(asgi_conn_t *conn)
{
    if (conn->proto != NULL)
        conn->proto->on_shutdown(conn);
    else if (conn->cycle != NULL)
        conn->cycle->out.keep_alive = false;
    else if (conn->discard || conn->stream.eof)
        asgi_conn_end(conn);
    else
        /* A request may be on its way: a client that keeps its connection busy has sent the next
         * one already. It is answered, with "Connection: close"; silence ends it soon. */
        asgi_http1_conn_set_deadline(conn, false);
}

/* ---- deadlines ---- */

size_t
asgi_conn_quota(const asgi_conn_t *conn, asgi_deadline_kind_t kind)
{
    const asgi_server_t *server = conn->server;
    size_t quota = (size_t)(server->min_rate * server->deadlines.after[kind] / 1000);

    return quota > 0 ? quota : 1;
}

/* A slow client may take nothing but what is in the socket's buffer for quite a while. */
size_t
asgi_conn_unsent(asgi_conn_t *conn)
{
    size_t unsent = uv_stream_get_write_queue_size(&conn->stream.uv.stream);
    uv_os_fd_t fd;
    int queued;

    if (conn->cycle != NULL && conn->cycle->file != NULL)
        unsent += (size_t)conn->cycle->file->remaining;
    if (conn->stream.tls != NULL)
        unsent += asgi_stream_tls_unsent(&conn->stream);
    if (uv_fileno(&conn->stream.uv.handle, &fd) == 0 && ioctl(fd, TIOCOUTQ, &queued) == 0)
        unsent += (size_t)queued;
    return unsent;
}

/* It would keep the kernel busy with what is in the socket's buffer, and see no end: that is thrown
 * away, and the connection reset. */
void
asgi_conn_close_stalled(asgi_conn_t *conn)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd;

    if (!conn->pipe && uv_fileno(&conn->stream.uv.handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    asgi_conn_close(conn);
}

void
asgi_conn_on_expired(asgi_deadline_t *deadline)
{
    asgi_conn_t *conn = ASGI_CONTAINER(deadline, asgi_conn_t, deadline);

    if (deadline->kind == ASGI_DEADLINE_WRITE) {
        size_t unsent = asgi_conn_unsent(conn);
        size_t quota = asgi_conn_quota(conn, ASGI_DEADLINE_WRITE);
        if (conn->mark == SIZE_MAX || (unsent < conn->mark && conn->mark - unsent >= quota)) {
            conn->mark = unsent;
            asgi_deadline_set(&conn->server->deadlines, deadline, ASGI_DEADLINE_WRITE);
            return;
        }
    }
    if (deadline->kind == ASGI_DEADLINE_WRITE)
        asgi_conn_close_stalled(conn);
    else if (conn->ending || conn->proxy_due || deadline->kind == ASGI_DEADLINE_TLS)
        asgi_conn_close(conn);
    else if (conn->proto != NULL)
        conn->proto->on_expired(conn);
    else
        asgi_http1_conn_expired(conn);
}

/* ---- addresses ---- */

static PyObject *
address_tuple(const struct sockaddr_storage *storage, int rc)
{
    char host[INET6_ADDRSTRLEN] = "";
    int port;

    if (rc < 0)
        return Py_NewRef(Py_None);
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        uv_ip4_name(in, host, sizeof host);
        port = ntohs(in->sin_port);
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
        uv_ip6_name(in6, host, sizeof host);
        port = ntohs(in6->sin6_port);
    } else {
        return Py_NewRef(Py_None);
    }
    return Py_BuildValue("(si)", host, port);
}

PyObject *
asgi_conn_client(asgi_conn_t *conn)
{
    struct sockaddr_storage storage;

    if (conn->client == NULL)
        conn->client = address_tuple(&storage, client_address(conn, &storage));
    return conn->client;
}

/* (path, None). Returns: new. */
static PyObject *
path_tuple(const char *path, size_t size)
{
    PyObject *name = PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)size);
    PyObject *pair = name != NULL ? PyTuple_Pack(2, name, Py_None) : NULL;

    Py_XDECREF(name);
    return pair;
}

/* Most connections of a server have come to one address: they share the tuple. Returns: new. */
static PyObject *
tcp_local(asgi_conn_t *conn)
{
    asgi_server_t *server = conn->server;
    struct sockaddr_storage storage;
    int size = sizeof storage, rc;
    PyObject *local;

    memset(&storage, 0, sizeof storage);
    rc = uv_tcp_getsockname(&conn->stream.uv.tcp, (struct sockaddr *)&storage, &size);
    if (rc == 0 && server->local != NULL
        && memcmp(&storage, &server->local_address, sizeof storage) == 0)
        return Py_NewRef(server->local);
    local = address_tuple(&storage, rc);
    if (rc == 0 && local != NULL) {
        server->local_address = storage;
        Py_XSETREF(server->local, Py_NewRef(local));
    }
    return local;
}

PyObject *
asgi_conn_local(asgi_conn_t *conn)
{
    const asgi_proxy_header_t *proxied = conn->proxied;
    struct sockaddr_storage storage;
    char path[sizeof(struct sockaddr_un)];
    size_t path_size = sizeof path;

    if (conn->local != NULL)
        return conn->local;
    if (proxied != NULL && proxied->family == ASGI_PROXY_UNIX) {
        conn->local = path_tuple(proxied->path.destination,
                                 strnlen(proxied->path.destination, ASGI_PROXY_PATH_MAX));
    } else if (proxied != NULL) {
        conn->local = address_tuple(&storage, asgi_proxied_address(proxied, false, &storage));
    } else if (!conn->pipe) {
        conn->local = tcp_local(conn);
    } else if (uv_pipe_getsockname(&conn->stream.uv.pipe, path, &path_size) == 0) {
        conn->local = path_tuple(path, path_size);
    } else {
        conn->local = Py_NewRef(Py_None);
    }
    return conn->local;
}
