/* SPDX-License-Identifier: MIT
 *
 * to_py.c: builds Python values from jsv8_value_t; containers come in V8's wire format.
 *
 * Called by context.c, function.c, promise.c and error.c after an entry to V8. What JavaScript
 * has and Python has not: undefined and holes become None, an invalid Date None, a RegExp its
 * source, a boxed primitive its value, an Error a dict of name, message, stack and cause; named
 * properties of arrays are left out.
 *
 * Invariants
 *   1. A loop with a stack of its own: depth costs heap, and is bounded by JSRT_DEPTH_MAX.
 *   2. An object that occurs twice becomes one Python object that occurs twice; one that contains
 *      itself is a ConversionError with the path.
 */
#include "to_py.h"

#include <math.h>

#include "dates.h"
#include "to_js.h"
#include "tree.h"
#include "wire.h"

/* ---- Scalars -------------------------------------------------------------------------------- */

PyObject *
jsrt_utf8_to_py(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* All units of a two-byte text, or'ed: tells that it fits into one byte a character. */
static unsigned
all_units(const uint8_t *data, size_t units)
{
    uint64_t word, all = 0;
    uint16_t unit;
    size_t i = 0;
    for (; i + 4 <= units; i += 4) {
        memcpy(&word, data + i * 2, 8);
        all |= word;
    }
    for (; i < units; i++) {
        memcpy(&unit, data + i * 2, 2);
        all |= unit;
    }
    all |= all >> 32;
    return (unsigned)((all | all >> 16) & 0xFFFF);
}

static void
narrow_units(const uint8_t *data, size_t units, uint8_t *to)
{
    for (size_t i = 0; i < units; i++) {
        to[i] = data[PY_LITTLE_ENDIAN ? i * 2 : i * 2 + 1];
    }
}

/* V8's JSON parser makes two-byte texts of keys and short values, whatever is in them. */
static PyObject *
narrow_to_py(const uint8_t *data, size_t units, unsigned all)
{
    enum { SHORT = 64 };
    uint8_t narrow[SHORT];
    if (units <= SHORT) {
        narrow_units(data, units, narrow);
        return PyUnicode_DecodeLatin1((const char *)narrow, (Py_ssize_t)units, NULL);
    }
    PyObject *text = PyUnicode_New((Py_ssize_t)units, all < 0x80 ? 0x7F : 0xFF);
    if (text != NULL) {
        narrow_units(data, units, PyUnicode_1BYTE_DATA(text));
    }
    return text;
}

static PyObject *
utf16_to_py(const uint8_t *data, size_t bytes)
{
    size_t units = bytes / 2;
    int surrogates = 0;
    unsigned all = all_units(data, units);
    if (all < 0x100) {
        return narrow_to_py(data, units, all);
    }
    for (size_t i = 0; i < units; i++) {
        uint16_t unit;
        memcpy(&unit, data + i * 2, 2);
        surrogates |= (unit & 0xF800) == 0xD800;
    }
    if (!surrogates && ((uintptr_t)data & 1) == 0) {
        return PyUnicode_FromKindAndData(PyUnicode_2BYTE_KIND, data, (Py_ssize_t)units);
    }
    int order = PY_LITTLE_ENDIAN ? -1 : 1;
    return PyUnicode_DecodeUTF16((const char *)data, (Py_ssize_t)bytes, "surrogatepass", &order);
}

static PyObject *
text_to_py(const jsrt_wire_token_t *token)
{
    switch (token->encoding) {
    case JSRT_TEXT_LATIN1:
        return PyUnicode_DecodeLatin1((const char *)token->data, (Py_ssize_t)token->length, NULL);
    case JSRT_TEXT_UTF16:
        return utf16_to_py(token->data, token->length);
    default:
        return PyUnicode_DecodeUTF8((const char *)token->data, (Py_ssize_t)token->length,
                                    "surrogatepass");
    }
}

/* Object keys repeat: the recent ones are kept, with their hashes computed. Borrowed data. */
static PyObject *
key_to_py(jsrt_state_t *state, const jsrt_wire_token_t *token)
{
    jsrt_wire_token_t narrow;
    uint8_t bytes[JSRT_KEY_LONGEST];
    if (token->encoding == JSRT_TEXT_UTF16 && token->length <= 2 * JSRT_KEY_LONGEST
        && all_units(token->data, token->length / 2) < 0x100) {
        narrow_units(token->data, token->length / 2, bytes);
        narrow.encoding = JSRT_TEXT_LATIN1;
        narrow.data = bytes;
        narrow.length = token->length / 2;
        token = &narrow;
    }
    if (token->encoding != JSRT_TEXT_LATIN1 || token->length > JSRT_KEY_LONGEST) {
        return text_to_py(token);
    }
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < token->length; i++) {
        hash = (hash ^ token->data[i]) * 16777619u;
    }
    PyObject **slot = &state->keys[(hash ^ (hash >> 15)) & (JSRT_KEY_CACHE - 1)];
    PyObject *known = *slot;
    if (known != NULL && (size_t)PyUnicode_GET_LENGTH(known) == token->length
        && memcmp(PyUnicode_DATA(known), token->data, token->length) == 0) {
        return Py_NewRef(known);
    }
    PyObject *key = text_to_py(token);
    if (key != NULL) {
        Py_XSETREF(*slot, Py_NewRef(key));
    }
    return key;
}

