/* SPDX-License-Identifier: MIT
 *
 * tree.c: walks a tree of Python containers and writes it as JSON text or in V8's wire format.
 *
 * Called by to_js.c. JSON comes first, since V8 parses it faster than it reads its own format; a
 * tree with something in it that JSON has no form for (bytes, dates, sets, NaN, integers beyond
 * 2^53, keys that are no str) is begun again in the wire format. JSON text starts one byte a
 * character and is widened in place at the first character beyond Latin-1.
 *
 * Invariants
 *   1. The walk is a loop with a stack of its own: depth costs heap, never C stack.
 *   2. Each container on the stack is owned, so Python that runs half-way cannot free it; one
 *      that changes its size meanwhile is an error.
 */
#include "tree.h"

#include <math.h>
#include <stdlib.h>

#include "lend.h"
#include "object.h"

typedef enum { FRAME_LIST, FRAME_TUPLE, FRAME_DICT, FRAME_MAP, FRAME_SET } frame_kind_t;

typedef struct {
    PyObject *container; /* owned; of a set: a list of its members */
    PyObject *key;       /* owned: the key whose value is being written (dicts), or NULL */
    Py_ssize_t at;       /* index of the next item, or PyDict_Next's position */
    Py_ssize_t size;     /* of the container when it was begun */
    Py_ssize_t written;
    frame_kind_t kind;
} frame_t;

enum { FRAMES_INLINE = 12 };

typedef struct {
    jsrt_args_t *args;   /* borrowed */
    jsrt_keep_t *keep;   /* borrowed: for extras */
    jsrt_state_t *state; /* borrowed */
    jsrt_buf_t *buf;     /* borrowed: keep's */
    int wire;            /* 1: wire format, 0: JSON text */
    int wide;            /* JSON text: 0 Latin-1, 1 UTF-16 */
    Py_ssize_t index;    /* of the argument, for messages */
    frame_t *frames;     /* frames_inline, or owned from PyMem_Malloc */
    size_t depth, capacity;
    frame_t frames_inline[FRAMES_INLINE];
} walk_t;

enum { NEEDS_WIRE = 1 }; /* beside 0 and -1 */

/* ---- Errors ---------------------------------------------------------------------------------- */

static PyObject *
path_of(walk_t *walk, size_t depth)
{
    PyObject *path = PyUnicode_FromString("$");
    for (size_t i = 0; i < depth && path != NULL; i++) {
        frame_t *frame = &walk->frames[i];
        if (frame->kind == FRAME_DICT || frame->kind == FRAME_MAP) {
            if (frame->key != NULL) {
                path = jsrt_path_key(path, frame->key);
            }
        } else {
            path = jsrt_path_index(path, frame->at - 1);
        }
    }
    return path;
}

static int
fail_at(walk_t *walk, size_t depth, const char *what, const char *type)
{
    PyObject *path = path_of(walk, depth);
    if (path == NULL) {
        return -1;
    }
    PyObject *detail = PyUnicode_FromFormat(what, type);
    if (detail != NULL && walk->index >= 0) {
        PyErr_Format(walk->state->ConversionError, "argument %zd: %U: %U", walk->index + 1, path,
                     detail);
    } else if (detail != NULL) {
        PyErr_Format(walk->state->ConversionError, "%U: %U", path, detail);
    }
    Py_XDECREF(detail);
    Py_DECREF(path);
    return -1;
}

/* The stack is full: says whether an object contains itself, and where it does so first. */
static int
fail_too_deep(walk_t *walk)
{
    for (size_t i = 1; i < walk->depth; i++) {
        for (size_t j = 0; j < i; j++) {
            if (walk->frames[i].container == walk->frames[j].container
                && walk->frames[i].kind != FRAME_SET) {
                return fail_at(walk, i, "a cycle: the %s contains itself",
                               Py_TYPE(walk->frames[i].container)->tp_name);
            }
        }
    }
    return fail_at(walk, 8, "nested more than 1000 deep%s", "");
}

/* ---- JSON text -------------------------------------------------------------------------------- */

