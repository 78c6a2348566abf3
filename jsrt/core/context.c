/* SPDX-License-Identifier: MIT
 *
 * context.c: jsrt.Context and its methods.
 *
 * Each method has the same shape: arguments are converted (which may run Python), an engine is
 * entered, V8 is called once, jsrt_context_finish converts what came back and leaves. Names are
 * data: they are looked up, never evaluated as source.
 */
#include "context.h"

#include <structmember.h>

#include "bridge.h"
#include "console.h"
#include "error.h"
#include "expose.h"
#include "fixed.h"
#include "function.h"
#include "json.h"
#include "object.h"
#include "parse.h"
#include "promise.h"
#include "realm.h"
#include "snapshot.h"
#include "tools.h"

/* ---- Entering --------------------------------------------------------------------------------- */

/* Runs the sources that the engine has not run yet. Inside. */
static int
catch_up(ContextObject *context, EngineObject *engine)
{
    while (engine->applied < context->source_count || engine->exposed != context->exposed) {
        if (jsrt_expose_catch_up(context, engine) < 0) {
            return -1;
        }
        if (engine->applied >= context->source_count) {
            break;
        }
        jsrt_source_t *kept = &context->sources[engine->applied];
        jsrt_source_t source = {Py_NewRef(kept->code), Py_NewRef(kept->filename),
                                Py_XNewRef(kept->key)};
        jsv8_error_t error = {0};
        jsv8_status_t status = jsrt_source_run(engine, &source, &error);
        if ((status != JSV8_OK || engine->watch.raised != NULL) && !PyErr_Occurred()) {
            jsrt_engine_raise(engine, status, &error);
        }
        jsrt_source_dispose(&source);
        if (PyErr_Occurred()) {
            return -1;
        }
        engine->applied++;
    }
    return 0;
}

static int
is_open(ContextObject *context)
{
    if (context->home == NULL || context->home->closed || context->closed) {
        PyErr_SetString(context->state->ContextClosed, "the context is closed");
        return 0;
    }
    return 1;
}

/* An engine for this thread, entered, its sources not yet looked at. */
static EngineObject *
enter_some(ContextObject *context)
{
    if (!is_open(context)) {
        return NULL;
    }
    EngineObject *engine = context->home;
    /* After a fork nobody would give one back; the home's engine refuses. */
    int lent = !jsrt_unusable && jsrt_context_is_lent(context);
    EngineObject *calling = lent ? jsrt_expose_calling(context) : NULL;
    if (calling != NULL) {
        engine = calling;
        lent = 0;
    }
    if (lent) {
        engine = jsrt_pool_borrow(&context->pool, context->home);
        if (engine == NULL) {
            return NULL;
        }
    }
    if (jsrt_engine_enter(engine) < 0) {
        if (lent) {
            jsrt_pool_return(&context->pool, engine);
        }
        return NULL;
    }
    return engine;
}

EngineObject *
jsrt_context_enter_slowly(ContextObject *context)
{
    EngineObject *engine = enter_some(context);
    if (engine != NULL
        && ((engine->scope != context && jsrt_realm_switch(context, engine) < 0)
            || catch_up(context, engine) < 0)) {
        jsrt_context_leave(context, engine);
        return NULL;
    }
    return engine;
}

void
jsrt_context_leave(ContextObject *context, EngineObject *engine)
{
    int nested = engine->nested;
    jsrt_engine_leave(engine);
    if (engine != context->home && !nested) {
        if (context->home->closed) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            jsrt_engine_close(engine);
            PyErr_Restore(type, value, traceback);
        }
        jsrt_pool_return(&context->pool, engine);
    }
}