static PyObject *
bigint_to_py(const uint8_t *magnitude, size_t length, int negative)
{
    PyObject *out;
    if (length <= 8) {
        uint64_t word = 0;
        memcpy(&word, magnitude, length);
        out = PyLong_FromUnsignedLongLong(word);
    } else {
        out = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "y#s",
                                  (const char *)magnitude, (Py_ssize_t)length, "little");
    }
    if (out != NULL && negative) {
        Py_SETREF(out, PyNumber_Negative(out));
    }
    return out;
}

static PyObject *
date_to_py(jsrt_state_t *state, double milliseconds)
{
    PyDateTime_CAPI *api = state->datetime;
    if (isnan(milliseconds)) {
        Py_RETURN_NONE;
    }
    /* 0001-01-01 to the end of 9999. */
    if (milliseconds < -62135596800000.0 || milliseconds >= 253402300800000.0) {
        PyErr_SetString(state->ConversionError,
                        "a Date outside the years 1 to 9999 cannot become a datetime");
        return NULL;
    }
    int64_t total = (int64_t)floor(milliseconds);
    int64_t days = total / 86400000 - (total % 86400000 < 0);
    int64_t in_day = total - days * 86400000;
    days += 719468; /* from 0000-03-01, the year beginning in March */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    int day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    int month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    year += era * 400 + (month <= 2);
    return api->DateTime_FromDateAndTime((int)year, month, day, (int)(in_day / 3600000),
                                         (int)(in_day / 60000 % 60), (int)(in_day / 1000 % 60),
                                         (int)(in_day % 1000) * 1000, api->TimeZone_UTC,
                                         api->DateTimeType);
}

/* ---- The builder ------------------------------------------------------------------------------ */

typedef enum { BUILD_LIST, BUILD_SPARSE, BUILD_DICT, BUILD_MAP, BUILD_SET, BUILD_ERROR } build_t;

typedef struct {
    PyObject *container; /* owned */
    PyObject *key;       /* owned: the key whose value is due, or NULL */
    size_t at;           /* index of the next element */
    size_t length;       /* of an array */
    uint32_t number;     /* the container's object number */
    build_t kind;
} frame_t;

enum { FRAMES_INLINE = 12, SEEN_INLINE = 32 };

typedef struct {
    jsrt_state_t *state; /* borrowed */
    jsrt_wire_reader_t reader;
    frame_t *frames; /* frames_inline, or owned */
    size_t depth, capacity;
    PyObject **seen; /* owned references by object number, NULL: still open; or owned array */
    size_t seen_count, seen_capacity;
    frame_t frames_inline[FRAMES_INLINE];
    PyObject *seen_inline[SEEN_INLINE];
} builder_t;

static int
fail(builder_t *builder, const char *what)
{
    PyObject *path = PyUnicode_FromString("$");
    for (size_t i = 0; i < builder->depth && path != NULL; i++) {
        frame_t *frame = &builder->frames[i];
        if (frame->kind == BUILD_LIST || frame->kind == BUILD_SET) {
            path = jsrt_path_index(path, (Py_ssize_t)frame->at);
        } else if (frame->key != NULL) {
            path = jsrt_path_key(path, frame->key);
        }
    }
    if (path != NULL) {
        PyErr_Format(builder->state->ConversionError, "%U: %s", path, what);
        Py_DECREF(path);
    }
    return -1;
}

