/* SPDX-License-Identifier: MIT
 *
 * to_js.c: one Python argument becomes one jsv8_value_t; containers go on to tree.c.
 *
 * Called by context.c and function.c before each entry to V8.
 */
#include "to_js.h"

#include <stdlib.h>

#include "engine.h"
#include "lend.h"
#include "object.h"
#include "tree.h"
#include "view.h"

jsrt_keep_t *
jsrt_keep_new(jsrt_args_t *args)
{
    jsrt_keep_t *keep = args->state->spare;
    if (keep != NULL) {
        args->state->spare = NULL;
        keep->buf.size = 0;
        keep->buf.failed = 0;
    } else {
        keep = calloc(1, sizeof(*keep));
        if (keep == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    keep->next = args->kept;
    args->kept = keep;
    return keep;
}

void
jsrt_keep_free(jsrt_keep_t *keep)
{
    if (keep != NULL) {
        jsrt_buf_dispose(&keep->buf);
        free(keep);
    }
}

void
jsrt_args_release_kept(jsrt_args_t *args)
{
    enum { SPARE_LARGEST = 1 << 20 };
    jsrt_keep_t *keep = args->kept;
    args->kept = NULL;
    while (keep != NULL) {
        jsrt_keep_t *next = keep->next;
        if (keep->callback.taken || keep->loan.taken) {
            keep->object = NULL;
            keep->callback.taken = keep->loan.taken = 0;
        }
        Py_CLEAR(keep->object);
        if (keep->extras != NULL) {
            PyMem_Free(keep->extras);
            keep->extras = NULL;
            keep->extra_count = 0;
        }
        if (args->state->spare == NULL && keep->buf.capacity <= SPARE_LARGEST) {
            keep->next = NULL;
            args->state->spare = keep;
        } else {
            jsrt_keep_free(keep);
        }
        keep = next;
    }
}

int
jsrt_args_widen(jsrt_args_t *args, size_t count)
{
    if (count > JSRT_ARGS_MAX) {
        PyErr_Format(args->state->ConversionError, "too many arguments: %zu, at most %d", count,
                     JSRT_ARGS_MAX);
        return -1;
    }
    args->values = PyMem_Malloc(count * sizeof(jsv8_value_t));
    if (args->values == NULL) {
        args->values = args->inline_values;
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int
jsrt_text_to_js(jsrt_args_t *args, PyObject *text, jsv8_value_t *out)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0) {
        return -1;
    }
#endif
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    out->u.text.data = PyUnicode_DATA(text);
    out->u.text.length = (size_t)length;
    if (PyUnicode_KIND(text) != PyUnicode_4BYTE_KIND) {
        /* V8's two-byte text is UCS-2 with surrogates where they belong: Python's, unchanged. */
        out->tag = PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND ? JSV8_LATIN1 : JSV8_UTF16;
        return 0;
    }
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL) {
        return -1;
    }
    uint16_t *units = (uint16_t *)jsrt_buf_room(&keep->buf, (size_t)length * 4);
    if (units == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    const Py_UCS4 *from = PyUnicode_4BYTE_DATA(text);
    size_t n = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 character = from[i];
        if (character >= 0x10000) {
            units[n++] = Py_UNICODE_HIGH_SURROGATE(character);
            units[n++] = Py_UNICODE_LOW_SURROGATE(character);
        } else {
            units[n++] = (uint16_t)character;
        }
    }
    out->tag = JSV8_UTF16;
    out->u.text.data = units;
    out->u.text.length = n;
    return 0;
}

/* A str that is an argument. A subclass's instance may be more than its text: not lent. */
static int
text_argument(jsrt_args_t *args, PyObject *text, jsv8_value_t *out)
{
    if (jsrt_text_to_js(args, text, out) < 0) {
        return -1;
    }
    if (out->u.text.length < JSRT_LEAST_LENT || out->u.text.data != PyUnicode_DATA(text)
        || !PyUnicode_CheckExact(text)) {
        return 0;
    }
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL) {
        return -1;
    }
    keep->object = Py_NewRef(text);
    keep->loan.object = text;
    out->tag = out->tag == JSV8_LATIN1 ? JSV8_LENT_LATIN1 : JSV8_LENT_UTF16;
    out->u.lent.loan = &keep->loan;
    return 0;
}

