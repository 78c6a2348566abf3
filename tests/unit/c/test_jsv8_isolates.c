/* SPDX-License-Identifier: MIT
 *
 * test_jsv8_isolates.c: several isolates: in any order, on several threads, with locking turned on
 * late, and pinned on a loop of the host's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "jsv8_harness.h"

void
test_isolates_in_any_order(void **state)
{
    (void)state;
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};
    for (int i = 0; i < 4; i++) {
        jsv8_isolate_t *isolates[3];
        jsv8_ref_t *refs[3];
        jsv8_value_t result;
        jsv8_error_t error;
        for (int k = 0; k < 3; k++) {
            isolates[k] = isolate_with(k == 1 ? JSV8_PROFILE_WEB : JSV8_PROFILE_BARE, 0);
            char source[64];
            snprintf(source, sizeof(source), "function me() { return %d }", k);
            define(isolates[k], source);
            refs[k] = function(isolates[k], "me");
        }
        for (int k = 0; k < 3; k++) {
            jsv8_isolate_free(isolates[orders[i][k]]);
            for (int j = k + 1; j < 3; j++) {
                int other = orders[i][j];
                assert_int_equal(jsv8_call(refs[other], 0, NULL, JSV8_SETTLE, &result, &error),
                                 JSV8_OK);
                assert_int_equal(result.u.integer, other);
            }
        }
        for (int k = 0; k < 3; k++) {
            jsv8_ref_free(refs[k]);
        }
    }
}

static jsv8_ref_t *shared_function;

static void *
call_often(void *argument)
{
    jsv8_value_t result, one = integer(1);
    jsv8_error_t error;
    (void)argument;
    for (int i = 0; i < 2000; i++) {
        jsv8_status_t status = jsv8_call(shared_function, 1, &one, JSV8_SETTLE, &result, &error);
        if (status != JSV8_OK) {
            return "a call failed";
        }
        if (i % 500 == 0) {
            jsv8_ref_t *extra;
            if (jsv8_function(jsv8_ref_isolate(shared_function), "deep", 4, &extra, &error) ||
                jsv8_call(extra, 0, NULL, JSV8_SETTLE, &result, &error) != JSV8_EXCEPTION ||
                strcmp(error.name, "RangeError") != 0) {
                return "no RangeError";
            }
            jsv8_ref_free(extra);
        }
    }
    return NULL;
}

void
test_four_threads(void **state)
{
    (void)state;
    jsv8_locking_on();
    assert_int_equal(jsv8_locking_is_on(), 1);
    for (int profile = 0; profile < 2; profile++) {
        jsv8_isolate_t *isolate = isolate_with((jsv8_profile_t)profile, 0);
        define(isolate, "let total = 0; function bump(n) { total += n; return total }"
                        "function deep() { return deep() + 1 }");
        shared_function = function(isolate, "bump");
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, call_often, NULL), 0);
        }
        for (int i = 0; i < 4; i++) {
            void *problem;
            pthread_join(threads[i], &problem);
            if (problem != NULL) {
                fail_msg("%s", (const char *)problem);
            }
        }
        expect_int(isolate, "total", 8000);
        jsv8_ref_free(shared_function);
        jsv8_isolate_free(isolate);
    }
}

static void *
second_thread(void *argument)
{
    jsv8_isolate_t *isolate = argument;
    jsv8_value_t result;
    jsv8_error_t error;
    if (run(isolate, "count", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error) != JSV8_OK ||
        run(isolate, "(function f() { f() })()", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error) !=
            JSV8_EXCEPTION) {
        return "second thread";
    }
    return NULL;
}

static void
lock_in_interrupt(jsv8_isolate_t *isolate, void *user)
{
    (void)isolate;
    *(int *)user = jsv8_locking_on() == 0;
}

static void *
interrupt_soon(void *argument)
{
    void **given = argument;
    poll(NULL, 0, 50);
    jsv8_interrupt(given[0], lock_in_interrupt, given[1]);
    return NULL;
}

int
lock_inside_process(void)
{
    jsv8_isolate_t *isolate = bare(), *bystander = bare();
    jsv8_value_t result;
    jsv8_error_t error;
    int refused = 0;
    void *given[] = {isolate, &refused};
    pthread_t thread;
    void *problem = NULL;
    if (jsv8_locking_is_on()) {
        return 10;
    }
    define(bystander, "var b = 1");
    define(isolate, "var count = 0");
    pthread_create(&thread, NULL, interrupt_soon, given);
    /* What is thrown after the interrupt finds its way out. */
    if (run(isolate, "const end = Date.now() + 1000; while (Date.now() < end) count++; throw 7",
            JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error) != JSV8_EXCEPTION) {
        return 11;
    }
    pthread_join(thread, NULL);
    if (refused != 1 || jsv8_locking_is_on()) {
        return 12;
    }
    if (jsv8_locking_on() != 1 || !jsv8_locking_is_on()) {
        return 13;
    }
    pthread_create(&thread, NULL, second_thread, isolate);
    pthread_join(thread, &problem);
    if (problem != NULL) {
        return 14;
    }
    expect_int(isolate, "count > 0 ? 1 : 0", 1);
    expect_int(bystander, "b", 1);
    jsv8_isolate_free(isolate);
    jsv8_isolate_free(bystander);
    jsv8_process_stop();
    return 0;
}

