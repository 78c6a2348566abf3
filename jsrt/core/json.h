/* SPDX-License-Identifier: MIT
 *
 * json.h: calls that take JSON and give JSON.
 */
#ifndef JSRT_JSON_H
#define JSRT_JSON_H

#include "context.h"
#include "parse.h"

/* Context.call_json(name, body) and its async form, after their signature. body: the JSON text of the
 * one argument, str or a bytes-like object in UTF-8; not given: no argument. loop: as in
 * jsrt_context_call. Returns the result's JSON text as bytes (of a promise: once it has settled), new,
 * or NULL with an exception: ConversionError where body is not JSON. */
PyObject *jsrt_json_call(ContextObject *context, const jsrt_signature_t *signature,
                         PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                         PyObject *loop);

#endif
