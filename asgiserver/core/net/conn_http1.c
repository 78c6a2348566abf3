/* SPDX-License-Identifier: MIT
 *
 * conn_http1.c: from parser events to exchanges and back; see conn_http1.h.
 *
 * What a connection is doing, and the deadline it runs under:
 *
 *   cycle  in body  unsent   meaning                               deadline
 *   -      no       no       between requests                      IDLE (HEAD before the first)
 *   -      no       yes      the client is taking its answer       WRITE
 *   -      partial head      a request is arriving                 HEAD, not renewed by bytes
 *   set    -        full     the app waits for the client to take  WRITE
 *   set    yes      -        reading a body the app may want       BODY while we read, renewed
 *                                                                  by enough bytes
 *   set    no       -        the app works                         none
 *   -      yes      -        answered early, discarding the body   BODY
 *
 * Pipelined bytes behind an unanswered request stay in the stream's buffer, reading stopped, so
 * their number is bounded by one read. The same holds while the client leaves answers untaken.
 *
 * Answers to pipelined requests leave together: one that another request stands behind stays in the
 * output buffer while the task of that one waits for its first step. It cannot be forgotten there:
 * while there is held output the connection's flush hook is queued, with which no poll blocks, and
 * before each poll it is asked anew whether there is still a reason to wait.
 */
#include "net/conn_http1.h"

#include "asgi/cycle.h"
#include "asgi/scope.h"
#include "asgi/send_ext.h"
#include "asgi/server.h"
#include "asgi/task.h"
#include "asgi/ws_cycle.h"
#include "proto/http1_out.h"

#define HOLD_ANSWERS 5          /* ms an answer waits at most for those to leave with it */
#define UNREAD_BODY_HIGH 65536  /* body bytes held for the app at which reading stops */
#define DISCARD_AT_MOST 1048576 /* body bytes read only to keep the connection */

/* ---- deadlines ---- */

void
asgi_http1_conn_set_deadline(asgi_conn_t *conn, bool progress)
{
    asgi_deadline_kind_t kind;
    CycleObject *cycle = conn->cycle;

    if (conn->ending || conn->stream.closing || conn->proto != NULL)
        return;
    if (cycle != NULL && (cycle->file != NULL || asgi_list_first(&cycle->senders) != NULL)) {
        kind = ASGI_DEADLINE_WRITE;
    } else if (cycle != NULL || asgi_http1_in_body(&conn->http1)) {
        bool wait = asgi_http1_in_body(&conn->http1) && conn->stream.reading
                    && !(cycle != NULL && cycle->expect_continue);
        kind = wait ? ASGI_DEADLINE_BODY : ASGI_DEADLINE_NONE;
    } else if (asgi_stream_pending(&conn->stream) > 0) {
        kind = ASGI_DEADLINE_WRITE;
    } else if (asgi_http1_in_request(&conn->http1)) {
        kind = ASGI_DEADLINE_HEAD;
    } else if (conn->server->draining) {
        kind = ASGI_DEADLINE_DRAIN;
    } else {
        kind = conn->served ? ASGI_DEADLINE_IDLE : ASGI_DEADLINE_HEAD;
    }
    if (kind == conn->deadline.kind
        && (kind == ASGI_DEADLINE_NONE || kind == ASGI_DEADLINE_HEAD || !progress
            || (kind == ASGI_DEADLINE_BODY && conn->mark < asgi_conn_quota(conn, kind))))
        return;
    /* WRITE: measured when the deadline first passes. */
    conn->mark = kind == ASGI_DEADLINE_WRITE ? SIZE_MAX : 0;
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, kind);
}

void
asgi_http1_conn_expired(asgi_conn_t *conn)
{
    bool begun = asgi_http1_in_request(&conn->http1);

    asgi_loop_acquire(conn->server->loop);
    if (begun && (conn->cycle == NULL || !conn->cycle->started)
        && !(conn->cycle == NULL && asgi_http1_in_body(&conn->http1)))
        asgi_http1_conn_refuse(conn, 408, "Request Timeout");
    else if (begun)
        asgi_conn_close(conn);
    else
        asgi_conn_end(conn);
}

/* ---- answers of our own ---- */

void
asgi_http1_conn_refuse(asgi_conn_t *conn, unsigned status, const char *text)
{
    bool with_body = !(conn->cycle != NULL && conn->cycle->out.head_request);

    if (conn->ending || conn->stream.closing)
        return;
    /* These two stand for the application's answer, and are no refusals. */
    if (conn->server->stats != NULL && status != 403 && status != 500)
        asgi_stats_refused(conn->server->stats, status);
    if (asgi_http1_out_plain(asgi_stream_out(&conn->stream), status,
                             asgi_server_defaults(conn->server), text, with_body)
        < 0) {
        asgi_conn_close(conn);
        return;
    }
    asgi_conn_detach(conn, true);
    asgi_conn_end(conn);
}

