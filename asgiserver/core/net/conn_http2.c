/* SPDX-License-Identifier: MIT
 *
 * conn_http2.c: from the events of a session to exchanges and back; see conn_http2.h.
 *
 *   streams   unsent   meaning                                     deadline
 *   none      no       between requests                            IDLE (HEAD before the first)
 *   none      yes      the client is taking its answers            WRITE
 *   some      -        requests under way                          LOOK, again and again
 *   -         -        draining, and not yet said for good         DRAIN
 *
 * At each look every stream is held against the deadlines of HTTP/1: a head that is not complete
 * ends the connection, a body that the app waits for or an answer that the client does not take ends
 * the stream, when it has made too little progress for as long as that deadline says. Output that
 * the kernel does not take ends the connection.
 *
 * Output. Answers wait in their streams, and frames are made of them only while there is room in the
 * connection's output (pump): before a poll, and when the kernel or the peer takes more.
 */
#include "net/conn_http2.h"

#include "asgi/cycle.h"
#include "asgi/http2_send.h"
#include "asgi/scope.h"
#include "asgi/server.h"
#include "asgi/task.h"
#include "proto/http1_out.h"

#include <llhttp.h>

#define FEED_AT_ONCE 16384 /* bytes whose events are noted before they are handled */
#define ROUNDS_AT_ONCE 16  /* of output, before others get a turn */

typedef struct {
    asgi_http2_t *http2;       /* owned */
    struct asgi_state *state;  /* borrowed: the module's */
    asgi_http2_watch_t giving; /* of output to the kernel */
    uint64_t produced;         /* bytes of output so far */
    unsigned busy;             /* calls under way that need this */
    bool gone;                 /* the connection closes: freed by the last of them */
    bool last_said;            /* no more streams are accepted */
} session_t;

static session_t *
session_of(const asgi_conn_t *conn)
{
    return conn->proto_data;
}

static void
leave(session_t *session)
{
    if (--session->busy > 0 || !session->gone)
        return;
    asgi_http2_free(session->http2);
    ASGI_COUNT(session->state, http2_sessions)--;
    free(session);
}

/* ---- deadlines ---- */

static void
set_deadline(asgi_conn_t *conn, bool progress)
{
    session_t *session = session_of(conn);
    asgi_deadline_kind_t kind;

    if (conn->ending || conn->stream.closing)
        return;
    if (conn->server->draining && !session->last_said)
        kind = ASGI_DEADLINE_DRAIN;
    else if (asgi_http2_streams(session->http2) > 0)
        kind = ASGI_DEADLINE_LOOK;
    else if (asgi_stream_pending(&conn->stream) > 0)
        kind = ASGI_DEADLINE_WRITE;
    else
        kind = conn->served ? ASGI_DEADLINE_IDLE : ASGI_DEADLINE_HEAD;
    if (kind == conn->deadline.kind && !(progress && kind == ASGI_DEADLINE_WRITE))
        return;
    conn->mark = SIZE_MAX; /* WRITE: measured when the deadline first passes */
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, kind);
}

/* Whether what is watched has made too little progress for as long as a deadline says. waits: it is
 * expected to make some. */
static bool
is_stalled(asgi_conn_t *conn, asgi_http2_watch_t *watch, asgi_deadline_kind_t kind, bool waits,
           uint64_t progress)
{
    uint64_t now = uv_now(conn->server->deadlines.loop);
    uint64_t after = conn->server->deadlines.after[kind];

    if (!waits || after == 0) {
        watch->since = 0;
        return false;
    }
    if (watch->since != 0 && now - watch->since < after)
        return false;
    if (watch->since != 0 && progress - watch->mark < asgi_conn_quota(conn, kind))
        return true;
    watch->since = now;
    watch->mark = progress;
    return false;
}

static void pump(asgi_conn_t *conn);

static void
say_last(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);

    if (!session->last_said)
        asgi_http2_accept_no_more(session->http2);
    session->last_said = true;
    pump(conn);
}

/* One stream's turn of a look. Returns false where the connection is to end. */
static bool
look_at(asgi_conn_t *conn, asgi_http2_stream_t *stream)
{
    CycleObject *cycle = stream->owner;
    bool waits = cycle != NULL && !cycle->request_over && !cycle->expect_continue
                 && asgi_list_first(&cycle->receivers) != NULL;

    if (stream->closed)
        return true;
    if (is_stalled(conn, &stream->begun, ASGI_DEADLINE_HEAD, !stream->noted, 0))
        return false;
    if (is_stalled(conn, &stream->taking, ASGI_DEADLINE_BODY, waits, stream->received)) {
        if (cycle->started)
            asgi_http2_conn_give_up(conn, stream, ASGI_HTTP2_CANCEL);
        else
            asgi_http2_conn_refuse(conn, stream, 408, "Request Timeout");
    } else if (is_stalled(conn, &stream->giving, ASGI_DEADLINE_WRITE,
                          asgi_http2_pending(stream) > 0, stream->sent)) {
        asgi_http2_conn_give_up(conn, stream, ASGI_HTTP2_CANCEL);
    }
    return true;
}

