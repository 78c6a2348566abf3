/* SPDX-License-Identifier: MIT
 *
 * test_http1.c: the request parser, every input fed whole and split at every offset and bytewise.
 *
 * A run is written down as text: "H METHOD target minor flags [name=value]…", "B bytes" (adjacent
 * body pieces joined), "T [name=value]…" for trailers, "E", "X code"; the same text must come out of every way of feeding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/http1.h"

typedef struct {
    char text[262144];
    size_t size;
    int in_body;
} record_t;

static void
note(record_t *record, const char *data, size_t size)
{
    assert_true(record->size + size < sizeof record->text);
    memcpy(record->text + record->size, data, size);
    record->size += size;
    record->text[record->size] = '\0';
}

static void
note_text(record_t *record, const char *text)
{
    note(record, text, strlen(text));
}

static void
note_fields(record_t *record, const asgi_http1_t *http1, const char *base)
{
    for (uint32_t i = 0; i < http1->request.field_count; i++) {
        const asgi_field_t *field = &http1->request.fields[i];
        note_text(record, " [");
        note(record, base + field->name, field->name_size);
        note_text(record, "=");
        note(record, base + field->value, field->value_size);
        note_text(record, "]");
    }
    note_text(record, "\n");
}

static void
note_head(record_t *record, const asgi_http1_t *http1, const char *head)
{
    char line[64];

    note_text(record, "H ");
    note_text(record, llhttp_method_name((llhttp_method_t)http1->request.method));
    note_text(record, " ");
    note(record, head + http1->request.target, http1->request.target_size);
    snprintf(line, sizeof line, " %d%s%s%s%s%s", http1->request.minor,
             http1->request.keep_alive ? "" : " close", http1->request.chunked ? " chunked" : "",
             http1->request.expect_continue ? " expect" : "",
             http1->request.upgrade ? " upgrade" : "",
             http1->request.upgrade_websocket ? " ws" : "");
    note_text(record, line);
    note_fields(record, http1, head);
}

/* Takes all events of data[0, size); returns how much is used up. */
static size_t
drain(asgi_http1_t *http1, record_t *record, const char *data, size_t size)
{
    size_t used = 0;
    asgi_http1_event_t event;

    for (int turns = 0; turns < 100000; turns++) {
        asgi_http1_kind_t kind = asgi_http1_next(http1, data + used, size - used, &event);
        const char *at = data + used;
        if (kind == ASGI_HTTP1_ERROR) {
            char line[32];
            snprintf(line, sizeof line, "X %d\n", event.error);
            if (record->in_body)
                note_text(record, "\n");
            record->in_body = 0;
            note_text(record, line);
            return size;
        }
        used += event.consumed;
        assert_true(used <= size);
        if (record->in_body && kind != ASGI_HTTP1_BODY && kind != ASGI_HTTP1_MORE) {
            note_text(record, "\n");
            record->in_body = 0;
        }
        switch (kind) {
        case ASGI_HTTP1_MORE:
            return used;
        case ASGI_HTTP1_HEAD:
            note_head(record, http1, at);
            break;
        case ASGI_HTTP1_BODY:
            if (!record->in_body)
                note_text(record, "B ");
            record->in_body = 1;
            note(record, event.body.data, event.body.size);
            break;
        case ASGI_HTTP1_TRAILERS:
            note_text(record, "T");
            note_fields(record, http1, event.body.data);
            break;
        case ASGI_HTTP1_END:
            note_text(record, "E\n");
            break;
        default:
            break;
        }
    }
    fail_msg("no end");
    return 0;
}

/* Feeds input in pieces that end at the given offsets. Memory moves between calls, and ends with
 * the bytes given, so that AddressSanitizer and valgrind see reads beyond them. */
