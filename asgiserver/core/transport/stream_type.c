/* SPDX-License-Identifier: MIT
 *
 * stream_type.c: the type _core.StreamTransport: asyncio's names over the transport.
 *
 * It derives from asyncio's own transport classes, so that isinstance() and asyncio's sendfile()
 * take it for one; their __slots__ are room that is not used. The names with an underscore are
 * those which asyncio's Python code looks at.
 */
#include "transport/stream_transport.h"

#include <stddef.h>
#include <structmember.h>

/* ---- what it knows ---- */

PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, name, default=None, /)\n--\n\n"
             "\"socket\", \"sockname\", \"peername\", and what the transport was made with.");

/* extra[name], made now where it is one of those nobody asks for usually. Returns: borrowed, or
 * NULL, with an exception where it failed. */
static PyObject *
extra_info(StreamTransportObject *transport, PyObject *name)
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    PyObject *value = PyDict_GetItemWithError(transport->extra, name);
    PyObject *made;

    if (value != NULL || PyErr_Occurred() || !PyUnicode_Check(name)) {
        return value;
    }
    if (PyUnicode_Compare(name, state->str_socket) == 0) {
        made = PyObject_CallOneArg(state->TransportSocket, transport->sock);
    } else if (PyUnicode_Compare(name, state->str_sockname) == 0) {
        made = PyObject_CallMethod(transport->sock, "getsockname", NULL);
        if (made == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
            PyErr_Clear();
            made = Py_NewRef(Py_None);
        }
    } else {
        return NULL;
    }
    if (made == NULL || PyDict_SetItem(transport->extra, name, made) < 0) {
        Py_XDECREF(made);
        return NULL;
    }
    Py_DECREF(made);
    return made;
}

static PyObject *
get_extra_info(StreamTransportObject *transport, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "default", NULL};
    PyObject *name, *value, *fallback = Py_None;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info", names, &name, &fallback)) {
        return NULL;
    }
    value = extra_info(transport, name);
    if (value == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        value = fallback;
    }
    return Py_NewRef(value);
}

static PyObject *
transport_repr(StreamTransportObject *transport)
{
    int want = transport->watch != NULL ? transport->watch->want : 0;
    const char *state = transport->closed ? " closed" : transport->closing ? " closing" : "";

    if (transport->loop == NULL || transport->watch == NULL) {
        return PyUnicode_FromFormat("<StreamTransport%s fd=%d>", state, transport->fd);
    }
    return PyUnicode_FromFormat("<StreamTransport%s fd=%d read=%s write=<%s, bufsize=%zd>>", state,
                                transport->fd, want & UV_READABLE ? "polling" : "idle",
                                want & UV_WRITABLE ? "polling" : "idle",
                                (Py_ssize_t)transport->queue.size);
}

/* ---- methods ---- */

