/* SPDX-License-Identifier: MIT
 *
 * wire.h: V8's serialization format (the one of structuredClone and v8.serialize), written and
 * read without V8 and without Python.
 *
 * Trees that JSON cannot carry go into V8 in this format, and every container comes out in it.
 * The format is a header (0xFF, version) and then one value: a tag byte and what the tag says.
 *
 *   _ undefined   0 null   T true   F false   - hole (in dense arrays)
 *   I int32, zigzag varint   U uint32, varint   N double, 8 bytes
 *   Z BigInt: varint (byte length << 1 | sign), magnitude bytes, little-endian
 *   " one-byte text: varint length, bytes    c two-byte text: varint length in bytes, bytes,
 *     2-aligned by a padding byte before the tag    S UTF-8 text
 *   o object: (key value)* { varint pairs
 *   A dense array: varint length, values, (key value)*, $ varint pairs, varint length
 *   a sparse array: varint length, (key value)*, @ varint pairs, varint length
 *   ; map: (key value)* : varint 2*pairs    ' set: value* , varint values
 *   D date: double, ms    R regexp: text, varint flags
 *   y x n z s boxed true, false, number, BigInt, text
 *   B ArrayBuffer: varint length, bytes    ~ resizable: varint length, varint maximum, bytes
 *   V view of the ArrayBuffer just before it: type byte, varint offset, varint length, and from
 *     version 14 on varint flags
 *   \ host object; ours are the bytes a view shows: varint length, bytes (V8 writes views so for
 *     jsv8, whole buffers of small views being a waste)
 *   r error: (prototype letter | m text | s text | c value)* .
 *   ^ varint: the object with that number; every object takes the next number when it begins,
 *     an ArrayBuffer before its first view
 *
 * Invariants
 *   1. The writer emits version 13, which every V8 from 8.x on reads. The reader takes 13 to 15.
 *   2. The reader never reads outside the data, whatever the data holds.
 *   3. Never includes Python.h.
 */
#ifndef JSRT_WIRE_H
#define JSRT_WIRE_H

#include "buf.h"

/* ---- Writing: values in order; containers are begin, contents, end -------------------------- */

void jsrt_wire_header(jsrt_buf_t *buf);
void jsrt_wire_undefined(jsrt_buf_t *buf);
void jsrt_wire_null(jsrt_buf_t *buf);
void jsrt_wire_bool(jsrt_buf_t *buf, int value);
/* Within +-2^53: an int32 where it fits, else a double. */
void jsrt_wire_int(jsrt_buf_t *buf, int64_t value);
void jsrt_wire_number(jsrt_buf_t *buf, double value);
/* magnitude: little-endian bytes; length a multiple of 8. */
void jsrt_wire_bigint(jsrt_buf_t *buf, const uint8_t *magnitude, size_t length, int negative);
void jsrt_wire_latin1(jsrt_buf_t *buf, const void *text, size_t length);
void jsrt_wire_utf16(jsrt_buf_t *buf, const uint16_t *text, size_t units);
/* Begins a two-byte text of `units`; the caller appends exactly 2 * units bytes. */
void jsrt_wire_utf16_begin(jsrt_buf_t *buf, size_t units);
void jsrt_wire_date(jsrt_buf_t *buf, double milliseconds);
/* What the reader was given beside the bytes (JSV8_WIRE_WITH). */
void jsrt_wire_extra(jsrt_buf_t *buf, size_t index);
/* A Uint8Array over an ArrayBuffer of its own. */
void jsrt_wire_bytes(jsrt_buf_t *buf, const void *bytes, size_t length);

void jsrt_wire_object_begin(jsrt_buf_t *buf);
void jsrt_wire_object_end(jsrt_buf_t *buf, size_t pairs);
void jsrt_wire_array_begin(jsrt_buf_t *buf, size_t length);
void jsrt_wire_array_end(jsrt_buf_t *buf, size_t length);
void jsrt_wire_map_begin(jsrt_buf_t *buf);
void jsrt_wire_map_end(jsrt_buf_t *buf, size_t pairs);
void jsrt_wire_set_begin(jsrt_buf_t *buf);
void jsrt_wire_set_end(jsrt_buf_t *buf, size_t values);

