/* SPDX-License-Identifier: MIT
 *
 * stream.c: libuv's TCP and pipe handles behind stream.h. net/conn.c embeds it as its first member.
 *
 * Invariants
 *   1. flight_size > 0 exactly while a uv_write is under way; then `flight` and flight_owner stay
 *      untouched until its callback.
 *   2. After asgi_stream_close() no callback but on_closed comes.
 *   3. No byte is read unless `reading` is set; `watching` is set exactly while libuv reads.
 *   4. Bytes in `in` are unprocessed and in order; the shared buffer is never held across callbacks.
 */
#include "net/stream.h"

#include "net/stream_tls.h"

#define IDLE_CAPACITY 4096 /* what an idle connection's buffers may keep */

static asgi_stream_t *
stream_of(const uv_handle_t *handle)
{
    return handle->data;
}

int
asgi_stream_init(asgi_stream_t *stream, LoopObject *loop, char *shared, asgi_spares_t *spares,
                 const asgi_stream_events_t *events, bool pipe)
{
    int rc;

    memset(stream, 0, sizeof *stream);
    stream->loop = loop;
    stream->shared = shared;
    stream->spares = spares;
    stream->events = events;
    rc = pipe ? uv_pipe_init(asgi_loop_uv(loop), &stream->uv.pipe, 0)
              : uv_tcp_init(asgi_loop_uv(loop), &stream->uv.tcp);
    stream->uv.handle.data = stream;
    return rc;
}

/* ---- reading ---- */

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    asgi_stream_t *stream = stream_of(handle);

    if (!stream->reading) {
        *buf = uv_buf_init(NULL, 0);
    } else if (asgi_buf_size(&stream->in) == 0 || stream->tls != NULL) {
        *buf = uv_buf_init(stream->shared, ASGI_STREAM_READ_SIZE);
    } else if (asgi_buf_reserve(&stream->in, 4096) < 0) {
        *buf = uv_buf_init(NULL, 0); /* libuv reports ENOBUFS, which breaks the stream */
    } else {
        size_t room = stream->in.capacity - stream->in.end;
        *buf = uv_buf_init(stream->in.data + stream->in.end,
                           (unsigned)(room < ASGI_STREAM_READ_SIZE ? room : ASGI_STREAM_READ_SIZE));
    }
}

static void
stop_watching(asgi_stream_t *stream)
{
    stream->reading = false;
    if (stream->watching) {
        stream->watching = false;
        uv_read_stop(&stream->uv.stream);
    }
}

/* There is something to read that nobody wants. The first time it stays where it is, for the owner
 * may be about to want it: stopping and starting are three system calls. */
static void
refuse_bytes(asgi_stream_t *stream)
{
    if (stream->refused)
        stop_watching(stream);
    stream->refused = true;
}

void
asgi_stream_break(asgi_stream_t *stream, int code)
{
    if (stream->broken || stream->closing)
        return;
    stream->broken = true;
    asgi_buf_clear(&stream->out);
    stream->events->on_broken(stream, code);
}

void
asgi_stream_end_input(asgi_stream_t *stream)
{
    stream->eof = true;
    stop_watching(stream);
    stream->events->on_eof(stream);
}

/* Puts what on_input left behind what is in `in`. Returns whether it is there. */
static bool
keep(asgi_stream_t *stream, const char *data, size_t size)
{
    if (stream->closing)
        return false;
    if (asgi_buf_append(&stream->in, data, size) == 0)
        return true;
    asgi_stream_break(stream, ASGI_ERR_NOMEM);
    return false;
}

