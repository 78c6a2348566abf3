/* SPDX-License-Identifier: MIT
 *
 * test_ws_deflate.c: the negotiation of permessage-deflate, and messages through zlib: bounds,
 * windows, context takeover, last blocks, noise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "proto/ws.h"
#include "proto/ws_deflate.h"

static uint32_t seed = 1;

static uint32_t
noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 16;
}

/* ---- negotiation ---- */

static void
test_offers(void **state)
{
#define NAME "permessage-deflate"
#define S_BITS "; server_max_window_bits="
#define C_BITS "; client_max_window_bits="
    static const struct {
        const char *line;
        const char *answer; /* "": declined; NULL: malformed */
    } cases[] = {
        {"", ""},
        {" ,\t, ", ""},
        {NAME, NAME S_BITS "12"},
        {"  " NAME "\t", NAME S_BITS "12"},
        {NAME "; client_max_window_bits", NAME S_BITS "12" C_BITS "12"},
        {NAME C_BITS "15", NAME S_BITS "12" C_BITS "12"},
        {NAME C_BITS "8", NAME S_BITS "12" C_BITS "8"},
        {NAME S_BITS "8", NAME S_BITS "8"},
        {NAME S_BITS "9", NAME S_BITS "9"},
        {NAME S_BITS "15", NAME S_BITS "12"},
        {NAME S_BITS "\"10\"", NAME S_BITS "10"},
        {NAME S_BITS "\"1\\0\"", NAME S_BITS "10"},
        {NAME " ;server_no_context_takeover", NAME "; server_no_context_takeover" S_BITS "12"},
        {NAME ";client_no_context_takeover ", NAME "; client_no_context_takeover" S_BITS "12"},
        {NAME C_BITS "10; client_no_context_takeover" S_BITS "11; server_no_context_takeover",
         NAME "; server_no_context_takeover; client_no_context_takeover" S_BITS "11" C_BITS "10"},
        /* Declined. */
        {"x-webkit-deflate-frame", ""},
        {NAME "d", ""},
        {"permessage-deflat", ""},
        {NAME "; unknown", ""},
        {NAME "; unknown=1", ""},
        {NAME "; server_no_context_takeover=true", ""},
        {NAME "; client_no_context_takeover=\"1\"", ""},
        {NAME "; server_no_context_takeover; server_no_context_takeover", ""},
        {NAME "; client_no_context_takeover; client_no_context_takeover", ""},
        {NAME "; server_max_window_bits", ""},
        {NAME S_BITS "7", ""},
        {NAME S_BITS "16", ""},
        {NAME S_BITS "08", ""},
        {NAME S_BITS "1", ""},
        {NAME S_BITS "100", ""},
        {NAME S_BITS "-9", ""},
        {NAME S_BITS "1a", ""},
        {NAME S_BITS "\"010\"", ""},
        {NAME S_BITS "10" S_BITS "10", ""},
        {NAME C_BITS "7", ""},
        {NAME C_BITS "16", ""},
        {NAME C_BITS "+9", ""},
        {NAME C_BITS "10" C_BITS "10", ""},
        {NAME "; client_max_window_bits" C_BITS "10", ""},
        {NAME C_BITS "0; client_max_window_bits", ""},
        /* The first that can be accepted. */
        {NAME S_BITS "7, " NAME S_BITS "9", NAME S_BITS "9"},
        {"other; a=\"b\", " NAME C_BITS "9," NAME, NAME S_BITS "12" C_BITS "9"},
        {NAME ",," NAME "; unknown", NAME S_BITS "12"},
        /* Malformed. */
        {NAME ";", NULL},
        {NAME "; ;", NULL},
        {NAME "; =1", NULL},
        {NAME "; server_max_window_bits=", NULL},
        {NAME "; server_max_window_bits= ,", NULL},
        {NAME "; a=\"b", NULL},
        {NAME "; a=\"\"", NULL},
        {NAME "; a=\"b c\"", NULL},
        {NAME "; a=\"b\\", NULL},
        {NAME "; a=b c", NULL},
        {NAME " " NAME, NULL},
        {NAME "=1", NULL},
        {NAME "; a b", NULL},
        {"\xe9", NULL},
        {NAME ", @", NULL},
        {";", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgi_ws_extension_t extension = {0};
        size_t size = strlen(cases[i].line);
        /* A copy of its own: the address sanitizer sees a byte read too many. */
        char *line = malloc(size + 1), answer[ASGI_WS_EXTENSION_ANSWER_MAX] = "";
        int rc;
        memcpy(line, cases[i].line, size);
        line = realloc(line, size > 0 ? size : 1);
        rc = asgi_ws_extension_offers(&extension, (asgi_slice_t){line, size});
        if (extension.agreed)
            answer[asgi_ws_extension_answer(&extension, answer)] = '\0';
        if (rc != (cases[i].answer == NULL ? ASGI_ERR_SYNTAX : 0)
            || (rc == 0 && strcmp(answer, cases[i].answer) != 0))
            fail_msg("%s: %d, '%s'", cases[i].line, rc, answer);
        free(line);
    }
}

static void
test_offers_over_several_lines(void **state)
{
    asgi_ws_extension_t extension = {0};

    assert_int_equal(asgi_ws_extension_offers(&extension, ASGI_SLICE("other, " NAME "; no")), 0);
    assert_false(extension.agreed);
    assert_int_equal(asgi_ws_extension_offers(&extension, ASGI_SLICE(NAME S_BITS "9")), 0);
    assert_int_equal(asgi_ws_extension_offers(&extension, ASGI_SLICE(NAME S_BITS "10")), 0);
    assert_true(extension.agreed);
    assert_int_equal(extension.server_bits, 9);
    assert_int_equal(extension.client_bits, 15);
    assert_int_equal(asgi_ws_extension_offers(&extension, ASGI_SLICE("\"")), ASGI_ERR_SYNTAX);
}

static void
test_tokens(void **state)
{
    assert_true(asgi_ws_tokens_ok(ASGI_SLICE("chat")));
    assert_true(asgi_ws_tokens_ok(ASGI_SLICE(" a.b , ,v1!#$%&'*+-^_`|~,")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE("")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE(" , ")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE("a b")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE("a,\xc3\xa9")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE("a;b")));
    assert_false(asgi_ws_tokens_ok(ASGI_SLICE("a\x7f")));
}

/* ---- compressing ---- */

static asgi_ws_deflate_t *
make(uint8_t server_bits, bool server_no_takeover, uint8_t client_bits, bool client_no_takeover)
{
    asgi_ws_extension_t agreed = {.agreed = true,
                                  .server_bits = server_bits,
                                  .client_bits = client_bits,
                                  .server_no_takeover = server_no_takeover,
                                  .client_no_takeover = client_no_takeover};
    asgi_ws_deflate_t *deflate = asgi_ws_deflate_new(&agreed);

    assert_non_null(deflate);
    return deflate;
}

/* Words over and over, with noise between: something to refer back to at any distance. */
static void
fill(char *data, size_t size)
{
    static const char *words[] = {"window", "frame ", "message", "\xc3\xa9t\xc3\xa9", "1234567890"};

    for (size_t i = 0; i < size;) {
        const char *word = words[noise() % 5];
        size_t n = strlen(word);
        if (n > size - i)
            n = size - i;
        memcpy(data + i, word, n);
        i += n;
        if (i < size && noise() % 3 == 0)
            data[i++] = (char)('a' + noise() % 26);
    }
}

/* The payload of the one frame in buf, the head judged. */
static asgi_slice_t
payload_of(const asgi_buf_t *buf, uint8_t first)
{
    const uint8_t *head = (const uint8_t *)asgi_buf_front(buf);
    size_t length = head[1], at = 2;

    assert_int_equal(head[0], first);
    if (length == 126) {
        length = (size_t)head[2] << 8 | head[3];
        assert_true(length >= 126);
        at = 4;
    } else if (length == 127) {
        length = 0;
        for (int i = 2; i < 10; i++)
            length = length << 8 | head[i];
        assert_true(length >= 65536);
        at = 10;
    }
    assert_int_equal(asgi_buf_size(buf), at + length);
    return (asgi_slice_t){asgi_buf_front(buf) + at, length};
}

/* Messages of all sizes, read by zlib itself with a window of exactly what was agreed on. */
static void
round_trips(uint8_t bits, bool no_takeover)
{
    static char data[200000], out[200001];
    static const size_t sizes[] = {128, 129, 500, 1000, 16384, 65536, 70000, 200000, 300, 200};
    asgi_ws_deflate_t *deflate = make(bits, no_takeover, 15, false);
    z_stream in = {0};

    assert_int_equal(inflateInit2(&in, -bits), Z_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        asgi_buf_t buf = {0};
        asgi_slice_t payload;
        fill(data, sizes[i]);
        assert_int_equal(
            asgi_ws_deflate_frame(deflate, &buf, ASGI_WS_TEXT, (asgi_slice_t){data, sizes[i]}), 1);
        payload = payload_of(&buf, 0xc1);
        assert_true(payload.size < sizes[i]);
        if (no_takeover)
            assert_int_equal(inflateReset(&in), Z_OK); /* forgets the window */
        in.next_out = (Bytef *)out;
        in.avail_out = sizeof out;
        in.next_in = (Bytef *)payload.data;
        in.avail_in = (uInt)payload.size;
        assert_int_equal(inflate(&in, Z_SYNC_FLUSH), Z_OK);
        in.next_in = (Bytef *)"\0\0\xff\xff";
        in.avail_in = 4;
        assert_int_equal(inflate(&in, Z_SYNC_FLUSH), Z_OK);
        assert_int_equal(in.avail_in, 0);
        assert_int_equal(sizeof out - in.avail_out, sizes[i]);
        assert_memory_equal(out, data, sizes[i]);
        asgi_buf_dispose(&buf);
    }
    inflateEnd(&in);
    asgi_ws_deflate_free(deflate);
}

static void
test_every_window(void **state)
{
    for (uint8_t bits = 8; bits <= 15; bits++) {
        round_trips(bits, false);
        round_trips(bits, true);
    }
}

static void
test_takeover_shortens(void **state)
{
    char data[600];
    asgi_ws_deflate_t *with = make(12, false, 12, false), *without = make(12, true, 12, false);
    size_t sizes[2][2];

    fill(data, sizeof data);
    for (int i = 0; i < 2; i++) {
        asgi_ws_deflate_t *deflate = i == 0 ? with : without;
        for (int k = 0; k < 2; k++) {
            asgi_buf_t buf = {0};
            assert_int_equal(asgi_ws_deflate_frame(deflate, &buf, ASGI_WS_BINARY,
                                                   (asgi_slice_t){data, sizeof data}),
                             1);
            sizes[i][k] = payload_of(&buf, 0xc2).size;
            asgi_buf_dispose(&buf);
        }
        asgi_ws_deflate_free(deflate);
    }
    assert_true(sizes[0][1] < sizes[0][0] / 4);
    assert_int_equal(sizes[1][1], sizes[1][0]);
    assert_int_equal(sizes[0][0], sizes[1][0]);
}

static void
test_rest_forgets(void **state)
{
    char data[600];
    asgi_ws_deflate_t *deflate = make(12, false, 12, false);
    size_t sizes[3];

    fill(data, sizeof data);
    for (int i = 0; i < 3; i++) {
        asgi_buf_t buf = {0};
        assert_int_equal(
            asgi_ws_deflate_frame(deflate, &buf, ASGI_WS_BINARY, (asgi_slice_t){data, sizeof data}),
            1);
        sizes[i] = payload_of(&buf, 0xc2).size;
        asgi_buf_dispose(&buf);
        asgi_ws_deflate_rest(deflate); /* used since the last one: kept */
        if (i == 1)
            asgi_ws_deflate_rest(deflate);
    }
    assert_true(sizes[1] < sizes[0]);
    assert_int_equal(sizes[2], sizes[0]);
    asgi_ws_deflate_free(deflate);
}

static void
test_what_does_not_pay(void **state)
{
    static char random[5000], text[5000];
    asgi_ws_deflate_t *deflate = make(12, false, 12, false);
    asgi_buf_t buf = {0};
    int tried = 0;

    for (size_t i = 0; i < sizeof random; i++)
        random[i] = (char)noise();
    fill(text, sizeof text);
    assert_int_equal(asgi_buf_append(&buf, "before", 6), 0);
    assert_int_equal(asgi_ws_deflate_frame(deflate, &buf, 1, (asgi_slice_t){text, 127}), 0);
    assert_int_equal(asgi_ws_deflate_frame(deflate, &buf, 2, (asgi_slice_t){random, sizeof random}),
                     0);
    assert_int_equal(asgi_buf_size(&buf), 6);
    assert_memory_equal(asgi_buf_front(&buf), "before", 6);
    /* Some messages later it is tried again, and nothing refers to the one not sent. */
    while (tried < 100
           && asgi_ws_deflate_frame(deflate, &buf, 1, (asgi_slice_t){text, sizeof text}) == 0)
        tried++;
    assert_int_equal(tried, 2);
    asgi_buf_consume(&buf, 6);
    {
        asgi_ws_deflate_t *reader = make(12, false, 12, false);
        asgi_slice_t payload = payload_of(&buf, 0xc1);
        asgi_buf_t into = {0};
        assert_int_equal(asgi_ws_inflate(reader, payload.data, payload.size, sizeof text, &into),
                         0);
        assert_int_equal(asgi_ws_inflate_end(reader, 0, &into), 0);
        assert_int_equal(asgi_buf_size(&into), sizeof text);
        assert_memory_equal(asgi_buf_front(&into), text, sizeof text);
        asgi_buf_dispose(&into);
        asgi_ws_deflate_free(reader);
    }
    asgi_buf_dispose(&buf);
    asgi_ws_deflate_free(deflate);
}

/* ---- inflating ---- */

/* Inflates a message cut into pieces of `step` bytes. Returns as asgi_ws_inflate_end(). */
static int
inflate_in_steps(asgi_ws_deflate_t *deflate, const char *data, size_t size, size_t step,
                 size_t most, asgi_buf_t *into)
{
    int rc = 0;

    for (size_t at = 0; at < size && rc == 0; at += step) {
        size_t n = size - at < step ? size - at : step, left = most - asgi_buf_size(into);
        char *piece = malloc(n);
        memcpy(piece, data + at, n);
        rc = asgi_ws_inflate(deflate, piece, n, left, into);
        free(piece);
    }
    assert_true(asgi_buf_size(into) <= most);
    return rc < 0 ? rc : asgi_ws_inflate_end(deflate, most - asgi_buf_size(into), into);
}

static void
test_examples_of_the_rfc(void **state)
{
    static const struct {
        const char *data;
        size_t size;
        const char *text;
    } cases[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello"},
        {"\xf2\x00\x11\x00\x00", 5, "Hello"},             /* refers to the first */
        {"\x00\x05\x00\xfa\xffHello\x00", 11, "Hello"},   /* not compressed */
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello"}, /* a last block */
        {"\xf3\x00\x11\x00\x00", 5, "Hello"},             /* … over its window */
        {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello"}, /* two blocks */
        {"\x00", 1, ""},
        {"\x03\x00\x03\x00\x00", 5, ""}, /* two last blocks of nothing */
    };

    for (size_t step = 1; step <= 13; step++) {
        asgi_ws_deflate_t *deflate = make(12, false, 12, false);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            asgi_buf_t into = {0};
            int rc = inflate_in_steps(deflate, cases[i].data, cases[i].size, step, 100, &into);
            if (rc != 0)
                fail_msg("example %zu in steps of %zu: %d", i, step, rc);
            assert_int_equal(asgi_buf_size(&into), strlen(cases[i].text));
            if (into.data != NULL)
                assert_memory_equal(asgi_buf_front(&into), cases[i].text, strlen(cases[i].text));
            asgi_buf_dispose(&into);
        }
        asgi_ws_deflate_free(deflate);
    }
}

static void
test_what_is_no_message(void **state)
{
    static const struct {
        const char *data;
        size_t size;
    } cases[] = {
        {"", 0},                        /* not even a block */
        {"\x07", 1},                    /* a block of no kind */
        {"\xff\xff\xff\xff", 4},        /* … behind a last bit */
        {"\xf2\x48\xcd\xc9", 4},        /* cut */
        {"\x00\x05\x00\xfa\xffHel", 8}, /* cut in a stored block */
        {"\x00\x05\x00\xfa\xfeHello\x00", 11},
        {"\xf3\x48\xcd\xc9\xc9\x07\x00", 7}, /* a last block without the byte behind it */
        {"\xf2\x00\x11\x00\x00", 5},         /* refers to before the first message */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step <= 11; step++) {
            asgi_ws_deflate_t *deflate = make(12, false, 12, false);
            asgi_buf_t into = {0};
            int rc = inflate_in_steps(deflate, cases[i].data, cases[i].size, step, 100, &into);
            if (rc != ASGI_ERR_SYNTAX)
                fail_msg("case %zu in steps of %zu: %d", i, step, rc);
            asgi_buf_dispose(&into);
            asgi_ws_deflate_free(deflate);
        }
    }
}

