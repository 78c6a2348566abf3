/* SPDX-License-Identifier: MIT
 *
 * wire.c: writer and reader of V8's serialization format (wire.h has the format).
 *
 * Called by to_js.c (writer) and to_py.c (reader). The reader takes data that V8 wrote, but is
 * written as if a stranger had: every length is checked against what is left.
 *
 * Never includes Python.h.
 */
#include "wire.h"

#include <stdlib.h>

enum { WRITTEN_VERSION = 13, OLDEST_READ = 13, NEWEST_READ = 15, VIEW_FLAGS_SINCE = 14 };

/* ---- Writer --------------------------------------------------------------------------------- */

static void
put_varint(jsrt_buf_t *buf, uint64_t value)
{
    uint8_t *at = jsrt_buf_room(buf, 10);
    if (at == NULL) {
        return;
    }
    size_t n = 0;
    while (value >= 0x80) {
        at[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[n++] = (uint8_t)value;
    buf->size += n;
}

static size_t
varint_size(uint64_t value)
{
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

static void
put_double(jsrt_buf_t *buf, uint8_t tag, double value)
{
    uint8_t *at = jsrt_buf_room(buf, 9);
    if (at != NULL) {
        at[0] = tag;
        memcpy(at + 1, &value, 8);
        buf->size += 9;
    }
}

void
jsrt_wire_header(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, 0xFF);
    jsrt_buf_byte(buf, WRITTEN_VERSION);
}

void
jsrt_wire_undefined(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, '_');
}

void
jsrt_wire_null(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, '0');
}

void
jsrt_wire_bool(jsrt_buf_t *buf, int value)
{
    jsrt_buf_byte(buf, value ? 'T' : 'F');
}

void
jsrt_wire_int(jsrt_buf_t *buf, int64_t value)
{
    if (value < INT32_MIN || value > INT32_MAX) {
        put_double(buf, 'N', (double)value);
        return;
    }
    uint32_t zigzag = ((uint32_t)value << 1) ^ (uint32_t)(value < 0 ? -1 : 0);
    jsrt_buf_byte(buf, 'I');
    put_varint(buf, zigzag);
}

void
jsrt_wire_number(jsrt_buf_t *buf, double value)
{
    put_double(buf, 'N', value);
}

void
jsrt_wire_bigint(jsrt_buf_t *buf, const uint8_t *magnitude, size_t length, int negative)
{
    jsrt_buf_byte(buf, 'Z');
    put_varint(buf, ((uint64_t)length << 1) | (negative ? 1 : 0));
    jsrt_buf_bytes(buf, magnitude, length);
}

void
jsrt_wire_latin1(jsrt_buf_t *buf, const void *text, size_t length)
{
    if (length < 0x80) {
        /* Most texts are keys and short values: one bounds check for all of it. */
        uint8_t *at = jsrt_buf_room(buf, length + 2);
        if (at != NULL) {
            at[0] = '"';
            at[1] = (uint8_t)length;
            memcpy(at + 2, text, length);
            buf->size += length + 2;
        }
        return;
    }
    jsrt_buf_byte(buf, '"');
    put_varint(buf, length);
    jsrt_buf_bytes(buf, text, length);
}

void
jsrt_wire_utf16_begin(jsrt_buf_t *buf, size_t units)
{
    uint64_t bytes = (uint64_t)units * 2;
    if ((buf->size + 1 + varint_size(bytes)) & 1) {
        jsrt_buf_byte(buf, 0);
    }
    jsrt_buf_byte(buf, 'c');
    put_varint(buf, bytes);
}

void
jsrt_wire_utf16(jsrt_buf_t *buf, const uint16_t *text, size_t units)
{
    jsrt_wire_utf16_begin(buf, units);
    jsrt_buf_bytes(buf, text, units * 2);
}

void
jsrt_wire_date(jsrt_buf_t *buf, double milliseconds)
{
    put_double(buf, 'D', milliseconds);
}

void
jsrt_wire_extra(jsrt_buf_t *buf, size_t index)
{
    jsrt_buf_byte(buf, '\\');
    put_varint(buf, index);
}

void
jsrt_wire_bytes(jsrt_buf_t *buf, const void *bytes, size_t length)
{
    jsrt_buf_byte(buf, 'B');
    put_varint(buf, length);
    jsrt_buf_bytes(buf, bytes, length);
    jsrt_buf_byte(buf, 'V');
    jsrt_buf_byte(buf, 'B'); /* Uint8Array */
    put_varint(buf, 0);
    put_varint(buf, length);
}

void
jsrt_wire_object_begin(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, 'o');
}

