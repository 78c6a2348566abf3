/* SPDX-License-Identifier: MIT
 *
 * object.h: live handles: JSObject, and its kinds JSFunction (function.c) and JSPromise.
 *
 * Invariants
 *   1. A handle belongs to one boot of one engine. When that isolate is gone, so is the object:
 *      every use raises ContextClosed, and none boots another. Only a function that has a name is
 *      looked up again.
 *   2. A handle keeps its context alive, and the object in V8; dropped by any thread, it is given
 *      back to V8 at the next entry.
 */
#ifndef JSRT_OBJECT_H
#define JSRT_OBJECT_H

#include "context.h"
#include "to_py.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall; /* of JSFunction */
    PyObject *weakrefs;
    ContextObject *context; /* owned */
    EngineObject *engine;   /* owned */
    PyObject *name;         /* owned: str, of Context.function(name); else NULL */
    jsv8_ref_t *ref;        /* owned; NULL: a named function, looked up in a lent engine */
    unsigned boot;          /* of the engine that ref belongs to */
    Py_hash_t hash;         /* -1: not asked yet */
} HandleObject;

extern PyType_Spec jsrt_object_spec, jsrt_promise_spec, jsrt_iterator_spec;

/* A handle without a ref. Returns: new, or NULL. */
HandleObject *jsrt_object_new(PyTypeObject *type, ContextObject *context, EngineObject *engine);
/* JSV8_REF (steals it) and JSV8_HOST. Returns: new, or NULL with an exception. */
PyObject *jsrt_object_from(EngineObject *engine, const jsv8_value_t *value);
/* Enters the engine of a handle, whose ref may then be used; jsrt_engine_leave ends it. Returns it,
 * borrowed, or NULL with an exception. May run Python. */
EngineObject *jsrt_object_enter(HandleObject *handle);
/* Whether it is one. */
int jsrt_object_check(jsrt_state_t *state, PyObject *object);
/* The global object of a context. Returns: new, or NULL. */
PyObject *jsrt_object_global(ContextObject *context);

/* Slots that JSFunction, which is another type to the interpreter, shares. */
int jsrt_object_traverse(HandleObject *handle, visitproc visit, void *arg);
int jsrt_object_clear(HandleObject *handle);
void jsrt_object_dealloc(HandleObject *handle);

/* What came out of V8, whatever it is. Inside. Returns: new, or NULL. */
static inline PyObject *
jsrt_engine_to_py(EngineObject *engine, const jsv8_value_t *value)
{
    if (__builtin_expect(value->tag >= JSV8_REF, 0)) {
        return jsrt_object_from(engine, value);
    }
    return jsrt_to_py(engine->state, value);
}

#endif
