/* SPDX-License-Identifier: MIT
 *
 * stream_transport.c: _core.StreamTransport, over a connected stream socket, TCP or Unix.
 */
#include "transport/methods.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int
asgi_transport_stream_adopt(TransportObject *transport, PyObject *protocol)
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    int buffered = PyObject_IsInstance(protocol, state->BufferedProtocol);
    PyObject *received, *get_buffer = NULL;

    if (buffered < 0) {
        return -1;
    }
    received =
        PyObject_GetAttr(protocol, buffered ? state->str_buffer_updated : state->str_data_received);
    if (received == NULL && !buffered && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        /* A buffered protocol that says so by its methods alone, as uvloop takes them. */
        PyErr_Clear();
        received = PyObject_GetAttr(protocol, state->str_buffer_updated);
        buffered = received != NULL;
    }
    if (received == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        /* Looked for once more when there is something to call it with, as asyncio does. */
        PyErr_Clear();
    }
    if (buffered && received != NULL) {
        get_buffer = PyObject_GetAttr(protocol, state->str_get_buffer);
        if (get_buffer == NULL) {
            Py_DECREF(received);
            return -1;
        }
    }
    Py_XSETREF(transport->protocol, Py_NewRef(protocol));
    Py_XSETREF(transport->received, received);
    Py_XSETREF(transport->get_buffer, get_buffer);
    return 0;
}

/* Small writes are not to wait for the peer's acknowledgements. */
static void
set_nodelay(int fd)
{
    int domain = 0, protocol = 0, on = 1;
    socklen_t size = sizeof(domain);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0
        && (domain == AF_INET || domain == AF_INET6)) {
        size = sizeof(protocol);
        if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0
            && protocol == IPPROTO_TCP) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
    }
}

static const asgi_transport_kind_t kind = {
    .read_failed = "Fatal read error on socket transport",
    .write_failed = "Fatal write error on socket transport",
    .readable = asgi_transport_read,
    .send_queue = asgi_transport_stream_send_queue,
    .adopt = asgi_transport_stream_adopt,
    .is_socket = 1,
};

static PyObject *
stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "sock", "protocol", "waiter", "extra", "server", NULL};
    PyObject *loop, *sock, *protocol, *waiter = Py_None, *extra = Py_None, *server = Py_None;
    TransportObject *transport;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OOO:StreamTransport", names, &loop, &sock,
                                     &protocol, &waiter, &extra, &server)) {
        return NULL;
    }
    transport = asgi_transport_new(type, &kind, loop, sock, waiter, extra);
    if (transport == NULL) {
        return NULL;
    }
    set_nodelay(transport->fd);
    if (asgi_transport_stream_adopt(transport, protocol) < 0) {
        goto fail;
    }
    if (server != Py_None) {
        transport->server = Py_NewRef(server);
        if (asgi_transport_server_call(transport, "_attach") < 0) {
            Py_CLEAR(transport->server);
            goto fail;
        }
    }
    if (asgi_transport_begin(transport) < 0) {
        goto fail;
    }
    return (PyObject *)transport;

fail:
    Py_DECREF(transport);
    return NULL;
}

/* ---- the type ---- */

static PyObject *
write_eof(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    if (transport->closing || transport->eof) {
        Py_RETURN_NONE;
    }
    transport->eof = 1;
    if (transport->queue.count > 0) {
        Py_RETURN_NONE;
    }
    if (asgi_transport_shut_write(transport) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
can_write_eof(TransportObject *Py_UNUSED(transport), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

/* For asyncio's sendfile(): a future that is done when nothing is queued. */
static PyObject *
make_empty_waiter(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    PyObject *waiter;

    if (transport->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    if (transport->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Transport is closed");
        return NULL;
    }
    waiter = PyObject_CallMethod((PyObject *)transport->loop, "create_future", NULL);
    if (waiter == NULL) {
        return NULL;
    }
    transport->empty_waiter = Py_NewRef(waiter);
    if (transport->queue.count == 0) {
        PyObject *done =
            PyObject_CallMethodOneArg(waiter, transport->loop->head.state->str_set_result, Py_None);
        if (done == NULL) {
            Py_DECREF(waiter);
            return NULL;
        }
        Py_DECREF(done);
    }
    return waiter;
}

static PyObject *
reset_empty_waiter(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(transport->empty_waiter);
    Py_RETURN_NONE;
}

/* ---- attributes ---- */

static PyObject *
get_true(TransportObject *Py_UNUSED(transport), void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

static PyObject *
get_sendfile_mode(TransportObject *transport, void *Py_UNUSED(closure))
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    return Py_NewRef(state->sendfile_native);
}

static PyObject *
get_sock(TransportObject *transport, void *Py_UNUSED(closure))
{
    return Py_NewRef(transport->closed ? Py_None : transport->sock);
}

static PyMethodDef methods[] = {
    ASGI_TRANSPORT_METHODS,
    ASGI_READING_METHODS,
    ASGI_QUEUE_METHODS,
    ASGI_METHOD("write", asgi_transport_write, METH_O, "Send data; never blocks."),
    ASGI_METHOD("writelines", asgi_transport_writelines, METH_O,
                "Send the pieces in order, without joining them."),
    ASGI_METHOD("write_eof", write_eof, METH_NOARGS, "End the stream to the peer, and read on."),
    ASGI_METHOD("can_write_eof", can_write_eof, METH_NOARGS, "True."),
    ASGI_METHOD("_make_empty_waiter", make_empty_waiter, METH_NOARGS, NULL),
    ASGI_METHOD("_reset_empty_waiter", reset_empty_waiter, METH_NOARGS, NULL),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_start_tls_compatible", (getter)get_true, NULL, NULL, NULL},
    {"_sendfile_compatible", (getter)get_sendfile_mode, NULL, NULL, NULL},
    {"_sock", (getter)get_sock, NULL, NULL, NULL},
    ASGI_GET_DICT,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A transport over a connected TCP or Unix socket; see asyncio.Transport."},
    {Py_tp_new, stream_new},
    ASGI_TRANSPORT_SLOTS,
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "asgiserver._core.StreamTransport",
    .basicsize = sizeof(TransportObject),
    /* Not immutable: its base is a Python class, which Python 3.14 does not allow then. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int
asgi_transport_stream_exec(PyObject *module, struct asgi_state *state)
{
    state->StreamTransportType = asgi_transport_type(module, &spec, state->FlowControlMixin);
    if (state->StreamTransportType == NULL) {
        return -1;
    }
    return PyModule_AddType(module, (PyTypeObject *)state->StreamTransportType);
}
