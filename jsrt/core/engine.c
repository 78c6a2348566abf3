/* SPDX-License-Identifier: MIT
 *
 * engine.c: boots isolates, lets threads in and out, and frees isolates (engine.h has the rules).
 *
 * Called by context.c, function.c and pool.c around every call, by bridge.c around every turn.
 * Freeing is the delicate part: an isolate must not be freed by a thread that is inside another
 * one (a finalizer that runs while JavaScript does), nor, when pinned, by another thread (grave.c).
 *
 * Python that JavaScript calls (expose.c) runs inside: while it does, `open` is set, and the same
 * thread may enter again. Such a nested call leaves the watch's counter as it is, so that the
 * timeout is that of the outermost call.
 */
#include "engine.h"

#include "bell.h"
#include "bridge.h"
#include "error.h"
#include "expose.h"
#include "grave.h"
#include "lend.h"
#include "object.h"
#include "source.h"
#include "stats.h"
#include "to_py.h"

_Thread_local jsrt_calling_t *jsrt_calling;

static _Thread_local EngineObject *turning; /* whose loop this thread runs */
static pthread_t first_thread;
static int first_thread_known;

static jsrt_bell_t left = JSRT_BELL_INIT; /* rung when a thread leaves an engine */
static int locking_wanted;                /* threads that wait for V8's locking; under the GIL */
static pthread_mutex_t boot_mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- The loop's turn --------------------------------------------------------------------------- */

/* Around the wait of jsrt_v8.turn(1): other threads may have the GIL meanwhile. */
void
jsrt_engine_before_blocking(void)
{
    EngineObject *engine = turning;
    if (engine != NULL && engine->watch.released == NULL) {
        engine->watch.released = PyEval_SaveThread();
    }
}

int
jsrt_engine_turn(EngineObject *engine, int wait)
{
    EngineObject *outer = turning;
    turning = engine;
    int alive = jsrt_v8.turn(engine->isolate, wait);
    turning = outer;
    jsrt_watch_regain(&engine->watch);
    if (locking_wanted > 0 && jsrt_v8.locking_on() > 0) {
        jsrt_bell_ring(&left); /* whoever waits need not wait for the end of the call */
    }
    return alive;
}

/* ---- Threads -------------------------------------------------------------------------------------- */

static int
is_mine(EngineObject *engine)
{
    return pthread_equal(engine->thread, pthread_self());
}

EngineObject *
jsrt_engine_busy_elsewhere(jsrt_state_t *state)
{
    for (EngineObject *each = state->engines; each != NULL; each = each->next) {
        if (jsrt_watch_busy(&each->watch) && !is_mine(each)) {
            return each;
        }
    }
    return NULL;
}

/* From now on V8 is used by several threads. One that is inside at the moment (the GIL put down
 * in a long call) is waited for: V8 takes no Locker in the middle of JavaScript. Where it is this
 * thread itself that is inside (a signal handler), locking goes on when it leaves. Returns 0, or -1
 * with an exception. */
static int
turn_locking_on(jsrt_state_t *state)
{
    while (!jsrt_v8.locking_is_on()) {
        EngineObject *busy = jsrt_engine_busy_elsewhere(state);
        if (busy == NULL && jsrt_v8.locking_on() >= 0) {
            break;
        }
        locking_wanted++;
        if (busy != NULL) {
            Py_INCREF(busy);
            busy->waiting++;
        }
        int code = jsrt_bell_wait(&left);
        locking_wanted--;
        if (busy != NULL) {
            busy->waiting--;
            Py_DECREF(busy);
        }
        if (code < 0) {
            return -1;
        }
    }
    if (!jsrt_v8.locking_is_on()) {
        for (EngineObject *each = state->engines; each != NULL; each = each->next) {
            if (jsrt_watch_busy(&each->watch)) {
                each->unusual |= JSRT_LOCKING_DUE;
            }
        }
    }
    return 0;
}

int
jsrt_engine_expect_threads(jsrt_state_t *state)
{
    if (jsrt_unusable) {
        return 0; /* whoever enters is refused */
    }
    if (jsrt_v8_need() < 0) {
        return -1;
    }
    return jsrt_v8.locking_is_on() ? 0 : turn_locking_on(state);
}

