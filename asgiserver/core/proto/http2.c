/* SPDX-License-Identifier: MIT
 *
 * http2.c: the session of http2.h: its life, what comes in, events, budgets. net/conn_http2.c feeds
 * it and takes its events. What goes out is in http2_out.c.
 *
 * Invariants
 *   1. A stream exists from its HEADERS frame to the call after its CLOSED event; one that closes
 *      before its HEAD event goes without either.
 *   2. Events are noted by nghttp2's callbacks and never handled in them.
 *   3. Whatever a peer can make us do for nothing is charged to one of its two budgets.
 */
#include "proto/http2.h"

#include "proto/headers.h"
#include "proto/http2_session.h"

#define STREAM_WINDOW 131072   /* body bytes a stream may have on their way to its application */
#define SESSION_WINDOW 1048576 /* … and all of them together */
#define LINES_AT_MOST 1048576  /* bytes of a head that we send */

/* What a peer may do for nothing: so often at once, and so often a second. */
#define RESETS_AT_ONCE 400
#define RESETS_A_SECOND 40
#define NOISE_AT_ONCE 2000
#define NOISE_A_SECOND 200
#define NOISE_FOR_USE 2 /* given back for a frame that moves something */

/* ---- budgets ---- */

static void
spend(asgi_http2_t *http2, budget_t *budget, uint64_t at_once, uint64_t a_second)
{
    budget->left += (http2->now - budget->at) * a_second;
    budget->at = http2->now;
    if (budget->left > at_once * 1000)
        budget->left = at_once * 1000;
    if (budget->left < 1000)
        asgi_http2_calm(http2);
    else
        budget->left -= 1000;
}

void
asgi_http2_spend_reset(asgi_http2_t *http2)
{
    spend(http2, &http2->resets, RESETS_AT_ONCE, RESETS_A_SECOND);
}

static void
spend_noise(asgi_http2_t *http2)
{
    spend(http2, &http2->noise, NOISE_AT_ONCE, NOISE_A_SECOND);
}

void
asgi_http2_earn(asgi_http2_t *http2)
{
    http2->noise.left += NOISE_FOR_USE * 1000; /* bounded by the next spend() */
}

/* ---- streams and events ---- */

static void
note(asgi_http2_stream_t *stream, asgi_http2_kind_t kind, asgi_slice_t body, int error)
{
    asgi_http2_event_t event = {.kind = kind, .stream = stream, .body = body, .error = error};

    if (asgi_buf_append(&stream->http2->events, &event, sizeof event) < 0)
        stream->http2->failed = true;
}

void
asgi_http2_note(asgi_http2_stream_t *stream, asgi_http2_kind_t kind)
{
    note(stream, kind, (asgi_slice_t){NULL, 0}, 0);
}

static void
drop_section(asgi_http2_t *http2, asgi_http2_section_t **section)
{
    asgi_http2_section_t *used = *section;

    *section = NULL;
    if (used != NULL && http2->spare == NULL && asgi_http2_section_reuse(used))
        http2->spare = used;
    else
        asgi_http2_section_free(used);
}

static asgi_http2_section_t *
take_section(asgi_http2_t *http2)
{
    asgi_http2_section_t *section = http2->spare;

    http2->spare = NULL;
    return section != NULL ? section : asgi_http2_section_new();
}

void
asgi_http2_give_back(asgi_http2_stream_t *stream)
{
    void *lender = stream->lender;

    stream->lender = NULL;
    stream->lent = (asgi_slice_t){NULL, 0};
    if (lender != NULL)
        stream->http2->config.release(stream->http2->config.context, lender);
}

static void
free_stream(asgi_http2_stream_t *stream)
{
    asgi_link_remove(&stream->link);
    if (stream->status != 0)
        stream->http2->waiting--;
    asgi_http2_give_back(stream);
    drop_section(stream->http2, &stream->head);
    drop_section(stream->http2, &stream->trailers);
    asgi_buf_dispose(&stream->lines);
    asgi_buf_dispose(&stream->trailing);
    asgi_buf_dispose(&stream->out);
    free(stream);
}

/* ---- nghttp2's callbacks: what comes in ---- */