static void
test_no_takeover_forgets(void **state)
{
    asgi_ws_deflate_t *deflate = make(12, false, 12, true);
    asgi_buf_t into = {0};

    assert_int_equal(inflate_in_steps(deflate, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 7, 100, &into),
                     0);
    assert_int_equal(inflate_in_steps(deflate, "\xf2\x00\x11\x00\x00", 5, 5, 100, &into),
                     ASGI_ERR_SYNTAX);
    asgi_buf_dispose(&into);
    asgi_ws_deflate_free(deflate);
}

static void
test_bound_while_inflating(void **state)
{
    static char zeros[1 << 20], packed[8192];
    z_stream out = {0};
    size_t size;

    assert_int_equal(deflateInit2(&out, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    out.next_in = (Bytef *)zeros;
    out.avail_in = sizeof zeros;
    out.next_out = (Bytef *)packed;
    out.avail_out = sizeof packed;
    assert_int_equal(deflate(&out, Z_SYNC_FLUSH), Z_OK);
    size = sizeof packed - out.avail_out - 4;
    deflateEnd(&out);
    for (int extra = -1; extra <= 1; extra++) {
        static const size_t steps[] = {1, 3, 1000, 8192};
        for (size_t i = 0; i < 4; i++) {
            asgi_ws_deflate_t *deflate = make(12, false, 15, false);
            asgi_buf_t into = {0};
            assert_int_equal(inflate_in_steps(deflate, packed, size, steps[i],
                                              sizeof zeros + (size_t)extra, &into),
                             extra < 0 ? ASGI_ERR_BODY_SIZE : 0);
            assert_true(extra < 0 || asgi_buf_size(&into) == sizeof zeros);
            asgi_buf_dispose(&into);
            asgi_ws_deflate_free(deflate);
        }
    }
    {
        asgi_ws_deflate_t *deflate = make(12, false, 15, false);
        asgi_buf_t into = {0};
        assert_int_equal(asgi_ws_inflate(deflate, packed, size, 1000, &into), ASGI_ERR_BODY_SIZE);
        assert_true(into.capacity <= 1024); /* nothing was made room for beyond the bound */
        asgi_buf_dispose(&into);
        asgi_ws_deflate_free(deflate);
    }
}

/* Noise, and good messages with bits flipped: no read or write out of bounds, no bound broken. */
static void
test_noise(void **state)
{
    static char text[3000];
    asgi_ws_deflate_t *writer = make(12, true, 12, false);
    asgi_buf_t good = {0};
    asgi_slice_t payload;

    fill(text, sizeof text);
    assert_int_equal(asgi_ws_deflate_frame(writer, &good, 1, (asgi_slice_t){text, sizeof text}), 1);
    payload = payload_of(&good, 0xc1);
    for (int round = 0; round < 4000; round++) {
        asgi_ws_deflate_t *deflate = make(12, false, (uint8_t)(8 + noise() % 8), noise() % 2);
        size_t most = noise() % 4000;
        for (int k = 0; k < 3; k++) {
            asgi_buf_t into = {0};
            size_t size = k == 0 ? 1 + noise() % 300 : payload.size;
            char *data = malloc(size);
            for (size_t i = 0; i < size; i++)
                data[i] = k == 0 ? (char)noise() : payload.data[i];
            for (int flips = (int)(noise() % 4); k > 0 && flips > 0; flips--)
                data[noise() % size] ^= (char)(1 << noise() % 8);
            if (inflate_in_steps(deflate, data, size, 1 + noise() % size, most, &into) == 0)
                assert_true(asgi_buf_size(&into) <= most);
            free(data);
            asgi_buf_dispose(&into);
        }
        asgi_ws_deflate_free(deflate);
    }
    asgi_buf_dispose(&good);
    asgi_ws_deflate_free(writer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_offers_over_several_lines),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_every_window),
        cmocka_unit_test(test_takeover_shortens),
        cmocka_unit_test(test_rest_forgets),
        cmocka_unit_test(test_what_does_not_pay),
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_what_is_no_message),
        cmocka_unit_test(test_no_takeover_forgets),
        cmocka_unit_test(test_bound_while_inflating),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
