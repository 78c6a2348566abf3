/* SPDX-License-Identifier: MIT
 *
 * stream_write.c: from write() to the socket or the pipe: sent at once where the kernel takes it,
 * the rest queued and sent when there is room; water marks; the end of the stream. flush() and the
 * water marks are those of datagrams, too.
 */
#include "transport/transport.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECES_MAX 128       /* of one sendmsg() */
#define LOST_WRITES_LOGGED 5 /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */

/* ---- flow control ---- */

/* pause_writing() or resume_writing(), whose errors are told of and change nothing. */
static int
call_flow(TransportObject *transport, PyObject *name, const char *message)
{
    PyObject *result = PyObject_CallMethodNoArgs(transport->protocol, name);

    if (result == NULL) {
        LoopObject *loop = (LoopObject *)Py_NewRef((PyObject *)transport->loop);
        PyObject *exception = asgi_exception_take();
        if (asgi_exception_is_fatal(exception)) {
            asgi_exception_raise(exception);
            Py_DECREF(loop);
            return -1;
        }
        asgi_loop_call_handler(
            loop, Py_BuildValue("{s:s,s:N,s:O,s:O}", "message", message, "exception", exception,
                                "transport", transport, "protocol",
                                transport->protocol != NULL ? transport->protocol : Py_None));
        Py_DECREF(loop);
        return 0;
    }
    Py_DECREF(result);
    return 0;
}

int
asgi_transport_maybe_pause(TransportObject *transport)
{
    PyObject *context, *exception;
    int result;

    if (transport->queue.size <= transport->high || transport->protocol_paused
        || transport->protocol == NULL) {
        return 0;
    }
    transport->protocol_paused = 1;
    /* write() is called in anybody's context, perhaps in the transport's own: which cannot be
     * entered twice, a copy can. */
    context = PyContext_Copy(transport->context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return -1;
    }
    result = call_flow(transport, transport->loop->head.state->str_pause_writing,
                       "protocol.pause_writing() failed");
    exception = result < 0 ? asgi_exception_take() : NULL;
    if (PyContext_Exit(context) < 0) {
        result = -1;
    }
    Py_DECREF(context);
    if (exception != NULL) {
        asgi_exception_raise(exception);
    }
    return result;
}

static int
maybe_resume(TransportObject *transport)
{
    if (!transport->protocol_paused || transport->queue.size > transport->low
        || transport->protocol == NULL) {
        return 0;
    }
    transport->protocol_paused = 0;
    return call_flow(transport, transport->loop->head.state->str_resume_writing,
                     "protocol.resume_writing() failed");
}

/* ---- sending what waits ---- */

static int
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Sends what the kernel takes of the queue. Returns 0, or -1 with errno set. */
static inline int
send_queue(TransportObject *transport, ssize_t (*send_pieces)(int fd, struct iovec *iov, int count))
{
    struct iovec iov[PIECES_MAX];

    while (transport->queue.count > 0) {
        size_t all = transport->queue.size;
        int count = asgi_outqueue_gather(&transport->queue, iov, PIECES_MAX);
        ssize_t n = send_pieces(transport->watch->fd, iov, count);

        if (n < 0) {
            return would_block() ? 0 : -1;
        }
        asgi_outqueue_consume(&transport->queue, (size_t)n);
        if ((size_t)n < all && count < PIECES_MAX) {
            return 0;
        }
    }
    return 0;
}

static ssize_t
send_to_socket(int fd, struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};

    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* SIGPIPE is ignored in a Python process. */
static ssize_t
write_to_pipe(int fd, struct iovec *iov, int count)
{
    return writev(fd, iov, count);
}

int
asgi_transport_stream_send_queue(TransportObject *transport)
{
    return send_queue(transport, send_to_socket);
}

int
asgi_transport_pipe_send_queue(TransportObject *transport)
{
    return send_queue(transport, write_to_pipe);
}

static void
set_empty_waiter(TransportObject *transport)
{
    PyObject *result = NULL;
    PyObject *done = PyObject_CallMethod(transport->empty_waiter, "done", NULL);

    if (done == Py_False) {
        result = PyObject_CallMethodOneArg(transport->empty_waiter,
                                           transport->loop->head.state->str_set_result, Py_None);
        Py_XDECREF(result);
    }
    Py_XDECREF(done);
    if (done == NULL || (done == Py_False && result == NULL)) {
        asgi_loop_report(transport->loop, "sendfile() could not be told of an empty queue");
    }
}

int
asgi_transport_shut_write(TransportObject *transport)
{
    if (transport->watch != NULL && shutdown(transport->watch->fd, SHUT_WR) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

void
asgi_transport_flush(TransportObject *transport)
{
    LoopObject *loop = transport->loop;

    if (transport->watch == NULL || transport->lost > 0) {
        return;
    }
    Py_INCREF(loop);
    if (transport->kind->send_queue(transport) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        asgi_outqueue_clear(&transport->queue);
        asgi_transport_failed(transport, transport->kind->write_failed);
        goto done;
    }
    if (maybe_resume(transport) < 0) {
        asgi_loop_set_fatal(loop, asgi_exception_take());
    }
    /* resume_writing() may have written more, or closed. */
    if (transport->queue.count == 0 && transport->lost == 0 && !transport->closed) {
        asgi_transport_update(transport);
        if (transport->empty_waiter != NULL) {
            set_empty_waiter(transport);
        }
        if (transport->closing) {
            PyObject *result = asgi_transport_call_lost(transport, Py_None);
            if (result == NULL) {
                asgi_loop_report(loop, "Fatal error: protocol.connection_lost() call failed.");
            }
            Py_XDECREF(result);
        } else if (transport->eof && asgi_transport_shut_write(transport) < 0) {
            asgi_transport_failed(transport, transport->kind->write_failed);
        }
    }

done:
    Py_DECREF(loop);
}

/* ---- write() ---- */

/* Whether data may be written. Returns 1, 0 where it is to be dropped, -1 with an exception. */
static int
may_write(TransportObject *transport, const char *method)
{
    if (transport->eof) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()", method);
        return -1;
    }
    if (transport->empty_waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError, "unable to %s; sendfile is in progress", method);
        return -1;
    }
    return 1;
}