static void
refuse_broken(asgi_conn_t *conn, int error)
{
    unsigned status = (unsigned)asgi_err_status(error);

    asgi_loop_acquire(conn->server->loop);
    asgi_server_log(conn->server, 30, "Invalid HTTP request received.", NULL);
    if (conn->cycle == NULL && conn->discard) {
        asgi_conn_end(conn); /* this request has its answer already */
    } else if (conn->cycle != NULL && conn->cycle->started) {
        /* A broken body under a response that has begun: nothing honest can be added to it. */
        asgi_conn_detach(conn, true);
        asgi_conn_close(conn);
    } else {
        asgi_http1_conn_refuse(conn, status,
                               status == 400 ? "Invalid HTTP request received."
                                             : asgi_http1_reason(status));
    }
}

/* ---- requests ---- */

static void
start_request(asgi_conn_t *conn, const char *head)
{
    asgi_server_t *server = conn->server;
    bool websocket = asgi_ws_wanted(&conn->http1.request);
    CycleObject *cycle;

    asgi_loop_acquire(server->loop);
    conn->discard = false;
    if (server->limit_concurrency >= 0
        && (server->connections >= (size_t)server->limit_concurrency
            || server->tasks >= (size_t)server->limit_concurrency)) {
        asgi_server_log(server, 30, "Exceeded concurrency limit.", NULL);
        asgi_http1_conn_refuse(conn, 503, "Service Unavailable");
        return;
    }
    if (conn->http1.request.upgrade && !websocket)
        asgi_server_log(server, 30, "Unsupported upgrade request.", NULL);
    if (conn->ending || conn->stream.closing)
        return; /* error_log closed the server */
    if (websocket && asgi_ws_refused(conn, head))
        return;
    cycle = asgi_cycle_new(conn, &conn->http1.request);
    if (cycle != NULL && websocket && asgi_ws_attach(cycle, head) < 0) {
        cycle->conn = NULL;
        Py_CLEAR(cycle);
    }
    if (cycle == NULL) {
        asgi_loop_report(server->loop, "A request could not be started");
        asgi_http1_conn_refuse(conn, 500, "Internal Server Error");
        return;
    }
    conn->cycle = cycle;
    if (asgi_scope_build(conn, &conn->http1.request, head, cycle) < 0
        || asgi_task_start(cycle) < 0) {
        asgi_loop_report(server->loop, "A request could not be started");
        asgi_http1_conn_refuse(conn, 500, "Internal Server Error");
    }
}

static void
take_body(asgi_conn_t *conn, asgi_slice_t body)
{
    CycleObject *cycle = conn->cycle;

    if (cycle == NULL || body.size == 0)
        return;
    cycle->expect_continue = false; /* it did not wait for our word */
    if (asgi_buf_append(&cycle->body, body.data, body.size) < 0) {
        asgi_loop_acquire(conn->server->loop);
        asgi_conn_close(conn);
        return;
    }
    if (asgi_buf_size(&cycle->body) > UNREAD_BODY_HIGH)
        asgi_stream_read_stop(&conn->stream);
    asgi_cycle_wake_receivers(cycle);
}

/* Fields behind a chunked body become part of the app's last message. */
static void
take_trailers(asgi_conn_t *conn, const char *section)
{
    CycleObject *cycle = conn->cycle;

    if (cycle == NULL)
        return;
    asgi_loop_acquire(conn->server->loop);
    Py_XSETREF(cycle->trailers, asgi_scope_trailers(conn->server, &conn->http1.request, section));
    if (cycle->trailers == NULL) {
        asgi_loop_report(conn->server->loop, "A request's trailers could not be kept");
        asgi_conn_close(conn);
    }
}

/* The request was read to its end. Returns whether the next one may be looked at. */
static bool
end_request(asgi_conn_t *conn)
{
    if (conn->cycle == NULL) {
        conn->discard = false;
        return true;
    }
    conn->request_over = true;
    conn->cycle->request_over = true;
    asgi_cycle_wake_receivers(conn->cycle);
    return false;
}

size_t
asgi_http1_conn_input(asgi_conn_t *conn, const char *data, size_t size)
{
    asgi_http1_event_t event;
    size_t used = 0;
    bool more = true;

    while (more && !conn->ending && !conn->stream.closing) {
        if (conn->request_over
            || (conn->cycle == NULL && !asgi_http1_in_body(&conn->http1)
                && asgi_stream_pending(&conn->stream) > ASGI_STREAM_HIGH_WATER)) {
            if (used < size)
                asgi_stream_read_stop(&conn->stream);
            break;
        }
        switch (asgi_http1_next(&conn->http1, data + used, size - used, &event)) {
        case ASGI_HTTP1_MORE:
            used += event.consumed;
            more = false;
            break;
        case ASGI_HTTP1_HEAD:
            start_request(conn, data + used);
            used += event.consumed;
            break;
        case ASGI_HTTP1_BODY:
            take_body(conn, event.body);
            used += event.consumed;
            break;
        case ASGI_HTTP1_TRAILERS:
            take_trailers(conn, event.body.data);
            used += event.consumed;
            break;
        case ASGI_HTTP1_END:
            used += event.consumed;
            end_request(conn);
            break;
        case ASGI_HTTP1_ERROR:
            refuse_broken(conn, event.error);
            break;
        }
    }
    if (conn->ending || conn->stream.closing)
        return size;
    if (conn->deadline.kind == ASGI_DEADLINE_BODY)
        conn->mark += used;
    /* What the client sends says nothing of whether it takes its answer. */
    asgi_http1_conn_set_deadline(conn, conn->deadline.kind != ASGI_DEADLINE_WRITE);
    return used;
}