void
jsrt_wire_object_end(jsrt_buf_t *buf, size_t pairs)
{
    jsrt_buf_byte(buf, '{');
    put_varint(buf, pairs);
}

void
jsrt_wire_array_begin(jsrt_buf_t *buf, size_t length)
{
    jsrt_buf_byte(buf, 'A');
    put_varint(buf, length);
}

void
jsrt_wire_array_end(jsrt_buf_t *buf, size_t length)
{
    jsrt_buf_byte(buf, '$');
    put_varint(buf, 0);
    put_varint(buf, length);
}

void
jsrt_wire_map_begin(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, ';');
}

void
jsrt_wire_map_end(jsrt_buf_t *buf, size_t pairs)
{
    jsrt_buf_byte(buf, ':');
    put_varint(buf, (uint64_t)pairs * 2);
}

void
jsrt_wire_set_begin(jsrt_buf_t *buf)
{
    jsrt_buf_byte(buf, '\'');
}

void
jsrt_wire_set_end(jsrt_buf_t *buf, size_t values)
{
    jsrt_buf_byte(buf, ',');
    put_varint(buf, values);
}

/* ---- Reader --------------------------------------------------------------------------------- */

static int
get_varint(jsrt_wire_reader_t *reader, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return 0;
        }
    }
    return JSRT_WIRE_BAD;
}

/* A length that must still lie within the data. */
static int
get_span(jsrt_wire_reader_t *reader, uint64_t length, jsrt_wire_token_t *token)
{
    if (length > (uint64_t)(reader->end - reader->at)) {
        return JSRT_WIRE_BAD;
    }
    token->data = reader->at;
    token->length = (size_t)length;
    reader->at += length;
    return 0;
}

static int
get_double(jsrt_wire_reader_t *reader, double *out)
{
    if (reader->end - reader->at < 8) {
        return JSRT_WIRE_BAD;
    }
    memcpy(out, reader->at, 8);
    reader->at += 8;
    return 0;
}

static int
get_bigint(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    uint64_t bits;
    if (get_varint(reader, &bits) < 0) {
        return JSRT_WIRE_BAD;
    }
    token->negative = (int)(bits & 1);
    return get_span(reader, bits >> 1, token);
}

static int
get_tag(jsrt_wire_reader_t *reader)
{
    while (reader->at < reader->end) {
        uint8_t tag = *reader->at++;
        if (tag != 0) {
            return tag;
        }
    }
    return JSRT_WIRE_BAD;
}

/* The text behind a tag that says its encoding. */
static int
get_text_of(jsrt_wire_reader_t *reader, int tag, jsrt_wire_token_t *token)
{
    uint64_t length;
    switch (tag) {
    case '"':
        token->encoding = JSRT_TEXT_LATIN1;
        break;
    case 'c':
        token->encoding = JSRT_TEXT_UTF16;
        break;
    case 'S':
        token->encoding = JSRT_TEXT_UTF8;
        break;
    default:
        return JSRT_WIRE_BAD;
    }
    if (get_varint(reader, &length) < 0 || (tag == 'c' && (length & 1))) {
        return JSRT_WIRE_BAD;
    }
    return get_span(reader, length, token);
}

static int
get_text(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    return get_text_of(reader, get_tag(reader), token);
}

static int
remember_buffer(jsrt_wire_reader_t *reader, uint32_t number, const jsrt_wire_token_t *token)
{
    if (reader->buffer_count == reader->buffer_capacity) {
        size_t capacity = reader->buffer_capacity ? reader->buffer_capacity * 2 : 8;
        jsrt_wire_buffer_t *grown = realloc(reader->buffers, capacity * sizeof(*grown));
        if (grown == NULL) {
            return JSRT_WIRE_NO_MEMORY;
        }
        reader->buffers = grown;
        reader->buffer_capacity = capacity;
    }
    reader->buffers[reader->buffer_count++] =
        (jsrt_wire_buffer_t){number, token->data, token->length};
    return 0;
}

/* Numbers rise, so the list is sorted. */
static const jsrt_wire_buffer_t *
find_buffer(const jsrt_wire_reader_t *reader, uint64_t number)
{
    size_t low = 0, high = reader->buffer_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reader->buffers[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < reader->buffer_count && reader->buffers[low].number == number) {
        return &reader->buffers[low];
    }
    return NULL;
}

