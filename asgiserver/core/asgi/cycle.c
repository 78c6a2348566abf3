/* SPDX-License-Identifier: MIT
 *
 * cycle.c: the CycleObject's life; see cycle.h. What it does as a coroutine is in task.c, as
 * receive() and send() in receive.c and send.c.
 */
#include "asgi/cycle.h"

#include "asgi/server.h"
#include "asgi/task.h"
#include "asgi/ws_cycle.h"

CycleObject *
asgi_cycle_new(asgi_conn_t *conn, const asgi_request_t *request)
{
    asgi_server_t *server = conn->server;
    CycleObject *cycle = PyObject_GC_New(CycleObject, server->state->server->CycleType);

    if (cycle == NULL)
        return NULL;
    memset((char *)cycle + sizeof(PyObject), 0, sizeof *cycle - sizeof(PyObject));
    cycle->server = (asgi_server_t *)Py_NewRef((PyObject *)server);
    cycle->conn = conn;
    asgi_link_init(&cycle->link);
    asgi_link_init(&cycle->receivers);
    asgi_link_init(&cycle->senders);
    if (server->stats != NULL)
        cycle->begun = uv_hrtime();
    cycle->method = request->method;
    cycle->minor = request->minor;
    cycle->expect_continue =
        request->expect_continue && (request->content_length > 0 || request->chunked);
    cycle->out.minor = request->minor;
    cycle->out.head_request = request->method == HTTP_HEAD;
    cycle->out.keep_alive = request->keep_alive;
    ASGI_COUNT(server->state, cycles)++;
    PyObject_GC_Track((PyObject *)cycle);
    return cycle;
}

void
asgi_cycle_wake_receivers(CycleObject *cycle)
{
    if (asgi_list_first(&cycle->receivers) != NULL) {
        asgi_loop_acquire(cycle->server->loop);
        asgi_awaitable_wake(cycle->server->state, &cycle->receivers);
    }
}

void
asgi_cycle_wake_senders(CycleObject *cycle)
{
    if (asgi_list_first(&cycle->senders) != NULL) {
        asgi_loop_acquire(cycle->server->loop);
        asgi_awaitable_wake(cycle->server->state, &cycle->senders);
    }
}

void
asgi_cycle_leave(CycleObject *cycle, bool gone)
{
    cycle->conn = NULL;
    cycle->h2 = NULL;
    if (gone)
        cycle->disconnected = true;
    asgi_cycle_wake_receivers(cycle);
    asgi_cycle_wake_senders(cycle);
    Py_DECREF(cycle);
}

static int
cycle_traverse(PyObject *op, visitproc visit, void *arg)
{
    CycleObject *self = (CycleObject *)op;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->server);
    Py_VISIT(self->scope);
    Py_VISIT(self->inner);
    Py_VISIT(self->task);
    return 0;
}

static int
cycle_clear(PyObject *op)
{
    CycleObject *self = (CycleObject *)op;

    Py_CLEAR(self->scope);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->task);
    return 0;
}

static void
cycle_dealloc(PyObject *op)
{
    CycleObject *self = (CycleObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    struct asgi_state *state = self->server->state;

    /* Neither a connection nor the running list refers to it any more: both own a reference. */
    PyObject_GC_UnTrack(op);
    cycle_clear(op);
    Py_CLEAR(self->log_client);
    Py_CLEAR(self->log_path);
    Py_CLEAR(self->trailers);
    asgi_buf_dispose(&self->body);
    asgi_file_free(self->file);
    asgi_ws_free(self->ws);
    ASGI_COUNT(state, cycles)--;
    Py_DECREF((PyObject *)self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

/* The app's coroutine stands behind this one: debuggers, inspect and anyio ask for cr_frame and
 * its like. */
static PyObject *
cycle_getattro(PyObject *op, PyObject *name)
{
    CycleObject *self = (CycleObject *)op;
    PyObject *value = PyObject_GenericGetAttr(op, name);

    if (value == NULL && self->inner != NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(self->inner, name);
    }
    return value;
}

static PyObject *
cycle_next(PyObject *op)
{
    PyObject *result = NULL;

    switch (asgi_task_send((CycleObject *)op, Py_None, &result)) {
    case PYGEN_NEXT:
        return result;
    case PYGEN_RETURN:
        Py_XDECREF(result); /* always None, which a bare NULL means */
        return NULL;
    default:
        return NULL;
    }
}

static PySendResult
cycle_am_send(PyObject *op, PyObject *arg, PyObject **result)
{
    return asgi_task_send((CycleObject *)op, arg, result);
}

static PyMethodDef cycle_methods[] = {
    {"send", asgi_task_send_method, METH_O, "send(value, /)\n--\n\nAs a coroutine's."},
    {"throw", (PyCFunction)(void (*)(void))asgi_task_throw, METH_FASTCALL,
     "throw(exception, /)\n--\n\nAs a coroutine's."},
    {"close", asgi_task_close, METH_NOARGS, "close()\n--\n\nAs a coroutine's."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot cycle_slots[] = {
    {Py_tp_doc, "One request and its response; the coroutine of the request's task."},
    {Py_am_await, Py_NewRef},
    {Py_am_send, cycle_am_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, cycle_next},
    {Py_tp_getattro, cycle_getattro},
    {Py_tp_methods, cycle_methods},
    {Py_tp_traverse, cycle_traverse},
    {Py_tp_clear, cycle_clear},
    {Py_tp_dealloc, cycle_dealloc},
    {0, NULL},
};

static PyType_Spec cycle_spec = {
    .name = "asgiserver._core.Cycle",
    .basicsize = sizeof(CycleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = cycle_slots,
};

PyTypeObject *
asgi_cycle_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &cycle_spec, NULL);
}