static void
look(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);
    size_t unsent = asgi_conn_unsent(conn);
    asgi_link_t *list = asgi_http2_list(session->http2), *next;

    if (is_stalled(conn, &session->giving, ASGI_DEADLINE_WRITE,
                   asgi_stream_pending(&conn->stream) > 0, session->produced - unsent)) {
        asgi_conn_close_stalled(conn);
        return;
    }
    /* No stream leaves the list before its CLOSED event is taken. */
    for (asgi_link_t *link = list->next; link != list; link = next) {
        next = link->next;
        if (!look_at(conn, ASGI_CONTAINER(link, asgi_http2_stream_t, link))) {
            asgi_http2_calm(session->http2);
            break;
        }
        if (conn->stream.closing)
            return;
    }
    asgi_deadline_set(&conn->server->deadlines, &conn->deadline, ASGI_DEADLINE_NONE);
    pump(conn);
}

static void
on_expired(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);

    asgi_loop_acquire(conn->server->loop);
    session->busy++;
    if (conn->deadline.kind == ASGI_DEADLINE_LOOK)
        look(conn);
    else
        say_last(conn); /* which ends a connection without requests */
    leave(session);
}

/* ---- ends of an exchange ---- */

void
asgi_http2_conn_detach(asgi_http2_stream_t *stream, bool gone)
{
    CycleObject *cycle = stream->owner;

    if (cycle == NULL)
        return;
    stream->owner = NULL;
    asgi_cycle_leave(cycle, gone);
}

void
asgi_http2_conn_refuse(asgi_conn_t *conn, asgi_http2_stream_t *stream, unsigned status,
                       const char *text)
{
    static const char text_type[] = "content-type: text/plain; charset=utf-8\r\n";
    asgi_server_t *server = conn->server;
    CycleObject *cycle = stream->owner;
    asgi_http1_out_t out = {.minor = ASGI_MINOR_HTTP2};
    asgi_slice_t body = {text, strlen(text)}, defaults = asgi_server_defaults(server);
    asgi_buf_t lines = {0};
    int rc;

    /* These two stand for the application's answer, and are no refusals. */
    if (server->stats != NULL && status != 403 && status != 500)
        asgi_stats_refused(server->stats, status);
    out.has_length = true;
    out.remaining = body.size;
    out.status = (uint16_t)status;
    rc = asgi_buf_reserve_slow(&lines, defaults.size + sizeof text_type + 64);
    if (rc == 0)
        rc = asgi_buf_append(&lines, defaults.data, defaults.size)
             | asgi_buf_append(&lines, text_type, sizeof text_type - 1)
             | asgi_http1_out_end(&out, &lines);
    if (cycle != NULL ? cycle->out.head_request
                      : stream->head != NULL && stream->head->request.method == HTTP_HEAD)
        body.size = 0;
    asgi_http2_conn_detach(stream, true);
    if (rc == 0) {
        asgi_http2_head(stream, status, &lines);
        rc = asgi_http2_write(stream, body);
        asgi_http2_end(stream);
    }
    asgi_buf_dispose(&lines);
    if (rc < 0)
        asgi_http2_reset(stream, ASGI_HTTP2_INTERNAL_ERROR);
    asgi_conn_flush_soon(conn);
}

void
asgi_http2_conn_give_up(asgi_conn_t *conn, asgi_http2_stream_t *stream, asgi_http2_code_t code)
{
    if (stream->owner != NULL && conn->server->stats != NULL)
        asgi_stats_count(conn->server->stats->unfinished, 1);
    asgi_http2_conn_detach(stream, true);
    asgi_http2_reset(stream, code);
    asgi_conn_flush_soon(conn);
}

/* ---- events ---- */

static void
refuse_broken(asgi_conn_t *conn, asgi_http2_stream_t *stream, int error)
{
    unsigned status = (unsigned)asgi_err_status(error);

    asgi_server_log(conn->server, 30, "Invalid HTTP request received.", NULL);
    if (conn->stream.closing)
        return; /* error_log closed the server */
    asgi_http2_conn_refuse(conn, stream, status,
                           status == 400 ? "Invalid HTTP request received."
                                         : asgi_http1_reason(status));
}

