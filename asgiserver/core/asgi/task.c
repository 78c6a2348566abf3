/* SPDX-License-Identifier: MIT
 *
 * task.c: the steps of a request's coroutine, and what its end means for the response.
 *
 *   how the app ended               response not started        started, not complete   complete
 *   returned None                   500, logged                 end of connection, logged   -
 *   returned something else         500, logged                 end of connection, logged   logged
 *   raised                          500, logged                 end of connection, logged   logged
 *   cancelled, exit, interrupt      500                         end of connection           -
 *                                   (and the task ends with that exception)
 *
 * On an HTTP/2 stream, RST_STREAM with INTERNAL_ERROR stands for the end of the connection.
 *
 * A WebSocket that was accepted is closed instead: with 1000 where the app returned, with 1011 where
 * it raised. With the client gone nothing is answered; exceptions are logged all the same, but for
 * the one that told a WebSocket's app so.
 */
#include "asgi/task.h"

#include "asgi/accesslog.h"
#include "asgi/receive.h"
#include "asgi/send.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"
#include "net/conn_http1.h"
#include "net/conn_http2.h"
#include "net/stream_tls.h"

static void
count_task(asgi_server_t *server, int change)
{
    server->tasks += (size_t)change;
    if (server->stats != NULL)
        asgi_stats_set(server->stats->tasks, server->tasks);
}

int
asgi_task_start(CycleObject *cycle)
{
    asgi_server_t *server = cycle->server;
    struct asgi_state *state = server->state;
    PyObject *context = PyContext_Copy(server->context);
    PyObject *args[] = {(PyObject *)cycle, (PyObject *)server->loop, context,
                        state->server->str_task_name};

    if (context == NULL)
        return -1;
    cycle->task = PyObject_Vectorcall(state->Task, args, 1, state->server->task_kwnames);
    Py_DECREF(context);
    if (cycle->task == NULL)
        return -1;
    cycle->running = true;
    count_task(server, 1);
    asgi_list_push(&server->cycles, &cycle->link);
    Py_INCREF(cycle);
    asgi_server_hold(server);
    return 0;
}

void
asgi_task_forget(CycleObject *cycle)
{
    asgi_server_t *server = cycle->server;

    if (!cycle->running)
        return;
    cycle->running = false;
    count_task(server, -1);
    asgi_link_remove(&cycle->link);
    Py_CLEAR(cycle->task);
    asgi_server_release(server); /* the cycle's own reference keeps it for the next line */
    Py_DECREF(cycle);
}

static void
raise_again(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
#endif
}

/* Nothing (more) comes from the app: the response is given up. */
static void
abandon(CycleObject *cycle, unsigned ws_code)
{
    asgi_conn_t *conn = cycle->conn;

    if (conn == NULL)
        return;
    if (asgi_ws_accepted(cycle)) {
        asgi_ws_app_over(cycle, ws_code);
        return;
    }
    if (!cycle->started) {
        asgi_accesslog_write(cycle, 500);
        if (cycle->h2 != NULL)
            asgi_http2_conn_refuse(conn, cycle->h2, 500, "Internal Server Error");
        else
            asgi_http1_conn_refuse(conn, 500, "Internal Server Error");
        asgi_server_count_request(cycle, 500);
    } else if (cycle->h2 != NULL) {
        asgi_http2_conn_give_up(conn, cycle->h2, ASGI_HTTP2_INTERNAL_ERROR);
    } else {
        /* What was sent is sent; no terminator follows, so the client sees it was cut short. */
        if (cycle->server->stats != NULL)
            asgi_stats_count(cycle->server->stats->unfinished, 1);
        asgi_conn_detach(conn, true);
        asgi_stream_tls_cut(&conn->stream);
        asgi_conn_end(conn);
    }
}

/* Whether the app let through what send() raised because the WebSocket's client had gone. */
static bool
is_client_gone(CycleObject *cycle, PyObject *exception)
{
    return cycle->ws != NULL && (cycle->conn == NULL || cycle->ws->code != 0)
           && PyErr_GivenExceptionMatches(exception, PyExc_ConnectionResetError);
}

/* The app returned `value`, or raised (value NULL). Returns whether the exception is the task's
 * to keep (it is pending then). */
static bool
finish(CycleObject *cycle, PyObject *value)
{
    asgi_server_t *server = cycle->server;
    bool keep = false;
    PyObject *exception;

    Py_CLEAR(cycle->inner);
    if (value == NULL) {
        exception = asgi_exception_take();
        keep = !PyErr_GivenExceptionMatches(exception, PyExc_Exception);
        if (!keep && !is_client_gone(cycle, exception))
            asgi_server_log(server, 40, "Exception in ASGI application", exception);
        abandon(cycle, ASGI_WS_INTERNAL_ERROR);
        if (keep)
            raise_again(exception);
        else
            Py_DECREF(exception);
    } else if (value != Py_None) {
        PyObject *text = PyUnicode_FromFormat("ASGI callable should return None, but returned "
                                              "'%S'.",
                                              value);
        const char *utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
        if (utf8 == NULL)
            PyErr_Clear();
        asgi_server_log(server, 40, utf8 != NULL ? utf8 : "ASGI callable should return None.",
                        NULL);
        Py_XDECREF(text);
        abandon(cycle, ASGI_WS_NORMAL);
    } else if (cycle->conn != NULL && cycle->file != NULL && cycle->file_last) {
        /* All was said; the file's last bytes end the exchange. */
    } else if (cycle->conn != NULL) {
        /* The exchange is still the connection's: it was not answered in full, or it is a
         * WebSocket, which the app ends by returning. */
        const char *problem = cycle->started ? "ASGI callable returned without completing response."
                              : cycle->ws == NULL
                                  ? "ASGI callable returned without starting response."
                                  : "ASGI callable returned without sending handshake.";
        bool excused = cycle->ws != NULL
                           ? cycle->peer_closed || asgi_ws_accepted(cycle)
                           : cycle->peer_closed && (cycle->started || !cycle->request_over);
        if (!excused)
            asgi_server_log(server, 40, problem, NULL);
        abandon(cycle, ASGI_WS_NORMAL);
    }
    return keep;
}

