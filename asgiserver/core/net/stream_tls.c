/* SPDX-License-Identifier: MIT
 *
 * stream_tls.c: the bytes of a TLS stream, between stream.c, which has its uv handle, and tls.c,
 * which has its session; see stream_tls.h.
 *
 * Invariants
 *   1. Sealed bytes leave in the order in which OpenSSL made them: those of the uv_write under way
 *      are in `sending`, later ones in the session's `sealed` behind it.
 *   2. flight_size > 0 exactly while a uv_write is under way. It counts those bytes, and the plain
 *      ones that are to follow (flight, then extra).
 *   3. A peer that makes the session answer (renegotiation, key updates) and does not read what it
 *      answers is cut off: `sealed` cannot grow without bound.
 */
#include "net/stream_tls.h"

#include "state.h"

#define SEAL_AT_ONCE 65536 /* plain bytes between two looks at what the kernel takes */
#define ROUNDS_AT_ONCE 4   /* such pieces written before others get a turn */
#define ANSWERS_AT_MOST 65536
#define IDLE_CAPACITY 4096

static struct asgi_state *
state_of(const asgi_stream_t *stream)
{
    return ((asgi_loop_head_t *)stream->loop)->state;
}

int
asgi_stream_tls_start(asgi_stream_t *stream, asgi_tls_context_t *context, char *plain)
{
    asgi_stream_tls_t *tls = calloc(1, sizeof *tls);

    if (tls == NULL || asgi_tls_init(&tls->session, context) < 0) {
        free(tls);
        return ASGI_ERR_NOMEM;
    }
    tls->plain = plain;
    stream->tls = tls;
    ASGI_COUNT(state_of(stream), tls_sessions)++;
    return 0;
}

void
asgi_stream_tls_drop(asgi_stream_t *stream)
{
    asgi_stream_tls_t *tls = stream->tls;

    if (tls == NULL)
        return;
    stream->tls = NULL;
    asgi_tls_dispose(&tls->session);
    asgi_buf_dispose(&tls->sending);
    free(tls);
    ASGI_COUNT(state_of(stream), tls_sessions)--;
}

/* ---- writing ---- */

/* Seals the next plain bytes, if there is room. Returns 0 or an error. */
static int
seal(asgi_stream_t *stream)
{
    asgi_stream_tls_t *tls = stream->tls;
    asgi_buf_t *flight = &stream->flight;
    int rc = 0;

    while (rc == 0 && asgi_buf_size(&tls->session.sealed) < SEAL_AT_ONCE) {
        size_t size = asgi_buf_size(flight);
        if (size > 0) {
            size = size < SEAL_AT_ONCE ? size : SEAL_AT_ONCE;
            rc = asgi_tls_write(&tls->session, asgi_buf_front(flight), size);
            asgi_buf_consume(flight, size);
        } else if (tls->extra.size > 0) {
            size = tls->extra.size < SEAL_AT_ONCE ? tls->extra.size : SEAL_AT_ONCE;
            rc = asgi_tls_write(&tls->session, tls->extra.data, size);
            tls->extra.data += size;
            tls->extra.size -= size;
        } else {
            break;
        }
    }
    return rc;
}

/* Gives what is sealed to a uv_write. owner: of extra, if no reference to it is held yet. */
static int
wait_for_kernel(asgi_stream_t *stream, PyObject *owner)
{
    asgi_stream_tls_t *tls = stream->tls;
    asgi_buf_t empty = tls->sending;
    uv_buf_t buf;

    tls->sending = tls->session.sealed;
    tls->session.sealed = empty;
    if (tls->extra.size > 0 && stream->flight_owner == NULL)
        stream->flight_owner = Py_XNewRef(owner);
    stream->flight_size =
        asgi_buf_size(&stream->flight) + tls->extra.size + asgi_buf_size(&tls->sending);
    buf = uv_buf_init(asgi_buf_front(&tls->sending), (unsigned)asgi_buf_size(&tls->sending));
    return asgi_stream_write(stream, &buf, 1);
}

static void
end_flight(asgi_stream_t *stream)
{
    asgi_stream_tls_t *tls = stream->tls;

    tls->extra.size = 0;
    asgi_buf_shrink(&tls->session.sealed, IDLE_CAPACITY);
    asgi_stream_end_flight(stream);
}

/* Seals and sends until all is gone or the kernel takes no more. No uv_write is under way. rounds:
 * how often the kernel is asked to take it at once. */
