/* SPDX-License-Identifier: MIT
 *
 * parse.h: the arguments of METH_FASTCALL | METH_KEYWORDS methods, faster than PyArg_ParseTuple.
 */
#ifndef JSRT_PARSE_H
#define JSRT_PARSE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { JSRT_PARSE_MOST = 4 };

typedef struct {
    const char *method;
    const char *names[JSRT_PARSE_MOST]; /* NULL behind the last */
    int required;                       /* how many must be given */
    int positional;                     /* how many may be given by position */
} jsrt_signature_t;

int jsrt_parse_slowly(const jsrt_signature_t *signature, PyObject *const *args, Py_ssize_t count,
                      PyObject *keywords, PyObject **out);

/* Fills out (JSRT_PARSE_MOST entries, borrowed; NULL: not given). Returns 0, or -1 with
 * TypeError. */
static inline int
jsrt_parse(const jsrt_signature_t *signature, PyObject *const *args, Py_ssize_t count,
           PyObject *keywords, PyObject **out)
{
    if (keywords == NULL && count >= signature->required && count <= signature->positional) {
        for (Py_ssize_t i = 0; i < JSRT_PARSE_MOST; i++) {
            out[i] = i < count ? args[i] : NULL;
        }
        return 0;
    }
    return jsrt_parse_slowly(signature, args, count, keywords, out);
}

#endif
