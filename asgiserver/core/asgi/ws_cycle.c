/* SPDX-License-Identifier: MIT
 *
 * ws_cycle.c: WebSocket exchanges; see ws_cycle.h. Called by net/conn_http1.c (the request), by
 * the connection's events once accepted, and by receive.c, ws_send.c and task.c for the app.
 *
 * Bounds. Reading stops while ws_max_queue messages, or ws_max_size bytes of messages, wait for
 * the app; at most one message of ws_max_size is incomplete behind them. While the peer takes
 * nothing, only its latest ping is remembered, so answering pings cannot fill memory.
 *
 *   deadline   runs while                              when it passes
 *   WS_PING    open                                    a ping goes out
 *   WS_PONG    a ping is not answered                  close 1011, unless bytes came meanwhile or
 *                                                      we were not reading
 *   WS_CLOSE   our close frame is not answered         the connection is closed
 *              the app has not read what the peer        the peer is told its fault
 *              sent before it broke the rules
 */
#include "asgi/ws_cycle.h"

#include "asgi/server.h"
#include "net/conn_http1.h"

#define IDLE_CAPACITY 4096 /* what a connection without unread messages may keep */

/* ---- the request ---- */

bool
asgi_ws_wanted(const asgi_request_t *request)
{
    return request->upgrade && request->upgrade_websocket;
}

/* The value of a field that must occur once. Returns false where it does not. */
static bool
only_field(const asgi_request_t *request, const char *head, asgi_header_id_t id,
           asgi_slice_t *value)
{
    unsigned found = 0;

    for (uint32_t i = 0; i < request->field_count; i++) {
        if (request->fields[i].id == id) {
            *value = (asgi_slice_t){head + request->fields[i].value, request->fields[i].value_size};
            found++;
        }
    }
    return found == 1;
}

/* 426 tells the version that would do (RFC 6455 4.2.2, RFC 9110 15.5.22). */
static void
refuse_version(asgi_conn_t *conn)
{
    static const char more[] =
        "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n";
    asgi_slice_t defaults = asgi_server_defaults(conn->server);
    asgi_buf_t lines = {0};
    int rc = asgi_buf_append(&lines, defaults.data, defaults.size)
             | asgi_buf_append(&lines, more, sizeof more - 1);

    if (rc == 0)
        rc = asgi_http1_out_plain(asgi_stream_out(&conn->stream), 426,
                                  (asgi_slice_t){lines.data, asgi_buf_size(&lines)},
                                  "Upgrade Required", true);
    asgi_buf_dispose(&lines);
    if (rc < 0)
        asgi_conn_close(conn);
    else
        asgi_conn_end(conn);
}

/* Reads the offers. Returns false where a list does not follow its grammar: such a handshake is to
 * be refused (RFC 6455 4.2.1, 9.1). */
static bool
read_lists(const asgi_request_t *request, const char *head, asgi_ws_extension_t *extension)
{
    for (uint32_t i = 0; i < request->field_count; i++) {
        const asgi_field_t *field = &request->fields[i];
        asgi_slice_t value = {head + field->value, field->value_size};
        if (field->id == ASGI_HEADER_SEC_WEBSOCKET_PROTOCOL && !asgi_ws_tokens_ok(value))
            return false;
        if (field->id == ASGI_HEADER_SEC_WEBSOCKET_EXTENSIONS
            && asgi_ws_extension_offers(extension, value) < 0)
            return false;
    }
    return true;
}

bool
asgi_ws_refused(asgi_conn_t *conn, const char *head)
{
    const asgi_request_t *request = &conn->http1.request;
    asgi_ws_extension_t extension = {0};
    asgi_slice_t value;
    const char *problem = NULL;

    if (request->method != HTTP_GET || request->content_length > 0 || request->chunked)
        problem = "Invalid WebSocket request: not a GET without a body.";
    else if (!only_field(request, head, ASGI_HEADER_SEC_WEBSOCKET_KEY, &value)
             || !asgi_ws_key_ok(value))
        problem = "Invalid WebSocket request: Sec-WebSocket-Key is missing or malformed.";
    else if (!read_lists(request, head, &extension))
        problem = "Invalid WebSocket request: malformed Sec-WebSocket-Protocol or -Extensions.";
    if (problem != NULL) {
        asgi_http1_conn_refuse(conn, 400, problem);
        return true;
    }
    if (!only_field(request, head, ASGI_HEADER_SEC_WEBSOCKET_VERSION, &value)
        || !asgi_slice_is(value, "13")) {
        refuse_version(conn);
        return true;
    }
    return false;
}

