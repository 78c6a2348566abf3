/* SPDX-License-Identifier: MIT
 *
 * to_js.h: Python values become jsv8_value_t.
 *
 * None, bool, int, float, str and bytes become a tag and a pointer into the Python object. Trees of
 * dict, list and tuple become JSON text where JSON can carry all of the tree, V8's wire format
 * where it cannot. What a value points to is alive until jsrt_args_release. A long str V8 may read
 * where Python has it: the isolate owns a reference until V8 has collected its string. A writable
 * buffer is shared with JavaScript (lend.h).
 *
 * Invariants
 *   1. Converting may run Python (fields of dataclasses, values of enums): never inside an entry
 *      to V8, and never on data another conversion owns.
 *   2. The caller holds a reference to each object converted until the release.
 */
#ifndef JSRT_TO_JS_H
#define JSRT_TO_JS_H

#include "buf.h"
#include "state.h"

enum {
    JSRT_DEPTH_MAX = 1000,
    JSRT_ARGS_INLINE = 6,
    JSRT_ARGS_MAX = 65535,
    JSRT_LEAST_LENT = 128 * 1024 /* characters: V8 maps memory for strings from about here on */
};

#define JSRT_SAFE_INTEGER ((int64_t)1 << 53)

/* Something that converted arguments point to. */
typedef struct jsrt_keep {
    struct jsrt_keep *next;   /* owned */
    jsrt_buf_t buf;           /* owned */
    PyObject *object;         /* owned or NULL */
    jsv8_callback_t callback; /* of object, which is V8's where it was taken */
    jsv8_loan_t loan;         /* the same */
    jsv8_value_t *extras;     /* owned: what JSV8_WIRE_WITH points to */
    size_t extra_count;
} jsrt_keep_t;

/* The arguments of one call. */
typedef struct {
    jsrt_state_t *state;  /* borrowed */
    jsrt_keep_t *kept;    /* owned list */
    jsv8_value_t *values; /* inline_values, or owned from malloc */
    size_t count;
    int data_only; /* nothing that can be called, or runs when it is iterated over */
    int share;     /* writable buffers are shared, not copied */
    jsv8_value_t inline_values[JSRT_ARGS_INLINE];
} jsrt_args_t;

/* Converts what the inline path below does not know. index: position for messages, -1: no
 * argument. Returns 0, or -1 with an exception. May run Python. */
int jsrt_to_js_any(jsrt_args_t *args, PyObject *object, jsv8_value_t *out, Py_ssize_t index);
/* What lives on one side only: a handle becomes its object, a callable a function, an iterator an
 * iterator, a jsrt.proxy a view. Returns 1, 0 where object is none of these, or -1 with an
 * exception. */
int jsrt_live_to_js(jsrt_args_t *args, PyObject *object, jsv8_value_t *out);
/* The object as what kind says, which calls it. Returns 0, or -1 with an exception. */
int jsrt_callback_to_js(jsrt_args_t *args, PyObject *object, jsv8_host_kind_t kind,
                        jsv8_value_t *out);
/* Adds what a tree's wire format cannot say to keep's extras. Returns its index, or -1 with an
 * exception. */
Py_ssize_t jsrt_extra_add(jsrt_keep_t *keep, const jsv8_value_t *value);
/* A str as JSV8_LATIN1 or JSV8_UTF16. Returns 0, or -1 with an exception. */
int jsrt_text_to_js(jsrt_args_t *args, PyObject *text, jsv8_value_t *out);
/* More than JSRT_ARGS_INLINE arguments. Returns 0, or -1 with an exception. */
int jsrt_args_widen(jsrt_args_t *args, size_t count);
/* A new holder at the head of the list, with the spare one's buffer where that is free; NULL with an
 * exception. */
jsrt_keep_t *jsrt_keep_new(jsrt_args_t *args);
void jsrt_args_release_kept(jsrt_args_t *args);
void jsrt_keep_free(jsrt_keep_t *keep);

static inline int
jsrt_small_int(PyObject *object, int64_t *out)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)object)) {
        *out = PyUnstable_Long_CompactValue((PyLongObject *)object);
        return 1;
    }
#else
    Py_ssize_t size = Py_SIZE(object);
    if (size >= -1 && size <= 1) {
        *out = size * (int64_t)((PyLongObject *)object)->ob_digit[0];
        return 1;
    }
#endif
    return 0;
}

static inline int
jsrt_to_js(jsrt_args_t *args, PyObject *object, jsv8_value_t *out, Py_ssize_t index)
{
    if (PyLong_CheckExact(object) && jsrt_small_int(object, &out->u.integer)) {
        out->tag = JSV8_INT;
        return 0;
    }
    if (PyUnicode_CheckExact(object) && PyUnicode_KIND(object) == PyUnicode_1BYTE_KIND
        && PyUnicode_GET_LENGTH(object) < JSRT_LEAST_LENT) {
        out->tag = JSV8_LATIN1;
        out->u.text.data = PyUnicode_DATA(object);
        out->u.text.length = (size_t)PyUnicode_GET_LENGTH(object);
        return 0;
    }
    if (PyFloat_CheckExact(object)) {
        out->tag = JSV8_NUMBER;
        out->u.number = PyFloat_AS_DOUBLE(object);
        return 0;
    }
    return jsrt_to_js_any(args, object, out, index);
}

static inline void
jsrt_args_init(jsrt_args_t *args, jsrt_state_t *state)
{
    args->state = state;
    args->kept = NULL;
    args->values = args->inline_values;
    args->count = 0;
    args->data_only = args->share = 0;
}

/* Converts count objects. Returns 0, or -1 with an exception; release in both cases. */
static inline int
jsrt_args_convert(jsrt_args_t *args, PyObject *const *objects, size_t count)
{
    if (count > JSRT_ARGS_INLINE && jsrt_args_widen(args, count) < 0) {
        return -1;
    }
    args->count = count;
    for (size_t i = 0; i < count; i++) {
        if (jsrt_to_js(args, objects[i], &args->values[i], (Py_ssize_t)i) < 0) {
            return -1;
        }
    }
    return 0;
}

static inline void
jsrt_args_release(jsrt_args_t *args)
{
    if (args->kept != NULL) {
        jsrt_args_release_kept(args);
    }
    if (args->values != args->inline_values) {
        PyMem_Free(args->values);
    }
}

#endif
