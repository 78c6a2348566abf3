/* SPDX-License-Identifier: MIT
 *
 * test_jsv8_promises.c: promises as results, in an isolate with and without Node's environment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "jsv8_harness.h"

static void
check_promises(jsv8_profile_t profile)
{
    jsv8_isolate_t *isolate = isolate_with(profile, 0);
    jsv8_value_t result;
    jsv8_error_t error;

    expect_int(isolate, "Promise.resolve(5)", 5);
    expect_int(isolate, "(async () => { await null; await 1; return 6 })()", 6);
    expect_status(isolate, "Promise.reject(new RangeError('r'))", JSV8_EXCEPTION, "RangeError",
                  "r");
    expect_status(isolate, "(async () => { throw 5 })()", JSV8_EXCEPTION, "", "5");
    expect_status(isolate, "(async () => { await null; throw new Error('late') })()",
                  JSV8_EXCEPTION, "Error", "late");
    assert_string_equal(unhandled, "");    /* the caller has seen them all */
    value_of(isolate, "Promise.reject(new TypeError('lost')); 1");
    assert_string_equal(unhandled, "TypeError: lost\n");
    unhandled[0] = '\0';
    value_of(isolate, "const p = Promise.reject(1); p.catch(() => {}); 1");
    assert_string_equal(unhandled, "");

    define(isolate, "var settle = [], promise = () => new Promise((a, b) => settle.push([a, b]))");
    jsv8_ref_t *ref = pending(isolate, "promise()");
    struct settled first = {0}, second_then = {0}, failing = {0}, lost = {0}, odd = {0};
    assert_int_equal(jsv8_promise_then(ref, on_settled, &first), JSV8_OK);
    assert_int_equal(jsv8_promise_then(ref, on_settled, &second_then), JSV8_OK);
    assert_int_equal(first.calls, 0);
    value_of(isolate, "settle[0][0](41); 1");
    assert_true(first.calls == 1 && first.status == JSV8_OK && first.number == 41);
    assert_true(second_then.calls == 1 && second_then.number == 41);
    assert_int_equal(jsv8_promise_result(ref, &result, &error), JSV8_OK);
    assert_int_equal(result.u.integer, 41);
    assert_int_equal(jsv8_promise_then(ref, on_settled, &first), JSV8_OK);
    assert_int_equal(first.calls, 2);    /* settled already: at once */
    jsv8_ref_free(ref);

    ref = pending(isolate, "promise()");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &failing), JSV8_OK);
    value_of(isolate, "settle[1][1](new Error('why')); 1");
    assert_true(failing.calls == 1 && failing.status == JSV8_EXCEPTION);
    assert_string_equal(failing.message, "why");
    jsv8_ref_free(ref);
    ref = pending(isolate, "promise()");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &odd), JSV8_OK);
    value_of(isolate, "settle[2][0]([() => 1]); 1");
    assert_true(odd.calls == 1 && odd.status == JSV8_CONVERSION);
    jsv8_ref_free(ref);
    assert_string_equal(unhandled, "");

    /* A termination in a microtask throws the queue away; nobody is forgotten. */
    ref = pending(isolate, "promise()");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &lost), JSV8_OK);
    jsv8_ref_free(ref);
    expect_stopped(isolate, "Promise.resolve().then(() => { settle[3][0](9); for (;;); }); 1");
    assert_true(lost.calls == 1 && lost.number == 9);

    /* Freed while pending. */
    struct settled abandoned = {0};
    ref = pending(isolate, "promise()");
    assert_int_equal(jsv8_promise_then(ref, on_settled, &abandoned), JSV8_OK);
    jsv8_isolate_free(isolate);
    assert_true(abandoned.calls == 1 && abandoned.status == JSV8_TERMINATED);
    assert_int_equal(first.calls, 2);
    jsv8_ref_free(ref);
}

void
test_promises_bare(void **state)
{
    (void)state;
    check_promises(JSV8_PROFILE_BARE);
}

void
test_promises_web(void **state)
{
    (void)state;
    check_promises(JSV8_PROFILE_WEB);
}