int
asgi_ws_attach(CycleObject *cycle, const char *head)
{
    const asgi_request_t *request = &cycle->conn->http1.request;
    asgi_ws_t *ws = calloc(1, sizeof *ws);
    asgi_slice_t key = {NULL, 0};

    if (ws == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    asgi_ws_parser_init(&ws->parser, cycle->server->ws_max_size);
    if (!cycle->server->ws_deflate || !read_lists(request, head, &ws->extension))
        ws->extension.agreed = false;
    if (only_field(request, head, ASGI_HEADER_SEC_WEBSOCKET_KEY, &key)
        && key.size == sizeof ws->key)
        memcpy(ws->key, key.data, sizeof ws->key);
    cycle->ws = ws;
    cycle->out.keep_alive = false;
    return 0;
}

void
asgi_ws_free(asgi_ws_t *ws)
{
    if (ws != NULL) {
        asgi_ws_deflate_free(ws->deflate);
        asgi_buf_dispose(&ws->sizes);
        free(ws);
    }
}

static PyObject *
subprotocols(const asgi_request_t *request, const char *head)
{
    PyObject *list = PyList_New(0);

    for (uint32_t i = 0; list != NULL && i < request->field_count; i++) {
        const asgi_field_t *field = &request->fields[i];
        asgi_slice_t rest = {head + field->value, field->value_size}, item;
        if (field->id != ASGI_HEADER_SEC_WEBSOCKET_PROTOCOL)
            continue;
        while (list != NULL && asgi_slice_next_item(&rest, &item)) {
            PyObject *name = PyUnicode_DecodeLatin1(item.data, (Py_ssize_t)item.size, NULL);
            if (name == NULL || PyList_Append(list, name) < 0)
                Py_CLEAR(list);
            Py_XDECREF(name);
        }
    }
    return list;
}

int
asgi_ws_scope(CycleObject *cycle, const asgi_request_t *request, const char *head)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *offered = subprotocols(request, head);
    PyObject *extensions = Py_BuildValue("{s:{}}", "websocket.http.response");
    int rc = -1;

    if (offered != NULL && extensions != NULL
        && PyDict_SetItem(cycle->scope, own->str_subprotocols, offered) == 0)
        rc = PyDict_SetItem(cycle->scope, own->str_extensions, extensions);
    Py_XDECREF(offered);
    Py_XDECREF(extensions);
    return rc;
}

/* ---- ends ---- */

bool
asgi_ws_accepted(const CycleObject *cycle)
{
    return cycle->ws != NULL && cycle->conn != NULL && cycle->conn->proto != NULL;
}

/* The first reason to end is the one the app is told. */
static void
note_end(asgi_ws_t *ws, unsigned code, const char *reason, size_t size)
{
    if (ws->code != 0)
        return;
    ws->code = (uint16_t)code;
    ws->pong_due = false;
    ws->reason_size = (uint8_t)(size < sizeof ws->reason ? size : sizeof ws->reason);
    if (size > 0)
        memcpy(ws->reason, reason, ws->reason_size);
}

/* No message will be read or sent any more, though the app may go on for long. */
static void
drop_deflate(asgi_ws_t *ws)
{
    asgi_ws_deflate_free(ws->deflate);
    ws->deflate = ws->parser.deflate = NULL;
}

/* Nothing more is read or sent, but what is in the output buffer. */
static void
end(asgi_conn_t *conn, unsigned code, const char *reason, size_t size)
{
    asgi_loop_acquire(conn->server->loop);
    note_end(conn->cycle->ws, code, reason, size);
    drop_deflate(conn->cycle->ws);
    conn->linger = true; /* what the peer still sends must not reset our close frame */
    asgi_conn_detach(conn, true);
    asgi_conn_end(conn);
}

/* The peer broke the rules, or is silent: it is told why, and not waited for. */
static void
fail(asgi_conn_t *conn, unsigned code, const char *reason)
{
    asgi_ws_t *ws = conn->cycle->ws;

    asgi_loop_acquire(conn->server->loop);
    if (code == 0
        || (!ws->close_sent
            && asgi_ws_close(asgi_stream_out(&conn->stream), code, reason, strlen(reason)) < 0)) {
        asgi_conn_close(conn);
        return;
    }
    end(conn, code, reason, strlen(reason));
}

