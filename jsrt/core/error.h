/* SPDX-License-Identifier: MIT
 *
 * error.h: what V8 reports becomes a Python exception.
 */
#ifndef JSRT_ERROR_H
#define JSRT_ERROR_H

#include "engine.h"

/* An exception object for a status other than JSV8_OK and JSV8_PENDING. error may be NULL.
 * Returns: new, or NULL with another exception set. May run Python. */
PyObject *jsrt_error_new(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error);
/* The same, raised. */
void jsrt_error_raise(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error);
/* Gives the JSError that is set what JavaScript threw. Steals thrown. */
void jsrt_error_carry(EngineObject *engine, jsv8_ref_t *thrown);
/* Takes the exception that is set, with its traceback on it: new; NULL: none was set. */
PyObject *jsrt_error_fetch(void);
/* The timeout of a call. */
void jsrt_error_raise_timeout(jsrt_state_t *state, double seconds);

/* Loads jsrt.errors into the state. Returns 0, or -1 with an exception. */
int jsrt_error_init(jsrt_state_t *state);

#endif
