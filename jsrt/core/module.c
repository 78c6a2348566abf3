/* SPDX-License-Identifier: MIT
 *
 * module.c: the module jsrt._jsrt: types, state, and the end at interpreter exit.
 *
 * Importing it loads and starts nothing of V8 (load.h).
 */
#include "context.h"

#include "console.h"
#include "dates.h"

#include "dump.h"
#include "error.h"
#include "expose.h"
#include "function.h"
#include "object.h"
#include "snapshot.h"
#include "stats.h"
#include "to_js.h"
#include "view.h"

#ifndef JSRT_SHARE_DIR
#define JSRT_SHARE_DIR NULL
#endif

static PyObject *
debug_counts(PyObject *module, PyObject *unused)
{
    jsrt_state_t *state = jsrt_state_of(module);
    size_t isolates = 0, realms = 0, refs = 0, hosted = 0, lent = 0;
    if (jsrt_v8_is_loaded()) {
        isolates = jsrt_v8.live_isolates();
        realms = jsrt_v8.live_realms();
        refs = jsrt_v8.live_refs();
        hosted = jsrt_v8.live_hosted();
        lent = jsrt_v8.live_lent();
    }
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n}", "contexts", state->context_count,
                         "handles", state->handle_count, "engines", state->engine_count, "isolates",
                         (Py_ssize_t)isolates, "realms", (Py_ssize_t)realms, "refs",
                         (Py_ssize_t)refs, "hosted", (Py_ssize_t)hosted, "lent", (Py_ssize_t)lent,
                         "tasks", PySet_GET_SIZE(state->tasks));
}

/* v8_version, node_version: of the library, which nothing but asking need load (PEP 562). */
static PyObject *
get_attribute(PyObject *module, PyObject *name)
{
    int v8 = PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "v8_version") == 0;
    if (!v8
        && !(PyUnicode_Check(name)
             && PyUnicode_CompareWithASCIIString(name, "node_version") == 0)) {
        PyErr_Format(PyExc_AttributeError, "module 'jsrt._jsrt' has no attribute %R", name);
        return NULL;
    }
    if (jsrt_v8_need() < 0) {
        return NULL;
    }
    return PyUnicode_FromString(v8 ? jsrt_v8.v8_version() : jsrt_v8.node_version());
}

static PyObject *
at_exit(PyObject *module, PyObject *unused)
{
    jsrt_engine_exit(jsrt_state_of(module));
    Py_RETURN_NONE;
}

static PyObject *
loop_closing(PyObject *module, PyObject *loop)
{
    jsrt_engine_loop_closing(jsrt_state_of(module), loop);
    Py_RETURN_NONE;
}

