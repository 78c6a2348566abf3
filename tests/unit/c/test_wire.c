/* SPDX-License-Identifier: MIT
 *
 * test_wire.c: wire.c and buf.c without Python and V8: what the writer writes is what V8 would
 * (bytes taken from v8.serialize of Node 20), the reader reads it back, and no cut or mangled
 * input makes it read outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void
check_written(jsrt_buf_t *buf, const uint8_t *bytes, size_t length)
{
    assert_false(buf->failed);
    assert_int_equal(buf->size, length);
    assert_memory_equal(buf->data, bytes, length);
    jsrt_buf_dispose(buf);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void
test_scalars(void **state)
{
    jsrt_buf_t buf = {0};
    jsrt_wire_header(&buf);
    jsrt_wire_undefined(&buf);
    jsrt_wire_null(&buf);
    jsrt_wire_bool(&buf, 1);
    jsrt_wire_bool(&buf, 0);
    check_written(&buf, BYTES(0xFF, 13, '_', '0', 'T', 'F'));

    jsrt_wire_int(&buf, 0);
    jsrt_wire_int(&buf, -1);
    jsrt_wire_int(&buf, 300);
    jsrt_wire_int(&buf, INT32_MIN);
    check_written(&buf, BYTES('I', 0, 'I', 1, 'I', 0xD8, 4, 'I', 0xFF, 0xFF, 0xFF, 0xFF, 0x0F));

    jsrt_wire_int(&buf, (int64_t)INT32_MAX + 1);
    check_written(&buf, BYTES('N', 0, 0, 0, 0, 0, 0, 0xE0, 0x41));

    jsrt_wire_bigint(&buf, BYTES(5, 0, 0, 0, 0, 0, 0, 0), 1);
    check_written(&buf, BYTES('Z', 0x11, 5, 0, 0, 0, 0, 0, 0, 0));

    jsrt_wire_date(&buf, 0);
    check_written(&buf, BYTES('D', 0, 0, 0, 0, 0, 0, 0, 0));
}

static void
test_texts(void **state)
{
    jsrt_buf_t buf = {0};
    jsrt_wire_latin1(&buf, "h\xE9", 2);
    check_written(&buf, BYTES('"', 2, 'h', 0xE9));

    /* Two-byte text is 2-aligned: here by a padding byte, there without. */
    const uint16_t euro[] = {0xE9, 0x20AC};
    jsrt_wire_utf16(&buf, euro, 2);
    check_written(&buf, BYTES('c', 4, 0xE9, 0, 0xAC, 0x20));
    jsrt_wire_null(&buf);
    jsrt_wire_utf16(&buf, euro, 1);
    check_written(&buf, BYTES('0', 0, 'c', 2, 0xE9, 0));

    char *long_text = calloc(1, 1000);
    jsrt_wire_latin1(&buf, long_text, 1000);
    assert_int_equal(buf.size, 1003);
    assert_memory_equal(buf.data, "\"\xE8\x07", 3);
    free(long_text);
    jsrt_buf_dispose(&buf);
}

static void
test_containers(void **state)
{
    jsrt_buf_t buf = {0};
    jsrt_wire_object_begin(&buf);
    jsrt_wire_latin1(&buf, "a", 1);
    jsrt_wire_array_begin(&buf, 1);
    jsrt_wire_int(&buf, 1);
    jsrt_wire_array_end(&buf, 1);
    jsrt_wire_object_end(&buf, 1);
    check_written(&buf, BYTES('o', '"', 1, 'a', 'A', 1, 'I', 2, '$', 0, 1, '{', 1));

    jsrt_wire_map_begin(&buf);
    jsrt_wire_int(&buf, 1);
    jsrt_wire_int(&buf, 2);
    jsrt_wire_map_end(&buf, 1);
    jsrt_wire_set_begin(&buf);
    jsrt_wire_int(&buf, 1);
    jsrt_wire_set_end(&buf, 1);
    check_written(&buf, BYTES(';', 'I', 2, 'I', 4, ':', 2, '\'', 'I', 2, ',', 1));

    jsrt_wire_bytes(&buf, "\1\2", 2);
    check_written(&buf, BYTES('B', 2, 1, 2, 'V', 'B', 0, 2));
}

