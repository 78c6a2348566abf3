/* SPDX-License-Identifier: MIT
 *
 * http2_out.c: the answers of http2.h: from heads and bodies in the streams to frames in the output.
 *
 * nghttp2 is told of an answer's head when frames are made, not when it is given: an answer that is
 * complete by then and has no body ends with its head. Body bytes are never copied into nghttp2: it
 * asks how many there are, frames them, and has them appended to the output.
 */
#include "proto/http2_session.h"

#define FRAME_HEAD_SIZE 9

/* ---- nghttp2's callbacks ---- */

static bool
is_full(const asgi_http2_t *http2)
{
    return asgi_buf_size(http2->out) >= http2->high;
}

static ssize_t
on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *context)
{
    asgi_http2_t *http2 = context;

    if (is_full(http2))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (asgi_buf_append(http2->out, data, size) < 0) {
        http2->failed = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)size;
}

/* Makes an nghttp2 name or value of a slice; nghttp2 copies both. */
static nghttp2_nv
field(asgi_slice_t name, asgi_slice_t value)
{
    return (nghttp2_nv){.name = (uint8_t *)name.data,
                        .namelen = name.size,
                        .value = (uint8_t *)value.data,
                        .valuelen = value.size};
}

/* The fields of lines, behind :status unless that is 0. Returns: owned, or NULL without memory. */
static nghttp2_nv *
make_fields(unsigned status, char digits[3], asgi_slice_t lines, size_t *count)
{
    size_t most = 1, n = 0;
    asgi_slice_t name, value;
    nghttp2_nv *fields;

    for (size_t i = 0; i < lines.size; i++)
        most += lines.data[i] == '\n';
    if ((fields = malloc(most * sizeof *fields)) == NULL)
        return NULL;
    if (status != 0) {
        digits[0] = (char)('0' + status / 100);
        digits[1] = (char)('0' + status / 10 % 10);
        digits[2] = (char)('0' + status % 10);
        fields[n++] = field(ASGI_SLICE(":status"), (asgi_slice_t){digits, 3});
    }
    while (asgi_http2_next_line(&lines, &name, &value))
        fields[n++] = field(name, value);
    *count = n;
    return fields;
}

static asgi_slice_t
lines_of(const asgi_buf_t *lines)
{
    return (asgi_slice_t){asgi_buf_front(lines), asgi_buf_size(lines)};
}

/* The trailers end a body. */
static int
submit_trailers(asgi_http2_stream_t *stream)
{
    size_t count;
    nghttp2_nv *fields = make_fields(0, NULL, lines_of(&stream->trailing), &count);
    int rc = fields == NULL
                 ? NGHTTP2_ERR_NOMEM
                 : nghttp2_submit_trailer(stream->http2->session, stream->id, fields, count);

    free(fields);
    return rc;
}

/* How many body bytes go into the next frame; on_send_data() takes them. */
static ssize_t
on_body_wanted(nghttp2_session *session, int32_t id, uint8_t *buf, size_t most, uint32_t *flags,
               nghttp2_data_source *source, void *context)
{
    asgi_http2_stream_t *stream = source->ptr;
    size_t pending = asgi_http2_pending(stream);

    if (pending == 0 && !stream->ended) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (pending > most)
        return (ssize_t)most;
    if (stream->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (asgi_buf_size(&stream->trailing) > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(stream) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)pending;
}

static int
on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t size,
             nghttp2_data_source *source, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream = source->ptr;
    size_t before = asgi_http2_pending(stream);
    size_t first = asgi_buf_size(&stream->out) < size ? asgi_buf_size(&stream->out) : size;

    if (is_full(http2))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (asgi_buf_reserve(http2->out, FRAME_HEAD_SIZE + size) < 0
        || asgi_buf_append(http2->out, head, FRAME_HEAD_SIZE) < 0
        || asgi_buf_append(http2->out, first > 0 ? asgi_buf_front(&stream->out) : NULL, first) < 0
        || asgi_buf_append(http2->out, stream->lent.data, size - first) < 0) {
        http2->failed = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    asgi_buf_consume(&stream->out, first);
    if (size > first) {
        stream->lent.data += size - first;
        stream->lent.size -= size - first;
        if (stream->lent.size == 0)
            asgi_http2_give_back(stream);
    }
    stream->sent += size;
    if (size > 0)
        asgi_http2_earn(http2);
    if (before > ASGI_HTTP2_LOW_WATER && before - size <= ASGI_HTTP2_LOW_WATER)
        asgi_http2_note(stream, ASGI_HTTP2_DRAINED);
    return 0;
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    asgi_http2_t *http2 = context;
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, frame->hd.stream_id);

    switch (frame->hd.type) {
    case NGHTTP2_RST_STREAM:
        if (stream == NULL || !stream->reset)
            asgi_http2_spend_reset(http2); /* the peer made nghttp2 send it */
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        /* What the peer still has of its request is of no use (RFC 9113 8.1). */
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && stream != NULL && !stream->request_over
            && !stream->reset) {
            stream->reset = true;
            return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
                                             NGHTTP2_NO_ERROR);
        }
        break;
    default:
        break;
    }
    return 0;
}