static void
on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buf)
{
    asgi_stream_t *stream = stream_of((uv_handle_t *)handle);
    bool secured = stream->tls != NULL;

    if (size == 0)
        return;
    if (size == UV_ENOBUFS && !stream->reading) {
        refuse_bytes(stream);
        return;
    }
    if (size == UV_EOF && (stream->tls == NULL || stream->tls->session.ready)) {
        asgi_stream_end_input(stream);
        return;
    }
    if (size < 0) {
        stop_watching(stream);
        asgi_stream_break(stream, (int)size);
        return;
    }
    if (stream->tls != NULL) {
        asgi_stream_tls_input(stream, buf->base, (size_t)size);
    } else if (buf->base != stream->shared) {
        stream->in.end += (size_t)size;
        asgi_stream_replay(stream);
    } else {
        size_t used = stream->events->on_input(stream, buf->base, (size_t)size);
        if (used < (size_t)size)
            keep(stream, buf->base + used, (size_t)size - used);
    }
    if (!secured && stream->tls != NULL)
        asgi_stream_tls_catch_up(stream);
}

void
asgi_stream_deliver(asgi_stream_t *stream, const char *data, size_t size)
{
    size_t used = 0;

    if (asgi_buf_size(&stream->in) > 0) {
        if (keep(stream, data, size))
            asgi_stream_replay(stream);
        return;
    }
    used = stream->events->on_input(stream, data, size);
    if (used < size)
        keep(stream, data + used, size - used);
}

void
asgi_stream_replay(asgi_stream_t *stream)
{
    asgi_buf_t *in = &stream->in;
    size_t used;

    if (asgi_buf_size(in) == 0 || stream->closing)
        return;
    used = stream->events->on_input(stream, asgi_buf_front(in), asgi_buf_size(in));
    asgi_buf_consume(in, used);
    asgi_buf_shrink(in, IDLE_CAPACITY);
}

int
asgi_stream_read_start(asgi_stream_t *stream)
{
    int rc;

    if (stream->reading || stream->eof || stream->closing || stream->broken)
        return 0;
    rc = stream->watching ? 0 : uv_read_start(&stream->uv.stream, on_alloc, on_read);
    stream->reading = stream->watching = rc == 0;
    stream->refused = false;
    return rc;
}

void
asgi_stream_read_stop(asgi_stream_t *stream)
{
    stream->reading = false;
}

/* ---- writing ---- */

void
asgi_stream_end_flight(asgi_stream_t *stream)
{
    PyObject *owner = stream->flight_owner;

    stream->flight_size = 0;
    stream->flight_owner = NULL;
    asgi_buf_clear(&stream->flight);
    if (stream->out.capacity == 0 && stream->flight.capacity <= IDLE_CAPACITY) {
        stream->out = stream->flight; /* keep the memory for the next answer */
        memset(&stream->flight, 0, sizeof stream->flight);
    } else {
        asgi_spares_take_back(stream->spares, &stream->flight);
    }
    Py_XDECREF(owner);
}

static void
on_written(uv_write_t *request, int status)
{
    asgi_stream_t *stream = request->data;
    bool tell = true;

    asgi_loop_acquire(stream->loop);
    if (stream->tls != NULL)
        tell = asgi_stream_tls_written(stream, status);
    else
        asgi_stream_end_flight(stream);
    if (stream->closing)
        return;
    if (status < 0) {
        asgi_stream_break(stream, status);
        return;
    }
    if (stream->flight_size == 0 && asgi_buf_size(&stream->out) > 0)
        asgi_stream_flush(stream, (asgi_slice_t){NULL, 0}, NULL);
    if (tell && !stream->closing)
        stream->events->on_sent(stream);
}

int
asgi_stream_write(asgi_stream_t *stream, const uv_buf_t *bufs, unsigned count)
{
    stream->write.data = stream;
    return uv_write(&stream->write, &stream->uv.stream, bufs, count, on_written);
}

/* What the kernel did not take goes into a uv_write: the rest of `out` moves over, the rest of
 * extra is sent from its owner. */