/* ---- Callbacks from V8 -------------------------------------------------------------------------- */

static void
set_ready(EngineObject *engine)
{
    engine->ready = engine->isolate != NULL && !engine->condemned && !engine->closed
                    && !engine->in_callback && !engine->offered;
}

PyGILState_STATE
jsrt_engine_callback_begin(EngineObject *engine)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    engine->in_callback++;
    jsrt_inside++;
    set_ready(engine);
    return gil;
}

void
jsrt_engine_callback_end(EngineObject *engine, PyGILState_STATE gil)
{
    jsrt_inside--;
    engine->in_callback--;
    set_ready(engine);
    PyGILState_Release(gil);
}

static void
on_unhandled(void *user, const jsv8_error_t *error)
{
    EngineObject *engine = user;
    if (jsrt_unusable) {
        return;
    }
    PyGILState_STATE gil = jsrt_engine_callback_begin(engine);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *exception = jsrt_error_new(engine->state, JSV8_EXCEPTION, error);
    if (exception != NULL) {
        jsrt_bridge_report(engine, exception);
        Py_DECREF(exception);
    } else {
        PyErr_WriteUnraisable((PyObject *)engine);
    }
    PyErr_Restore(type, value, traceback);
    jsrt_engine_callback_end(engine, gil);
}

static void
on_dropped(void *user)
{
    EngineObject *engine = user;
    engine->unusual |= JSRT_DROPPED;
}

static void
release(void *object)
{
    Py_DECREF((PyObject *)object);
}

/* What JavaScript has no way to any more. May run Python. */
static void
release_dropped(EngineObject *engine)
{
    PyObject *type, *value, *traceback, *object;
    engine->unusual &= ~JSRT_DROPPED;
    if (engine->isolate == NULL) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    /* A finalizer may free the engine's isolate. */
    while (engine->isolate != NULL && (object = jsrt_v8.dropped(engine->isolate)) != NULL) {
        Py_DECREF(object);
    }
    PyErr_Restore(type, value, traceback);
}

/* ---- Boot ---------------------------------------------------------------------------------------- */

static int
open_loop(EngineObject *engine)
{
    uv_loop_t *loop = PyMem_RawCalloc(1, sizeof(*loop));
    uv_timer_t *tick = PyMem_RawCalloc(1, sizeof(*tick));
    if (loop == NULL || tick == NULL || uv_loop_init(loop) != 0) {
        PyMem_RawFree(loop);
        PyMem_RawFree(tick);
        PyErr_SetString(PyExc_OSError, "no loop could be opened for V8");
        return -1;
    }
    uv_timer_init(loop, tick);
    uv_unref((uv_handle_t *)tick);
    engine->loop = loop;
    engine->tick = tick;
    engine->own_loop = 1;
    return 0;
}

static jsv8_status_t
make_isolate(EngineObject *engine, jsv8_error_t *error)
{
    jsv8_isolate_config_t config = {
        .profile = engine->profile,
        .loop = engine->loop,
        .heap_limit = engine->heap_limit,
        .pinned = engine->pinned,
        .snapshot = engine->snapshot != NULL ? PyBytes_AS_STRING(engine->snapshot) : NULL,
        .snapshot_size = engine->snapshot != NULL ? (size_t)PyBytes_GET_SIZE(engine->snapshot) : 0,
        .on_unhandled = on_unhandled,
        .user = engine,
        .on_call = jsrt_expose_on_call,
        .on_dropped = on_dropped,
        .release = release,
    };
    if (!jsrt_v8.locking_is_on() || engine->pinned) {
        return jsrt_v8.isolate_new(&config, &engine->isolate, error);
    }
    jsv8_status_t status;
    engine->state->booting++;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&boot_mutex);
    status = jsrt_v8.isolate_new(&config, &engine->isolate, error);
    pthread_mutex_unlock(&boot_mutex);
    Py_END_ALLOW_THREADS
    engine->state->booting--;
    if (status == JSV8_OK && jsrt_unusable) {
        engine->isolate = NULL; /* the exit hook has not waited for it: left as it is */
        error->message = "JavaScript is over: the interpreter is exiting";
        return JSV8_UNSUPPORTED;
    }
    return status;
}

