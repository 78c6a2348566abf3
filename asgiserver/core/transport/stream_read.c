/* SPDX-License-Identifier: MIT
 *
 * stream_read.c: from the socket to the protocol: data_received, or get_buffer and buffer_updated.
 *
 * A protocol without buffers gets bytes: small reads land in one buffer of the loop and are copied
 * out of it. Once a connection brings large reads they land in a bytes object directly, which is
 * cut to size.
 */
#include "transport/stream_transport.h"

#include <errno.h>
#include <sys/socket.h>

/* Nothing was read: why not. */
static void
read_failed(StreamTransportObject *transport)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    asgi_stream_transport_failed(transport, "Fatal read error on socket transport");
}

static void
read_eof(StreamTransportObject *transport)
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
    keep_open = PyObject_CallMethodNoArgs(transport->protocol, loop->head.state->str_eof_received);
    truth = keep_open == NULL ? -1 : PyObject_IsTrue(keep_open);
    Py_XDECREF(keep_open);
    if (truth < 0) {
        asgi_stream_transport_failed(transport,
                                     "Fatal error: protocol.eof_received() call failed.");
        return;
    }
    if (truth) {
        /* The protocol may write on; there is nothing more to read. */
        transport->at_eof = 1;
        asgi_stream_transport_update(transport);
    } else if (asgi_stream_transport_close(transport) < 0) {
        asgi_loop_report(loop, "Closing a transport failed");
    }
}

/* Returns: new bytes, empty at the end of the stream, or NULL with errno or an exception set. */
static PyObject *
receive(StreamTransportObject *transport)
{
    LoopObject *loop = transport->loop;
    PyObject *data;
    ssize_t n;

    errno = 0;
    if (loop->read_buffer == NULL && asgi_loop_buffers(loop) < 0) {
        return NULL;
    }
    n = recv(transport->watch->fd, loop->read_buffer, ASGI_READ_BUFFER, 0);
    if (n < 0) {
        return NULL;
    }
    data = PyBytes_FromStringAndSize(loop->read_buffer, n);
    return data;
}

static void
read_data(StreamTransportObject *transport)
{
    PyObject *data = receive(transport);
    PyObject *result;

    if (data == NULL) {
        if (PyErr_Occurred()) {
            asgi_stream_transport_failed(transport, "Fatal read error on socket transport");
        } else {
            read_failed(transport);
        }
        return;
    }
    if (PyBytes_GET_SIZE(data) == 0) {
        Py_DECREF(data);
        read_eof(transport);
        return;
    }
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
        asgi_stream_transport_failed(transport,
                                     "Fatal error: protocol.data_received() call failed.");
        return;
    }
    Py_DECREF(result);
}

static void
read_buffer(StreamTransportObject *transport)
{
    PyObject *received = transport->received;
    PyObject *buffer, *count, *result;
    Py_buffer view;
    ssize_t n;
    int err;

    buffer = PyObject_CallOneArg(transport->get_buffer, transport->loop->head.state->minus_one);
    if (buffer == NULL || PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(buffer);
        asgi_stream_transport_failed(transport, "Fatal error: protocol.get_buffer() call failed.");
        return;
    }
    if (view.len == 0) {
        PyBuffer_Release(&view);
        Py_DECREF(buffer);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        asgi_stream_transport_failed(transport, "Fatal error: protocol.get_buffer() call failed.");
        return;
    }
    /* get_buffer() may have closed the transport, or changed the protocol. */
    if (transport->watch == NULL || transport->lost > 0) {
        PyBuffer_Release(&view);
        Py_DECREF(buffer);
        return;
    }
    n = recv(transport->watch->fd, view.buf, (size_t)view.len, 0);
    err = errno;
    PyBuffer_Release(&view);
    Py_DECREF(buffer);
    if (n < 0) {
        errno = err;
        read_failed(transport);
        return;
    }
    if (n == 0) {
        read_eof(transport);
        return;
    }
    count = PyLong_FromSsize_t(n);
    Py_INCREF(received);
    result = count != NULL ? PyObject_CallOneArg(received, count) : NULL;
    Py_DECREF(received);
    Py_XDECREF(count);
    if (result == NULL) {
        asgi_stream_transport_failed(transport,
                                     "Fatal error: protocol.buffer_updated() call failed.");
        return;
    }
    Py_DECREF(result);
}

void
asgi_stream_transport_read(StreamTransportObject *transport)
{
    if (transport->lost > 0 || transport->closed || transport->watch == NULL) {
        return;
    }
    if (transport->get_buffer != NULL) {
        read_buffer(transport);
    } else {
        read_data(transport);
    }
}