void
asgi_http1_conn_eof(asgi_conn_t *conn)
{
    CycleObject *cycle = conn->cycle;

    asgi_loop_acquire(conn->server->loop);
    if (cycle == NULL) {
        asgi_conn_end(conn);
        return;
    }
    /* Perhaps only half closed: the app is told the client is gone (it may well be), but what it
     * still sends goes out. A request cut short can have no good answer. */
    cycle->peer_closed = true;
    cycle->out.keep_alive = false;
    asgi_cycle_wake_receivers(cycle);
    asgi_http1_conn_set_deadline(conn, false);
}

/* ---- answers ---- */

/* Only for an application that has not been called yet: it is in the ready queue, so that its turn
 * comes without anybody's doing. One that was called and waits may do so for the client itself. */
bool
asgi_http1_conn_holds(asgi_conn_t *conn)
{
    uint64_t now = asgi_loop_now(conn->server->loop);

    if (conn->cycle == NULL || conn->cycle->called
        || asgi_stream_pending(&conn->stream) > ASGI_STREAM_HIGH_WATER) {
        conn->held_since = 0;
        return false;
    }
    if (conn->held_since == 0)
        conn->held_since = now;
    if (now - conn->held_since < HOLD_ANSWERS)
        return true;
    conn->held_since = 0;
    return false;
}

/* Reading resumes, and what was read ahead is looked at. */
static void
go_on(asgi_conn_t *conn)
{
    if (asgi_buf_size(&conn->stream.in) > 0)
        asgi_stream_replay(&conn->stream);
    if (conn->ending || conn->stream.closing)
        return;
    if (conn->cycle == NULL && conn->stream.eof) {
        asgi_conn_end(conn);
        return;
    }
    bool held_back =
        conn->request_over || asgi_stream_pending(&conn->stream) > ASGI_STREAM_HIGH_WATER;
    if (!(held_back && asgi_buf_size(&conn->stream.in) > 0)
        && asgi_stream_read_start(&conn->stream) < 0) {
        asgi_conn_close(conn);
        return;
    }
    asgi_http1_conn_set_deadline(conn, true);
}

void
asgi_http1_conn_answered(asgi_conn_t *conn, bool keep_alive, asgi_slice_t extra, PyObject *owner)
{
    CycleObject *cycle = conn->cycle;
    bool waits = cycle->expect_continue;

    conn->served = true;
    /* With another request already here its answer can leave in the same write. */
    if (keep_alive && conn->request_over && extra.size == 0 && asgi_buf_size(&conn->stream.in) > 0
        && asgi_stream_pending(&conn->stream) <= ASGI_STREAM_HIGH_WATER)
        asgi_conn_flush_soon(conn);
    else
        asgi_stream_flush(&conn->stream, extra, owner);
    asgi_conn_detach(conn, false);
    if (conn->stream.closing)
        return;
    if (conn->request_over)
        conn->request_over = false;
    else
        conn->discard = true;
    /* A client that waits for "100 Continue" may send its body or not: the connection cannot be
     * used for another request. Nor is a long body worth reading for nothing. */
    if (!keep_alive
        || (conn->discard && (waits || asgi_http1_owed(&conn->http1) > DISCARD_AT_MOST))) {
        asgi_conn_end(conn);
        return;
    }
    go_on(conn);
}

void
asgi_http1_conn_sent(asgi_conn_t *conn)
{
    if (conn->cycle != NULL && conn->cycle->file != NULL) {
        asgi_send_file_go_on(conn->cycle);
    } else if (conn->cycle != NULL) {
        if (asgi_stream_pending(&conn->stream) <= ASGI_STREAM_LOW_WATER)
            asgi_cycle_wake_senders(conn->cycle);
        asgi_http1_conn_set_deadline(conn, true);
    } else if (asgi_stream_pending(&conn->stream) <= ASGI_STREAM_LOW_WATER) {
        go_on(conn);
    } else {
        asgi_http1_conn_set_deadline(conn, true);
    }
}

void
asgi_http1_conn_body_taken(asgi_conn_t *conn)
{
    if (!conn->request_over && asgi_stream_read_start(&conn->stream) < 0) {
        asgi_conn_close(conn);
        return;
    }
    asgi_http1_conn_set_deadline(conn, false);
}
