/* SPDX-License-Identifier: MIT
 *
 * handle.c: see handle.h. Dead handles of each kind wait on a free list of the module's state, so
 * that call_soon costs no allocation in a running program.
 */
#include "loop/loop_object.h"

#include "loop/handle.h"

#include <stddef.h>
#include <structmember.h>

#define FREELIST_MAX 256

/* ---- life ---- */

/* The link of an object on the free list lies where its repr was. */
#define FREE_LINK(object) (((HandleObject *)(object))->repr)

static HandleObject *
handle_alloc(struct asgi_state *state, int is_timer)
{
    asgi_freelist_t *list = is_timer ? &state->free_timers : &state->free_handles;
    PyTypeObject *type = (PyTypeObject *)(is_timer ? state->TimerHandleType : state->HandleType);
    HandleObject *handle;

    if (list->head != NULL) {
        handle = (HandleObject *)list->head;
        list->head = FREE_LINK(handle);
        list->length--;
        PyObject_Init((PyObject *)handle, type);
    } else if (is_timer) {
        handle = (HandleObject *)PyObject_GC_New(TimerHandleObject, type);
    } else {
        handle = PyObject_GC_New(HandleObject, type);
    }
    if (handle != NULL) {
        ASGI_COUNT(state, handles)++;
    }
    return handle;
}

/* The stack of the Python code that asked, or NULL with an exception. */
static PyObject *
source_traceback(struct asgi_state *state)
{
    PyObject *stack;
    PyObject *frame = PyObject_CallNoArgs(state->getframe);

    if (frame == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        /* Asked for by C code under no Python frame. */
        PyErr_Clear();
        return PyList_New(0);
    }
    stack = PyObject_CallOneArg(state->extract_stack, frame);
    Py_DECREF(frame);
    return stack;
}

static HandleObject *
handle_make(LoopObject *loop, int is_timer, PyObject *callback, PyObject *const *args,
            Py_ssize_t nargs, PyObject *context)
{
    struct asgi_state *state = loop->head.state;
    PyObject *packed = NULL;
    PyObject *traceback = NULL;
    HandleObject *handle;

    if (context == NULL) {
        context = PyContext_CopyCurrent();
        if (context == NULL) {
            return NULL;
        }
    } else {
        if (!PyContext_CheckExact(context)) {
            PyErr_Format(PyExc_TypeError, "context must be a contextvars.Context, not %.200s",
                         Py_TYPE(context)->tp_name);
            return NULL;
        }
        Py_INCREF(context);
    }
    if (nargs > ASGI_HANDLE_ARGS) {
        packed = PyTuple_New(nargs);
        if (packed == NULL) {
            goto fail;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(packed, i, Py_NewRef(args[i]));
        }
    }
    if (loop->debug) {
        traceback = source_traceback(state);
        if (traceback == NULL) {
            goto fail;
        }
    }
    handle = handle_alloc(state, is_timer);
    if (handle == NULL) {
        goto fail;
    }
    handle->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    handle->callback = Py_NewRef(callback);
    handle->context = context;
    handle->args[0] = packed != NULL ? packed : nargs > 0 ? Py_NewRef(args[0]) : NULL;
    handle->args[1] = nargs == 2 ? Py_NewRef(args[1]) : NULL;
    handle->nargs = nargs;
    handle->traceback = traceback;
    handle->repr = NULL;
    handle->weakrefs = NULL;
    handle->cancelled = 0;
    handle->queued = 0;
    handle->scheduled = 0;
    handle->is_timer = (char)is_timer;
    return handle;

fail:
    Py_DECREF(context);
    Py_XDECREF(packed);
    Py_XDECREF(traceback);
    return NULL;
}

HandleObject *
asgi_handle_new(LoopObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
                PyObject *context)
{
    HandleObject *handle = handle_make(loop, 0, callback, args, nargs, context);

    if (handle != NULL) {
        PyObject_GC_Track(handle);
    }
    return handle;
}