static void
feed(record_t *record, const char *input, size_t size, size_t first, size_t step, uint32_t max_head,
     uint32_t max_fields, uint64_t max_body)
{
    asgi_http1_t *http1 = malloc(sizeof *http1);
    char *kept = NULL;
    size_t kept_size = 0, at = 0;

    record->size = 0;
    record->text[0] = '\0';
    record->in_body = 0;
    asgi_http1_init(http1);
    if (max_head)
        http1->max_head_bytes = max_head;
    if (max_fields)
        http1->max_fields = max_fields;
    http1->max_body_bytes = max_body;
    while (at < size) {
        size_t n = at == 0 && first > 0 ? first : step;
        if (n > size - at)
            n = size - at;
        char *whole = malloc(kept_size + n);
        if (kept_size > 0)
            memcpy(whole, kept, kept_size);
        memcpy(whole + kept_size, input + at, n);
        free(kept);
        at += n;
        size_t used = drain(http1, record, whole, kept_size + n);
        kept_size = kept_size + n - used;
        kept = malloc(kept_size + 1);
        memcpy(kept, whole + used, kept_size);
        free(whole);
        if (strstr(record->text, "X ") != NULL)
            break;
    }
    if (record->in_body)
        note_text(record, "\n");
    free(kept);
    asgi_http1_dispose(http1);
    free(http1);
}

static record_t whole, other;

static void
check_bounded(const char *input, size_t size, const char *expected, uint32_t max_head,
              uint32_t max_fields, uint64_t max_body)
{
    feed(&whole, input, size, 0, size, max_head, max_fields, max_body);
    assert_string_equal(whole.text, expected);
    for (size_t split = 1; split < size; split++) {
        feed(&other, input, size, split, size, max_head, max_fields, max_body);
        if (strcmp(other.text, expected) != 0)
            fail_msg("split at %zu of %s\ngives %s", split, input, other.text);
    }
    feed(&other, input, size, 1, 1, max_head, max_fields, max_body);
    assert_string_equal(other.text, expected);
}

static void
check(const char *input, const char *expected)
{
    check_bounded(input, strlen(input), expected, 0, 0, 0);
}

static void
check_error(const char *input, int code)
{
    char expected[32];

    snprintf(expected, sizeof expected, "X %d\n", code);
    check(input, expected);
}

static void
test_plain_requests(void **state)
{
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "H GET / 1 [Host=a]\nE\n");
    check("\r\n\r\nGET /a?b=c#d HTTP/1.1\r\nhOsT:a:80\r\nX:  y z \t\r\nEmpty:\r\n\r\n",
          "H GET /a?b=c#d 1 [hOsT=a:80] [X=y z] [Empty=]\nE\n");
    check("GET / HTTP/1.0\r\n\r\n", "H GET / 0 close\nE\n");
    check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
          "H GET / 0 [Connection=Keep-Alive]\nE\n");
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n",
          "H GET / 1 close [Host=a] [Connection=x, close]\nE\n");
    check("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "H OPTIONS * 1 [Host=]\nE\n");
    check("GET http://one/ HTTP/1.1\r\nHost: a\r\n\r\n", "H GET http://one/ 1 [Host=one]\nE\n");
    check("GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
          "H GET / 1 [Host=[::1]:8000]\nE\nH GET /2 1 [Host=a]\nE\n");
}

static void
test_bodies(void **state)
{
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
          "H POST / 1 [Host=a] [Content-Length=5]\nB hello\nE\nH GET / 0 close\nE\n");
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
          "H POST / 1 [Host=a] [Content-Length=0]\nE\n");
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n0002;x=\"y\"\r\nde\r\n0\r\nTrailer: 1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
          "H POST / 1 chunked [Host=a] [Transfer-Encoding=chunked]\nB abcde\nT [Trailer=1]\nE\n"
          "H GET / 0 close\nE\n");
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n"
          "0\r\n\r\n",
          "H POST / 1 chunked [Host=a] [Transfer-Encoding=chunked]\nB 0123456789\nE\n");
    check("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
          "H POST / 1 expect [Host=a] [Expect=100-continue] [Content-Length=1]\nB x\nE\n");
}

static void
test_upgrade_keeps_the_body(void **state)
{
    check("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
          "Content-Length: 3\r\n\r\nabc",
          "H POST / 1 upgrade [Host=a] [Connection=Upgrade] [Upgrade=h2c] [Content-Length=3]\n"
          "B abc\nE\n");
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
          "Upgrade: websocket\r\n\r\nGET / HTTP/1.0\r\n\r\n",
          "H GET / 1 upgrade ws [Host=a] [Connection=keep-alive, Upgrade] [Upgrade=websocket]\nE\n"
          "H GET / 0 close\nE\n");
}

