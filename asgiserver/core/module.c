/* SPDX-License-Identifier: MIT
 *
 * module.c: asgiserver._core itself: multi-phase init, the state's life, and the counters.
 *
 * loop/ and asgi/ add their types through asgi_loop_exec and asgi_server_exec. The second is
 * looked for at compile time, so that the event loop can be built and tested alone.
 */
#include "state.h"

#include "base/heap.h"
#include "base/image.h"
#include "loop/handle.h"
#include "loop/loop.h"
#include "loop/registry.h"

#if defined(__has_include)
#if __has_include("asgi/server.h") && !defined(ASGI_WITHOUT_SERVER)
#include "asgi/server.h"
#define ASGI_HAS_SERVER 1
#endif
#endif

static const char *const counter_names[ASGI_COUNTER_MAX] = {
#define COUNTER_NAME(name) #name,
    ASGI_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

PyDoc_STRVAR(debug_counts_doc,
             "_debug_counts()\n--\n\n"
             "Live objects of this extension by kind, as a dict of str to int.\n\n"
             "Everything is zero once every loop has been closed and collected.");

static PyObject *
debug_counts(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct asgi_state *state = asgi_state_from_module(module);
    PyObject *counts = PyDict_New();

    if (counts == NULL) {
        return NULL;
    }
    for (int i = 0; i < ASGI_COUNTER_MAX; i++) {
        PyObject *value = PyLong_FromSsize_t(state->counts[i]);
        if (value == NULL || PyDict_SetItemString(counts, counter_names[i], value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(counts);
            return NULL;
        }
        Py_DECREF(value);
    }
    return counts;
}

PyDoc_STRVAR(release_idle_pages_doc,
             "release_idle_pages()\n--\n\n"
             "Lets go of the pages of shared libraries that starting has touched.\n\n"
             "Those that serving needs come back as they are used. Returns the bytes let go.");

static PyObject *
release_idle_pages(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(asgi_image_release());
}

PyDoc_STRVAR(keep_freed_memory_doc,
             "keep_freed_memory()\n--\n\n"
             "Has malloc keep up to 16 MiB of freed memory at the end of its heap.\n\n"
             "Not where the environment has settings for malloc. Returns whether it was done.");

static PyObject *
keep_freed_memory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(asgi_heap_keep());
}

PyDoc_STRVAR(register_tasks_doc,
             "register_tasks()\n--\n\n"
             "From now on asyncio's set of all tasks is kept by C functions, in this process.\n\n"
             "Returns False where that has been done, or where the set is not as it is known.");

static PyObject *
register_tasks(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    int done = asgi_registry_take_over();

    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyMethodDef module_methods[] = {
    {"_debug_counts", debug_counts, METH_NOARGS, debug_counts_doc},
    {"keep_freed_memory", keep_freed_memory, METH_NOARGS, keep_freed_memory_doc},
    {"register_tasks", register_tasks, METH_NOARGS, register_tasks_doc},
    {"release_idle_pages", release_idle_pages, METH_NOARGS, release_idle_pages_doc},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    struct asgi_state *state = asgi_state_from_module(module);

    state->module = module;
    if (asgi_loop_exec(module, state) < 0) {
        return -1;
    }
#ifdef ASGI_HAS_SERVER
    if (asgi_server_exec(module, state) < 0) {
        return -1;
    }
#endif
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct asgi_state *state = asgi_state_from_module(module);

    if (state == NULL) {
        return 0;
    }
#define VISIT_FIELD(name) Py_VISIT(state->name);
    ASGI_LOOP_OBJECTS(VISIT_FIELD)
#undef VISIT_FIELD
#ifdef ASGI_HAS_SERVER
    return asgi_server_traverse(state, visit, arg);
#else
    return 0;
#endif
}

static int
module_clear(PyObject *module)
{
    struct asgi_state *state = asgi_state_from_module(module);

    if (state == NULL) {
        return 0;
    }
#ifdef ASGI_HAS_SERVER
    asgi_server_clear(state);
#endif
    asgi_handle_freelist_drain(state);
#define CLEAR_FIELD(name) Py_CLEAR(state->name);
    ASGI_LOOP_OBJECTS(CLEAR_FIELD)
#undef CLEAR_FIELD
    return 0;
}

static void
module_free(void *module)
{
    struct asgi_state *state = asgi_state_from_module((PyObject *)module);

    if (state == NULL) {
        return;
    }
    module_clear((PyObject *)module);
#ifdef ASGI_HAS_SERVER
    asgi_server_free(state);
#endif
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The event loop and the server of casgi, in C on libuv.");

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "asgiserver._core",
    .m_doc = module_doc,           .m_size = sizeof(struct asgi_state),
    .m_methods = module_methods,   .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
