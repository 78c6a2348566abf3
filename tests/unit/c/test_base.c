/* SPDX-License-Identifier: MIT
 *
 * test_base.c: buffers, pools, lists, slices, UTF-8 and percent-decoding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/spares.h"
#include "base/utf8.h"

static void
test_buf(void **state)
{
    asgi_buf_t buf = {0};
    char expected[5000];
    size_t at = 0, taken = 0;

    for (size_t i = 0; i < sizeof expected; i++)
        expected[i] = (char)(i * 7);
    while (taken < sizeof expected) {
        size_t n = at + 97 < sizeof expected ? 97 : sizeof expected - at;
        assert_int_equal(asgi_buf_append(&buf, expected + at, n), 0);
        at += n;
        assert_int_equal(asgi_buf_size(&buf), at - taken);
        assert_memory_equal(asgi_buf_front(&buf), expected + taken, at - taken);
        n = at - taken < 61 || at == sizeof expected ? at - taken : 61;
        asgi_buf_consume(&buf, n);
        taken += n;
    }
    assert_int_equal(asgi_buf_size(&buf), 0);
    assert_int_equal(buf.start, 0);
    assert_int_equal(asgi_buf_append(&buf, NULL, 0), 0);
    assert_int_equal(asgi_buf_reserve(&buf, SIZE_MAX), ASGI_ERR_NOMEM);
    asgi_buf_shrink(&buf, 16);
    assert_null(buf.data);
    asgi_buf_dispose(&buf);
}

static void
test_pool(void **state)
{
    asgi_pool_t pool;
    void *chunks[5];

    asgi_pool_init(&pool, 1, 3);
    for (int i = 0; i < 5; i++) {
        chunks[i] = asgi_pool_take(&pool);
        assert_non_null(chunks[i]);
        memset(chunks[i], i, pool.size);
    }
    assert_int_equal(pool.taken, 5);
    for (int i = 0; i < 5; i++)
        asgi_pool_give(&pool, chunks[i]);
    assert_int_equal(pool.taken, 0);
    assert_int_equal(pool.kept, 3);
    assert_ptr_equal(asgi_pool_take(&pool), chunks[2]);
    asgi_pool_dispose(&pool);
    asgi_pool_give(&pool, chunks[2]);   /* comes back after the pool has gone: straight to free */
    assert_int_equal(pool.kept, 0);
}

static void
test_spares(void **state)
{
    asgi_spares_t spares = {0};
    asgi_buf_t bufs[ASGI_SPARES_KEPT + 1] = {{0}}, other = {0};
    char *block;

    /* Small content grows by malloc. */
    assert_int_equal(asgi_spares_reserve(&spares, &bufs[0], 100), 0);
    assert_true(bufs[0].capacity < 4096);
    assert_int_equal(asgi_buf_append(&bufs[0], "content", 7), 0);
    asgi_buf_consume(&bufs[0], 3);

    for (int i = 0; i <= ASGI_SPARES_KEPT; i++) {
        assert_int_equal(asgi_spares_reserve(&spares, &bufs[i], 4097), 0);
        assert_int_equal(bufs[i].capacity, ASGI_SPARE_SIZE);
        assert_true(bufs[i].capacity - bufs[i].end >= 4097);
        memset(bufs[i].data + bufs[i].end, i, ASGI_SPARE_SIZE - bufs[i].end);
    }
    assert_int_equal(asgi_buf_size(&bufs[0]), 4);
    assert_memory_equal(asgi_buf_front(&bufs[0]), "tent", 4);

    /* What does not fit into one is a buffer as any other, the content stays. */
    assert_int_equal(asgi_spares_reserve(&spares, &bufs[0], ASGI_SPARE_SIZE), 0);
    assert_true(bufs[0].capacity >= ASGI_SPARE_SIZE + 4);
    assert_memory_equal(asgi_buf_front(&bufs[0]), "tent", 4);
    assert_int_equal(asgi_spares_reserve(&spares, &other, SIZE_MAX), ASGI_ERR_NOMEM);
    asgi_spares_take_back(&spares, &bufs[0]);
    assert_null(bufs[0].data);
    assert_int_equal(spares.count, 0);

    block = bufs[ASGI_SPARES_KEPT].data;
    for (int i = 1; i <= ASGI_SPARES_KEPT; i++)
        asgi_spares_take_back(&spares, &bufs[i]);
    assert_int_equal(spares.count, ASGI_SPARES_KEPT);
    assert_int_equal(asgi_spares_reserve(&spares, &other, ASGI_SPARE_SIZE), 0);
    assert_ptr_equal(other.data, block);
    asgi_buf_dispose(&other); /* a block is malloc's own */
    for (int i = 0; i < 2; i++)
        assert_int_equal(asgi_spares_reserve(&spares, &bufs[i], 5000), 0);
    assert_int_equal(spares.count, 1);
    asgi_spares_dispose(&spares);
    for (int i = 0; i < 2; i++)
        asgi_spares_take_back(&spares, &bufs[i]);
    asgi_spares_dispose(&spares);
}

