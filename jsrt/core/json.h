/* SPDX-License-Identifier: MIT
 *
 * json.h: calls that take JSON and give JSON.
 */
#ifndef JSRT_JSON_H
#define JSRT_JSON_H

#include "context.h"

/* Calls the function of that name with the value that body, a JSON text, stands for. body: str or
 * a bytes-like object in UTF-8; NULL: no argument. loop: as in jsrt_context_call. Returns the
 * result's JSON text as bytes (of a promise: once it has settled), new, or NULL with an exception:
 * ConversionError where body is not JSON. */
PyObject *jsrt_json_call(ContextObject *context, PyObject *name, PyObject *body, PyObject *loop);

#endif
