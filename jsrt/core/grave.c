/* SPDX-License-Identifier: MIT
 *
 * grave.c: frees isolates whose engine is gone, as soon as a thread comes by that may.
 *
 * Called by engine.c. An isolate must not be freed by a thread that is inside another one (a
 * finalizer that runs while JavaScript does), nor, when pinned, by another thread than its own.
 */
#include "grave.h"

#include "lend.h"

int jsrt_has_graves;

static jsrt_grave_t *graves; /* under the GIL */

void
jsrt_grave_close_loop(uv_loop_t *loop, uv_timer_t *tick)
{
    uv_close((uv_handle_t *)tick, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    if (uv_loop_close(loop) == 0) {
        PyMem_RawFree(tick);
        PyMem_RawFree(loop);
    }
    /* else something of Node's is still open: a leak is better than a use after free */
}

static void
free_isolate(jsrt_grave_t *grave)
{
    int loop_lives = 1;
    if (grave->loop_object != NULL) {
        PyObject *closed = PyObject_CallMethod(grave->loop_object, "is_closed", NULL);
        loop_lives = closed == Py_False;
        Py_XDECREF(closed);
        PyErr_Clear();
    }
    if (loop_lives) {
        jsrt_v8.isolate_free(grave->isolate);
        if (grave->own_loop) {
            jsrt_grave_close_loop(grave->loop, grave->tick);
        }
        jsrt_lend_release();
    }
    Py_XDECREF(grave->loop_object);
    if (loop_lives) {
        Py_XDECREF(grave->texts);
    }
}

/* Whether this thread may free the isolate now. */
static int
may_free(jsrt_state_t *state, const jsrt_grave_t *grave)
{
    if (jsrt_inside > 0) {
        return 0;
    }
    if (pthread_equal(grave->thread, pthread_self())) {
        return 1;
    }
    if (grave->pinned || (!jsrt_v8.locking_is_on() && jsrt_engine_busy_elsewhere(state) != NULL)) {
        return 0;
    }
    return jsrt_v8.locking_on() > 0;
}

void
jsrt_grave_reap(jsrt_state_t *state)
{
    jsrt_grave_t **link = &graves;
    while (*link != NULL) {
        jsrt_grave_t *grave = *link;
        if (!may_free(state, grave)) {
            link = &grave->next;
            continue;
        }
        *link = grave->next;
        free_isolate(grave);
        PyMem_RawFree(grave);
        link = &graves;
    }
    jsrt_has_graves = graves != NULL;
}

void
jsrt_grave_bury(jsrt_state_t *state, const jsrt_grave_t *grave)
{
    jsrt_grave_t copy = *grave;
    if (may_free(state, &copy)) {
        free_isolate(&copy);
        return;
    }
    jsrt_grave_t *kept = PyMem_RawMalloc(sizeof(*kept));
    if (kept != NULL) {
        *kept = copy;
        kept->next = graves;
        graves = kept;
        jsrt_has_graves = 1;
    }
}
