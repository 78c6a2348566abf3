/* SPDX-License-Identifier: MIT
 *
 * source.c: runs what compile() keeps, and deals with code caches (source.h has the rules).
 *
 * Called by context.c for compile() and whenever an engine catches up, and by engine.c before an
 * isolate is freed. V8's part is v8/code_cache.cc; where the bytes are kept is jsrt/code_cache.py.
 */
#include "source.h"

#include "context.h"
#include "to_js.h"

enum {
    LEAST_LENGTH = 4096,   /* characters: below, compiling costs less than looking */
    LEAST_GROWTH = 8,      /* a cache is made again where it grows by a part of this, at least */
    LEAST_BORROWED = 65536 /* characters: V8 reads these where Python has them */
};

/* The store, borrowed, or NULL (never an exception). */
static PyObject *
store_of(jsrt_state_t *state)
{
    if (state->code_store == NULL) {
        PyObject *module = PyImport_ImportModule("jsrt.code_cache");
        PyObject *folder =
            module ? PyObject_CallMethod(module, "folder_from_environment", NULL) : NULL;
        char version[96];
        snprintf(version, sizeof(version), "%s %08x", jsrt_v8.v8_version(),
                 (unsigned)jsrt_v8.code_version());
        if (folder != NULL) {
            state->code_store = PyObject_CallMethod(module, "Store", "sO", version, folder);
        }
        Py_XDECREF(folder);
        Py_XDECREF(module);
        if (state->code_store == NULL) {
            PyErr_Clear();
            state->code_store = Py_NewRef(Py_None); /* not asked again */
        }
    }
    return state->code_store == Py_None ? NULL : state->code_store;
}

/* The cache of a source, new, or NULL (never an exception); its key is set. */
static PyObject *
find_cache(jsrt_state_t *state, jsrt_source_t *source, int *used)
{
    PyObject *store = store_of(state), *found, *cache = NULL;
    *used = 0;
    if (store == NULL) {
        return NULL;
    }
    if (source->key != NULL) {
        found = PyObject_CallMethod(store, "get", "O", source->key);
        if (found != NULL && !PyArg_ParseTuple(found, "Op", &cache, used)) {
            cache = NULL;
        }
    } else {
        int kind = PyUnicode_KIND(source->code);
        PyObject *view = PyMemoryView_FromMemory(
            PyUnicode_DATA(source->code), PyUnicode_GET_LENGTH(source->code) * kind, PyBUF_READ);
        found = view ? PyObject_CallMethod(store, "find", "Oi", view, kind) : NULL;
        PyObject *key;
        if (found != NULL && PyArg_ParseTuple(found, "SOp", &key, &cache, used)) {
            source->key = Py_NewRef(key);
        } else {
            cache = NULL;
        }
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *released = view ? PyObject_CallMethod(view, "release", NULL) : NULL;
        Py_XDECREF(released);
        Py_XDECREF(view);
        PyErr_Restore(type, value, traceback);
    }
    cache = cache != NULL && PyBytes_Check(cache) ? Py_NewRef(cache) : NULL;
    Py_XDECREF(found);
    PyErr_Clear();
    return cache;
}

/* Has V8 make the cache of a script and keeps it, if it is larger than least. Returns its size, 0
 * where nothing was kept. Inside. */
