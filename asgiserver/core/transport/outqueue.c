/* SPDX-License-Identifier: MIT
 *
 * outqueue.c: see outqueue.h. The pieces lie in one array, consumed from its head; the array is
 * kept while the transport lives unless it has grown large.
 */
#include "transport/outqueue.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_KEPT 64

static int
make_room(asgi_outqueue_t *queue)
{
    asgi_piece_t *pieces;
    size_t capacity = queue->capacity == 0 ? 8 : queue->capacity * 2;

    if (queue->head > queue->capacity / 2) {
        memmove(queue->pieces, queue->pieces + queue->head, queue->count * sizeof(*queue->pieces));
        queue->head = 0;
        return 0;
    }
    pieces = realloc(queue->pieces, capacity * sizeof(*pieces));
    if (pieces == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    queue->pieces = pieces;
    queue->capacity = capacity;
    return 0;
}

static int
push(asgi_outqueue_t *queue, PyObject *bytes, size_t offset, PyObject *address)
{
    asgi_piece_t *piece;

    if (queue->head + queue->count == queue->capacity && make_room(queue) < 0) {
        return -1;
    }
    piece = &queue->pieces[queue->head + queue->count];
    piece->bytes = Py_NewRef(bytes);
    piece->address = Py_XNewRef(address);
    piece->at = PyBytes_AS_STRING(bytes) + offset;
    piece->left = (size_t)PyBytes_GET_SIZE(bytes) - offset;
    queue->count++;
    queue->size += piece->left;
    return 0;
}

int
asgi_outqueue_push(asgi_outqueue_t *queue, PyObject *bytes, size_t offset)
{
    return (size_t)PyBytes_GET_SIZE(bytes) > offset ? push(queue, bytes, offset, NULL) : 0;
}

int
asgi_outqueue_push_datagram(asgi_outqueue_t *queue, PyObject *bytes, PyObject *address)
{
    return push(queue, bytes, 0, address);
}

/* Nothing is left: the array begins anew. */
static void
rewind_empty(asgi_outqueue_t *queue)
{
    if (queue->count > 0) {
        return;
    }
    queue->head = 0;
    if (queue->capacity > CAPACITY_KEPT) {
        free(queue->pieces);
        queue->pieces = NULL;
        queue->capacity = 0;
    }
}

void
asgi_outqueue_pop_datagram(asgi_outqueue_t *queue)
{
    asgi_piece_t piece = queue->pieces[queue->head++];

    queue->count--;
    queue->size -= piece.left;
    rewind_empty(queue);
    Py_DECREF(piece.bytes);
    Py_XDECREF(piece.address);
}

int
asgi_outqueue_gather(const asgi_outqueue_t *queue, struct iovec *iov, int most)
{
    int n = queue->count < (size_t)most ? (int)queue->count : most;

    for (int i = 0; i < n; i++) {
        const asgi_piece_t *piece = &queue->pieces[queue->head + (size_t)i];
        iov[i].iov_base = (void *)piece->at;
        iov[i].iov_len = piece->left;
    }
    return n;
}

void
asgi_outqueue_consume(asgi_outqueue_t *queue, size_t n)
{
    queue->size -= n;
    while (n > 0) {
        asgi_piece_t *piece = &queue->pieces[queue->head];
        if (piece->left > n) {
            piece->at += n;
            piece->left -= n;
            return;
        }
        n -= piece->left;
        queue->head++;
        queue->count--;
        Py_DECREF(piece->bytes);
    }
    rewind_empty(queue);
}

void
asgi_outqueue_clear(asgi_outqueue_t *queue)
{
    while (queue->count > 0) {
        asgi_piece_t *piece = &queue->pieces[queue->head++];
        queue->count--;
        queue->size -= piece->left;
        Py_DECREF(piece->bytes);
        Py_XDECREF(piece->address);
    }
    free(queue->pieces);
    memset(queue, 0, sizeof(*queue));
}