PyObject *
jsrt_context_result(ContextObject *context, EngineObject *engine, jsv8_status_t status,
                    jsv8_value_t *result, jsv8_error_t *error, PyObject *loop)
{
    PyObject *value;
    if (status == JSV8_OK && engine->watch.raised == NULL) {
        value = jsrt_engine_result(engine, status, result, error);
    } else if (status == JSV8_PENDING && engine->watch.raised == NULL) {
        if (loop != NULL) {
            value = jsrt_promise_future(engine, (PyObject *)context, loop, result->u.ref);
            jsrt_v8.ref_free(result->u.ref);
        } else {
            value = jsrt_promise_wait(engine, result->u.ref);
        }
        if (value == NULL && engine->watch.raised != NULL) {
            Py_CLEAR(engine->watch.raised);
        }
    } else {
        if (status == JSV8_PENDING || (status == JSV8_OK && result->tag == JSV8_REF)) {
            jsrt_v8.ref_free(result->u.ref);
        }
        jsrt_engine_raise(engine, status, error);
        value = NULL;
    }
    if (engine->isolate != NULL && !engine->condemned) {
        jsrt_bridge_after_call(engine);
    }
    return value;
}

PyObject *
jsrt_context_finish(ContextObject *context, EngineObject *engine, jsv8_status_t status,
                    jsv8_value_t *result, jsv8_error_t *error, PyObject *loop)
{
    /* The ordinary end, in one piece: what follows has a call of its own for each step. */
    if (__builtin_expect(status == JSV8_OK && engine->watch.raised == NULL && loop == NULL
                             && engine == context->home,
                         1)) {
        PyObject *plain = jsrt_engine_to_py(engine, result);
        jsrt_bridge_after_call(engine);
        jsrt_engine_leave(engine);
        return plain;
    }
    PyObject *value = jsrt_context_result(context, engine, status, result, error, loop);
    jsrt_context_leave(context, engine);
    if (loop != NULL && status != JSV8_PENDING) {
        return jsrt_promise_settled(context->state, loop, value);
    }
    return value;
}

/* ---- Calls -------------------------------------------------------------------------------------- */

/* The loop for an async method: new, or NULL with RuntimeError. */
static PyObject *
loop_for(ContextObject *context)
{
    PyObject *loop = jsrt_bridge_running_loop(context->state);
    if (loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
        return NULL;
    }
    if (jsrt_context_is_lent(context)) {
        Py_DECREF(loop);
        PyErr_SetString(PyExc_RuntimeError,
                        "a context with a pool is awaited on the thread that made it");
        return NULL;
    }
    return loop;
}

PyObject *
jsrt_context_call(ContextObject *context, PyObject *name, jsrt_args_t *args, jsv8_want_t want,
                  PyObject *loop)
{
    Py_ssize_t length;
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s", Py_TYPE(name)->tp_name);
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize(name, &length);
    if (text == NULL) {
        return NULL;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        return NULL;
    }
    jsv8_value_t result;
    jsv8_error_t error = {0};
    uint64_t began = 0;
    jsrt_gauge_t *gauge = jsrt_context_measure(context, engine, name, &began);
    jsv8_status_t status = jsrt_v8.call_named(engine->isolate, text, (size_t)length, args->count,
                                              args->values, want, &result, &error);
    uint64_t took = gauge != NULL ? jsrt_now() - began : 0;
    jsrt_watch_regain(&engine->watch);
    if (gauge != NULL) {
        jsrt_context_measured(gauge, took);
    }
    return jsrt_context_finish(context, engine, status, &result, &error, loop);
}

static PyObject *
call(ContextObject *context, PyObject *name, PyObject *sequence, jsv8_want_t want, PyObject *loop)
{
    enum { HELD = 8 };
    PyObject *held[HELD], **items = held;
    size_t count = 0;
    if (sequence != NULL && !PyList_Check(sequence) && !PyTuple_Check(sequence)) {
        PyErr_Format(PyExc_TypeError, "args must be a list or a tuple, not %.200s",
                     Py_TYPE(sequence)->tp_name);
        return NULL;
    }
    /* The items are held one by one: while JavaScript runs, another thread may change a list. */
    if (sequence != NULL) {
        count = (size_t)PySequence_Fast_GET_SIZE(sequence);
        if (count > HELD) {
            items = PyMem_Malloc(count * sizeof(PyObject *));
            if (items == NULL) {
                return PyErr_NoMemory();
            }
        }
        PyObject **from = PySequence_Fast_ITEMS(sequence);
        for (size_t i = 0; i < count; i++) {
            items[i] = Py_NewRef(from[i]);
        }
    }
    PyObject *out = NULL;
    jsrt_args_t args;
    jsrt_args_init(&args, context->state);
    args.share = context->share;
    if (jsrt_args_convert(&args, items, count) == 0) {
        out = jsrt_context_call(context, name, &args, want, loop);
    }
    jsrt_args_release(&args);
    for (size_t i = 0; i < count; i++) {
        Py_DECREF(items[i]);
    }
    if (items != held) {
        PyMem_Free(items);
    }
    return out;
}

