/* SPDX-License-Identifier: MIT
 *
 * to_py.h: what came out of V8 becomes Python values.
 *
 * Invariant: no Python code runs in here (the collector is off meanwhile), so the isolate's buffer
 * that the value points into stays as it is until the conversion is done.
 */
#ifndef JSRT_TO_PY_H
#define JSRT_TO_PY_H

#include "state.h"

/* Every tag but JSV8_REF. Returns: new, or NULL with ConversionError or MemoryError. */
PyObject *jsrt_to_py_any(jsrt_state_t *state, const jsv8_value_t *value);
/* UTF-8 of a jsv8_error_t as str. Returns: new, or NULL. */
PyObject *jsrt_utf8_to_py(const char *text);

#define JSRT_SAFE_DOUBLE 9007199254740992.0

/* Integral doubles within +-2^53 become int; -0, and everything else, float. */
static inline PyObject *
jsrt_number_to_py(double number)
{
    if (number >= -JSRT_SAFE_DOUBLE && number <= JSRT_SAFE_DOUBLE) {
        int64_t integer = (int64_t)number;
        if ((double)integer == number) {
            uint64_t bits;
            memcpy(&bits, &number, 8);
            if (bits != (uint64_t)1 << 63) {
                return PyLong_FromLongLong(integer);
            }
        }
    }
    return PyFloat_FromDouble(number);
}

static inline PyObject *
jsrt_to_py(jsrt_state_t *state, const jsv8_value_t *value)
{
    switch (value->tag) {
    case JSV8_INT:
        return PyLong_FromLongLong(value->u.integer);
    case JSV8_NUMBER:
        return jsrt_number_to_py(value->u.number);
    case JSV8_LATIN1:
        return PyUnicode_DecodeLatin1(value->u.text.data, (Py_ssize_t)value->u.text.length, NULL);
    default:
        return jsrt_to_py_any(state, value);
    }
}

#endif