static void
start_request(asgi_conn_t *conn, asgi_http2_stream_t *stream, int error)
{
    asgi_server_t *server = conn->server;
    const asgi_http2_section_t *head = stream->head;
    CycleObject *cycle;

    asgi_loop_acquire(server->loop);
    conn->served = true;
    if (stream->closed)
        return; /* reset as soon as it was asked: nothing was begun */
    if (error != 0) {
        refuse_broken(conn, stream, error);
        return;
    }
    if (server->limit_concurrency >= 0
        && (server->connections >= (size_t)server->limit_concurrency
            || server->tasks >= (size_t)server->limit_concurrency)) {
        asgi_server_log(server, 30, "Exceeded concurrency limit.", NULL);
        if (!conn->stream.closing)
            asgi_http2_conn_refuse(conn, stream, 503, "Service Unavailable");
        return;
    }
    cycle = asgi_cycle_new(conn, &head->request);
    if (cycle != NULL) {
        cycle->h2 = stream;
        stream->owner = cycle;
    }
    if (cycle == NULL
        || asgi_scope_build(conn, &head->request, asgi_buf_front(&head->text), cycle) < 0
        || asgi_task_start(cycle) < 0) {
        asgi_loop_report(server->loop, "A request could not be started");
        if (!conn->stream.closing)
            asgi_http2_conn_refuse(conn, stream, 500, "Internal Server Error");
    }
}

static void
take_body(asgi_conn_t *conn, const asgi_http2_event_t *event)
{
    asgi_http2_stream_t *stream = event->stream;
    CycleObject *cycle = stream->owner;

    if (cycle == NULL) {
        asgi_http2_consume(stream, event->body.size);
        return;
    }
    if (event->error != 0) {
        asgi_loop_acquire(conn->server->loop);
        if (cycle->started)
            asgi_http2_conn_give_up(conn, stream, ASGI_HTTP2_CANCEL);
        else
            refuse_broken(conn, stream, event->error);
        return;
    }
    cycle->expect_continue = false; /* it did not wait for our word */
    if (asgi_buf_append(&cycle->body, event->body.data, event->body.size) < 0) {
        asgi_loop_acquire(conn->server->loop);
        asgi_conn_close(conn);
        return;
    }
    asgi_cycle_wake_receivers(cycle);
}

static void
take_trailers(asgi_conn_t *conn, asgi_http2_stream_t *stream)
{
    const asgi_http2_section_t *trailers = stream->trailers;
    CycleObject *cycle = stream->owner;

    if (cycle == NULL)
        return;
    asgi_loop_acquire(conn->server->loop);
    Py_XSETREF(cycle->trailers, asgi_scope_trailers(conn->server, &trailers->request,
                                                    asgi_buf_front(&trailers->text)));
    if (cycle->trailers == NULL) {
        asgi_loop_report(conn->server->loop, "A request's trailers could not be kept");
        asgi_http2_conn_give_up(conn, stream, ASGI_HTTP2_INTERNAL_ERROR);
    }
}

static void
handle(asgi_conn_t *conn, const asgi_http2_event_t *event)
{
    asgi_http2_stream_t *stream = event->stream;
    CycleObject *cycle = stream->owner;

    switch (event->kind) {
    case ASGI_HTTP2_HEAD:
        start_request(conn, stream, event->error);
        break;
    case ASGI_HTTP2_BODY:
        take_body(conn, event);
        break;
    case ASGI_HTTP2_TRAILERS:
        take_trailers(conn, stream);
        break;
    case ASGI_HTTP2_END:
        if (cycle != NULL) {
            cycle->request_over = true;
            asgi_cycle_wake_receivers(cycle);
        }
        break;
    case ASGI_HTTP2_DRAINED:
        if (cycle == NULL)
            break;
        asgi_loop_acquire(conn->server->loop);
        if (cycle->file != NULL)
            asgi_http2_send_file_go_on(cycle);
        else
            asgi_cycle_wake_senders(cycle);
        break;
    case ASGI_HTTP2_CLOSED:
        if (cycle == NULL)
            break;
        asgi_loop_acquire(conn->server->loop);
        if (conn->server->stats != NULL)
            asgi_stats_count(conn->server->stats->unfinished, 1);
        asgi_http2_conn_detach(stream, true);
        break;
    case ASGI_HTTP2_NONE:
        break;
    }
}

/* Returns whether there were any. The session outlives the call, the connection may close. */
static bool
handle_events(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);
    asgi_http2_event_t event;
    bool any = false;

    while (!conn->stream.closing && asgi_http2_next(session->http2, &event) != ASGI_HTTP2_NONE) {
        handle(conn, &event);
        any = true;
    }
    return any;
}

