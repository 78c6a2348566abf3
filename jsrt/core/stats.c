/* SPDX-License-Identifier: MIT
 *
 * stats.c: the module's function statistics(); see stats.h.
 *
 * Only isolates that the calling thread was the last to use, and that rest, are asked for their
 * heap: to enter another thread's would turn V8's locking on for all, or wait for its call. So the
 * function starts nothing, waits for nothing, and never boots V8.
 */
#include "stats.h"

/* Entered and left again is one call; one under way is one already. */
static uint64_t
calls_of(const EngineObject *engine)
{
    uint64_t sequence = atomic_load_explicit(&engine->watch.sequence, memory_order_relaxed);

    return (sequence + 1) / 2 - engine->looks;
}

void
jsrt_stats_keep(EngineObject *engine)
{
    engine->state->past_calls += calls_of(engine) - engine->past_calls;
    engine->past_calls = calls_of(engine);
}

/* Adds an engine's heap to the sums. */
static void
look_at(EngineObject *engine, jsv8_heap_stats_t *sum)
{
    jsv8_heap_stats_t stats = {0};

    if (!engine->ready || jsrt_unusable || !pthread_equal(engine->thread, pthread_self())
        || jsrt_watch_busy(&engine->watch) || engine->in_callback) {
        return;
    }
    engine->looks++;
    jsrt_watch_enter(&engine->watch);
    jsrt_v8.heap_stats(engine->isolate, &stats);
    jsrt_watch_regain(&engine->watch);
    jsrt_engine_leave(engine);
    sum->heap_used += stats.heap_used;
    sum->heap_total += stats.heap_total;
    sum->external += stats.external;
}

PyObject *
jsrt_stats(PyObject *module, PyObject *unused)
{
    jsrt_state_t *state = jsrt_state_of(module);
    PyObject *engines = PyList_New(0);
    jsv8_heap_stats_t sum = {0};
    uint64_t calls = state->past_calls;
    Py_ssize_t isolates;

    if (engines == NULL) {
        return NULL;
    }
    /* A copy: leaving one of them may take others out of the list. */
    for (EngineObject *engine = state->engines; engine != NULL; engine = engine->next) {
        calls += calls_of(engine) - engine->past_calls;
        if (PyList_Append(engines, (PyObject *)engine) < 0) {
            Py_DECREF(engines);
            return NULL;
        }
    }
    isolates = PyList_GET_SIZE(engines);
    for (Py_ssize_t i = 0; i < isolates; i++) {
        look_at((EngineObject *)PyList_GET_ITEM(engines, i), &sum);
    }
    Py_DECREF(engines);
    return Py_BuildValue("{s:K,s:n,s:n,s:n,s:n}", "calls", (unsigned long long)calls, "isolates",
                         isolates, "heap_used", (Py_ssize_t)sum.heap_used, "heap_total",
                         (Py_ssize_t)sum.heap_total, "external", (Py_ssize_t)sum.external);
}