TimerHandleObject *
asgi_timer_handle_new(LoopObject *loop, double when, PyObject *callback, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *context)
{
    TimerHandleObject *timer =
        (TimerHandleObject *)handle_make(loop, 1, callback, args, nargs, context);

    if (timer != NULL) {
        timer->when = when;
        PyObject_GC_Track(timer);
    }
    return timer;
}

static void
handle_drop_call(HandleObject *handle)
{
    Py_CLEAR(handle->callback);
    Py_CLEAR(handle->args[0]);
    Py_CLEAR(handle->args[1]);
    handle->nargs = 0;
}

static int
handle_traverse(HandleObject *handle, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(handle));
    Py_VISIT(handle->loop);
    Py_VISIT(handle->callback);
    Py_VISIT(handle->context);
    Py_VISIT(handle->args[0]);
    Py_VISIT(handle->args[1]);
    Py_VISIT(handle->traceback);
    return 0;
}

static int
handle_clear(HandleObject *handle)
{
    handle->cancelled = 1;
    handle_drop_call(handle);
    Py_CLEAR(handle->traceback);
    return 0;
}

static void
handle_dealloc(HandleObject *handle)
{
    PyTypeObject *type = Py_TYPE(handle);
    struct asgi_state *state = handle->loop->head.state;
    asgi_freelist_t *list = handle->is_timer ? &state->free_timers : &state->free_handles;

    PyObject_GC_UnTrack(handle);
    /* A handle may be an argument of the next, and so on. */
    Py_TRASHCAN_BEGIN(handle, handle_dealloc) if (handle->weakrefs != NULL)
    {
        PyObject_ClearWeakRefs((PyObject *)handle);
    }
    handle_drop_call(handle);
    Py_CLEAR(handle->context);
    Py_CLEAR(handle->traceback);
    Py_CLEAR(handle->repr);
    Py_CLEAR(handle->loop);
    ASGI_COUNT(state, handles)--;
    if (list->length < FREELIST_MAX) {
        FREE_LINK(handle) = list->head;
        list->head = (PyObject *)handle;
        list->length++;
    } else {
        PyObject_GC_Del(handle);
    }
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static void
drain(asgi_freelist_t *list)
{
    while (list->head != NULL) {
        PyObject *object = list->head;
        list->head = FREE_LINK(object);
        PyObject_GC_Del(object);
    }
    /* Full from now on: freeing needs the type, which may be gone at the next opportunity. */
    list->length = FREELIST_MAX;
}

void
asgi_handle_freelist_drain(struct asgi_state *state)
{
    drain(&state->free_handles);
    drain(&state->free_timers);
}

int
asgi_handle_check(struct asgi_state *state, PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    return type == state->HandleType || type == state->TimerHandleType;
}

/* ---- running ---- */

static PyObject *
args_tuple(HandleObject *handle)
{
    if (handle->nargs > ASGI_HANDLE_ARGS) {
        return Py_NewRef(handle->args[0]);
    }
    switch (handle->nargs) {
    case 0:
        return PyTuple_New(0);
    case 1:
        return PyTuple_Pack(1, handle->args[0]);
    default:
        return PyTuple_Pack(2, handle->args[0], handle->args[1]);
    }
}

/* asyncio.format_helpers._format_callback_source(callback, args): a str, or NULL. */
static PyObject *
format_source(HandleObject *handle)
{
    struct asgi_state *state = handle->loop->head.state;
    PyObject *callback = handle->callback != NULL ? handle->callback : Py_None;
    PyObject *source;
    PyObject *args = args_tuple(handle);

    if (args == NULL) {
        return NULL;
    }
#if PY_VERSION_HEX >= 0x030D0000
    /* Since 3.13 the arguments are shown in debug mode only. */
    PyObject *stack[3] = {callback, args, handle->loop->debug ? Py_True : Py_False};
    source = PyObject_Vectorcall(state->format_callback_source, stack, 2, state->debug_kwnames);
#else
    source = PyObject_CallFunctionObjArgs(state->format_callback_source, callback, args, NULL);
#endif
    Py_DECREF(args);
    return source;
}

/* The pending exception of a callback. Returns -1 with it still set where it is to end the loop. */
static int
callback_failed(HandleObject *handle)
{
    struct asgi_state *state = handle->loop->head.state;
    PyObject *exception = asgi_exception_take();
    PyObject *source, *message = NULL, *report = NULL;

    if (asgi_exception_is_fatal(exception)) {
        asgi_exception_raise(exception);
        return -1;
    }
    source = format_source(handle);
    if (source != NULL) {
        message = PyUnicode_FromFormat("Exception in callback %U", source);
        Py_DECREF(source);
    }
    if (message != NULL) {
        report = PyDict_New();
        if (report != NULL
            && (PyDict_SetItem(report, state->str_message, message) < 0
                || PyDict_SetItem(report, state->str_exception, exception) < 0
                || PyDict_SetItem(report, state->str_handle, (PyObject *)handle) < 0
                || (handle->traceback != NULL
                    && PyDict_SetItem(report, state->str_source_traceback, handle->traceback)
                           < 0))) {
            Py_CLEAR(report);
        }
        Py_DECREF(message);
    }
    Py_DECREF(exception);
    asgi_loop_call_handler(handle->loop, report);
    return 0;
}

int
asgi_handle_run(HandleObject *handle)
{
    /* Locals own what is called: the callback may cancel its own handle. */
    PyObject *callback = Py_NewRef(handle->callback);
    PyObject *context = handle->context;
    PyObject *stack[ASGI_HANDLE_ARGS + 1];
    PyObject *first = Py_XNewRef(handle->args[0]);
    PyObject *second = Py_XNewRef(handle->args[1]);
    PyObject *result = NULL;
    Py_ssize_t nargs = handle->nargs;

    if (PyContext_Enter(context) == 0) {
        if (nargs <= ASGI_HANDLE_ARGS) {
            stack[0] = NULL;
            stack[1] = first;
            stack[2] = second;
            result = PyObject_Vectorcall(callback, stack + 1,
                                         (size_t)nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        } else {
            result =
                PyObject_Vectorcall(callback, &PyTuple_GET_ITEM(first, 0), (size_t)nargs, NULL);
        }
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_DECREF(callback);
    Py_XDECREF(first);
    Py_XDECREF(second);
    if (result == NULL) {
        return callback_failed(handle);
    }
    Py_DECREF(result);
    return 0;
}

int
asgi_handle_run_timed(HandleObject *handle)
{
    LoopObject *loop = handle->loop;
    struct asgi_state *state = loop->head.state;
    uint64_t began = uv_hrtime();
    PyObject *exception = NULL;
    PyObject *previous = loop->current_handle;
    double took;
    int result;

    loop->current_handle = Py_NewRef((PyObject *)handle);
    result = asgi_handle_run(handle);
    took = (double)(uv_hrtime() - began) * 1e-9;
    if (result < 0) {
        exception = asgi_exception_take();
    }
    if (took >= loop->slow_callback_duration) {
        PyObject *what = PyObject_CallOneArg(state->format_handle, (PyObject *)handle);
        PyObject *done = what != NULL ? asgi_loop_log(state, "warning", "sOd",
                                                      "Executing %s took %.3f seconds", what, took)
                                      : NULL;
        Py_XDECREF(what);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)handle);
        }
        Py_XDECREF(done);
    }
    Py_XSETREF(loop->current_handle, previous);
    if (exception != NULL) {
        asgi_exception_raise(exception);
    }
    return result;
}