static void *
free_elsewhere(void *isolate)
{
    jsv8_locking_on();
    jsv8_isolate_free(isolate);
    return NULL;
}

static void *
use_elsewhere(void *isolate)
{
    jsv8_locking_on();
    expect_int(isolate, "10", 10);
    return NULL;
}

int
orphan_process(int used)
{
    jsv8_isolate_t *first = bare(), *next;
    pthread_t thread;
    expect_int(first, "1", 1);
    if (used) {
        pthread_create(&thread, NULL, use_elsewhere, first);
        pthread_join(thread, NULL);
        expect_int(first, "3", 3);
    }
    pthread_create(&thread, NULL, free_elsewhere, first);
    pthread_join(thread, NULL);
    next = bare();
    expect_int(next, "2", 2);
    jsv8_isolate_free(next);
    return jsv8_live_isolates() == 0 ? 0 : 13;
}

void
test_pinned(void **state)
{
    (void)state;
    uv_loop_t loop;
    jsv8_isolate_t *pinned[2], *other;
    jsv8_value_t result;
    jsv8_error_t error;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (int i = 0; i < 2; i++) {
        jsv8_isolate_config_t config = {.profile = i ? JSV8_PROFILE_WEB : JSV8_PROFILE_NODE,
                                        .loop = &loop, .pinned = 1, .on_unhandled = on_unhandled};
        assert_int_equal(jsv8_isolate_new(&config, &pinned[i], &error), JSV8_OK);
    }
    unhandled[0] = '\0';
    other = bare();
    struct settled slow = {0}, digest = {0};
    jsv8_ref_t *ref = pending(pinned[0], "new Promise((r) => setTimeout(() => r(12), 20))");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &slow), JSV8_OK);
    jsv8_ref_free(ref);
    ref = pending(pinned[1], "crypto.subtle.digest('SHA-1', new Uint8Array(3)).then((d) => "
                             "d.byteLength)");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &digest), JSV8_OK);
    jsv8_ref_free(ref);
    value_of(pinned[1], "setTimeout(() => { throw new Error('in the host loop') }, 1); 1");
    for (int i = 0; i < 500 && !(slow.calls && digest.calls && unhandled[0]); i++) {
        uv_run(&loop, UV_RUN_ONCE);    /* somebody else's loop: no call of ours around it */
        expect_int(other, "3", 3);
    }
    assert_true(slow.number == 12 && digest.number == 20);
    assert_string_equal(unhandled, "Error: in the host loop\n");
    /* Stopped while the loop runs JS. */
    pthread_t thread;
    struct stopper stopper = {pinned[0], 50, 0};
    value_of(pinned[0], "setTimeout(() => { for (;;); }, 1); 1");
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    while (!stopper.done) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
    pthread_join(thread, NULL);
    jsv8_terminate_cancel(pinned[0]);
    expect_int(pinned[0], "4", 4);
    expect_status(pinned[0], "(function f() { f() })()", JSV8_EXCEPTION, "RangeError", NULL);
    jsv8_isolate_free(pinned[0]);    /* the lower one first */
    expect_int(pinned[1], "5", 5);
    expect_int(other, "6", 6);
    jsv8_isolate_free(pinned[1]);
    jsv8_isolate_free(other);
    assert_int_equal(run(NULL ? NULL : (other = bare()), "7", JSV8_OWN_SCOPE, JSV8_SETTLE, &result,
                         &error), JSV8_OK);
    jsv8_isolate_free(other);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}