static PyObject *
none_or_null(int result)
{
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
transport_close(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(asgi_stream_transport_close(transport));
}

static PyObject *
transport_abort(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(asgi_stream_transport_force_close(transport, NULL));
}

static PyObject *
transport_force_close(StreamTransportObject *transport, PyObject *exception)
{
    return none_or_null(
        asgi_stream_transport_force_close(transport, exception == Py_None ? NULL : exception));
}

static PyObject *
is_closing(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(transport->closing);
}

static PyObject *
is_reading(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(!transport->closing && !transport->paused);
}

static PyObject *
set_reading(StreamTransportObject *transport, int paused, const char *format)
{
    if (transport->closing || transport->paused == paused) {
        Py_RETURN_NONE;
    }
    transport->paused = (char)paused;
    /* Before connection_made() was called nothing is read. */
    if (transport->started) {
        asgi_stream_transport_update(transport);
    }
    if (transport->loop->debug) {
        return asgi_loop_log(transport->loop->head.state, "debug", "sO", format, transport);
    }
    Py_RETURN_NONE;
}

static PyObject *
pause_reading(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return set_reading(transport, 1, "%r pauses reading");
}

static PyObject *
resume_reading(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return set_reading(transport, 0, "%r resumes reading");
}

static PyObject *
set_protocol(StreamTransportObject *transport, PyObject *protocol)
{
    if (transport->closed) {
        Py_RETURN_NONE;
    }
    return none_or_null(asgi_stream_transport_adopt(transport, protocol));
}

static PyObject *
get_protocol(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(transport->protocol != NULL ? transport->protocol : Py_None);
}

static PyObject *
write_eof(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    if (transport->closing || transport->eof) {
        Py_RETURN_NONE;
    }
    transport->eof = 1;
    if (transport->queue.count > 0) {
        Py_RETURN_NONE;
    }
    return none_or_null(asgi_stream_transport_shut_write(transport));
}

static PyObject *
can_write_eof(StreamTransportObject *Py_UNUSED(transport), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
get_write_buffer_size(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(transport->queue.size);
}

static PyObject *
get_write_buffer_limits(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("(nn)", (Py_ssize_t)transport->low, (Py_ssize_t)transport->high);
}

PyDoc_STRVAR(set_write_buffer_limits_doc,
             "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
             "The sizes at which pause_writing() and resume_writing() are called.");

static PyObject *
set_write_buffer_limits(StreamTransportObject *transport, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"high", "low", NULL};
    PyObject *high_object = Py_None, *low_object = Py_None;
    Py_ssize_t high = 64 * 1024, low = 0;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:set_write_buffer_limits", names,
                                     &high_object, &low_object)) {
        return NULL;
    }
    if (low_object != Py_None) {
        low = PyNumber_AsSsize_t(low_object, PyExc_OverflowError);
        high = low <= PY_SSIZE_T_MAX / 4 ? 4 * low : PY_SSIZE_T_MAX;
    }
    if (high_object != Py_None && !PyErr_Occurred()) {
        high = PyNumber_AsSsize_t(high_object, PyExc_OverflowError);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (low_object == Py_None) {
        low = high / 4;
    }
    if (high < low || low < 0) {
        return PyErr_Format(PyExc_ValueError, "high (%zd) must be >= low (%zd) must be >= 0", high,
                            low);
    }
    transport->high = (size_t)high;
    transport->low = (size_t)low;
    return none_or_null(asgi_stream_transport_maybe_pause(transport));
}