static int
widen(walk_t *walk)
{
    jsrt_buf_t *buf = walk->buf;
    size_t size = buf->size;
    if (jsrt_buf_room(buf, size + 64) == NULL) {
        return -1;
    }
    uint16_t *units = (uint16_t *)buf->data;
    for (size_t i = size; i-- > 0;) {
        units[i] = buf->data[i];
    }
    buf->size = size * 2;
    walk->wide = 1;
    return 0;
}

static void
put_ascii(walk_t *walk, const char *text, size_t length)
{
    if (!walk->wide) {
        jsrt_buf_bytes(walk->buf, text, length);
        return;
    }
    uint16_t *at = (uint16_t *)jsrt_buf_room(walk->buf, length * 2);
    if (at != NULL) {
        for (size_t i = 0; i < length; i++) {
            at[i] = (uint8_t)text[i];
        }
        walk->buf->size += length * 2;
    }
}

static inline void
put_char(walk_t *walk, char character)
{
    if (!walk->wide) {
        jsrt_buf_byte(walk->buf, (uint8_t)character);
    } else {
        put_ascii(walk, &character, 1);
    }
}

/* Closes a container: its last comma becomes the bracket. */
static void
put_close(walk_t *walk, char bracket, Py_ssize_t written)
{
    if (written > 0 && !walk->buf->failed) {
        walk->buf->size -= walk->wide ? 2 : 1;
    }
    put_char(walk, bracket);
}

/* What a character that JSON escapes becomes; returns its length. */
static size_t
escape(Py_UCS4 character, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *s = shorts; *s; s += 2) {
        if ((Py_UCS4)*s == character) {
            out[0] = '\\';
            out[1] = s[1];
            return 2;
        }
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[character >> 4];
    out[5] = hex[character & 15];
    return 6;
}

static inline int
is_escaped(Py_UCS4 character)
{
    return character < 0x20 || character == '"' || character == '\\';
}

/* 1 where one of eight bytes is to be escaped. */
static inline int
any_escaped(const uint8_t *bytes)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word, quote, back;
    memcpy(&word, bytes, 8);
    quote = word ^ (ones * '"');
    back = word ^ (ones * '\\');
    return ((((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((back - ones) & ~back))
            & highs)
           != 0;
}

/* To at, which has room for six times length. Returns the end of what was written. */
static inline uint8_t *
escape_latin1(uint8_t *at, const uint8_t *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        if (i + 8 <= length && !any_escaped(text + i)) {
            memcpy(at, text + i, 8);
            at += 8;
            i += 8;
        } else if (is_escaped(text[i])) {
            at += escape(text[i++], (char *)at);
        } else {
            *at++ = text[i++];
        }
    }
    return at;
}

static void
put_latin1(walk_t *walk, const uint8_t *text, size_t length)
{
    enum { CHUNK = 4096 };
    while (length > 0) {
        size_t chunk = length < CHUNK ? length : CHUNK;
        uint8_t *at = jsrt_buf_room(walk->buf, chunk * 6);
        if (at == NULL) {
            return;
        }
        walk->buf->size += (size_t)(escape_latin1(at, text, chunk) - at);
        text += chunk;
        length -= chunk;
    }
}

static void
put_wide(walk_t *walk, int kind, const void *data, Py_ssize_t length)
{
    enum { CHUNK = 2048 };
    for (Py_ssize_t from = 0; from < length; from += CHUNK) {
        Py_ssize_t to = length - from < CHUNK ? length : from + CHUNK;
        uint16_t *at = (uint16_t *)jsrt_buf_room(walk->buf, (size_t)(to - from) * 12);
        if (at == NULL) {
            return;
        }
        uint16_t *start = at;
        for (Py_ssize_t i = from; i < to; i++) {
            Py_UCS4 character = PyUnicode_READ(kind, data, i);
            if (is_escaped(character)) {
                char escaped[6];
                size_t n = escape(character, escaped);
                for (size_t j = 0; j < n; j++) {
                    *at++ = (uint8_t)escaped[j];
                }
            } else if (character >= 0x10000) {
                *at++ = Py_UNICODE_HIGH_SURROGATE(character);
                *at++ = Py_UNICODE_LOW_SURROGATE(character);
            } else {
                *at++ = (uint16_t)character;
            }
        }
        walk->buf->size += (size_t)((uint8_t *)at - (uint8_t *)start);
    }
}

