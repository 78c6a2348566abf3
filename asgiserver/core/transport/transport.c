/* SPDX-License-Identifier: MIT
 *
 * transport.c: a transport's life: made, started, closed, lost, freed.
 *
 * connection_made() and connection_lost() are called by Handles of the loop, as asyncio does it,
 * everything between by the poll. The order of the steps is asyncio's: the start is queued when
 * the transport is made; it calls connection_made(), begins to read, and wakes the waiter.
 */
#include "transport/transport.h"

#include <errno.h>
#include <fcntl.h>

#define HIGH_WATER (64 * 1024)
#define LOW_WATER (16 * 1024)

/* ---- making ---- */

static void
on_ready(PyObject *owner, int events)
{
    TransportObject *transport = (TransportObject *)owner;
    LoopObject *loop = transport->loop;
    PyObject *context = Py_NewRef(transport->context);
    uint64_t began = loop->debug ? uv_hrtime() : 0;

    Py_INCREF(loop);
    if (PyContext_Enter(context) < 0) {
        asgi_loop_report(loop, "A transport's context is in use");
        goto done;
    }
    if (events & UV_READABLE) {
        transport->kind->readable(transport);
    }
    if ((events & UV_WRITABLE) && transport->queue.count > 0) {
        asgi_transport_flush(transport);
    }
    if (PyContext_Exit(context) < 0) {
        asgi_loop_report(loop, "A transport's context was left");
    }
    if (began != 0 && (double)(uv_hrtime() - began) * 1e-9 >= loop->slow_callback_duration) {
        PyObject *warned =
            asgi_loop_log(loop->head.state, "warning", "sOd", "Executing %r took %.3f seconds",
                          owner, (double)(uv_hrtime() - began) * 1e-9);
        if (warned == NULL) {
            PyErr_WriteUnraisable(owner);
        }
        Py_XDECREF(warned);
    }

done:
    Py_DECREF(context);
    Py_DECREF(loop);
}

void
asgi_transport_update(TransportObject *transport)
{
    int want = 0;

    if (transport->watch == NULL) {
        return;
    }
    if (transport->kind->is_sink
            ? transport->lost == 0 && !transport->kind->is_deaf
            : !transport->closing && !transport->paused && !transport->at_eof) {
        want |= UV_READABLE;
    }
    if (transport->queue.count > 0 && transport->lost == 0) {
        want |= UV_WRITABLE;
    }
    asgi_watch_want(transport->watch, want);
}

/* peername is remembered: it cannot be asked for when the peer has gone. */
static int
remember_peer(TransportObject *transport)
{
    struct asgi_state *state = transport->loop->head.state;
    PyObject *name;
    int result;

    if (PyDict_GetItemWithError(transport->extra, state->str_peername) != NULL) {
        return 0;
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    name = PyObject_CallMethod(transport->sock, "getpeername", NULL);
    if (name == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            return -1;
        }
        PyErr_Clear();
        name = Py_NewRef(Py_None);
    }
    result = PyDict_SetItem(transport->extra, state->str_peername, name);
    Py_DECREF(name);
    return result;
}

int
asgi_transport_server_call(TransportObject *transport, const char *method)
{
    PyObject *result;

#if PY_VERSION_HEX >= 0x030D0000
    result = PyObject_CallMethod(transport->server, method, "O", transport);
#else
    result = PyObject_CallMethod(transport->server, method, NULL);
#endif
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
asgi_transport_soon(TransportObject *transport, PyObject *callable, PyObject *argument)
{
    return asgi_loop_soon(transport->loop, callable, argument, transport->context);
}

static int
lost_soon(TransportObject *transport, PyObject *exception)
{
    PyObject *method = PyObject_GetAttr((PyObject *)transport,
                                        transport->loop->head.state->str_call_connection_lost);
    int result;

    if (method == NULL) {
        return -1;
    }
    result = asgi_transport_soon(transport, method, exception);
    Py_DECREF(method);
    return result;
}

TransportObject *
asgi_transport_new(PyTypeObject *type, const asgi_transport_kind_t *kind, PyObject *loop,
                   PyObject *sock, PyObject *waiter, PyObject *extra)
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(type));
    TransportObject *transport;
    int fd;

    if (asgi_loop_from(state, loop) == NULL || asgi_loop_check_open((LoopObject *)loop) < 0) {
        return NULL;
    }
    fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0) {
        return NULL;
    }
    transport = (TransportObject *)type->tp_alloc(type, 0);
    if (transport == NULL) {
        return NULL;
    }
    ASGI_COUNT(state, transports)++;
    /* Until asgi_transport_begin() the socket is the caller's to close. */
    transport->closed = 1;
    transport->kind = kind;
    transport->loop = (LoopObject *)Py_NewRef(loop);
    transport->sock = Py_NewRef(sock);
    transport->waiter = waiter == Py_None ? NULL : Py_NewRef(waiter);
    transport->fd = fd;
    transport->high = HIGH_WATER;
    transport->low = LOW_WATER;
    transport->context = PyContext_CopyCurrent();
    transport->extra = extra == Py_None ? PyDict_New() : PyDict_Copy(extra);
    if (transport->context == NULL || transport->extra == NULL
        || (kind->is_socket && remember_peer(transport) < 0)) {
        goto fail;
    }
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto fail;
    }
    if (asgi_watch_open(transport->loop, fd, (PyObject *)transport, on_ready, &transport->watch)
        < 0) {
        goto fail;
    }
    return transport;