/* What objects of a result become: convert=True is the default. Returns -1 with an exception. */
static int
parse_convert(PyObject *convert, jsv8_want_t *want)
{
    int yes = convert != NULL ? PyObject_IsTrue(convert) : 1;
    *want = yes ? JSV8_SETTLE : JSV8_HANDLE;
    return yes < 0 ? -1 : 0;
}

#define FAST_METHOD(name)                                                                  \
    static PyObject *name(ContextObject *context, PyObject *const *args, Py_ssize_t count, \
                          PyObject *keywords)

FAST_METHOD(context_call)
{
    static const jsrt_signature_t signature = {"call", {"name", "args", "convert"}, 1, 2};
    PyObject *given[JSRT_PARSE_MOST];
    jsv8_want_t want = JSV8_SETTLE;
    if (jsrt_parse(&signature, args, count, keywords, given) < 0
        || (given[2] != NULL && parse_convert(given[2], &want) < 0)) {
        return NULL;
    }
    return call(context, given[0], given[1], want, NULL);
}

FAST_METHOD(context_call_async)
{
    static const jsrt_signature_t signature = {"call_async", {"name", "args"}, 1, 2};
    PyObject *given[JSRT_PARSE_MOST];
    if (jsrt_parse(&signature, args, count, keywords, given) < 0) {
        return NULL;
    }
    PyObject *loop = loop_for(context);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *future = call(context, given[0], given[1], JSV8_SETTLE, loop);
    Py_DECREF(loop);
    return future;
}

FAST_METHOD(context_call_json)
{
    static const jsrt_signature_t signature = {"call_json", {"name", "body"}, 1, 2};
    return jsrt_json_call(context, &signature, args, count, keywords, NULL);
}

FAST_METHOD(context_call_json_async)
{
    static const jsrt_signature_t signature = {"call_json_async", {"name", "body"}, 1, 2};
    PyObject *loop = loop_for(context);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *future = jsrt_json_call(context, &signature, args, count, keywords, loop);
    Py_DECREF(loop);
    return future;
}

/* ---- Source ---------------------------------------------------------------------------------------- */

static int
check_source(PyObject *code, PyObject **filename, const char *default_name)
{
    if (!PyUnicode_Check(code)) {
        PyErr_Format(PyExc_TypeError, "code must be a str, not %.200s", Py_TYPE(code)->tp_name);
        return -1;
    }
    if (*filename == NULL || *filename == Py_None) {
        *filename = PyUnicode_FromString(default_name);
        return *filename == NULL ? -1 : 0;
    }
    *filename = PyOS_FSPath(*filename);
    if (*filename != NULL && !PyUnicode_Check(*filename)) {
        PyErr_SetString(PyExc_TypeError, "filename must be a str");
        Py_CLEAR(*filename);
    }
    return *filename == NULL ? -1 : 0;
}

static PyObject *
run(ContextObject *context, PyObject *code, PyObject *filename, jsv8_scope_t scope,
    jsv8_want_t want, PyObject *loop)
{
    if (check_source(code, &filename, "<eval>") < 0) {
        return NULL;
    }
    PyObject *out = NULL;
    jsrt_args_t args;
    jsv8_value_t source, result;
    jsv8_error_t error = {0};
    jsrt_args_init(&args, context->state);
    const char *name = PyUnicode_AsUTF8(filename);
    if (name != NULL && jsrt_text_to_js(&args, code, &source) == 0) {
        EngineObject *engine = jsrt_context_enter(context);
        if (engine != NULL) {
            jsrt_context_put_gil_down(context, engine);
            jsv8_status_t status =
                jsrt_v8.run(engine->isolate, &source, name, scope, want, &result, &error);
            jsrt_watch_regain(&engine->watch);
            out = jsrt_context_finish(context, engine, status, &result, &error, loop);
        }
    }
    jsrt_args_release(&args);
    Py_DECREF(filename);
    return out;
}

