/* SPDX-License-Identifier: MIT
 *
 * outqueue.h: the bytes a transport could not write yet: pieces of bytes objects, in order.
 *
 * Nothing is copied or joined: a piece is a reference to a bytes object and what is left of it. A
 * queue holds either pieces of a stream or whole datagrams, each with its address.
 * All functions need the GIL.
 */
#ifndef ASGI_OUTQUEUE_H
#define ASGI_OUTQUEUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/uio.h>

typedef struct {
    PyObject *bytes;   /* owned */
    PyObject *address; /* owned: where a datagram is to go; NULL in a stream */
    const char *at;    /* into bytes */
    size_t left;
} asgi_piece_t;

typedef struct {
    asgi_piece_t *pieces; /* owned; NULL before the first use */
    size_t head, count, capacity;
    size_t size; /* bytes in all pieces */
} asgi_outqueue_t;

/* Queues bytes from offset on. Returns 0, or -1 with MemoryError. */
__attribute__((warn_unused_result)) int asgi_outqueue_push(asgi_outqueue_t *queue, PyObject *bytes,
                                                           size_t offset);
/* Queues a datagram, which may be empty. Returns 0, or -1 with MemoryError. */
__attribute__((warn_unused_result)) int asgi_outqueue_push_datagram(asgi_outqueue_t *queue,
                                                                    PyObject *bytes,
                                                                    PyObject *address);
/* Forgets the first datagram. */
void asgi_outqueue_pop_datagram(asgi_outqueue_t *queue);
/* Describes the first pieces, most at most. Returns how many. */
int asgi_outqueue_gather(const asgi_outqueue_t *queue, struct iovec *iov, int most);
/* Forgets the first n bytes, n <= size. */
void asgi_outqueue_consume(asgi_outqueue_t *queue, size_t n);
void asgi_outqueue_clear(asgi_outqueue_t *queue);

#endif
