/* SPDX-License-Identifier: MIT
 *
 * awaitable.c: the awaitables of receive() and send(); see awaitable.h.
 *
 * An awaitable sleeps on an asyncio future of the loop: it hands out what the future's own
 * iterator yields, so tasks (and their cancellation) see nothing unusual. It is linked into its
 * exchange while it sleeps; whoever wakes the list unlinks it and completes the future.
 */
#include "asgi/awaitable.h"

#include "asgi/cycle.h"
#include "asgi/receive.h"
#include "asgi/send.h"
#include "asgi/server.h"
#include "net/conn_http1.h"

static void
drop_waiter(AwaitableObject *self)
{
    PyObject *future = self->future, *waiter = self->waiter;

    asgi_link_remove(&self->link);
    self->future = self->waiter = NULL;
    Py_XDECREF(waiter);
    Py_XDECREF(future);
}

/* Returns: new, what to yield to the task, or NULL with an exception. */
static PyObject *
sleep_on_future(AwaitableObject *self, asgi_link_t *list)
{
    asgi_server_t *server = self->cycle->server;
    struct asgi_state *state = server->state;
    PyObject *args[] = {(PyObject *)server->loop};

    self->future = PyObject_Vectorcall(state->Future, args, 0, state->server->future_kwnames);
    if (self->future == NULL)
        return NULL;
    self->waiter = Py_TYPE(self->future)->tp_as_async->am_await(self->future);
    if (self->waiter == NULL) {
        drop_waiter(self);
        return NULL;
    }
    asgi_list_push(list, &self->link);
    return Py_TYPE(self->waiter)->tp_iternext(self->waiter);
}

/* The future was completed or cancelled. Returns 0, 1 when it has to be waited for still
 * (*yielded: new), or -1 with its exception. */
static int
wake_up(AwaitableObject *self, PyObject **yielded)
{
    PyObject *waiter = self->waiter;

    *yielded = Py_TYPE(waiter)->tp_iternext(waiter);
    if (*yielded != NULL)
        return 1;
    drop_waiter(self);
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_StopIteration))
            return -1;
        PyErr_Clear();
    }
    return 0;
}

static PyObject *
awaitable_next(PyObject *op)
{
    AwaitableObject *self = (AwaitableObject *)op;
    CycleObject *cycle = self->cycle;
    PyObject *message;

    if (self->waiter != NULL) {
        PyObject *yielded;
        int rc = wake_up(self, &yielded);
        if (rc < 0)
            self->kind = ASGI_AWAIT_OVER;
        if (rc != 0)
            return yielded;
    }
    switch (self->kind) {
    case ASGI_AWAIT_READY:
        return NULL;
    case ASGI_AWAIT_YIELD:
        self->kind = ASGI_AWAIT_READY;
        Py_RETURN_NONE;
    case ASGI_AWAIT_RECEIVE:
        message = asgi_receive_take(cycle);
        if (message != NULL) {
            self->kind = ASGI_AWAIT_OVER;
            PyErr_SetObject(PyExc_StopIteration, message);
            Py_DECREF(message);
            return NULL;
        }
        return PyErr_Occurred() ? NULL : sleep_on_future(self, &cycle->receivers);
    case ASGI_AWAIT_DRAIN:
        if (asgi_send_must_wait(cycle)) {
            PyObject *yielded = sleep_on_future(self, &cycle->senders);
            asgi_http1_conn_set_deadline(cycle->conn, false);
            return yielded;
        }
        self->kind = ASGI_AWAIT_READY;
        return NULL;
    case ASGI_AWAIT_OVER:
        break;
    }
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited receive()");
    return NULL;
}

static PyObject *
awaitable_send(PyObject *op, PyObject *arg)
{
    PyObject *yielded = awaitable_next(op);

    if (yielded == NULL && !PyErr_Occurred())
        PyErr_SetNone(PyExc_StopIteration);
    return yielded;
}

PyDoc_STRVAR(awaitable_throw_doc, "throw(exception, /)\n--\n\nEnds the wait with an exception.");

