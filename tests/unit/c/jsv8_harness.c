/* SPDX-License-Identifier: MIT
 *
 * jsv8_harness.c: what the tests of jsv8 share (jsv8_harness.h).
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
#include <time.h>

#include "jsv8_harness.h"

const char *program, *share;
char unhandled[4096];

void
on_unhandled(void *user, const jsv8_error_t *error)
{
    (void)user;
    size_t used = strlen(unhandled);
    snprintf(unhandled + used, sizeof(unhandled) - used, "%s: %s\n", error->name, error->message);
}

jsv8_isolate_t *
isolate_with(jsv8_profile_t profile, size_t heap_limit)
{
    jsv8_isolate_config_t config = {
        .profile = profile, .heap_limit = heap_limit, .on_unhandled = on_unhandled};
    jsv8_isolate_t *isolate;
    jsv8_error_t error;
    jsv8_status_t status = jsv8_isolate_new(&config, &isolate, &error);
    if (status != JSV8_OK) {
        fail_msg("isolate: %d %s\n%s", status, error.message, error.stack);
    }
    unhandled[0] = '\0';
    return isolate;
}

jsv8_isolate_t *
bare(void)
{
    return isolate_with(JSV8_PROFILE_BARE, 0);
}

jsv8_value_t
text(const char *source)
{
    return (jsv8_value_t){.tag = JSV8_LATIN1, .u.text = {source, strlen(source)}};
}

jsv8_value_t
integer(int64_t value)
{
    return (jsv8_value_t){.tag = JSV8_INT, .u.integer = value};
}

jsv8_status_t
run(jsv8_isolate_t *isolate, const char *source, jsv8_scope_t scope, jsv8_want_t want,
    jsv8_value_t *result, jsv8_error_t *error)
{
    jsv8_value_t value = text(source);
    return jsv8_run(isolate, &value, "file.js", scope, want, result, error);
}

jsv8_value_t
value_of(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = run(isolate, source, JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error);
    if (status != JSV8_OK) {
        fail_msg("%s: status %d, %s: %s\n%s", source, status, error.name, error.message,
                 error.stack);
    }
    return result;
}

void
define(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = run(isolate, source, JSV8_KEEP_SCOPE, JSV8_DISCARD, &result, &error);
    if (status != JSV8_OK) {
        fail_msg("%s: status %d, %s: %s", source, status, error.name, error.message);
    }
}

void
expect_int(jsv8_isolate_t *isolate, const char *source, int64_t expected)
{
    jsv8_value_t value = value_of(isolate, source);
    if (value.tag != JSV8_INT || value.u.integer != expected) {
        fail_msg("%s: tag %d, %lld, not %lld", source, value.tag, (long long)value.u.integer,
                 (long long)expected);
    }
}

void
expect_text(jsv8_isolate_t *isolate, const char *source, const char *expected)
{
    jsv8_value_t value = value_of(isolate, source);
    if (value.tag != JSV8_LATIN1 || value.u.text.length != strlen(expected) ||
        memcmp(value.u.text.data, expected, value.u.text.length) != 0) {
        fail_msg("%s: tag %d, '%.*s', not '%s'", source, value.tag,
                 value.tag == JSV8_LATIN1 ? (int)value.u.text.length : 0,
                 value.tag == JSV8_LATIN1 ? (const char *)value.u.text.data : "", expected);
    }
}

void
expect_status(jsv8_isolate_t *isolate, const char *source, jsv8_status_t expected,
              const char *name, const char *message)
{
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = run(isolate, source, JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error);
    if (status != expected || (name != NULL && strcmp(error.name, name) != 0) ||
        (message != NULL && strstr(error.message, message) == NULL)) {
        fail_msg("%s: status %d, '%s': '%s'; expected %d, '%s': '%s'", source, status, error.name,
                 error.message, expected, name ? name : "", message ? message : "");
    }
}

jsv8_ref_t *
function(jsv8_isolate_t *isolate, const char *name)
{
    jsv8_ref_t *ref;
    jsv8_error_t error;
    jsv8_status_t status = jsv8_function(isolate, name, strlen(name), &ref, &error);
    if (status != JSV8_OK) {
        fail_msg("%s: status %d, %s", name, status, error.message);
    }
    return ref;
}

jsv8_value_t
awaited(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = run(isolate, source, JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error);
    for (int turns = 0; status == JSV8_PENDING; turns++) {
        jsv8_ref_t *promise = result.u.ref;
        int alive = jsv8_turn(isolate, 1);
        status = jsv8_promise_result(promise, &result, &error);
        jsv8_ref_free(promise);
        if (status == JSV8_PENDING && (!alive || turns > 500)) {
            jsv8_ref_free(result.u.ref);
            fail_msg("%s: still pending after %d turns", source, turns);
        }
    }
    if (status != JSV8_OK) {
        fail_msg("%s: status %d, %s: %s\n%s", source, status, error.name, error.message,
                 error.stack);
    }
    return result;
}

void
awaited_text(jsv8_isolate_t *isolate, const char *source, const char *expected)
{
    jsv8_value_t value = awaited(isolate, source);
    if (value.tag != JSV8_LATIN1 || value.u.text.length != strlen(expected) ||
        memcmp(value.u.text.data, expected, strlen(expected)) != 0) {
        fail_msg("%s: tag %d, '%.*s', not '%s'", source, value.tag,
                 value.tag == JSV8_LATIN1 ? (int)value.u.text.length : 0,
                 value.tag == JSV8_LATIN1 ? (const char *)value.u.text.data : "", expected);
    }
}

double
now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

void *
stop_soon(void *argument)
{
    struct stopper *stopper = argument;
    poll(NULL, 0, stopper->after_ms);
    jsv8_terminate(stopper->isolate);
    stopper->done = 1;
    return NULL;
}

void
expect_stopped(jsv8_isolate_t *isolate, const char *source)
{
    pthread_t thread;
    struct stopper stopper = {isolate, 50, 0};
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    expect_status(isolate, source, JSV8_TERMINATED, NULL, NULL);
    pthread_join(thread, NULL);
    expect_int(isolate, "1 + 1", 2);    /* and the isolate goes on */
}

void
on_settled(void *user, jsv8_status_t status, const jsv8_value_t *result, const jsv8_error_t *error)
{
    struct settled *settled = user;
    settled->calls++;
    settled->status = status;
    if (status == JSV8_OK && result->tag == JSV8_INT) {
        settled->number = result->u.integer;
    }
    snprintf(settled->message, sizeof(settled->message), "%s", error->message);
}

jsv8_ref_t *
pending(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    assert_int_equal(run(isolate, source, JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error),
                     JSV8_PENDING);
    assert_int_equal(result.tag, JSV8_REF);
    return result.u.ref;
}