static int
fail_code(builder_t *builder, int code)
{
    if (code == JSRT_WIRE_NO_MEMORY) {
        PyErr_NoMemory();
        return -1;
    }
    return fail(builder, code == JSRT_WIRE_UNKNOWN
                             ? "a value of this kind has no plain-data form in Python"
                             : "the data that came out of V8 is damaged");
}

/* Grows an array that starts inline. Returns the new place or NULL. */
static void *
grow(void *inline_items, void *items, size_t count, size_t *capacity, size_t size)
{
    size_t larger = *capacity * 4;
    void *grown = PyMem_Malloc(larger * size);
    if (grown == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(grown, items, count * size);
    if (items != inline_items) {
        PyMem_Free(items);
    }
    *capacity = larger;
    return grown;
}

/* Gives the next object number to value (borrowed; NULL while it is being built). */
static int
remember(builder_t *builder, PyObject *value)
{
    if (builder->seen_count == builder->seen_capacity) {
        void *grown = grow(builder->seen_inline, builder->seen, builder->seen_count,
                           &builder->seen_capacity, sizeof(PyObject *));
        if (grown == NULL) {
            return -1;
        }
        builder->seen = grown;
    }
    builder->seen[builder->seen_count++] = Py_XNewRef(value);
    return 0;
}

/* Begins a container. Steals container, which may be NULL with an exception set. */
static int
push(builder_t *builder, PyObject *container, build_t kind, size_t length)
{
    if (container == NULL) {
        return -1;
    }
    if (builder->depth >= JSRT_DEPTH_MAX) {
        Py_DECREF(container);
        builder->depth = 8; /* the path's beginning says enough; the rest is freed below */
        return -2;
    }
    if (builder->depth == builder->capacity) {
        void *grown = grow(builder->frames_inline, builder->frames, builder->depth,
                           &builder->capacity, sizeof(frame_t));
        if (grown == NULL) {
            Py_DECREF(container);
            return -1;
        }
        builder->frames = grown;
    }
    builder->frames[builder->depth++] = (frame_t){
        .container = container,
        .length = length,
        .number = (uint32_t)builder->seen_count,
        .kind = kind,
    };
    return remember(builder, NULL);
}

/* Puts a finished value where it belongs. Steals value. */
static int
attach(builder_t *builder, PyObject *value)
{
    frame_t *frame = &builder->frames[builder->depth - 1];
    int code = 0;
    switch (frame->kind) {
    case BUILD_LIST:
        if (frame->at < frame->length) {
            PyList_SET_ITEM(frame->container, (Py_ssize_t)frame->at, value);
            frame->at++;
            return 0;
        }
        /* A named property of an array: key, then value; neither is kept. */
        if (frame->key == NULL) {
            frame->key = value;
        } else {
            Py_CLEAR(frame->key);
            Py_DECREF(value);
        }
        return 0;
    case BUILD_SPARSE: {
        if (frame->key == NULL) {
            frame->key = value;
            return 0;
        }
        size_t index = PyLong_Check(frame->key) ? PyLong_AsSize_t(frame->key) : SIZE_MAX;
        if (index < frame->length) {
            Py_INCREF(value);
            code = PyList_SetItem(frame->container, (Py_ssize_t)index, value);
        } else {
            PyErr_Clear();
        }
        Py_CLEAR(frame->key);
        break;
    }
    case BUILD_SET:
        frame->at++;
        code = PySet_Add(frame->container, value);
        if (code < 0 && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            frame->at--;
            code = fail(builder, "a Set with objects in it cannot become a set");
        }
        break;
    case BUILD_MAP:
        if (frame->key == NULL) {
            frame->key = value;
            return 0;
        }
        code = PyDict_SetItem(frame->container, frame->key, value);
        if (code < 0 && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            Py_CLEAR(frame->key);
            code = fail(builder, "a Map with objects as keys cannot become a dict");
        }
        Py_CLEAR(frame->key);
        break;
    default:
        if (frame->key == NULL) {
            code = fail_code(builder, JSRT_WIRE_BAD);
            break;
        }
        code = PyDict_SetItem(frame->container, frame->key, value);
        Py_CLEAR(frame->key);
        break;
    }
    Py_DECREF(value);
    return code;
}

/* Takes the finished container off the stack. Returns: new. */
static PyObject *
pop(builder_t *builder)
{
    frame_t *frame = &builder->frames[--builder->depth];
    PyObject *container = frame->container;
    Py_XDECREF(frame->key);
    builder->seen[frame->number] = Py_NewRef(container);
    return container;
}

static PyObject *
new_list(builder_t *builder, const jsrt_wire_token_t *token)
{
    PyObject *list = NULL;
    if (token->kind == JSRT_WIRE_SPARSE && token->length > 50000000) {
        PyErr_Format(builder->state->ConversionError,
                     "a sparse array of length %zu is too long for a list", token->length);
    } else {
        list = PyList_New((Py_ssize_t)token->length);
    }
    if (list != NULL && token->kind == JSRT_WIRE_SPARSE) {
        for (size_t i = 0; i < token->length; i++) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef(Py_None));
        }
    }
    return list;
}

