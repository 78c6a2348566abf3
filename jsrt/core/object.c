/* SPDX-License-Identifier: MIT
 *
 * object.c: jsrt.JSObject, jsrt.JSPromise and the iterator of both: objects that stay in V8.
 *
 * Each operation converts its operands, enters the engine, asks one question of jsv8_operate and
 * converts the answer: primitives become values, objects handles. Attributes are JavaScript's
 * properties but for names that begin and end with two underscores, and for to_python.
 */
#include "object.h"

#include <structmember.h>

#include "bridge.h"
#include "promise.h"
#include "realm.h"
#include "to_js.h"

/* ---- Life ------------------------------------------------------------------------------------- */

HandleObject *
jsrt_object_new(PyTypeObject *type, ContextObject *context, EngineObject *engine)
{
    HandleObject *handle = PyObject_GC_New(HandleObject, type);
    if (handle == NULL) {
        return NULL;
    }
    handle->vectorcall = NULL;
    handle->weakrefs = NULL;
    handle->context = (ContextObject *)Py_NewRef(context);
    handle->engine = (EngineObject *)Py_NewRef(engine);
    handle->name = NULL;
    handle->ref = NULL;
    handle->boot = engine->boot;
    handle->hash = -1;
    context->state->handle_count++;
    PyObject_GC_Track(handle);
    return handle;
}

/* Of a type for a ref. Steals ref. */
static PyObject *
handle_of(PyTypeObject *type, EngineObject *engine, jsv8_ref_t *ref)
{
    ContextObject *context = jsrt_engine_context(engine);
    if (context == NULL) {
        jsrt_v8.ref_free(ref);
        PyErr_SetString(engine->state->ContextClosed, "the context is closed");
        return NULL;
    }
    HandleObject *handle = jsrt_object_new(type, context, engine);
    if (handle == NULL) {
        jsrt_v8.ref_free(ref);
        return NULL;
    }
    handle->ref = ref;
    if (type == engine->state->FunctionType) {
        handle->vectorcall = engine->state->function_vectorcall;
    }
    return (PyObject *)handle;
}

PyObject *
jsrt_object_from(EngineObject *engine, const jsv8_value_t *value)
{
    if (value->tag == JSV8_HOST) {
        return Py_NewRef((PyObject *)value->u.host);
    }
    jsrt_state_t *state = engine->state;
    PyTypeObject *type = state->ObjectType;
    switch (jsrt_v8.ref_kind(value->u.ref)) {
    case JSV8_REF_FUNCTION:
        type = state->FunctionType;
        break;
    case JSV8_REF_PROMISE:
        type = state->PromiseType;
        break;
    case JSV8_REF_OBJECT:
        break;
    }
    return handle_of(type, engine, value->u.ref);
}

int
jsrt_object_check(jsrt_state_t *state, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type == state->FunctionType || type == state->ObjectType || type == state->PromiseType
           || type == state->IteratorType;
}

int
jsrt_object_traverse(HandleObject *handle, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(handle));
    Py_VISIT(handle->context);
    Py_VISIT(handle->engine);
    return 0;
}

int
jsrt_object_clear(HandleObject *handle)
{
    if (handle->ref != NULL && !jsrt_unusable) {
        jsrt_v8.ref_free(handle->ref);
    }
    handle->ref = NULL;
    /* context and engine are needed by every method: they go with the object, the cycle ends
     * elsewhere. */
    return 0;
}

void
jsrt_object_dealloc(HandleObject *handle)
{
    PyTypeObject *type = Py_TYPE(handle);
    PyObject_GC_UnTrack(handle);
    if (handle->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)handle);
    }
    jsrt_object_clear(handle);
    handle->context->state->handle_count--;
    Py_DECREF(handle->engine);
    Py_DECREF(handle->context);
    Py_XDECREF(handle->name);
    PyObject_GC_Del(handle);
    Py_DECREF(type);
}

/* ---- Asking ------------------------------------------------------------------------------------- */

static int
is_gone(HandleObject *handle)
{
    EngineObject *engine = handle->engine;
    return handle->ref == NULL || engine->closed || handle->context->closed
           || engine->isolate == NULL || engine->boot != handle->boot
           || (engine->condemned && !engine->nested);
}

static EngineObject *
raise_gone(HandleObject *handle)
{
    int closed = handle->context->home->closed || handle->context->closed;
    PyErr_SetString(handle->context->state->ContextClosed,
                    closed ? "the context of the object is closed"
                           : "the object is gone with the heap it was in: the heap limit was hit, "
                             "the event loop it lived on was closed, or it was a pool's and idle");
    return NULL;
}

