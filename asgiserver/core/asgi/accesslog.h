/* SPDX-License-Identifier: MIT
 *
 * accesslog.h: one line per response, through the object given as config["access_log"].
 *
 * Called with (format, client, method, path, http_version, status), it logs one response. Where it
 * has the methods plain() and write() too, it is first asked for the style in which lines may be
 * made here: plain() returns None, for "call me", or (before, bold, normal, statuses), the first
 * three bytes, the last a mapping from status to bytes. All lines of a turn of the loop then go to
 * write(text) together, before the next poll, and plain() is asked once for all of them.
 *
 * Invariants
 *   1. `style` is set exactly while there are lines.
 *   2. Lines are written at the latest when the server's last connection and task have ended.
 */
#ifndef ASGI_ACCESSLOG_H
#define ASGI_ACCESSLOG_H

#include "base/buf.h"
#include "loop/loop.h"

struct asgi_server;
struct CycleObject;

typedef struct {
    PyObject *call;          /* owned callable; NULL: no access log */
    PyObject *plain, *write; /* owned, both or neither */
    PyObject *style;         /* owned tuple */
    asgi_buf_t lines;
    asgi_hook_t hook;
} asgi_accesslog_t;

/* Once `call` is set. Returns 0, or -1 with an exception. */
int asgi_accesslog_open(asgi_accesslog_t *log);
int asgi_accesslog_traverse(asgi_accesslog_t *log, visitproc visit, void *arg);
void asgi_accesslog_clear(asgi_accesslog_t *log);

/* Keeps what the line will need of the request; nothing when there is no access log. Returns 0 or
 * -1 with an exception. */
int asgi_accesslog_note(struct CycleObject *cycle, asgi_slice_t path, asgi_slice_t query);

/* Logs the response. What Python raises is reported to the loop: logging never fails a request. */
void asgi_accesslog_write(struct CycleObject *cycle, unsigned status);

/* Writes the lines there are. GIL held. */
void asgi_accesslog_flush(struct asgi_server *server);

/* A line of the error log at level info, as uvicorn writes it: a WebSocket was accepted (status 0)
 * or answered with a status. */
void asgi_accesslog_websocket(struct CycleObject *cycle, unsigned status);

#endif