static void
pump(asgi_stream_t *stream, PyObject *owner, int rounds)
{
    asgi_stream_tls_t *tls = stream->tls;
    asgi_buf_t *sealed = &tls->session.sealed;
    int rc;

    for (int round = 0;; round++) {
        rc = seal(stream);
        if (rc < 0 || asgi_buf_size(sealed) == 0)
            break;
        if (round < rounds) {
            uv_buf_t buf = uv_buf_init(asgi_buf_front(sealed), (unsigned)asgi_buf_size(sealed));
            rc = uv_try_write(&stream->uv.stream, &buf, 1);
            if (rc < 0 && rc != UV_EAGAIN)
                break;
            asgi_buf_consume(sealed, rc > 0 ? (size_t)rc : 0);
            if (asgi_buf_size(sealed) == 0)
                continue;
        }
        rc = wait_for_kernel(stream, owner);
        if (rc < 0)
            break;
        return;
    }
    end_flight(stream);
    if (rc < 0)
        asgi_stream_break(stream, rc);
}

static void
send_plain(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner, int rounds)
{
    asgi_buf_dispose(&stream->flight);
    stream->flight = stream->out;
    memset(&stream->out, 0, sizeof stream->out);
    stream->tls->extra = extra;
    pump(stream, owner, rounds);
}

void
asgi_stream_tls_send(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner)
{
    send_plain(stream, extra, owner, ROUNDS_AT_ONCE);
}

void
asgi_stream_tls_queue(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner)
{
    send_plain(stream, extra, owner, 0);
}

bool
asgi_stream_tls_written(asgi_stream_t *stream, int status)
{
    asgi_stream_tls_t *tls = stream->tls;

    asgi_buf_clear(&tls->sending);
    if (status < 0 || stream->closing) {
        end_flight(stream);
        return false;
    }
    pump(stream, NULL, ROUNDS_AT_ONCE);
    if (stream->flight_size == 0)
        asgi_buf_dispose(&tls->sending);
    return tls->session.ready;
}

/* Sends what the session has to say by itself. */
static void
send_answers(asgi_stream_t *stream)
{
    asgi_stream_tls_t *tls = stream->tls;

    if (asgi_buf_size(&tls->session.sealed) == 0 || stream->closing || stream->broken)
        return;
    if (stream->shut)
        asgi_buf_dispose(&tls->session.sealed); /* our close_notify was the last word */
    else if (stream->flight_size == 0)
        pump(stream, NULL, ROUNDS_AT_ONCE);
    else if (asgi_buf_size(&tls->session.sealed) > ANSWERS_AT_MOST)
        asgi_stream_break(stream, ASGI_ERR_NOMEM);
}

void
asgi_stream_tls_close_notify(asgi_stream_t *stream)
{
    if (stream->tls == NULL || stream->tls->cut || stream->flight_size > 0
        || asgi_buf_size(&stream->out) > 0)
        return;
    asgi_tls_close(&stream->tls->session);
    send_answers(stream);
}

void
asgi_stream_tls_cut(asgi_stream_t *stream)
{
    if (stream->tls != NULL)
        stream->tls->cut = true;
}

size_t
asgi_stream_tls_unsent(const asgi_stream_t *stream)
{
    const asgi_stream_tls_t *tls = stream->tls;

    return asgi_buf_size(&stream->flight) + tls->extra.size + asgi_buf_size(&tls->session.sealed);
}

/* ---- reading ---- */

/* The peer broke the rules, or refuses ours. The alert that says so goes out first. */
static void
fail(asgi_stream_t *stream, int code)
{
    send_answers(stream);
    if (!stream->broken && !stream->closing)
        stream->events->on_broken(stream, code);
}

void
asgi_stream_tls_input(asgi_stream_t *stream, const char *data, size_t size)
{
    asgi_stream_tls_t *tls = stream->tls;
    bool secured = tls->session.ready;
    size_t used = 0;
    ssize_t got;

    if (tls->session.failed)
        return; /* lingering: what still comes is of no use */
    asgi_tls_feed(&tls->session, data, size);
    do {
        got = asgi_tls_read(&tls->session, tls->plain + used, ASGI_STREAM_PLAIN_SIZE - used);
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0 && used < ASGI_STREAM_PLAIN_SIZE);
    if (!secured && tls->session.ready)
        stream->events->on_secured(stream);
    if (used > 0 && !stream->closing)
        asgi_stream_deliver(stream, tls->plain, used);
    if (stream->closing)
        return;
    if (got < 0) {
        fail(stream, (int)got);
        return;
    }
    send_answers(stream);
    if (tls->session.ended && !stream->eof && !stream->closing && !stream->broken)
        asgi_stream_end_input(stream);
}

void
asgi_stream_tls_catch_up(asgi_stream_t *stream)
{
    asgi_buf_t early = stream->in;

    memset(&stream->in, 0, sizeof stream->in);
    if (asgi_buf_size(&early) > 0 && !stream->closing && !stream->broken)
        asgi_stream_tls_input(stream, asgi_buf_front(&early), asgi_buf_size(&early));
    asgi_buf_dispose(&early);
}
