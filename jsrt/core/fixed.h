/* SPDX-License-Identifier: MIT
 *
 * fixed.h: deterministic contexts: Math.random from a seed, a clock that stands still.
 */
#ifndef JSRT_FIXED_H
#define JSRT_FIXED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The source that makes a global scope so, from Context's arguments; NULL without an exception
 * where both are None. Returns: new str, or NULL. */
PyObject *jsrt_fixed_source(PyObject *seed, PyObject *now);

#endif