/* A head that nghttp2 would not send is an answer that will not come. */
static int
on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *context)
{
    asgi_http2_stream_t *stream = asgi_http2_stream_of(session, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_HEADERS && stream != NULL)
        asgi_http2_reset(stream, ASGI_HTTP2_INTERNAL_ERROR);
    return 0;
}

void
asgi_http2_set_output(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
}

/* ---- answers ---- */

int
asgi_http2_inform(asgi_http2_stream_t *stream, unsigned status, asgi_slice_t lines)
{
    char digits[3];
    size_t count;
    nghttp2_nv *fields;
    int rc;

    if (stream->closed || stream->reset)
        return 0;
    if ((fields = make_fields(status, digits, lines, &count)) == NULL)
        return ASGI_ERR_NOMEM;
    rc = nghttp2_submit_headers(stream->http2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, fields,
                                count, NULL);
    free(fields);
    return rc == NGHTTP2_ERR_NOMEM ? ASGI_ERR_NOMEM : 0;
}

void
asgi_http2_head(asgi_http2_stream_t *stream, unsigned status, asgi_buf_t *lines)
{
    asgi_buf_dispose(&stream->lines);
    stream->lines = *lines;
    memset(lines, 0, sizeof *lines);
    if (stream->closed || stream->reset)
        return;
    stream->status = (uint16_t)status;
    stream->http2->waiting++;
}

/* Hands the head that waits to nghttp2. Returns 0 or NOMEM. */
static int
submit_head(asgi_http2_stream_t *stream)
{
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = on_body_wanted};
    bool empty =
        stream->ended && asgi_http2_pending(stream) == 0 && asgi_buf_size(&stream->trailing) == 0;
    char digits[3];
    size_t count;
    nghttp2_nv *fields;
    int rc;

    fields = make_fields(stream->status, digits, lines_of(&stream->lines), &count);
    stream->status = 0;
    stream->http2->waiting--;
    if (fields == NULL)
        return ASGI_ERR_NOMEM;
    rc = nghttp2_submit_response(stream->http2->session, stream->id, fields, count,
                                 empty ? NULL : &body);
    free(fields);
    asgi_buf_dispose(&stream->lines);
    return rc == NGHTTP2_ERR_NOMEM ? ASGI_ERR_NOMEM : 0;
}

void
asgi_http2_wake(asgi_http2_stream_t *stream)
{
    if (!stream->deferred)
        return;
    stream->deferred = false;
    if (nghttp2_session_resume_data(stream->http2->session, stream->id) == NGHTTP2_ERR_NOMEM)
        stream->http2->failed = true;
}

/* What is lent cannot stay in front of bytes that are copied: it is copied too. */
static int
settle(asgi_http2_stream_t *stream)
{
    if (stream->lent.size == 0)
        return 0;
    if (asgi_buf_append(&stream->out, stream->lent.data, stream->lent.size) < 0)
        return ASGI_ERR_NOMEM;
    asgi_http2_give_back(stream);
    return 0;
}

asgi_buf_t *
asgi_http2_out(asgi_http2_stream_t *stream)
{
    return settle(stream) == 0 ? &stream->out : NULL;
}

int
asgi_http2_write(asgi_http2_stream_t *stream, asgi_slice_t data)
{
    if (stream->closed || stream->reset)
        return 0;
    if (settle(stream) < 0 || asgi_buf_append(&stream->out, data.data, data.size) < 0)
        return ASGI_ERR_NOMEM;
    asgi_http2_wake(stream);
    return 0;
}

int
asgi_http2_lend(asgi_http2_stream_t *stream, asgi_slice_t data, void *owner)
{
    if (!stream->closed && !stream->reset && settle(stream) == 0) {
        stream->lent = data;
        stream->lender = owner;
        asgi_http2_wake(stream);
        return 0;
    }
    stream->http2->config.release(stream->http2->config.context, owner);
    return stream->closed || stream->reset ? 0 : ASGI_ERR_NOMEM;
}

int
asgi_http2_trailers(asgi_http2_stream_t *stream, asgi_slice_t lines)
{
    return asgi_buf_append(&stream->trailing, lines.data, lines.size);
}

void
asgi_http2_end(asgi_http2_stream_t *stream)
{
    stream->ended = true;
    asgi_http2_wake(stream);
}

int
asgi_http2_send(asgi_http2_t *http2, asgi_buf_t *out, size_t high)
{
    int rc = 0;

    for (asgi_link_t *link = http2->streams.next; http2->waiting > 0 && link != &http2->streams;
         link = link->next) {
        asgi_http2_stream_t *stream = ASGI_CONTAINER(link, asgi_http2_stream_t, link);
        if (stream->status != 0 && submit_head(stream) < 0)
            http2->failed = true;
    }
    http2->out = out;
    http2->high = high;
    if (!http2->failed)
        rc = nghttp2_session_send(http2->session);
    http2->out = NULL;
    if (http2->failed || rc == NGHTTP2_ERR_NOMEM)
        return ASGI_ERR_NOMEM;
    return rc < 0 ? ASGI_ERR_SYNTAX : 0;
}