EngineObject *
jsrt_object_enter(HandleObject *handle)
{
    if (is_gone(handle)) {
        return raise_gone(handle);
    }
    EngineObject *engine = handle->engine;
    if (jsrt_engine_enter(engine) < 0) {
        return NULL;
    }
    if (is_gone(handle)) { /* while this thread waited for another */
        jsrt_engine_leave(engine);
        return raise_gone(handle);
    }
    if (engine->scope != handle->context && jsrt_realm_switch(handle->context, engine) < 0) {
        jsrt_engine_leave(engine);
        return NULL;
    }
    return engine;
}

/* Asks. Returns 1 and *out (new), 0 where there is no such thing, or -1 with an exception. */
static int
ask(HandleObject *handle, jsv8_op_t op, PyObject *const *objects, size_t count, jsv8_want_t want,
    PyObject **out)
{
    int found = -1;
    jsrt_args_t args;
    *out = NULL;
    jsrt_args_init(&args, handle->context->state);
    args.share = handle->context->share;
    if (jsrt_args_convert(&args, objects, count) < 0) {
        goto done;
    }
    EngineObject *engine = jsrt_object_enter(handle);
    if (engine == NULL) {
        goto done;
    }
    jsv8_value_t result;
    jsv8_error_t error;
    jsrt_context_put_gil_down(handle->context, engine);
    jsv8_status_t status =
        jsrt_v8.operate(handle->ref, op, args.count, args.values, want, &result, &error);
    jsrt_watch_regain(&engine->watch);
    if (status == JSV8_NOT_FOUND && error.message[0] == '\0' && engine->watch.raised == NULL) {
        found = 0;
    } else {
        *out = jsrt_context_result(handle->context, engine, status, &result, &error, NULL);
        found = *out != NULL ? 1 : -1;
    }
    jsrt_engine_leave(engine);
done:
    jsrt_args_release(&args);
    return found;
}

/* The same where an answer is certain. */
static PyObject *
answer(HandleObject *handle, jsv8_op_t op, jsv8_want_t want)
{
    PyObject *out;
    if (ask(handle, op, NULL, 0, want, &out) == 0) {
        PyErr_SetString(PyExc_TypeError, "the object has no such thing");
    }
    return out;
}

/* ---- Properties ---------------------------------------------------------------------------------- */

static int
check_key(HandleObject *handle, PyObject *key)
{
    if (PyUnicode_Check(key) || (PyLong_Check(key) && !PyBool_Check(key))
        || jsrt_object_check(handle->context->state, key)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "a property is named by a str, an int or a symbol, not by a %.200s",
                 Py_TYPE(key)->tp_name);
    return -1;
}

static PyObject *
get_item(HandleObject *handle, PyObject *key)
{
    PyObject *out;
    if (check_key(handle, key) < 0) {
        return NULL;
    }
    if (ask(handle, JSV8_OP_GET, &key, 1, JSV8_HANDLE, &out) == 0) {
        PyErr_SetObject(PyLong_Check(key) ? PyExc_IndexError : PyExc_KeyError, key);
    }
    return out;
}

static int
set_item(HandleObject *handle, PyObject *key, PyObject *value)
{
    PyObject *out, *operands[] = {key, value};
    if (check_key(handle, key) < 0) {
        return -1;
    }
    int found = value != NULL ? ask(handle, JSV8_OP_SET, operands, 2, JSV8_DISCARD, &out)
                              : ask(handle, JSV8_OP_DELETE, operands, 1, JSV8_DISCARD, &out);
    Py_XDECREF(out);
    return found < 0 ? -1 : 0;
}

/* Whether an attribute is the type's own and not a property. */
static int
is_own(HandleObject *handle, PyObject *name)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(name);
    if (length > 4 && PyUnicode_READ_CHAR(name, 0) == '_' && PyUnicode_READ_CHAR(name, 1) == '_'
        && PyUnicode_READ_CHAR(name, length - 1) == '_'
        && PyUnicode_READ_CHAR(name, length - 2) == '_') {
        return 1;
    }
    return _PyType_Lookup(Py_TYPE(handle), name) != NULL;
}

static PyObject *
get_attribute(HandleObject *handle, PyObject *name)
{
    PyObject *out;
    if (!PyUnicode_Check(name) || is_own(handle, name)) {
        return PyObject_GenericGetAttr((PyObject *)handle, name);
    }
    if (ask(handle, JSV8_OP_GET, &name, 1, JSV8_HANDLE, &out) == 0) {
        PyErr_Format(PyExc_AttributeError, "the JavaScript object has no property '%U'", name);
    }
    return out;
}

static int
set_attribute(HandleObject *handle, PyObject *name, PyObject *value)
{
    if (!PyUnicode_Check(name) || is_own(handle, name)) {
        return PyObject_GenericSetAttr((PyObject *)handle, name, value);
    }
    return set_item(handle, name, value);
}