/* A short text with its quotes, in one piece. */
static void
put_short_latin1(walk_t *walk, const uint8_t *text, size_t length)
{
    uint8_t *at = jsrt_buf_room(walk->buf, length * 6 + 2);
    if (at == NULL) {
        return;
    }
    uint8_t *start = at;
    *at++ = '"';
    at = escape_latin1(at, text, length);
    *at++ = '"';
    walk->buf->size += (size_t)(at - start);
}

static int
put_json_text(walk_t *walk, PyObject *text)
{
    enum { SHORT = 256 };
    int kind = (int)PyUnicode_KIND(text);
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    if (kind == PyUnicode_1BYTE_KIND && !walk->wide && length <= SHORT) {
        put_short_latin1(walk, PyUnicode_1BYTE_DATA(text), (size_t)length);
        return 0;
    }
    if (kind != PyUnicode_1BYTE_KIND && !walk->wide && widen(walk) < 0) {
        return 0; /* buf->failed says it */
    }
    put_char(walk, '"');
    if (walk->wide) {
        put_wide(walk, kind, PyUnicode_DATA(text), length);
    } else {
        put_latin1(walk, PyUnicode_DATA(text), (size_t)length);
    }
    put_char(walk, '"');
    return 0;
}

static void
put_json_int(walk_t *walk, int64_t value)
{
    char digits[24], *at = digits + sizeof(digits);
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (value < 0) {
        *--at = '-';
    }
    put_ascii(walk, at, (size_t)(digits + sizeof(digits) - at));
}

static int
put_json_float(walk_t *walk, double value)
{
    if (!isfinite(value)) {
        return NEEDS_WIRE;
    }
    if (value == trunc(value) && fabs(value) < 1e15 && !(value == 0 && signbit(value))) {
        put_json_int(walk, (int64_t)value);
        return 0;
    }
    char text[JSV8_NUMBER_LONGEST];
    if (jsrt_v8_need() < 0) {
        return -1;
    }
    put_ascii(walk, text, jsrt_v8.number_text(value, text));
    return 0;
}

/* ---- Scalars in either form -------------------------------------------------------------------- */

static int
put_text(walk_t *walk, PyObject *text)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0) {
        return -1;
    }
#endif
    if (!walk->wire) {
        return put_json_text(walk, text);
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
        jsrt_wire_latin1(walk->buf, PyUnicode_DATA(text), (size_t)length);
        return 0;
    case PyUnicode_2BYTE_KIND:
        jsrt_wire_utf16(walk->buf, PyUnicode_DATA(text), (size_t)length);
        return 0;
    default: {
        const Py_UCS4 *from = PyUnicode_4BYTE_DATA(text);
        size_t units = (size_t)length;
        for (Py_ssize_t i = 0; i < length; i++) {
            units += from[i] >= 0x10000;
        }
        jsrt_wire_utf16_begin(walk->buf, units);
        uint8_t *at = jsrt_buf_room(walk->buf, units * 2);
        for (Py_ssize_t i = 0; at != NULL && i < length; i++) {
            uint16_t pair[2] = {(uint16_t)from[i], 0};
            size_t n = 2;
            if (from[i] >= 0x10000) {
                pair[0] = Py_UNICODE_HIGH_SURROGATE(from[i]);
                pair[1] = Py_UNICODE_LOW_SURROGATE(from[i]);
                n = 4;
            }
            memcpy(at, pair, n);
            at += n;
        }
        walk->buf->size += at != NULL ? units * 2 : 0;
        return 0;
    }
    }
}

