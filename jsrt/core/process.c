/* SPDX-License-Identifier: MIT
 *
 * process.c: V8 of the whole process: its start, a fork, its end.
 *
 * Called by engine.c before the first boot, and by module.c when the interpreter exits. V8 starts
 * once; a child that was forked later, and everybody once it has stopped, must not touch it again
 * (jsrt_unusable).
 */
#include <time.h>

#include "engine.h"
#include "error.h"
#include "grave.h"
#include "lend.h"

int jsrt_unusable, jsrt_forked;

static int started;

static void
on_fork_in_child(void)
{
    if (started) {
        jsrt_unusable = jsrt_forked = 1;
    }
}

static void
after_blocking(void)
{
    /* Regained by jsrt_engine_turn: callbacks in between take the GIL themselves. */
}

int
jsrt_engine_process_start(jsrt_state_t *state)
{
    if (started) {
        return 0;
    }
    if (jsrt_v8_need() < 0) {
        return -1;
    }
    const char *share = NULL;
    if (state->share_dir != NULL && PyUnicode_Check(state->share_dir)) {
        share = PyUnicode_AsUTF8(state->share_dir);
        if (share == NULL) {
            return -1;
        }
    }
    jsv8_error_t error = {0};
    jsv8_status_t status = jsrt_v8.process_start(share, &error);
    if (status != JSV8_OK) {
        jsrt_error_raise(state, status, &error);
        return -1;
    }
    jsrt_lend_start();
    jsrt_v8.set_blocking_hooks(jsrt_engine_before_blocking, after_blocking);
    pthread_atfork(NULL, NULL, on_fork_in_child);
    started = 1;
    return 0;
}

/* Calls that other threads are still in (daemon threads) get a moment to be stopped; a boot, which
 * is in no list yet, to be over. */
static void
stop_running_calls(jsrt_state_t *state)
{
    enum { ROUNDS = 100, ROUND_NS = 10000000 };
    for (int round = 0; round < ROUNDS; round++) {
        int busy = state->booting > 0;
        for (EngineObject *engine = state->engines; engine != NULL; engine = engine->next) {
            if (jsrt_watch_busy(&engine->watch) && engine->isolate != NULL) {
                busy = 1;
                jsrt_v8.terminate(engine->isolate);
            }
        }
        if (!busy) {
            return;
        }
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* One that this thread may close, borrowed; NULL: none is left. */
static EngineObject *
closable(jsrt_state_t *state)
{
    EngineObject *engine = state->engines;
    while (engine != NULL
           && (jsrt_watch_busy(&engine->watch)
               || (engine->pinned && !pthread_equal(engine->thread, pthread_self())))) {
        engine = engine->next;
    }
    return engine;
}

void
jsrt_engine_exit(jsrt_state_t *state)
{
    state->exiting = 1;
    if (!started || jsrt_unusable) {
        return;
    }
    stop_running_calls(state);
    EngineObject *engine;
    while ((engine = closable(state)) != NULL) {
        Py_INCREF(engine);
        jsrt_engine_close(engine);
        Py_DECREF(engine);
    }
    jsrt_grave_reap(state);
    jsrt_watchdog_stop();
    jsrt_lend_stop();
    jsrt_unusable = 1;
    if (state->engines == NULL && !jsrt_has_graves) {
        jsrt_v8.process_stop();
    }
}
