/* SPDX-License-Identifier: MIT
 *
 * send.h: the app's send().
 */
#ifndef ASGI_SEND_H
#define ASGI_SEND_H

#include "asgi/cycle.h"

/* Returns: new builtin bound to the cycle. */
PyObject *asgi_send_bind(CycleObject *cycle);

/* The parts of send() that WebSockets share. */

/* message[key]. Returns: new; NULL without an exception where it is missing. */
PyObject *asgi_send_lookup(PyObject *message, PyObject *key);
/* The same, KeyError where there is none. */
PyObject *asgi_send_required(PyObject *message, PyObject *key);
/* message[key] as a truth value, false without one. Returns 0, 1, or -1 with an exception. */
int asgi_send_flag(PyObject *message, PyObject *key);

/* Appends a status line, the default headers and those given (NULL: none), but not the empty line.
 * Returns 0, or -1 with an exception; the caller takes back what was written then. May run
 * Python. */
int asgi_send_head(CycleObject *cycle, asgi_buf_t *buf, unsigned status, PyObject *headers);

/* http.response.start and .body, the message's type checked by the caller; cycle->conn is set. */
PyObject *asgi_send_start(CycleObject *cycle, PyObject *message);
PyObject *asgi_send_body(CycleObject *cycle, PyObject *message);

/* The last byte of the body is in the output buffer or in extra, which lies inside owner: ends the
 * exchange, or waits for the trailers. Returns 0, or -1 with MemoryError. */
int asgi_send_end_body(CycleObject *cycle, asgi_slice_t extra, PyObject *owner);

/* Counts size bytes of body. Returns 0, or -1 with an exception where they do not fit the
 * content-length. */
int asgi_send_account(CycleObject *cycle, uint64_t size, bool more);

/* Appends header fields. Returns 0, or -1 with an exception. May run Python. */
int asgi_send_fields(asgi_http1_out_t *out, asgi_buf_t *buf, PyObject *headers);

/* After size bytes were written: what the task has to do before it may go on. Returns: new
 * awaitable. */
PyObject *asgi_send_after_write(CycleObject *cycle, size_t size);

/* Whether a sender has to wait for the client. */
bool asgi_send_must_wait(CycleObject *cycle);

#endif
