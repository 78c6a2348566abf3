/* SPDX-License-Identifier: MIT
 *
 * bridge.c: pins engines on casgi's loop, and drives the others' own loops from asyncio.
 *
 * An own loop's descriptor is readable when one of its watchers is; but watchers that JavaScript
 * has just added reach the descriptor only with the next turn. So a turn is asked for after each
 * call that leaves the loop alive, and after each turn that added some.
 *
 * Invariants
 *   1. `turn` is set exactly while `loop_object` drives an own loop.
 *   2. Python runs in here (the loop's methods): never inside V8's callbacks, except in
 *      jsrt_bridge_report and jsrt_bridge_settle, which do not enter V8.
 */
#include "bridge.h"

#include "error.h"

/* ---- Which loop ----------------------------------------------------------------------------- */

PyObject *
jsrt_bridge_running_loop(jsrt_state_t *state)
{
    if (state->get_running_loop == NULL) {
        /* No asyncio in this process, no loop: not a reason to import it. */
        PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "asyncio.events");
        if (module == NULL) {
            return NULL;
        }
        state->get_running_loop = PyObject_GetAttrString(module, "_get_running_loop");
    }
    PyObject *loop = state->get_running_loop ? PyObject_CallNoArgs(state->get_running_loop) : NULL;
    if (loop == NULL) {
        PyErr_Clear(); /* asyncio is half imported */
        return NULL;
    }
    if (loop == Py_None) {
        Py_DECREF(loop);
        return NULL;
    }
    return loop;
}

int
jsrt_bridge_pin(EngineObject *engine)
{
    jsrt_state_t *state = engine->state;
    for (EngineObject *each = state->engines; each != NULL; each = each->next) {
        if (each->pinned && pthread_equal(each->thread, pthread_self())) {
            return 0;
        }
    }
    PyObject *loop = jsrt_bridge_running_loop(state);
    if (loop == NULL) {
        return 0;
    }
    PyObject *capsule = PyObject_GetAttr(loop, state->str_uv_loop);
    if (capsule == NULL) {
        PyErr_Clear();
        Py_DECREF(loop);
        return 0;
    }
    int code = 0;
    if (PyCapsule_CheckExact(capsule)) {
        engine->loop = PyCapsule_GetPointer(capsule, "casgi.uv_loop");
        code = engine->loop == NULL ? -1 : 0;
        if (code == 0) {
            Py_XSETREF(engine->loop_object, Py_NewRef(loop));
            engine->pinned = 1;
        }
    }
    Py_DECREF(capsule);
    Py_DECREF(loop);
    return code;
}

/* ---- Driving ----------------------------------------------------------------------------------- */

/* Watchers that wait for a turn to reach the descriptor. The queue's head points to itself where
 * it is empty, in each libuv there has been. */
static int
has_new_watchers(const uv_loop_t *loop)
{
    void *first;
    memcpy(&first, &loop->watcher_queue, sizeof(first));
    return first != (const void *)&loop->watcher_queue;
}

static void
cancel_timer(EngineObject *engine)
{
    PyObject *timer = engine->timer;
    if (timer != NULL) {
        engine->timer = NULL;
        PyObject *done = PyObject_CallMethodNoArgs(timer, engine->state->str_cancel);
        Py_XDECREF(done);
        PyErr_Clear();
        Py_DECREF(timer);
    }
}

int
jsrt_bridge_is_here(EngineObject *engine)
{
    if (engine->loop_object == NULL) {
        return 0;
    }
    PyObject *loop = jsrt_bridge_running_loop(engine->state);
    int same = loop == engine->loop_object;
    Py_XDECREF(loop);
    return same;
}

static int
soon(EngineObject *engine)
{
    if (engine->kicked) {
        return 0;
    }
    PyObject *name = jsrt_bridge_is_here(engine) ? engine->state->str_call_soon
                                                 : engine->state->str_call_soon_threadsafe;
    PyObject *handle = PyObject_CallMethodOneArg(engine->loop_object, name, engine->turn);
    if (handle == NULL) {
        return -1;
    }
    Py_DECREF(handle);
    engine->kicked = 1;
    return 0;
}

/* The next turn, seen from the end of one. */
static int
schedule(EngineObject *engine)
{
    int timeout = has_new_watchers(engine->loop) ? 0 : uv_backend_timeout(engine->loop);
    cancel_timer(engine);
    if (timeout == 0) {
        return soon(engine);
    }
    if (timeout > 0) {
        PyObject *delay = PyFloat_FromDouble(timeout / 1000.0);
        if (delay == NULL) {
            return -1;
        }
        engine->timer = PyObject_CallMethodObjArgs(
            engine->loop_object, engine->state->str_call_later, delay, engine->turn, NULL);
        Py_DECREF(delay);
        if (engine->timer == NULL) {
            return -1;
        }
    }
    return 0;
}