static int
put_int(walk_t *walk, PyObject *object)
{
    int64_t small;
    if (!jsrt_small_int(object, &small)) {
        int overflow;
        small = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (small == -1 && !overflow && PyErr_Occurred()) {
            return -1;
        }
        if (overflow || small < -JSRT_SAFE_INTEGER || small > JSRT_SAFE_INTEGER) {
            if (!walk->wire) {
                return NEEDS_WIRE;
            }
            int negative;
            PyObject *magnitude = jsrt_plain_magnitude(object, &negative);
            if (magnitude == NULL) {
                return -1;
            }
            jsrt_wire_bigint(walk->buf, (const uint8_t *)PyBytes_AS_STRING(magnitude),
                             (size_t)PyBytes_GET_SIZE(magnitude), negative);
            Py_DECREF(magnitude);
            return 0;
        }
    }
    if (walk->wire) {
        jsrt_wire_int(walk->buf, small);
    } else {
        put_json_int(walk, small);
    }
    return 0;
}

/* What the wire format has no form for. */
static int
put_extra(walk_t *walk, const jsv8_value_t *value)
{
    Py_ssize_t extra = jsrt_extra_add(walk->keep, value);
    if (extra < 0) {
        return -1;
    }
    jsrt_wire_extra(walk->buf, (size_t)extra);
    return 0;
}

/* Returns as jsrt_lend_to_js does. */
static int
put_buffer(walk_t *walk, PyObject *object)
{
    jsv8_value_t value;
    int code = jsrt_lend_to_js(walk->args, object, &value);
    if (code == 1 && value.tag == JSV8_BYTES) {
        jsrt_wire_bytes(walk->buf, value.u.text.data, value.u.text.length);
    } else if (code == 1 && put_extra(walk, &value) < 0) {
        return -1;
    }
    return code;
}

/* ---- Containers --------------------------------------------------------------------------------- */

