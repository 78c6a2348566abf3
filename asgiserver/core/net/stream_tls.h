/* SPDX-License-Identifier: MIT
 *
 * stream_tls.h: a stream whose bytes go through TLS: what stream.c does differently for one.
 *
 * The owner of the stream sees plain text in both directions and the same calls and events. Of its
 * own there is: on_secured when the handshake is done, ASGI_ERR_TLS or ASGI_ERR_NOT_TLS given to
 * on_broken, and asgi_stream_tls_close_notify() for an end that is meant.
 *
 * Reading. What the kernel gives is decrypted whole into the server's second buffer, then handed
 * on as if it had been read so: nothing is left in OpenSSL but the beginning of a record.
 *
 * Writing. Plain text waits where it is (the flight buffer, a bytes object) and is sealed a few
 * records at a time, as the kernel takes them.
 *
 * Thread: loop.
 */
#ifndef ASGI_STREAM_TLS_H
#define ASGI_STREAM_TLS_H

#include "net/stream.h"
#include "net/tls.h"

/* Plain text of one read: that of a record begun earlier comes on top of READ_SIZE. */
#define ASGI_STREAM_PLAIN_SIZE (ASGI_STREAM_READ_SIZE + SSL3_RT_MAX_PLAIN_LENGTH)

typedef struct asgi_stream_tls {
    asgi_tls_t session;
    asgi_buf_t sending; /* records of the uv_write under way */
    asgi_slice_t extra; /* of stream->flight_owner: not sealed yet, after what is in flight */
    char *plain;        /* borrowed: the server's, PLAIN_SIZE bytes */
    bool cut;           /* no close_notify, whatever comes */
} asgi_stream_tls_t;

/* From here on the stream is a TLS server's. Before the first read, or after bytes in front of the
 * handshake were used up. Returns 0 or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK int asgi_stream_tls_start(asgi_stream_t *stream, asgi_tls_context_t *context,
                                          char *plain);

/* The stream goes on in plain text, for an answer to a client that speaks no TLS. */
void asgi_stream_tls_drop(asgi_stream_t *stream);

/* The end of the data is meant: a client that sees no close_notify takes it for cut off. Only when
 * nothing is pending. */
void asgi_stream_tls_close_notify(asgi_stream_t *stream);

/* The data will end too early: the peer is to see that. A stream without TLS may be given. */
void asgi_stream_tls_cut(asgi_stream_t *stream);

/* Plain and sealed bytes that libuv does not have yet. */
size_t asgi_stream_tls_unsent(const asgi_stream_t *stream);

/* ---- for stream.c ---- */

/* TLS was started by an event: what is in the stream's `in` was read too early, it is no plain
 * text. */
void asgi_stream_tls_catch_up(asgi_stream_t *stream);
/* Bytes were read. */
void asgi_stream_tls_input(asgi_stream_t *stream, const char *data, size_t size);
/* As asgi_stream_flush(), when nothing is in flight and there is something to send. */
void asgi_stream_tls_send(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner);
/* The same by a uv_write, whatever the kernel would take at once. */
void asgi_stream_tls_queue(asgi_stream_t *stream, asgi_slice_t extra, PyObject *owner);
/* The uv_write is done: the next records go out. Returns whether the owner should know. GIL held. */
bool asgi_stream_tls_written(asgi_stream_t *stream, int status);

#endif
