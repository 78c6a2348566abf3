/* SPDX-License-Identifier: MIT
 *
 * conn.h: one connection: its stream, its patience, the protocol it speaks, and its end.
 *
 * A connection begins as HTTP/1.1 (conn_http1.h), or as HTTP/2 where that is allowed and the client
 * begins with it (conn_http2.h). asgi_conn_upgrade() hands it from HTTP/1.1 to another protocol
 * with the bytes that came after the upgrade request: from then on the stream's events go to that
 * protocol's table and the connection only keeps the books (lists, counters, closing).
 *
 * How a connection ends:
 *
 *   asgi_conn_close   now: what is unsent is lost; the exchange learns of the disconnect
 *   asgi_conn_end     once all output is sent: closed at once when the client owes us nothing,
 *                     else FIN first and a short while of reading and discarding ("lingering"),
 *                     so that a reset does not overtake the answer
 *
 * Invariants
 *   1. A conn is freed in on_closed only; until then its pointer is valid in every callback.
 *   2. `cycle` is the exchange whose response is not complete; it points back through its `conn`,
 *      and both pointers are cleared together (asgi_conn_detach). With HTTP/2 it stays NULL:
 *      exchanges hang on the streams.
 *   3. No input is processed while an answered request waits for its turn to be sent
 *      (pipelining is served in order, one at a time) nor once `ending` is set.
 */
#ifndef ASGI_CONN_H
#define ASGI_CONN_H

#include "net/deadline.h"
#include "net/listener.h"
#include "net/peers.h"
#include "net/stream.h"
#include "proto/http1.h"
#include "proto/proxy_protocol.h"

struct asgi_server;
struct CycleObject;
typedef struct asgi_conn asgi_conn_t;

/* What another protocol on the connection implements. Same rules as asgi_stream_events_t. */
typedef struct {
    size_t (*on_input)(asgi_conn_t *conn, const char *data, size_t size);
    void (*on_eof)(asgi_conn_t *conn);
    void (*on_sent)(asgi_conn_t *conn);     /* GIL held */
    void (*on_flush)(asgi_conn_t *conn);    /* asgi_conn_flush_soon() was called. GIL held */
    void (*on_expired)(asgi_conn_t *conn);  /* the deadline it set has passed */
    void (*on_shutdown)(asgi_conn_t *conn); /* the server drains: end when it can be. GIL held */
    void (*on_gone)(asgi_conn_t *conn);     /* closing: let go of the conn. GIL held */
} asgi_conn_proto_t;

struct asgi_conn {
    asgi_stream_t stream;       /* first: events get the stream */
    struct asgi_server *server; /* borrowed: held while the connection lives */
    asgi_link_t link;           /* in server->conns */
    asgi_deadline_t deadline;
    const asgi_conn_proto_t *proto; /* borrowed, static; NULL: HTTP/1 */
    void *proto_data;               /* the proto's */
    struct CycleObject *cycle;      /* owned, or NULL */
    PyObject *client, *local;       /* owned address tuples or None; NULL: not asked yet */
    PyObject *tls;                /* owned dict for the scopes (asgi/tls_scope); NULL: not asked */
    asgi_hook_t flush_hook;       /* output to be sent before the next poll */
    asgi_peer_t *peer;            /* weak: in server->peers; NULL: not counted */
    asgi_proxy_header_t *proxied; /* owned: the addresses in place of its own; NULL: its own */
    size_t
        mark; /* WRITE: unsent bytes when it last passed; BODY: bytes received since it was set */
    uint64_t held_since; /* asgi_loop_now() when answers began to wait for a next one; 0: none do */
    bool pipe;
    signed char trust; /* of the peer as a proxy: 1, -1, 0 while nobody has asked */
    bool proxy_due;    /* it has to begin with a PROXY protocol header, and has not yet */
    bool ending;       /* asgi_conn_end() was called */
    bool lingering;
    bool request_over; /* the current request has been read to its end */
    bool discard;      /* its body is unwanted: the answer is already out */
    bool linger;       /* the other protocol's client may still be sending when it ends */
    bool served;       /* at least one request was answered */
    bool preface_due;  /* nothing was read yet, and it may be HTTP/2's preface */
    asgi_http1_t http1;
};

/* A connection over an accepted socket, non-blocking. Steals: fd. GIL not needed. */
void asgi_conn_adopt(asgi_listener_t *listener, int fd);

void asgi_conn_close(asgi_conn_t *conn);
void asgi_conn_end(asgi_conn_t *conn);

/* The exchange and the connection forget each other. gone: the client is, too, and the app is told
 * through receive(). GIL held. */
void asgi_conn_detach(asgi_conn_t *conn, bool gone);

/* Output in the stream's buffer goes out before the next poll. GIL held. */
void asgi_conn_flush_soon(asgi_conn_t *conn);
void asgi_conn_flush(asgi_conn_t *conn);

/* Hands the connection to another protocol, after which HTTP/1 never sees it again. The current
 * exchange, if still attached, goes with it. Not from within on_input. Bytes not consumed so far are
 * given to proto->on_input before this returns. GIL held. */
void asgi_conn_upgrade(asgi_conn_t *conn, const asgi_conn_proto_t *proto, void *data);

/* The server drains: the connection ends with the answer to the request under way, or to the next
 * one if that comes soon, or without. GIL held. */
void asgi_conn_shutdown(asgi_conn_t *conn);

/* Bytes that a peer has to move for a deadline of this kind to be renewed. */
size_t asgi_conn_quota(const asgi_conn_t *conn, asgi_deadline_kind_t kind);

/* (host, port), (path, None) or None, as the scope shows them. Returns: borrowed, or NULL with an
 * exception. */
PyObject *asgi_conn_client(asgi_conn_t *conn);
PyObject *asgi_conn_local(asgi_conn_t *conn);

/* Bytes the client has not acknowledged: ours, and those in the socket's buffer. */
size_t asgi_conn_unsent(asgi_conn_t *conn);
/* Ends a connection whose client takes nothing, and throws away what is unsent. */
void asgi_conn_close_stalled(asgi_conn_t *conn);

void asgi_conn_on_expired(asgi_deadline_t *deadline);

#endif
