/* SPDX-License-Identifier: MIT
 *
 * arguments.h: the arguments of methods that are called often.
 */
#ifndef JSRT_ARGUMENTS_H
#define JSRT_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* (first, second=None) by position or keyword, from a vectorcall's arguments: faster than
 * PyArg_ParseTuple. method, first_name, second_name: for messages and keywords; second_name NULL:
 * there is only one. Returns 0 and borrowed references, *second NULL where it is not given; or -1
 * with TypeError. */
int jsrt_parse_two(const char *method, const char *first_name, const char *second_name,
                   PyObject *const *args, Py_ssize_t count, PyObject *keywords, PyObject **first,
                   PyObject **second);

#endif
