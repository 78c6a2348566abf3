/* SPDX-License-Identifier: MIT
 *
 * expose.h: Python that JavaScript calls, and what a context exposes to it.
 *
 * Invariants
 *   1. Python runs inside V8 here, with the engine open for nested calls of the same thread.
 *   2. A Python exception that crosses JavaScript stays the same object. One that is no Exception
 *      (KeyboardInterrupt, SystemExit) cannot be caught by JavaScript: it stops it.
 *   3. What a context exposes is kept, in order, between the sources that compile() keeps: an
 *      engine that boots gets both as they came.
 */
#ifndef JSRT_EXPOSE_H
#define JSRT_EXPOSE_H

#include "context.h"

typedef struct jsrt_exposure {
    PyObject *name;       /* owned: str */
    PyObject *value;      /* owned */
    Py_ssize_t position;  /* how many sources came before it */
    unsigned long number; /* larger than that of the one before */
    struct jsrt_exposure *next;
} jsrt_exposure_t;

extern PyType_Spec jsrt_settler_spec;

/* Around Python: the same thread may enter the engine meanwhile. */
typedef struct {
    jsrt_calling_t calling;
    int open;
} jsrt_opening_t;

static inline void
jsrt_expose_open(jsrt_opening_t *opening, EngineObject *engine)
{
    opening->calling = (jsrt_calling_t){engine, jsrt_calling};
    opening->open = engine->open;
    engine->open = 1;
    jsrt_calling = &opening->calling;
}

static inline void
jsrt_expose_shut(jsrt_opening_t *opening)
{
    jsrt_calling = opening->calling.outer;
    opening->calling.engine->open = opening->open;
}

/* The isolate's on_call. */
void jsrt_expose_on_call(jsv8_isolate_t *isolate, jsv8_frame_t *frame, void *object);
/* The engine of context whose JavaScript called the Python that runs in this thread, or NULL. */
EngineObject *jsrt_expose_calling(ContextObject *context);

/* Sets a global and keeps it. Returns 0, or -1 with an exception. */
int jsrt_expose(ContextObject *context, PyObject *name, PyObject *value);
/* Keeps it as the last one: what is behind in the order of sources meets it. Returns 0, or -1 with
 * an exception. */
int jsrt_expose_keep(ContextObject *context, PyObject *name, PyObject *value);
/* Sets what came before the next source that the engine runs. Inside. Returns 0, or -1. */
int jsrt_expose_catch_up(ContextObject *context, EngineObject *engine);
int jsrt_expose_traverse(ContextObject *context, visitproc visit, void *arg);
void jsrt_expose_clear(ContextObject *context);

#endif
