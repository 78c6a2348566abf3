/* SPDX-License-Identifier: MIT
 *
 * http2_send.h: what send() does differently for an exchange on an HTTP/2 stream (cycle->h2).
 */
#ifndef ASGI_HTTP2_SEND_H
#define ASGI_HTTP2_SEND_H

#include "asgi/cycle.h"

/* For all of these: GIL held, cycle->h2 is set. Those that return int give 0, or -1 with an
 * exception. */

/* Writes a piece of body that was held against content-length. owner: the bytes object data lies in,
 * or NULL where it must be copied. */
int asgi_http2_send_body(CycleObject *cycle, asgi_slice_t data, PyObject *owner, bool more);

/* The body is over: ends the exchange, or waits for the trailers. */
int asgi_http2_send_end(CycleObject *cycle);

/* Trailers; the last of them end the exchange. */
int asgi_http2_send_trailers(CycleObject *cycle, asgi_slice_t lines, bool more);

/* An informational response. */
int asgi_http2_send_informational(CycleObject *cycle, unsigned status, asgi_slice_t lines);

/* cycle->file is set: as much of it goes out as there is room for. Reports what goes wrong. */
void asgi_http2_send_file_go_on(CycleObject *cycle);

/* The app has taken body bytes: the client may send as many more. */
void asgi_http2_body_taken(CycleObject *cycle, size_t size);

#endif
