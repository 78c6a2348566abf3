/* SPDX-License-Identifier: MIT
 *
 * state.h: everything the module owns, in one struct; every object caches its pointer.
 *
 * Invariants
 *   1. Touched with the GIL held only.
 *   2. Lists of engines hold weak pointers: an engine takes itself out when it is closed.
 */
#ifndef JSRT_STATE_H
#define JSRT_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "load.h"

struct jsrt_keep;
struct jsrt_engine;

enum { JSRT_KEY_CACHE = 1024, JSRT_KEY_LONGEST = 40 };

typedef struct jsrt_state {
    PyObject *module; /* borrowed: it owns this. Contexts and engines own a reference to it, since
                         at exit the collector takes types and module apart before them */

    /* Types of this module, owned. */
    PyTypeObject *ContextType, *EngineType;
    PyTypeObject *ObjectType, *FunctionType, *PromiseType, *IteratorType, *SettlerType, *ViewType;
    vectorcallfunc function_vectorcall;

    /* Classes of jsrt.errors, owned. */
    PyObject *Error, *JSError, *JSSyntaxError, *Timeout, *HeapLimit, *ConversionError,
        *ContextClosed, *PendingPromiseError;

    /* to_js.c: what kind of value each type met so far is; bounded. */
    PyObject *kinds;
    struct jsrt_keep *spare; /* owned: one argument holder with its grown buffer, or NULL */

    /* to_py.c: recent object keys by hash, owned; and the C API of datetime, borrowed. */
    PyObject *keys[JSRT_KEY_CACHE];
    void *datetime;

    /* bridge.c, promise.c: functions of asyncio, owned, NULL until first used. */
    PyObject *get_running_loop, *ensure_future;
    PyObject *tasks; /* expose.c: owned: a set of those that JavaScript waits for */

    PyObject *code_store; /* source.c: owned: a jsrt.code_cache.Store; None: there is none */

    /* engine.c */
    struct jsrt_engine *engines; /* every booted engine, linked by next/previous */
    PyObject *share_dir;         /* str or None: where Node's own JS files were unpacked */
    int exiting;                 /* the exit hook ran: nothing boots any more */
    int booting;                 /* threads that make an isolate without the GIL */
    uint64_t past_calls;         /* calls of engines while they had earlier isolates */
    Py_ssize_t context_count, handle_count, engine_count;

    /* Interned names, owned. */
    PyObject *str_value, *str_uv_loop, *str_call_soon, *str_call_later, *str_add_reader,
        *str_remove_reader, *str_call_soon_threadsafe, *str_create_future, *str_set_result,
        *str_set_exception, *str_done, *str_cancel, *str_turn, *str_is_closed, *str_is_running,
        *str_call_exception_handler;
} jsrt_state_t;

extern struct PyModuleDef jsrt_module;

/* process.c: this is a child forked after V8 was started. */
extern int jsrt_forked;

static inline jsrt_state_t *
jsrt_state_of(PyObject *module)
{
    return (jsrt_state_t *)PyModule_GetState(module);
}

#endif
