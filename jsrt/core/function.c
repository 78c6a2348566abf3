/* SPDX-License-Identifier: MIT
 *
 * function.c: jsrt.JSFunction, called by vectorcall.
 *
 * It holds the function object itself: assigning something else to the global name changes
 * nothing. One that came from Context.function has a name: where its object is gone with its
 * isolate (the heap limit), or the call comes from another thread and runs in an engine that was
 * lent, the name is looked up again. One that came out of JavaScript is that object and no other.
 */
#include "function.h"

#include <structmember.h>

#include "object.h"
#include "to_js.h"

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
    jsv8_status_t status = jsrt_v8.function(engine->isolate, text, (size_t)length, &ref, &error);
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
ref_in(HandleObject *function, EngineObject *engine, int *lent)
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
        jsrt_v8.ref_free(function->ref);
        function->ref = ref;
        function->boot = engine->boot;
    }
    return function->ref;
}

/* Enters the engine of a call. */
static inline EngineObject *
enter(HandleObject *function)
{
    return function->name != NULL ? jsrt_context_enter(function->context)
                                  : jsrt_object_enter(function);
}

static inline void
leave(HandleObject *function, EngineObject *engine)
{
    if (function->name != NULL) {
        jsrt_context_leave(function->context, engine);
    } else {
        jsrt_engine_leave(engine);
    }
}

static inline PyObject *
finish(HandleObject *function, EngineObject *engine, jsv8_status_t status, jsv8_value_t *result,
       jsv8_error_t *error)
{
    if (function->name != NULL) {
        return jsrt_context_finish(function->context, engine, status, result, error, NULL);
    }
    PyObject *value = jsrt_context_result(function->context, engine, status, result, error, NULL);
    jsrt_engine_leave(engine);
    return value;
}

/* A call that is not of the ordinary kind. receiver: NULL, or `this`. */
static PyObject *
call_with(HandleObject *function, PyObject *const *objects, size_t count, PyObject *receiver,
          int construct, jsv8_want_t want)
{
    PyObject *out = NULL;
    jsrt_args_t args, self;
    jsrt_args_init(&args, function->context->state);
    jsrt_args_init(&self, function->context->state);
    args.share = self.share = function->context->share;
    if (jsrt_args_convert(&args, objects, count) < 0
        || (receiver != NULL && jsrt_args_convert(&self, &receiver, 1) < 0)) {
        goto done;
    }
    EngineObject *engine = enter(function);
    if (engine == NULL) {
        goto done;
    }
    int lent = 0;
    jsv8_ref_t *ref = function->name != NULL ? ref_in(function, engine, &lent) : function->ref;
    if (ref == NULL) {
        leave(function, engine);
        goto done;
    }
    jsv8_value_t result;
    jsv8_error_t error;
    jsrt_context_put_gil_down(function->context, engine);
    jsv8_status_t status = jsrt_v8.call_with(ref, receiver != NULL ? self.values : NULL, construct,
                                             args.count, args.values, want, &result, &error);
    jsrt_watch_regain(&engine->watch);
    if (lent) {
        jsrt_v8.ref_free(ref);
    }
    out = finish(function, engine, status, &result, &error);
done:
    jsrt_args_release(&self);
    jsrt_args_release(&args);
    return out;
}

static PyObject *
call_with_keywords(HandleObject *function, PyObject *const *objects, size_t count,
                   PyObject *keywords)
{
    PyObject *receiver = NULL;
    jsv8_want_t want = JSV8_SETTLE;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i), *value = objects[count + (size_t)i];
        if (PyUnicode_CompareWithASCIIString(keyword, "this") == 0) {
            receiver = value;
        } else if (PyUnicode_CompareWithASCIIString(keyword, "convert") == 0) {
            int convert = PyObject_IsTrue(value);
            if (convert < 0) {
                return NULL;
            }
            want = convert ? JSV8_SETTLE : JSV8_HANDLE;
        } else {
            PyErr_Format(PyExc_TypeError,
                         "a JavaScript function takes no keyword arguments but 'this' and "
                         "'convert', not '%U'",
                         keyword);
            return NULL;
        }
    }
    return call_with(function, objects, count, receiver, 0, want);
}

