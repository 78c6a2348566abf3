/* SPDX-License-Identifier: MIT
 *
 * pipe_transport.c: _core.ReadPipeTransport and _core.WritePipeTransport, over an end of a pipe, a socket or a
 * character device: what connect_read_pipe(), connect_write_pipe() and the streams of a child
 * process stand on.
 *
 * Bytes go by stream_read.c and stream_write.c. What is a pipe's own is its ends: a reader tells
 * eof_received() and connection_lost() one after the other whatever the first returns, and a writer
 * watches for its peer's going.
 */
#include "transport/methods.h"

#include <errno.h>
#include <sys/stat.h>

void
asgi_transport_pipe_read_eof(TransportObject *transport)
{
    PyObject *method =
        PyObject_GetAttr(transport->protocol, transport->loop->head.state->str_eof_received);

    if (method == NULL || asgi_transport_soon(transport, method, NULL) < 0
        || asgi_transport_force_close(transport, NULL) < 0) {
        asgi_transport_failed(transport, transport->kind->read_failed);
    }
    Py_XDECREF(method);
}

/* Nobody reads any more. Where something waits to be written, that is an error. */
static void
peer_gone(TransportObject *transport)
{
    LoopObject *loop = transport->loop;
    PyObject *exception = NULL;

    if (transport->lost > 0) {
        return;
    }
    if (loop->debug) {
        PyObject *done =
            asgi_loop_log(loop->head.state, "info", "sO", "%r was closed by peer", transport);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)transport);
        }
        Py_XDECREF(done);
    }
    if (transport->queue.count > 0) {
        exception = PyObject_CallNoArgs(PyExc_BrokenPipeError);
    }
    if (PyErr_Occurred() || asgi_transport_force_close(transport, exception) < 0) {
        asgi_loop_report(loop, "Closing a transport failed");
    }
    Py_XDECREF(exception);
}

static const asgi_transport_kind_t reading = {
    .read_failed = "Fatal read error on pipe transport",
    .write_failed = "Fatal write error on pipe transport",
    .readable = asgi_transport_read,
    .send_queue = asgi_transport_pipe_send_queue,
    .adopt = asgi_transport_stream_adopt,
};

static const asgi_transport_kind_t writing = {
    .read_failed = "Fatal read error on pipe transport",
    .write_failed = "Fatal write error on pipe transport",
    .readable = peer_gone,
    .send_queue = asgi_transport_pipe_send_queue,
    .is_sink = 1,
};

/* A character device has no peer that could go, and may well be readable. */
static const asgi_transport_kind_t writing_to_device = {
    .read_failed = "Fatal read error on pipe transport",
    .write_failed = "Fatal write error on pipe transport",
    .readable = peer_gone,
    .send_queue = asgi_transport_pipe_send_queue,
    .is_sink = 1,
    .is_deaf = 1,
};

/* Arguments (loop, pipe, protocol, waiter=None, extra=None), as asyncio's. */
static PyObject *
pipe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs, int is_sink)
{
    static char *names[] = {"loop", "pipe", "protocol", "waiter", "extra", NULL};
    PyObject *loop, *pipe, *protocol, *waiter = Py_None, *extra = Py_None;
    const asgi_transport_kind_t *kind;
    TransportObject *transport;
    struct stat about;
    int fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OO", names, &loop, &pipe, &protocol,
                                     &waiter, &extra)) {
        return NULL;
    }
    fd = PyObject_AsFileDescriptor(pipe);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &about) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (!S_ISFIFO(about.st_mode) && !S_ISSOCK(about.st_mode) && !S_ISCHR(about.st_mode)) {
        PyErr_SetString(PyExc_ValueError,
                        is_sink ? "Pipe transport is only for pipes, sockets and character devices"
                                : "Pipe transport is for pipes/sockets only.");
        return NULL;
    }
    kind = !is_sink ? &reading : S_ISCHR(about.st_mode) ? &writing_to_device : &writing;
    /* The poll of libuv sets O_NONBLOCK, on the pipe that its duplicate shares. */
    transport = asgi_transport_new(type, kind, loop, pipe, waiter, extra);
    if (transport == NULL) {
        return NULL;
    }
    if (PyDict_SetItemString(transport->extra, "pipe", pipe) < 0) {
        goto fail;
    }
    if (kind->adopt == NULL) {
        transport->protocol = Py_NewRef(protocol);
    } else if (kind->adopt(transport, protocol) < 0) {
        goto fail;
    }
    if (asgi_transport_begin(transport) < 0) {
        goto fail;
    }
    return (PyObject *)transport;

fail:
    Py_DECREF(transport);
    return NULL;
}

static PyObject *
read_pipe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return pipe_new(type, args, kwargs, 0);
}

static PyObject *
write_pipe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return pipe_new(type, args, kwargs, 1);
}

/* ---- the types ---- */

static PyObject *
get_pipe(TransportObject *transport, void *Py_UNUSED(closure))
{
    return Py_NewRef(transport->closed ? Py_None : transport->sock);
}

/* _pipe = None: whoever sets that sees to the pipe, and nobody is to be warned of it. */
static int
set_pipe(TransportObject *transport, PyObject *value, void *Py_UNUSED(closure))
{
    if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "_pipe can only be set to None");
        return -1;
    }
    transport->closed = 1;
    return 0;
}

static PyObject *
can_write_eof(TransportObject *Py_UNUSED(transport), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyMethodDef read_methods[] = {
    ASGI_TRANSPORT_METHODS,
    ASGI_READING_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef write_methods[] = {
    ASGI_TRANSPORT_METHODS,
    ASGI_QUEUE_METHODS,
    ASGI_METHOD("write", asgi_transport_write, METH_O, "Write data; never blocks."),
    ASGI_METHOD("writelines", asgi_transport_writelines, METH_O,
                "Write the pieces in order, without joining them."),
    ASGI_METHOD("write_eof", asgi_method_close, METH_NOARGS, "End it when all has been written."),
    ASGI_METHOD("can_write_eof", can_write_eof, METH_NOARGS, "True."),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_pipe", (getter)get_pipe, (setter)set_pipe, NULL, NULL},
    ASGI_GET_DICT,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot read_slots[] = {
    {Py_tp_doc, "A transport over the reading end of a pipe; see asyncio.ReadTransport."},
    {Py_tp_new, read_pipe_new},
    ASGI_TRANSPORT_SLOTS,
    {Py_tp_methods, read_methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Slot write_slots[] = {
    {Py_tp_doc, "A transport over the writing end of a pipe; see asyncio.WriteTransport."},
    {Py_tp_new, write_pipe_new},
    ASGI_TRANSPORT_SLOTS,
    {Py_tp_methods, write_methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec read_spec = {
    .name = "asgiserver._core.ReadPipeTransport",
    .basicsize = sizeof(TransportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = read_slots,
};

static PyType_Spec write_spec = {
    .name = "asgiserver._core.WritePipeTransport",
    .basicsize = sizeof(TransportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = write_slots,
};

int
asgi_transport_pipe_exec(PyObject *module, struct asgi_state *state)
{
    state->ReadPipeTransportType = asgi_transport_type(module, &read_spec, state->ReadTransport);
    /* asyncio's is an asyncio.Transport that cannot read. */
    state->WritePipeTransportType =
        asgi_transport_type(module, &write_spec, state->FlowControlMixin);
    if (state->ReadPipeTransportType == NULL || state->WritePipeTransportType == NULL
        || PyModule_AddType(module, (PyTypeObject *)state->ReadPipeTransportType) < 0) {
        return -1;
    }
    return PyModule_AddType(module, (PyTypeObject *)state->WritePipeTransportType);
}
