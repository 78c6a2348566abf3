/* SPDX-License-Identifier: MIT
 *
 * cycle.h: one exchange: a request, its response, and the app's coroutine between them.
 *
 * The CycleObject is the coroutine that the asyncio.Task runs. It calls app(scope, receive, send)
 * in its first step, drives what that returns, and sees how it ends; so a finished or failed app
 * costs no done-callback. receive and send are built-in functions bound to it.
 *
 *   started       http.response.start was accepted
 *   complete      the last body message was accepted; conn is NULL from then on (a WebSocket's
 *                 states are in ws_cycle.h)
 *   disconnected  the client went away before that; conn is NULL too, sends are ignored
 *   running       a task is driving it: it is in server->cycles, counted in server->tasks
 *
 * Invariants
 *   1. conn is NULL, or conn->cycle (with HTTP/2: h2->owner) is this object.
 *   2. Waiters sleep only while there is nothing for them: whoever changes a flag above, the body,
 *      or the amount of unsent output wakes the list concerned.
 */
#ifndef ASGI_CYCLE_H
#define ASGI_CYCLE_H

#include "net/conn.h"
#include "net/file.h"
#include "proto/http1_out.h"

struct asgi_http2_stream; /* of proto/http2.h */
struct asgi_ws;           /* of asgi/ws_cycle.h */

typedef struct CycleObject {
    PyObject_HEAD
    struct asgi_server *server;   /* owned reference */
    asgi_conn_t *conn;            /* weak: asgi_conn_detach() clears it */
    struct asgi_http2_stream *h2; /* weak: its stream, cleared with conn; NULL: HTTP/1 */
    PyObject *scope;              /* owned until the app is called */
    PyObject *inner;              /* owned: the app's coroutine or iterator */
    PyObject *task;               /* owned while running */
    PyObject *log_client;         /* owned: for the access log, NULL without one */
    PyObject *log_path;
    PyObject *trailers;    /* owned list for the last http.request, NULL without any */
    asgi_link_t link;      /* in server->cycles while running */
    asgi_link_t receivers; /* AwaitableObject.link */
    asgi_link_t senders;
    asgi_buf_t body;    /* received and not yet given to the app */
    struct asgi_ws *ws; /* owned: a WebSocket's own part; NULL: HTTP */
    asgi_file_t *file;  /* owned: being sent as (a part of) the body, else NULL */
    asgi_http1_out_t out;
    uint8_t minor;        /* of HTTP/1.x, or ASGI_MINOR_HTTP2 */
    uint8_t method;       /* llhttp's number */
    bool expect_continue; /* the client waits for our "100 Continue" */
    bool request_over;    /* the body is complete */
    bool end_given;       /* … and the app has been told */
    bool peer_closed;     /* FIN received */
    bool started, complete, disconnected, running, called;
    bool file_last;    /* the body ends with the file */
    bool trailers_due; /* the response ends with a trailers message */
    bool body_over;    /* … for which it waits now */
    bool trailers_begun;
    uint64_t begun;  /* uv_hrtime() at its head, where stats are kept */
    unsigned streak; /* sends in a row that had nothing to wait for */
    size_t streak_bytes;
} CycleObject;

PyTypeObject *asgi_cycle_type(PyObject *module);

/* An exchange for a request that came on conn. Returns: new, or NULL with an exception. */
CycleObject *asgi_cycle_new(asgi_conn_t *conn, const asgi_request_t *request);

/* The exchange is over for its connection, which has let go of it: clears its pointers there, wakes
 * everybody who waits. gone: the client is, too. Steals: the connection's reference. GIL held. */
void asgi_cycle_leave(CycleObject *cycle, bool gone);

/* Either list empty: nothing is touched, and the GIL is not needed. Otherwise takes it. */
void asgi_cycle_wake_receivers(CycleObject *cycle);
void asgi_cycle_wake_senders(CycleObject *cycle);

#endif
