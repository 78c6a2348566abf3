/* SPDX-License-Identifier: MIT
 *
 * expose.c: JavaScript calls Python (expose.h has the rules), and Context.expose.
 *
 * V8 calls jsrt_expose_on_call with the GIL held or, in a long call, put down. The arguments are
 * converted one by one, Python runs with the engine open, and what it returns goes back. An
 * awaitable becomes a task of the running loop and a promise, which a Settler, the task's
 * callback, settles when the task is done.
 */
#include "expose.h"

#include <signal.h>
#include <structmember.h>

#include "bridge.h"
#include "error.h"
#include "object.h"
#include "realm.h"
#include "to_js.h"
#include "view.h"

enum { ARGUMENTS_INLINE = 8 };

/* ---- Python's exceptions in JavaScript ---------------------------------------------------------- */

/* What JavaScript is given of an exception; its texts are kept by args. */
typedef struct {
    jsrt_args_t args;
    PyObject *exception;              /* owned, or V8's */
    PyObject *name, *message, *stack; /* owned, may be NULL */
    PyObject *value;                  /* owned: a handle of what JavaScript had thrown, or NULL */
    jsv8_thrown_t thrown;
} exception_t;

static void
text_or_nothing(jsrt_args_t *args, PyObject *text, jsv8_value_t *out)
{
    out->tag = JSV8_UNDEFINED;
    if (text == NULL || !PyUnicode_Check(text) || jsrt_text_to_js(args, text, out) < 0) {
        PyErr_Clear();
        out->tag = JSV8_UNDEFINED;
    }
}

/* Steals exception. keep: whether it shall come out of JavaScript as the same object. Runs Python
 * (__str__); leaves no exception set. */
static void
exception_init(exception_t *out, jsrt_state_t *state, PyObject *exception, int keep)
{
    jsrt_args_init(&out->args, state);
    out->exception = exception;
    out->stack = out->value = NULL;
    out->thrown.value = NULL;
    if (PyObject_TypeCheck(exception, (PyTypeObject *)state->JSError)) {
        /* JavaScript's own, on its way through Python: the same object again, where it is at hand,
         * else one with the stack it had. */
        out->name = PyObject_GetAttrString(exception, "name");
        out->message = PyObject_GetAttrString(exception, "message");
        out->stack = PyObject_GetAttrString(exception, "stack");
        out->value = PyObject_GetAttrString(exception, "_thrown");
        if (out->value != NULL && jsrt_object_check(state, out->value)) {
            out->thrown.value = ((HandleObject *)out->value)->ref;
        }
    } else {
        out->name = PyObject_GetAttrString((PyObject *)Py_TYPE(exception), "__name__");
        out->message = PyObject_Str(exception);
    }
    PyErr_Clear();
    text_or_nothing(&out->args, out->name, &out->thrown.name);
    text_or_nothing(&out->args, out->message, &out->thrown.message);
    text_or_nothing(&out->args, out->stack, &out->thrown.stack);
    if (out->stack != NULL && PyUnicode_Check(out->stack)
        && PyUnicode_GET_LENGTH(out->stack) == 0) {
        out->thrown.stack.tag = JSV8_UNDEFINED;
    }
    out->thrown.object = keep ? exception : NULL;
    out->thrown.taken = 0;
}

static void
exception_dispose(exception_t *out)
{
    if (!out->thrown.taken) {
        Py_DECREF(out->exception);
    } else if (out->value != NULL) {
        /* Else the exception would keep JavaScript's error, and that the exception, for good. */
        if (PyObject_SetAttrString(out->exception, "_thrown", Py_None) < 0) {
            PyErr_Clear();
        }
    }
    Py_XDECREF(out->name);
    Py_XDECREF(out->message);
    Py_XDECREF(out->stack);
    Py_XDECREF(out->value);
    jsrt_args_release(&out->args);
}

/* One that JavaScript must not catch. Returns whether JavaScript is stopped, exception is stolen
 * then. */