static PyObject *
load(PyObject *module, PyObject *unused)
{
    if (jsrt_v8_need() < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
start(PyObject *module, PyObject *unused)
{
    if (jsrt_engine_process_start(jsrt_state_of(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"_debug_counts", debug_counts, METH_NOARGS,
     PyDoc_STR("_debug_counts($module, /)\n--\n\nLive objects, for leak tests.")},
    {"_at_exit", at_exit, METH_NOARGS,
     PyDoc_STR("_at_exit($module, /)\n--\n\nCloses every context and stops V8.")},
    {"_loop_closing", loop_closing, METH_O,
     PyDoc_STR("_loop_closing($module, loop, /)\n--\n\n"
               "Frees the engines that live on an event loop which is about to close.")},
    {"statistics", jsrt_stats, METH_NOARGS,
     PyDoc_STR(
         "statistics($module, /)\n--\n\n"
         "calls into JavaScript so far and isolates, of the whole process; and, in bytes, the\n"
         "heaps of this thread's isolates that no call is in: heap_used, heap_total, external.")},
    {"dump_stacks_on", jsrt_dump_register, METH_VARARGS,
     PyDoc_STR("dump_stacks_on($module, signum, fd, /)\n--\n\n"
               "At this signal, write the JavaScript stacks of running calls to a descriptor.")},
    {"_caller", jsrt_console_caller, METH_NOARGS,
     PyDoc_STR(
         "_caller($module, /)\n--\n\n"
         "File, line and function of the JavaScript that calls Python here, for console.py.")},
    {"_make_snapshot", jsrt_snapshot_make, METH_VARARGS,
     PyDoc_STR("_make_snapshot($module, code, filename, /)\n--\n\n"
               "A start-up blob of what code leaves, for snapshot.py.")},
    {"__getattr__", get_attribute, METH_O,
     PyDoc_STR("__getattr__($module, name, /)\n--\n\nv8_version and node_version.")},
    {"_load", load, METH_NOARGS,
     PyDoc_STR("_load($module, /)\n--\n\nLoads V8's library now instead of at first use. Starts "
               "nothing.")},
    {"_start", start, METH_NOARGS,
     PyDoc_STR("_start($module, /)\n--\n\nStarts V8's threads now instead of at first use.")},
    {0},
};

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base, PyTypeObject **slot, int public)
{
    *slot = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (*slot == NULL) {
        return -1;
    }
    return public ? PyModule_AddType(module, *slot) : 0;
}

static int
intern_names(jsrt_state_t *state)
{
    const struct {
        PyObject **slot;
        const char *text;
    } names[] = {
        {&state->str_value, "value"},
        {&state->str_uv_loop, "uv_loop"},
        {&state->str_call_soon, "call_soon"},
        {&state->str_call_later, "call_later"},
        {&state->str_add_reader, "add_reader"},
        {&state->str_remove_reader, "remove_reader"},
        {&state->str_call_soon_threadsafe, "call_soon_threadsafe"},
        {&state->str_create_future, "create_future"},
        {&state->str_set_result, "set_result"},
        {&state->str_set_exception, "set_exception"},
        {&state->str_done, "done"},
        {&state->str_cancel, "cancel"},
        {&state->str_turn, "_turn"},
        {&state->str_is_closed, "is_closed"},
        {&state->str_is_running, "is_running"},
        {&state->str_call_exception_handler, "call_exception_handler"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *names[i].slot = PyUnicode_InternFromString(names[i].text);
        if (*names[i].slot == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Where the build unpacked Node's own JS files, seen from this extension; None: the system has
 * them. */
static int
find_share_dir(PyObject *module, jsrt_state_t *state)
{
    const char *relative = JSRT_SHARE_DIR;
    if (relative == NULL) {
        state->share_dir = Py_NewRef(Py_None);
        return 0;
    }
    PyObject *file = PyObject_GetAttrString(module, "__file__");
    PyObject *path = file ? PyImport_ImportModule("os.path") : NULL;
    PyObject *absolute = path ? PyObject_CallMethod(path, "abspath", "O", file) : NULL;
    PyObject *folder = absolute ? PyObject_CallMethod(path, "dirname", "O", absolute) : NULL;
    PyObject *joined = folder ? PyObject_CallMethod(path, "join", "Os", folder, relative) : NULL;
    state->share_dir = joined ? PyObject_CallMethod(path, "normpath", "O", joined) : NULL;
    Py_XDECREF(joined);
    Py_XDECREF(folder);
    Py_XDECREF(absolute);
    Py_XDECREF(path);
    Py_XDECREF(file);
    return state->share_dir == NULL ? -1 : 0;
}

static int
find_main_thread(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (ident != NULL) {
        jsrt_main_thread = PyLong_AsUnsignedLong(ident);
    }
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    return PyErr_Occurred() ? -1 : 0;
}

static int
register_exit(PyObject *module)
{
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *hook = atexit ? PyObject_GetAttrString(module, "_at_exit") : NULL;
    PyObject *done = hook ? PyObject_CallMethod(atexit, "register", "O", hook) : NULL;
    Py_XDECREF(hook);
    Py_XDECREF(atexit);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

static int
module_exec(PyObject *module)
{
    /* The slot below says so from 3.12 on, and only to interpreters that check. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "jsrt does not support subinterpreters: V8 is one for the process");
        return -1;
    }
    jsrt_state_t *state = jsrt_state_of(module);
    state->module = module;
    state->function_vectorcall = jsrt_function_vectorcall();
    state->datetime = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    state->kinds = PyDict_New();
    if (state->datetime == NULL || state->kinds == NULL || jsrt_error_init(state) < 0
        || intern_names(state) < 0 || find_share_dir(module, state) < 0 || find_main_thread() < 0
        || (state->tasks = PySet_New(NULL)) == NULL
        || add_type(module, &jsrt_engine_spec, NULL, &state->EngineType, 0) < 0
        || add_type(module, &jsrt_context_spec, NULL, &state->ContextType, 1) < 0
        || add_type(module, &jsrt_object_spec, NULL, &state->ObjectType, 1) < 0
        || add_type(module, &jsrt_function_spec, state->ObjectType, &state->FunctionType, 1) < 0
        || add_type(module, &jsrt_promise_spec, state->ObjectType, &state->PromiseType, 1) < 0
        || add_type(module, &jsrt_iterator_spec, NULL, &state->IteratorType, 0) < 0
        || add_type(module, &jsrt_settler_spec, NULL, &state->SettlerType, 0) < 0
        || add_type(module, &jsrt_view_spec, NULL, &state->ViewType, 1) < 0) {
        return -1;
    }
    return register_exit(module);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    jsrt_state_t *state = jsrt_state_of(module);
    Py_VISIT(state->ContextType);
    Py_VISIT(state->ObjectType);
    Py_VISIT(state->FunctionType);
    Py_VISIT(state->PromiseType);
    Py_VISIT(state->IteratorType);
    Py_VISIT(state->SettlerType);
    Py_VISIT(state->ViewType);
    Py_VISIT(state->tasks);
    Py_VISIT(state->ensure_future);
    Py_VISIT(state->EngineType);
    Py_VISIT(state->Error);
    Py_VISIT(state->JSError);
    Py_VISIT(state->JSSyntaxError);
    Py_VISIT(state->Timeout);
    Py_VISIT(state->HeapLimit);
    Py_VISIT(state->ConversionError);
    Py_VISIT(state->ContextClosed);
    Py_VISIT(state->PendingPromiseError);
    Py_VISIT(state->kinds);
    Py_VISIT(state->get_running_loop);
    Py_VISIT(state->code_store);
    return 0;
}

static int
module_clear(PyObject *module)
{
    jsrt_state_t *state = jsrt_state_of(module);
    Py_CLEAR(state->ContextType);
    Py_CLEAR(state->ObjectType);
    Py_CLEAR(state->FunctionType);
    Py_CLEAR(state->PromiseType);
    Py_CLEAR(state->IteratorType);
    Py_CLEAR(state->SettlerType);
    Py_CLEAR(state->ViewType);
    Py_CLEAR(state->tasks);
    Py_CLEAR(state->ensure_future);
    Py_CLEAR(state->EngineType);
    Py_CLEAR(state->Error);
    Py_CLEAR(state->JSError);
    Py_CLEAR(state->JSSyntaxError);
    Py_CLEAR(state->Timeout);
    Py_CLEAR(state->HeapLimit);
    Py_CLEAR(state->ConversionError);
    Py_CLEAR(state->ContextClosed);
    Py_CLEAR(state->PendingPromiseError);
    Py_CLEAR(state->kinds);
    Py_CLEAR(state->get_running_loop);
    Py_CLEAR(state->code_store);
    return 0;
}

static void
module_free(void *module)
{
    jsrt_state_t *state = jsrt_state_of(module);
    PyObject **names[] = {
        &state->str_value,
        &state->str_uv_loop,
        &state->str_call_soon,
        &state->str_call_later,
        &state->str_add_reader,
        &state->str_remove_reader,
        &state->str_call_soon_threadsafe,
        &state->str_create_future,
        &state->str_set_result,
        &state->str_set_exception,
        &state->str_done,
        &state->str_cancel,
        &state->str_turn,
        &state->str_is_closed,
        &state->str_is_running,
        &state->str_call_exception_handler,
        &state->share_dir,
    };
    module_clear(module);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        Py_CLEAR(*names[i]);
    }
    for (size_t i = 0; i < JSRT_KEY_CACHE; i++) {
        Py_CLEAR(state->keys[i]);
    }
    jsrt_keep_free(state->spare);
    state->spare = NULL;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    /* V8's platform belongs to the process, its callbacks to the main interpreter. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef jsrt_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "jsrt._jsrt",
    .m_doc = PyDoc_STR("V8 for Python, from the system's libnode."),
    .m_size = sizeof(jsrt_state_t),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__jsrt(void)
{
    return PyModuleDef_Init(&jsrt_module);
}