/* PRIORITY is out of use (RFC 9113 5.3.2): nghttp2 reads it, and tells of it here only. */
static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *context)
{
    if (head->type == NGHTTP2_PRIORITY)
        spend_noise(context);
    return 0;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream;

    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        stream = asgi_http2_stream_of(session, frame->hd.stream_id);
        if (stream != NULL && stream->trailers == NULL
            && (stream->trailers = take_section(http2)) == NULL)
            http2->failed = true;
        return 0;
    }
    stream = calloc(1, sizeof *stream);
    if (stream == NULL || (stream->head = take_section(http2)) == NULL) {
        free(stream);
        http2->failed = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    stream->http2 = http2;
    stream->id = frame->hd.stream_id;
    asgi_link_init(&stream->link);
    asgi_list_push(&http2->streams, &stream->link);
    http2->open++;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

/* The section that a HEADERS frame goes into. */
static asgi_http2_section_t *
section_of(nghttp2_session *session, const nghttp2_frame *frame)
{
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, frame->hd.stream_id);

    if (stream == NULL || frame->hd.type != NGHTTP2_HEADERS)
        return NULL;
    return frame->headers.cat == NGHTTP2_HCAT_REQUEST ? stream->head : stream->trailers;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_section_t *section = section_of(session, frame);

    if (section == NULL)
        return 0;
    if (asgi_http2_section_add(section, &http2->config.bounds,
                               (asgi_slice_t){(const char *)name, name_size},
                               (asgi_slice_t){(const char *)value, value_size})
        == 0)
        return 0;
    http2->failed = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A name or value with characters that it must not have; nghttp2 would leave the field out. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                  size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                  void *context)
{
    asgi_http2_section_t *section = section_of(session, frame);

    if (section != NULL && section->error == 0)
        section->error = ASGI_ERR_SYNTAX;
    return 0;
}

static void
end_head(asgi_http2_t *http2, asgi_http2_stream_t *stream, bool has_body)
{
    asgi_http2_section_t *head = stream->head;
    nghttp2_extpri priority = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    bool has_priority = false;

    if (asgi_http2_section_end(head, has_body) < 0) {
        http2->failed = true;
        return;
    }
    if (head->error == 0 && http2->config.max_body_bytes > 0
        && head->request.content_length > http2->config.max_body_bytes)
        head->error = ASGI_ERR_BODY_SIZE;
    for (uint32_t i = 0; i < head->request.field_count; i++)
        has_priority |= head->request.fields[i].id == ASGI_HEADER_PRIORITY;
    /* Whoever says nothing about it gets all answers side by side, not one after the other. */
    if (!has_priority)
        nghttp2_session_change_extpri_stream_priority(http2->session, stream->id, &priority, 0);
    stream->noted = true;
    note(stream, ASGI_HTTP2_HEAD, (asgi_slice_t){NULL, 0}, head->error);
}

static void
end_request(asgi_http2_stream_t *stream)
{
    stream->request_over = true;
    asgi_http2_note(stream, ASGI_HTTP2_END);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, frame->hd.stream_id);
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        asgi_http2_earn(http2);
        if (stream == NULL)
            break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            end_head(http2, stream, !last);
        else if (stream->trailers != NULL && stream->trailers->error == 0)
            asgi_http2_note(stream, ASGI_HTTP2_TRAILERS);
        else
            asgi_http2_reset(stream, ASGI_HTTP2_PROTOCOL_ERROR);
        if (last && stream->noted && !stream->reset)
            end_request(stream);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length > 0)
            asgi_http2_earn(http2);
        else if (!last)
            spend_noise(http2);
        if (last && stream != NULL)
            end_request(stream);
        break;
    case NGHTTP2_RST_STREAM:
        if (stream != NULL)
            asgi_http2_spend_reset(http2);
        break;
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            spend_noise(http2);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        spend_noise(http2);
        break;
    default:
        break;
    }
    return http2->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
        void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, id);
    uint64_t most = http2->config.max_body_bytes;

    if (stream == NULL)
        return nghttp2_session_consume(session, id, size);
    stream->held += size;
    stream->received += size;
    if (most > 0 && stream->received > most) {
        asgi_http2_consume(stream, size);
        if (!stream->too_big)
            note(stream, ASGI_HTTP2_BODY, (asgi_slice_t){NULL, 0}, ASGI_ERR_BODY_SIZE);
        stream->too_big = true;
    } else {
        note(stream, ASGI_HTTP2_BODY, (asgi_slice_t){(const char *)data, size}, 0);
    }
    return http2->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, id);

    if (stream == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    nghttp2_session_consume_connection(session, stream->held);
    stream->held = 0;
    stream->closed = true;
    http2->open--;
    asgi_http2_give_back(stream);
    if (stream->noted)
        asgi_http2_note(stream, ASGI_HTTP2_CLOSED);
    else
        free_stream(stream);
    return 0;
}

/* ---- life ---- */