static void
test_list(void **state)
{
    asgi_link_t list, a, b;

    asgi_link_init(&list);
    asgi_link_init(&a);
    asgi_link_init(&b);
    assert_null(asgi_list_first(&list));
    asgi_list_push(&list, &a);
    asgi_list_push(&list, &b);
    assert_ptr_equal(asgi_list_first(&list), &a);
    asgi_link_remove(&a);
    asgi_link_remove(&a);
    assert_false(asgi_link_linked(&a));
    assert_ptr_equal(asgi_list_first(&list), &b);
    asgi_link_remove(&b);
    assert_null(asgi_list_first(&list));
}

static void
test_slice(void **state)
{
    asgi_slice_t rest = ASGI_SLICE(" , a ,, b\t,c"), item;

    assert_true(asgi_slice_next_item(&rest, &item) && asgi_slice_is(item, "a"));
    assert_true(asgi_slice_next_item(&rest, &item) && asgi_slice_is(item, "b"));
    assert_true(asgi_slice_next_item(&rest, &item) && asgi_slice_is(item, "c"));
    assert_false(asgi_slice_next_item(&rest, &item));
    assert_true(asgi_slice_is(ASGI_SLICE("ChunKED"), "chunked"));
    assert_false(asgi_slice_is(ASGI_SLICE("chunke"), "chunked"));
    assert_false(asgi_slice_is(ASGI_SLICE("chunkedx"), "chunked"));
    assert_false(asgi_slice_is((asgi_slice_t){"close\0", 6}, "close"));
}

static bool
valid(const char *text, size_t size)
{
    asgi_utf8_t check = {0};
    return asgi_utf8_feed(&check, text, size) && asgi_utf8_complete(&check);
}

static void
test_utf8_all_code_points(void **state)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        char s[4];
        size_t n;
        if (c < 0x80) { s[0] = (char)c; n = 1; }
        else if (c < 0x800) { s[0] = (char)(0xc0 | c >> 6); s[1] = (char)(0x80 | (c & 63)); n = 2; }
        else if (c < 0x10000) {
            s[0] = (char)(0xe0 | c >> 12); s[1] = (char)(0x80 | (c >> 6 & 63));
            s[2] = (char)(0x80 | (c & 63)); n = 3;
        }
        else {
            s[0] = (char)(0xf0 | c >> 18); s[1] = (char)(0x80 | (c >> 12 & 63));
            s[2] = (char)(0x80 | (c >> 6 & 63)); s[3] = (char)(0x80 | (c & 63)); n = 4;
        }
        bool surrogate = c >= 0xd800 && c < 0xe000;
        if (valid(s, n) == surrogate)
            fail_msg("U+%04X", c);
        if (n > 1 && valid(s, n - 1))
            fail_msg("cut U+%04X", c);
    }
}

static void
test_utf8_refusals(void **state)
{
    static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "abcdefgh\xc3",
                                      "\xed\xa0\x80", "abcdefghi\xe2\x28\xa1"};
    asgi_utf8_t check = {0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(valid(bad[i], strlen(bad[i])));
    assert_true(asgi_utf8_feed(&check, "\xe2", 1));
    assert_false(asgi_utf8_complete(&check));
    assert_true(asgi_utf8_feed(&check, "\x82\xac", 2));
    assert_true(asgi_utf8_complete(&check));
    assert_false(asgi_utf8_feed(&check, "\xff", 1));
    assert_false(asgi_utf8_feed(&check, "a", 1));
}

static void
test_percent(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"/a%20b", "/a b"}, {"%41%4a%4A", "AJJ"}, {"%", "%"}, {"%4", "%4"}, {"%zz", "%zz"},
                 {"%%41", "%A"}, {"a%2", "a%2"}, {"%25%32%35", "%25"}, {"+", "+"}};
    char out[32];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = asgi_percent_decode(cases[i].in, strlen(cases[i].in), out);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(out, cases[i].out, n);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf),   cmocka_unit_test(test_pool),
        cmocka_unit_test(test_list),  cmocka_unit_test(test_slice),
        cmocka_unit_test(test_spares),
        cmocka_unit_test(test_utf8_all_code_points), cmocka_unit_test(test_utf8_refusals),
        cmocka_unit_test(test_percent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