/* The same, once the app has read what came before. */
static void
fail_later(asgi_conn_t *conn, unsigned code, const char *problem)
{
    asgi_ws_t *ws = conn->cycle->ws;

    if (code == 0 || ws->close_sent || asgi_buf_size(&ws->sizes) == 0) {
        fail(conn, code, problem);
        return;
    }
    ws->fault = (uint16_t)code;
    ws->problem = problem;
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_WS_CLOSE);
}

static void
resume(asgi_conn_t *conn)
{
    if (asgi_buf_size(&conn->stream.in) > 0)
        asgi_stream_replay(&conn->stream);
    if (conn->ending || conn->stream.closing || asgi_buf_size(&conn->stream.in) > 0)
        return;
    if (asgi_stream_read_start(&conn->stream) < 0)
        asgi_conn_close(conn);
}

void
asgi_ws_begin_close(asgi_conn_t *conn, unsigned code, const char *reason, size_t size)
{
    CycleObject *cycle = conn->cycle;
    asgi_ws_t *ws = cycle->ws;

    if (ws->fault != 0) {
        fail(conn, ws->fault, ws->problem);
        return;
    }
    if (asgi_ws_close(asgi_stream_out(&conn->stream), code, reason, size) < 0) {
        asgi_conn_close(conn);
        return;
    }
    ws->close_sent = true;
    note_end(ws, code, reason, size);
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_WS_CLOSE);
    asgi_conn_flush_soon(conn);
    asgi_cycle_wake_receivers(cycle);
    asgi_cycle_wake_senders(cycle);
    resume(conn);
}

void
asgi_ws_app_over(CycleObject *cycle, unsigned code)
{
    cycle->ws->state = ASGI_WS_OVER;
    if (!cycle->ws->close_sent)
        asgi_ws_begin_close(cycle->conn, code, NULL, 0);
}

/* ---- the connection's events ---- */

/* Whether the app has enough to read. */
static bool
is_full(const asgi_server_t *server, const asgi_ws_t *ws)
{
    size_t count = asgi_buf_size(&ws->sizes) / sizeof(uint64_t);

    return !ws->close_sent
           && (count >= server->ws_max_queue || (count > 0 && ws->unread >= server->ws_max_size));
}

static void
take_message(asgi_conn_t *conn, const asgi_ws_event_t *event)
{
    CycleObject *cycle = conn->cycle;
    asgi_ws_t *ws = cycle->ws;
    uint64_t record = (uint64_t)event->size << 1 | event->text;

    if (ws->close_sent) {
        cycle->body.end -= event->size; /* nobody will read it */
        return;
    }
    if (asgi_buf_append(&ws->sizes, &record, sizeof record) < 0) {
        fail(conn, 0, "");
        return;
    }
    ws->unread += event->size;
    asgi_cycle_wake_receivers(cycle);
}

static void
answer_ping(asgi_conn_t *conn, const char *payload, size_t size)
{
    asgi_ws_t *ws = conn->cycle->ws;

    if (ws->close_sent)
        return;
    if (asgi_stream_pending(&conn->stream) > ASGI_STREAM_HIGH_WATER) {
        memcpy(ws->pong, payload, size);
        ws->pong_size = (uint8_t)size;
        ws->pong_due = true;
        return;
    }
    asgi_loop_acquire(conn->server->loop);
    if (asgi_ws_control(asgi_stream_out(&conn->stream), ASGI_WS_OP_PONG, payload, size) < 0)
        asgi_conn_close(conn);
    else
        asgi_conn_flush_soon(conn);
}

static void
take_pong(asgi_conn_t *conn, asgi_slice_t payload)
{
    asgi_ws_t *ws = conn->cycle->ws;

    if (conn->deadline.kind == ASGI_DEADLINE_WS_PONG && payload.size == sizeof ws->pings
        && memcmp(payload.data, &ws->pings, sizeof ws->pings) == 0)
        asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_WS_PING);
}

static void
take_close(asgi_conn_t *conn, const asgi_ws_event_t *event)
{
    asgi_loop_acquire(conn->server->loop);
    if (!conn->cycle->ws->close_sent
        && asgi_ws_close(asgi_stream_out(&conn->stream), event->code, NULL, 0) < 0) {
        asgi_conn_close(conn);
        return;
    }
    end(conn, event->code, event->payload.data, event->payload.size);
}