static void
test_a_failed_buffer_stays_failed(void **state)
{
    jsrt_buf_t buf = {0};
    assert_null(jsrt_buf_room(&buf, SIZE_MAX / 2));
    assert_true(buf.failed);
    jsrt_wire_int(&buf, 5);
    jsrt_wire_latin1(&buf, "x", 1);
    assert_int_equal(buf.size, 0);
    jsrt_buf_dispose(&buf);
}

/* ---- Reading ---------------------------------------------------------------------------------- */

static jsrt_wire_reader_t reader;
static jsrt_wire_token_t token;

static void
open_reader(const uint8_t *bytes, size_t length)
{
    assert_int_equal(jsrt_wire_reader_init(&reader, bytes, length), 0);
}

static void
expect(jsrt_wire_kind_t kind)
{
    assert_int_equal(jsrt_wire_next(&reader, &token), 0);
    assert_int_equal(token.kind, kind);
}

static void
test_headers(void **state)
{
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES(0xFF, 13, '0')), 0);
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES(0xFF, 15, '0')), 0);
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES(0xFF, 12, '0')), JSRT_WIRE_UNKNOWN);
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES(0xFF, 16, '0')), JSRT_WIRE_UNKNOWN);
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES('o', 13)), JSRT_WIRE_BAD);
    assert_int_equal(jsrt_wire_reader_init(&reader, BYTES(0xFF)), JSRT_WIRE_BAD);
}

static void
test_reading_scalars(void **state)
{
    open_reader(BYTES(0xFF, 15, 'I', 1, 'U', 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 'T', 'F', '_', '-',
                      'Z', 0x11, 5, 0, 0, 0, 0, 0, 0, 0, '"', 1, 0xE9, 'c', 2, 0xAC, 0x20));
    expect(JSRT_WIRE_INT);
    assert_int_equal(token.integer, -1);
    expect(JSRT_WIRE_INT);
    assert_int_equal(token.integer, UINT32_MAX);
    expect(JSRT_WIRE_TRUE);
    expect(JSRT_WIRE_FALSE);
    expect(JSRT_WIRE_UNDEFINED);
    expect(JSRT_WIRE_HOLE);
    expect(JSRT_WIRE_BIGINT);
    assert_true(token.negative);
    assert_int_equal(token.length, 8);
    expect(JSRT_WIRE_TEXT);
    assert_int_equal(token.encoding, JSRT_TEXT_LATIN1);
    expect(JSRT_WIRE_TEXT);
    assert_int_equal(token.encoding, JSRT_TEXT_UTF16);
    assert_int_equal(token.length, 2);
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    jsrt_wire_reader_dispose(&reader);
}

/* [buffer, new Uint8Array(buffer, 1, 2), bytes of a view] */
static void
test_views(void **state)
{
    open_reader(BYTES(0xFF, 15, 'A', 3, 'B', 4, 1, 2, 3, 4, '^', 1, 'V', 'B', 1, 2, 0, '\\', 2, 8, 9,
                      '$', 0, 3));
    expect(JSRT_WIRE_ARRAY);
    assert_int_equal(token.length, 3);
    expect(JSRT_WIRE_BYTES);
    assert_int_equal(token.length, 4);
    assert_int_equal(token.numbers, 1);
    expect(JSRT_WIRE_BYTES);
    assert_int_equal(token.length, 2);
    assert_int_equal(token.data[0], 2);
    assert_int_equal(token.numbers, 1);
    expect(JSRT_WIRE_BYTES);
    assert_memory_equal(token.data, "\x08\x09", 2);
    expect(JSRT_WIRE_END);
    assert_int_equal(reader.next_number, 4);
    jsrt_wire_reader_dispose(&reader);

    /* A view that claims more than its buffer has. */
    open_reader(BYTES(0xFF, 15, 'B', 1, 0, 'V', 'B', 1, 1, 0));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    jsrt_wire_reader_dispose(&reader);
}

