/* SPDX-License-Identifier: MIT
 *
 * conn_http1.h: HTTP/1.1 on a connection: parser events become exchanges, answers end them.
 */
#ifndef ASGI_CONN_HTTP1_H
#define ASGI_CONN_HTTP1_H

#include "net/conn.h"

/* The stream's on_input while the connection speaks HTTP/1. */
size_t asgi_http1_conn_input(asgi_conn_t *conn, const char *data, size_t size);
void asgi_http1_conn_eof(asgi_conn_t *conn);
void asgi_http1_conn_sent(asgi_conn_t *conn);
void asgi_http1_conn_expired(asgi_conn_t *conn);

/* The app's answer is complete and in the output buffer: the connection goes on to the next
 * request, or ends. `extra` is the answer's last body bytes, inside owner. GIL held. */
void asgi_http1_conn_answered(asgi_conn_t *conn, bool keep_alive, asgi_slice_t extra,
                              PyObject *owner);

/* Whether what is in the output buffer waits for the answer to the next pipelined request, which is
 * about to be made: asked before each poll while there is output. */
bool asgi_http1_conn_holds(asgi_conn_t *conn);

/* An answer of ours in place of the app's, after which the connection ends. GIL held. */
void asgi_http1_conn_refuse(asgi_conn_t *conn, unsigned status, const char *text);

/* The app has taken body bytes: reading may go on. GIL held. */
void asgi_http1_conn_body_taken(asgi_conn_t *conn);

/* Sets the deadline that fits what the connection is waiting for. */
void asgi_http1_conn_set_deadline(asgi_conn_t *conn, bool progress);

#endif