static int
contains(HandleObject *handle, PyObject *key)
{
    PyObject *out;
    if (check_key(handle, key) < 0 || ask(handle, JSV8_OP_HAS, &key, 1, JSV8_HANDLE, &out) < 0) {
        return -1;
    }
    int yes = out == Py_True;
    Py_XDECREF(out);
    return yes;
}

static Py_ssize_t
length_of(HandleObject *handle)
{
    PyObject *out = answer(handle, JSV8_OP_LENGTH, JSV8_HANDLE);
    if (out == NULL) {
        return -1;
    }
    Py_ssize_t length = PyLong_AsSsize_t(out);
    Py_DECREF(out);
    return length;
}

static int
is_true(HandleObject *handle)
{
    return 1; /* as every object in JavaScript */
}

static PyObject *
iterate(HandleObject *handle)
{
    PyObject *out = answer(handle, JSV8_OP_ITERATE, JSV8_HANDLE);
    jsrt_state_t *state = handle->context->state;
    if (out == NULL || !jsrt_object_check(state, out)) {
        if (out != NULL) {
            PyErr_SetString(PyExc_TypeError, "the object's iterator is no object");
            Py_CLEAR(out);
        }
        return NULL;
    }
    /* The same ref, as an iterator. */
    HandleObject *held = (HandleObject *)out;
    HandleObject *iterator = jsrt_object_new(state->IteratorType, held->context, held->engine);
    if (iterator != NULL) {
        iterator->boot = held->boot;
        iterator->ref = held->ref;
        held->ref = NULL;
    }
    Py_DECREF(held);
    return (PyObject *)iterator;
}

static PyObject *
next_value(HandleObject *iterator)
{
    PyObject *out;
    ask(iterator, JSV8_OP_NEXT, NULL, 0, JSV8_HANDLE, &out);
    return out;
}

static PyObject *
list_names(HandleObject *handle, PyObject *unused)
{
    PyObject *keys = answer(handle, JSV8_OP_KEYS, JSV8_COPY);
    PyObject *names = keys ? PyObject_Dir((PyObject *)Py_TYPE(handle)) : NULL;
    PyObject *all = names ? PySequence_Concat(names, keys) : NULL;
    Py_XDECREF(names);
    Py_XDECREF(keys);
    return all;
}

static PyObject *
to_python(HandleObject *handle, PyObject *unused)
{
    return answer(handle, JSV8_OP_SELF, JSV8_COPY);
}

/* ---- Identity ------------------------------------------------------------------------------------- */