static PyObject *
awaitable_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    AwaitableObject *self = (AwaitableObject *)op;
    PyObject *type, *value;

    if (count < 1 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes one exception");
        return NULL;
    }
    if (self->waiter != NULL)
        drop_waiter(self);
    if (self->kind != ASGI_AWAIT_READY)
        self->kind = ASGI_AWAIT_OVER;
    value = count > 1 && args[1] != Py_None ? args[1] : args[0];
    if (PyExceptionInstance_Check(value)) {
        PyErr_SetObject((PyObject *)Py_TYPE(value), value);
    } else if (PyExceptionClass_Check(args[0])) {
        type = args[0];
        PyErr_SetObject(type, value == type ? NULL : value);
    } else {
        PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
    }
    return NULL;
}

static PyObject *
awaitable_close(PyObject *op, PyObject *unused)
{
    AwaitableObject *self = (AwaitableObject *)op;

    if (self->waiter != NULL)
        drop_waiter(self);
    if (self->kind != ASGI_AWAIT_READY)
        self->kind = ASGI_AWAIT_OVER;
    Py_RETURN_NONE;
}

static int
awaitable_traverse(PyObject *op, visitproc visit, void *arg)
{
    AwaitableObject *self = (AwaitableObject *)op;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->cycle);
    Py_VISIT(self->future);
    Py_VISIT(self->waiter);
    return 0;
}

static int
awaitable_clear(PyObject *op)
{
    AwaitableObject *self = (AwaitableObject *)op;

    drop_waiter(self);
    Py_CLEAR(self->cycle);
    if (self->kind != ASGI_AWAIT_READY)
        self->kind = ASGI_AWAIT_OVER;
    return 0;
}

static void
awaitable_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    awaitable_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef awaitable_methods[] = {
    {"send", awaitable_send, METH_O, "send(value, /)\n--\n\nAs a coroutine's."},
    {"throw", (PyCFunction)(void (*)(void))awaitable_throw, METH_FASTCALL, awaitable_throw_doc},
    {"close", awaitable_close, METH_NOARGS, "close()\n--\n\nGives up the wait."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot awaitable_slots[] = {
    {Py_tp_doc, "What receive() and send() return."},
    {Py_am_await, Py_NewRef},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaitable_next},
    {Py_tp_methods, awaitable_methods},
    {Py_tp_traverse, awaitable_traverse},
    {Py_tp_clear, awaitable_clear},
    {Py_tp_dealloc, awaitable_dealloc},
    {0, NULL},
};

static PyType_Spec awaitable_spec = {
    .name = "asgiserver._core.Awaitable",
    .basicsize = sizeof(AwaitableObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaitable_slots,
};

PyTypeObject *
asgi_awaitable_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &awaitable_spec, NULL);
}

static PyObject *
new_awaitable(PyTypeObject *type, CycleObject *cycle, asgi_await_kind_t kind)
{
    AwaitableObject *self = PyObject_GC_New(AwaitableObject, type);

    if (self == NULL)
        return NULL;
    self->cycle = (CycleObject *)Py_XNewRef(cycle);
    self->future = self->waiter = NULL;
    self->kind = kind;
    asgi_link_init(&self->link);
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

PyObject *
asgi_awaitable_ready(PyTypeObject *type)
{
    return new_awaitable(type, NULL, ASGI_AWAIT_READY);
}

PyObject *
asgi_awaitable_new(struct asgi_state *state, CycleObject *cycle, asgi_await_kind_t kind)
{
    return new_awaitable(state->server->AwaitableType, cycle, kind);
}

void
asgi_awaitable_wake(struct asgi_state *state, asgi_link_t *list)
{
    struct asgi_server_state *own = state->server;
    asgi_link_t *first;

    while ((first = asgi_list_first(list)) != NULL) {
        AwaitableObject *self = ASGI_CONTAINER(first, AwaitableObject, link);
        PyObject *future = Py_NewRef(self->future), *done, *result = NULL;

        asgi_link_remove(first);
        done = PyObject_CallMethodNoArgs(future, own->str_done);
        if (done == Py_False)
            result = PyObject_CallMethodOneArg(future, own->str_set_result, Py_None);
        if (done == NULL || (done == Py_False && result == NULL))
            PyErr_WriteUnraisable(future);
        Py_XDECREF(done);
        Py_XDECREF(result);
        Py_DECREF(future);
    }
}
