/* SPDX-License-Identifier: MIT
 *
 * test_http1_out.c: response heads, the framing they decide on, chunk lines, header checks, date.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/date.h"
#include "proto/headers.h"
#include "proto/http1_out.h"

static void
field(asgi_http1_out_t *out, asgi_buf_t *buf, const char *name, const char *value, int expected)
{
    assert_int_equal(asgi_http1_out_field(out, buf, name, strlen(name), value, strlen(value)),
                     expected);
}

static void
assert_text(asgi_buf_t *buf, const char *expected)
{
    assert_int_equal(asgi_buf_append(buf, "", 1), 0);
    assert_string_equal(asgi_buf_front(buf), expected);
    asgi_buf_dispose(buf);
}

static void
test_length(void **state)
{
    asgi_http1_out_t out = {.minor = 1, .keep_alive = true};
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_http1_out_start(&out, &buf, 200), 0);
    field(&out, &buf, "Content-LENGTH", "13", 0);
    field(&out, &buf, "Content-Length", "13", 0);
    field(&out, &buf, "Content-Length", "14", ASGI_ERR_FRAMING);
    field(&out, &buf, "Content-Length", "x", ASGI_ERR_FRAMING);
    field(&out, &buf, "X-Y", "z", 0);
    assert_int_equal(asgi_http1_out_end(&out, &buf), 0);
    assert_int_equal(out.body, ASGI_BODY_LENGTH);
    assert_int_equal(out.remaining, 13);
    assert_text(&buf, "HTTP/1.1 200 OK\r\nx-y: z\r\ncontent-length: 13\r\n\r\n");
}

static void
test_chunked(void **state)
{
    asgi_http1_out_t out = {.minor = 1, .keep_alive = true};
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_http1_out_start(&out, &buf, 404), 0);
    field(&out, &buf, "content-length", "3", 0);
    field(&out, &buf, "transfer-encoding", "Chunked", 0);
    field(&out, &buf, "connection", "Close", 0);
    assert_int_equal(asgi_http1_out_end(&out, &buf), 0);
    assert_int_equal(out.body, ASGI_BODY_CHUNKED);
    assert_false(out.keep_alive);
    assert_int_equal(asgi_http1_out_chunk(&buf, 255), 0);
    assert_text(&buf, "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n"
                      "connection: close\r\n\r\nff\r\n");
}

static void
test_http10(void **state)
{
    asgi_http1_out_t out = {.minor = 0, .keep_alive = true};
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_http1_out_start(&out, &buf, 200), 0);
    assert_int_equal(asgi_http1_out_end(&out, &buf), 0);
    assert_int_equal(out.body, ASGI_BODY_CLOSE);
    assert_text(&buf, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    out = (asgi_http1_out_t){.minor = 0, .keep_alive = true};
    assert_int_equal(asgi_http1_out_start(&out, &buf, 200), 0);
    field(&out, &buf, "content-length", "0", 0);
    assert_int_equal(asgi_http1_out_end(&out, &buf), 0);
    assert_text(&buf, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
}

static void
test_bodiless(void **state)
{
    static const unsigned statuses[] = {204, 304};
    asgi_buf_t buf = {0};

    for (size_t i = 0; i < 2; i++) {
        asgi_http1_out_t out = {.minor = 1, .keep_alive = true};
        assert_int_equal(asgi_http1_out_start(&out, &buf, statuses[i]), 0);
        assert_int_equal(asgi_http1_out_end(&out, &buf), 0);
        assert_int_equal(out.body, ASGI_BODY_NONE);
    }
    assert_text(&buf, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n");
    asgi_http1_out_t head = {.minor = 1, .keep_alive = true, .head_request = true};
    assert_int_equal(asgi_http1_out_start(&head, &buf, 200), 0);
    field(&head, &buf, "content-length", "7", 0);
    assert_int_equal(asgi_http1_out_end(&head, &buf), 0);
    assert_int_equal(head.body, ASGI_BODY_NONE);
    assert_text(&buf, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
}

static void
test_injection(void **state)
{
    asgi_http1_out_t out = {.minor = 1};
    asgi_buf_t buf = {0};

    field(&out, &buf, "a\r\nb", "c", ASGI_ERR_NAME);
    field(&out, &buf, "a b", "c", ASGI_ERR_NAME);
    field(&out, &buf, "a:", "c", ASGI_ERR_NAME);
    field(&out, &buf, "", "c", ASGI_ERR_NAME);
    field(&out, &buf, "a", "b\r\nc: d", ASGI_ERR_VALUE);
    field(&out, &buf, "a", "0123456789\n", ASGI_ERR_VALUE);
    field(&out, &buf, "a", "\x7f", ASGI_ERR_VALUE);
    assert_int_equal(asgi_http1_out_field(&out, &buf, "a", 1, "b\0c", 3), ASGI_ERR_VALUE);
    assert_int_equal(asgi_buf_size(&buf), 0);
    field(&out, &buf, "a", "tab\tand \xc3\xa9", 0);
    asgi_buf_dispose(&buf);
}

static void
test_every_byte_at_every_place(void **state)
{
    char value[24];

    for (size_t at = 0; at < sizeof value; at++) {
        for (int c = 0; c < 256; c++) {
            bool good = (c >= 0x20 || c == '\t') && c != 0x7f;
            memset(value, 0xe9, sizeof value);
            value[at] = (char)c;
            assert_int_equal(asgi_header_value_ok(value, sizeof value), good);
        }
    }
}

static void
test_known_names(void **state)
{
    char lower[64];

    for (int id = 1; id < ASGI_HEADER_COUNT; id++) {
        asgi_slice_t text = asgi_header_text((asgi_header_id_t)id);
        assert_int_equal(asgi_header_name(text.data, text.size, lower), id);
        if (id > 1)
            assert_true(asgi_header_text((asgi_header_id_t)(id - 1)).size <= text.size);
    }
    assert_int_equal(asgi_header_name("X-Other", 7, lower), ASGI_HEADER_OTHER);
    assert_memory_equal(lower, "x-other", 7);
    for (int c = 0; c < 256; c++) {
        char name = (char)c;
        bool token = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
                     || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(asgi_header_name(&name, 1, lower) >= 0, token);
    }
}

static void
test_date(void **state)
{
    char text[ASGI_DATE_SIZE + 1] = {0};

    asgi_date_format(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    asgi_date_format(951782400, text);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_true(asgi_date_now() > 1700000000);
}

static void
test_plain(void **state)
{
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_http1_out_plain(&buf, 503, ASGI_SLICE("server: x\r\n"),
                                          "Service Unavailable", true), 0);
    assert_text(&buf, "HTTP/1.1 503 Service Unavailable\r\nserver: x\r\n"
                      "content-type: text/plain; charset=utf-8\r\ncontent-length: 19\r\n"
                      "connection: close\r\n\r\nService Unavailable");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),     cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_http10),     cmocka_unit_test(test_bodiless),
        cmocka_unit_test(test_injection),  cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_known_names), cmocka_unit_test(test_date),
        cmocka_unit_test(test_plain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
