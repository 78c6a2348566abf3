/* SPDX-License-Identifier: MIT
 *
 * view.h: jsrt.proxy: JavaScript reads of a Python object what it looks at, when it does.
 *
 * Invariants
 *   1. A view leads to data only: items of dicts, mappings, lists and tuples, and public attributes
 *      of instances of Python's own classes. What can be called, is a class or a module, or runs
 *      when iterated over, is undefined; no name that begins with an underscore is an attribute.
 *   2. What it leads to is a view of the same kind again, or a value as any other is converted.
 *   3. Back in Python a view is the object itself.
 */
#ifndef JSRT_VIEW_H
#define JSRT_VIEW_H

#include "engine.h"

typedef struct {
    PyObject_HEAD
    PyObject *object;      /* owned */
    jsv8_host_kind_t kind; /* how it crosses */
} ViewObject;

extern PyType_Spec jsrt_view_spec;

/* A call of a view's: converts the key, asks the object, converts the answer. Inside. Returns 0, or
 * -1 with an exception. Runs Python. */
int jsrt_view_call(EngineObject *engine, jsv8_frame_t *frame, PyObject *object);

#endif