/* The watch's counter is odd already: other threads wait for the boot. */
static int
boot(EngineObject *engine)
{
    jsrt_state_t *state = engine->state;
    if (jsrt_engine_process_start(state) < 0) {
        return -1;
    }
    pthread_t self = pthread_self();
    if (!first_thread_known) {
        first_thread = self;
        first_thread_known = 1;
    } else if (!pthread_equal(first_thread, self) && turn_locking_on(state) < 0) {
        return -1;
    }
    engine->pinned = 0;
    /* A pinned isolate stays entered: not on top of one that a callback is inside of. */
    if (engine->may_pin && jsrt_inside == 0 && jsrt_bridge_pin(engine) < 0) {
        return -1;
    }
    if (engine->pinned) {
        if (turn_locking_on(state) < 0) {
            Py_CLEAR(engine->loop_object);
            engine->loop = NULL;
            engine->pinned = 0;
            return -1;
        }
    } else if (open_loop(engine) < 0) {
        return -1;
    }
    jsv8_error_t error = {0};
    jsv8_status_t status = make_isolate(engine, &error);
    if (status != JSV8_OK) {
        jsrt_error_raise(state, status, &error);
        if (engine->own_loop) {
            jsrt_grave_close_loop(engine->loop, engine->tick);
        } else {
            Py_CLEAR(engine->loop_object);
        }
        engine->loop = NULL;
        engine->tick = NULL;
        engine->own_loop = engine->pinned = 0;
        engine->isolate = NULL;
        return -1;
    }
    engine->thread = self;
    engine->condemned = 0;
    engine->applied = 0;
    engine->exposed = 0;
    engine->unusual = 0;
    engine->scope = NULL;
    engine->boot++;
    engine->previous = NULL;
    engine->next = state->engines;
    if (engine->next != NULL) {
        engine->next->previous = engine;
    }
    state->engines = engine;
    set_ready(engine);
    if (jsrt_watch_start(&engine->watch, engine->isolate, engine->timeout) < 0) {
        engine->condemned = 1; /* discarded when the caller leaves */
        return -1;
    }
    return 0;
}

/* ---- Freeing ------------------------------------------------------------------------------------- */

void
jsrt_engine_discard(EngineObject *engine)
{
    if (engine->isolate == NULL) {
        return;
    }
    jsrt_state_t *state = engine->state;
    jsrt_bridge_stop(engine);
    if (engine->scripts != NULL) {
        if (!jsrt_unusable && !engine->condemned && jsrt_inside == 0 && is_mine(engine)
            && !jsrt_watch_busy(&engine->watch)) {
            jsrt_source_renew(engine);
        }
        jsrt_source_forget(engine);
    }
    jsrt_watch_stop(&engine->watch);
    jsrt_stats_keep(engine);
    jsrt_grave_t grave = {
        .isolate = engine->isolate,
        .loop = engine->loop,
        .tick = engine->tick,
        .loop_object = engine->pinned ? engine->loop_object : NULL,
        .texts = engine->texts,
        .own_loop = engine->own_loop,
        .pinned = engine->pinned,
        .thread = engine->thread,
    };
    if (engine->pinned) {
        engine->loop_object = NULL;
    }
    engine->isolate = NULL;
    engine->texts = NULL;
    engine->loop = NULL;
    engine->tick = NULL;
    engine->own_loop = engine->pinned = 0;
    set_ready(engine);
    if (engine->previous != NULL) {
        engine->previous->next = engine->next;
    } else {
        state->engines = engine->next;
    }
    if (engine->next != NULL) {
        engine->next->previous = engine->previous;
    }
    engine->next = engine->previous = NULL;

    if (jsrt_unusable) {
        return; /* V8 is not to be touched: memory of a process that ends, or of its parent */
    }
    jsrt_v8.isolate_mute(grave.isolate);
    jsrt_grave_bury(state, &grave);
}

void
jsrt_engine_close(EngineObject *engine)
{
    engine->closed = 1;
    engine->ready = 0;
    jsrt_engine_discard(engine);
}

