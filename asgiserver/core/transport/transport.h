/* SPDX-License-Identifier: MIT
 *
 * transport.h: asyncio's transports over a descriptor: a connected stream socket, an end of a pipe,
 * a datagram socket.
 *
 * What asyncio's Python code makes connections with (create_connection, create_server, TLS by
 * asyncio.sslproto, sendfile, create_datagram_endpoint, subprocesses) ends in one of these. Behaviour
 * is that of asyncio's own transports; what is different is that reading, writing and the calls of
 * the protocol's methods are C, made straight from the poll, in the context that was current when
 * the transport was made.
 *
 * The files: transport.c their life and their ends, methods.c asyncio's names that they share,
 * stream_read.c and stream_write.c bytes in and out (pipes, too); stream_transport.c,
 * pipe_transport.c and datagram_transport.c the types, with what only one of them does.
 *
 * Invariants
 *   1. watch is NULL before the start has run, after connection_lost() and once the loop is closed.
 *   2. protocol and loop are set until connection_lost() has been called, NULL from then on.
 *   3. lost counts as asyncio's _conn_lost does: 0 while data may be written.
 *   4. Something is in the queue only while UV_WRITABLE is wanted, or a hook is to send it.
 */
#ifndef ASGI_TRANSPORT_H
#define ASGI_TRANSPORT_H

#include "loop/loop_object.h"
#include "transport/outqueue.h"
#include "transport/watch.h"

typedef struct TransportObject TransportObject;

/* What differs between the kinds of transports. The callbacks run in the transport's context, out
 * of the poll, and leave no exception set. */
typedef struct {
    const char *read_failed, *write_failed; /* messages of errors */
    void (*readable)(TransportObject *transport);
    /* Sends what the kernel takes of the queue. Returns 0, or -1 with errno set. */
    int (*send_queue)(TransportObject *transport);
    /* Changes the protocol. Returns 0, or -1 with an exception. NULL: it is only kept. */
    int (*adopt)(TransportObject *transport, PyObject *protocol);
    char is_socket; /* has names, and connections that may break */
    char is_sink;   /* UV_READABLE says that the peer has gone */
    char is_deaf;   /* UV_READABLE is never wanted */
} asgi_transport_kind_t;

struct TransportObject {
    PyObject_HEAD
    PyObject *base_slots[5]; /* room for those of asyncio's base classes; not used */
    const asgi_transport_kind_t *kind;
    LoopObject *loop;       /* owned, see invariant 2 */
    PyObject *protocol;     /* owned, see invariant 2 */
    PyObject *received;     /* owned: bound data_received, or buffer_updated; NULL: no stream */
    PyObject *get_buffer;   /* owned: bound get_buffer; NULL: a protocol without buffers */
    PyObject *server;       /* owned or NULL: the asyncio.Server that accepted it */
    PyObject *sock;         /* owned: the socket or file object; closed with the transport */
    PyObject *extra;        /* owned dict or NULL */
    PyObject *context;      /* owned: the protocol's methods run in it */
    PyObject *waiter;       /* owned Future or NULL: waits for connection_made() */
    PyObject *empty_waiter; /* owned Future or NULL: sendfile() waits for an empty queue */
    PyObject *dict;         /* owned or NULL */
    PyObject *weakrefs;
    asgi_watch_t *watch; /* owned, see invariant 1 */
    asgi_outqueue_t queue;
    size_t high, low; /* water marks */
    Py_ssize_t lost;
    int fd; /* of sock, for _sock_fd */
    char started;
    char closing;
    char closed; /* connection_lost() was called, or the descriptor closed without */
    char paused; /* pause_reading() */
    char at_eof; /* nothing more to be read */
    char eof;    /* write_eof() was called */
    char protocol_paused;
};

/* ---- transport.c ---- */
/* What every constructor begins with: the loop is checked, the descriptor duplicated and watched.
 * Nothing runs before asgi_transport_begin(). Returns: new, or NULL with an exception. */
TransportObject *asgi_transport_new(PyTypeObject *type, const asgi_transport_kind_t *kind,
                                    PyObject *loop, PyObject *sock, PyObject *waiter,
                                    PyObject *extra);
/* The constructor has succeeded: connection_made() is called soon. Returns 0 or -1. */
int asgi_transport_begin(TransportObject *transport);
void asgi_transport_finalize(TransportObject *transport);
void asgi_transport_dealloc(TransportObject *transport);
/* What is to be polled, from the flags. May run the transport's last decref: hold a reference. */
void asgi_transport_update(TransportObject *transport);
/* call_soon(callable, argument or nothing) in the transport's context. Returns 0 or -1. */
int asgi_transport_soon(TransportObject *transport, PyObject *callable, PyObject *argument);
/* The server's _attach() or _detach(). Returns 0 or -1. */
int asgi_transport_server_call(TransportObject *transport, const char *method);
/* Ends it now; connection_lost(exception or None) is called soon. Returns 0 or -1. */
int asgi_transport_force_close(TransportObject *transport, PyObject *exception);
/* Takes the pending exception, tells of it, and ends the transport. Returns 0; or -1 with
 * KeyboardInterrupt or SystemExit still set. */
int asgi_transport_fatal(TransportObject *transport, const char *message);
/* The same out of a poll: what is to end the loop is handed to it. */
void asgi_transport_failed(TransportObject *transport, const char *message);
int asgi_transport_close(TransportObject *transport);
PyObject *asgi_transport_start(TransportObject *transport, PyObject *ignored);
PyObject *asgi_transport_call_lost(TransportObject *transport, PyObject *exception);

/* ---- stream_transport.c ---- */
/* A kind's callback: has data_received(), or the buffered protocol's two, at hand. */
int asgi_transport_stream_adopt(TransportObject *transport, PyObject *protocol);
int asgi_transport_stream_exec(PyObject *module, struct asgi_state *state);

/* ---- pipe_transport.c ---- */
int asgi_transport_pipe_exec(PyObject *module, struct asgi_state *state);
/* A read pipe is at its end. */
void asgi_transport_pipe_read_eof(TransportObject *transport);

/* ---- datagram_transport.c ---- */
int asgi_transport_datagram_exec(PyObject *module, struct asgi_state *state);

/* ---- stream_read.c ---- */
/* The descriptor is readable: a kind's callback. */
void asgi_transport_read(TransportObject *transport);

/* ---- stream_write.c ---- */
/* Those of kinds whose queue holds a stream; sockets, and other descriptors. */
int asgi_transport_stream_send_queue(TransportObject *transport);
int asgi_transport_pipe_send_queue(TransportObject *transport);
/* The descriptor is writable. In the transport's context; no exception set on return. */
void asgi_transport_flush(TransportObject *transport);
/* pause_writing() where the queue is above the high-water mark. Returns 0 or -1. May run Python. */
int asgi_transport_maybe_pause(TransportObject *transport);
/* A write after the end: counted, and warned of from the fifth on. Returns 0 or -1. */
int asgi_transport_count_lost(TransportObject *transport);
/* shutdown(SHUT_WR). Returns 0, or -1 with an exception. */
int asgi_transport_shut_write(TransportObject *transport);
PyObject *asgi_transport_write(TransportObject *transport, PyObject *data);
PyObject *asgi_transport_writelines(TransportObject *transport, PyObject *list);

#endif