static size_t
on_input(asgi_conn_t *conn, const char *data, size_t size)
{
    asgi_ws_event_t event;
    size_t used = 0;

    conn->cycle->ws->heard = true;
    if (conn->cycle->ws->fault != 0)
        return size;
    /* Whatever ends the connection lets go of its cycle, and is seen by the loop's condition. */
    while (!conn->ending && !conn->stream.closing) {
        asgi_ws_t *ws = conn->cycle->ws;
        if (is_full(conn->server, ws)) {
            if (used < size)
                asgi_stream_read_stop(&conn->stream);
            return used;
        }
        asgi_ws_next(&ws->parser, data + used, size - used, &conn->cycle->body, &event);
        used += event.consumed;
        switch (event.kind) {
        case ASGI_WS_MORE:
            return size;
        case ASGI_WS_MESSAGE:
            take_message(conn, &event);
            break;
        case ASGI_WS_PING:
            answer_ping(conn, event.payload.data, event.payload.size);
            break;
        case ASGI_WS_PONG:
            take_pong(conn, event.payload);
            break;
        case ASGI_WS_CLOSE:
            take_close(conn, &event);
            break;
        case ASGI_WS_ERROR:
            fail_later(conn, event.code, event.problem);
            return size;
        }
    }
    return size;
}

static void
on_eof(asgi_conn_t *conn)
{
    asgi_ws_t *ws = conn->cycle->ws;

    if (ws->fault != 0)
        fail(conn, ws->fault, ws->problem);
    else
        end(conn, ASGI_WS_ABNORMAL, NULL, 0);
}

static void
on_sent(asgi_conn_t *conn)
{
    CycleObject *cycle = conn->cycle;
    asgi_ws_t *ws = cycle->ws;

    if (asgi_stream_pending(&conn->stream) > ASGI_STREAM_LOW_WATER)
        return;
    asgi_cycle_wake_senders(cycle);
    if (ws->pong_due) {
        ws->pong_due = false;
        answer_ping(conn, ws->pong, ws->pong_size);
    }
}

static void
send_ping(asgi_conn_t *conn)
{
    asgi_deadlines_t *deadlines = &conn->server->deadlines;
    asgi_ws_t *ws = conn->cycle->ws;

    /* Now and then is also when memory that is not in use goes back. */
    if (ws->deflate != NULL)
        asgi_ws_deflate_rest(ws->deflate);
    asgi_buf_shrink(&conn->cycle->body, 0);
    asgi_buf_shrink(&ws->sizes, 0);
    asgi_buf_shrink(&conn->stream.in, 0);
    ws->pings++;
    ws->heard = false;
    if (asgi_ws_control(asgi_stream_out(&conn->stream), ASGI_WS_OP_PING, (const char *)&ws->pings,
                        sizeof ws->pings)
        < 0) {
        asgi_conn_close(conn);
        return;
    }
    asgi_deadline_set(deadlines, &conn->deadline,
                      deadlines->after[ASGI_DEADLINE_WS_PONG] != 0 ? ASGI_DEADLINE_WS_PONG
                                                                   : ASGI_DEADLINE_WS_PING);
    asgi_conn_flush(conn);
    asgi_buf_shrink(asgi_stream_out(&conn->stream), 0);
}

static void
on_expired(asgi_conn_t *conn)
{
    asgi_loop_acquire(conn->server->loop);
    if (conn->cycle->ws->fault != 0)
        fail(conn, conn->cycle->ws->fault, conn->cycle->ws->problem);
    else if (conn->deadline.kind == ASGI_DEADLINE_WS_CLOSE)
        asgi_conn_close(conn);
    else if (conn->deadline.kind == ASGI_DEADLINE_WS_PING)
        send_ping(conn);
    else if (conn->cycle->ws->heard || !conn->stream.reading)
        /* Alive, though busy: a pong can stand behind a long message, or behind what the app
         * has not read. */
        asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_WS_PING);
    else
        fail(conn, ASGI_WS_INTERNAL_ERROR, "keepalive ping timeout");
}

static void
on_shutdown(asgi_conn_t *conn)
{
    if (conn->cycle != NULL && !conn->cycle->ws->close_sent)
        asgi_ws_begin_close(conn, ASGI_WS_RESTART, NULL, 0);
}

