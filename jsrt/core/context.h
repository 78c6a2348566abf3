/* SPDX-License-Identifier: MIT
 *
 * context.h: jsrt.Context: what to boot (profile, limits, sources) and the engines that did.
 *
 * Invariants
 *   1. Making one costs no V8: the home engine boots at the first use.
 *   2. sources holds what compile() ran without an error, in order. An engine has run the first
 *      `applied` of them and catches up before a call.
 *   3. Between jsrt_context_enter and jsrt_context_leave the engine is this thread's.
 */
#ifndef JSRT_CONTEXT_H
#define JSRT_CONTEXT_H

#include "engine.h"
#include "pool.h"

typedef struct {
    PyObject *code;     /* owned: str */
    PyObject *filename; /* owned: str */
} jsrt_source_t;

typedef struct jsrt_context {
    PyObject_HEAD
    jsrt_state_t *state; /* borrowed from the module, of which this owns a reference */
    PyObject *weakrefs;
    EngineObject *home; /* owned */
    pthread_t home_thread;
    jsrt_source_t *sources; /* owned */
    Py_ssize_t source_count, source_capacity;
    jsrt_pool_t pool;
    struct jsrt_exposure *exposures; /* expose.c: owned */
    unsigned long exposed;           /* the last one's number; engines catch up */
} ContextObject;

extern PyType_Spec jsrt_context_spec;

/* Enters an engine of the context for this thread; a borrowed reference until the leave. May
 * run Python. Returns NULL with an exception. */
EngineObject *jsrt_context_enter_slowly(ContextObject *context);
/* The end of a call: its value, or NULL with an exception. loop: NULL, or the asyncio loop to
 * make a future on for a promise that waits. Leaves the engine. */
PyObject *jsrt_context_finish(ContextObject *context, EngineObject *engine, jsv8_status_t status,
                              jsv8_value_t *result, jsv8_error_t *error, PyObject *loop);
/* The part of jsrt_context_finish before the leave. */
PyObject *jsrt_context_result(ContextObject *context, EngineObject *engine, jsv8_status_t status,
                              jsv8_value_t *result, jsv8_error_t *error, PyObject *loop);
void jsrt_context_leave(ContextObject *context, EngineObject *engine);

static inline EngineObject *
jsrt_context_enter(ContextObject *context)
{
    EngineObject *engine = context->home;
    if (engine->ready && engine->applied == context->source_count
        && engine->exposed == context->exposed && pthread_equal(engine->thread, pthread_self())) {
        return jsrt_engine_enter(engine) < 0 ? NULL : engine;
    }
    return jsrt_context_enter_slowly(context);
}

/* Before JavaScript runs in an engine that was lent: other threads go on meanwhile. */
static inline void
jsrt_context_put_gil_down(ContextObject *context, EngineObject *engine)
{
    if (engine != context->home) {
        engine->watch.released = PyEval_SaveThread();
    }
}

#endif
