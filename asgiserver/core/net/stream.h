/* SPDX-License-Identifier: MIT
 *
 * stream.h: one accepted byte stream: bytes in, bytes out, and how it ends.
 *
 * Reading. Bytes land in the server's shared buffer, or behind what is still unprocessed in the
 * stream's own `in`; on_input says how many of them are used up, the rest is kept in `in`. Nothing
 * is allocated for a connection whose requests arrive whole. To stop reading costs nothing: no
 * buffer is given for the bytes that come next, and only where some do come, twice, is the poll told.
 *
 * Writing. asgi_stream_out() is the buffer to append to; asgi_stream_flush() hands it (and
 * optionally one bytes object, without copying it) to the kernel at once where that is possible.
 * At most one uv_write is under way; what is appended meanwhile leaves when that one is done.
 *
 * Ending. A write that fails makes the stream broken: later writes vanish, on_broken is called
 * once. asgi_stream_close() may be called from any callback; on_closed is the last one and the
 * place to free the owner.
 *
 * With TLS (stream_tls.h) the same calls and events are about plain text; what stands between them
 * and the uv handle costs a stream without TLS one branch per read and per write.
 *
 * Thread: loop. Callbacks come from libuv without the GIL unless said otherwise.
 */
#ifndef ASGI_STREAM_H
#define ASGI_STREAM_H

#include "loop/loop.h"

#include "base/spares.h"

#define ASGI_STREAM_HIGH_WATER 65536 /* unsent bytes at which a sender has to wait */
#define ASGI_STREAM_LOW_WATER 16384  /* … and at which it may go on */
#define ASGI_STREAM_READ_SIZE 65536

typedef struct asgi_stream asgi_stream_t;

typedef struct {
    /* New bytes, with what was unprocessed before them. Returns how many are used up. */
    size_t (*on_input)(asgi_stream_t *stream, const char *data, size_t size);
    void (*on_eof)(asgi_stream_t *stream);              /* the peer will send no more */
    void (*on_broken)(asgi_stream_t *stream, int code); /* read or write failed; close it */
    void (*on_secured)(asgi_stream_t *stream);          /* the TLS handshake is done */
    void (*on_sent)(asgi_stream_t *stream);             /* a pending write went out, GIL held */
    void (*on_closed)(asgi_stream_t *stream);           /* GIL held */
} asgi_stream_events_t;

struct asgi_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;                               /* data points back at the stream */
    const asgi_stream_events_t *events; /* borrowed, static */
    struct asgi_stream_tls *tls;        /* owned; NULL: plain */
    LoopObject *loop;                   /* borrowed: the server's */
    char *shared;                       /* borrowed: the server's, READ_SIZE bytes */
    asgi_spares_t *spares;              /* borrowed: the server's */
    asgi_buf_t in;
    asgi_buf_t out;
    asgi_buf_t flight;      /* bytes of the uv_write under way */
    PyObject *flight_owner; /* owned: the bytes object it also sends from */
    size_t flight_size;     /* 0: no uv_write under way */
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool reading;  /* what comes is wanted */
    bool watching; /* libuv reads: may outlast `reading`, then no buffer is given to it */
    bool refused;  /* … which has been asked for since */
    bool eof, broken, closing, shut;
};

/* Prepares the uv handle (TCP, or a pipe for a Unix socket) before accept. Returns 0 or a libuv
 * code; on failure nothing needs closing. */
ASGI_MUST_CHECK int asgi_stream_init(asgi_stream_t *stream, LoopObject *loop, char *shared,
                                     asgi_spares_t *spares, const asgi_stream_events_t *events,
                                     bool pipe);

ASGI_MUST_CHECK int asgi_stream_read_start(asgi_stream_t *stream);
/* No byte is read from here on, also not in the read under way. */
void asgi_stream_read_stop(asgi_stream_t *stream);
/* Gives on_input the unprocessed bytes again (the owner can use them now). */
void asgi_stream_replay(asgi_stream_t *stream);

static inline asgi_buf_t *
asgi_stream_out(asgi_stream_t *stream)
{
    return &stream->out;
}

/* Room for `more` bytes at the end of the out buffer, for output in many pieces. Returns 0 or NOMEM. */
ASGI_MUST_CHECK static inline int
asgi_stream_reserve(asgi_stream_t *stream, size_t more)
{
    return asgi_spares_reserve(stream->spares, &stream->out, more);
}

/* Whether bytes may be written to the socket past the stream while nothing is pending. */
static inline bool
asgi_stream_raw(const asgi_stream_t *stream)
{
    return stream->tls == NULL;
}

/* Bytes accepted and not yet taken by the kernel. */
static inline size_t
asgi_stream_pending(const asgi_stream_t *stream)
{
    return stream->flight_size + asgi_buf_size(&stream->out);
}

/* Sends what is in the out buffer and then `extra`, which lies inside owner (a bytes object; a
 * reference is taken if it has to wait). GIL held when owner is given. A failure is told through
 * on_broken before this returns. */
void asgi_stream_flush(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner);

/* Hands what is in the out buffer to a uv_write even where the kernel would take it at once, so that
 * on_sent comes, in a later turn. */
void asgi_stream_queue(asgi_stream_t *stream);

/* Sends FIN (with TLS, close_notify before it) once everything written has gone out. */
void asgi_stream_shutdown(asgi_stream_t *stream);
/* With TLS, a close without asgi_stream_tls_close_notify() tells the peer that something is missing. */
void asgi_stream_close(asgi_stream_t *stream);

/* ---- for stream_tls.c ---- */

/* Gives on_input bytes that lie outside of `in`, behind those in it; keeps what it leaves. */
void asgi_stream_deliver(asgi_stream_t *stream, const char *data, size_t size);
/* No more will be read. */
void asgi_stream_end_input(asgi_stream_t *stream);
/* Starts the one uv_write; flight_size is set. Returns 0 or a libuv code. */
ASGI_MUST_CHECK int asgi_stream_write(asgi_stream_t *stream, const uv_buf_t *bufs, unsigned count);
/* Lets go of what the last uv_write sent from. The GIL is needed where there is a flight_owner. */
void asgi_stream_end_flight(asgi_stream_t *stream);
void asgi_stream_break(asgi_stream_t *stream, int code);

#endif
