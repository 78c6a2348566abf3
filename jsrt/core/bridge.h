/* SPDX-License-Identifier: MIT
 *
 * bridge.h: an engine's uv loop and the asyncio loop of the thread.
 *
 * On casgi's loop both are one: the engine is pinned on it and nothing needs driving. On any other
 * asyncio loop the engine has a uv loop of its own; the asyncio loop watches its backend
 * descriptor and its next timer, and takes a turn of it when either is due.
 */
#ifndef JSRT_BRIDGE_H
#define JSRT_BRIDGE_H

#include "engine.h"

/* The asyncio loop that runs in this thread. Returns: new; NULL without an exception: none. */
PyObject *jsrt_bridge_running_loop(jsrt_state_t *state);
/* Sets engine->loop, loop_object and pinned where casgi's loop runs in this thread and no other
 * engine is pinned there. Returns 0, or -1 with an exception. */
int jsrt_bridge_pin(EngineObject *engine);
/* Makes sure loop drives the engine (own loops; nothing to do for pinned ones). On loop's thread.
 * Returns 0, or -1 with an exception. May run Python. */
int jsrt_bridge_start(EngineObject *engine, PyObject *loop);
/* After a call that left something alive on an own loop: asks for a turn. Keeps quiet about
 * failures. May run Python. */
void jsrt_bridge_kick(EngineObject *engine);
void jsrt_bridge_stop(EngineObject *engine);
/* Whether the loop that drives the engine is the one that runs in this thread. */
int jsrt_bridge_is_here(EngineObject *engine);
/* Tells the loop's exception handler, or sys.unraisablehook where there is no loop. */
void jsrt_bridge_report(EngineObject *engine, PyObject *exception);

/* Methods of EngineObject that loops call. */
PyObject *jsrt_bridge_turn(EngineObject *engine, PyObject *unused);
/* _settle(future, ok, value): sets a future unless it is done. */
PyObject *jsrt_bridge_settle(EngineObject *engine, PyObject *const *args, Py_ssize_t count);

/* After every call, still inside. */
static inline void
jsrt_bridge_after_call(EngineObject *engine)
{
    if (engine->own_loop && engine->profile != JSV8_PROFILE_BARE
        && (engine->turn != NULL || uv_loop_alive(engine->loop))) {
        jsrt_bridge_kick(engine);
    }
}

#endif