static nghttp2_session *
make_session(asgi_http2_t *http2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        asgi_http2_set_output(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, LINES_AT_MOST);
        if (nghttp2_session_server_new2(&session, callbacks, http2, option) != 0)
            session = NULL;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

asgi_http2_t *
asgi_http2_new(const asgi_http2_config_t *config)
{
    asgi_http2_t *http2 = calloc(1, sizeof *http2);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, config->bounds.max_head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };

    if (http2 == NULL)
        return NULL;
    http2->config = *config;
    http2->resets.left = RESETS_AT_ONCE * 1000;
    http2->noise.left = NOISE_AT_ONCE * 1000;
    asgi_link_init(&http2->streams);
    http2->session = make_session(http2);
    if (http2->session == NULL
        || nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof *settings)
               != 0
        || nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0,
                                                 SESSION_WINDOW)
               != 0) {
        nghttp2_session_del(http2->session);
        free(http2);
        return NULL;
    }
    return http2;
}

void
asgi_http2_free(asgi_http2_t *http2)
{
    asgi_link_t *first;

    if (http2 == NULL)
        return;
    nghttp2_session_del(http2->session);
    while ((first = asgi_list_first(&http2->streams)) != NULL)
        free_stream(ASGI_CONTAINER(first, asgi_http2_stream_t, link));
    asgi_http2_section_free(http2->spare);
    asgi_buf_dispose(&http2->events);
    free(http2);
}

int
asgi_http2_feed(asgi_http2_t *http2, const char *data, size_t size, uint64_t now)
{
    ssize_t rc;

    if (http2->now == 0)
        http2->resets.at = http2->noise.at = now;
    http2->now = now;
    if (http2->calm)
        return ASGI_ERR_LIMIT;
    rc = nghttp2_session_mem_recv(http2->session, (const uint8_t *)data, size);
    if (http2->failed || rc == NGHTTP2_ERR_NOMEM)
        return ASGI_ERR_NOMEM;
    if (rc == NGHTTP2_ERR_FLOODED)
        asgi_http2_calm(http2);
    if (http2->calm)
        return ASGI_ERR_LIMIT;
    return rc < 0 ? ASGI_ERR_SYNTAX : 0;
}

asgi_http2_kind_t
asgi_http2_next(asgi_http2_t *http2, asgi_http2_event_t *event)
{
    asgi_http2_stream_t *stream = http2->given.stream;

    switch (http2->given.kind) {
    case ASGI_HTTP2_HEAD:
        drop_section(http2, &stream->head);
        break;
    case ASGI_HTTP2_TRAILERS:
        drop_section(http2, &stream->trailers);
        break;
    case ASGI_HTTP2_CLOSED:
        free_stream(stream);
        break;
    default:
        break;
    }
    http2->given.kind = ASGI_HTTP2_NONE;
    if (asgi_buf_size(&http2->events) == 0) {
        asgi_buf_shrink(&http2->events, 16 * sizeof *event);
        return event->kind = ASGI_HTTP2_NONE;
    }
    memcpy(event, asgi_buf_front(&http2->events), sizeof *event);
    asgi_buf_consume(&http2->events, sizeof *event);
    http2->given = *event;
    return event->kind;
}

bool
asgi_http2_over(const asgi_http2_t *http2)
{
    return !nghttp2_session_want_read(http2->session)
           && !nghttp2_session_want_write(http2->session);
}

size_t
asgi_http2_streams(const asgi_http2_t *http2)
{
    return http2->open;
}

asgi_link_t *
asgi_http2_list(asgi_http2_t *http2)
{
    return &http2->streams;
}

void
asgi_http2_consume(asgi_http2_stream_t *stream, size_t size)
{
    if (stream->closed)
        return; /* what it held was given back then */
    if (size > stream->held)
        size = stream->held;
    stream->held -= size;
    if (size > 0)
        nghttp2_session_consume(stream->http2->session, stream->id, size);
}

/* ---- ends ---- */

void
asgi_http2_reset(asgi_http2_stream_t *stream, asgi_http2_code_t code)
{
    if (stream->closed || stream->reset)
        return;
    stream->reset = true;
    if (stream->status != 0) {
        stream->status = 0;
        stream->http2->waiting--;
    }
    if (nghttp2_submit_rst_stream(stream->http2->session, NGHTTP2_FLAG_NONE, stream->id,
                                  (uint32_t)code)
        != 0)
        stream->http2->failed = true;
}

void
asgi_http2_announce_end(asgi_http2_t *http2)
{
    nghttp2_submit_shutdown_notice(http2->session);
}

void
asgi_http2_accept_no_more(asgi_http2_t *http2)
{
    nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(http2->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

void
asgi_http2_calm(asgi_http2_t *http2)
{
    if (http2->calm)
        return;
    http2->calm = true;
    nghttp2_session_terminate_session(http2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}