static int
big_int(jsrt_args_t *args, PyObject *object, jsv8_value_t *out)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (value == -1 && !overflow && PyErr_Occurred()) {
        return -1;
    }
    if (!overflow && value >= -JSRT_SAFE_INTEGER && value <= JSRT_SAFE_INTEGER) {
        out->tag = JSV8_INT;
        out->u.integer = value;
        return 0;
    }
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL) {
        return -1;
    }
    int negative;
    keep->object = jsrt_plain_magnitude(object, &negative);
    if (keep->object == NULL) {
        return -1;
    }
    Py_ssize_t length = PyBytes_GET_SIZE(keep->object);
    uint64_t *words = (uint64_t *)jsrt_buf_room(&keep->buf, (size_t)length);
    if (words == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(words, PyBytes_AS_STRING(keep->object), (size_t)length);
    out->tag = JSV8_BIGINT;
    out->u.bigint.words = words;
    out->u.bigint.count = (int)(length / 8);
    out->u.bigint.negative = negative;
    return 0;
}

static int
tree(jsrt_args_t *args, PyObject *object, jsv8_value_t *out, Py_ssize_t index)
{
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL || jsrt_tree_write(args, object, keep, &out->tag, index) < 0) {
        return -1;
    }
    if (keep->extra_count > 0) {
        out->tag = JSV8_WIRE_WITH;
        out->u.wire.extras = keep->extras;
        out->u.wire.count = keep->extra_count;
        out->u.wire.data = keep->buf.data;
        out->u.wire.length = keep->buf.size;
        return 0;
    }
    out->u.text.data = keep->buf.data;
    out->u.text.length = out->tag == JSV8_JSON_UTF16 ? keep->buf.size / 2 : keep->buf.size;
    return 0;
}

int
jsrt_callback_to_js(jsrt_args_t *args, PyObject *object, jsv8_host_kind_t kind, jsv8_value_t *out)
{
    if (jsrt_engine_expect_threads(args->state) < 0) {
        return -1;
    }
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL) {
        return -1;
    }
    keep->object = Py_NewRef(object);
    keep->callback = (jsv8_callback_t){.kind = kind, .name = "", .object = object};
    if (kind == JSV8_HOST_FUNCTION) {
        PyObject *name = PyObject_GetAttrString(object, "__name__");
        Py_ssize_t length = 0;
        const char *text =
            name && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &length) : NULL;
        char *copy = text ? (char *)jsrt_buf_room(&keep->buf, (size_t)length + 1) : NULL;
        if (copy != NULL) {
            memcpy(copy, text, (size_t)length + 1);
            keep->callback.name = copy;
        }
        Py_XDECREF(name);
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear(); /* a callable needs no name */
    }
    out->tag = JSV8_CALLBACK;
    out->u.callback = &keep->callback;
    return 0;
}

/* An asynchronous iterator, or what makes one. Returns as jsrt_live_to_js does. */
static int
async_iterator(jsrt_args_t *args, PyObject *object, jsv8_value_t *out)
{
    PyAsyncMethods *async = Py_TYPE(object)->tp_as_async;
    if (async == NULL || (async->am_anext == NULL && async->am_aiter == NULL)) {
        return 0;
    }
    PyObject *iterator = async->am_aiter != NULL ? async->am_aiter(object) : Py_NewRef(object);
    if (iterator == NULL) {
        return -1;
    }
    async = Py_TYPE(iterator)->tp_as_async;
    int code = -1;
    if (async == NULL || async->am_anext == NULL) {
        PyErr_Format(PyExc_TypeError, "__aiter__ of a %.200s gave something without __anext__",
                     Py_TYPE(object)->tp_name);
    } else if (jsrt_callback_to_js(args, iterator, JSV8_HOST_ASYNC_ITERATOR, out) == 0) {
        code = 1;
    }
    Py_DECREF(iterator);
    return code;
}

