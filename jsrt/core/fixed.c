/* SPDX-License-Identifier: MIT
 *
 * fixed.c: the source that makes a context deterministic. It is the first that a global scope runs
 * (context.c keeps it like any other), so the intrinsics it replaces are the intrinsic ones.
 */
#include "fixed.h"

static const char source[] =
    "((seed, now) => {\n"
    "  const put = (object, name, value) =>\n"
    "    Object.defineProperty(object, name, { value, writable: true, configurable: true });\n"
    "  if (seed !== null) {\n"
    "    let state = seed | 0;\n"
    "    const next = () => {\n"
    "      state = (state + 0x6d2b79f5) | 0;\n"
    "      let t = Math.imul(state ^ (state >>> 15), state | 1);\n"
    "      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);\n"
    "      return (t ^ (t >>> 14)) >>> 0;\n"
    "    };\n"
    "    put(Math, 'random', () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 2 ** 53);\n"
    "  }\n"
    "  if (now !== null) {\n"
    "    const Real = Date, { construct } = Reflect;\n"
    "    const Fixed = function Date(...args) {\n"
    "      if (new.target === undefined) return new Real(now).toString();\n"
    "      return construct(Real, args.length === 0 ? [now] : args, new.target);\n"
    "    };\n"
    "    for (const name of ['UTC', 'parse']) put(Fixed, name, Real[name]);\n"
    "    put(Fixed, 'now', () => now);\n"
    "    put(Fixed, 'length', 7);\n"
    "    Object.defineProperty(Fixed, 'prototype', { value: Real.prototype, writable: false });\n"
    "    put(Real.prototype, 'constructor', Fixed);\n"
    "    put(globalThis, 'Date', Fixed);\n"
    "    if (typeof performance === 'object') put(performance, 'now', () => 0);\n"
    "  }\n"
    "})(%S, %S)";

PyObject *
jsrt_fixed_source(PyObject *seed, PyObject *now)
{
    if (seed == Py_None && now == Py_None) {
        return NULL;
    }
    PyObject *seed_text = NULL, *now_text = NULL, *out = NULL;
    if (seed == Py_None) {
        seed_text = PyUnicode_FromString("null");
    } else if (PyLong_Check(seed)) {
        unsigned long bits = PyLong_AsUnsignedLongMask(seed);
        if (bits != (unsigned long)-1 || !PyErr_Occurred()) {
            seed_text = PyUnicode_FromFormat("%lu", bits & 0xfffffffful);
        }
    } else {
        PyErr_SetString(PyExc_TypeError, "seed must be an int");
    }
    if (now == Py_None) {
        now_text = PyUnicode_FromString("null");
    } else if (seed_text != NULL) {
        double seconds = PyFloat_AsDouble(now);
        if (seconds == -1 && PyErr_Occurred()) {
            goto done;
        }
        if (!(seconds >= -8.64e12 && seconds <= 8.64e12)) {
            PyErr_SetString(PyExc_ValueError, "now is in seconds since 1970, as time.time() gives");
            goto done;
        }
        now_text = PyUnicode_FromFormat("%lld", (long long)(seconds * 1000));
    }
    if (seed_text != NULL && now_text != NULL) {
        out = PyUnicode_FromFormat(source, seed_text, now_text);
    }
done:
    Py_XDECREF(seed_text);
    Py_XDECREF(now_text);
    return out;
}
