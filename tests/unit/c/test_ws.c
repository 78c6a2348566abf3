/* SPDX-License-Identifier: MIT
 *
 * test_ws.c: WebSocket frames in and out, cut at every place; the handshake's values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ws.h"

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Appends a masked frame. first: FIN, reserved bits and opcode. */
static void
add_frame(asgi_buf_t *wire, uint8_t first, const char *payload, size_t size)
{
    char head[ASGI_WS_HEAD_MAX];
    size_t n = asgi_ws_head(head, 0, size), at;

    head[0] = (char)first;
    head[1] = (char)(head[1] | 0x80);
    assert_int_equal(asgi_buf_append(wire, head, n), 0);
    assert_int_equal(asgi_buf_append(wire, mask, 4), 0);
    at = wire->end;
    assert_int_equal(asgi_buf_append(wire, payload, size), 0);
    if (size > 0)
        asgi_ws_unmask(wire->data + at, wire->data + at, size, mask, 0);
}

#define FRAME(wire, first, text) add_frame(wire, first, text, sizeof(text) - 1)

/* Reads the wire in pieces of `step` bytes and writes what happened into log. */
static void
replay(const asgi_buf_t *wire, size_t step, size_t max_size, char *log, size_t room)
{
    asgi_ws_parser_t parser;
    asgi_buf_t into = {0};
    size_t at = 0, n = 0;

    asgi_ws_parser_init(&parser, max_size);
    log[0] = '\0';
    while (at < asgi_buf_size(wire)) {
        size_t size = asgi_buf_size(wire) - at < step ? asgi_buf_size(wire) - at : step;
        /* A copy of its own: the address sanitizer sees a byte read too many. */
        char *piece = malloc(size);
        size_t used = 0;
        asgi_ws_event_t event;
        memcpy(piece, asgi_buf_front(wire) + at, size);
        while (asgi_ws_next(&parser, piece + used, size - used, &into, &event) != ASGI_WS_MORE) {
            used += event.consumed;
            switch (event.kind) {
            case ASGI_WS_MESSAGE:
                assert_int_equal(event.size, asgi_buf_size(&into));
                n += (size_t)snprintf(log + n, room - n, "%s(%.*s) ", event.text ? "text" : "bytes",
                                      (int)event.size, into.data != NULL ? into.data : "");
                asgi_buf_clear(&into);
                break;
            case ASGI_WS_PING:
            case ASGI_WS_PONG:
                n += (size_t)snprintf(
                    log + n, room - n, "%s(%.*s) ", event.kind == ASGI_WS_PING ? "ping" : "pong",
                    (int)event.payload.size, event.payload.size > 0 ? event.payload.data : "");
                break;
            case ASGI_WS_CLOSE:
                n += (size_t)snprintf(log + n, room - n, "close(%u %.*s) ", event.code,
                                      (int)event.payload.size,
                                      event.payload.size > 0 ? event.payload.data : "");
                break;
            default:
                snprintf(log + n, room - n, "error(%u)", event.code);
                free(piece);
                /* … and for ever after. */
                assert_int_equal(asgi_ws_next(&parser, "", 0, &into, &event), ASGI_WS_ERROR);
                asgi_buf_dispose(&into);
                return;
            }
        }
        assert_int_equal(used + event.consumed, size);
        free(piece);
        at += size;
    }
    asgi_buf_dispose(&into);
}

static void
expect(asgi_buf_t *wire, const char *expected)
{
    char log[2048];

    for (size_t step = 1; step <= asgi_buf_size(wire); step++) {
        replay(wire, step, 1000, log, sizeof log);
        assert_string_equal(log, expected);
    }
    asgi_buf_dispose(wire);
}

static void
test_messages(void **state)
{
    asgi_buf_t wire = {0};

    FRAME(&wire, 0x81, "hello");
    FRAME(&wire, 0x82, "\x01\x02");
    FRAME(&wire, 0x81, "");
    FRAME(&wire, 0x81, "\xc3\xa9\xf0\x9f\x98\x80");
    expect(&wire, "text(hello) bytes(\x01\x02) text() text(\xc3\xa9\xf0\x9f\x98\x80) ");
}

static void
test_fragments_with_control_between(void **state)
{
    asgi_buf_t wire = {0};

    FRAME(&wire, 0x01, "a\xc3");
    FRAME(&wire, 0x89, "are you there");
    FRAME(&wire, 0x00, "");
    FRAME(&wire, 0x8a, "");
    FRAME(&wire, 0x80, "\xa9z");
    FRAME(&wire, 0x88,
          "\x03\xe8"
          "bye");
    FRAME(&wire, 0x81, "after the end");
    expect(&wire, "ping(are you there) pong() text(a\xc3\xa9z) close(1000 bye) ");
}

