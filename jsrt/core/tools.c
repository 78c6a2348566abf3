/* SPDX-License-Identifier: MIT
 *
 * tools.c: methods of jsrt.Context that look at V8 rather than run code: its heap, its garbage
 * collector, the engines of a pool.
 */
#include "tools.h"

#include <errno.h>
#include <stdio.h>

static int
read_stats(ContextObject *context, jsv8_heap_stats_t *stats)
{
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return -1;
    }
    jsrt_v8.heap_stats(engine->isolate, stats);
    jsrt_watch_regain(&engine->watch);
    jsrt_context_leave(context, engine);
    return 0;
}

typedef struct {
    const char *name;
    size_t value;
} figure_t;

static PyObject *
figures_dict(const figure_t *figures, size_t count)
{
    PyObject *out = PyDict_New();
    for (size_t i = 0; out != NULL && i < count; i++) {
        PyObject *value = PyLong_FromSize_t(figures[i].value);
        if (value == NULL || PyDict_SetItemString(out, figures[i].name, value) < 0) {
            Py_CLEAR(out);
        }
        Py_XDECREF(value);
    }
    return out;
}

PyObject *
jsrt_tools_heap_statistics(ContextObject *context, PyObject *unused)
{
    jsv8_heap_stats_t stats = {0};
    if (read_stats(context, &stats) < 0) {
        return NULL;
    }
    const figure_t figures[] = {
        {"heap_used", stats.heap_used},   {"heap_total", stats.heap_total},
        {"heap_limit", stats.heap_limit}, {"external", stats.external},
        {"malloced", stats.malloced},     {"contexts", stats.contexts},
    };
    return figures_dict(figures, sizeof(figures) / sizeof(figures[0]));
}

PyObject *
jsrt_tools_v8_statistics(ContextObject *context, PyObject *unused)
{
    jsv8_heap_stats_t stats = {0};
    if (read_stats(context, &stats) < 0) {
        return NULL;
    }
    const figure_t figures[] = {
        {"total_heap_size", stats.heap_total},
        {"total_heap_size_executable", stats.executable},
        {"total_physical_size", stats.physical},
        {"total_available_size", stats.available},
        {"used_heap_size", stats.heap_used},
        {"heap_size_limit", stats.heap_limit},
        {"malloced_memory", stats.malloced},
        {"peak_malloced_memory", stats.malloced_peak},
        {"external_memory", stats.external},
        {"number_of_native_contexts", stats.contexts},
        {"number_of_detached_contexts", stats.detached_contexts},
    };
    return figures_dict(figures, sizeof(figures) / sizeof(figures[0]));
}

/* ---- Files ------------------------------------------------------------------------------------ */

static int
write_piece(void *user, const char *data, size_t size)
{
    return fwrite(data, 1, size, user) == size ? 0 : -1;
}

/* Has V8 write a file. */
static PyObject *
write_file(ContextObject *context, PyObject *path,
           jsv8_status_t (*produce)(jsv8_isolate_t *, jsv8_write_t, void *))
{
    PyObject *encoded;
    if (!PyUnicode_FSConverter(path, &encoded)) {
        return NULL;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        Py_DECREF(encoded);
        return NULL;
    }
    jsv8_status_t status = JSV8_OK;
    FILE *file = fopen(PyBytes_AS_STRING(encoded), "we");
    int code = file == NULL ? errno : 0;
    if (file != NULL) {
        status = produce(engine->isolate, write_piece, file);
        code = status == JSV8_UNSUPPORTED ? errno : 0;
        jsrt_watch_regain(&engine->watch);
        if (fclose(file) != 0 && code == 0) {
            code = errno;
        }
    }
    Py_DECREF(encoded);
    if (code != 0) {
        errno = code;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    } else if (status == JSV8_NOT_FOUND) {
        PyErr_SetString(PyExc_RuntimeError, "no CPU profile was started");
    } else if (status != JSV8_OK) {
        jsv8_error_t error = {
            .name = "", .message = "", .stack = "", .filename = "", .source_line = ""};
        jsrt_engine_raise(engine, status, &error);
    }
    jsrt_context_leave(context, engine);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
jsrt_tools_heap_snapshot(ContextObject *context, PyObject *path)
{
    return jsrt_v8_need() < 0 ? NULL : write_file(context, path, jsrt_v8.heap_snapshot);
}

PyObject *
jsrt_tools_profile_start(ContextObject *context, PyObject *args)
{
    double interval = 0.001;
    if (!PyArg_ParseTuple(args, "|d:start_cpu_profile", &interval)) {
        return NULL;
    }
    if (!(interval >= 0.0001 && interval <= 1)) {
        PyErr_SetString(PyExc_ValueError, "interval is in seconds, 0.0001 to 1");
        return NULL;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsv8_status_t status = jsrt_v8.cpu_profile_start(engine->isolate, (int)(interval * 1e6));
    jsrt_watch_regain(&engine->watch);
    jsrt_context_leave(context, engine);
    if (status != JSV8_OK) {
        PyErr_SetString(PyExc_RuntimeError, "a CPU profile is being made already");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
jsrt_tools_profile_stop(ContextObject *context, PyObject *path)
{
    return jsrt_v8_need() < 0 ? NULL : write_file(context, path, jsrt_v8.cpu_profile_stop);
}

/* ---- Garbage, engines of a pool --------------------------------------------------------------- */

static PyObject *
collect(ContextObject *context, int thorough)
{
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsrt_v8.collect(engine->isolate, thorough);
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