/* ---- In and out ------------------------------------------------------------------------------------------ */

static int
refuse(EngineObject *engine)
{
    if (engine->closed) {
        PyErr_SetString(engine->state->ContextClosed, "the context is closed");
        return -1;
    }
    if (jsrt_forked || (jsrt_unusable && !engine->state->exiting)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "V8 was started before this process was forked, and its threads do not "
                        "survive a fork: use JavaScript in the child only, or fork before it is "
                        "first used");
        return -1;
    }
    if (jsrt_unusable || engine->state->exiting) {
        PyErr_SetString(PyExc_RuntimeError, "JavaScript is over: the interpreter is exiting");
        return -1;
    }
    return 0;
}

/* The GIL is mostly put down by Python that JavaScript calls, when nobody can enter: a thread that
 * calls over and over would keep the others out for ever. */
static void
let_others_go_first(EngineObject *engine)
{
    enum { ROUNDS = 50, ROUND_NS = 1000000 };
    for (int i = 0; i < ROUNDS && engine->offered && engine->waiting > 0; i++) {
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
        Py_END_ALLOW_THREADS
    }
    engine->offered = 0;
    set_ready(engine);
}

/* Until nobody is inside. */
static int
wait_for_turn(EngineObject *engine)
{
    if (engine->offered) {
        let_others_go_first(engine);
    }
    while (jsrt_watch_busy(&engine->watch) || engine->in_callback) {
        if (is_mine(engine)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the context is in use by this thread already: it can be called from "
                            "Python that its JavaScript calls, but not be closed there, and not "
                            "be called from a signal handler or finalizer during a call");
            return -1;
        }
        if (engine->waiting++ == 0) {
            engine->waiting_since = jsrt_now();
        }
        int code = jsrt_bell_wait(&left);
        engine->waiting--;
        if (code < 0) {
            return -1;
        }
        if (!jsrt_watch_busy(&engine->watch) && !engine->in_callback) {
            engine->waiting_since = jsrt_now();
            engine->offered = 0;
            set_ready(engine);
        }
    }
    return 0;
}

int
jsrt_engine_close_when_free(EngineObject *engine)
{
    if (!jsrt_unusable && wait_for_turn(engine) < 0) {
        return -1;
    }
    jsrt_engine_close(engine);
    return 0;
}

/* Whether this thread is in Python that this engine's JavaScript has called. */
static int
may_nest(EngineObject *engine)
{
    return engine->open && !engine->in_callback && is_mine(engine)
           && jsrt_watch_busy(&engine->watch);
}

int
jsrt_engine_enter_slowly(EngineObject *engine)
{
    if (may_nest(engine) && engine->isolate != NULL && !jsrt_unusable) {
        if (engine->condemned) {
            jsrt_engine_raise(engine, JSV8_HEAP_LIMIT, NULL);
            return -1;
        }
        engine->nested++;
        engine->open = 0;
        engine->unusual |= JSRT_NESTED;
        return 0;
    }
    if (refuse(engine) < 0 || wait_for_turn(engine) < 0 || refuse(engine) < 0) {
        return -1;
    }
    if (jsrt_has_graves && jsrt_inside == 0) {
        jsrt_grave_reap(engine->state);
        if (refuse(engine) < 0 || wait_for_turn(engine) < 0) {
            return -1;
        }
    }
    if (engine->condemned && engine->isolate != NULL) {
        jsrt_engine_discard(engine); /* which runs Python: another thread may have been faster */
        return jsrt_engine_enter_slowly(engine);
    }
    if (engine->isolate != NULL && !is_mine(engine)) {
        if (engine->pinned) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the context lives on the event loop of another thread: give it a "
                            "pool (jsrt.Context(pool=N)) to use it from here");
            return -1;
        }
        if (!jsrt_v8.locking_is_on()) {
            if (turn_locking_on(engine->state) < 0) {
                return -1;
            }
            if (!jsrt_v8.locking_is_on()) {
                PyErr_SetString(PyExc_RuntimeError,
                                "the context was used by another thread, and this one is in the "
                                "middle of JavaScript: use it once outside of that first");
                return -1;
            }
            return jsrt_engine_enter_slowly(engine); /* it may be another one by now */
        }
        engine->thread = pthread_self();
    }
    if (engine->isolate == NULL) {
        engine->thread = pthread_self();
        jsrt_watch_enter(&engine->watch);
        if (boot(engine) < 0) {
            jsrt_engine_leave(engine);
            return -1;
        }
        return 0;
    }
    jsrt_watch_enter(&engine->watch);
    return 0;
}

