/* SPDX-License-Identifier: MIT
 *
 * promise.c: what becomes of JSV8_PENDING.
 *
 * Called by context.c. A future is settled from a microtask, inside the isolate: its callbacks
 * run later, on its loop. A future that was cancelled, or is done otherwise, is left alone; the
 * JavaScript behind it goes on.
 */
#include "promise.h"

#include "bridge.h"
#include "error.h"
#include "object.h"

typedef struct {
    EngineObject *engine; /* borrowed: the isolate settles or abandons before it is gone */
    PyObject *context;    /* owned */
    PyObject *loop;       /* owned */
    PyObject *future;     /* owned */
    pthread_t thread;     /* the loop's */
} waiter_t;

static void
waiter_free(waiter_t *waiter)
{
    Py_XDECREF(waiter->future);
    Py_XDECREF(waiter->loop);
    Py_XDECREF(waiter->context);
    PyMem_Free(waiter);
}

/* An exception object for how the promise ended. */
static PyObject *
reason(EngineObject *engine, jsv8_status_t status, const jsv8_error_t *error)
{
    jsrt_state_t *state = engine->state;
    if (status == JSV8_TERMINATED) {
        return engine->condemned
                   ? PyObject_CallFunction(state->HeapLimit, "s",
                                           "the heap limit was hit before the promise settled")
                   : PyObject_CallFunction(state->ContextClosed, "s",
                                           "the context was closed before the promise settled");
    }
    return jsrt_error_new(state, status, error);
}

static void
settle(waiter_t *waiter, int ok, PyObject *value, int abandoned)
{
    EngineObject *engine = waiter->engine;
    jsrt_state_t *state = engine->state;
    PyObject *done = NULL;
    if (pthread_equal(waiter->thread, pthread_self())) {
        PyObject *args[] = {waiter->future, ok ? Py_True : Py_False, value};
        done = jsrt_bridge_settle(engine, args, 3);
        if (done != NULL && abandoned) {
            /* Nobody may be left to await it: mark the exception as seen. */
            Py_SETREF(done, PyObject_CallMethod(waiter->future, "exception", NULL));
        }
    } else {
        PyObject *method = PyObject_GetAttrString((PyObject *)engine, "_settle");
        if (method != NULL) {
            done = PyObject_CallMethodObjArgs(waiter->loop, state->str_call_soon_threadsafe, method,
                                              waiter->future, ok ? Py_True : Py_False, value, NULL);
            Py_DECREF(method);
        }
    }
    Py_XDECREF(done);
    PyErr_Clear(); /* its loop is closed: nobody waits any more */
}

static void
on_settled(void *user, jsv8_status_t status, const jsv8_value_t *result, const jsv8_error_t *error)
{
    waiter_t *waiter = user;
    EngineObject *engine = waiter->engine;
    if (jsrt_unusable) {
        return;
    }
    PyGILState_STATE gil = jsrt_engine_callback_begin(engine);
    PyObject *type, *kept, *traceback;
    PyErr_Fetch(&type, &kept, &traceback);
    engine->pending--;
    PyObject *value = NULL;
    int ok = status == JSV8_OK;
    if (ok) {
        /* Handles are those of the context that waits, whichever is current. */
        struct jsrt_context *scope = engine->scope;
        engine->scope = (ContextObject *)waiter->context;
        value = jsrt_engine_to_py(engine, result);
        engine->scope = scope;
        if (value == NULL) {
            ok = 0;
            value = jsrt_error_fetch();
        }
    } else {
        value = reason(engine, status, error);
    }
    if (value != NULL) {
        settle(waiter, ok, value, status == JSV8_TERMINATED);
        Py_DECREF(value);
    } else {
        PyErr_WriteUnraisable(waiter->future);
    }
    waiter_free(waiter);
    PyErr_Restore(type, kept, traceback);
    jsrt_engine_callback_end(engine, gil);
}

