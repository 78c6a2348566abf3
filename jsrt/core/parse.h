/* SPDX-License-Identifier: MIT
 *
 * parse.h: the arguments of METH_FASTCALL | METH_KEYWORDS methods, faster than PyArg_ParseTuple,
 * and the options of a context.
 */
#ifndef JSRT_PARSE_H
#define JSRT_PARSE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "load.h"

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

/* Options of a context. Each returns 0, or -1 with an exception. */

typedef struct {
    jsv8_profile_t profile;
    size_t heap_limit;
    double timeout, patience;
    Py_ssize_t pool;
    int homeless, share;
    PyObject *code, *seed, *now, *console, *snapshot; /* borrowed; Py_None: not given */
} jsrt_options_t;

#define JSRT_MEGABYTE 1048576.0

extern const char *const jsrt_profile_names[]; /* by jsv8_profile_t */

/* A number of megabytes as bytes; 0 for None. */
int jsrt_parse_heap_limit(PyObject *object, jsv8_profile_t profile, size_t *out);
/* Seconds; 0 for None. */
int jsrt_parse_timeout(PyObject *object, double *out);
int jsrt_parse_profile(const char *name, jsv8_profile_t *out);
/* What jsrt.Context is called with. */
int jsrt_parse_options(PyObject *args, PyObject *keywords, jsrt_options_t *out);

#endif