static void
test_errors(void **state)
{
    open_reader(BYTES(0xFF, 15, 'r', 'T', 'm', '"', 1, 'x', 'c', 'I', 2, 's', '"', 1, 'y', '.'));
    expect(JSRT_WIRE_ERROR);
    assert_int_equal(jsrt_wire_error_part(&reader, &token), JSRT_WIRE_ERROR_NAME);
    assert_memory_equal(token.data, "TypeError", token.length);
    assert_int_equal(jsrt_wire_error_part(&reader, &token), JSRT_WIRE_ERROR_MESSAGE);
    assert_int_equal(jsrt_wire_error_part(&reader, &token), JSRT_WIRE_ERROR_CAUSE);
    expect(JSRT_WIRE_INT);
    assert_int_equal(jsrt_wire_error_part(&reader, &token), JSRT_WIRE_ERROR_STACK);
    assert_int_equal(jsrt_wire_error_part(&reader, &token), JSRT_WIRE_ERROR_END);
    jsrt_wire_reader_dispose(&reader);
}

static void
test_lies_about_lengths(void **state)
{
    open_reader(BYTES(0xFF, 15, 'A', 0xFF, 0xFF, 0xFF, 0xFF, 0x7F));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    open_reader(BYTES(0xFF, 15, '"', 5, 'a'));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    open_reader(BYTES(0xFF, 15, 'c', 3, 'a', 'b', 'c'));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    open_reader(BYTES(0xFF, 15, '^', 0));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_BAD);
    open_reader(BYTES(0xFF, 15, 'p', 0));
    assert_int_equal(jsrt_wire_next(&reader, &token), JSRT_WIRE_UNKNOWN);
}

/* Walks everything as to_py.c does, on a copy whose end is the end of the heap block, so that
 * AddressSanitizer sees a read beyond it. */
static void
walk(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    if (jsrt_wire_reader_init(&reader, copy, length) == 0) {
        int in_error = 0, code = 0;
        for (int steps = 0; code >= 0 && steps < 100000; steps++) {
            if (in_error) {
                code = jsrt_wire_error_part(&reader, &token);
                in_error = code >= 0 && code < JSRT_WIRE_ERROR_CAUSE;
            }
            else {
                code = jsrt_wire_next(&reader, &token);
                in_error = code == 0 && token.kind == JSRT_WIRE_ERROR;
            }
            if (code == 0 && !in_error && token.kind == JSRT_WIRE_BYTES && token.length) {
                assert_true(token.data >= copy && token.data + token.length <= copy + length);
            }
        }
        jsrt_wire_reader_dispose(&reader);
    }
    free(copy);
}

static void
test_cut_and_mangled_input(void **state)
{
    static const uint8_t sample[] = {
        0xFF, 15,  'o', '"', 1,   'a', 'A', 2,   'I', 2,   '-', '"', 1,   'k', 'I', 2,   '$', 1,
        2,    '"', 1,   'm', ';', 'I', 2,   'N', 0,   0,   0,   0,   0,   0,   0xF8, 0x7F, ':', 2,
        '"',  1,   'b', 'B', 3,   1,   2,   3,   'V', 'B', 1,   2,   0,   '"', 1,   'e', 'r', 'T',
        'm',  '"', 1,   'x', '.', '"', 1,   'd', 'D', 0,   0,   0,   0,   0,   0,   0,   0,   '"',
        1,    'z', 'Z', 0x11, 5,  0,   0,   0,   0,   0,   0,   0,   '"', 1,   'r', 'R', '"', 1,
        'a',  1,   '"', 1,   '~', '~', 1,   2,   0,   '"', 1,   's', 's', 'c', 2,   0xAC, 0x20, '{',
        9,
    };
    uint8_t mangled[sizeof(sample)];
    for (size_t length = 0; length <= sizeof(sample); length++) {
        walk(sample, length);
    }
    unsigned seed = 12345;
    for (int round = 0; round < 20000; round++) {
        memcpy(mangled, sample, sizeof(sample));
        for (int change = 0; change < 3; change++) {
            seed = seed * 1103515245u + 12345u;
            mangled[2 + (seed >> 8) % (sizeof(sample) - 2)] = (uint8_t)(seed >> 16);
        }
        walk(mangled, sizeof(mangled));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_a_failed_buffer_stays_failed),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_reading_scalars),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_lies_about_lengths),
        cmocka_unit_test(test_cut_and_mangled_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
