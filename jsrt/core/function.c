/* SPDX-License-Identifier: MIT
 *
 * function.c: jsrt.Function, called by vectorcall.
 *
 * It holds the function object itself: assigning something else to the global name changes
 * nothing. Where that object is gone with its isolate (the heap limit), or the call comes from
 * another thread and runs in an engine that was lent, the name is looked up again.
 */
#include "function.h"

#include <structmember.h>

#include "to_js.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    ContextObject *context; /* owned */
    PyObject *name;         /* owned: str */
    jsv8_ref_t *ref;        /* owned or NULL: in the home engine */
    unsigned boot;          /* of the home engine that ref belongs to */
} FunctionObject;

/* The function in an engine that is entered. Returns: owned by the caller, or NULL. */
static jsv8_ref_t *
look_up(EngineObject *engine, PyObject *name)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(name, &length);
    if (text == NULL) {
        return NULL;
    }
    jsv8_ref_t *ref = NULL;
    jsv8_error_t error = {0};
    jsv8_status_t status = jsv8_function(engine->isolate, text, (size_t)length, &ref, &error);
    jsrt_watch_regain(&engine->watch);
    if (status != JSV8_OK) {
        jsrt_engine_raise(engine, status, &error);
        return NULL;
    }
    return ref;
}

/* The function for an engine that is entered: borrowed where it is the home's, else to be freed by
 * the caller (*lent). */
static jsv8_ref_t *
ref_in(FunctionObject *function, EngineObject *engine, int *lent)
{
    *lent = 0;
    if (engine != function->context->home) {
        *lent = 1;
        return look_up(engine, function->name);
    }
    if (function->ref == NULL || function->boot != engine->boot) {
        jsv8_ref_t *ref = look_up(engine, function->name);
        if (ref == NULL) {
            return NULL;
        }
        jsv8_ref_free(function->ref);
        function->ref = ref;
        function->boot = engine->boot;
    }
    return function->ref;
}

static PyObject *
function_vectorcall(PyObject *self, PyObject *const *objects, size_t flagged, PyObject *keywords)
{
    FunctionObject *function = (FunctionObject *)self;
    ContextObject *context = function->context;
    if (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "a JavaScript function takes no keyword arguments");
        return NULL;
    }
    PyObject *out = NULL;
    jsrt_args_t args;
    jsrt_args_init(&args, context->state);
    if (jsrt_args_convert(&args, objects, (size_t)PyVectorcall_NARGS(flagged)) < 0) {
        goto done;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        goto done;
    }
    int lent = 0;
    jsv8_ref_t *ref = function->ref;
    if (ref == NULL || engine != context->home || function->boot != engine->boot) {
        ref = ref_in(function, engine, &lent);
        if (ref == NULL) {
            jsrt_context_leave(context, engine);
            goto done;
        }
    }
    jsv8_value_t result;
    jsv8_error_t error;
    jsrt_context_put_gil_down(context, engine);
    jsv8_status_t status = jsv8_call(ref, args.count, args.values, JSV8_SETTLE, &result, &error);
    jsrt_watch_regain(&engine->watch);
    if (lent) {
        jsv8_ref_free(ref);
    }
    out = jsrt_context_finish(context, engine, status, &result, &error, NULL);
done:
    jsrt_args_release(&args);
    return out;
}

PyObject *
jsrt_function_new(ContextObject *context, PyObject *name)
{
    jsrt_state_t *state = context->state;
    FunctionObject *function = PyObject_GC_New(FunctionObject, state->FunctionType);
    if (function == NULL) {
        return NULL;
    }
    function->vectorcall = function_vectorcall;
    function->context = (ContextObject *)Py_NewRef(context);
    function->name = Py_NewRef(name);
    function->ref = NULL;
    function->boot = 0;
    state->function_count++;
    PyObject_GC_Track(function);

    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        Py_DECREF(function);
        return NULL;
    }
    int lent;
    jsv8_ref_t *ref = ref_in(function, engine, &lent);
    if (lent) {
        jsv8_ref_free(ref);
    }
    jsrt_context_leave(context, engine);
    if (ref == NULL) {
        Py_DECREF(function);
        return NULL;
    }
    return (PyObject *)function;
}

/* Nanoseconds of one call as V8 makes it, for tests/bench. */
static PyObject *
function_raw_ns(FunctionObject *function, PyObject *count)
{
    Py_ssize_t n = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be positive");
        return NULL;
    }
    EngineObject *engine = jsrt_context_enter(function->context);
    if (engine == NULL) {
        return NULL;
    }
    int lent;
    double ns = 0;
    jsv8_ref_t *ref = ref_in(function, engine, &lent);
    if (ref != NULL) {
        ns = jsv8_raw_call_ns(ref, (size_t)n);
        jsrt_watch_regain(&engine->watch);
    }
    if (lent) {
        jsv8_ref_free(ref);
    }
    jsrt_context_leave(function->context, engine);
    return ref == NULL ? NULL : PyFloat_FromDouble(ns);
}

static int
function_traverse(FunctionObject *function, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(function));
    Py_VISIT(function->context);
    return 0;
}

static int
function_clear(FunctionObject *function)
{
    if (function->ref != NULL && !jsrt_unusable) {
        jsv8_ref_free(function->ref);
    }
    function->ref = NULL;
    /* context is needed by every method: it goes with the object, the cycle ends elsewhere. */
    return 0;
}

static void
function_dealloc(FunctionObject *function)
{
    PyTypeObject *type = Py_TYPE(function);
    PyObject_GC_UnTrack(function);
    function_clear(function);
    function->context->state->function_count--;
    Py_DECREF(function->context);
    Py_DECREF(function->name);
    PyObject_GC_Del(function);
    Py_DECREF(type);
}

static PyObject *
function_repr(FunctionObject *function)
{
    return PyUnicode_FromFormat("<jsrt.Function %U>", function->name);
}

PyDoc_STRVAR(function_doc, "A JavaScript function, from Context.function(name).");

static PyMethodDef function_methods[] = {
    {"_raw_ns", (PyCFunction)function_raw_ns, METH_O,
     PyDoc_STR("_raw_ns($self, n, /)\n--\n\nNanoseconds of f(1, 2) as V8 itself makes it.")},
    {0},
};

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionObject, vectorcall), READONLY, NULL},
    {"name", T_OBJECT, offsetof(FunctionObject, name), READONLY,
     PyDoc_STR("The name it was found under.")},
    {"context", T_OBJECT, offsetof(FunctionObject, context), READONLY,
     PyDoc_STR("The context it belongs to.")},
    {0},
};

static PyType_Slot function_slots[] = {
    {Py_tp_doc, (void *)function_doc},
    {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_clear},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_repr, function_repr},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {0, NULL},
};

PyType_Spec jsrt_function_spec = {
    .name = "jsrt.Function",
    .basicsize = sizeof(FunctionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = function_slots,
};
