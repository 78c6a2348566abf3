/* SPDX-License-Identifier: MIT
 *
 * ws_cycle.h: a WebSocket connection's exchange: handshake, messages, and how it closes.
 *
 * A CycleObject with `ws` set is one of these; task, scope, receive() and send() are HTTP's, and
 * ask here where the two differ. During the handshake the connection still speaks HTTP/1 (it may
 * end with any response); websocket.accept upgrades it to the protocol table of ws_cycle.c.
 *
 *   state        the app may send                                entered by
 *   CONNECTING   accept, close, http.response.start              the request
 *   DENYING      http.response.body                              http.response.start
 *   OPEN         send, close                                     accept
 *   OVER         nothing                                         close, the app's end
 *
 * Apart from that, `code` is set once, by whatever ends the conversation first: the peer's close
 * frame, ours, an error, the loss of the connection. From then on receive() gives what is unread
 * and then websocket.disconnect; send() raises ConnectionResetError (an OSError, as the ASGI
 * specification wants it) unless the app itself closed.
 *
 * A peer that breaks the rules is told so behind the answers to what it had sent before: while
 * messages are unread, its `fault` waits for the app to ask for the next one, ten seconds at most.
 *
 * The cycle stays attached to its connection (conn->cycle) until both close frames are through,
 * even when its app has ended.
 */
#ifndef ASGI_WS_CYCLE_H
#define ASGI_WS_CYCLE_H

#include "asgi/cycle.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"

typedef enum {
    ASGI_WS_CONNECTING,
    ASGI_WS_DENYING,
    ASGI_WS_OPEN,
    ASGI_WS_OVER,
} asgi_ws_state_t;

typedef struct asgi_ws {
    asgi_ws_parser_t parser;
    asgi_ws_deflate_t *deflate;    /* owned; NULL unless agreed on, and once the connection ends */
    asgi_ws_extension_t extension; /* what is agreed on when the app accepts */
    asgi_ws_state_t state;
    /* Messages the app has not taken: their bytes are the first `unread` of cycle->body, in front
     * of the message that is arriving; `sizes` has a uint64_t for each: size << 1 | is text. */
    asgi_buf_t sizes;
    size_t unread;
    bool connect_given;
    bool close_sent; /* nothing but the peer's close frame is waited for */
    bool heard;      /* bytes came since the last ping went out */
    bool pong_due;   /* a ping could not be answered yet: the peer takes nothing */
    uint8_t pong_size;
    uint8_t reason_size;
    uint16_t code;       /* why it ended; 0: it has not */
    uint16_t fault;      /* the close code for what the peer did, not told yet; 0: nothing */
    const char *problem; /* … and its reason, static */
    uint32_t pings;      /* sent so far: the payload of the last */
    char key[24];        /* Sec-WebSocket-Key */
    union {
        char pong[ASGI_WS_CONTROL_MAX];   /* while it is open */
        char reason[ASGI_WS_CONTROL_MAX]; /* why it ended, once code is set */
    };
} asgi_ws_t;

/* Whether the head just parsed asks for a WebSocket. */
bool asgi_ws_wanted(const asgi_request_t *request);

/* Answers a handshake that breaks RFC 6455 4.2.1 and ends the connection. Returns whether it
 * did. GIL held. */
bool asgi_ws_refused(asgi_conn_t *conn, const char *head);

/* Makes the cycle a WebSocket's. Returns 0, or -1 with an exception. */
int asgi_ws_attach(CycleObject *cycle, const char *head);
void asgi_ws_free(asgi_ws_t *ws);

/* Adds to a scope what only WebSockets have. Returns 0, or -1 with an exception. */
int asgi_ws_scope(CycleObject *cycle, const asgi_request_t *request, const char *head);

/* As asgi_receive_take() and send(). The latter is in ws_send.c. */
PyObject *asgi_ws_take(CycleObject *cycle);
PyObject *asgi_ws_send(CycleObject *cycle, PyObject *message);

/* The 101 is in the output buffer: the connection speaks WebSocket from here. GIL held. */
void asgi_ws_open(CycleObject *cycle);

/* Our close frame goes first; the peer has some time to answer it. GIL held. */
void asgi_ws_begin_close(asgi_conn_t *conn, unsigned code, const char *reason, size_t size);

/* Whether output may be waited for. */
static inline bool
asgi_ws_closing(const CycleObject *cycle)
{
    return cycle->ws != NULL && cycle->ws->close_sent;
}

/* Whether websocket.accept has gone out. */
bool asgi_ws_accepted(const CycleObject *cycle);

/* The app of an accepted WebSocket is over: closes with this code if nobody has. GIL held. */
void asgi_ws_app_over(CycleObject *cycle, unsigned code);

#endif