/* Back to the Python that JavaScript has called. */
static void
leave_nested(EngineObject *engine)
{
    jsrt_watch_t *watch = &engine->watch;
    if (--engine->nested == 0) {
        engine->unusual &= ~JSRT_NESTED;
    }
    engine->open = 1;
    /* A signal's exception has been raised, here: Python decides what becomes of it. The time of
     * the outermost call, though, is over for good. */
    if (watch->stopped && !watch->timed_out && watch->raised == NULL && !engine->condemned) {
        jsrt_v8.terminate_cancel(engine->isolate);
        jsrt_watch_regain(watch);
        watch->stopped = 0;
    }
}

void
jsrt_engine_leave_slowly(EngineObject *engine)
{
    jsrt_watch_t *watch = &engine->watch;
    if (engine->nested) {
        leave_nested(engine);
        return;
    }
    if (watch->stopped) {
        if (engine->isolate != NULL && !engine->condemned) {
            jsrt_v8.terminate_cancel(engine->isolate); /* it may have come too late */
        }
        jsrt_watch_regain(watch);
        watch->stopped = watch->timed_out = 0;
        Py_CLEAR(watch->raised);
    }
    jsrt_watch_leave(watch);
    if ((locking_wanted > 0 || (engine->unusual & JSRT_LOCKING_DUE)) && !jsrt_unusable) {
        /* Here and now: who waits for it would find this thread in its next call. */
        engine->unusual &= ~JSRT_LOCKING_DUE;
        jsrt_v8.locking_on();
    }
    if (engine->unusual & JSRT_DROPPED) {
        release_dropped(engine);
    }
    if (atomic_load(&jsrt_returned)) {
        jsrt_lend_release();
    }
    if (engine->condemned && engine->isolate != NULL && !jsrt_watch_busy(watch)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        jsrt_engine_discard(engine);
        PyErr_Restore(type, value, traceback);
    }
    if (jsrt_has_graves && jsrt_inside == 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        jsrt_grave_reap(engine->state);
        PyErr_Restore(type, value, traceback);
    }
    if (engine->waiting) {
        enum { LONG_NS = 20000000 };
        engine->offered = jsrt_now() - engine->waiting_since > LONG_NS;
        set_ready(engine);
        jsrt_bell_ring(&left);
    }
}

void
jsrt_engine_raise(EngineObject *engine, jsv8_status_t status, const jsv8_error_t *error)
{
    jsrt_watch_t *watch = &engine->watch;
    if (status == JSV8_HEAP_LIMIT) {
        engine->condemned = 1;
        engine->ready = 0;
    }
    if (watch->raised != NULL) {
        PyObject *raised = watch->raised;
        watch->raised = NULL;
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
        Py_DECREF(raised);
        return;
    }
    if (status == JSV8_TERMINATED && jsrt_watch_timed_out(watch)) {
        jsrt_error_raise_timeout(engine->state, engine->timeout);
        return;
    }
    if (status == JSV8_HEAP_LIMIT && engine->heap_limit != 0) {
        char text[80];
        snprintf(text, sizeof(text), "JavaScript hit the heap limit of %.6g MB",
                 (double)engine->heap_limit / 1048576);
        PyErr_SetString(engine->state->HeapLimit, text);
        return;
    }
    /* On its way through Python that JavaScript called: it may come back there. */
    jsv8_ref_t *thrown =
        engine->nested && status == JSV8_EXCEPTION ? jsrt_v8.take_thrown(engine->isolate) : NULL;
    jsrt_error_raise(engine->state, status, error);
    if (thrown != NULL) {
        jsrt_error_carry(engine, thrown);
    }
}

