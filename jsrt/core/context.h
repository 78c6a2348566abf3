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
#include "source.h"
#include "to_js.h"

typedef struct jsrt_context {
    PyObject_HEAD
    jsrt_state_t *state; /* borrowed from the module, of which this owns a reference */
    PyObject *weakrefs;
    EngineObject *home; /* owned; a realm's is its parent's */
    double timeout;     /* seconds, 0: none */

    /* realm.c */
    struct jsrt_context *parent; /* owned; NULL: not a realm */
    jsv8_realm_t *realm;         /* owned or NULL */
    unsigned realm_boot;         /* of the home engine that realm and applied belong to */
    Py_ssize_t applied;          /* of the home engine, while another scope is current there */
    unsigned long exposed_there; /* of the home engine: the same of what the context exposes */
    int closed;                  /* a realm that was closed */

    PyObject *fixed; /* owned or NULL: fixed.c: the first source of this scope and its realms */
    PyObject
        *console; /* owned or NULL: console.c: who writes what console says; of its realms too */
    int share;    /* with JavaScript, writable buffers */
    int homeless; /* every thread's calls run in engines of the pool (jsrt.JSEngine) */

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
/* Calls the function of that name with what args holds. loop: as above. Returns: new, or NULL with
 * an exception. */
PyObject *jsrt_context_call(ContextObject *context, PyObject *name, jsrt_args_t *args,
                            jsv8_want_t want, PyObject *loop);
/* The part of jsrt_context_finish before the leave. */
PyObject *jsrt_context_result(ContextObject *context, EngineObject *engine, jsv8_status_t status,
                              jsv8_value_t *result, jsv8_error_t *error, PyObject *loop);
void jsrt_context_leave(ContextObject *context, EngineObject *engine);
/* Keeps a source that was run (source.c). Steals its references on success. Returns 0, or -1 with an
 * exception. */
int jsrt_context_keep(ContextObject *context, const jsrt_source_t *source);
/* Keeps a source that was not run yet, if there is one: the scope runs it first. Returns 0, or -1
 * with an exception. */
int jsrt_context_fix(ContextObject *context, PyObject *code);

static inline EngineObject *
jsrt_context_enter(ContextObject *context)
{
    EngineObject *engine = context->home;
    if (engine->ready && engine->scope == context && engine->applied == context->source_count
        && engine->exposed == context->exposed && pthread_equal(engine->thread, pthread_self())) {
        return jsrt_engine_enter(engine) < 0 ? NULL : engine;
    }
    return jsrt_context_enter_slowly(context);
}

/* Whether this thread's calls run in an engine of the pool. */
static inline int
jsrt_context_is_lent(const ContextObject *context)
{
    return context->homeless
           || (context->pool.size > 0 && !pthread_equal(context->home_thread, pthread_self()));
}

/* Before JavaScript runs in an engine that was lent: other threads go on meanwhile. */
static inline void
jsrt_context_put_gil_down(ContextObject *context, EngineObject *engine)
{
    if (engine != context->home) {
        engine->watch.released = PyEval_SaveThread();
    }
}

/* Around a call by name in an engine that was lent: the GIL stays where such calls have been shorter
 * than putting it down is worth (the watchdog puts it down in one that is not). */
static inline jsrt_gauge_t *
jsrt_context_measure(ContextObject *context, EngineObject *engine, PyObject *name, uint64_t *began)
{
    enum { WORTH_NS = 50000 };
    if (engine == context->home) {
        return NULL;
    }
    jsrt_gauge_t *gauge = jsrt_pool_gauge(&context->pool, PyObject_Hash(name));
    *began = jsrt_now();
    if (gauge->ns == 0 || gauge->ns > WORTH_NS) {
        engine->watch.released = PyEval_SaveThread();
    }
    return gauge;
}

/* A call that the system interrupted must not look like a long function: one sample doubles the
 * estimate at most. */
static inline void
jsrt_context_measured(jsrt_gauge_t *gauge, uint64_t ns)
{
    double most = gauge->ns * 2 + 1000;
    double sample = (double)ns < most || gauge->ns == 0 ? (double)ns : most;
    gauge->ns = gauge->ns == 0 ? sample : gauge->ns * 0.5 + sample * 0.5;
}

#endif