static size_t
make_cache(EngineObject *engine, PyObject *key, size_t script, size_t least, int used)
{
    const void *data;
    size_t size;
    PyObject *store = store_of(engine->state);
    jsv8_status_t status = jsrt_v8.code_cache(engine->isolate, script, &data, &size);
    jsrt_watch_regain(&engine->watch);
    if (store == NULL || status != JSV8_OK || size <= least) {
        return 0;
    }
    PyObject *done = NULL, *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    if (bytes != NULL) {
        done = PyObject_CallMethod(store, "put", "OOO", key, bytes, used ? Py_True : Py_False);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(done);
    PyErr_Clear();
    return done != NULL ? size : 0;
}

static void
forget(EngineObject *engine, size_t script)
{
    jsrt_v8.code_forget(engine->isolate, script);
    jsrt_watch_regain(&engine->watch);
}

static void
remember(EngineObject *engine, PyObject *key, size_t script, size_t size)
{
    jsrt_script_t *added = PyMem_Malloc(sizeof(*added));
    if (added == NULL) {
        forget(engine, script);
        return;
    }
    *added = (jsrt_script_t){Py_NewRef(key), script, size, engine->scripts};
    engine->scripts = added;
}

/* The text is there as long as the isolate. Returns whether that is so. */
static int
hold_text(EngineObject *engine, PyObject *text)
{
    if (engine->texts == NULL) {
        engine->texts = PyList_New(0);
    }
    if (engine->texts == NULL || PyList_Append(engine->texts, text) < 0) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

jsv8_status_t
jsrt_source_run(EngineObject *engine, jsrt_source_t *source, jsv8_error_t *error)
{
    jsrt_state_t *state = engine->state;
    jsrt_args_t args;
    jsv8_value_t text;
    jsv8_status_t status = JSV8_NO_MEMORY;
    PyObject *cache = NULL;
    int used = 0, large = PyUnicode_GET_LENGTH(source->code) >= LEAST_LENGTH;
    if (large) {
        cache = find_cache(state, source, &used);
    }
    jsv8_code_t code = {.keep = source->key != NULL};
    if (cache != NULL) {
        code.cache = PyBytes_AS_STRING(cache);
        code.size = (size_t)PyBytes_GET_SIZE(cache);
    }
    jsrt_args_init(&args, state);
    const char *name = PyUnicode_AsUTF8(source->filename);
    if (name != NULL && jsrt_text_to_js(&args, source->code, &text) == 0) {
        code.lasting = !engine->transient && text.u.text.length >= LEAST_BORROWED
                       && text.u.text.data == PyUnicode_DATA(source->code)
                       && hold_text(engine, source->code);
        status = jsrt_v8.run_code(engine->isolate, &text, name, &code, error);
        jsrt_watch_regain(&engine->watch);
    }
    jsrt_args_release(&args);
    if (status != JSV8_OK || engine->watch.raised != NULL || source->key == NULL) {
        /* error's texts are in a buffer of the isolate: nothing may be asked of it now. */
        Py_XDECREF(cache);
        return status;
    }
    size_t size = code.accepted ? code.size : 0;
    if (cache != NULL && !code.accepted) {
        PyObject *done = PyObject_CallMethod(state->code_store, "reject", "O", source->key);
        Py_XDECREF(done);
        PyErr_Clear();
    }
    if (!code.accepted) {
        used = 0;
        size = make_cache(engine, source->key, code.script, 0, 0);
    }
    if (used || size == 0 || engine->transient) {
        forget(engine, code.script);
    } else {
        remember(engine, source->key, code.script, size);
    }
    Py_XDECREF(cache);
    return JSV8_OK;
}

void
jsrt_source_dispose(jsrt_source_t *source)
{
    Py_CLEAR(source->code);
    Py_CLEAR(source->filename);
    Py_CLEAR(source->key);
}

void
jsrt_source_renew(EngineObject *engine)
{
    jsrt_script_t *each = engine->scripts;
    engine->scripts = NULL;
    jsrt_watch_enter(&engine->watch);
    while (each != NULL) {
        jsrt_script_t *next = each->next;
        make_cache(engine, each->key, each->script, each->size + each->size / LEAST_GROWTH, 1);
        Py_DECREF(each->key);
        PyMem_Free(each);
        each = next;
    }
    jsrt_watch_leave(&engine->watch);
}

void
jsrt_source_forget(EngineObject *engine)
{
    while (engine->scripts != NULL) {
        jsrt_script_t *first = engine->scripts;
        engine->scripts = first->next;
        Py_DECREF(first->key);
        PyMem_Free(first);
    }
}

/* ---- A context's sources ---------------------------------------------------------------------- */

int
jsrt_context_keep(ContextObject *context, const jsrt_source_t *source)
{
    if (context->source_count == context->source_capacity) {
        Py_ssize_t capacity = context->source_capacity ? context->source_capacity * 2 : 4;
        jsrt_source_t *grown =
            PyMem_Realloc(context->sources, (size_t)capacity * sizeof(jsrt_source_t));
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        context->sources = grown;
        context->source_capacity = capacity;
    }
    context->sources[context->source_count++] = *source;
    return 0;
}

int
jsrt_context_fix(ContextObject *context, PyObject *code)
{
    if (code == NULL) {
        return 0;
    }
    jsrt_source_t source = {Py_NewRef(code), PyUnicode_FromString("jsrt:fixed"), NULL};
    if (source.filename == NULL || jsrt_context_keep(context, &source) < 0) {
        jsrt_source_dispose(&source);
        return -1;
    }
    return 0;
}
