/* SPDX-License-Identifier: MIT
 *
 * console.h: console of a global scope goes to Python's logging.
 */
#ifndef JSRT_CONSOLE_H
#define JSRT_CONSOLE_H

#include "context.h"

/* Makes what jsrt/console.py has the next source of a scope that has run nothing yet. console: what
 * jsrt.console.Writer takes, or NULL or None: the console stays V8's or Node's. Returns 0, or -1 with
 * an exception. May run Python. */
int jsrt_console_attach(ContextObject *context, PyObject *console);
/* jsrt._jsrt._caller: a tuple (file, line, function), None for what is not known. */
PyObject *jsrt_console_caller(PyObject *module, PyObject *unused);

#endif
