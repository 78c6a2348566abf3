/* SPDX-License-Identifier: MIT
 *
 * test_stats.c: the record of a worker's figures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/stats.h"

/* What stats.h says a bucket begins at. */
static uint64_t
start_of(size_t bucket)
{
    return bucket < 4 ? bucket : (uint64_t)(4 + bucket % 4) << (bucket / 4 - 1);
}

static void
test_buckets(void **state)
{
    for (size_t bucket = 0; bucket < ASGI_STATS_BUCKETS; bucket++) {
        assert_int_equal(asgi_stats_bucket(start_of(bucket)), bucket);
        if (bucket > 0)
            assert_int_equal(asgi_stats_bucket(start_of(bucket) - 1), bucket - 1);
    }
    assert_int_equal(asgi_stats_bucket(UINT64_MAX), ASGI_STATS_BUCKETS - 1);
}

static void
test_answers(void **state)
{
    asgi_stats_t stats = {0};

    asgi_stats_answered(&stats, 200, 999);
    asgi_stats_answered(&stats, 404, 1500000);
    asgi_stats_answered(&stats, 599, UINT64_MAX);
    asgi_stats_answered(&stats, 0, 0);
    asgi_stats_answered(&stats, 999, 0);
    assert_int_equal(stats.durations[0], 3);
    assert_int_equal(stats.durations[asgi_stats_bucket(1500)], 1);
    assert_int_equal(stats.durations[ASGI_STATS_BUCKETS - 1], 1);
    assert_int_equal(stats.micros[0], 1500 + UINT64_MAX / 1000);
    assert_int_equal(stats.statuses[0], 2);
    assert_int_equal(stats.statuses[2], 1);
    assert_int_equal(stats.statuses[4], 1);
    assert_int_equal(stats.statuses[5], 1);
}

static void
test_refusals(void **state)
{
    asgi_stats_t stats = {0}, none = {0};

    asgi_stats_refused(&stats, 399);
    asgi_stats_refused(&stats, 512);
    asgi_stats_refused(&stats, 0);
    assert_memory_equal(&stats, &none, sizeof stats);
    asgi_stats_refused(&stats, 400);
    asgi_stats_refused(&stats, 511);
    assert_int_equal(stats.refused[0], 1);
    assert_int_equal(stats.refused[ASGI_STATS_REFUSALS - 1], 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