static void
test_lengths(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70001};
    static char data[70001];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        asgi_ws_parser_t parser;
        asgi_ws_event_t event;
        asgi_buf_t wire = {0}, into = {0};
        assert_int_equal(asgi_buf_append(&into, "before", 6), 0);
        asgi_ws_parser_init(&parser, sizes[i] > 0 ? sizes[i] : 1);
        add_frame(&wire, 0x82, data, sizes[i]);
        assert_int_equal(
            asgi_ws_next(&parser, asgi_buf_front(&wire), asgi_buf_size(&wire), &into, &event),
            ASGI_WS_MESSAGE);
        assert_int_equal(event.consumed, asgi_buf_size(&wire));
        assert_int_equal(event.size, sizes[i]);
        assert_memory_equal(into.data, "before", 6);
        assert_memory_equal(into.data + 6, data, sizes[i]);
        asgi_buf_dispose(&wire);
        asgi_buf_dispose(&into);
    }
}

static void
test_unmask_from_any_offset(void **state)
{
    char data[64], out[64];

    for (size_t size = 0; size <= 40; size++) {
        for (size_t offset = 0; offset < 9; offset++) {
            for (size_t i = 0; i < size; i++)
                data[i] = (char)(i + 1);
            asgi_ws_unmask(out, data, size, mask, offset);
            for (size_t i = 0; i < size; i++)
                assert_int_equal((uint8_t)out[i], (uint8_t)data[i] ^ mask[(offset + i) & 3]);
        }
    }
}

static void
test_errors(void **state)
{
    static const struct {
        uint8_t first;
        const char *payload;
        size_t size;
        const char *expected;
    } cases[] = {
        {0xc1, "x", 1, "error(1002)"}, /* reserved bits */
        {0x91, "x", 1, "error(1002)"},
        {0x83, "x", 1, "error(1002)"}, /* opcodes */
        {0x8b, "x", 1, "error(1002)"},
        {0x80, "x", 1, "error(1002)"},        /* continues nothing */
        {0x09, "x", 1, "error(1002)"},        /* fragmented control frame */
        {0x88, "x", 1, "error(1002)"},        /* half a close code */
        {0x88, "\x03\xed", 2, "error(1002)"}, /* 1005 */
        {0x88, "\x03\xee", 2, "error(1002)"}, /* 1006 */
        {0x88, "\x03\xf7", 2, "error(1002)"}, /* 1015 */
        {0x88, "\x03\xe7", 2, "error(1002)"}, /* 999 */
        {0x88, "\x13\x88", 2, "error(1002)"}, /* 5000 */
        {0x88, "\x03\xe8\xff", 3, "error(1007)"},
        {0x88, "\x03\xe8\xc3", 3, "error(1007)"},
        {0x88, "", 0, "close(1005 ) "},
        {0x88, "\x0b\xb8", 2, "close(3000 ) "},
        {0x81, "\xc3", 1, "error(1007)"},         /* cut character */
        {0x81, "\xed\xa0\x80", 3, "error(1007)"}, /* surrogate */
        {0x01, "a\xff", 2, "error(1007)"},        /* seen before the message ends */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgi_buf_t wire = {0};
        add_frame(&wire, cases[i].first, cases[i].payload, cases[i].size);
        expect(&wire, cases[i].expected);
    }
}

static void
test_interrupted_message(void **state)
{
    asgi_buf_t wire = {0};

    FRAME(&wire, 0x01, "a");
    FRAME(&wire, 0x81, "b");
    expect(&wire, "error(1002)");
}

static void
test_raw_heads(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } cases[] = {
        {"\x81\x01x", 3, "error(1002)"},                       /* not masked */
        {"\x82\xff\x80\0\0\0\0\0\0\0abcd", 14, "error(1002)"}, /* 2^63 bytes */
        {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
         "abcd",
         14, "error(1009)"},
        {"\x89\xfe\0\x7e"
         "abcd",
         8, "error(1002)"}, /* a ping of 126 */
        {"\x82\xfe\x03\xe9"
         "abcd",
         8, "error(1009)"}, /* 1001 bytes */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgi_buf_t wire = {0};
        assert_int_equal(asgi_buf_append(&wire, cases[i].bytes, cases[i].size), 0);
        expect(&wire, cases[i].expected);
    }
}