fail:
    Py_DECREF(transport);
    return NULL;
}

int
asgi_transport_begin(TransportObject *transport)
{
    PyObject *start =
        PyObject_GetAttr((PyObject *)transport, transport->loop->head.state->str_start);
    int result;

    if (start == NULL) {
        return -1;
    }
    result = asgi_transport_soon(transport, start, NULL);
    Py_DECREF(start);
    transport->closed = result < 0;
    return result;
}

PyObject *
asgi_transport_start(TransportObject *transport, PyObject *Py_UNUSED(ignored))
{
    struct asgi_state *state;
    PyObject *waiter, *made, *set;

    if (transport->started || transport->closed || transport->protocol == NULL) {
        Py_RETURN_NONE;
    }
    transport->started = 1;
    state = transport->loop->head.state;
    made = PyObject_CallMethodOneArg(transport->protocol, state->str_connection_made,
                                     (PyObject *)transport);
    /* An exception goes to the loop's handler; the connection goes on, as in asyncio. */
    if (made == NULL && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    asgi_transport_update(transport);
    waiter = transport->waiter;
    transport->waiter = NULL;
    if (waiter != NULL) {
        PyObject *exception = made == NULL ? asgi_exception_take() : NULL;
        PyObject *done = PyObject_CallMethodNoArgs(waiter, state->str_cancelled);
        set = NULL;
        if (done != NULL) {
            set = done == Py_True
                      ? Py_NewRef(Py_None)
                      : PyObject_CallMethodOneArg(waiter, state->str_set_result, Py_None);
            Py_DECREF(done);
        }
        Py_DECREF(waiter);
        if (set == NULL) {
            Py_XDECREF(exception);
            Py_XDECREF(made);
            return NULL;
        }
        Py_DECREF(set);
        if (exception != NULL) {
            asgi_exception_raise(exception);
        }
    }
    return made;
}

/* ---- ends ---- */

int
asgi_transport_close(TransportObject *transport)
{
    if (transport->closing) {
        return 0;
    }
    if (transport->queue.count == 0) {
        if (lost_soon(transport, Py_None) < 0) {
            return -1;
        }
        transport->lost++;
    }
    transport->closing = 1;
    asgi_transport_update(transport);
    return 0;
}

int
asgi_transport_force_close(TransportObject *transport, PyObject *exception)
{
    if (transport->lost > 0 || transport->closed) {
        return 0;
    }
    if (lost_soon(transport, exception != NULL ? exception : Py_None) < 0) {
        return -1;
    }
    transport->lost++;
    transport->closing = 1;
    asgi_outqueue_clear(&transport->queue);
    asgi_transport_update(transport);
    return 0;
}

/* An error that ends connections every day: nobody is told of it but in debug mode. */
static int
is_usual(TransportObject *transport, PyObject *exception)
{
    PyObject *number;
    int usual;

    if (!PyErr_GivenExceptionMatches(exception, PyExc_OSError)) {
        return 0;
    }
    if (transport->kind->is_socket || transport->kind->is_sink) {
        return 1;
    }
    /* A read pipe's: EIO is the end of a pseudo terminal. */
    number = PyObject_GetAttrString(exception, "errno");
    usual = number != NULL && PyLong_Check(number) && PyLong_AsLong(number) == EIO;
    PyErr_Clear();
    Py_XDECREF(number);
    return usual;
}

static void
tell(TransportObject *transport, PyObject *exception, const char *message)
{
    LoopObject *loop = transport->loop;

    if (is_usual(transport, exception)) {
        if (loop->debug) {
            PyObject *done = asgi_loop_log(loop->head.state, "debug", "sOsO", "%r: %s: %r",
                                           transport, message, exception);
            if (done == NULL) {
                PyErr_WriteUnraisable((PyObject *)transport);
            }
            Py_XDECREF(done);
        }
        return;
    }
    asgi_loop_call_handler(
        loop, Py_BuildValue("{s:s,s:O,s:O,s:O}", "message", message, "exception", exception,
                            "transport", transport, "protocol",
                            transport->protocol != NULL ? transport->protocol : Py_None));
}

int
asgi_transport_fatal(TransportObject *transport, const char *message)
{
    PyObject *exception = asgi_exception_take();
    LoopObject *loop;
    int result;

    if (asgi_exception_is_fatal(exception)) {
        asgi_exception_raise(exception);
        return -1;
    }
    loop = transport->loop;
    if (loop == NULL) {
        Py_DECREF(exception);
        return 0;
    }
    Py_INCREF(loop);
    tell(transport, exception, message);
    result = transport->loop != NULL ? asgi_transport_force_close(transport, exception) : 0;
    Py_DECREF(exception);
    if (result < 0) {
        asgi_loop_report(loop, "Closing a transport failed");
    }
    Py_DECREF(loop);
    return 0;
}

void
asgi_transport_failed(TransportObject *transport, const char *message)
{
    LoopObject *loop = (LoopObject *)Py_NewRef((PyObject *)transport->loop);

    if (asgi_transport_fatal(transport, message) < 0) {
        asgi_loop_set_fatal(loop, asgi_exception_take());
    }
    Py_DECREF(loop);
}

/* The socket object, our duplicate of it, and the server's count of its connections. */
static int
let_go(TransportObject *transport)
{
    PyObject *result, *server;
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(Py_TYPE(transport)));
    int failed = 0;

    transport->closed = 1;
    transport->closing = 1;
    /* Asked for later, it is to be what it was. */
    if (transport->kind->is_socket
        && PyDict_GetItemWithError(transport->extra, state->str_sockname) == NULL
        && !PyErr_Occurred()) {
        result = PyObject_CallMethod(transport->sock, "getsockname", NULL);
        if (result == NULL || PyDict_SetItem(transport->extra, state->str_sockname, result) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(result);
    }
    if (transport->watch != NULL) {
        asgi_watch_close(transport->watch);
    }
    asgi_outqueue_clear(&transport->queue);
    result = PyObject_CallMethod(transport->sock, "close", NULL);
    failed = result == NULL;
    Py_XDECREF(result);
    server = transport->server;
    if (server != NULL && !failed) {
        failed = asgi_transport_server_call(transport, "_detach") < 0;
        Py_CLEAR(transport->server);
    }
    return failed ? -1 : 0;
}

PyObject *
asgi_transport_call_lost(TransportObject *transport, PyObject *exception)
{
    LoopObject *loop = transport->loop;
    PyObject *result, *pending = NULL, *waiter;
    struct asgi_state *state;

    if (transport->closed || loop == NULL) {
        Py_RETURN_NONE;
    }
    state = loop->head.state;
    result = PyObject_CallMethodOneArg(transport->protocol, state->str_connection_lost, exception);
    if (result == NULL) {
        pending = asgi_exception_take();
    }
    Py_XDECREF(result);
    if (let_go(transport) < 0 && pending == NULL) {
        pending = asgi_exception_take();
    }
    PyErr_Clear();
    waiter = transport->empty_waiter;
    if (waiter != NULL) {
        PyObject *done = PyObject_CallMethod(waiter, "done", NULL);
        if (done == Py_False) {
            Py_XDECREF(PyObject_CallMethod(
                waiter, "set_exception", "N",
                PyObject_CallFunction(PyExc_ConnectionError, "s", "Connection is closed by peer")));
        }
        Py_XDECREF(done);
        PyErr_Clear();
    }
    Py_CLEAR(transport->protocol);
    Py_CLEAR(transport->received);
    Py_CLEAR(transport->get_buffer);
    transport->loop = NULL;
    Py_DECREF(loop);
    if (pending != NULL) {
        asgi_exception_raise(pending);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- freeing ---- */

void
asgi_transport_finalize(TransportObject *transport)
{
    PyObject *type, *value, *traceback;

    if (transport->closed) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_ResourceWarning((PyObject *)transport, 1, "unclosed transport %R", transport) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable((PyObject *)transport);
        } else {
            PyErr_Clear();
        }
    }
    if (let_go(transport) < 0) {
        PyErr_WriteUnraisable((PyObject *)transport);
    }
    PyErr_Restore(type, value, traceback);
}

void
asgi_transport_dealloc(TransportObject *transport)
{
    PyTypeObject *type = Py_TYPE(transport);
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(type));

    if (PyObject_CallFinalizerFromDealloc((PyObject *)transport) < 0) {
        return;
    }
    PyObject_GC_UnTrack(transport);
    if (transport->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)transport);
    }
    if (transport->watch != NULL) {
        asgi_watch_close(transport->watch);
    }
    type->tp_clear((PyObject *)transport);
    Py_CLEAR(transport->sock);
    Py_CLEAR(transport->context);
    Py_CLEAR(transport->loop);
    ASGI_COUNT(state, transports)--;
    type->tp_free(transport);
    Py_DECREF(type);
}