static int
stop(EngineObject *engine, jsv8_isolate_t *isolate, PyObject *exception)
{
    if (jsrt_watch_busy(&engine->watch)) {
        Py_XSETREF(engine->watch.raised, exception);
        engine->watch.stopped = 1;
        jsrt_v8.terminate(isolate);
        return 1;
    }
    /* A callback of casgi's loop, in Node's hands: no call is there to raise it. */
    if (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt)) {
        PyErr_SetInterruptEx(SIGINT);
    } else {
        jsrt_bridge_report(engine, exception);
    }
    return 0;
}

/* Throws the exception that is set into JavaScript. */
static void
throw_set(EngineObject *engine, jsv8_isolate_t *isolate, jsv8_frame_t *frame)
{
    PyObject *exception = jsrt_error_fetch();
    int ordinary = PyErr_GivenExceptionMatches(exception, PyExc_Exception);
    if (!ordinary && stop(engine, isolate, exception)) {
        return;
    }
    exception_t thrown;
    exception_init(&thrown, engine->state, exception, ordinary);
    jsrt_v8.frame_throw(frame, &thrown.thrown);
    jsrt_watch_regain(&engine->watch);
    exception_dispose(&thrown);
}

static void
throw_text(jsv8_frame_t *frame, const char *text)
{
    jsv8_thrown_t thrown = {
        .name = {.tag = JSV8_UNDEFINED},
        .message = {.tag = JSV8_LATIN1, .u.text = {text, strlen(text)}},
        .stack = {.tag = JSV8_UNDEFINED},
    };
    jsrt_v8.frame_throw(frame, &thrown);
}

/* ---- Promises for awaitables --------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    ContextObject *context; /* owned */
    EngineObject *engine;   /* owned */
    jsv8_ref_t *resolver;   /* owned */
    int iterating;          /* StopAsyncIteration is the end of an iteration */
} SettlerObject;

/* Rejects the promise with the exception that is set. Inside, or not if entering failed. */
static jsv8_status_t
reject_set(SettlerObject *settler, jsv8_error_t *error)
{
    jsrt_state_t *state = settler->engine->state;
    PyObject *exception = jsrt_error_fetch();
    /* A task that was cancelled is no reason for whoever awaits the promise to be cancelled. */
    exception_t thrown;
    exception_init(&thrown, state, exception,
                   PyErr_GivenExceptionMatches(exception, PyExc_Exception));
    jsv8_status_t status = jsrt_v8.settle(settler->resolver, NULL, &thrown.thrown, error);
    jsrt_watch_regain(&settler->engine->watch);
    exception_dispose(&thrown);
    return status;
}

/* The task is done: its callback. */
static PyObject *
settle(SettlerObject *settler, PyObject *task)
{
    EngineObject *engine = settler->engine;
    jsrt_state_t *state = engine->state;
    if (PySet_Discard(state->tasks, task) < 0) {
        return NULL;
    }
    jsrt_args_t args;
    jsv8_value_t value;
    jsv8_error_t error;
    jsrt_args_init(&args, state);
    args.share = settler->context->share;
    PyObject *failure = NULL;
    PyObject *result = PyObject_CallMethod(task, "result", NULL);
    if (result == NULL || jsrt_to_js(&args, result, &value, -1) < 0) {
        failure = jsrt_error_fetch();
    }
    PyObject *out = NULL;
    if (jsrt_v8.ref_isolate(settler->resolver) == NULL || engine->closed || settler->context->closed
        || jsrt_unusable) {
        out = Py_NewRef(Py_None); /* nobody waits any more */
        goto done;
    }
    if (jsrt_engine_enter(engine) < 0) {
        goto done;
    }
    if (engine->scope != settler->context && jsrt_realm_switch(settler->context, engine) < 0) {
        jsrt_engine_leave(engine);
        goto done;
    }
    jsv8_status_t status = JSV8_OK;
    if (jsrt_v8.ref_isolate(settler->resolver) != NULL) {
        int ended = settler->iterating && failure != NULL
                    && PyErr_GivenExceptionMatches(failure, PyExc_StopAsyncIteration);
        if (failure == NULL || ended) {
            status = jsrt_v8.settle(settler->resolver, ended ? NULL : &value, NULL, &error);
            jsrt_watch_regain(&engine->watch);
            if (status == JSV8_CONVERSION || status == JSV8_NO_MEMORY) {
                jsrt_error_raise(state, status, &error);
                status = reject_set(settler, &error);
            }
        } else {
            PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
            status = reject_set(settler, &error);
        }
    }
    if (status != JSV8_OK || engine->watch.raised != NULL) {
        jsrt_engine_raise(engine, status, &error); /* of what waited for the promise */
    } else {
        out = Py_NewRef(Py_None);
    }
    if (engine->isolate != NULL && !engine->condemned) {
        jsrt_bridge_after_call(engine);
    }
    jsrt_engine_leave(engine);
done:
    jsrt_args_release(&args);
    Py_XDECREF(failure);
    Py_XDECREF(result);
    return out;
}