int
jsrt_bridge_start(EngineObject *engine, PyObject *loop)
{
    if (engine->pinned) {
        if (engine->loop_object != loop) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the context lives on another event loop: await it there");
            return -1;
        }
        return 0;
    }
    if (!engine->own_loop || engine->profile == JSV8_PROFILE_BARE) {
        return 0;
    }
    if (engine->turn != NULL && engine->loop_object == loop) {
        return 0;
    }
    if (engine->turn != NULL) {
        PyObject *closed =
            PyObject_CallMethodNoArgs(engine->loop_object, engine->state->str_is_closed);
        int over = closed != Py_False;
        Py_XDECREF(closed);
        PyErr_Clear();
        if (!over && engine->pending > 0) {
            PyErr_SetString(PyExc_RuntimeError,
                            "promises of the context wait on another event loop: await it there, "
                            "or use a context of its own for each loop");
            return -1;
        }
        jsrt_bridge_stop(engine);
    }
    engine->turn = PyObject_GetAttr((PyObject *)engine, engine->state->str_turn);
    if (engine->turn == NULL) {
        return -1;
    }
    engine->loop_object = Py_NewRef(loop);
    engine->kicked = 0;
    PyObject *fd = PyLong_FromLong(uv_backend_fd(engine->loop));
    PyObject *done =
        fd ? PyObject_CallMethodObjArgs(loop, engine->state->str_add_reader, fd, engine->turn, NULL)
           : NULL;
    Py_XDECREF(fd);
    if (done == NULL) {
        Py_CLEAR(engine->turn);
        Py_CLEAR(engine->loop_object);
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

void
jsrt_bridge_kick(EngineObject *engine)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (engine->turn == NULL) {
        PyObject *loop = jsrt_bridge_running_loop(engine->state);
        if (loop != NULL && jsrt_bridge_start(engine, loop) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(loop);
    }
    if (engine->turn != NULL && soon(engine) < 0) {
        PyErr_Clear(); /* that loop is closed; the next one that runs takes over */
    }
    PyErr_Restore(type, value, traceback);
}

void
jsrt_bridge_stop(EngineObject *engine)
{
    if (engine->turn == NULL) {
        return;
    }
    jsrt_state_t *state = engine->state;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *loop = engine->loop_object, *fd = PyLong_FromLong(uv_backend_fd(engine->loop));
    int here = jsrt_bridge_is_here(engine);
    cancel_timer(engine);
    engine->loop_object = NULL;
    Py_CLEAR(engine->turn);
    PyObject *done = NULL;
    PyObject *running = here ? NULL : PyObject_CallMethodNoArgs(loop, state->str_is_running);
    if (running == Py_True) {
        /* It runs in another thread: only that may touch its selector. */
        PyObject *remove = PyObject_GetAttr(loop, state->str_remove_reader);
        if (remove != NULL && fd != NULL) {
            done =
                PyObject_CallMethodObjArgs(loop, state->str_call_soon_threadsafe, remove, fd, NULL);
        }
        Py_XDECREF(remove);
    } else if (fd != NULL) {
        done = PyObject_CallMethodOneArg(loop, state->str_remove_reader, fd);
    }
    Py_XDECREF(running);
    Py_XDECREF(done);
    Py_XDECREF(fd);
    Py_DECREF(loop);
    PyErr_Clear(); /* a closed loop has let go of the descriptor itself */
    PyErr_Restore(type, value, traceback);
}

PyObject *
jsrt_bridge_turn(EngineObject *engine, PyObject *unused)
{
    engine->kicked = 0;
    if (engine->turn == NULL || engine->isolate == NULL || jsrt_unusable) {
        Py_RETURN_NONE;
    }
    if (engine->in_callback || jsrt_watch_busy(&engine->watch)) {
        /* Another thread is inside: this one's loop has better things to do than to wait. */
        cancel_timer(engine);
        engine->timer =
            PyObject_CallMethod(engine->loop_object, "call_later", "dO", 0.002, engine->turn);
        return engine->timer == NULL ? NULL : Py_NewRef(Py_None);
    }
    unsigned boot = engine->boot;
    if (jsrt_engine_enter(engine) < 0) {
        return NULL;
    }
    if (engine->boot != boot) {
        jsrt_engine_leave(engine); /* a new isolate: nothing waits in it */
        Py_RETURN_NONE;
    }
    jsrt_engine_turn(engine, 0);
    PyObject *raised = engine->watch.raised;
    engine->watch.raised = NULL;
    int timed_out = jsrt_watch_timed_out(&engine->watch);
    int code = 0;
    if (engine->turn != NULL) {
        code = schedule(engine);
    }
    jsrt_engine_leave(engine);
    if (raised != NULL) {
        PyErr_Clear();
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
        Py_DECREF(raised);
        return NULL;
    }
    if (timed_out && code == 0) {
        jsrt_error_raise_timeout(engine->state, engine->timeout);
        return NULL;
    }
    if (code < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Telling --------------------------------------------------------------------------------------- */

void
jsrt_bridge_report(EngineObject *engine, PyObject *exception)
{
    jsrt_state_t *state = engine->state;
    PyObject *loop = Py_XNewRef(engine->loop_object);
    if (loop != NULL && jsrt_bridge_is_here(engine)) {
        PyObject *context = Py_BuildValue("{s:s,s:O}", "message", "Uncaught JavaScript exception",
                                          "exception", exception);
        PyObject *done =
            context ? PyObject_CallMethodOneArg(loop, state->str_call_exception_handler, context)
                    : NULL;
        Py_XDECREF(context);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)engine);
        }
        Py_XDECREF(done);
    } else {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        PyErr_WriteUnraisable((PyObject *)engine);
    }
    Py_XDECREF(loop);
}

PyObject *
jsrt_bridge_settle(EngineObject *engine, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "_settle(future, ok, value)");
        return NULL;
    }
    jsrt_state_t *state = engine->state;
    PyObject *done = PyObject_CallMethodNoArgs(args[0], state->str_done);
    if (done == NULL || done == Py_True) {
        return done;
    }
    Py_DECREF(done);
    return PyObject_CallMethodOneArg(
        args[0], args[1] == Py_True ? state->str_set_result : state->str_set_exception, args[2]);
}
