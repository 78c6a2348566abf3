/* SPDX-License-Identifier: MIT
 *
 * arguments.c: reading a method's arguments; see arguments.h.
 */
#include "arguments.h"

int
jsrt_parse_two(const char *method, const char *first_name, const char *second_name,
               PyObject *const *args, Py_ssize_t count, PyObject *keywords, PyObject **first,
               PyObject **second)
{
    *first = count > 0 ? args[0] : NULL;
    *second = count > 1 ? args[1] : NULL;
    if (count > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 2 arguments (%zd given)", method, count);
        return -1;
    }
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        PyObject **slot = NULL;
        if (PyUnicode_CompareWithASCIIString(keyword, first_name) == 0) {
            slot = first;
        } else if (second_name != NULL
                   && PyUnicode_CompareWithASCIIString(keyword, second_name) == 0) {
            slot = second;
        }
        if (slot == NULL || *slot != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", method,
                         slot == NULL ? "an unexpected keyword" : "multiple values for", keyword);
            return -1;
        }
        *slot = args[count + i];
    }
    if (*first == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", method, first_name);
        return -1;
    }
    return 0;
}