static PyObject *
function_vectorcall(PyObject *self, PyObject *const *objects, size_t flagged, PyObject *keywords)
{
    HandleObject *function = (HandleObject *)self;
    ContextObject *context = function->context;
    if (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0) {
        return call_with_keywords(function, objects, (size_t)PyVectorcall_NARGS(flagged), keywords);
    }
    PyObject *out = NULL;
    jsrt_args_t args;
    jsrt_args_init(&args, context->state);
    args.share = context->share;
    if (jsrt_args_convert(&args, objects, (size_t)PyVectorcall_NARGS(flagged)) < 0) {
        goto done;
    }
    EngineObject *engine = enter(function);
    if (engine == NULL) {
        goto done;
    }
    int lent = 0;
    jsv8_ref_t *ref = function->ref;
    if (ref == NULL || engine != function->engine || function->boot != engine->boot) {
        ref = ref_in(function, engine, &lent);
        if (ref == NULL) {
            leave(function, engine);
            goto done;
        }
    }
    jsv8_value_t result;
    jsv8_error_t error;
    jsrt_context_put_gil_down(context, engine);
    jsv8_status_t status = jsrt_v8.call(ref, args.count, args.values, JSV8_SETTLE, &result, &error);
    jsrt_watch_regain(&engine->watch);
    if (lent) {
        jsrt_v8.ref_free(ref);
    }
    out = finish(function, engine, status, &result, &error);
done:
    jsrt_args_release(&args);
    return out;
}

static PyObject *
function_construct(HandleObject *function, PyObject *const *objects, Py_ssize_t count)
{
    return call_with(function, objects, (size_t)count, NULL, 1, JSV8_HANDLE);
}

vectorcallfunc
jsrt_function_vectorcall(void)
{
    return function_vectorcall;
}

PyObject *
jsrt_function_new(ContextObject *context, PyObject *name)
{
    jsrt_state_t *state = context->state;
    HandleObject *function = jsrt_object_new(state->FunctionType, context, context->home);
    if (function == NULL) {
        return NULL;
    }
    function->vectorcall = function_vectorcall;
    function->name = Py_NewRef(name);
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        Py_DECREF(function);
        return NULL;
    }
    int lent;
    jsv8_ref_t *ref = ref_in(function, engine, &lent);
    if (lent) {
        jsrt_v8.ref_free(ref);
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
function_raw_ns(HandleObject *function, PyObject *count)
{
    Py_ssize_t n = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be positive");
        return NULL;
    }
    EngineObject *engine = enter(function);
    if (engine == NULL) {
        return NULL;
    }
    int lent = 0;
    double ns = 0;
    jsv8_ref_t *ref = function->name != NULL ? ref_in(function, engine, &lent) : function->ref;
    if (ref != NULL) {
        ns = jsrt_v8.raw_call_ns(ref, (size_t)n);
        jsrt_watch_regain(&engine->watch);
    }
    if (lent) {
        jsrt_v8.ref_free(ref);
    }
    leave(function, engine);
    return ref == NULL ? NULL : PyFloat_FromDouble(ns);
}

static PyObject *
get_name(HandleObject *function, void *unused)
{
    if (function->name != NULL) {
        return Py_NewRef(function->name);
    }
    PyObject *key = PyUnicode_InternFromString("name");
    PyObject *name = key ? PyObject_GetItem((PyObject *)function, key) : NULL;
    Py_XDECREF(key);
    return name;
}

PyDoc_STRVAR(
    function_doc,
    "A JavaScript function. Called with this=object it has that for `this`; with\n"
    "convert=False an object it returns stays in JavaScript, as a handle, and a promise is\n"
    "not waited for.");

static PyMethodDef function_methods[] = {
    {"new", (PyCFunction)(void (*)(void))function_construct, METH_FASTCALL,
     PyDoc_STR("new($self, /, *args)\n--\n\nThe object that `new` makes of it.")},
    {"_raw_ns", (PyCFunction)function_raw_ns, METH_O,
     PyDoc_STR("_raw_ns($self, n, /)\n--\n\nNanoseconds of f(1, 2) as V8 itself makes it.")},
    {0},
};

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(HandleObject, vectorcall), READONLY, NULL},
    {"context", T_OBJECT, offsetof(HandleObject, context), READONLY,
     PyDoc_STR("The context it belongs to.")},
    {0},
};

static PyGetSetDef function_properties[] = {
    {"name", (getter)get_name, NULL, PyDoc_STR("The name it was found under, or has itself."),
     NULL},
    {0},
};

static PyType_Slot function_slots[] = {
    {Py_tp_doc, (void *)function_doc},
    {Py_tp_traverse, jsrt_object_traverse},
    {Py_tp_clear, jsrt_object_clear},
    {Py_tp_dealloc, jsrt_object_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {0, NULL},
};

PyType_Spec jsrt_function_spec = {
    .name = "jsrt.JSFunction",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = function_slots,
};