/* A view takes the ArrayBuffer before it: narrows token to the part it shows. */
static int
maybe_view(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    const uint8_t *at = reader->at;
    while (at < reader->end && *at == 0) {
        at++;
    }
    if (at == reader->end || *at != 'V') {
        return 0;
    }
    reader->at = at + 1;
    uint64_t offset, length, flags;
    if (reader->at == reader->end) {
        return JSRT_WIRE_BAD;
    }
    reader->at++; /* the element type: bytes are bytes */
    if (get_varint(reader, &offset) < 0 || get_varint(reader, &length) < 0) {
        return JSRT_WIRE_BAD;
    }
    if (reader->version >= VIEW_FLAGS_SINCE && get_varint(reader, &flags) < 0) {
        return JSRT_WIRE_BAD;
    }
    if (offset > token->length || length > token->length - offset) {
        return JSRT_WIRE_BAD;
    }
    token->kind = JSRT_WIRE_BYTES;
    token->data += offset;
    token->length = (size_t)length;
    token->numbers += 1;
    reader->next_number += 1;
    return 0;
}

static int
get_array_buffer(jsrt_wire_reader_t *reader, int tag, jsrt_wire_token_t *token)
{
    uint64_t length, maximum;
    if (get_varint(reader, &length) < 0 || (tag == '~' && get_varint(reader, &maximum) < 0)
        || get_span(reader, length, token) < 0) {
        return JSRT_WIRE_BAD;
    }
    token->kind = JSRT_WIRE_BYTES;
    token->numbers = 1;
    int code = remember_buffer(reader, reader->next_number++, token);
    return code < 0 ? code : maybe_view(reader, token);
}

/* The bytes of a view, as value.cc writes them. */
static int
get_view_bytes(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    uint64_t length;
    token->kind = JSRT_WIRE_BYTES;
    token->numbers = 1;
    reader->next_number++;
    return get_varint(reader, &length) < 0 ? JSRT_WIRE_BAD : get_span(reader, length, token);
}

static int
get_reference(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    uint64_t number;
    if (get_varint(reader, &number) < 0 || number >= reader->next_number) {
        return JSRT_WIRE_BAD;
    }
    token->kind = JSRT_WIRE_REFERENCE;
    const jsrt_wire_buffer_t *buffer = find_buffer(reader, number);
    if (buffer != NULL) {
        token->data = buffer->data;
        token->length = buffer->length;
        int code = maybe_view(reader, token);
        if (code < 0 || token->kind == JSRT_WIRE_BYTES) {
            return code;
        }
    }
    token->length = (size_t)number;
    return 0;
}

static int
begin(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token, jsrt_wire_kind_t kind)
{
    token->kind = kind;
    token->numbers = 1;
    reader->next_number++;
    if (kind == JSRT_WIRE_ARRAY || kind == JSRT_WIRE_SPARSE) {
        uint64_t length;
        if (get_varint(reader, &length) < 0) {
            return JSRT_WIRE_BAD;
        }
        /* Each element of a dense array takes a byte at least: a length beyond the data is a
         * lie that must not make the caller allocate. */
        if (kind == JSRT_WIRE_ARRAY && length > (uint64_t)(reader->end - reader->at)) {
            return JSRT_WIRE_BAD;
        }
        token->length = (size_t)length;
    }
    return 0;
}

static int
end(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token, int counts)
{
    uint64_t ignored;
    token->kind = JSRT_WIRE_END;
    while (counts-- > 0) {
        if (get_varint(reader, &ignored) < 0) {
            return JSRT_WIRE_BAD;
        }
    }
    return 0;
}

static int
boxed(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token, jsrt_wire_kind_t kind)
{
    token->kind = kind;
    token->numbers = 1;
    reader->next_number++;
    switch (kind) {
    case JSRT_WIRE_NUMBER:
    case JSRT_WIRE_DATE:
        return get_double(reader, &token->number);
    case JSRT_WIRE_BIGINT:
        return get_bigint(reader, token);
    case JSRT_WIRE_TEXT:
        return get_text(reader, token);
    case JSRT_WIRE_REGEXP: {
        uint64_t flags;
        int code = get_text(reader, token);
        return code < 0 ? code : get_varint(reader, &flags);
    }
    default:
        return 0;
    }
}

int
jsrt_wire_reader_init(jsrt_wire_reader_t *reader, const void *data, size_t length)
{
    *reader = (jsrt_wire_reader_t){.at = data, .end = (const uint8_t *)data + length};
    uint64_t version;
    if (length < 2 || *reader->at++ != 0xFF || get_varint(reader, &version) < 0) {
        return JSRT_WIRE_BAD;
    }
    if (version < OLDEST_READ || version > NEWEST_READ) {
        return JSRT_WIRE_UNKNOWN;
    }
    reader->version = (uint32_t)version;
    return 0;
}

void
jsrt_wire_reader_dispose(jsrt_wire_reader_t *reader)
{
    free(reader->buffers);
    reader->buffers = NULL;
}