int
jsrt_live_to_js(jsrt_args_t *args, PyObject *object, jsv8_value_t *out)
{
    if (jsrt_object_check(args->state, object)) {
        HandleObject *handle = (HandleObject *)object;
        if (handle->ref == NULL || handle->boot != handle->engine->boot) {
            PyErr_SetString(args->state->ConversionError,
                            "a handle whose object is gone, or in another engine");
            return -1;
        }
        out->tag = JSV8_REF;
        out->u.ref = handle->ref;
        return 1;
    }
    if (Py_TYPE(object) == args->state->ViewType) {
        ViewObject *view = (ViewObject *)object;
        return jsrt_callback_to_js(args, view->object, view->kind, out) < 0 ? -1 : 1;
    }
    if (args->data_only) {
        return 0;
    }
    if (PyCallable_Check(object)) {
        return jsrt_callback_to_js(args, object, JSV8_HOST_FUNCTION, out) < 0 ? -1 : 1;
    }
    if (PyIter_Check(object)) {
        return jsrt_callback_to_js(args, object, JSV8_HOST_ITERATOR, out) < 0 ? -1 : 1;
    }
    return async_iterator(args, object, out);
}

Py_ssize_t
jsrt_extra_add(jsrt_keep_t *keep, const jsv8_value_t *value)
{
    size_t count = keep->extra_count;
    if ((count & (count - 1)) == 0) { /* full at each power of two */
        size_t capacity = count == 0 ? 1 : count * 2;
        jsv8_value_t *grown = PyMem_Realloc(keep->extras, capacity * sizeof(*grown));
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        keep->extras = grown;
    }
    keep->extras[keep->extra_count++] = *value;
    return (Py_ssize_t)count;
}

/* A type of plain.c: converts what it stands for. */
static int
stand_in(jsrt_args_t *args, PyObject *object, jsv8_value_t *out, Py_ssize_t index)
{
    int kind = jsrt_object_check(args->state, object) ? JSRT_KIND_UNKNOWN
                                                      : jsrt_plain_kind(args->state, object);
    if (kind < 0) {
        return -1;
    }
    if (kind == JSRT_KIND_UNKNOWN) {
        int live = jsrt_live_to_js(args, object, out);
        if (live == 0 && PyObject_CheckBuffer(object)) {
            live = jsrt_lend_to_js(args, object, out);
        }
        if (live != 0) {
            return live < 0 ? -1 : 0;
        }
    }
    if (kind == JSRT_KIND_DATETIME || kind == JSRT_KIND_DATE) {
        out->tag = JSV8_DATE;
        return jsrt_plain_date(args->state, object, (jsrt_kind_t)kind, &out->u.number);
    }
    if (kind != JSRT_KIND_TEXT && kind != JSRT_KIND_ENUM) {
        return tree(args, object, out, index);
    }
    PyObject *plain = jsrt_plain_value(args->state, object, (jsrt_kind_t)kind);
    jsrt_keep_t *keep = plain ? jsrt_keep_new(args) : NULL;
    if (keep == NULL) {
        Py_XDECREF(plain);
        return -1;
    }
    keep->object = plain;
    if (Py_EnterRecursiveCall(" while converting an Enum to JavaScript")) {
        return -1;
    }
    int code = jsrt_to_js(args, plain, out, index);
    Py_LeaveRecursiveCall();
    return code;
}

int
jsrt_to_js_any(jsrt_args_t *args, PyObject *object, jsv8_value_t *out, Py_ssize_t index)
{
    if (object == Py_None) {
        out->tag = JSV8_NULL;
        return 0;
    }
    if (object == Py_True || object == Py_False) {
        out->tag = JSV8_BOOL;
        out->u.boolean = object == Py_True;
        return 0;
    }
    if (PyDict_Check(object) || PyList_Check(object) || PyTuple_Check(object)
        || PyAnySet_Check(object)) {
        return tree(args, object, out, index);
    }
    if (PyUnicode_Check(object)) {
        return text_argument(args, object, out);
    }
    if (PyLong_Check(object)) {
        return big_int(args, object, out);
    }
    if (PyFloat_Check(object)) {
        out->tag = JSV8_NUMBER;
        out->u.number = PyFloat_AS_DOUBLE(object);
        return 0;
    }
    if (PyBytes_Check(object)) {
        out->tag = JSV8_BYTES;
        out->u.text.data = PyBytes_AS_STRING(object);
        out->u.text.length = (size_t)PyBytes_GET_SIZE(object);
        return 0;
    }
    if (PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        return jsrt_lend_to_js(args, object, out) < 0 ? -1 : 0;
    }
    return stand_in(args, object, out, index);
}