/* WebSockets that were accepted, until their connection is closed. */
static void
count_open(asgi_server_t *server, int change)
{
    if (server->stats != NULL)
        asgi_stats_count(server->stats->websockets, (uint64_t)(int64_t)change);
}

static void
on_gone(asgi_conn_t *conn)
{
    count_open(conn->server, -1);
    if (conn->cycle != NULL) {
        note_end(conn->cycle->ws, ASGI_WS_ABNORMAL, NULL, 0);
        drop_deflate(conn->cycle->ws);
    }
}

static const asgi_conn_proto_t protocol = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_sent = on_sent,
    .on_expired = on_expired,
    .on_shutdown = on_shutdown,
    .on_gone = on_gone,
};

void
asgi_ws_open(CycleObject *cycle)
{
    asgi_conn_t *conn = cycle->conn;

    cycle->ws->parser.deflate = cycle->ws->deflate;
    /* Nothing more will be logged: of a thousand idle connections each has this. */
    Py_CLEAR(cycle->log_client);
    Py_CLEAR(cycle->log_path);
    asgi_conn_flush_soon(conn);
    count_open(conn->server, 1);
    asgi_conn_upgrade(conn, &protocol, NULL);
    if (cycle->conn == NULL || cycle->ws->close_sent)
        return;
    if (conn->stream.eof)
        on_eof(conn);
    else if (cycle->server->draining)
        on_shutdown(conn);
    else
        asgi_deadline_set(&cycle->server->deadlines, &conn->deadline, ASGI_DEADLINE_WS_PING);
}

/* ---- receive() ---- */

/* A new dict {"type": type}, and value under key. Steals: value (NULL fails), where there is a
 * key. */
static PyObject *
new_message(struct asgi_server_state *own, PyObject *type, PyObject *key, PyObject *value)
{
    PyObject *message = key == NULL || value != NULL ? PyDict_New() : NULL;

    if (message != NULL
        && (PyDict_SetItem(message, own->str_type, type) < 0
            || (key != NULL && PyDict_SetItem(message, key, value) < 0)))
        Py_CLEAR(message);
    Py_XDECREF(value);
    return message;
}

static PyObject *
next_message(CycleObject *cycle)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_t *ws = cycle->ws;
    const char *data = asgi_buf_size(&cycle->body) > 0 ? asgi_buf_front(&cycle->body) : "";
    PyObject *message;
    uint64_t record;
    size_t size;

    memcpy(&record, asgi_buf_front(&ws->sizes), sizeof record);
    size = (size_t)(record >> 1);
    if (record & 1)
        message = new_message(own, own->str_ws_receive, own->str_text,
                              PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, NULL));
    else
        message = new_message(own, own->str_ws_receive, own->str_bytes,
                              PyBytes_FromStringAndSize(data, (Py_ssize_t)size));
    if (message == NULL)
        return NULL;
    ws->unread -= size;
    asgi_buf_consume(&ws->sizes, sizeof record);
    asgi_buf_consume(&cycle->body, size);
    asgi_buf_shrink(&cycle->body, IDLE_CAPACITY);
    if (cycle->conn != NULL && !cycle->conn->stream.reading)
        resume(cycle->conn);
    return message;
}

static PyObject *
disconnect_message(CycleObject *cycle)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_t *ws = cycle->ws;
    PyObject *message = new_message(own, own->str_ws_disconnect, own->str_code,
                                    PyLong_FromLong(ws->code != 0 ? ws->code : ASGI_WS_ABNORMAL));
    PyObject *reason = PyUnicode_DecodeUTF8(ws->reason, ws->reason_size, "replace");

    if (message != NULL && (reason == NULL || PyDict_SetItem(message, own->str_reason, reason) < 0))
        Py_CLEAR(message);
    Py_XDECREF(reason);
    return message;
}

PyObject *
asgi_ws_take(CycleObject *cycle)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_t *ws = cycle->ws;

    if (!ws->connect_given) {
        ws->connect_given = true;
        return new_message(own, own->str_ws_connect, NULL, NULL);
    }
    if (asgi_buf_size(&ws->sizes) > 0)
        return next_message(cycle);
    if (ws->fault != 0 && cycle->conn != NULL)
        fail(cycle->conn, ws->fault, ws->problem);
    if (ws->code != 0 || cycle->conn == NULL || cycle->peer_closed)
        return disconnect_message(cycle);
    return NULL;
}