/* Calls the app. Returns 0 with cycle->inner set, or -1 with an exception. */
static int
call_app(CycleObject *cycle)
{
    PyObject *receive = asgi_receive_bind(cycle), *send = asgi_send_bind(cycle), *awaitable = NULL;
    PyObject *scope = cycle->scope;

    cycle->scope = NULL;
    cycle->called = true;
    if (receive != NULL && send != NULL && scope != NULL) {
        PyObject *args[] = {scope, receive, send};
        awaitable = PyObject_Vectorcall(cycle->server->app, args, 3, NULL);
    }
    Py_XDECREF(scope);
    Py_XDECREF(receive);
    Py_XDECREF(send);
    if (awaitable == NULL)
        return -1;
    if (PyCoro_CheckExact(awaitable)) {
        cycle->inner = awaitable;
        return 0;
    }
    if (Py_TYPE(awaitable)->tp_as_async != NULL
        && Py_TYPE(awaitable)->tp_as_async->am_await != NULL) {
        cycle->inner = Py_TYPE(awaitable)->tp_as_async->am_await(awaitable);
        if (cycle->inner != NULL && !PyIter_Check(cycle->inner)) {
            PyErr_SetString(PyExc_TypeError, "__await__() returned no iterator");
            Py_CLEAR(cycle->inner);
        }
    } else {
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                     Py_TYPE(awaitable)->tp_name);
    }
    Py_DECREF(awaitable);
    return cycle->inner != NULL ? 0 : -1;
}

/* The end of a step. value: what the app returned, stolen, or NULL with its exception. */
static PySendResult
step_over(CycleObject *cycle, PyObject *value, PyObject **result)
{
    bool keep;

    Py_INCREF(cycle);
    keep = finish(cycle, value);
    Py_XDECREF(value);
    asgi_task_forget(cycle);
    Py_DECREF(cycle);
    if (keep)
        return PYGEN_ERROR;
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

PySendResult
asgi_task_send(CycleObject *cycle, PyObject *arg, PyObject **result)
{
    PyObject *inner, *value = NULL;
    PySendResult rc;

    cycle->streak = 0;
    cycle->streak_bytes = 0;
    if (cycle->inner == NULL) {
        if (cycle->called) {
            PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
            return PYGEN_ERROR;
        }
        if (call_app(cycle) < 0)
            return step_over(cycle, NULL, result);
    }
    inner = Py_NewRef(cycle->inner);
    rc = PyIter_Send(inner, arg, &value);
    Py_DECREF(inner);
    if (rc == PYGEN_NEXT) {
        *result = value;
        return rc;
    }
    return step_over(cycle, rc == PYGEN_RETURN ? value : NULL, result);
}

/* A step's outcome in the form of a method: StopIteration for the end. */
static PyObject *
as_method_result(PySendResult rc, PyObject *result)
{
    if (rc == PYGEN_NEXT)
        return result;
    if (rc == PYGEN_RETURN) {
        Py_XDECREF(result);
        PyErr_SetNone(PyExc_StopIteration);
    }
    return NULL;
}

PyObject *
asgi_task_send_method(PyObject *op, PyObject *arg)
{
    PyObject *result = NULL;

    return as_method_result(asgi_task_send((CycleObject *)op, arg, &result), result);
}

PyObject *
asgi_task_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    CycleObject *cycle = (CycleObject *)op;
    PyObject *result = NULL, *value = NULL, *yielded = NULL;

    if (count < 1 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes one exception");
        return NULL;
    }
    cycle->streak = 0;
    if (cycle->inner != NULL) {
        PyObject *inner = Py_NewRef(cycle->inner);
        PyObject *method = PyObject_GetAttr(inner, cycle->server->state->server->str_throw_);
        if (method != NULL) {
            yielded = PyObject_Vectorcall(method, args, (size_t)count, NULL);
            Py_DECREF(method);
        }
        Py_DECREF(inner);
        if (yielded != NULL)
            return yielded;
        if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyObject *stop = asgi_exception_take();
            value = PyObject_GetAttrString(stop, "value");
            Py_DECREF(stop);
        }
    } else {
        /* Cancelled before its first step. */
        cycle->called = true;
        Py_CLEAR(cycle->scope);
        if (PyExceptionInstance_Check(args[0]))
            PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
        else
            PyErr_SetObject(args[0], count > 1 && args[1] != Py_None ? args[1] : NULL);
    }
    return as_method_result(step_over(cycle, value, &result), result);
}

PyObject *
asgi_task_close(PyObject *op, PyObject *unused)
{
    CycleObject *cycle = (CycleObject *)op;
    PyObject *inner = cycle->inner, *closed = NULL;

    cycle->called = true;
    cycle->inner = NULL;
    Py_CLEAR(cycle->scope);
    Py_INCREF(op);
    if (inner != NULL) {
        closed = PyObject_CallMethodNoArgs(inner, cycle->server->state->server->str_close);
        Py_DECREF(inner);
    }
    asgi_task_forget(cycle);
    Py_DECREF(op);
    if (inner != NULL && closed == NULL)
        return NULL;
    Py_XDECREF(closed);
    Py_RETURN_NONE;
}