static int
start_flight(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner)
{
    uv_buf_t bufs[2];
    unsigned count = 0;
    asgi_buf_t empty = {0};
    int rc;

    if (stream->tls != NULL) { /* whoever comes here: plain text never leaves */
        asgi_stream_tls_queue(stream, extra, owner);
        return 0;
    }
    asgi_buf_dispose(&stream->flight);
    stream->flight = stream->out;
    stream->out = empty;
    stream->flight_size = asgi_buf_size(&stream->flight) + extra.size;
    if (asgi_buf_size(&stream->flight) > 0)
        bufs[count++] =
            uv_buf_init(asgi_buf_front(&stream->flight), (unsigned)asgi_buf_size(&stream->flight));
    if (extra.size > 0) {
        bufs[count++] = uv_buf_init((char *)extra.data, (unsigned)extra.size);
        stream->flight_owner = Py_XNewRef(owner);
    }
    rc = asgi_stream_write(stream, bufs, count);
    if (rc < 0)
        asgi_stream_end_flight(stream);
    return rc;
}

void
asgi_stream_flush(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner)
{
    uv_buf_t bufs[2];
    unsigned count = 0;
    size_t queued = asgi_buf_size(&stream->out), taken;
    int rc;

    if (stream->broken || stream->closing || stream->shut) {
        asgi_buf_clear(&stream->out);
        return;
    }
    if (queued + extra.size == 0)
        return;
    if (stream->flight_size > 0) {
        if (asgi_buf_append(&stream->out, extra.data, extra.size) < 0)
            asgi_stream_break(stream, ASGI_ERR_NOMEM);
        return;
    }
    if (stream->tls != NULL) {
        asgi_stream_tls_send(stream, extra, owner);
        return;
    }
    if (queued > 0)
        bufs[count++] = uv_buf_init(asgi_buf_front(&stream->out), (unsigned)queued);
    if (extra.size > 0)
        bufs[count++] = uv_buf_init((char *)extra.data, (unsigned)extra.size);
    rc = uv_try_write(&stream->uv.stream, bufs, count);
    if (rc < 0 && rc != UV_EAGAIN) {
        asgi_stream_break(stream, rc);
        return;
    }
    taken = rc > 0 ? (size_t)rc : 0;
    if (taken < queued) {
        asgi_buf_consume(&stream->out, taken);
    } else {
        taken -= queued;
        extra.data += taken;
        extra.size -= taken;
        asgi_buf_clear(&stream->out);
        if (extra.size == 0) {
            if (stream->out.capacity > IDLE_CAPACITY * 4)
                asgi_spares_take_back(stream->spares, &stream->out);
            return;
        }
    }
    rc = start_flight(stream, extra, owner);
    if (rc < 0)
        asgi_stream_break(stream, rc);
}

void
asgi_stream_queue(asgi_stream_t *stream)
{
    int rc;

    if (stream->broken || stream->closing || stream->shut || stream->flight_size > 0
        || asgi_buf_size(&stream->out) == 0)
        return;
    rc = start_flight(stream, (asgi_slice_t){NULL, 0}, NULL);
    if (rc < 0)
        asgi_stream_break(stream, rc);
}

static void
on_shutdown(uv_shutdown_t *request, int status)
{
    /* Nothing to do: the owner waits for the peer's end or for its deadline. */
}

void
asgi_stream_shutdown(asgi_stream_t *stream)
{
    if (stream->shut || stream->broken || stream->closing)
        return;
    asgi_stream_tls_close_notify(stream);
    if (stream->broken || stream->closing)
        return;
    stream->shut = true;
    stream->shutdown.data = stream;
    uv_shutdown(&stream->shutdown, &stream->uv.stream, on_shutdown);
}

/* ---- closing ---- */

static void
on_close(uv_handle_t *handle)
{
    asgi_stream_t *stream = stream_of(handle);

    asgi_loop_acquire(stream->loop);
    if (stream->flight_size > 0)
        asgi_stream_end_flight(stream);
    asgi_stream_tls_drop(stream);
    asgi_buf_dispose(&stream->in);
    asgi_buf_dispose(&stream->out);
    asgi_buf_dispose(&stream->flight);
    stream->events->on_closed(stream);
}

void
asgi_stream_close(asgi_stream_t *stream)
{
    if (stream->closing)
        return;
    stream->closing = true;
    stream->reading = stream->watching = false;
    uv_close(&stream->uv.handle, on_close);
}
