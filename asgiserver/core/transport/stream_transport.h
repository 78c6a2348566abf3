/* SPDX-License-Identifier: MIT
 *
 * stream_transport.h: asyncio's transport over a connected stream socket, TCP or Unix.
 *
 * What asyncio's Python code makes connections with (create_connection, create_server, TLS by
 * asyncio.sslproto, sendfile) ends in one of these. Behaviour is that of asyncio's own transport;
 * what is different is that reading, writing and the calls of the protocol's methods are C, made
 * straight from the poll, in the context that was current when the transport was made.
 *
 * The files: stream_transport.c its life and its ends, stream_read.c from the socket to the
 * protocol, stream_write.c from write() to the socket and flow control, stream_type.c the type.
 *
 * Invariants
 *   1. watch is NULL before the start has run, after connection_lost() and once the loop is closed.
 *   2. protocol and loop are set until connection_lost() has been called, NULL from then on.
 *   3. lost counts as asyncio's _conn_lost does: 0 while data may be written.
 *   4. Something is in the queue only while UV_WRITABLE is wanted, or a hook is to send it.
 */
#ifndef ASGI_STREAM_TRANSPORT_H
#define ASGI_STREAM_TRANSPORT_H

#include "loop/loop_object.h"
#include "transport/outqueue.h"
#include "transport/watch.h"

typedef struct {
    PyObject_HEAD
    PyObject *base_slots[5]; /* room for those of asyncio's base classes; not used */
    LoopObject *loop;        /* owned, see invariant 2 */
    PyObject *protocol;      /* owned, see invariant 2 */
    PyObject *received;      /* owned: bound data_received, or buffer_updated */
    PyObject *get_buffer;    /* owned: bound get_buffer; NULL: a protocol without buffers */
    PyObject *server;        /* owned or NULL: the asyncio.Server that accepted it */
    PyObject *sock;          /* owned: the socket object; closed with the transport */
    PyObject *extra;         /* owned dict or NULL */
    PyObject *context;       /* owned: the protocol's methods run in it */
    PyObject *waiter;        /* owned Future or NULL: waits for connection_made() */
    PyObject *empty_waiter;  /* owned Future or NULL: sendfile() waits for an empty queue */
    PyObject *dict;          /* owned or NULL */
    PyObject *weakrefs;
    asgi_watch_t *watch; /* owned, see invariant 1 */
    asgi_outqueue_t queue;
    size_t high, low; /* water marks */
    Py_ssize_t lost;
    int fd; /* of sock, for _sock_fd */
    char started;
    char closing;
    char closed; /* connection_lost() was called, or the socket closed without */
    char paused; /* pause_reading() */
    char at_eof; /* nothing more to be read */
    char eof;    /* write_eof() was called */
    char protocol_paused;
} StreamTransportObject;

/* ---- stream_transport.c ---- */
PyObject *asgi_stream_transport_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
void asgi_stream_transport_finalize(StreamTransportObject *transport);
void asgi_stream_transport_dealloc(StreamTransportObject *transport);
/* What is to be polled, from the flags. May run the transport's last decref: hold a reference. */
void asgi_stream_transport_update(StreamTransportObject *transport);
/* Changes the protocol. Returns 0, or -1 with an exception. */
int asgi_stream_transport_adopt(StreamTransportObject *transport, PyObject *protocol);
/* Ends it now; connection_lost(exception or None) is called soon. Returns 0 or -1. */
int asgi_stream_transport_force_close(StreamTransportObject *transport, PyObject *exception);
/* Takes the pending exception, tells of it, and ends the transport. Returns 0; or -1 with
 * KeyboardInterrupt or SystemExit still set. */
int asgi_stream_transport_fatal(StreamTransportObject *transport, const char *message);
/* The same out of a poll: what is to end the loop is handed to it. */
void asgi_stream_transport_failed(StreamTransportObject *transport, const char *message);
int asgi_stream_transport_close(StreamTransportObject *transport);
PyObject *asgi_stream_transport_start(StreamTransportObject *transport, PyObject *ignored);
PyObject *asgi_stream_transport_call_lost(StreamTransportObject *transport, PyObject *exception);

/* ---- stream_read.c ---- */
/* The socket is readable. In the transport's context; no exception set on return. */
void asgi_stream_transport_read(StreamTransportObject *transport);

/* ---- stream_write.c ---- */
/* The socket is writable, or a hook is due. As above. */
void asgi_stream_transport_flush(StreamTransportObject *transport);
/* pause_writing() where the queue is above the high-water mark. Returns 0 or -1. May run Python. */
int asgi_stream_transport_maybe_pause(StreamTransportObject *transport);
/* shutdown(SHUT_WR). Returns 0, or -1 with an exception. */
int asgi_stream_transport_shut_write(StreamTransportObject *transport);
PyObject *asgi_stream_transport_write(StreamTransportObject *transport, PyObject *data);
PyObject *asgi_stream_transport_writelines(StreamTransportObject *transport, PyObject *list);

/* ---- stream_type.c ---- */
int asgi_stream_transport_exec(PyObject *module, struct asgi_state *state);

#endif