/* eval and evaluate. */
static PyObject *
run_now(ContextObject *context, const jsrt_signature_t *signature, jsv8_scope_t scope,
        PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *given[JSRT_PARSE_MOST];
    jsv8_want_t want;
    if (jsrt_parse(signature, args, count, keywords, given) < 0
        || parse_convert(given[2], &want) < 0) {
        return NULL;
    }
    return run(context, given[0], given[1], scope, want, NULL);
}

FAST_METHOD(context_eval)
{
    static const jsrt_signature_t signature = {"eval", {"code", "filename", "convert"}, 1, 2};
    return run_now(context, &signature, JSV8_KEEP_SCOPE, args, count, keywords);
}

FAST_METHOD(context_evaluate)
{
    static const jsrt_signature_t signature = {"evaluate", {"code", "filename", "convert"}, 1, 2};
    return run_now(context, &signature, JSV8_OWN_SCOPE, args, count, keywords);
}

FAST_METHOD(context_eval_async)
{
    static const jsrt_signature_t signature = {"eval_async", {"code", "filename"}, 1, 2};
    PyObject *given[JSRT_PARSE_MOST];
    if (jsrt_parse(&signature, args, count, keywords, given) < 0) {
        return NULL;
    }
    PyObject *loop = loop_for(context);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *future = run(context, given[0], given[1], JSV8_KEEP_SCOPE, JSV8_SETTLE, loop);
    Py_DECREF(loop);
    return future;
}

static int
compile(ContextObject *context, PyObject *code, PyObject *filename)
{
    if (check_source(code, &filename, "<compile>") < 0) {
        return -1;
    }
    EngineObject *engine = jsrt_context_enter(context);
    if (engine == NULL) {
        Py_DECREF(filename);
        return -1;
    }
    int done = -1;
    jsrt_source_t source = {Py_NewRef(code), filename, NULL};
    jsv8_error_t error = {0};
    jsv8_status_t status = jsrt_source_run(engine, &source, &error);
    if (status != JSV8_OK || engine->watch.raised != NULL) {
        if (!PyErr_Occurred()) {
            jsrt_engine_raise(engine, status, &error);
        }
    }
    /* While this ran without the GIL another thread may have added a source: this engine is then
     * behind, and will catch up by running the other one; only its own place is certain. */
    else if (jsrt_context_keep(context, &source) == 0) {
        source = (jsrt_source_t){0};
        done = 0;
        if (engine->applied == context->source_count - 1) {
            engine->applied = context->source_count;
        }
    }
    if (engine->isolate != NULL && !engine->condemned) {
        jsrt_bridge_after_call(engine);
    }
    jsrt_context_leave(context, engine);
    jsrt_source_dispose(&source);
    return done;
}