/* The whole request line decides, however it arrives. */
static void
test_what_we_do_not_have(void **state)
{
    check_error("NOPE / HTTP/1.1\r\nHost: a\r\n\r\n", ASGI_ERR_METHOD);
    check_error("get / HTTP/1.1\r\nHost: a\r\n\r\n", ASGI_ERR_METHOD);
    check_error("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", ASGI_ERR_METHOD);
    check_error("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", ASGI_ERR_METHOD);
    check_error("GET / HTTP/2.0\r\nHost: a\r\n\r\n", ASGI_ERR_VERSION);
    check_error("NOPE / HTTP/3.0\r\nHost: a\r\n\r\n", ASGI_ERR_VERSION);
    check_error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ASGI_ERR_VERSION);
    check_error("NO@PE / HTTP/1.1\r\nHost: a\r\n\r\n", ASGI_ERR_SYNTAX);
    check_error("NOPE / HTTP/1.1\nHost: a\r\n\r\n", ASGI_ERR_SYNTAX);
}

static void
test_malformed_heads(void **state)
{
    static const char *const inputs[] = {
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "NOPE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:b/c HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?abcd HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        "\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01",
    };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        feed(&whole, inputs[i], strlen(inputs[i]), 0, 4096, 0, 0, 0);
        if (strncmp(whole.text, "X ", 2) != 0)
            fail_msg("accepted: %s\n%s", inputs[i], whole.text);
        for (size_t split = 1; split < strlen(inputs[i]); split++) {
            feed(&other, inputs[i], strlen(inputs[i]), split, 4096, 0, 0, 0);
            if (strncmp(other.text, "X ", 2) != 0)
                fail_msg("accepted at %zu: %s", split, inputs[i]);
        }
    }
}

static void
test_versions(void **state)
{
    static const char *const versions[] = {"HTTP/0.9",  "HTTP/1.2",  "HTTP/2.0", "HTTP/3.0",
                                           "HTTP/11.1", "HTTP/1.10", "HTP/1.1",  "ICE/1.0"};
    char input[128];

    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        snprintf(input, sizeof input, "GET / %s\r\nHost: a\r\n\r\n", versions[i]);
        feed(&whole, input, strlen(input), 0, 4096, 0, 0, 0);
        assert_memory_equal(whole.text, "X ", 2);
    }
    feed(&whole, "GET /\r\n\r\n", 9, 0, 4096, 0, 0, 0);
    assert_memory_equal(whole.text, "X ", 2);
}

static void
test_host(void **state)
{
    check_error("GET / HTTP/1.1\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ASGI_ERR_HOST);
    check_error("GET / HTTP/1.1\r\nHost: []\r\n\r\n", ASGI_ERR_HOST);
}

static void
test_ambiguous_lengths(void **state)
{
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
    static const char *const inputs[] = {
        POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        POST "Content-Length: 1, 1\r\n\r\nx",
        POST "Content-Length: +1\r\n\r\nx",
        POST "Content-Length: -1\r\n\r\nx",
        POST "Content-Length: 0x1\r\n\r\nx",
        POST "Content-Length: 1 1\r\n\r\nx",
        POST "Content-Length: \r\n\r\nx",
        POST "Content-Length: 99999999999999999999\r\n\r\nx",
        POST "Content-Length: 18446744073709551617\r\n\r\nx",
        POST "Transfer-Encoding: gzip\r\n\r\n",
        POST "Transfer-Encoding: chunked, gzip\r\n\r\n",
        POST "Transfer-Encoding: chunked, chunked\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: xchunked\r\n\r\n",
        POST "Transfer-Encoding: \"chunked\"\r\n\r\n",
        POST "Transfer-Encoding:\r\n\r\n",
        POST "Transfer-Encoding: chunked\x0b\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        feed(&whole, inputs[i], strlen(inputs[i]), 0, 4096, 0, 0, 0);
        if (strncmp(whole.text, "X ", 2) != 0)
            fail_msg("accepted: %s\n%s", inputs[i], whole.text);
    }
}

static void
test_malformed_chunks(void **state)
{
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    static const char *const bodies[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\nx\r\n",
        "0x1\r\nx\r\n",
        " 1\r\nx\r\n",
        "1 \r\nx\r\n",
        "1\nx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n",
        "1\r\nx\r\r",
        "1\rx",
        "1;\nx\r\n",
        "1;a\x01\r\nx\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \x01\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nContent-Length: 1\r\n\r\n",
        "1;\r\nx\r\n",
        "00000000000000001\r\nx\r\n",
    };
    char input[256];

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        snprintf(input, sizeof input, CHUNKED "%s", bodies[i]);
        for (size_t split = 0; split < strlen(input); split++) {
            feed(&whole, input, strlen(input), split, 4096, 0, 0, 0);
            if (strstr(whole.text, "X -") == NULL)
                fail_msg("accepted at %zu: %s\n%s", split, bodies[i], whole.text);
        }
    }
}

