/* SPDX-License-Identifier: MIT
 *
 * parse.c: arguments that are given by keyword, or are wrong, and a context's options. Called by
 * context.c.
 */
#include "parse.h"

#include "pool.h"

const char *const jsrt_profile_names[] = {"bare", "web", "node"};

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

int
jsrt_parse_heap_limit(PyObject *object, jsv8_profile_t profile, size_t *out)
{
    *out = 0;
    if (object == Py_None) {
        return 0;
    }
    double megabytes = PyFloat_AsDouble(object);
    if (megabytes == -1 && PyErr_Occurred()) {
        return -1;
    }
    double least = profile == JSV8_PROFILE_BARE ? 4 : 16;
    if (!(megabytes >= least && megabytes <= 1048576)) {
        PyErr_Format(PyExc_ValueError, "heap_limit is in MB, %d at least", (int)least);
        return -1;
    }
    *out = (size_t)(megabytes * JSRT_MEGABYTE);
    return 0;
}

int
jsrt_parse_timeout(PyObject *object, double *out)
{
    *out = 0;
    if (object == Py_None) {
        return 0;
    }
    *out = PyFloat_AsDouble(object);
    if (*out == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (!(*out > 0 && *out < 1e9)) {
        PyErr_SetString(PyExc_ValueError, "timeout is in seconds, more than 0");
        return -1;
    }
    return 0;
}

int
jsrt_parse_profile(const char *name, jsv8_profile_t *out)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, jsrt_profile_names[i]) == 0) {
            *out = (jsv8_profile_t)i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "profile must be 'bare', 'web' or 'node', not '%s'", name);
    return -1;
}

int
jsrt_parse_options(PyObject *args, PyObject *keywords, jsrt_options_t *out)
{
    static char *names[] = {"profile",   "heap_limit", "timeout", "code",     "pool",
                            "seed",      "now",        "console", "snapshot", "share_buffers",
                            "_homeless", "_patience",  NULL};
    const char *profile = "web";
    PyObject *heap_limit = Py_None, *timeout = Py_None;
    *out = (jsrt_options_t){.code = Py_None,
                            .seed = Py_None,
                            .now = Py_None,
                            .console = Py_None,
                            .snapshot = Py_None,
                            .share = 1};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$sOOOnOOOOppd:Context", names, &profile,
                                     &heap_limit, &timeout, &out->code, &out->pool, &out->seed,
                                     &out->now, &out->console, &out->snapshot, &out->share,
                                     &out->homeless, &out->patience)
        || jsrt_parse_profile(profile, &out->profile) < 0
        || jsrt_parse_heap_limit(heap_limit, out->profile, &out->heap_limit) < 0
        || jsrt_parse_timeout(timeout, &out->timeout) < 0) {
        return -1;
    }
    if (out->pool < out->homeless || out->pool > JSRT_POOL_LARGEST || out->patience < 0) {
        PyErr_Format(PyExc_ValueError, "pool must be 0 to %d", JSRT_POOL_LARGEST);
        return -1;
    }
    return 0;
}