static void
test_too_big_in_pieces(void **state)
{
    char data[600] = {0}, log[2048];
    asgi_buf_t wire = {0};

    add_frame(&wire, 0x02, data, 600);
    add_frame(&wire, 0x80, data, 401);
    replay(&wire, 100, 1000, log, sizeof log);
    assert_string_equal(log, "error(1009)");
    asgi_buf_dispose(&wire);
}

/* Random bytes, heads made likely: nothing is read or written out of bounds, and no message is
 * longer than it may be. */
static void
test_noise(void **state)
{
    static const uint8_t firsts[] = {0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xff};
    uint32_t seed = 1;
#define RANDOM() (seed = seed * 1664525u + 1013904223u, seed >> 16)

    for (int round = 0; round < 20000; round++) {
        asgi_ws_parser_t parser;
        asgi_ws_event_t event = {.kind = ASGI_WS_MORE};
        asgi_buf_t into = {0};
        asgi_ws_parser_init(&parser, 300);
        for (int piece = 0; piece < 8 && event.kind != ASGI_WS_ERROR; piece++) {
            size_t size = 1 + RANDOM() % 200, used = 0;
            char *data = malloc(size);
            for (size_t i = 0; i < size; i++)
                data[i] = (char)RANDOM();
            data[0] = (char)firsts[RANDOM() % sizeof firsts];
            if (size > 1)
                data[1] = (char)(0x80 | (RANDOM() % 4 ? RANDOM() % 100 : RANDOM()));
            while (asgi_ws_next(&parser, data + used, size - used, &into, &event) != ASGI_WS_MORE
                   && event.kind != ASGI_WS_ERROR) {
                used += event.consumed;
                assert_true(used <= size);
                assert_true(event.kind != ASGI_WS_MESSAGE || event.size <= 300);
                if (event.kind == ASGI_WS_MESSAGE)
                    asgi_buf_clear(&into);
            }
            free(data);
        }
        asgi_buf_dispose(&into);
    }
#undef RANDOM
}

static void
test_writing(void **state)
{
    char head[ASGI_WS_HEAD_MAX], reason[200];
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_ws_head(head, ASGI_WS_TEXT, 125), 2);
    assert_memory_equal(head, "\x81\x7d", 2);
    assert_int_equal(asgi_ws_head(head, ASGI_WS_BINARY, 126), 4);
    assert_memory_equal(head, "\x82\x7e\0\x7e", 4);
    assert_int_equal(asgi_ws_head(head, ASGI_WS_BINARY, 65536), 10);
    assert_memory_equal(head, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
    assert_int_equal(asgi_ws_control(&buf, ASGI_WS_OP_PONG, "hi", 2), 0);
    assert_int_equal(asgi_ws_close(&buf, 1000, "bye", 3), 0);
    assert_int_equal(asgi_ws_close(&buf, ASGI_WS_NO_CODE, "not sent", 8), 0);
    assert_int_equal(asgi_buf_size(&buf), 13);
    assert_memory_equal(buf.data,
                        "\x8a\x02hi\x88\x05\x03\xe8"
                        "bye\x88\0",
                        13);
    asgi_buf_clear(&buf);
    /* 123 bytes of reason fit; the character that would be cut goes. */
    memset(reason, 'x', sizeof reason);
    memcpy(reason + 122, "\xc3\xa9", 2);
    assert_int_equal(asgi_ws_close(&buf, 1001, reason, sizeof reason), 0);
    assert_int_equal(asgi_buf_size(&buf), 2 + 2 + 122);
    asgi_buf_dispose(&buf);
}

static void
test_handshake(void **state)
{
    static const char *bad[] = {"",
                                "abc",
                                "dGhlIHNhbXBsZSBub25jZQ=",
                                "dGhlIHNhbXBsZSBub25jZQ=a",
                                "dGhlIHNhbXBsZSBub25j Q==",
                                "dGhlIHNhbXBsZSBub25jZQ==="};
    char accept[ASGI_WS_ACCEPT_SIZE];

    assert_true(asgi_ws_key_ok(ASGI_SLICE("dGhlIHNhbXBsZSBub25jZQ==")));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(asgi_ws_key_ok((asgi_slice_t){bad[i], strlen(bad[i])}));
    asgi_ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof accept);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_fragments_with_control_between),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_unmask_from_any_offset),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_interrupted_message),
        cmocka_unit_test(test_raw_heads), cmocka_unit_test(test_too_big_in_pieces),
        cmocka_unit_test(test_noise),     cmocka_unit_test(test_writing),
        cmocka_unit_test(test_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