static void
test_bounds(void **state)
{
    static char big[200000];
    int n;

    n = snprintf(big, sizeof big, "GET / HTTP/1.1\r\nHost: a\r\nX: %01000d\r\n\r\n", 1);
    check_bounded(big, (size_t)n, "X -10005\n", 512, 0, 0);
    n = snprintf(big, sizeof big, "GET /%0600d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    check_bounded(big, (size_t)n, "X -10006\n", 512, 0, 0);
    check_bounded("GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\n\r\n", 40, "X -10005\n", 0, 2, 0);
    check_bounded(POST "Content-Length: 9\r\n\r\n123456789", 55, "X -10011\n", 0, 0, 8);
    feed(&whole, CHUNKED "4\r\n1234\r\n5\r\n56789\r\n", strlen(CHUNKED) + 19, 0, 4096, 0, 0, 8);
    assert_non_null(strstr(whole.text, "X -10011"));
    n = snprintf(big, sizeof big, CHUNKED "1;%09000d\r\n", 1);
    feed(&whole, big, (size_t)n, 0, 100, 0, 0, 0);
    assert_non_null(strstr(whole.text, "X -10005"));
    n = snprintf(big, sizeof big, CHUNKED "0\r\nX: %09000d\r\n\r\n", 1);
    feed(&whole, big, (size_t)n, 0, 100, 8000, 0, 0);
    assert_non_null(strstr(whole.text, "X -10005"));
}

static void
test_many_fields_move_to_the_heap(void **state)
{
    static char big[65536], expected[65536];
    size_t n = (size_t)sprintf(big, "GET / HTTP/1.1\r\nHost: a\r\n");
    size_t m = (size_t)sprintf(expected, "H GET / 1 [Host=a]");

    for (int i = 0; i < 200; i++) {
        n += (size_t)sprintf(big + n, "X-%d: v%d\r\n", i, i);
        m += (size_t)sprintf(expected + m, " [X-%d=v%d]", i, i);
    }
    n += (size_t)sprintf(big + n, "\r\n");
    sprintf(expected + m, "\nE\n");
    feed(&whole, big, n, 0, n, 0, 0, 0);
    assert_string_equal(whole.text, expected);
    feed(&other, big, n, 0, 7, 0, 0, 0);
    assert_string_equal(other.text, expected);
}

static void
test_targets(void **state)
{
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},           {"/a?b?c", "/a", "b?c"},     {"/a#f?x", "/a", ""},
        {"*", "*", ""},           {"http://h/p?q", "/p", "q"}, {"HTTPS://h", "/", ""},
        {"http://h?q", "/", "q"}, {"//x", "//x", ""},          {"/?", "/", ""},
    };
    asgi_request_t request;
    asgi_slice_t path, query;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request.target = 0;
        request.target_size = (uint32_t)strlen(cases[i].target);
        asgi_request_split_target(&request, cases[i].target, &path, &query);
        assert_int_equal(path.size, strlen(cases[i].path));
        assert_memory_equal(path.data, cases[i].path, path.size);
        assert_int_equal(query.size, strlen(cases[i].query));
        if (query.size > 0)
            assert_memory_equal(query.data, cases[i].query, query.size);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_requests),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_upgrade_keeps_the_body),
        cmocka_unit_test(test_what_we_do_not_have),
        cmocka_unit_test(test_malformed_heads),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_ambiguous_lengths),
        cmocka_unit_test(test_malformed_chunks),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_many_fields_move_to_the_heap),
        cmocka_unit_test(test_targets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
