/* SPDX-License-Identifier: MIT
 *
 * methods.h: asyncio's names that all transports have, for the tables of their types.
 *
 * A type's PyMethodDef table is its own: ASGI_METHOD() makes a line of it. All functions take a
 * TransportObject.
 */
#ifndef ASGI_TRANSPORT_METHODS_H
#define ASGI_TRANSPORT_METHODS_H

#include "transport/transport.h"

#include <stddef.h>
#include <structmember.h>

#define ASGI_METHOD(name, function, flags, doc)                 \
    {                                                           \
        name, (PyCFunction)(void (*)(void))function, flags, doc \
    }

/* get_extra_info(), close() ... of every kind. */
#define ASGI_TRANSPORT_METHODS                                                                  \
    ASGI_METHOD("close", asgi_method_close, METH_NOARGS, "End it when all has been sent."),     \
        ASGI_METHOD("abort", asgi_method_abort, METH_NOARGS,                                    \
                    "End it now; what is queued is lost."),                                     \
        ASGI_METHOD("is_closing", asgi_method_is_closing, METH_NOARGS,                          \
                    "Whether it is closing or closed."),                                        \
        ASGI_METHOD("set_protocol", asgi_method_set_protocol, METH_O,                           \
                    "Call another protocol from now on."),                                      \
        ASGI_METHOD("get_protocol", asgi_method_get_protocol, METH_NOARGS, "The protocol."),    \
        ASGI_METHOD("get_extra_info", asgi_method_get_extra_info, METH_VARARGS | METH_KEYWORDS, \
                    asgi_get_extra_info_doc),                                                   \
        ASGI_METHOD("_start", asgi_transport_start, METH_NOARGS, NULL),                         \
        ASGI_METHOD("_call_connection_lost", asgi_transport_call_lost, METH_O, NULL),           \
        ASGI_METHOD("_force_close", asgi_method_force_close, METH_O, NULL)

/* Of those that read a stream. */
#define ASGI_READING_METHODS                                                             \
    ASGI_METHOD("is_reading", asgi_method_is_reading, METH_NOARGS, "Whether it reads."), \
        ASGI_METHOD("pause_reading", asgi_method_pause_reading, METH_NOARGS,             \
                    "Call data_received() no more for now."),                            \
        ASGI_METHOD("resume_reading", asgi_method_resume_reading, METH_NOARGS,           \
                    "Undo pause_reading().")

/* Of those with a queue. */
#define ASGI_QUEUE_METHODS                                                                       \
    ASGI_METHOD("get_write_buffer_size", asgi_method_get_write_buffer_size, METH_NOARGS,         \
                "Bytes not sent yet."),                                                          \
        ASGI_METHOD("get_write_buffer_limits", asgi_method_get_write_buffer_limits, METH_NOARGS, \
                    "(low, high)."),                                                             \
        ASGI_METHOD("set_write_buffer_limits", asgi_method_set_write_buffer_limits,              \
                    METH_VARARGS | METH_KEYWORDS, asgi_set_write_buffer_limits_doc)

PyObject *asgi_method_close(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_abort(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_force_close(TransportObject *transport, PyObject *exception);
PyObject *asgi_method_is_closing(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_set_protocol(TransportObject *transport, PyObject *protocol);
PyObject *asgi_method_get_protocol(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_get_extra_info(TransportObject *transport, PyObject *args, PyObject *kwargs);
PyObject *asgi_method_is_reading(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_pause_reading(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_resume_reading(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_get_write_buffer_size(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_get_write_buffer_limits(TransportObject *transport, PyObject *ignored);
PyObject *asgi_method_set_write_buffer_limits(TransportObject *transport, PyObject *args,
                                              PyObject *kwargs);
extern const char asgi_get_extra_info_doc[];
extern const char asgi_set_write_buffer_limits_doc[];

extern PyMemberDef asgi_transport_members[];

/* Slots of every type but for doc, new, methods and getset. */
#define ASGI_TRANSPORT_SLOTS                                                                \
    {Py_tp_init, asgi_transport_init}, {Py_tp_finalize, asgi_transport_finalize},           \
        {Py_tp_dealloc, asgi_transport_dealloc}, {Py_tp_traverse, asgi_transport_traverse}, \
        {Py_tp_clear, asgi_transport_clear}, {Py_tp_repr, asgi_transport_repr},             \
    {                                                                                       \
        Py_tp_members, asgi_transport_members                                               \
    }

int asgi_transport_init(PyObject *transport, PyObject *args, PyObject *kwargs);
int asgi_transport_traverse(TransportObject *transport, visitproc visit, void *arg);
int asgi_transport_clear(TransportObject *transport);
PyObject *asgi_transport_repr(TransportObject *transport);
PyObject *asgi_transport_get_dict(TransportObject *transport, void *closure);
#define ASGI_GET_DICT                                                                    \
    {                                                                                    \
        "__dict__", (getter)asgi_transport_get_dict, PyObject_GenericSetDict, NULL, NULL \
    }

/* Makes a type of this spec over one of asyncio's classes, or a tuple of them, the one with the most
 * fields first. Returns: new, or NULL. */
PyObject *asgi_transport_type(PyObject *module, PyType_Spec *spec, PyObject *bases);

#endif
