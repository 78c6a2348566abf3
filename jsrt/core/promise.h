/* SPDX-License-Identifier: MIT
 *
 * promise.h: a JavaScript promise that waits, as an asyncio future or as a blocking wait.
 */
#ifndef JSRT_PROMISE_H
#define JSRT_PROMISE_H

#include "engine.h"

/* A future of loop that settles with the promise. promise: owned by the caller still. context: kept
 * alive until then. Inside. Returns: new, or NULL with an exception. */
PyObject *jsrt_promise_future(EngineObject *engine, PyObject *context, PyObject *loop,
                              jsv8_ref_t *promise);
/* A future of loop that is settled: value (steals; NULL: with the exception that is set). */
PyObject *jsrt_promise_settled(jsrt_state_t *state, PyObject *loop, PyObject *value);
/* Runs the engine's own loop until the promise settles. Steals promise. Inside. Returns its value:
 * new, or NULL with what it was rejected with or PendingPromiseError. */
PyObject *jsrt_promise_wait(EngineObject *engine, jsv8_ref_t *promise);

#endif