static PyObject *
settler_vectorcall(PyObject *self, PyObject *const *objects, size_t flagged, PyObject *keywords)
{
    if (PyVectorcall_NARGS(flagged) != 1) {
        PyErr_SetString(PyExc_TypeError, "a settler takes the task that is done");
        return NULL;
    }
    return settle((SettlerObject *)self, objects[0]);
}

static int
settler_traverse(SettlerObject *settler, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(settler));
    Py_VISIT(settler->context);
    Py_VISIT(settler->engine);
    return 0;
}

static void
settler_dealloc(SettlerObject *settler)
{
    PyTypeObject *type = Py_TYPE(settler);
    PyObject_GC_UnTrack(settler);
    if (settler->resolver != NULL && !jsrt_unusable) {
        jsrt_v8.ref_free(settler->resolver);
    }
    Py_DECREF(settler->context);
    Py_DECREF(settler->engine);
    PyObject_GC_Del(settler);
    Py_DECREF(type);
}

static PyObject *
ensure_future(jsrt_state_t *state, PyObject *awaitable, PyObject *loop)
{
    if (state->ensure_future == NULL) {
        PyObject *module = PyImport_ImportModule("asyncio.tasks");
        state->ensure_future = module ? PyObject_GetAttrString(module, "ensure_future") : NULL;
        Py_XDECREF(module);
        if (state->ensure_future == NULL) {
            return NULL;
        }
    }
    PyObject *arguments = PyTuple_Pack(1, awaitable);
    PyObject *keywords = arguments ? Py_BuildValue("{s:O}", "loop", loop) : NULL;
    PyObject *task = keywords ? PyObject_Call(state->ensure_future, arguments, keywords) : NULL;
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    return task;
}

/* A coroutine that nobody will run says so when it is dropped, unless it is closed. */
static void
close_coroutine(PyObject *awaitable)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallMethod(awaitable, "close", NULL);
    Py_XDECREF(done);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

/* Returns a promise for the awaitable to JavaScript. Returns 0, or -1 with an exception. */
static int
return_promise(EngineObject *engine, jsv8_frame_t *frame, PyObject *awaitable, int iterating)
{
    jsrt_state_t *state = engine->state;
    PyObject *loop = jsrt_bridge_running_loop(state), *task = NULL;
    SettlerObject *settler = NULL;
    jsv8_error_t error;
    int code = -1;
    if (loop == NULL) {
        close_coroutine(awaitable);
        PyErr_SetString(PyExc_RuntimeError, "JavaScript has called an async function of Python's, "
                                            "but no event loop is running");
        return -1;
    }
    if (jsrt_engine_context(engine) == NULL || jsrt_bridge_start(engine, loop) < 0) {
        close_coroutine(awaitable);
        goto done;
    }
    settler = PyObject_GC_New(SettlerObject, state->SettlerType);
    if (settler == NULL) {
        close_coroutine(awaitable);
        goto done;
    }
    settler->vectorcall = settler_vectorcall;
    settler->context = (ContextObject *)Py_NewRef(jsrt_engine_context(engine));
    settler->engine = (EngineObject *)Py_NewRef(engine);
    settler->resolver = NULL;
    settler->iterating = iterating;
    PyObject_GC_Track(settler);
    task = ensure_future(state, awaitable, loop);
    if (task == NULL || PySet_Add(state->tasks, task) < 0) {
        goto done;
    }
    jsv8_status_t status = jsrt_v8.frame_promise(frame, &settler->resolver, &error);
    jsrt_watch_regain(&engine->watch);
    if (status != JSV8_OK) {
        jsrt_error_raise(state, JSV8_NO_MEMORY, &error);
        goto done;
    }
    PyObject *added = PyObject_CallMethod(task, "add_done_callback", "O", settler);
    code = added != NULL ? 0 : -1;
    Py_XDECREF(added);
done:
    Py_XDECREF(task);
    Py_XDECREF(settler);
    Py_DECREF(loop);
    return code;
}