FAST_METHOD(context_compile)
{
    static const jsrt_signature_t signature = {"compile", {"code", "filename"}, 1, 2};
    PyObject *given[JSRT_PARSE_MOST];
    if (jsrt_parse(&signature, args, count, keywords, given) < 0
        || compile(context, given[0], given[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

FAST_METHOD(context_expose)
{
    static const jsrt_signature_t signature = {"expose", {"name", "value"}, 2, 2};
    PyObject *given[JSRT_PARSE_MOST];
    if (jsrt_parse(&signature, args, count, keywords, given) < 0
        || jsrt_expose(context, given[0], given[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
context_function(ContextObject *context, PyObject *name)
{
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s", Py_TYPE(name)->tp_name);
        return NULL;
    }
    return jsrt_function_new(context, name);
}

/* ---- Life ------------------------------------------------------------------------------------------------ */

static PyObject *
context_close(ContextObject *context, PyObject *unused)
{
    if (context->parent != NULL) {
        context->closed = 1;
        jsrt_realm_drop(context);
    } else if (context->home != NULL) {
        if (jsrt_engine_close_when_free(context->home) < 0) {
            return NULL;
        }
        jsrt_pool_close(&context->pool);
        jsrt_expose_clear(context);
    }
    Py_RETURN_NONE;
}

static PyObject *
context_enter(ContextObject *context, PyObject *unused)
{
    return is_open(context) ? Py_NewRef(context) : NULL;
}

static PyObject *
context_exit(ContextObject *context, PyObject *args)
{
    return context_close(context, NULL);
}

static PyObject *
context_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    jsrt_options_t options;
    if (jsrt_parse_options(args, keywords, &options) < 0) {
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &jsrt_module);
    if (module == NULL) {
        return NULL;
    }
    ContextObject *context = (ContextObject *)type->tp_alloc(type, 0);
    if (context == NULL) {
        return NULL;
    }
    context->state = jsrt_state_of(module);
    Py_INCREF(module);
    context->state->context_count++;
    context->home_thread = pthread_self();
    context->timeout = options.timeout;
    context->home = jsrt_engine_new(context->state, options.profile, options.heap_limit,
                                    options.timeout, options.profile != JSV8_PROFILE_BARE);
    if (context->home != NULL) {
        context->home->context = context;
    }
    context->homeless = options.homeless;
    context->share = options.share;
    if (context->home == NULL || jsrt_snapshot_take(context->home, options.snapshot) < 0
        || jsrt_pool_init(&context->pool, options.pool) < 0) {
        goto fail;
    }
    context->pool.patience = options.patience;
    context->fixed = jsrt_fixed_source(options.seed, options.now);
    if (PyErr_Occurred() || jsrt_context_fix(context, context->fixed) < 0
        || jsrt_console_attach(context, options.console) < 0
        || (options.code != Py_None && compile(context, options.code, NULL) < 0)) {
        goto fail;
    }
    return (PyObject *)context;
fail:
    Py_DECREF(context);
    return NULL;
}

static int
context_traverse(ContextObject *context, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(context));
    Py_VISIT(context->state->module);
    Py_VISIT(context->home);
    Py_VISIT(context->parent);
    Py_VISIT(context->console);
    int code = jsrt_expose_traverse(context, visit, arg);
    if (code != 0) {
        return code;
    }
    return jsrt_pool_traverse(&context->pool, visit, arg);
}

static int
context_clear(ContextObject *context)
{
    if (context->parent != NULL) {
        context->closed = 1;
        jsrt_realm_drop(context);
    } else if (context->home != NULL) {
        jsrt_engine_close(context->home);
    }
    jsrt_pool_close(&context->pool);
    jsrt_expose_clear(context);
    Py_CLEAR(context->console);
    return 0;
}

static void
context_dealloc(ContextObject *context)
{
    PyTypeObject *type = Py_TYPE(context);
    PyObject *error_type, *error_value, *traceback;
    PyObject_GC_UnTrack(context);
    if (context->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)context);
    }
    PyErr_Fetch(&error_type, &error_value, &traceback);
    context_clear(context);
    jsrt_pool_dispose(&context->pool);
    if (context->home != NULL && context->home->context == context) {
        context->home->context = NULL;
    }
    jsrt_realm_drop(context);
    Py_CLEAR(context->home);
    Py_CLEAR(context->parent);
    PyErr_Restore(error_type, error_value, traceback);
    for (Py_ssize_t i = 0; i < context->source_count; i++) {
        jsrt_source_dispose(&context->sources[i]);
    }
    PyMem_Free(context->sources);
    Py_CLEAR(context->fixed);
    PyObject *module = context->state->module;
    context->state->context_count--;
    type->tp_free(context);
    Py_DECREF(type);
    Py_DECREF(module);
}

static PyObject *
context_repr(ContextObject *context)
{
    EngineObject *home = context->home;
    return PyUnicode_FromFormat("<jsrt.Context %s%s, %s>", jsrt_profile_names[home->profile],
                                context->parent != NULL ? " realm" : "",
                                home->closed || context->closed ? "closed"
                                : home->isolate != NULL         ? "booted"
                                                                : "not booted yet");
}

static PyObject *
get_closed(ContextObject *context, void *unused)
{
    return PyBool_FromLong(context->home->closed || context->closed);
}

static PyObject *
get_globals(ContextObject *context, void *unused)
{
    return jsrt_object_global(context);
}

static PyObject *
get_profile(ContextObject *context, void *unused)
{
    return PyUnicode_FromString(jsrt_profile_names[context->home->profile]);
}

static PyObject *
get_heap_limit(ContextObject *context, void *unused)
{
    if (context->home->heap_limit == 0) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble((double)context->home->heap_limit / JSRT_MEGABYTE);
}

static PyObject *
get_timeout(ContextObject *context, void *unused)
{
    if (context->timeout == 0) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(context->timeout);
}

/* ---- The type --------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    context_doc,
    "Context(*, profile='web', heap_limit=None, timeout=None, code=None, pool=0, seed=None,\n"
    "        now=None, console=None, snapshot=None, share_buffers=True)\n--\n\n"
    "A JavaScript global scope. V8 boots at its first use.\n\n"
    "profile: 'bare' is ECMAScript alone; 'web' adds URL, fetch, WebCrypto, timers, streams and\n"
    "the like, Node's own; 'node' adds require, process and Buffer.\n"
    "heap_limit: MB of JavaScript heap. timeout: seconds a call may run. code: compiled at once.\n"
    "pool: how many more engines may boot for calls from threads other than this one.\n"
    "seed: an int that Math.random follows. now: the time, in seconds, at which the clock stands.\n"
    "console: a logger, its name or a LoggerAdapter, which gets what console.log and the like "
    "say.\n"
    "snapshot: a jsrt.Snapshot that a bare context starts from.\n"
    "share_buffers: writable buffers (bytearray, array, numpy's arrays) are JavaScript's too, and\n"
    "cannot be resized while it has them; False: they are copied.");

#define METHOD(name, flags, function, doc)                                 \
    {                                                                      \
        name, (PyCFunction)(void (*)(void))function, flags, PyDoc_STR(doc) \
    }

static PyMethodDef context_methods[] = {
    METHOD("call", METH_FASTCALL | METH_KEYWORDS, context_call,
           "call($self, /, name, args=(), *, convert=True)\n--\n\n"
           "Calls a function by its global name or dotted path and returns its value. A promise\n"
           "is waited for. convert=False: an object stays in JavaScript, as a handle."),
    METHOD("call_async", METH_FASTCALL | METH_KEYWORDS, context_call_async,
           "call_async($self, /, name, args=())\n--\n\n"
           "Calls a function now; returns a future of the running event loop for its value."),
    METHOD(
        "call_json", METH_FASTCALL | METH_KEYWORDS, context_call_json,
        "call_json($self, /, name, body=...)\n--\n\n"
        "As call with one argument, JSON in and JSON out: body is the argument's JSON text (bytes\n"
        "in UTF-8, or str), the result is the value's JSON text in UTF-8, as bytes."),
    METHOD("call_json_async", METH_FASTCALL | METH_KEYWORDS, context_call_json_async,
           "call_json_async($self, /, name, body=...)\n--\n\n"
           "As call_json; returns a future of the running event loop."),
    METHOD("compile", METH_FASTCALL | METH_KEYWORDS, context_compile,
           "compile($self, /, code, filename=None)\n--\n\n"
           "Runs code in the global scope and keeps it for every engine of this context."),
    METHOD("eval", METH_FASTCALL | METH_KEYWORDS, context_eval,
           "eval($self, /, code, filename=None, *, convert=True)\n--\n\n"
           "Runs code in the global scope; returns the last expression's value. convert=False: an\n"
           "object stays in JavaScript, as a handle."),
    METHOD("eval_async", METH_FASTCALL | METH_KEYWORDS, context_eval_async,
           "eval_async($self, /, code, filename=None)\n--\n\n"
           "As eval; returns a future of the running event loop."),
    METHOD("evaluate", METH_FASTCALL | METH_KEYWORDS, context_evaluate,
           "evaluate($self, /, code, filename=None, *, convert=True)\n--\n\n"
           "As eval, in a scope of its own: declarations are gone afterwards."),
    METHOD("expose", METH_FASTCALL | METH_KEYWORDS, context_expose,
           "expose($self, /, name, value)\n--\n\n"
           "Makes value a global of JavaScript in every engine of this context, now and later. A\n"
           "callable becomes a function; what it returns, if that is awaitable, a promise."),
    METHOD("function", METH_O, context_function,
           "function($self, name, /)\n--\n\n"
           "The function of that name, held for calling."),
    METHOD("realm", METH_FASTCALL | METH_KEYWORDS, jsrt_realm_new,
           "realm($self, /, *, timeout=None, console=None)\n--\n\n"
           "A further context in the isolate of this one: a global scope of its own in a tenth of\n"
           "the time and memory. It ends with this one. timeout, console: this one's, if not\n"
           "given."),
    METHOD("heap_statistics", METH_NOARGS, jsrt_tools_heap_statistics,
           "heap_statistics($self, /)\n--\n\nSizes of V8's heap, in bytes."),
    METHOD("_v8_statistics", METH_NOARGS, jsrt_tools_v8_statistics,
           "_v8_statistics($self, /)\n--\n\nThe same and more, under V8's names."),
    METHOD("heap_snapshot", METH_O, jsrt_tools_heap_snapshot,
           "heap_snapshot($self, path, /)\n--\n\n"
           "Writes a .heapsnapshot file, which Chrome DevTools opens."),
    METHOD("start_cpu_profile", METH_VARARGS, jsrt_tools_profile_start,
           "start_cpu_profile($self, interval=0.001, /)\n--\n\n"
           "Begins to note what runs, every so many seconds."),
    METHOD("stop_cpu_profile", METH_O, jsrt_tools_profile_stop,
           "stop_cpu_profile($self, path, /)\n--\n\n"
           "Ends that and writes a .cpuprofile file, which Chrome DevTools opens."),
    METHOD("collect", METH_NOARGS, jsrt_tools_collect,
           "collect($self, /)\n--\n\nCollects JavaScript's garbage now."),
    METHOD("_collect_once", METH_NOARGS, jsrt_tools_collect_once,
           "_collect_once($self, /)\n--\n\nThe same in one pass, for tenants.py."),
    METHOD("_pool_stats", METH_NOARGS, jsrt_tools_pool_stats,
           "_pool_stats($self, /)\n--\n\nFigures of the engines lent to threads, for engine.py."),
    METHOD("_pool_shrink", METH_O, jsrt_tools_pool_shrink,
           "_pool_shrink($self, seconds, /)\n--\n\nFrees engines that were idle so long."),
    METHOD("close", METH_NOARGS, context_close,
           "close($self, /)\n--\n\nFrees the engines; later use raises ContextClosed."),
    METHOD("__enter__", METH_NOARGS, context_enter, "The context itself."),
    METHOD("__exit__", METH_VARARGS, context_exit, "Closes the context."),
    {0},
};

static PyGetSetDef context_properties[] = {
    {"closed", (getter)get_closed, NULL, PyDoc_STR("Whether close() was called."), NULL},
    {"globals", (getter)get_globals, NULL,
     PyDoc_STR("The global object, live: ctx.globals['name'] = value."), NULL},
    {"profile", (getter)get_profile, NULL, PyDoc_STR("'bare', 'web' or 'node'."), NULL},
    {"heap_limit", (getter)get_heap_limit, NULL, PyDoc_STR("In MB, or None."), NULL},
    {"timeout", (getter)get_timeout, NULL, PyDoc_STR("In seconds, or None."), NULL},
    {0},
};

static PyMemberDef context_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ContextObject, weakrefs), READONLY, NULL},
    {0},
};

static PyType_Slot context_slots[] = {
    {Py_tp_doc, (void *)context_doc},   {Py_tp_new, context_new},
    {Py_tp_traverse, context_traverse}, {Py_tp_clear, context_clear},
    {Py_tp_dealloc, context_dealloc},   {Py_tp_repr, context_repr},
    {Py_tp_methods, context_methods},   {Py_tp_getset, context_properties},
    {Py_tp_members, context_members},   {0, NULL},
};

PyType_Spec jsrt_context_spec = {
    .name = "jsrt.Context",
    .basicsize = sizeof(ContextObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};