PyObject *
jsrt_promise_future(EngineObject *engine, PyObject *context, PyObject *loop, jsv8_ref_t *promise)
{
    if (jsrt_bridge_start(engine, loop) < 0) {
        return NULL;
    }
    PyObject *future = PyObject_CallMethodNoArgs(loop, engine->state->str_create_future);
    waiter_t *waiter = future ? PyMem_Calloc(1, sizeof(*waiter)) : NULL;
    if (waiter == NULL) {
        Py_XDECREF(future);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    waiter->engine = engine;
    waiter->context = Py_NewRef(context);
    waiter->loop = Py_NewRef(loop);
    waiter->future = Py_NewRef(future);
    waiter->thread = pthread_self();
    engine->pending++;
    jsv8_status_t status = jsrt_v8.promise_then(promise, on_settled, waiter);
    jsrt_watch_regain(&engine->watch);
    if (status != JSV8_OK) {
        engine->pending--;
        waiter_free(waiter);
        Py_DECREF(future);
        jsrt_engine_raise(engine, status, NULL);
        return NULL;
    }
    return future;
}

PyObject *
jsrt_promise_settled(jsrt_state_t *state, PyObject *loop, PyObject *value)
{
    PyObject *name = state->str_set_result;
    if (value == NULL) {
        value = jsrt_error_fetch();
        if (!PyErr_GivenExceptionMatches(value, PyExc_Exception)) {
            PyErr_SetObject((PyObject *)Py_TYPE(value), value); /* KeyboardInterrupt is no result */
            Py_DECREF(value);
            return NULL;
        }
        name = state->str_set_exception;
    }
    PyObject *future = PyObject_CallMethodNoArgs(loop, state->str_create_future);
    PyObject *done = future ? PyObject_CallMethodOneArg(future, name, value) : NULL;
    Py_DECREF(value);
    if (done == NULL) {
        Py_XDECREF(future);
        return NULL;
    }
    Py_DECREF(done);
    return future;
}

/* ---- The blocking wait ---------------------------------------------------------------------------- */

static void
on_tick(uv_timer_t *tick)
{
}

/* What stops the wait: a signal handler that raised, the timeout. */
static int
interrupted(EngineObject *engine, uint64_t deadline)
{
    if (engine->watch.raised != NULL) {
        jsrt_engine_raise(engine, JSV8_TERMINATED, NULL);
        return 1;
    }
    if (PyErr_CheckSignals() < 0) {
        return 1;
    }
    if (jsrt_watch_timed_out(&engine->watch) || (deadline != 0 && jsrt_now() >= deadline)) {
        jsrt_error_raise_timeout(engine->state, engine->timeout);
        return 1;
    }
    return 0;
}

PyObject *
jsrt_promise_wait(EngineObject *engine, jsv8_ref_t *promise)
{
    enum { TICK_MS = 50 };
    jsrt_state_t *state = engine->state;
    if (engine->nested) {
        jsrt_v8.ref_free(promise);
        PyErr_SetString(state->PendingPromiseError,
                        "a promise settles when JavaScript has returned, and it is JavaScript that "
                        "has called here: hand the promise back to it (convert=False), or make "
                        "this callback async");
        return NULL;
    }
    if (engine->pinned || jsrt_bridge_is_here(engine)) {
        jsrt_v8.ref_free(promise);
        PyErr_SetString(state->PendingPromiseError,
                        "the promise waits for the event loop that this call would block: use "
                        "`await context.call_async(...)`");
        return NULL;
    }
    uint64_t deadline = engine->timeout > 0 ? jsrt_now() + (uint64_t)(engine->timeout * 1e9) : 0;
    PyObject *out = NULL;
    for (;;) {
        jsv8_value_t result;
        jsv8_error_t error = {0};
        if (deadline != 0) {
            uint64_t now = jsrt_now();
            uint64_t left = now < deadline ? (deadline - now) / 1000000 + 1 : 1;
            uv_update_time(engine->loop);
            uv_timer_start(engine->tick, on_tick, left < TICK_MS ? left : TICK_MS, 0);
        } else {
            uv_update_time(engine->loop);
            uv_timer_start(engine->tick, on_tick, TICK_MS, 0);
        }
        int alive = jsrt_engine_turn(engine, 1);
        uv_timer_stop(engine->tick);
        if (interrupted(engine, deadline)) {
            break;
        }
        jsv8_status_t status = jsrt_v8.promise_result(promise, &result, &error);
        jsrt_watch_regain(&engine->watch);
        if (status != JSV8_PENDING) {
            out = jsrt_engine_result(engine, status, &result, &error);
            break;
        }
        jsrt_v8.ref_free(promise);
        promise = result.u.ref;
        if (!alive) {
            PyErr_SetString(state->PendingPromiseError,
                            "the promise can never settle: no timer and no I/O is left that could "
                            "settle it");
            break;
        }
    }
    jsrt_v8.ref_free(promise);
    return out;
}