/* For asyncio's sendfile(): a future that is done when nothing is queued. */
static PyObject *
make_empty_waiter(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
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
reset_empty_waiter(StreamTransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(transport->empty_waiter);
    Py_RETURN_NONE;
}

/* ---- attributes ---- */

static PyObject *
get_true(StreamTransportObject *Py_UNUSED(transport), void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

static PyObject *
get_sendfile_mode(StreamTransportObject *transport, void *Py_UNUSED(closure))
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    return Py_NewRef(state->sendfile_native);
}

static PyObject *
get_sock(StreamTransportObject *transport, void *Py_UNUSED(closure))
{
    return Py_NewRef(transport->closed ? Py_None : transport->sock);
}

static PyObject *
get_dict(StreamTransportObject *transport, void *closure)
{
    return PyObject_GenericGetDict((PyObject *)transport, closure);
}

#define METHOD(name, function, flags, doc)                      \
    {                                                           \
        name, (PyCFunction)(void (*)(void))function, flags, doc \
    }

static PyMethodDef methods[] = {
    METHOD("write", asgi_stream_transport_write, METH_O, "Send data; never blocks."),
    METHOD("writelines", asgi_stream_transport_writelines, METH_O,
           "Send the pieces in order, without joining them."),
    METHOD("write_eof", write_eof, METH_NOARGS, "End the stream to the peer, and read on."),
    METHOD("can_write_eof", can_write_eof, METH_NOARGS, "True."),
    METHOD("close", transport_close, METH_NOARGS, "End it when all has been sent."),
    METHOD("abort", transport_abort, METH_NOARGS, "End it now; what is queued is lost."),
    METHOD("is_closing", is_closing, METH_NOARGS, "Whether it is closing or closed."),
    METHOD("is_reading", is_reading, METH_NOARGS, "Whether it reads."),
    METHOD("pause_reading", pause_reading, METH_NOARGS, "Call data_received() no more for now."),
    METHOD("resume_reading", resume_reading, METH_NOARGS, "Undo pause_reading()."),
    METHOD("set_protocol", set_protocol, METH_O, "Call another protocol from now on."),
    METHOD("get_protocol", get_protocol, METH_NOARGS, "The protocol."),
    METHOD("get_extra_info", get_extra_info, METH_VARARGS | METH_KEYWORDS, get_extra_info_doc),
    METHOD("get_write_buffer_size", get_write_buffer_size, METH_NOARGS, "Bytes not sent yet."),
    METHOD("get_write_buffer_limits", get_write_buffer_limits, METH_NOARGS, "(low, high)."),
    METHOD("set_write_buffer_limits", set_write_buffer_limits, METH_VARARGS | METH_KEYWORDS,
           set_write_buffer_limits_doc),
    METHOD("_start", asgi_stream_transport_start, METH_NOARGS, NULL),
    METHOD("_call_connection_lost", asgi_stream_transport_call_lost, METH_O, NULL),
    METHOD("_force_close", transport_force_close, METH_O, NULL),
    METHOD("_make_empty_waiter", make_empty_waiter, METH_NOARGS, NULL),
    METHOD("_reset_empty_waiter", reset_empty_waiter, METH_NOARGS, NULL),
    {NULL, NULL, 0, NULL},
};

#define FIELD(name, type, field)                                           \
    {                                                                      \
        name, type, offsetof(StreamTransportObject, field), READONLY, NULL \
    }

static PyMemberDef members[] = {
    FIELD("_loop", T_OBJECT, loop),
    FIELD("_protocol", T_OBJECT, protocol),
    FIELD("_extra", T_OBJECT, extra),
    FIELD("_context", T_OBJECT, context),
    FIELD("_server", T_OBJECT, server),
    FIELD("_empty_waiter", T_OBJECT, empty_waiter),
    FIELD("_sock_fd", T_INT, fd),
    FIELD("_conn_lost", T_PYSSIZET, lost),
    FIELD("_closing", T_BOOL, closing),
    FIELD("_paused", T_BOOL, paused),
    FIELD("_eof", T_BOOL, eof),
    FIELD("_protocol_paused", T_BOOL, protocol_paused),
    FIELD("_high_water", T_PYSSIZET, high),
    FIELD("_low_water", T_PYSSIZET, low),
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StreamTransportObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(StreamTransportObject, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_start_tls_compatible", (getter)get_true, NULL, NULL, NULL},
    {"_sendfile_compatible", (getter)get_sendfile_mode, NULL, NULL, NULL},
    {"_sock", (getter)get_sock, NULL, NULL, NULL},
    {"__dict__", (getter)get_dict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- the type ---- */

static int
transport_traverse(StreamTransportObject *transport, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(transport));
    Py_VISIT(transport->loop);
    Py_VISIT(transport->protocol);
    Py_VISIT(transport->received);
    Py_VISIT(transport->get_buffer);
    Py_VISIT(transport->server);
    Py_VISIT(transport->sock);
    Py_VISIT(transport->extra);
    Py_VISIT(transport->context);
    Py_VISIT(transport->waiter);
    Py_VISIT(transport->empty_waiter);
    Py_VISIT(transport->dict);
    return 0;
}

/* The loop, the socket and the context stay: methods count on them, and they lead nowhere back. */
static int
transport_clear(StreamTransportObject *transport)
{
    Py_CLEAR(transport->protocol);
    Py_CLEAR(transport->received);
    Py_CLEAR(transport->get_buffer);
    Py_CLEAR(transport->server);
    Py_CLEAR(transport->waiter);
    Py_CLEAR(transport->empty_waiter);
    Py_CLEAR(transport->dict);
    Py_CLEAR(transport->extra);
    asgi_outqueue_clear(&transport->queue);
    return 0;
}

/* tp_new has done it all; the __init__ of asyncio's classes is not to be called. */
static int
transport_init(PyObject *Py_UNUSED(transport), PyObject *Py_UNUSED(args),
               PyObject *Py_UNUSED(kwargs))
{
    return 0;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "A transport over a connected TCP or Unix socket; see asyncio.Transport."},
    {Py_tp_new, asgi_stream_transport_new},
    {Py_tp_init, transport_init},
    {Py_tp_finalize, asgi_stream_transport_finalize},
    {Py_tp_dealloc, asgi_stream_transport_dealloc},
    {Py_tp_traverse, transport_traverse},
    {Py_tp_clear, transport_clear},
    {Py_tp_repr, transport_repr},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "asgiserver._core.StreamTransport",
    .basicsize = sizeof(StreamTransportObject),
    /* Not immutable: its base is a Python class, which Python 3.14 does not allow then. */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int
asgi_stream_transport_exec(PyObject *module, struct asgi_state *state)
{
    PyObject *base = state->FlowControlMixin;

    if (((PyTypeObject *)base)->tp_basicsize > (Py_ssize_t)offsetof(StreamTransportObject, loop)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's transport classes have more fields than "
                                           "this build of asgiserver leaves room for");
        return -1;
    }
    state->StreamTransportType = PyType_FromModuleAndSpec(module, &spec, base);
    if (state->StreamTransportType == NULL) {
        return -1;
    }
    return PyModule_AddType(module, (PyTypeObject *)state->StreamTransportType);
}