/* ---- Calls ----------------------------------------------------------------------------------------- */

static int
is_awaitable(jsrt_state_t *state, PyObject *object)
{
    PyAsyncMethods *async = Py_TYPE(object)->tp_as_async;
    return async != NULL && async->am_await != NULL && !jsrt_object_check(state, object);
}

static int
shares(const EngineObject *engine)
{
    const ContextObject *context = jsrt_engine_context(engine);
    return context != NULL && context->share;
}

static int
return_value(EngineObject *engine, jsv8_frame_t *frame, PyObject *result)
{
    jsrt_args_t args;
    jsv8_value_t value;
    jsv8_error_t error;
    jsrt_args_init(&args, engine->state);
    args.share = shares(engine);
    int code = jsrt_to_js(&args, result, &value, -1);
    if (code == 0) {
        jsv8_status_t status = jsrt_v8.frame_return(frame, &value, &error);
        jsrt_watch_regain(&engine->watch);
        if (status != JSV8_OK) {
            jsrt_engine_raise(engine, status, &error);
            code = -1;
        }
    }
    jsrt_args_release(&args);
    return code;
}

static int
call_function(EngineObject *engine, jsv8_frame_t *frame, PyObject *callable)
{
    PyObject *held[ARGUMENTS_INLINE + 1], **objects = held;
    size_t count = jsrt_v8.frame_count(frame), converted = 0;
    PyObject *result = NULL;
    int code = -1;
    if (count > ARGUMENTS_INLINE) {
        objects = PyMem_Malloc((count + 1) * sizeof(PyObject *));
        if (objects == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    while (converted < count) {
        jsv8_value_t value;
        jsv8_error_t error;
        jsv8_status_t status = jsrt_v8.frame_argument(frame, converted, &value, &error);
        jsrt_watch_regain(&engine->watch);
        objects[converted + 1] = jsrt_engine_result(engine, status, &value, &error);
        if (objects[converted + 1] == NULL) {
            goto done;
        }
        converted++;
    }
    jsrt_opening_t opening;
    jsrt_expose_open(&opening, engine);
    if (!Py_EnterRecursiveCall(" in a call from JavaScript")) {
        /* objects[0] is the callee's to use. */
        result = PyObject_Vectorcall(callable, objects + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     NULL);
        Py_LeaveRecursiveCall();
    }
    jsrt_expose_shut(&opening);
    if (result != NULL) {
        code = is_awaitable(engine->state, result) ? return_promise(engine, frame, result, 0)
                                                   : return_value(engine, frame, result);
    }
done:
    Py_XDECREF(result);
    for (size_t i = 1; i <= converted; i++) {
        Py_DECREF(objects[i]);
    }
    if (objects != held) {
        PyMem_Free(objects);
    }
    return code;
}

/* generator.close(), or aclose(), where there is such a method. Returns: new, or NULL. */
static PyObject *
close_iterator(PyObject *iterator, const char *name)
{
    PyObject *close = PyObject_GetAttrString(iterator, name);
    if (close == NULL) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *done = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return done;
}

static int
call_iterator(EngineObject *engine, jsv8_frame_t *frame, PyObject *iterator)
{
    int async = jsrt_v8.frame_kind(frame) == JSV8_HOST_ASYNC_ITERATOR;
    jsv8_value_t wanted;
    jsv8_error_t error;
    if (jsrt_v8.frame_argument(frame, 0, &wanted, &error) != JSV8_OK || wanted.tag != JSV8_INT) {
        PyErr_SetString(PyExc_TypeError, "not a call of an iterator's own");
        return -1;
    }
    int closing = wanted.u.integer == 1;
    jsrt_opening_t opening;
    jsrt_expose_open(&opening, engine);
    PyObject *result = closing ? close_iterator(iterator, async ? "aclose" : "close")
                       : async ? Py_TYPE(iterator)->tp_as_async->am_anext(iterator)
                               : Py_TYPE(iterator)->tp_iternext(iterator);
    jsrt_expose_shut(&opening);
    if (result == NULL && !closing
        && (!PyErr_Occurred()
            || PyErr_ExceptionMatches(async ? PyExc_StopAsyncIteration : PyExc_StopIteration))) {
        PyErr_Clear();
        return jsrt_v8.frame_return(frame, NULL, &error) == JSV8_OK ? 0 : -1;
    }
    if (result == NULL) {
        return -1;
    }
    int code;
    if (async && result != Py_None) {
        code = return_promise(engine, frame, result, 1);
    } else {
        code = closing ? 0 : return_value(engine, frame, result);
    }
    Py_DECREF(result);
    return code;
}

void
jsrt_expose_on_call(jsv8_isolate_t *isolate, jsv8_frame_t *frame, void *object)
{
    if (jsrt_unusable) {
        return;
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    EngineObject *engine = jsrt_v8.isolate_user(isolate);
    if (engine == NULL) {
        throw_text(frame, "the context that called this is closed");
        PyGILState_Release(gil);
        return;
    }
    PyObject *type, *value, *traceback, *callee = Py_NewRef((PyObject *)object);
    PyThreadState *released = engine->watch.released;
    engine->watch.released = NULL;
    Py_INCREF(engine);
    jsrt_inside++;
    PyErr_Fetch(&type, &value, &traceback);
    jsv8_host_kind_t kind = jsrt_v8.frame_kind(frame);
    int code = kind == JSV8_HOST_FUNCTION ? call_function(engine, frame, callee)
               : kind < JSV8_HOST_OBJECT  ? call_iterator(engine, frame, callee)
                                          : jsrt_view_call(engine, frame, callee);
    if (code < 0) {
        throw_set(engine, isolate, frame);
    }
    Py_DECREF(callee);
    PyErr_Restore(type, value, traceback);
    jsrt_inside--;
    engine->watch.released = released;
    Py_DECREF(engine);
    PyGILState_Release(gil);
}

EngineObject *
jsrt_expose_calling(ContextObject *context)
{
    for (jsrt_calling_t *each = jsrt_calling; each != NULL; each = each->outer) {
        if (each->engine->context == context) {
            return each->engine;
        }
    }
    return NULL;
}

/* ---- Context.expose ------------------------------------------------------------------------------- */

/* Sets a global of the engine. Inside. */
static int
set_global(EngineObject *engine, PyObject *name, PyObject *value)
{
    jsrt_args_t args;
    jsv8_value_t global, result;
    jsv8_error_t error;
    PyObject *operands[] = {name, value};
    int code = -1;
    jsrt_args_init(&args, engine->state);
    args.share = shares(engine);
    if (jsrt_args_convert(&args, operands, 2) == 0) {
        jsv8_status_t status = jsrt_v8.global(engine->isolate, &global, &error);
        jsrt_watch_regain(&engine->watch);
        if (status == JSV8_OK) {
            status = jsrt_v8.operate(global.u.ref, JSV8_OP_SET, 2, args.values, JSV8_DISCARD,
                                     &result, &error);
            jsrt_watch_regain(&engine->watch);
            jsrt_v8.ref_free(global.u.ref);
        }
        if (status == JSV8_OK && engine->watch.raised == NULL) {
            code = 0;
        } else {
            jsrt_engine_raise(engine, status, &error);
        }
    }
    jsrt_args_release(&args);
    return code;
}

static void
free_exposure(jsrt_exposure_t *exposure)
{
    Py_DECREF(exposure->name);
    Py_DECREF(exposure->value);
    PyMem_Free(exposure);
}

/* Of those of the same name the first stays, for the sources behind it, with the new value; the
 * others go: their number is bounded. */
int
jsrt_expose_keep(ContextObject *context, PyObject *name, PyObject *value)
{
    jsrt_exposure_t *added = PyMem_Malloc(sizeof(*added));
    if (added == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    jsrt_exposure_t **link = &context->exposures, *dropped = NULL;
    PyObject *replaced = NULL;
    while (*link != NULL) {
        jsrt_exposure_t *each = *link;
        if (PyUnicode_Compare(each->name, name) == 0) {
            if (replaced == NULL) {
                replaced = each->value;
                each->value = Py_NewRef(value);
            } else {
                *link = each->next;
                each->next = dropped;
                dropped = each;
                continue;
            }
        }
        link = &each->next;
    }
    *added = (jsrt_exposure_t){Py_NewRef(name), Py_NewRef(value), context->source_count,
                               ++context->exposed, NULL};
    *link = added;
    Py_XDECREF(replaced);
    while (dropped != NULL) {
        jsrt_exposure_t *next = dropped->next;
        free_exposure(dropped);
        dropped = next;
    }
    return 0;
}

int
jsrt_expose(ContextObject *context, PyObject *name, PyObject *value)
{
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s", Py_TYPE(name)->tp_name);
        return -1;
    }
    if (PyUnicode_GET_LENGTH(name) == 0
        || PyUnicode_FindChar(name, '.', 0, PyUnicode_GET_LENGTH(name), 1) >= 0) {
        PyErr_SetString(PyExc_ValueError, "name is that of one global, without dots");
        return -1;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return -1;
    }
    int code = set_global(engine, name, value);
    if (code == 0) {
        code = jsrt_expose_keep(context, name, value);
        if (code == 0 && engine->exposed == context->exposed - 1) {
            engine->exposed = context->exposed;
        }
    }
    jsrt_context_leave(context, engine);
    return code;
}

int
jsrt_expose_catch_up(ContextObject *context, EngineObject *engine)
{
    for (;;) {
        jsrt_exposure_t *next = context->exposures;
        while (next != NULL && next->number <= engine->exposed) {
            next = next->next;
        }
        if (next == NULL || next->position > engine->applied) {
            return 0;
        }
        PyObject *name = Py_NewRef(next->name), *value = Py_NewRef(next->value);
        unsigned long number = next->number;
        int code = set_global(engine, name, value);
        Py_DECREF(name);
        Py_DECREF(value);
        if (code < 0) {
            return -1;
        }
        engine->exposed = number;
    }
}

int
jsrt_expose_traverse(ContextObject *context, visitproc visit, void *arg)
{
    for (jsrt_exposure_t *each = context->exposures; each != NULL; each = each->next) {
        Py_VISIT(each->value);
    }
    return 0;
}

void
jsrt_expose_clear(ContextObject *context)
{
    jsrt_exposure_t *each = context->exposures;
    context->exposures = NULL;
    while (each != NULL) {
        jsrt_exposure_t *next = each->next;
        free_exposure(each);
        each = next;
    }
}

/* ---- The type --------------------------------------------------------------------------------------- */

static PyMemberDef settler_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(SettlerObject, vectorcall), READONLY, NULL},
    {0},
};

static PyType_Slot settler_slots[] = {
    {Py_tp_traverse, settler_traverse},
    {Py_tp_dealloc, settler_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, settler_members},
    {0, NULL},
};

PyType_Spec jsrt_settler_spec = {
    .name = "jsrt._jsrt.Settler",
    .basicsize = sizeof(SettlerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = settler_slots,
};