/* A name, message, stack or cause of an Error object. Returns as step does. */
static int
error_part(builder_t *builder, frame_t *frame, PyObject **value)
{
    static const char *const names[] = {"name", "message", "stack", "cause"};
    jsrt_wire_token_t token;
    int part = jsrt_wire_error_part(&builder->reader, &token);
    if (part < 0) {
        return fail_code(builder, part);
    }
    if (part == JSRT_WIRE_ERROR_END) {
        *value = pop(builder);
        return 0;
    }
    frame->key = PyUnicode_InternFromString(names[part]);
    if (frame->key == NULL) {
        return -1;
    }
    if (part != JSRT_WIRE_ERROR_CAUSE) {
        PyObject *text = text_to_py(&token);
        return text == NULL ? -1 : attach(builder, text);
    }
    return 0;
}

static PyObject *
new_error(void)
{
    return Py_BuildValue("{s:s,s:s,s:s}", "name", "Error", "message", "", "stack", "");
}

/* One token. *value: a finished value (owned) that is due to be attached, or NULL. */
static int
step(builder_t *builder, PyObject **value)
{
    frame_t *frame = builder->depth > 0 ? &builder->frames[builder->depth - 1] : NULL;
    if (frame != NULL && frame->kind == BUILD_ERROR && frame->key == NULL) {
        return error_part(builder, frame, value);
    }
    jsrt_wire_token_t token;
    int code = jsrt_wire_next(&builder->reader, &token);
    if (code < 0) {
        return fail_code(builder, code);
    }
    int key_due = frame != NULL && frame->kind == BUILD_DICT && frame->key == NULL;
    switch (token.kind) {
    case JSRT_WIRE_TEXT:
        if (key_due) {
            frame->key = key_to_py(builder->state, &token);
            return frame->key == NULL ? -1 : 0;
        }
        *value = text_to_py(&token);
        break;
    case JSRT_WIRE_INT:
        if (key_due) {
            frame->key = PyUnicode_FromFormat("%lld", (long long)token.integer);
            return frame->key == NULL ? -1 : 0;
        }
        *value = PyLong_FromLongLong(token.integer);
        break;
    case JSRT_WIRE_NUMBER:
        *value = jsrt_number_to_py(token.number);
        if (key_due && *value != NULL) {
            frame->key = PyObject_Str(*value);
            Py_CLEAR(*value);
            return frame->key == NULL ? -1 : 0;
        }
        break;
    case JSRT_WIRE_END:
        if (frame == NULL || (frame->kind == BUILD_LIST && frame->at < frame->length)) {
            return fail_code(builder, JSRT_WIRE_BAD);
        }
        *value = pop(builder);
        return 0;
    case JSRT_WIRE_UNDEFINED:
    case JSRT_WIRE_HOLE:
    case JSRT_WIRE_NULL:
        *value = Py_NewRef(Py_None);
        break;
    case JSRT_WIRE_TRUE:
        *value = Py_NewRef(Py_True);
        break;
    case JSRT_WIRE_FALSE:
        *value = Py_NewRef(Py_False);
        break;
    case JSRT_WIRE_BIGINT:
        *value = bigint_to_py(token.data, token.length, token.negative);
        break;
    case JSRT_WIRE_REGEXP:
        *value = text_to_py(&token);
        break;
    case JSRT_WIRE_DATE:
        *value = date_to_py(builder->state, token.number);
        if (*value == NULL && PyErr_ExceptionMatches(builder->state->ConversionError)) {
            PyErr_Clear();
            return fail(builder, "a Date outside the years 1 to 9999 cannot become a datetime");
        }
        break;
    case JSRT_WIRE_BYTES:
        *value = PyBytes_FromStringAndSize((const char *)token.data, (Py_ssize_t)token.length);
        break;
    case JSRT_WIRE_REFERENCE:
        if (token.length >= builder->seen_count) {
            return fail_code(builder, JSRT_WIRE_BAD);
        }
        *value = Py_XNewRef(builder->seen[token.length]);
        if (*value == NULL) {
            return fail(builder, "a cycle: the object contains itself");
        }
        return 0;
    case JSRT_WIRE_OBJECT:
        return push(builder, PyDict_New(), BUILD_DICT, 0);
    case JSRT_WIRE_ARRAY:
        return push(builder, new_list(builder, &token), BUILD_LIST, token.length);
    case JSRT_WIRE_SPARSE:
        return push(builder, new_list(builder, &token), BUILD_SPARSE, token.length);
    case JSRT_WIRE_MAP:
        return push(builder, PyDict_New(), BUILD_MAP, 0);
    case JSRT_WIRE_SET:
        return push(builder, PySet_New(NULL), BUILD_SET, 0);
    case JSRT_WIRE_ERROR:
        return push(builder, new_error(), BUILD_ERROR, 0);
    }
    if (*value == NULL) {
        return -1;
    }
    for (int i = 0; i < token.numbers; i++) {
        if (remember(builder, *value) < 0) {
            Py_CLEAR(*value);
            return -1;
        }
    }
    return 0;
}