int
asgi_handle_cancel(HandleObject *handle)
{
    if (handle->cancelled) {
        return 0;
    }
    if (handle->loop->debug) {
        /* What a warning about this handle is going to name. */
        PyObject *repr = PyObject_Repr((PyObject *)handle);
        if (repr == NULL) {
            return -1;
        }
        Py_XSETREF(handle->repr, repr);
    }
    handle->cancelled = 1;
    /* The heap may let its reference go, and that may be the last. */
    Py_INCREF(handle);
    if (handle->is_timer) {
        asgi_timers_cancelled(handle->loop, (TimerHandleObject *)handle);
    }
    handle_drop_call(handle);
    Py_DECREF(handle);
    return 0;
}

/* ---- methods ---- */

static PyObject *
handle_cancel(HandleObject *handle, PyObject *Py_UNUSED(ignored))
{
    if (asgi_handle_cancel(handle) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
handle_cancelled(HandleObject *handle, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(handle->cancelled);
}

static PyObject *
handle_get_context(HandleObject *handle, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(handle->context);
}

static PyObject *
handle_run(HandleObject *handle, PyObject *Py_UNUSED(ignored))
{
    if (!handle->cancelled && asgi_handle_run(handle) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
timer_when(TimerHandleObject *timer, PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble(timer->when);
}

/* <Handle cancelled f() at x.py:3 created at x.py:9>, as asyncio words it. */
static PyObject *
handle_repr(HandleObject *handle)
{
    PyObject *parts, *text = NULL, *space = NULL, *joined = NULL;

    if (handle->repr != NULL) {
        return Py_NewRef(handle->repr);
    }
    parts = PyList_New(0);
    if (parts == NULL) {
        return NULL;
    }
#define APPEND(expression)                                    \
    do {                                                      \
        text = (expression);                                  \
        if (text == NULL || PyList_Append(parts, text) < 0) { \
            goto done;                                        \
        }                                                     \
        Py_CLEAR(text);                                       \
    } while (0)
    APPEND(PyUnicode_FromString(handle->is_timer ? "TimerHandle" : "Handle"));
    if (handle->cancelled) {
        APPEND(PyUnicode_FromString("cancelled"));
    }
    if (handle->is_timer) {
        PyObject *when = PyFloat_FromDouble(((TimerHandleObject *)handle)->when);
        if (when == NULL) {
            goto done;
        }
        text = PyUnicode_FromFormat("when=%R", when);
        Py_DECREF(when);
        APPEND(text);
    }
    if (handle->callback != NULL) {
        APPEND(format_source(handle));
    }
    if (handle->traceback != NULL && PyObject_Length(handle->traceback) > 0) {
        PyObject *frame = PySequence_GetItem(handle->traceback, -1);
        PyObject *file = frame != NULL ? PySequence_GetItem(frame, 0) : NULL;
        PyObject *line = file != NULL ? PySequence_GetItem(frame, 1) : NULL;
        text = line != NULL ? PyUnicode_FromFormat("created at %S:%S", file, line) : NULL;
        Py_XDECREF(frame);
        Py_XDECREF(file);
        Py_XDECREF(line);
        APPEND(text);
    }
#undef APPEND
    space = PyUnicode_FromString(" ");
    text = space != NULL ? PyUnicode_Join(space, parts) : NULL;
    if (text != NULL) {
        joined = PyUnicode_FromFormat("<%U>", text);
    }

done:
    Py_XDECREF(space);
    Py_XDECREF(text);
    Py_DECREF(parts);
    return joined;
}

static PyObject *
timer_richcompare(PyObject *left, PyObject *right, int op)
{
    TimerHandleObject *a = (TimerHandleObject *)left;
    TimerHandleObject *b = (TimerHandleObject *)right;
    int same, result;

    if (Py_TYPE(left) != Py_TYPE(right)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    same = a->when == b->when && a->handle.callback == b->handle.callback
           && a->handle.nargs == b->handle.nargs && a->handle.args[0] == b->handle.args[0]
           && a->handle.args[1] == b->handle.args[1] && a->handle.cancelled == b->handle.cancelled;
    switch (op) {
    case Py_LT:
        result = a->when < b->when;
        break;
    case Py_LE:
        result = a->when < b->when || same;
        break;
    case Py_EQ:
        result = same;
        break;
    case Py_NE:
        result = !same;
        break;
    case Py_GT:
        result = a->when > b->when;
        break;
    default:
        result = a->when > b->when || same;
        break;
    }
    return PyBool_FromLong(result);
}

static Py_hash_t
timer_hash(TimerHandleObject *timer)
{
    return _Py_HashDouble((PyObject *)timer, timer->when);
}

static PyObject *
get_class(HandleObject *handle, void *Py_UNUSED(closure))
{
    struct asgi_state *state = handle->loop->head.state;
    return Py_NewRef(handle->is_timer ? state->asyncio_TimerHandle : state->asyncio_Handle);
}

static PyObject *
get_args(HandleObject *handle, void *Py_UNUSED(closure))
{
    return handle->callback == NULL ? Py_NewRef(Py_None) : args_tuple(handle);
}

static PyMethodDef handle_methods[] = {
    {"cancel", (PyCFunction)handle_cancel, METH_NOARGS, "Keep the callback from being called."},
    {"cancelled", (PyCFunction)handle_cancelled, METH_NOARGS, "True once cancel() was called."},
    {"get_context", (PyCFunction)handle_get_context, METH_NOARGS,
     "The contextvars.Context the callback runs in."},
    {"_run", (PyCFunction)handle_run, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef timer_methods[] = {
    {"when", (PyCFunction)timer_when, METH_NOARGS, "The time of the call, by loop.time()."},
    {"cancel", (PyCFunction)handle_cancel, METH_NOARGS, "Keep the callback from being called."},
    {"cancelled", (PyCFunction)handle_cancelled, METH_NOARGS, "True once cancel() was called."},
    {"get_context", (PyCFunction)handle_get_context, METH_NOARGS,
     "The contextvars.Context the callback runs in."},
    {"_run", (PyCFunction)handle_run, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* The names asyncio's own Python code looks at. */
#define HANDLE_MEMBERS                                                                      \
    {"_callback", T_OBJECT, offsetof(HandleObject, callback), READONLY, NULL},              \
        {"_context", T_OBJECT, offsetof(HandleObject, context), READONLY, NULL},            \
        {"_loop", T_OBJECT, offsetof(HandleObject, loop), READONLY, NULL},                  \
        {"_source_traceback", T_OBJECT, offsetof(HandleObject, traceback), READONLY, NULL}, \
        {"_repr", T_OBJECT, offsetof(HandleObject, repr), READONLY, NULL},                  \
        {"_cancelled", T_BOOL, offsetof(HandleObject, cancelled), READONLY, NULL},          \
    {                                                                                       \
        "__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs), READONLY, NULL  \
    }

static PyMemberDef handle_members[] = {
    HANDLE_MEMBERS,
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef timer_members[] = {
    HANDLE_MEMBERS,
    {"_when", T_DOUBLE, offsetof(TimerHandleObject, when), READONLY, NULL},
    {"_scheduled", T_BOOL, offsetof(HandleObject, scheduled), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"__class__", (getter)get_class, NULL, NULL, NULL},
    {"_args", (getter)get_args, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, "What call_soon() returns: a call that can still be cancelled."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_members, handle_members},
    {Py_tp_getset, handle_getset},
    {0, NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "What call_later() and call_at() return."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, handle_repr},
    {Py_tp_richcompare, timer_richcompare},
    {Py_tp_hash, timer_hash},
    {Py_tp_methods, timer_methods},
    {Py_tp_members, timer_members},
    {Py_tp_getset, handle_getset},
    {0, NULL},
};

#define HANDLE_FLAGS                                                             \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION \
     | Py_TPFLAGS_IMMUTABLETYPE)

static PyType_Spec handle_spec = {
    .name = "asgiserver._core.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = HANDLE_FLAGS,
    .slots = handle_slots,
};

static PyType_Spec timer_spec = {
    .name = "asgiserver._core.TimerHandle",
    .basicsize = sizeof(TimerHandleObject),
    .flags = HANDLE_FLAGS,
    .slots = timer_slots,
};

int
asgi_handle_exec(PyObject *module, struct asgi_state *state)
{
    state->HandleType = PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    if (state->HandleType == NULL
        || PyModule_AddType(module, (PyTypeObject *)state->HandleType) < 0) {
        return -1;
    }
    state->TimerHandleType = PyType_FromModuleAndSpec(module, &timer_spec, NULL);
    if (state->TimerHandleType == NULL
        || PyModule_AddType(module, (PyTypeObject *)state->TimerHandleType) < 0) {
        return -1;
    }
    return 0;
}
