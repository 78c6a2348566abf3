/* SPDX-License-Identifier: MIT
 *
 * grave.h: isolates that wait to be freed.
 */
#ifndef JSRT_GRAVE_H
#define JSRT_GRAVE_H

#include "engine.h"

/* An isolate whose engine is gone. */
typedef struct jsrt_grave {
    jsv8_isolate_t *isolate; /* owned */
    uv_loop_t *loop;         /* owned where own_loop is set */
    uv_timer_t *tick;        /* owned */
    PyObject *loop_object;   /* owned or NULL: keeps a borrowed loop's memory */
    PyObject *texts;         /* owned or NULL: sources that V8 reads */
    int own_loop, pinned;
    pthread_t thread;
    struct jsrt_grave *next;
} jsrt_grave_t;

/* Frees the isolate now, where this thread may, or later. Runs Python. */
void jsrt_grave_bury(jsrt_state_t *state, const jsrt_grave_t *grave);
/* Frees all that this thread may. Runs Python. */
void jsrt_grave_reap(jsrt_state_t *state);
void jsrt_grave_close_loop(uv_loop_t *loop, uv_timer_t *tick);

#endif
