/* SPDX-License-Identifier: MIT
 *
 * stream_read.c: from the socket or the pipe to the protocol: data_received, or get_buffer and
 * buffer_updated.
 *
 * A protocol without buffers gets bytes: reads land in one buffer of the loop and are copied out of
 * it.
 */
#include "transport/transport.h"

#include <errno.h>
#include <unistd.h>

#define READS_MAX 8 /* in a row, where each has filled its buffer */

/* Nothing was read: why not. */
static void
read_failed(TransportObject *transport)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    asgi_transport_failed(transport, transport->kind->read_failed);
}

static void
read_eof(TransportObject *transport)
{
    LoopObject *loop = transport->loop;
    PyObject *keep_open;
    int truth;

    if (loop->debug) {
        PyObject *done =
            asgi_loop_log(loop->head.state, "debug", "sO", "%r received EOF", transport);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)transport);
        }
        Py_XDECREF(done);
    }
    if (!transport->kind->is_socket) {
        asgi_transport_pipe_read_eof(transport);
        return;
    }
    keep_open = PyObject_CallMethodNoArgs(transport->protocol, loop->head.state->str_eof_received);
    truth = keep_open == NULL ? -1 : PyObject_IsTrue(keep_open);
    Py_XDECREF(keep_open);
    if (truth < 0) {
        asgi_transport_failed(transport, "Fatal error: protocol.eof_received() call failed.");
        return;
    }
    if (truth) {
        /* The protocol may write on; there is nothing more to read. */
        transport->at_eof = 1;
        asgi_transport_update(transport);
    } else if (asgi_transport_close(transport) < 0) {
        asgi_loop_report(loop, "Closing a transport failed");
    }
}

/* Returns: new bytes, empty at the end of the stream, or NULL with errno or an exception set. */
static PyObject *
receive(TransportObject *transport)
{
    LoopObject *loop = transport->loop;
    PyObject *data;
    ssize_t n;

    errno = 0;
    if (loop->read_buffer == NULL && asgi_loop_buffers(loop) < 0) {
        return NULL;
    }
    n = read(transport->watch->fd, loop->read_buffer, ASGI_READ_BUFFER);
    if (n < 0) {
        return NULL;
    }
    data = PyBytes_FromStringAndSize(loop->read_buffer, n);
    return data;
}

/* Returns whether the buffer was filled: there may be more. */
static int
read_data(TransportObject *transport)
{
    PyObject *data = receive(transport);
    PyObject *result;
    int full;

    if (data == NULL) {
        if (PyErr_Occurred()) {
            asgi_transport_failed(transport, transport->kind->read_failed);
        } else {
            read_failed(transport);
        }
        return 0;
    }
    if (PyBytes_GET_SIZE(data) == 0) {
        Py_DECREF(data);
        read_eof(transport);
        return 0;
    }
    full = PyBytes_GET_SIZE(data) == ASGI_READ_BUFFER;
    if (transport->received != NULL) {
        PyObject *received = Py_NewRef(transport->received);
        result = PyObject_CallOneArg(received, data);
        Py_DECREF(received);
    } else {
        result = PyObject_CallMethodOneArg(transport->protocol,
                                           transport->loop->head.state->str_data_received, data);
    }
    Py_DECREF(data);
    if (result == NULL) {
        asgi_transport_failed(transport, "Fatal error: protocol.data_received() call failed.");
        return 0;
    }
    Py_DECREF(result);
    return full;
}

/* Into the buffer that get gave, and tells the protocol. Returns what read_buffer does. */
static int
fill_buffer(TransportObject *transport, PyObject *get, PyObject *received)
{
    PyObject *buffer, *count, *result;
    Py_buffer view;
    ssize_t n;
    int err, full;

    buffer = PyObject_CallOneArg(get, transport->loop->head.state->minus_one);
    if (buffer == NULL || PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(buffer);
        asgi_transport_failed(transport, "Fatal error: protocol.get_buffer() call failed.");
        return 0;
    }
    if (view.len == 0) {
        PyBuffer_Release(&view);
        Py_DECREF(buffer);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        asgi_transport_failed(transport, "Fatal error: protocol.get_buffer() call failed.");
        return 0;
    }
    /* get_buffer() may have closed the transport, or changed the protocol. */
    if (transport->watch == NULL || transport->lost > 0 || transport->get_buffer != get) {
        PyBuffer_Release(&view);
        Py_DECREF(buffer);
        return 0;
    }
    n = read(transport->watch->fd, view.buf, (size_t)view.len);
    err = errno;
    full = n == view.len;
    PyBuffer_Release(&view);
    Py_DECREF(buffer);
    if (n < 0) {
        errno = err;
        read_failed(transport);
        return 0;
    }
    if (n == 0) {
        read_eof(transport);
        return 0;
    }
    count = PyLong_FromSsize_t(n);
    result = count != NULL ? PyObject_CallOneArg(received, count) : NULL;
    Py_XDECREF(count);
    if (result == NULL) {
        asgi_transport_failed(transport, "Fatal error: protocol.buffer_updated() call failed.");
        return 0;
    }
    Py_DECREF(result);
    return full;
}

/* As above. */
static int
read_buffer(TransportObject *transport)
{
    PyObject *get = Py_NewRef(transport->get_buffer), *received = Py_NewRef(transport->received);
    int full = fill_buffer(transport, get, received);

    Py_DECREF(get);
    Py_DECREF(received);
    return full;
}

void
asgi_transport_read(TransportObject *transport)
{
    int more = 1;

    for (int i = 0; more && i < READS_MAX; i++) {
        if (transport->watch == NULL || !(transport->watch->want & UV_READABLE)
            || transport->lost > 0) {
            return;
        }
        more = transport->get_buffer != NULL ? read_buffer(transport) : read_data(transport);
    }
}