int
jsrt_wire_next(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    uint64_t bits;
    int tag = get_tag(reader);
    token->numbers = 0;
    switch (tag) {
    case '"':
    case 'c':
    case 'S':
        token->kind = JSRT_WIRE_TEXT;
        return get_text_of(reader, tag, token);
    case 'I':
        if (get_varint(reader, &bits) < 0) {
            return JSRT_WIRE_BAD;
        }
        token->kind = JSRT_WIRE_INT;
        token->integer = (int32_t)((uint32_t)bits >> 1) ^ -(int32_t)(bits & 1);
        return 0;
    case 'U':
        if (get_varint(reader, &bits) < 0) {
            return JSRT_WIRE_BAD;
        }
        token->kind = JSRT_WIRE_INT;
        token->integer = (uint32_t)bits;
        return 0;
    case 'N':
        token->kind = JSRT_WIRE_NUMBER;
        return get_double(reader, &token->number);
    case '0':
        token->kind = JSRT_WIRE_NULL;
        return 0;
    case 'T':
        token->kind = JSRT_WIRE_TRUE;
        return 0;
    case 'F':
        token->kind = JSRT_WIRE_FALSE;
        return 0;
    case '_':
        token->kind = JSRT_WIRE_UNDEFINED;
        return 0;
    case '-':
        token->kind = JSRT_WIRE_HOLE;
        return 0;
    case 'Z':
        token->kind = JSRT_WIRE_BIGINT;
        return get_bigint(reader, token);
    case 'o':
        return begin(reader, token, JSRT_WIRE_OBJECT);
    case '{':
        return end(reader, token, 1);
    case 'A':
        return begin(reader, token, JSRT_WIRE_ARRAY);
    case '$':
        return end(reader, token, 2);
    case 'a':
        return begin(reader, token, JSRT_WIRE_SPARSE);
    case '@':
        return end(reader, token, 2);
    case ';':
        return begin(reader, token, JSRT_WIRE_MAP);
    case ':':
        return end(reader, token, 1);
    case '\'':
        return begin(reader, token, JSRT_WIRE_SET);
    case ',':
        return end(reader, token, 1);
    case 'r':
        return begin(reader, token, JSRT_WIRE_ERROR);
    case 'D':
        return boxed(reader, token, JSRT_WIRE_DATE);
    case 'R':
        return boxed(reader, token, JSRT_WIRE_REGEXP);
    case 'y':
        return boxed(reader, token, JSRT_WIRE_TRUE);
    case 'x':
        return boxed(reader, token, JSRT_WIRE_FALSE);
    case 'n':
        return boxed(reader, token, JSRT_WIRE_NUMBER);
    case 'z':
        return boxed(reader, token, JSRT_WIRE_BIGINT);
    case 's':
        return boxed(reader, token, JSRT_WIRE_TEXT);
    case 'B':
    case '~':
        return get_array_buffer(reader, tag, token);
    case '\\':
        return get_view_bytes(reader, token);
    case '^':
        return get_reference(reader, token);
    default:
        return tag < 0 ? tag : JSRT_WIRE_UNKNOWN;
    }
}

int
jsrt_wire_error_part(jsrt_wire_reader_t *reader, jsrt_wire_token_t *token)
{
    static const struct {
        char letter;
        const char *name;
    } prototypes[] = {
        {'E', "EvalError"},   {'R', "RangeError"}, {'F', "ReferenceError"},
        {'S', "SyntaxError"}, {'T', "TypeError"},  {'U', "URIError"},
    };
    int tag = get_tag(reader);
    token->kind = JSRT_WIRE_TEXT;
    token->numbers = 0;
    for (size_t i = 0; i < sizeof(prototypes) / sizeof(prototypes[0]); i++) {
        if (tag == prototypes[i].letter) {
            token->encoding = JSRT_TEXT_LATIN1;
            token->data = (const uint8_t *)prototypes[i].name;
            token->length = strlen(prototypes[i].name);
            return JSRT_WIRE_ERROR_NAME;
        }
    }
    int code;
    switch (tag) {
    case 'm':
        code = get_text(reader, token);
        return code < 0 ? code : JSRT_WIRE_ERROR_MESSAGE;
    case 's':
        code = get_text(reader, token);
        return code < 0 ? code : JSRT_WIRE_ERROR_STACK;
    case 'c':
        return JSRT_WIRE_ERROR_CAUSE;
    case '.':
        return JSRT_WIRE_ERROR_END;
    default:
        return tag < 0 ? tag : JSRT_WIRE_UNKNOWN;
    }
}