/* ---- bytes ---- */

/* Makes frames and sends them, as long as there are some and they are taken. */
static void
pump(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);
    asgi_buf_t *out = asgi_stream_out(&conn->stream);
    size_t made = 1;
    bool events = true;

    session->busy++;
    for (int round = 0; (made > 0 || events) && !conn->ending && !conn->stream.closing; round++) {
        size_t before = asgi_buf_size(out);
        if (round == ROUNDS_AT_ONCE) {
            asgi_loop_acquire(conn->server->loop);
            asgi_conn_flush_soon(conn);
            break;
        }
        if (asgi_stream_pending(&conn->stream) > ASGI_STREAM_HIGH_WATER)
            made = 0;
        else if (asgi_http2_send(session->http2, out, ASGI_STREAM_HIGH_WATER) < 0)
            asgi_conn_close(conn);
        else
            made = asgi_buf_size(out) - before;
        if (conn->stream.closing)
            break;
        session->produced += made;
        if (made > 0)
            asgi_conn_flush(conn);
        events = handle_events(conn);
    }
    if (!conn->ending && !conn->stream.closing) {
        if (asgi_http2_over(session->http2)
            || (session->last_said && asgi_http2_streams(session->http2) == 0))
            asgi_conn_end(conn);
        else
            set_deadline(conn, false);
    }
    leave(session);
}

static size_t
on_input(asgi_conn_t *conn, const char *data, size_t size)
{
    session_t *session = session_of(conn);
    int rc = 0;

    session->busy++;
    for (size_t used = 0; used < size && rc == 0 && !conn->ending && !conn->stream.closing;) {
        size_t piece = size - used < FEED_AT_ONCE ? size - used : FEED_AT_ONCE;
        rc = asgi_http2_feed(session->http2, data + used, piece,
                             uv_now(conn->server->deadlines.loop));
        used += piece;
        handle_events(conn);
        /* After each piece, as what it has to be answered with is bounded too. */
        if (!conn->stream.closing)
            pump(conn);
    }
    if (rc < 0 && !conn->stream.closing)
        asgi_conn_end(conn);
    leave(session);
    return size;
}

static void
on_eof(asgi_conn_t *conn)
{
    /* A client that sends no more cannot open windows either. */
    asgi_loop_acquire(conn->server->loop);
    asgi_conn_end(conn);
}

static void
on_sent(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);

    session->busy++;
    pump(conn);
    set_deadline(conn, true);
    leave(session);
}

static void
on_shutdown(asgi_conn_t *conn)
{
    /* Requests may be on their way: they are answered too, until the deadline says the last word. */
    asgi_http2_announce_end(session_of(conn)->http2);
    pump(conn);
}

static void
on_gone(asgi_conn_t *conn)
{
    session_t *session = session_of(conn);
    asgi_link_t *list = asgi_http2_list(session->http2);

    session->busy++;
    session->gone = true;
    for (asgi_link_t *link = list->next; link != list; link = link->next) {
        asgi_http2_stream_t *stream = ASGI_CONTAINER(link, asgi_http2_stream_t, link);
        if (stream->owner != NULL && conn->server->stats != NULL)
            asgi_stats_count(conn->server->stats->unfinished, 1);
        asgi_http2_conn_detach(stream, true);
    }
    leave(session);
}

static const asgi_conn_proto_t protocol = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_sent = on_sent,
    .on_flush = pump,
    .on_expired = on_expired,
    .on_shutdown = on_shutdown,
    .on_gone = on_gone,
};

static void
release_bytes(void *context, void *owner)
{
    asgi_server_t *server = context;

    asgi_loop_acquire(server->loop);
    Py_DECREF((PyObject *)owner);
}

int
asgi_http2_conn_start(asgi_conn_t *conn)
{
    asgi_server_t *server = conn->server;
    asgi_http2_config_t config = {
        .bounds = {.max_head_bytes = server->max_header_bytes,
                   .max_line_bytes = server->max_line_bytes,
                   .max_fields = server->max_header_count},
        .max_streams = server->max_streams,
        .max_body_bytes = server->max_body_bytes,
        .release = release_bytes,
        .context = server,
    };
    session_t *session = calloc(1, sizeof *session);

    if (session == NULL || (session->http2 = asgi_http2_new(&config)) == NULL) {
        free(session);
        return ASGI_ERR_NOMEM;
    }
    session->state = server->state;
    ASGI_COUNT(server->state, http2_sessions)++;
    conn->proto = &protocol;
    conn->proto_data = session;
    conn->linger = true;
    set_deadline(conn, false);
    return 0;
}