PyObject *
jsrt_engine_result(EngineObject *engine, jsv8_status_t status, const jsv8_value_t *result,
                   const jsv8_error_t *error)
{
    if (status == JSV8_OK && engine->watch.raised == NULL) {
        return jsrt_engine_to_py(engine, result);
    }
    if (status == JSV8_OK && result->tag == JSV8_REF) {
        jsrt_v8.ref_free(result->u.ref);
    }
    jsrt_engine_raise(engine, status, error);
    return NULL;
}

/* ---- The end ------------------------------------------------------------------------------------------------ */

void
jsrt_engine_loop_closing(jsrt_state_t *state, PyObject *loop_object)
{
    if (jsrt_unusable) {
        return;
    }
    jsrt_grave_reap(state);
    EngineObject *engine = state->engines;
    while (engine != NULL) {
        if (engine->pinned && engine->loop_object == loop_object && is_mine(engine)
            && !jsrt_watch_busy(&engine->watch)) {
            jsrt_engine_discard(engine);
            engine = state->engines;
            continue;
        }
        engine = engine->next;
    }
}

/* ---- The type ------------------------------------------------------------------------------------------------- */

EngineObject *
jsrt_engine_new(jsrt_state_t *state, jsv8_profile_t profile, size_t heap_limit, double timeout,
                int may_pin)
{
    EngineObject *engine = PyObject_GC_New(EngineObject, state->EngineType);
    if (engine == NULL) {
        return NULL;
    }
    memset((char *)engine + sizeof(PyObject), 0, sizeof(*engine) - sizeof(PyObject));
    engine->state = state;
    Py_INCREF(state->module);
    engine->profile = profile;
    engine->heap_limit = heap_limit;
    engine->timeout = timeout;
    engine->may_pin = may_pin;
    state->engine_count++;
    PyObject_GC_Track(engine);
    return engine;
}

static int
engine_traverse(EngineObject *engine, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(engine));
    Py_VISIT(engine->state->module);
    Py_VISIT(engine->loop_object);
    Py_VISIT(engine->turn);
    Py_VISIT(engine->timer);
    /* Objects that JavaScript may call are the isolate's: so one that leads back to the engine's
     * context keeps nothing alive. */
    if (engine->isolate != NULL && !jsrt_unusable) {
        return jsrt_v8.visit_hosted(engine->isolate, (int (*)(void *, void *))visit, arg);
    }
    return 0;
}

static int
engine_clear(EngineObject *engine)
{
    jsrt_engine_close(engine);
    Py_CLEAR(engine->loop_object);
    Py_CLEAR(engine->turn);
    Py_CLEAR(engine->timer);
    return 0;
}

static void
engine_dealloc(EngineObject *engine)
{
    PyTypeObject *type = Py_TYPE(engine);
    PyObject *error_type, *error_value, *traceback;
    PyObject_GC_UnTrack(engine);
    PyErr_Fetch(&error_type, &error_value, &traceback);
    engine_clear(engine);
    Py_CLEAR(engine->watch.raised);
    Py_CLEAR(engine->snapshot);
    PyErr_Restore(error_type, error_value, traceback);
    PyObject *module = engine->state->module;
    engine->state->engine_count--;
    PyObject_GC_Del(engine);
    Py_DECREF(type);
    Py_DECREF(module);
}

static PyObject *
engine_repr(EngineObject *engine)
{
    return PyUnicode_FromFormat("<JavaScript engine, boot %u>", engine->boot);
}

static PyMethodDef engine_methods[] = {
    {"_turn", (PyCFunction)jsrt_bridge_turn, METH_NOARGS, NULL},
    {"_settle", (PyCFunction)(void (*)(void))jsrt_bridge_settle, METH_FASTCALL, NULL},
    {0},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_traverse, engine_traverse}, {Py_tp_clear, engine_clear},
    {Py_tp_dealloc, engine_dealloc},   {Py_tp_repr, engine_repr},
    {Py_tp_methods, engine_methods},   {0, NULL},
};

PyType_Spec jsrt_engine_spec = {
    .name = "jsrt._jsrt.Engine",
    .basicsize = sizeof(EngineObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = engine_slots,
};
