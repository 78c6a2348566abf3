/* SPDX-License-Identifier: MIT
 *
 * tools.c: methods of jsrt.Context that look at V8 rather than run code: its heap, its garbage
 * collector, the engines of a pool.
 */
#include "tools.h"

PyObject *
jsrt_tools_heap_statistics(ContextObject *context, PyObject *unused)
{
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsv8_heap_stats_t stats = {0};
    jsv8_heap_stats(engine->isolate, &stats);
    jsrt_watch_regain(&engine->watch);
    jsrt_context_leave(context, engine);
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:n}", "heap_used", (Py_ssize_t)stats.heap_used,
                         "heap_total", (Py_ssize_t)stats.heap_total, "heap_limit",
                         (Py_ssize_t)stats.heap_limit, "external", (Py_ssize_t)stats.external,
                         "malloced", (Py_ssize_t)stats.malloced, "contexts",
                         (Py_ssize_t)stats.contexts);
}

static PyObject *
collect(ContextObject *context, int thorough)
{
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsv8_collect(engine->isolate, thorough);
    jsrt_watch_regain(&engine->watch);
    jsrt_context_leave(context, engine);
    Py_RETURN_NONE;
}

PyObject *
jsrt_tools_collect(ContextObject *context, PyObject *unused)
{
    return collect(context, 1);
}

PyObject *
jsrt_tools_collect_once(ContextObject *context, PyObject *unused)
{
    return collect(context, 0);
}

PyObject *
jsrt_tools_pool_stats(ContextObject *context, PyObject *unused)
{
    return jsrt_pool_stats(&context->pool);
}

PyObject *
jsrt_tools_pool_shrink(ContextObject *context, PyObject *seconds)
{
    double idle = PyFloat_AsDouble(seconds);
    if (idle == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyLong_FromSsize_t(jsrt_pool_shrink(&context->pool, (uint64_t)(idle * 1e9)));
}
