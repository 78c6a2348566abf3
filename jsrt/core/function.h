/* SPDX-License-Identifier: MIT
 *
 * function.h: jsrt.JSFunction: a JavaScript function held for calling, the fastest way in.
 */
#ifndef JSRT_FUNCTION_H
#define JSRT_FUNCTION_H

#include "context.h"

extern PyType_Spec jsrt_function_spec;

/* Looks name up in the context. Returns: new, or NULL with an exception. */
PyObject *jsrt_function_new(ContextObject *context, PyObject *name);
/* How one is called. */
vectorcallfunc jsrt_function_vectorcall(void);

#endif