static PyObject *
compare(PyObject *one, PyObject *other, int op)
{
    HandleObject *handle = (HandleObject *)one;
    if ((op != Py_EQ && op != Py_NE) || !jsrt_object_check(handle->context->state, other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    HandleObject *second = (HandleObject *)other;
    int same = one == other;
    if (!same && handle->engine == second->engine && !is_gone(handle) && !is_gone(second)) {
        PyObject *out;
        if (ask(handle, JSV8_OP_SAME, &other, 1, JSV8_HANDLE, &out) < 0) {
            return NULL;
        }
        same = out == Py_True;
        Py_XDECREF(out);
    }
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t
hash_of(HandleObject *handle)
{
    if (handle->hash == -1) {
        PyObject *out = answer(handle, JSV8_OP_HASH, JSV8_HANDLE);
        if (out == NULL) {
            return -1;
        }
        handle->hash = PyObject_Hash(out);
        Py_DECREF(out);
    }
    return handle->hash;
}

static PyObject *
represent(HandleObject *handle)
{
    const char *type = Py_TYPE(handle)->tp_name;
    PyObject *text = NULL, *out;
    if (!is_gone(handle) && ask(handle, JSV8_OP_TEXT, NULL, 0, JSV8_HANDLE, &text) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL;
        }
        PyErr_Clear(); /* it cannot be looked at now */
    }
    if (handle->name != NULL) {
        out = PyUnicode_FromFormat("<%s %U>", type, handle->name);
    } else if (is_gone(handle)) {
        out = PyUnicode_FromFormat("<%s, gone>", type);
    } else if (text != NULL && PyUnicode_Check(text) && PyUnicode_GET_LENGTH(text) > 0) {
        out = PyUnicode_FromFormat("<%s %U>", type, text);
    } else {
        out = PyUnicode_FromFormat("<%s>", type);
    }
    Py_XDECREF(text);
    return out;
}

/* ---- Awaiting --------------------------------------------------------------------------------------- */

static PyObject *
future_of(HandleObject *handle, PyObject *loop)
{
    PyObject *future = NULL;
    jsv8_value_t result;
    jsv8_error_t error;
    EngineObject *engine = jsrt_object_enter(handle);
    if (engine == NULL) {
        return NULL;
    }
    jsrt_context_put_gil_down(handle->context, engine);
    jsv8_status_t status =
        jsrt_v8.operate(handle->ref, JSV8_OP_PROMISE, 0, NULL, JSV8_HANDLE, &result, &error);
    jsrt_watch_regain(&engine->watch);
    if (status == JSV8_NOT_FOUND && error.message[0] == '\0' && engine->watch.raised == NULL) {
        PyErr_SetString(PyExc_TypeError, "the JavaScript object has no method 'then': it cannot "
                                         "be awaited");
    } else if (status != JSV8_OK || engine->watch.raised != NULL) {
        jsrt_engine_raise(engine, status, &error);
    } else {
        future = jsrt_promise_future(engine, (PyObject *)handle->context, loop, result.u.ref);
        jsrt_v8.ref_free(result.u.ref);
        if (engine->isolate != NULL && !engine->condemned) {
            jsrt_bridge_after_call(engine);
        }
    }
    jsrt_engine_leave(engine);
    return future;
}

static PyObject *
await(HandleObject *handle)
{
    PyObject *loop = jsrt_bridge_running_loop(handle->context->state);
    if (loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
        return NULL;
    }
    PyObject *future = future_of(handle, loop);
    Py_DECREF(loop);
    PyObject *out = future ? PyObject_CallMethod(future, "__await__", NULL) : NULL;
    Py_XDECREF(future);
    return out;
}

/* ---- The global object -------------------------------------------------------------------------------- */

PyObject *
jsrt_object_global(ContextObject *context)
{
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = jsrt_v8.global(engine->isolate, &result, &error);
    jsrt_watch_regain(&engine->watch);
    return jsrt_context_finish(context, engine, status, &result, &error, NULL);
}

/* aiter(object): jsrt/iteration.py's. */
static PyObject *
iterate_async(HandleObject *handle)
{
    PyObject *module = PyImport_ImportModule("jsrt.iteration");
    PyObject *iterator =
        module != NULL ? PyObject_CallMethod(module, "AsyncIterator", "OO", handle, handle->context)
                       : NULL;
    Py_XDECREF(module);
    return iterator;
}

/* ---- The types ----------------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    object_doc,
    "An object that stays in JavaScript: an instance of a class, a Proxy, a symbol, or any\n"
    "object asked for with convert=False.\n\n"
    "Attributes and items are its properties, read live: primitives come as values,\n"
    "objects as handles. A property named like to_python is reached as an item. Handed\n"
    "back to JavaScript it is the same object.");

PyDoc_STRVAR(promise_doc, "A JavaScript promise. await gives its value or raises its error.");

#define METHOD(name, flags, function, doc)                                 \
    {                                                                      \
        name, (PyCFunction)(void (*)(void))function, flags, PyDoc_STR(doc) \
    }

static PyMethodDef object_methods[] = {
    METHOD("to_python", METH_NOARGS, to_python,
           "to_python($self, /)\n--\n\n"
           "A copy as plain data: of an instance of a class its own properties."),
    METHOD("__dir__", METH_NOARGS, list_names, "The names of its own properties, among others."),
    {0},
};

static PyMemberDef object_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot object_slots[] = {
    {Py_tp_doc, (void *)object_doc},
    {Py_tp_traverse, jsrt_object_traverse},
    {Py_tp_clear, jsrt_object_clear},
    {Py_tp_dealloc, jsrt_object_dealloc},
    {Py_tp_repr, represent},
    {Py_tp_hash, hash_of},
    {Py_tp_richcompare, compare},
    {Py_tp_getattro, get_attribute},
    {Py_tp_setattro, set_attribute},
    {Py_tp_iter, iterate},
    {Py_tp_methods, object_methods},
    {Py_tp_members, object_members},
    {Py_mp_subscript, get_item},
    {Py_mp_ass_subscript, set_item},
    {Py_mp_length, length_of},
    {Py_sq_contains, contains},
    {Py_nb_bool, is_true},
    {Py_am_await, await},
    {Py_am_aiter, iterate_async},
    {0, NULL},
};

PyType_Spec jsrt_object_spec = {
    .name = "jsrt.JSObject",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = object_slots,
};

static PyType_Slot promise_slots[] = {
    {Py_tp_doc, (void *)promise_doc},
    {Py_tp_traverse, jsrt_object_traverse},
    {Py_tp_clear, jsrt_object_clear},
    {Py_tp_dealloc, jsrt_object_dealloc},
    {0, NULL},
};

PyType_Spec jsrt_promise_spec = {
    .name = "jsrt.JSPromise",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = promise_slots,
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_traverse, jsrt_object_traverse},
    {Py_tp_clear, jsrt_object_clear},
    {Py_tp_dealloc, jsrt_object_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, next_value},
    {Py_tp_members, object_members},
    {0, NULL},
};

PyType_Spec jsrt_iterator_spec = {
    .name = "jsrt._jsrt.JSIterator",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = iterator_slots,
};