/* ---- Reading ------------------------------------------------------------------------------- */

typedef enum {
    JSRT_WIRE_UNDEFINED,
    JSRT_WIRE_HOLE,
    JSRT_WIRE_NULL,
    JSRT_WIRE_TRUE,
    JSRT_WIRE_FALSE,
    JSRT_WIRE_INT,       /* integer */
    JSRT_WIRE_NUMBER,    /* number */
    JSRT_WIRE_BIGINT,    /* data, length: magnitude bytes, unaligned; negative */
    JSRT_WIRE_TEXT,      /* data, length in bytes, encoding */
    JSRT_WIRE_DATE,      /* number */
    JSRT_WIRE_REGEXP,    /* the pattern, as JSRT_WIRE_TEXT */
    JSRT_WIRE_BYTES,     /* data, length */
    JSRT_WIRE_REFERENCE, /* length: the number of the object meant */
    JSRT_WIRE_OBJECT,    /* pairs follow, then JSRT_WIRE_END */
    JSRT_WIRE_ARRAY,     /* `length` values follow, then pairs, then JSRT_WIRE_END */
    JSRT_WIRE_SPARSE,    /* length; pairs follow, then JSRT_WIRE_END */
    JSRT_WIRE_MAP,       /* pairs follow, then JSRT_WIRE_END */
    JSRT_WIRE_SET,       /* values follow, then JSRT_WIRE_END */
    JSRT_WIRE_ERROR,     /* jsrt_wire_error_part follows */
    JSRT_WIRE_END
} jsrt_wire_kind_t;

typedef enum { JSRT_TEXT_LATIN1, JSRT_TEXT_UTF16, JSRT_TEXT_UTF8 } jsrt_text_t;

typedef struct {
    jsrt_wire_kind_t kind;
    int numbers; /* how many object numbers this value takes: 0, 1 or 2 */
    int negative;
    jsrt_text_t encoding;
    int64_t integer;
    double number;
    const uint8_t *data; /* borrowed from the reader's data; UTF-16 may be unaligned */
    size_t length;
} jsrt_wire_token_t;

typedef struct {
    uint32_t number;
    const uint8_t *data;
    size_t length;
} jsrt_wire_buffer_t;

typedef struct {
    const uint8_t *at, *end; /* borrowed */
    uint32_t version;
    uint32_t next_number;
    jsrt_wire_buffer_t *buffers; /* owned: ArrayBuffers seen, for views met later */
    size_t buffer_count, buffer_capacity;
} jsrt_wire_reader_t;

enum {
    JSRT_WIRE_BAD = -1,     /* not this format, or cut short */
    JSRT_WIRE_UNKNOWN = -2, /* a tag this reader does not know (shared memory, wasm...) */
    JSRT_WIRE_NO_MEMORY = -3
};

/* Reads the header. Returns 0 or a code above. */
int jsrt_wire_reader_init(jsrt_wire_reader_t *reader, const void *data, size_t length);
void jsrt_wire_reader_dispose(jsrt_wire_reader_t *reader);
/* The next value, or the end of the innermost container. Returns 0 or a code above. */
int jsrt_wire_next(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token);

typedef enum {
    JSRT_WIRE_ERROR_NAME,    /* token: the prototype's name as text */
    JSRT_WIRE_ERROR_MESSAGE, /* token: text */
    JSRT_WIRE_ERROR_STACK,   /* token: text */
    JSRT_WIRE_ERROR_CAUSE,   /* the cause follows: jsrt_wire_next */
    JSRT_WIRE_ERROR_END
} jsrt_wire_error_t;

/* Inside JSRT_WIRE_ERROR: the next part. Returns a jsrt_wire_error_t or a code above. */
int jsrt_wire_error_part(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token);

#endif
