/* SPDX-License-Identifier: MIT
 *
 * parse.c: arguments that are given by keyword, or are wrong. Called by context.c.
 */
#include "parse.h"

int
jsrt_parse_slowly(const jsrt_signature_t *signature, PyObject *const *args, Py_ssize_t count,
                  PyObject *keywords, PyObject **out)
{
    const char *method = signature->method;
    for (Py_ssize_t i = 0; i < JSRT_PARSE_MOST; i++) {
        out[i] = i < count && i < signature->positional ? args[i] : NULL;
    }
    if (count > signature->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", method,
                     signature->positional, count);
        return -1;
    }
    Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        int at = 0;
        while (at < JSRT_PARSE_MOST && signature->names[at] != NULL
               && PyUnicode_CompareWithASCIIString(keyword, signature->names[at]) != 0) {
            at++;
        }
        int known = at < JSRT_PARSE_MOST && signature->names[at] != NULL;
        if (!known || out[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", method,
                         known ? "multiple values for" : "an unexpected keyword", keyword);
            return -1;
        }
        out[at] = args[count + i];
    }
    for (int i = 0; i < signature->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", method,
                         signature->names[i]);
            return -1;
        }
    }
    return 0;
}
