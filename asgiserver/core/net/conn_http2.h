/* SPDX-License-Identifier: MIT
 *
 * conn_http2.h: HTTP/2 on a connection: one session, and an exchange on each of its streams.
 *
 * A connection gets here by ALPN, or by the client's preface on a port without TLS; from then on
 * conn->proto is this protocol's table. conn->cycle stays NULL: the exchanges hang on the streams,
 * stream->owner pointing to the cycle (with a reference) and cycle->h2 back. Both are cleared
 * together, by asgi_http2_conn_detach().
 */
#ifndef ASGI_CONN_HTTP2_H
#define ASGI_CONN_HTTP2_H

#include "net/conn.h"
#include "proto/http2.h"

/* The connection speaks HTTP/2 from here. Returns 0, or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK int asgi_http2_conn_start(asgi_conn_t *conn);

/* The exchange and its stream forget each other. gone: the client is, too, and the app is told. GIL
 * held. */
void asgi_http2_conn_detach(asgi_http2_stream_t *stream, bool gone);

/* An answer of ours in place of the app's. GIL held. */
void asgi_http2_conn_refuse(asgi_conn_t *conn, asgi_http2_stream_t *stream, unsigned status,
                            const char *text);

/* The app's answer, which has begun, cannot be ended as it should. GIL held. */
void asgi_http2_conn_give_up(asgi_conn_t *conn, asgi_http2_stream_t *stream,
                             asgi_http2_code_t code);

#endif
