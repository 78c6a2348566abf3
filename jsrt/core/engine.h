/* SPDX-License-Identifier: MIT
 *
 * engine.h: one isolate with its loop, and the way into it from Python.
 *
 * A Context has one engine at home and, where it lends some, others for other threads. An engine
 * boots at its first use and again after its heap limit condemned it; `boot` counts this, so that
 * whoever holds something of the old isolate notices.
 *
 * Invariants
 *   1. One thread is inside at a time, from jsrt_engine_enter to jsrt_engine_leave (the watch's
 *      counter is odd meanwhile). Another thread waits with the GIL put down. The same thread may
 *      enter again from Python that this engine's JavaScript called (`open`), and then leaves in
 *      the reverse order; from anywhere else it is a RuntimeError.
 *   2. `ready` says that a thread equal to `thread` may enter without further questions.
 *   3. Fields are touched with the GIL held. Any call into V8 may put it down (watch.c):
 *      jsrt_watch_regain stands behind each.
 *   4. A pinned engine is entered, and freed, by the thread that booted it only.
 */
#ifndef JSRT_ENGINE_H
#define JSRT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "state.h"
#include "watch.h"

struct jsrt_script;

typedef struct jsrt_engine {
    PyObject_HEAD
    jsrt_state_t *state; /* borrowed from the module, of which this owns a reference */

    /* How to boot; set once. */
    jsv8_profile_t profile;
    size_t heap_limit;
    double timeout;     /* seconds, 0: none */
    PyObject *snapshot; /* owned bytes, or NULL: what its isolates start from */
    int may_pin;        /* lives on casgi's loop where one runs at boot */

    jsv8_isolate_t *isolate; /* owned, NULL: not booted */
    uv_loop_t *loop;         /* owned where own_loop is set, else loop_object's */
    uv_timer_t *tick;        /* owned, on an own loop: bounds a blocking wait; not referenced */
    int own_loop, pinned;
    int ready, condemned, closed;
    int in_callback; /* V8 called us back: nobody may enter */
    int open;        /* the innermost that runs is Python, called by JavaScript: expose.c */
    int nested;      /* entries from there that have not been left */
    int unusual;     /* JSRT_NESTED, JSRT_DROPPED: what a leave must look at */
    struct jsrt_context *context; /* weak: who made it; cleared by that one, NULL then */
    struct jsrt_context *scope;   /* weak: whose global scope is current; NULL: see realm.c */
    int transient;          /* that context may go before the isolate: nothing is kept for it */
    unsigned long exposed;  /* the last of the scope's exposures this isolate has */
    pthread_t thread;       /* who entered last; of a pinned engine: its home */
    unsigned boot;          /* how often it booted */
    Py_ssize_t applied;     /* how many of the scope's sources this isolate has run */
    Py_ssize_t waiting;     /* threads that wait to enter */
    uint64_t waiting_since; /* the last time one of them got in, or the first began to wait */
    int offered;            /* they have waited long: whoever was inside lets them go first */
    uint64_t looks;         /* entries of stats.c, which are no calls */
    uint64_t past_calls;    /* of its calls those in state->past_calls */
    struct jsrt_script *scripts;         /* owned list: source.c */
    PyObject *texts;                     /* owned list, or NULL: what V8 reads where it lies */
    struct jsrt_engine *next, *previous; /* state->engines, while booted */
    jsrt_watch_t watch;

    /* bridge.c: the asyncio loop that drives an own loop, or the one pinned on. */
    PyObject *loop_object; /* owned or NULL */
    PyObject *turn;        /* owned: bound method _turn, while the bridge stands */
    PyObject *timer;       /* owned: the handle of call_later, or NULL */
    int kicked;            /* a call_soon is under way */
    Py_ssize_t pending;    /* promises that a future waits for */
} EngineObject;

enum {
    JSRT_NESTED = 1,     /* a nested call */
    JSRT_DROPPED = 2,    /* jsv8_dropped has something */
    JSRT_LOCKING_DUE = 4 /* V8's locking is to go on when the call is over */
};

