/* SPDX-License-Identifier: MIT
 *
 * methods.c: see methods.h.
 *
 * The types derive from asyncio's own transport classes, so that isinstance() and asyncio's
 * sendfile() take them for such; their __slots__ are room that is not used. The names with an
 * underscore are those which asyncio's Python code looks at.
 */
#include "transport/methods.h"

#include <string.h>

/* ---- what it knows ---- */

const char asgi_get_extra_info_doc[] =
    "get_extra_info($self, name, default=None, /)\n--\n\n"
    "\"socket\", \"sockname\", \"peername\", and what the transport was made with.";

/* extra[name], made now where it is one of those nobody asks for usually. Returns: borrowed, or
 * NULL, with an exception where it failed. */
static PyObject *
extra_info(TransportObject *transport, PyObject *name)
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    PyObject *value = PyDict_GetItemWithError(transport->extra, name);
    PyObject *made;

    if (value != NULL || PyErr_Occurred() || !PyUnicode_Check(name)
        || !transport->kind->is_socket) {
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

PyObject *
asgi_method_get_extra_info(TransportObject *transport, PyObject *args, PyObject *kwargs)
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

PyObject *
asgi_transport_repr(TransportObject *transport)
{
    const char *name = strrchr(Py_TYPE(transport)->tp_name, '.');
    int want = transport->watch != NULL ? transport->watch->want : 0;
    const char *state = transport->closed ? " closed" : transport->closing ? " closing" : "";

    name = name != NULL ? name + 1 : Py_TYPE(transport)->tp_name;
    if (transport->loop == NULL || transport->watch == NULL) {
        state = transport->closed || transport->closing ? state : " open";
        return PyUnicode_FromFormat("<%s%s fd=%d>", name, state, transport->fd);
    }
    return PyUnicode_FromFormat("<%s%s fd=%d read=%s write=<%s, bufsize=%zd>>", name, state,
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

PyObject *
asgi_method_close(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(asgi_transport_close(transport));
}

PyObject *
asgi_method_abort(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(asgi_transport_force_close(transport, NULL));
}

PyObject *
asgi_method_force_close(TransportObject *transport, PyObject *exception)
{
    return none_or_null(
        asgi_transport_force_close(transport, exception == Py_None ? NULL : exception));
}

PyObject *
asgi_method_is_closing(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(transport->closing);
}

PyObject *
asgi_method_is_reading(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(!transport->closing && !transport->paused);
}

static PyObject *
set_reading(TransportObject *transport, int paused, const char *format)
{
    if (transport->closing || transport->paused == paused) {
        Py_RETURN_NONE;
    }
    transport->paused = (char)paused;
    /* Before connection_made() was called nothing is read. */
    if (transport->started) {
        asgi_transport_update(transport);
    }
    if (transport->loop->debug) {
        return asgi_loop_log(transport->loop->head.state, "debug", "sO", format, transport);
    }
    Py_RETURN_NONE;
}

PyObject *
asgi_method_pause_reading(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return set_reading(transport, 1, "%r pauses reading");
}

PyObject *
asgi_method_resume_reading(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return set_reading(transport, 0, "%r resumes reading");
}

PyObject *
asgi_method_set_protocol(TransportObject *transport, PyObject *protocol)
{
    if (transport->closed) {
        Py_RETURN_NONE;
    }
    if (transport->kind->adopt != NULL) {
        return none_or_null(transport->kind->adopt(transport, protocol));
    }
    Py_XSETREF(transport->protocol, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

PyObject *
asgi_method_get_protocol(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(transport->protocol != NULL ? transport->protocol : Py_None);
}

PyObject *
asgi_method_get_write_buffer_size(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(transport->queue.size);
}

PyObject *
asgi_method_get_write_buffer_limits(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("(nn)", (Py_ssize_t)transport->low, (Py_ssize_t)transport->high);
}

const char asgi_set_write_buffer_limits_doc[] =
    "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
    "The sizes at which pause_writing() and resume_writing() are called.";

PyObject *
asgi_method_set_write_buffer_limits(TransportObject *transport, PyObject *args, PyObject *kwargs)
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
    return none_or_null(asgi_transport_maybe_pause(transport));
}

PyObject *
asgi_transport_get_dict(TransportObject *transport, void *closure)
{
    return PyObject_GenericGetDict((PyObject *)transport, closure);
}

#define FIELD(name, type, field)                                     \
    {                                                                \
        name, type, offsetof(TransportObject, field), READONLY, NULL \
    }

PyMemberDef asgi_transport_members[] = {
    FIELD("_loop", T_OBJECT, loop),
    FIELD("_protocol", T_OBJECT, protocol),
    FIELD("_extra", T_OBJECT, extra),
    FIELD("_context", T_OBJECT, context),
    FIELD("_server", T_OBJECT, server),
    FIELD("_empty_waiter", T_OBJECT, empty_waiter),
    FIELD("_sock_fd", T_INT, fd),
    FIELD("_fileno", T_INT, fd),
    FIELD("_conn_lost", T_PYSSIZET, lost),
    FIELD("_closing", T_BOOL, closing),
    FIELD("_paused", T_BOOL, paused),
    FIELD("_eof", T_BOOL, eof),
    FIELD("_protocol_paused", T_BOOL, protocol_paused),
    FIELD("_high_water", T_PYSSIZET, high),
    FIELD("_low_water", T_PYSSIZET, low),
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TransportObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(TransportObject, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- slots ---- */

int
asgi_transport_traverse(TransportObject *transport, visitproc visit, void *arg)
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
int
asgi_transport_clear(TransportObject *transport)
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
int
asgi_transport_init(PyObject *Py_UNUSED(transport), PyObject *Py_UNUSED(args),
                    PyObject *Py_UNUSED(kwargs))
{
    return 0;
}

PyObject *
asgi_transport_type(PyObject *module, PyType_Spec *spec, PyObject *bases)
{
    PyObject *first = PyTuple_Check(bases) ? PyTuple_GET_ITEM(bases, 0) : bases;

    if (((PyTypeObject *)first)->tp_basicsize > (Py_ssize_t)offsetof(TransportObject, kind)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's transport classes have more fields than "
                                           "this build of asgiserver leaves room for");
        return NULL;
    }
    return PyType_FromModuleAndSpec(module, spec, bases);
}