static PyObject *
build(jsrt_state_t *state, const void *data, size_t length)
{
    builder_t builder;
    builder.state = state;
    builder.frames = builder.frames_inline;
    builder.depth = 0;
    builder.capacity = FRAMES_INLINE;
    builder.seen = builder.seen_inline;
    builder.seen_count = 0;
    builder.seen_capacity = SEEN_INLINE;

    PyObject *result = NULL;
    size_t top = 0; /* how many frames hold references */
    int code = jsrt_wire_reader_init(&builder.reader, data, length);
    if (code < 0) {
        fail_code(&builder, code);
    }
    while (code == 0) {
        PyObject *value = NULL;
        code = step(&builder, &value);
        if (code == -2) {
            top = JSRT_DEPTH_MAX;
            fail(&builder, "nested more than 1000 deep");
        }
        if (code < 0 || value == NULL) {
            continue;
        }
        if (builder.depth == 0) {
            result = value;
            break;
        }
        code = attach(&builder, value);
    }
    if (builder.depth > top) {
        top = builder.depth;
    }
    while (top > 0) {
        top--;
        Py_XDECREF(builder.frames[top].key);
        Py_DECREF(builder.frames[top].container);
    }
    for (size_t i = 0; i < builder.seen_count; i++) {
        Py_XDECREF(builder.seen[i]);
    }
    if (builder.frames != builder.frames_inline) {
        PyMem_Free(builder.frames);
    }
    if (builder.seen != builder.seen_inline) {
        PyMem_Free(builder.seen);
    }
    jsrt_wire_reader_dispose(&builder.reader);
    return result;
}

PyObject *
jsrt_to_py_any(jsrt_state_t *state, const jsv8_value_t *value)
{
    switch (value->tag) {
    case JSV8_UNDEFINED:
    case JSV8_NULL:
        Py_RETURN_NONE;
    case JSV8_BOOL:
        return PyBool_FromLong(value->u.boolean);
    case JSV8_INT:
    case JSV8_NUMBER:
    case JSV8_LATIN1:
        return jsrt_to_py(state, value);
    case JSV8_UTF16:
        return utf16_to_py(value->u.text.data, value->u.text.length * 2);
    case JSV8_BYTES:
        return PyBytes_FromStringAndSize(value->u.text.data, (Py_ssize_t)value->u.text.length);
    case JSV8_BIGINT:
        return bigint_to_py((const uint8_t *)value->u.bigint.words,
                            (size_t)value->u.bigint.count * 8, value->u.bigint.negative);
    case JSV8_DATE:
        return date_to_py(state, value->u.number);
    case JSV8_WIRE: {
        /* No finalizer may run half-way and enter V8, which would reuse the buffer. */
        int collecting = PyGC_Disable();
        PyObject *out = build(state, value->u.text.data, value->u.text.length);
        if (collecting) {
            PyGC_Enable();
        }
        return out;
    }
    default:
        PyErr_SetString(state->ConversionError, "the value has no plain-data form in Python");
        return NULL;
    }
}