/* Calls of Python by JavaScript that this thread is in, innermost first. */
typedef struct jsrt_calling {
    EngineObject *engine;
    struct jsrt_calling *outer;
} jsrt_calling_t;
extern _Thread_local jsrt_calling_t *jsrt_calling;

extern PyType_Spec jsrt_engine_spec;
/* V8 must not be touched any more: this is a forked child, or the interpreter ends. */
extern int jsrt_unusable;
/* Isolates wait to be freed by a thread that may (grave.c). */
extern int jsrt_has_graves;
/* Memory that was shared waits to be released (lend.c). Set on any thread. */
extern atomic_int jsrt_returned;

EngineObject *jsrt_engine_new(jsrt_state_t *state, jsv8_profile_t profile, size_t heap_limit,
                              double timeout, int may_pin);
/* What jsrt_engine_enter does when the inline part is not enough: waits, boots, turns locking
 * on. Returns 0, or -1 with an exception. May run Python. */
int jsrt_engine_enter_slowly(EngineObject *engine);
void jsrt_engine_leave_slowly(EngineObject *engine);
/* Raises what a status other than JSV8_OK and JSV8_PENDING means. Inside. May run Python. */
void jsrt_engine_raise(EngineObject *engine, jsv8_status_t status, const jsv8_error_t *error);
/* The value of status and result, or NULL with an exception; not for JSV8_PENDING. Inside. */
PyObject *jsrt_engine_result(EngineObject *engine, jsv8_status_t status, const jsv8_value_t *result,
                             const jsv8_error_t *error);
/* Frees the isolate; the engine may boot again. Not inside. Runs Python. */
void jsrt_engine_discard(EngineObject *engine);
/* Frees it for good. */
void jsrt_engine_close(EngineObject *engine);
/* The same once no other thread is inside. Returns 0, or -1 with an exception. */
int jsrt_engine_close_when_free(EngineObject *engine);
/* Turns V8's locking on: before JavaScript gets something of Python's that it can call (which may wait
 * for a thread that would wait for the end of the call), and where threads are to be expected.
 * Returns 0, or -1 with an exception. May run Python. */
int jsrt_engine_expect_threads(jsrt_state_t *state);
/* An engine that another thread is inside of, borrowed, or NULL. */
EngineObject *jsrt_engine_busy_elsewhere(jsrt_state_t *state);
/* Around what V8 calls back: takes the GIL where this thread has put it down. */
PyGILState_STATE jsrt_engine_callback_begin(EngineObject *engine);
void jsrt_engine_callback_end(EngineObject *engine, PyGILState_STATE gil);
/* One turn of an own loop, inside. wait: 1 may block, at most until the tick. Returns whether
 * something is alive. */
int jsrt_engine_turn(EngineObject *engine, int wait);
/* Before that blocks: other threads may have the GIL meanwhile. */
void jsrt_engine_before_blocking(void);
/* Starts V8 where that has not happened. Returns 0, or -1 with an exception. */
int jsrt_engine_process_start(jsrt_state_t *state);
/* At exit: closes every engine and stops V8. */
void jsrt_engine_exit(jsrt_state_t *state);
/* Closes the engines pinned on an event loop that is about to close. */
void jsrt_engine_loop_closing(jsrt_state_t *state, PyObject *loop_object);

/* The context whose JavaScript runs, borrowed, or NULL: it is gone. */
static inline struct jsrt_context *
jsrt_engine_context(const EngineObject *engine)
{
    return engine->scope != NULL ? engine->scope : engine->context;
}

static inline int
jsrt_engine_enter(EngineObject *engine)
{
    if (engine->ready && !jsrt_unusable && pthread_equal(engine->thread, pthread_self())
        && !jsrt_watch_busy(&engine->watch)) {
        jsrt_watch_enter(&engine->watch);
        return 0;
    }
    return jsrt_engine_enter_slowly(engine);
}

static inline void
jsrt_engine_leave(EngineObject *engine)
{
    if (engine->watch.stopped || engine->waiting || engine->condemned || jsrt_has_graves
        || engine->unusual || atomic_load_explicit(&jsrt_returned, memory_order_relaxed)) {
        jsrt_engine_leave_slowly(engine);
        return;
    }
    jsrt_watch_leave(&engine->watch);
}

#endif