/* Whether what is written is lost. A pipe's end counts from its close() on. */
static int
is_over(TransportObject *transport)
{
    return transport->lost > 0 || transport->closed
           || (transport->closing && transport->kind->is_sink);
}

int
asgi_transport_count_lost(TransportObject *transport)
{
    PyObject *done;

    if (transport->lost >= LOST_WRITES_LOGGED) {
        struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
        done = asgi_loop_log(state, "warning", "(s)",
                             transport->kind->is_socket
                                 ? "socket.send() raised exception."
                                 : "pipe closed by peer or os.write(pipe, data) raised exception.");
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    /* A pipe that is closing has something to send yet, and its end counts then. */
    if (transport->lost > 0 || transport->closed) {
        transport->lost++;
    }
    return 0;
}

/* Queues what is left of the data from offset on. bytes are kept, others copied. */
static int
queue_rest(TransportObject *transport, PyObject *data, const char *from, size_t size, size_t offset)
{
    PyObject *rest;
    int result;

    if (PyBytes_CheckExact(data)) {
        return asgi_outqueue_push(&transport->queue, data, offset);
    }
    rest = PyBytes_FromStringAndSize(from + offset, (Py_ssize_t)(size - offset));
    if (rest == NULL) {
        return -1;
    }
    result = asgi_outqueue_push(&transport->queue, rest, 0);
    Py_DECREF(rest);
    return result;
}

static int
write_bytes(TransportObject *transport, PyObject *data, const char *from, size_t size)
{
    size_t sent = 0;

    if (size == 0) {
        return 0;
    }
    if (is_over(transport)) {
        return asgi_transport_count_lost(transport);
    }
    if (transport->queue.count == 0 && transport->watch != NULL) {
        ssize_t n = transport->kind->is_socket
                        ? send(transport->watch->fd, from, size, MSG_NOSIGNAL)
                        : write(transport->watch->fd, from, size);
        if (n == (ssize_t)size) {
            return 0;
        }
        if (n >= 0) {
            sent = (size_t)n;
        } else if (!would_block()) {
            PyErr_SetFromErrno(PyExc_OSError);
            return asgi_transport_fatal(transport, transport->kind->write_failed);
        }
    }
    if (queue_rest(transport, data, from, size, sent) < 0) {
        return -1;
    }
    asgi_transport_update(transport);
    return asgi_transport_maybe_pause(transport);
}

PyObject *
asgi_transport_write(TransportObject *transport, PyObject *data)
{
    int result;

    if (PyBytes_Check(data)) {
        if (may_write(transport, "write") < 0) {
            return NULL;
        }
        result =
            write_bytes(transport, data, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
    } else if (PyByteArray_Check(data) || PyMemoryView_Check(data)) {
        Py_buffer view;
        if (may_write(transport, "write") < 0
            || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
            return NULL;
        }
        result = write_bytes(transport, data, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
    } else {
        PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not '%.200s'",
                     Py_TYPE(data)->tp_name);
        return NULL;
    }
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Puts all of the sequence behind the queue. bytes are kept, others copied. Returns 0 or -1. */
static int
queue_all(TransportObject *transport, PyObject *sequence)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *data = PySequence_Fast_GET_ITEM(sequence, i);
        PyObject *bytes = PyBytes_CheckExact(data) ? Py_NewRef(data) : PyBytes_FromObject(data);
        int result = bytes != NULL ? asgi_outqueue_push(&transport->queue, bytes, 0) : -1;
        Py_XDECREF(bytes);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
asgi_transport_writelines(TransportObject *transport, PyObject *list)
{
    PyObject *sequence;
    int idle, result;

    if (may_write(transport, "writelines") < 0) {
        return NULL;
    }
    sequence = PySequence_Fast(list, "writelines() takes an iterable of bytes-like objects");
    if (sequence == NULL) {
        return NULL;
    }
    if (is_over(transport)) {
        result = PySequence_Fast_GET_SIZE(sequence) > 0 ? asgi_transport_count_lost(transport) : 0;
        goto done;
    }
    idle = transport->queue.count == 0;
    result = queue_all(transport, sequence);
    if (idle && transport->watch != NULL && transport->queue.count > 0
        && transport->kind->send_queue(transport) < 0) {
        if (result < 0) {
            goto done;
        }
        PyErr_SetFromErrno(PyExc_OSError);
        result = asgi_transport_fatal(transport, transport->kind->write_failed);
        goto done;
    }
    asgi_transport_update(transport);
    if (result == 0) {
        result = asgi_transport_maybe_pause(transport);
    }

done:
    Py_DECREF(sequence);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