static int
grow_frames(walk_t *walk)
{
    size_t capacity = walk->capacity * 4;
    frame_t *frames = PyMem_Malloc(capacity * sizeof(frame_t));
    if (frames == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(frames, walk->frames, walk->depth * sizeof(frame_t));
    if (walk->frames != walk->frames_inline) {
        PyMem_Free(walk->frames);
    }
    walk->frames = frames;
    walk->capacity = capacity;
    return 0;
}

/* Begins a container. Steals container. */
static int
push(walk_t *walk, PyObject *container, frame_kind_t kind, Py_ssize_t size)
{
    if (walk->depth >= JSRT_DEPTH_MAX) {
        Py_DECREF(container);
        return fail_too_deep(walk);
    }
    if (walk->depth == walk->capacity && grow_frames(walk) < 0) {
        Py_DECREF(container);
        return -1;
    }
    walk->frames[walk->depth++] = (frame_t){.container = container, .size = size, .kind = kind};
    if (!walk->wire) {
        put_char(walk, kind == FRAME_DICT ? '{' : '[');
        return 0;
    }
    switch (kind) {
    case FRAME_LIST:
    case FRAME_TUPLE:
        jsrt_wire_array_begin(walk->buf, (size_t)size);
        break;
    case FRAME_DICT:
        jsrt_wire_object_begin(walk->buf);
        break;
    case FRAME_MAP:
        jsrt_wire_map_begin(walk->buf);
        break;
    case FRAME_SET:
        jsrt_wire_set_begin(walk->buf);
        break;
    }
    return 0;
}

static void
pop(walk_t *walk)
{
    frame_t *frame = &walk->frames[--walk->depth];
    if (!walk->wire) {
        put_close(walk, frame->kind == FRAME_DICT ? '}' : ']', frame->written);
    } else {
        size_t count = (size_t)frame->written;
        switch (frame->kind) {
        case FRAME_LIST:
        case FRAME_TUPLE:
            jsrt_wire_array_end(walk->buf, count);
            break;
        case FRAME_DICT:
            jsrt_wire_object_end(walk->buf, count);
            break;
        case FRAME_MAP:
            jsrt_wire_map_end(walk->buf, count);
            break;
        case FRAME_SET:
            jsrt_wire_set_end(walk->buf, count);
            break;
        }
    }
    Py_XDECREF(frame->key);
    Py_DECREF(frame->container);
}

static int
push_dict(walk_t *walk, PyObject *dict)
{
    frame_kind_t kind = FRAME_DICT;
    PyObject *key;
    Py_ssize_t position = 0;
    /* JSON's keys are looked at as they come. */
    while (walk->wire && PyDict_Next(dict, &position, &key, NULL)) {
        if (!PyUnicode_Check(key)) {
            kind = FRAME_MAP;
            break;
        }
    }
    return push(walk, Py_NewRef(dict), kind, PyDict_GET_SIZE(dict));
}

static int
push_set(walk_t *walk, PyObject *set)
{
    if (!walk->wire) {
        return NEEDS_WIRE;
    }
    PyObject *members = PySequence_List(set);
    if (members == NULL) {
        return -1;
    }
    return push(walk, members, FRAME_SET, PyList_GET_SIZE(members));
}

static int put_value(walk_t *walk, PyObject *object);

/* A type of plain.c. */
static int
put_stand_in(walk_t *walk, PyObject *object)
{
    int kind = jsrt_object_check(walk->state, object) ? JSRT_KIND_UNKNOWN
                                                      : jsrt_plain_kind(walk->state, object);
    if (kind < 0) {
        return -1;
    }
    if (kind == JSRT_KIND_UNKNOWN) {
        if (!walk->wire) {
            return NEEDS_WIRE;
        }
        jsv8_value_t value;
        int live = jsrt_live_to_js(walk->args, object, &value);
        if (live > 0) {
            return put_extra(walk, &value);
        }
        if (live == 0 && PyObject_CheckBuffer(object)) {
            live = put_buffer(walk, object);
        }
        if (live != 0) {
            return live < 0 ? -1 : 0;
        }
        return fail_at(walk, walk->depth, "a %.200s cannot be converted to JavaScript",
                       Py_TYPE(object)->tp_name);
    }
    if (kind == JSRT_KIND_DATETIME || kind == JSRT_KIND_DATE) {
        double milliseconds;
        if (!walk->wire) {
            return NEEDS_WIRE;
        }
        if (jsrt_plain_date(walk->state, object, (jsrt_kind_t)kind, &milliseconds) < 0) {
            return -1;
        }
        jsrt_wire_date(walk->buf, milliseconds);
        return 0;
    }
    PyObject *plain = jsrt_plain_value(walk->state, object, (jsrt_kind_t)kind);
    if (plain == NULL) {
        return -1;
    }
    /* An enum's value may be another stand-in; nothing deeper is recursive. */
    int code = -1;
    if (!Py_EnterRecursiveCall(" while converting to JavaScript")) {
        code = put_value(walk, plain);
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(plain);
    return code;
}

/* Writes a scalar or begins a container. Returns 0, -1, or NEEDS_WIRE. */
static int
put_value(walk_t *walk, PyObject *object)
{
    if (PyUnicode_Check(object)) {
        return put_text(walk, object);
    }
    if (object == Py_True || object == Py_False) {
        if (walk->wire) {
            jsrt_wire_bool(walk->buf, object == Py_True);
        } else if (object == Py_True) {
            put_ascii(walk, "true", 4);
        } else {
            put_ascii(walk, "false", 5);
        }
        return 0;
    }
    if (PyLong_Check(object)) {
        return put_int(walk, object);
    }
    if (object == Py_None) {
        if (walk->wire) {
            jsrt_wire_null(walk->buf);
        } else {
            put_ascii(walk, "null", 4);
        }
        return 0;
    }
    if (PyFloat_Check(object)) {
        double value = PyFloat_AS_DOUBLE(object);
        if (walk->wire) {
            jsrt_wire_number(walk->buf, value);
            return 0;
        }
        return put_json_float(walk, value);
    }
    if (PyDict_Check(object)) {
        return push_dict(walk, object);
    }
    if (PyList_Check(object)) {
        return push(walk, Py_NewRef(object), FRAME_LIST, PyList_GET_SIZE(object));
    }
    if (PyTuple_Check(object)) {
        return push(walk, Py_NewRef(object), FRAME_TUPLE, PyTuple_GET_SIZE(object));
    }
    if (PyAnySet_Check(object)) {
        return push_set(walk, object);
    }
    if (PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        if (!walk->wire) {
            return NEEDS_WIRE;
        }
        if (!PyBytes_Check(object)) {
            return put_buffer(walk, object) < 0 ? -1 : 0;
        }
        jsrt_wire_bytes(walk->buf, PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
        return 0;
    }
    return put_stand_in(walk, object);
}

/* ---- The walk ------------------------------------------------------------------------------------ */

/* Writes item. Containers it begins are ended by the loop in walk_all. */
static int
put_item(walk_t *walk, PyObject *item)
{
    size_t depth = walk->depth;
    Py_INCREF(item);
    int code = put_value(walk, item);
    Py_DECREF(item);
    if (code == 0 && !walk->wire && walk->depth == depth) {
        put_char(walk, ',');
    }
    return code;
}

/* The next step of the innermost container. */
static int
step(walk_t *walk)
{
    frame_t *frame = &walk->frames[walk->depth - 1];
    PyObject *key, *item;
    switch (frame->kind) {
    case FRAME_LIST:
    case FRAME_SET:
        if (PyList_GET_SIZE(frame->container) != frame->size) {
            break;
        }
        if (frame->at == frame->size) {
            pop(walk);
            goto ended;
        }
        frame->written++;
        return put_item(walk, PyList_GET_ITEM(frame->container, frame->at++));
    case FRAME_TUPLE:
        if (frame->at == frame->size) {
            pop(walk);
            goto ended;
        }
        frame->written++;
        return put_item(walk, PyTuple_GET_ITEM(frame->container, frame->at++));
    case FRAME_DICT:
    case FRAME_MAP:
        if (PyDict_GET_SIZE(frame->container) != frame->size) {
            break;
        }
        if (!PyDict_Next(frame->container, &frame->at, &key, &item)) {
            if (frame->written != frame->size) {
                break;
            }
            pop(walk);
            goto ended;
        }
        if (frame->kind == FRAME_DICT && !PyUnicode_Check(key)) {
            if (!walk->wire) {
                return NEEDS_WIRE;
            }
            break;
        }
        frame->written++;
        Py_XSETREF(frame->key, Py_NewRef(key));
        Py_INCREF(item);
        size_t depth = walk->depth;
        int code = put_value(walk, key);
        if (code == 0 && walk->depth != depth) {
            code = fail_at(walk, depth, "a %.200s as a dict key cannot be converted",
                           Py_TYPE(key)->tp_name);
        }
        if (code == 0) {
            if (!walk->wire) {
                put_char(walk, ':');
            }
            code = put_item(walk, item);
        }
        Py_DECREF(item);
        return code;
    }
    PyErr_SetString(PyExc_RuntimeError, "a container changed while it was converted");
    return -1;
ended:
    if (!walk->wire && walk->depth > 0) {
        put_char(walk, ',');
    }
    return 0;
}

static int
walk_all(walk_t *walk, PyObject *object)
{
    int code = put_value(walk, object);
    while (code == 0 && walk->depth > 0) {
        code = step(walk);
    }
    while (walk->depth > 0) {
        frame_t *frame = &walk->frames[--walk->depth];
        Py_XDECREF(frame->key);
        Py_DECREF(frame->container);
    }
    if (walk->frames != walk->frames_inline) {
        PyMem_Free(walk->frames);
    }
    return code;
}

int
jsrt_tree_write(jsrt_args_t *args, PyObject *object, jsrt_keep_t *keep, jsv8_tag_t *tag,
                Py_ssize_t index)
{
    jsrt_buf_t *buf = &keep->buf;
    int code = NEEDS_WIRE;
    for (int wire = 0; wire <= 1 && code == NEEDS_WIRE; wire++) {
        walk_t walk;
        walk.args = args;
        walk.keep = keep;
        walk.state = args->state;
        walk.buf = buf;
        walk.wire = wire;
        walk.wide = 0;
        walk.index = index;
        walk.frames = walk.frames_inline;
        walk.depth = 0;
        walk.capacity = FRAMES_INLINE;
        buf->size = 0;
        if (wire) {
            jsrt_wire_header(buf);
        }
        code = walk_all(&walk, object);
        *tag = wire ? JSV8_WIRE : walk.wide ? JSV8_JSON_UTF16 : JSV8_JSON_LATIN1;
    }
    if (code == 0 && buf->failed) {
        PyErr_NoMemory();
        code = -1;
    }
    return code;
}
