/* SPDX-License-Identifier: MIT
 *
 * test_jsv8.c: the C ABI of jsrt/v8 (jsv8.h), used as the C side uses it, without Python.
 *
 *   test_jsv8 SHARE            all tests; SHARE holds nodejs/ ("" : the system's is used)
 *   test_jsv8 SHARE exit KIND  ends the process with isolates alive (run by tests of its own)
 *   test_jsv8 SHARE bench      figures: raw and shim calls, boot time and memory
 */
#define _GNU_SOURCE    /* strcasestr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "jsv8.h"

static const char *program, *share;

/* ---- helpers ------------------------------------------------------------------------------- */

static char unhandled[4096];    /* "name: message\n" of each report */

static void
on_unhandled(void *user, const jsv8_error_t *error)
{
    (void)user;
    size_t used = strlen(unhandled);
    snprintf(unhandled + used, sizeof(unhandled) - used, "%s: %s\n", error->name, error->message);
}

static jsv8_isolate_t *
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

static jsv8_isolate_t *
bare(void)
{
    return isolate_with(JSV8_PROFILE_BARE, 0);
}

static jsv8_value_t
text(const char *source)
{
    return (jsv8_value_t){.tag = JSV8_LATIN1, .u.text = {source, strlen(source)}};
}

static jsv8_value_t
integer(int64_t value)
{
    return (jsv8_value_t){.tag = JSV8_INT, .u.integer = value};
}

static jsv8_status_t
run(jsv8_isolate_t *isolate, const char *source, jsv8_scope_t scope, jsv8_want_t want,
    jsv8_value_t *result, jsv8_error_t *error)
{
    jsv8_value_t value = text(source);
    return jsv8_run(isolate, &value, "file.js", scope, want, result, error);
}

/* Runs in a scope of its own; the status must be OK. */
static jsv8_value_t
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

static void
define(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status = run(isolate, source, JSV8_KEEP_SCOPE, JSV8_DISCARD, &result, &error);
    if (status != JSV8_OK) {
        fail_msg("%s: status %d, %s: %s", source, status, error.name, error.message);
    }
}

static void
expect_int(jsv8_isolate_t *isolate, const char *source, int64_t expected)
{
    jsv8_value_t value = value_of(isolate, source);
    if (value.tag != JSV8_INT || value.u.integer != expected) {
        fail_msg("%s: tag %d, %lld, not %lld", source, value.tag, (long long)value.u.integer,
                 (long long)expected);
    }
}

static void
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

static void
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

static jsv8_ref_t *
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

/* Turns the isolate's loop until source's promise has settled; its value. */
static jsv8_value_t
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

static void
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

static double
now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static double
thread_cpu_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

/* After each test everything made must be gone. */
static int
nothing_left(void **state)
{
    (void)state;
    return jsv8_live_isolates() != 0 || jsv8_live_refs() != 0;
}

/* ---- values -------------------------------------------------------------------------------- */

static void
test_values_out(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t v;

    assert_int_equal(value_of(isolate, "undefined").tag, JSV8_UNDEFINED);
    assert_int_equal(value_of(isolate, "null").tag, JSV8_NULL);
    v = value_of(isolate, "1 < 2");
    assert_int_equal(v.tag, JSV8_BOOL);
    assert_int_equal(v.u.boolean, 1);
    expect_int(isolate, "-5", -5);
    expect_int(isolate, "3.0", 3);
    expect_int(isolate, "2 ** 53", 9007199254740992);
    expect_int(isolate, "-(2 ** 53)", -9007199254740992);
    v = value_of(isolate, "2 ** 53 + 2");
    assert_int_equal(v.tag, JSV8_NUMBER);
    v = value_of(isolate, "-0");
    assert_int_equal(v.tag, JSV8_NUMBER);
    assert_true(signbit(v.u.number));
    v = value_of(isolate, "0/0");
    assert_int_equal(v.tag, JSV8_NUMBER);
    assert_true(isnan(v.u.number));
    v = value_of(isolate, "1/0");
    assert_int_equal(v.tag, JSV8_NUMBER);
    assert_true(isinf(v.u.number));
    v = value_of(isolate, "3.5");
    assert_int_equal(v.tag, JSV8_NUMBER);
    assert_true(v.u.number == 3.5);
    expect_text(isolate, "'caf\\xe9' + ''", "caf\xe9");
    expect_text(isolate, "''", "");
    v = value_of(isolate, "'a\\u20ac\\ud800'");
    assert_int_equal(v.tag, JSV8_UTF16);
    assert_int_equal(v.u.text.length, 3);
    assert_memory_equal(v.u.text.data, ((uint16_t[]){'a', 0x20ac, 0xd800}), 6);
    v = value_of(isolate, "-(2n ** 64n + 5n)");
    assert_int_equal(v.tag, JSV8_BIGINT);
    assert_int_equal(v.u.bigint.count, 2);
    assert_int_equal(v.u.bigint.negative, 1);
    assert_true(v.u.bigint.words[0] == 5 && v.u.bigint.words[1] == 1);
    v = value_of(isolate, "0n");
    assert_int_equal(v.tag, JSV8_BIGINT);
    assert_int_equal(v.u.bigint.count, 0);
    v = value_of(isolate, "new Date(1234)");
    assert_int_equal(v.tag, JSV8_DATE);
    assert_true(v.u.number == 1234);
    v = value_of(isolate, "new Date(NaN)");
    assert_true(v.tag == JSV8_DATE && isnan(v.u.number));
    const char *bytes[] = {"new Uint8Array([1,2,3])", "new Uint8Array([1,2,3]).buffer",
                           "new Uint8Array([0,1,2,3,4]).subarray(1,4)",
                           "new DataView(new Uint8Array([1,2,3]).buffer)"};
    for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
        v = value_of(isolate, bytes[i]);
        assert_int_equal(v.tag, JSV8_BYTES);
        assert_int_equal(v.u.text.length, 3);
        assert_memory_equal(v.u.text.data, "\1\2\3", 3);
    }
    v = value_of(isolate, "new ArrayBuffer(0)");
    assert_true(v.tag == JSV8_BYTES && v.u.text.length == 0);
    v = value_of(isolate, "({a: 1})");
    assert_int_equal(v.tag, JSV8_WIRE);
    /* "a": 1 in an object, whatever the version byte says. */
    assert_int_equal(v.u.text.length, 10);
    assert_memory_equal((const char *)v.u.text.data + 2, "o\"\1aI\2{\1", 8);
    /* A view inside: only the bytes it shows, as a host object. */
    v = value_of(isolate, "[new Uint8Array([9,8,7,6]).subarray(1,3)]");
    assert_int_equal(v.tag, JSV8_WIRE);
    assert_memory_equal((const char *)v.u.text.data + 2, "A\1\\\2\x08\x07$\0\1", 9);
    jsv8_isolate_free(isolate);
}

static void
test_values_in(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t result;
    jsv8_error_t error;
    define(isolate, "function same(x) { return x }"
                    "function kind(x) { return Object.prototype.toString.call(x) + '|' + "
                    "(typeof x === 'bigint' ? x + 'n' : x instanceof Date ? +x : "
                    "x instanceof Uint8Array ? x.join() : x instanceof Map || x instanceof Set ? "
                    "JSON.stringify([...x]) : Object.is(x, -0) ? '-0' : JSON.stringify(x)) }");
    jsv8_ref_t *kind = function(isolate, "kind");
    uint64_t words[] = {7, 1};
    uint16_t wide[] = {'x', 0x20ac, 0xdc00};
    struct {
        jsv8_value_t in;
        const char *expected;
    } cases[] = {
        {{.tag = JSV8_UNDEFINED}, "[object Undefined]|undefined"},
        {{.tag = JSV8_NULL}, "[object Null]|null"},
        {{.tag = JSV8_BOOL, .u.boolean = 1}, "[object Boolean]|true"},
        {{.tag = JSV8_INT, .u.integer = -3}, "[object Number]|-3"},
        {{.tag = JSV8_INT, .u.integer = 1LL << 53}, "[object Number]|9007199254740992"},
        {{.tag = JSV8_NUMBER, .u.number = -0.0}, "[object Number]|-0"},
        {{.tag = JSV8_NUMBER, .u.number = 1.5}, "[object Number]|1.5"},
        {{.tag = JSV8_LATIN1, .u.text = {"a\xe9", 2}}, "[object String]|\"a\xe9\""},
        {{.tag = JSV8_BYTES, .u.text = {"\1\xff", 2}}, "[object Uint8Array]|1,255"},
        {{.tag = JSV8_BYTES, .u.text = {"", 0}}, "[object Uint8Array]|"},
        {{.tag = JSV8_BIGINT, .u.bigint = {words, 2, 1}}, "[object BigInt]|-18446744073709551623n"},
        {{.tag = JSV8_DATE, .u.number = 99}, "[object Date]|99"},
        {{.tag = JSV8_JSON_LATIN1, .u.text = {"{\"__proto__\":[1]}", 17}},
         "[object Object]|{\"__proto__\":[1]}"},
        {{.tag = JSV8_WIRE, .u.text = {"\xff\x0do\"\1aA\2I\2_$\0\2{\1", 16}},
         "[object Object]|{\"a\":[1,null]}"},
        {{.tag = JSV8_WIRE, .u.text = {"\xff\x0d;\"\1kI\6:\2", 10}}, "[object Map]|[[\"k\",3]]"},
        {{.tag = JSV8_WIRE, .u.text = {"\xff\x0d'T,\1", 6}}, "[object Set]|[true]"},
        {{.tag = JSV8_WIRE, .u.text = {"\xff\x0d" "B\2\5\6VB\0\2", 10}},
         "[object Uint8Array]|5,6"},
        {{.tag = JSV8_WIRE, .u.text = {"\xff\x0d" "Z\x10\1\0\0\0\0\0\0\0", 12}},
         "[object BigInt]|1n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        jsv8_status_t status = jsv8_call(kind, 1, &cases[i].in, JSV8_SETTLE, &result, &error);
        if (status != JSV8_OK || result.tag != JSV8_LATIN1 ||
            result.u.text.length != strlen(cases[i].expected) ||
            memcmp(result.u.text.data, cases[i].expected, result.u.text.length) != 0) {
            fail_msg("case %zu: status %d (%s), '%.*s', not '%s'", i, status, error.message,
                     status == JSV8_OK ? (int)result.u.text.length : 0,
                     (const char *)result.u.text.data, cases[i].expected);
        }
    }
    jsv8_ref_free(kind);

    jsv8_ref_t *same = function(isolate, "same");
    jsv8_value_t in = {.tag = JSV8_UTF16, .u.text = {wide, 3}};
    assert_int_equal(jsv8_call(same, 1, &in, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_true(result.tag == JSV8_UTF16 && result.u.text.length == 3);
    assert_memory_equal(result.u.text.data, wide, 6);
    /* Broken texts are refused, not believed. */
    jsv8_value_t broken[] = {
        {.tag = JSV8_JSON_LATIN1, .u.text = {"{\"a\":", 5}},
        {.tag = JSV8_WIRE, .u.text = {"\xff\x0do\"\5a", 6}},
        {.tag = JSV8_WIRE, .u.text = {"", 0}},
        {.tag = JSV8_WIRE, .u.text = {"\xff\xff\xff", 3}},
    };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(jsv8_call(same, 1, &broken[i], JSV8_SETTLE, &result, &error),
                         JSV8_CONVERSION);
        assert_true(error.message[0] != '\0');
    }
    /* What one call gave as wire, the next takes. */
    define(isolate, "function make() { return {list: [1, 'x', {deep: new Map([[1, null]])}]} }"
                    "function read(x) { return x.list[2].deep.get(1) === null && x.list[1] }");
    jsv8_ref_t *make = function(isolate, "make"), *read = function(isolate, "read");
    assert_int_equal(jsv8_call(make, 0, NULL, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_int_equal(result.tag, JSV8_WIRE);
    in = result;
    char *kept = malloc(in.u.text.length);
    memcpy(kept, in.u.text.data, in.u.text.length);
    in.u.text.data = kept;
    assert_int_equal(jsv8_call(read, 1, &in, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_true(result.tag == JSV8_LATIN1 && *(const char *)result.u.text.data == 'x');
    free(kept);
    /* Many arguments: beyond those on the stack. */
    define(isolate, "function count(...all) { return all.reduce((a, b) => a + b, 0) }");
    jsv8_ref_t *count = function(isolate, "count");
    jsv8_value_t *many = calloc(5000, sizeof(*many));
    for (int i = 0; i < 5000; i++) {
        many[i] = integer(i);
    }
    assert_int_equal(jsv8_call(count, 5000, many, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_int_equal(result.u.integer, 5000 * 4999 / 2);
    free(many);
    jsv8_ref_free(same);
    jsv8_ref_free(make);
    jsv8_ref_free(read);
    jsv8_ref_free(count);
    jsv8_isolate_free(isolate);
}

static void
test_no_plain_data(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t result;
    jsv8_error_t error;

    expect_status(isolate, "(() => 1)", JSV8_CONVERSION, NULL, "a function");
    expect_status(isolate, "Symbol('s')", JSV8_CONVERSION, NULL, "a symbol");
    expect_status(isolate, "new Proxy({}, {})", JSV8_CONVERSION, NULL, "a Proxy");
    expect_status(isolate, "new WeakMap()", JSV8_CONVERSION, NULL, "a weak");
    expect_status(isolate, "({a: [0, {'b c': () => 1}]})", JSV8_CONVERSION, NULL,
                  "a function at result.a[1].b c");
    expect_status(isolate, "({get x() { throw new TypeError('mine') }})", JSV8_EXCEPTION,
                  "TypeError", "mine");
    expect_status(isolate, "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a", JSV8_EXCEPTION,
                  "RangeError", NULL);
    /* RAW holds them instead. */
    const char *held[] = {"(() => 1)", "Symbol('s')", "new Proxy({}, {})", "new (class A {})",
                          "Promise.resolve(1)", "Promise.reject(2)", "new WeakMap()"};
    for (size_t i = 0; i < sizeof(held) / sizeof(*held); i++) {
        assert_int_equal(run(isolate, held[i], JSV8_OWN_SCOPE, JSV8_RAW, &result, &error), JSV8_OK);
        assert_int_equal(result.tag, JSV8_REF);
        assert_ptr_equal(jsv8_ref_isolate(result.u.ref), isolate);
        jsv8_ref_free(result.u.ref);
    }
    assert_string_equal(unhandled, "");    /* a rejected promise was given away, not lost */
    assert_int_equal(run(isolate, "({a: 1})", JSV8_OWN_SCOPE, JSV8_RAW, &result, &error), JSV8_OK);
    assert_int_equal(result.tag, JSV8_WIRE);
    assert_int_equal(run(isolate, "(() => 1)", JSV8_OWN_SCOPE, JSV8_DISCARD, &result, &error),
                     JSV8_OK);
    assert_int_equal(result.tag, JSV8_UNDEFINED);
    jsv8_isolate_free(isolate);
}

/* ---- running and calling ------------------------------------------------------------------- */

static void
test_scopes(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    define(isolate, "let kept = 1; const also = 2; class K {} ; function f() { return kept }");
    expect_int(isolate, "kept + also + f()", 4);
    expect_int(isolate, "var v = 1; let l = 2; function g() { return 3 } v + l + g()", 6);
    expect_text(isolate, "typeof v + typeof l + typeof g", "undefinedundefinedundefined");
    expect_text(isolate, "typeof arguments + typeof eval", "undefinedfunction");
    expect_int(isolate, "this === globalThis ? 1 : 0", 1);
    define(isolate, "globalThis.eval = () => 'mine'; Function.prototype.call = null");
    expect_int(isolate, "6 * 7", 42);
    jsv8_isolate_free(isolate);
}

static void
test_exceptions(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t result;
    jsv8_error_t error;

    assert_int_equal(run(isolate, "\n  throw new TypeError('bad \xe9')", JSV8_KEEP_SCOPE,
                         JSV8_SETTLE, &result, &error), JSV8_EXCEPTION);
    assert_string_equal(error.name, "TypeError");
    assert_string_equal(error.message, "bad \xc3\xa9");
    assert_string_equal(error.filename, "file.js");
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 2);
    assert_string_equal(error.source_line, "  throw new TypeError('bad \xc3\xa9')");
    assert_non_null(strstr(error.stack, "file.js:2:9"));
    assert_int_equal(error.value.tag, JSV8_UNDEFINED);

    for (int scope = 0; scope < 2; scope++) {
        assert_int_equal(run(isolate, "1;\nlet = = 2", (jsv8_scope_t)scope, JSV8_SETTLE, &result,
                             &error), JSV8_EXCEPTION);
        assert_string_equal(error.name, "SyntaxError");
        assert_string_equal(error.filename, "file.js");
        assert_int_equal(error.line, 2);
        assert_int_equal(error.column, 6);
        assert_string_equal(error.source_line, "let = = 2");
    }
    struct {
        const char *source, *name, *message;
    } hostile[] = {
        {"throw null", "", "null"},
        {"throw undefined", "", "undefined"},
        {"throw 0", "", "0"},
        {"throw ''", "", ""},
        {"throw Symbol('q')", "", "Symbol(q)"},
        {"throw {get message() { throw 1 }, toString() { throw 2 }}", "Object", ""},
        {"throw new Proxy({}, {get() { throw 3 }, getPrototypeOf() { throw 4 }})", NULL, ""},
        {"throw Object.create(null)", NULL, ""},
        {"const e = new Error('m'); e.name = 5; Object.defineProperty(e, 'stack', {get() { throw "
         "6 }}); throw e", "Error", "m"},
        {"throw {get message() { return this.message }}", "Object", ""},
        {"throw '\\ud800x'", "", "\xef\xbf\xbdx"},
        {"throw class Q {}", NULL, NULL},
        {"Error.prepareStackTrace = () => { throw 7 }; null.x", "TypeError", NULL},
    };
    for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
        expect_status(isolate, hostile[i].source, JSV8_EXCEPTION, hostile[i].name,
                      hostile[i].message);
    }
    assert_int_equal(run(isolate, "throw {code: 5}", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error),
                     JSV8_EXCEPTION);
    assert_int_equal(error.value.tag, JSV8_WIRE);
    assert_int_equal(run(isolate, "throw 17", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error),
                     JSV8_EXCEPTION);
    assert_true(error.value.tag == JSV8_INT && error.value.u.integer == 17);
    jsv8_isolate_free(isolate);
}

static void
test_functions(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t result, two[] = {integer(3), integer(4)};
    jsv8_error_t error;
    jsv8_ref_t *ref;

    define(isolate, "const lib = {k: 5, sign(x) { return this.k + x }, deep: {f: () => 'deep'}};"
                    "let add = (a, b) => a + b; var loud = false; var \xe9t\xe9 = () => 1;"
                    "function evil() { loud = true }");
    ref = function(isolate, "lib.sign");
    assert_int_equal(jsv8_call(ref, 1, two, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_int_equal(result.u.integer, 8);
    jsv8_ref_free(ref);
    ref = function(isolate, "add");
    assert_int_equal(jsv8_call(ref, 2, two, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_int_equal(result.u.integer, 7);
    jsv8_ref_free(ref);
    jsv8_ref_free(function(isolate, "lib.deep.f"));
    jsv8_ref_free(function(isolate, "JSON.stringify"));
    jsv8_ref_free(function(isolate, "\xc3\xa9t\xc3\xa9"));

    const char *none[] = {"nope", "lib.nope", "lib.nope.more", "lib.k", "", ".", "add.", "evil()",
                          "evil();add", "x=>x", "this", "lib['sign']", "loud", "1", "null"};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        jsv8_status_t status = jsv8_function(isolate, none[i], strlen(none[i]), &ref, &error);
        if (status != JSV8_NOT_FOUND) {
            fail_msg("'%s': status %d", none[i], status);
        }
        assert_null(ref);
        assert_true(error.message[0] != '\0');
    }
    assert_int_equal(value_of(isolate, "loud").u.boolean, 0);
    define(isolate, "Object.defineProperty(globalThis, 'trap', {get() { throw new Error('t') }})");
    assert_int_equal(jsv8_function(isolate, "trap", 4, &ref, &error), JSV8_EXCEPTION);

    ref = function(isolate, "add");
    jsv8_ref_t *again = function(isolate, "add");
    jsv8_value_t given[] = {{.tag = JSV8_REF, .u.ref = again}, integer(1)};
    assert_int_equal(jsv8_call(ref, 2, given, JSV8_SETTLE, &result, &error), JSV8_OK);
    assert_int_equal(result.tag, JSV8_LATIN1);
    jsv8_isolate_t *other = bare();
    define(other, "function f(x) { return 1 }");
    jsv8_ref_t *foreign = function(other, "f");
    assert_int_equal(jsv8_call(foreign, 1, given, JSV8_SETTLE, &result, &error), JSV8_CONVERSION);
    jsv8_isolate_free(isolate);
    assert_null(jsv8_ref_isolate(ref));
    assert_int_equal(jsv8_call(ref, 0, NULL, JSV8_SETTLE, &result, &error), JSV8_NOT_FOUND);
    jsv8_ref_free(ref);
    jsv8_ref_free(again);
    jsv8_ref_free(foreign);
    jsv8_isolate_free(other);
}

static void
test_large_results(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    for (int i = 0; i < 3; i++) {
        jsv8_value_t v = value_of(isolate, "'x'.repeat(20e6)");
        assert_int_equal(v.u.text.length, 20000000);
        v = value_of(isolate, "Array.from({length: 2e5}, (_, i) => ({i}))");
        assert_int_equal(v.tag, JSV8_WIRE);
        assert_true(v.u.text.length > 1000000);
    }
    for (int i = 0; i < 200; i++) {
        expect_text(isolate, "'small'", "small");
    }
    jsv8_isolate_free(isolate);
}

/* ---- limits -------------------------------------------------------------------------------- */

struct stopper {
    jsv8_isolate_t *isolate;
    int after_ms;
    atomic_int done;
};

static void *
stop_soon(void *argument)
{
    struct stopper *stopper = argument;
    poll(NULL, 0, stopper->after_ms);
    jsv8_terminate(stopper->isolate);
    stopper->done = 1;
    return NULL;
}

static void
expect_stopped(jsv8_isolate_t *isolate, const char *source)
{
    pthread_t thread;
    struct stopper stopper = {isolate, 50, 0};
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    expect_status(isolate, source, JSV8_TERMINATED, NULL, NULL);
    pthread_join(thread, NULL);
    expect_int(isolate, "1 + 1", 2);    /* and the isolate goes on */
}

static void
test_terminate(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    expect_stopped(isolate, "for (;;);");
    expect_stopped(isolate, "for (;;) try { for (;;); } catch {} finally { for (;;); }");
    expect_stopped(isolate, "throw {get message() { for (;;); }}");
    expect_stopped(isolate, "({get x() { for (;;); }})");
    expect_stopped(isolate, "Promise.resolve().then(() => { for (;;); })");
    expect_stopped(isolate, "/(a*)*b/.exec('a'.repeat(40))");
    expect_stopped(isolate, "const f = () => Promise.resolve().then(f); f()");
    /* Nothing runs: the next call ends. */
    jsv8_terminate(isolate);
    expect_status(isolate, "1", JSV8_TERMINATED, NULL, NULL);
    expect_int(isolate, "1", 1);
    jsv8_terminate(isolate);
    jsv8_terminate_cancel(isolate);
    expect_int(isolate, "let n = 0; for (let i = 0; i < 1e5; i++) n += i; n", 4999950000);
    jsv8_isolate_free(isolate);

    isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    expect_stopped(isolate, "for (;;);");
    expect_stopped(isolate, "queueMicrotask(() => { for (;;); })");
    jsv8_isolate_free(isolate);
}

static void
test_heap_limit(void **state)
{
    (void)state;
    static const char *const bombs[] = {
        "const a = []; for (;;) a.push({x: 1, y: [1, 2]})",
        "let s = 'x'; const a = []; for (;;) { s = s + s.slice(0, 1000) + a.length; a.push(s + 1)"
        " ; a[a.length - 1].charCodeAt(5) }",
        "const m = new Map(); for (let i = 0;; i++) m.set('k' + i, {i})",
        "const a = []; for (;;) a.push(new Uint8Array(1e4))",
        "const a = []; for (;;) a.push(new Array(1000).fill(a.length + 0.5))",
        "let o = {}; for (let i = 0;; i++) o['p' + i] = {o: {}}",
        "const f = (a) => { for (;;) a.push(() => a) }; f([])",
        "async function g(a) { for (;;) { a.push(new Promise(() => {})); await null } } g([])",
        "try { const a = []; for (;;) a.push({}) } catch { for (;;); } finally { for (;;); }",
    };
    for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++) {
        jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_BARE, 32 << 20);
        expect_status(isolate, bombs[i], JSV8_HEAP_LIMIT, NULL, NULL);
        expect_status(isolate, "1", JSV8_HEAP_LIMIT, NULL, NULL);    /* condemned */
        jsv8_isolate_free(isolate);
        isolate = isolate_with(JSV8_PROFILE_BARE, 32 << 20);
        expect_int(isolate, "1", 1);
        jsv8_isolate_free(isolate);
    }
    /* One large buffer is refused without harm; garbage is not counted against the limit. */
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_BARE, 32 << 20);
    expect_status(isolate, "new ArrayBuffer(1e9)", JSV8_EXCEPTION, "RangeError", NULL);
    expect_int(isolate, "let n = 0; for (let i = 0; i < 500; i++) n += new Uint8Array(1e6).length;"
                        " n", 500000000);
    jsv8_heap_stats_t stats;
    jsv8_collect(isolate);
    jsv8_heap_stats(isolate, &stats);
    assert_true(stats.heap_used > 0 && stats.heap_used < 32 << 20);
    assert_true(stats.external < 32 << 20);
    jsv8_isolate_free(isolate);

    isolate = isolate_with(JSV8_PROFILE_WEB, 64 << 20);
    expect_status(isolate, "const a = []; for (;;) a.push({x: 1})", JSV8_HEAP_LIMIT, NULL, NULL);
    jsv8_isolate_free(isolate);
}

static void *
recurse(void *argument)
{
    jsv8_isolate_t *isolate = isolate_with(*(jsv8_profile_t *)argument, 0);
    expect_status(isolate, "(function f() { return f() + 1 })()", JSV8_EXCEPTION, "RangeError",
                  NULL);
    expect_status(isolate, "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
                  JSV8_EXCEPTION, "RangeError", NULL);
    expect_int(isolate, "1", 1);
    jsv8_isolate_free(isolate);
    return NULL;
}

static void
test_recursion(void **state)
{
    (void)state;
    jsv8_profile_t profiles[] = {JSV8_PROFILE_BARE, JSV8_PROFILE_WEB};
    jsv8_locking_on();
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        pthread_attr_t small;
        recurse(&profiles[i]);
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, i == 0 ? 256 * 1024 : 512 * 1024);
        assert_int_equal(pthread_create(&thread, &small, recurse, &profiles[i]), 0);
        pthread_join(thread, NULL);
        pthread_attr_destroy(&small);
    }
}

/* ---- isolates and threads ------------------------------------------------------------------ */

static void
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

static void
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

/* The very first use of locking in a process, from inside a running call: so run in a process of
 * its own (see main). */
static atomic_int second_started, second_done;

static void *
second_thread(void *argument)
{
    jsv8_isolate_t *isolate = argument;
    jsv8_value_t result;
    jsv8_error_t error;
    second_started = 1;
    /* Waits for the first thread's outermost call to end. */
    if (run(isolate, "count", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error) != JSV8_OK ||
        run(isolate, "(function f() { f() })()", JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error) !=
            JSV8_EXCEPTION) {
        return "second thread";
    }
    second_done = 1;
    return NULL;
}

static pthread_t second;

static void
lock_in_interrupt(jsv8_isolate_t *isolate, void *user)
{
    *(int *)user += 1;
    jsv8_lock_current(isolate);
    pthread_create(&second, NULL, second_thread, isolate);
    while (!second_started) {
        sched_yield();
    }
}

static void *
interrupt_soon(void *argument)
{
    void **given = argument;
    poll(NULL, 0, 50);
    jsv8_interrupt(given[0], lock_in_interrupt, given[1]);
    return NULL;
}

static int
lock_current_process(void)
{
    jsv8_isolate_t *isolate = bare(), *bystander = bare();
    int interrupts = 0;
    void *given[] = {isolate, &interrupts};
    pthread_t first;
    void *problem = NULL;
    if (jsv8_locking_is_on()) {
        return 10;
    }
    define(bystander, "var b = 1");
    define(isolate, "var count = 0");
    pthread_create(&first, NULL, interrupt_soon, given);
    expect_int(isolate, "const end = Date.now() + 1500; while (Date.now() < end) count++;"
                        "let deep = 0; (function f() { deep++; try { f() } catch {} })(); 7", 7);
    pthread_join(first, NULL);
    if (interrupts != 1 || !jsv8_locking_is_on()) {
        return 11;
    }
    pthread_join(second, &problem);
    if (problem != NULL || !second_done) {
        return 12;
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

/* An isolate used without locking on one thread, then by another, then by the first again; and
 * one that another thread frees. */
static int
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

/* ---- promises ------------------------------------------------------------------------------ */

struct settled {
    int calls;
    jsv8_status_t status;
    int64_t number;
    char message[64];
};

static void
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

static jsv8_ref_t *
pending(jsv8_isolate_t *isolate, const char *source)
{
    jsv8_value_t result;
    jsv8_error_t error;
    assert_int_equal(run(isolate, source, JSV8_OWN_SCOPE, JSV8_SETTLE, &result, &error),
                     JSV8_PENDING);
    assert_int_equal(result.tag, JSV8_REF);
    return result.u.ref;
}

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
    value_of(isolate, "settle[2][0](() => 1); 1");
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

static void
test_promises_bare(void **state)
{
    (void)state;
    check_promises(JSV8_PROFILE_BARE);
}

static void
test_promises_web(void **state)
{
    (void)state;
    check_promises(JSV8_PROFILE_WEB);
}

/* ---- Node's environment -------------------------------------------------------------------- */

/* Answers every connection once with a text that names the method. */
static void *
serve(void *argument)
{
    int listener = *(int *)argument, connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        char request[8192], reply[256];
        size_t got = 0;
        const char *end;
        ssize_t more;
        /* The whole of it: closing with unread data would reset the connection. */
        while (got < sizeof(request) - 1 &&
               (more = read(connection, request + got, sizeof(request) - 1 - got)) > 0) {
            got += (size_t)more;
            request[got] = '\0';
            if ((end = strstr(request, "\r\n\r\n")) == NULL) {
                continue;
            }
            const char *chunked = strcasestr(request, "transfer-encoding");
            const char *length = strcasestr(request, "content-length:");
            if (chunked != NULL ? strstr(end, "0\r\n\r\n") != NULL
                : length == NULL ||
                  strlen(end + 4) >= strtoul(length + 15, NULL, 10)) {
                break;
            }
        }
        if (got > 0) {
            int word = (int)strcspn(request, " ");
            int length = snprintf(reply, sizeof(reply),
                                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                  "Content-Length: %d\r\nConnection: close\r\n\r\n%.*s-ok",
                                  word + 3, word, request);
            if (write(connection, reply, (size_t)length) != length) {
                perror("write");
            }
        }
        close(connection);
    }
    return NULL;
}

static int
open_server(int *listener, pthread_t *thread)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(*listener, 16), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(thread, NULL, serve, listener), 0);
    return ntohs(address.sin_port);
}

static void
close_server(int listener, pthread_t thread)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

static void
test_web_globals(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    expect_text(isolate,
                "['URL','URLSearchParams','TextEncoder','TextDecoder','TextEncoderStream',"
                "'TextDecoderStream','fetch','Request','Response','Headers','FormData','crypto',"
                "'Crypto','CryptoKey','SubtleCrypto','AbortController','AbortSignal','Event',"
                "'EventTarget','CustomEvent','setTimeout','clearTimeout','setInterval',"
                "'clearInterval','queueMicrotask','structuredClone','ReadableStream',"
                "'WritableStream','TransformStream','CompressionStream','DecompressionStream',"
                "'ByteLengthQueuingStrategy','CountQueuingStrategy','Blob','File','MessageChannel',"
                "'MessagePort','DOMException','performance','atob','btoa','console','self',"
                "'globalThis','WebAssembly','Intl'].filter((n) => globalThis[n] === undefined)"
                ".join()", "");
    expect_text(isolate, "['process','require','Buffer','global','module','exports',"
                         "'setImmediate','clearImmediate'].filter((n) => globalThis[n] !== "
                         "undefined).join()", "");
    expect_text(isolate, "(function() { return typeof this.process + typeof process })()",
                "undefinedundefined");
    expect_text(isolate, "new URL('http://\xfc.example/a?b=1').searchParams.get('b')", "1");
    expect_text(isolate, "new TextDecoder().decode(new TextEncoder().encode('\xe9'))", "\xe9");
    expect_int(isolate, "structuredClone({m: new Map([[1, {a: 7}]])}).m.get(1).a", 7);
    expect_text(isolate, "try { structuredClone(() => 1) } catch (e) { e.name }",
                "DataCloneError");
    expect_text(isolate, "btoa(atob('aGk='))", "aGk=");
    awaited_text(isolate, "crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc')).then("
                          "(d) => Array.from(new Uint8Array(d), (b) => b.toString(16).padStart(2, "
                          "'0')).join(''))",
                 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    awaited_text(isolate, "(async () => { const order = []; setTimeout(() => order.push('c'), 20);"
                          "setTimeout(() => order.push('b'), 1); queueMicrotask(() => "
                          "order.push('a')); await new Promise((r) => setTimeout(r, 40)); "
                          "return order.join('') })()", "abc");
    awaited_text(isolate, "new Response(new Blob(['gzip '.repeat(3)]).stream().pipeThrough(new "
                          "CompressionStream('gzip')).pipeThrough(new DecompressionStream('gzip'"
                          "))).text()", "gzip gzip gzip ");
    awaited_text(isolate, "new Promise((r) => { const c = new MessageChannel(); c.port1.onmessage "
                          "= (e) => { c.port1.close(); r(e.data) }; c.port2.postMessage('sent') })",
                 "sent");
    awaited_text(isolate, "WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then("
                          "String)", "[object WebAssembly.Module]");
    awaited_text(isolate, "import('fs').then(() => 'imported', () => 'refused')", "refused");
    /* Time passes in the wait, not in a spin. */
    double before = now_ms();
    double cpu = thread_cpu_ms();
    awaited(isolate, "new Promise((r) => setTimeout(r, 200))");
    assert_true(now_ms() - before >= 190);
    assert_true(thread_cpu_ms() - cpu < 150);
    jsv8_isolate_free(isolate);
}

static void
test_fetch(void **state)
{
    (void)state;
    int listener;
    pthread_t server;
    char source[512];
    int port = open_server(&listener, &server);
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    snprintf(source, sizeof(source), "fetch('http://127.0.0.1:%d/').then((r) => r.text())", port);
    awaited_text(isolate, source, "GET-ok");
    snprintf(source, sizeof(source),
             "fetch('http://127.0.0.1:%d/', {method: 'POST', body: new URLSearchParams({a: '1'})})"
             ".then((r) => r.text())", port);
    awaited_text(isolate, source, "POST-ok");
    snprintf(source, sizeof(source),
             "const f = new FormData(); f.append('a', new Blob(['x']), 'n'); fetch("
             "'http://127.0.0.1:%d/', {method: 'PUT', body: f}).then((r) => r.text())", port);
    awaited_text(isolate, source, "PUT-ok");
    snprintf(source, sizeof(source),
             "const c = new AbortController(); const p = fetch('http://127.0.0.1:%d/', {signal: "
             "c.signal}).catch((e) => e.name); c.abort(); p", port);
    awaited_text(isolate, source, "AbortError");
    awaited_text(isolate, "fetch('http://127.0.0.1:1/').catch((e) => e.name)", "TypeError");
    assert_string_equal(unhandled, "");
    /* Freed with a request and a timer under way. */
    snprintf(source, sizeof(source), "fetch('http://127.0.0.1:%d/'); setInterval(() => {}, 1); 1",
             port);
    value_of(isolate, source);
    jsv8_turn(isolate, 0);
    jsv8_isolate_free(isolate);
    close_server(listener, server);
}

static void
test_unhandled(void **state)
{
    (void)state;
    for (int profile = JSV8_PROFILE_WEB; profile <= JSV8_PROFILE_NODE; profile++) {
        jsv8_isolate_t *isolate = isolate_with((jsv8_profile_t)profile, 0);
        awaited(isolate, "setTimeout(() => { throw new RangeError('timer') }, 1);"
                         "setTimeout(() => { throw null }, 2);"
                         "queueMicrotask(() => { throw new SyntaxError('micro') });"
                         "Promise.reject(new TypeError('reject')); Promise.reject(undefined);"
                         "new Promise((r) => setTimeout(r, 30))");
        assert_non_null(strstr(unhandled, "RangeError: timer\n"));
        assert_non_null(strstr(unhandled, ": null\n"));
        assert_non_null(strstr(unhandled, "SyntaxError: micro\n"));
        assert_non_null(strstr(unhandled, "TypeError: reject\n"));
        assert_non_null(strstr(unhandled, ": undefined\n"));
        expect_int(isolate, "1", 1);
        jsv8_isolate_free(isolate);
    }
}

static void
test_terminate_in_loop(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_WEB, 0);
    pthread_t thread;
    struct stopper stopper = {isolate, 60, 0};
    value_of(isolate, "globalThis.after = 0; setTimeout(() => { for (;;); }, 1);"
                      "setTimeout(() => { after = 1 }, 5); 1");
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    double before = now_ms();
    while (jsv8_turn(isolate, 1) && now_ms() - before < 5000) {
    }
    pthread_join(thread, NULL);
    assert_true(now_ms() - before < 5000);
    jsv8_terminate_cancel(isolate);
    expect_int(isolate, "after", 1);
    /* A wait for an event that does not come is ended. */
    value_of(isolate, "setTimeout(() => {}, 60000); 1");
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stopper), 0);
    before = now_ms();
    jsv8_turn(isolate, 1);
    assert_true(now_ms() - before < 2000);
    pthread_join(thread, NULL);
    jsv8_isolate_free(isolate);
}

static void
test_node(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = isolate_with(JSV8_PROFILE_NODE, 0);
    expect_text(isolate, "require('path').join('a', 'b')", "a/b");
    expect_text(isolate, "Buffer.from('hi').toString('hex')", "6869");
    expect_text(isolate, "typeof setImmediate + typeof global + typeof process",
                "functionobjectobject");
    expect_status(isolate, "process.exit(3)", JSV8_EXCEPTION, "Error", "process.exit()");
    expect_status(isolate, "process.reallyExit(3)", JSV8_EXCEPTION, "Error", "reallyExit");
    expect_status(isolate, "process.abort()", JSV8_EXCEPTION, "Error", "process.abort()");
    awaited_text(isolate, "(async () => { const o = []; setImmediate(() => o.push('i')); "
                          "Promise.resolve().then(() => o.push('p')); process.nextTick(() => "
                          "o.push('t')); await new Promise((r) => setTimeout(r, 20)); "
                          "return o.join('') })()", "tpi");
    value_of(isolate, "globalThis.ticked = 0; process.nextTick(() => { ticked = 1 }); 1");
    expect_int(isolate, "ticked", 1);
    awaited_text(isolate, "require('fs/promises').readFile('/proc/self/comm', 'utf8').then((t) => "
                          "t.trim() ? 'read' : '')", "read");
    awaited_text(isolate, "process.on('uncaughtException', (e) => { globalThis.seen = e.message });"
                          "setTimeout(() => { throw new Error('own') }, 1);"
                          "new Promise((r) => setTimeout(() => r(seen), 20))", "own");
    assert_string_equal(unhandled, "");
    jsv8_isolate_free(isolate);
}

static void
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
    for (int i = 0; i < 500 && !(slow.calls && digest.calls); i++) {
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

/* ---- the process --------------------------------------------------------------------------- */

static int
exit_process(const char *kind)
{
    if (strcmp(kind, "lock") == 0) {
        return lock_current_process();
    }
    if (strcmp(kind, "orphan") == 0 || strcmp(kind, "shared") == 0) {
        return orphan_process(kind[0] == 's');
    }
    if (strcmp(kind, "fork") == 0) {
        pid_t child = fork();
        int status = -1;
        if (child == 0) {
            jsv8_isolate_t *isolate;
            jsv8_isolate_config_t config = {0};
            jsv8_error_t error;
            _exit(jsv8_process_forked() &&
                  jsv8_isolate_new(&config, &isolate, &error) == JSV8_UNSUPPORTED ? 0 : 1);
        }
        waitpid(child, &status, 0);
        return status;
    }
    jsv8_isolate_t *isolate = isolate_with(strcmp(kind, "bare") == 0 ? JSV8_PROFILE_BARE
                                                                     : JSV8_PROFILE_WEB, 0);
    /* Keeps V8's own threads busy: code to optimise, garbage to collect. */
    value_of(isolate, "for (let k = 0; k < 40; k++) { const f = new Function('n', 'let s = ' + k + "
                      "'; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return [s]'); "
                      "for (let i = 0; i < 60; i++) f(1000) } 1");
    value_of(isolate, "globalThis.big = Array.from({length: 1e5}, (_, i) => ({i})); 1");
    if (strcmp(kind, "web") == 0) {
        value_of(isolate, "setInterval(() => {}, 10); crypto.subtle.digest('SHA-1', new "
                          "Uint8Array(1e7)); 1");
        jsv8_turn(isolate, 0);
    }
    if (strcmp(kind, "stop") == 0) {
        jsv8_isolate_free(isolate);
        jsv8_process_stop();
        jsv8_error_t error;
        return jsv8_process_start(NULL, &error) == JSV8_UNSUPPORTED ? 0 : 14;
    }
    exit(0);    /* with the isolate alive, atexit handlers and destructors run */
}

static void
test_processes(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "bare", "web", "web", "web", "stop", "lock", "orphan", "shared", "fork",
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            execl(program, program, share != NULL ? share : "", "exit", kinds[i], (char *)NULL);
            _exit(99);
        }
        waitpid(child, &status, 0);
        if (status != 0) {
            fail_msg("process '%s' ended with status 0x%x", kinds[i], status);
        }
    }
}

static void
test_versions(void **state)
{
    (void)state;
    assert_non_null(strchr(jsv8_v8_version(), '.'));
    assert_true(atoi(jsv8_node_version()) >= 18);
    assert_int_equal(jsv8_process_forked(), 0);
    jsv8_error_t error;
    assert_int_equal(jsv8_process_start(share, &error), JSV8_OK);
}

/* ---- figures ------------------------------------------------------------------------------- */

static double
resident_mb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * 4096.0 / 1e6;
}

static int
bench(void)
{
    static const char *const names[] = {"bare", "web", "node"};
    printf("V8 %s, Node %s\n", jsv8_v8_version(), jsv8_node_version());
    for (int profile = 0; profile < 3; profile++) {
        jsv8_isolate_t *isolates[3];
        for (int i = 0; i < 3; i++) {
            double before = now_ms(), memory = resident_mb();
            isolates[i] = isolate_with((jsv8_profile_t)profile, 0);
            printf("%s isolate %d: %.1f ms, %.2f MB\n", names[profile], i, now_ms() - before,
                   resident_mb() - memory);
        }
        define(isolates[2], "function add(a, b) { return a + b }"
                            "function dict(o) { return {a: 1, b: 'x', c: [1, 2]} }"
                            "async function later(a) { return a }");
        jsv8_value_t result, two[] = {integer(3), integer(4)};
        jsv8_error_t error;
        const char *functions[] = {"add", "dict", "later"};
        for (int f = 0; f < 3; f++) {
            jsv8_ref_t *ref = function(isolates[2], functions[f]);
            double raw = 1e9, shim = 1e9;
            for (int round = 0; round < 5; round++) {
                double one = f ? 0 : jsv8_raw_call_ns(ref, 400000);
                raw = one < raw ? one : raw;
                double before = now_ms();
                for (int i = 0; i < 400000; i++) {
                    jsv8_call(ref, 2, two, JSV8_SETTLE, &result, &error);
                }
                one = (now_ms() - before) * 1e6 / 400000;
                shim = one < shim ? one : shim;
            }
            printf("%s %s: raw %.0f ns, jsv8_call %.0f ns\n", names[profile], functions[f], raw,
                   shim);
            jsv8_ref_free(ref);
        }
        for (int i = 0; i < 3; i++) {
            jsv8_isolate_free(isolates[i]);
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_versions, nothing_left),
        cmocka_unit_test_teardown(test_values_out, nothing_left),
        cmocka_unit_test_teardown(test_values_in, nothing_left),
        cmocka_unit_test_teardown(test_no_plain_data, nothing_left),
        cmocka_unit_test_teardown(test_scopes, nothing_left),
        cmocka_unit_test_teardown(test_exceptions, nothing_left),
        cmocka_unit_test_teardown(test_functions, nothing_left),
        cmocka_unit_test_teardown(test_large_results, nothing_left),
        cmocka_unit_test_teardown(test_promises_bare, nothing_left),
        cmocka_unit_test_teardown(test_promises_web, nothing_left),
        cmocka_unit_test_teardown(test_terminate, nothing_left),
        cmocka_unit_test_teardown(test_heap_limit, nothing_left),
        cmocka_unit_test_teardown(test_isolates_in_any_order, nothing_left),
        cmocka_unit_test_teardown(test_web_globals, nothing_left),
        cmocka_unit_test_teardown(test_fetch, nothing_left),
        cmocka_unit_test_teardown(test_unhandled, nothing_left),
        cmocka_unit_test_teardown(test_terminate_in_loop, nothing_left),
        cmocka_unit_test_teardown(test_node, nothing_left),
        cmocka_unit_test_teardown(test_processes, nothing_left),
        /* From here on locking is on. */
        cmocka_unit_test_teardown(test_recursion, nothing_left),
        cmocka_unit_test_teardown(test_four_threads, nothing_left),
        cmocka_unit_test_teardown(test_pinned, nothing_left),
        cmocka_unit_test_teardown(test_promises_web, nothing_left),
        cmocka_unit_test_teardown(test_terminate_in_loop, nothing_left),
        cmocka_unit_test_teardown(test_isolates_in_any_order, nothing_left),
    };
    jsv8_error_t error;
    signal(SIGPIPE, SIG_IGN);    /* as Python does */
    program = argv[0];
    share = argc > 1 && argv[1][0] != '\0' ? argv[1] : NULL;
    if (jsv8_process_start(share, &error) != JSV8_OK) {
        fprintf(stderr, "start: %s\n", error.message);
        return 2;
    }
    if (argc > 3 && strcmp(argv[2], "exit") == 0) {
        return exit_process(argv[3]);
    }
    if (argc > 2 && strcmp(argv[2], "bench") == 0) {
        return bench();
    }
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    jsv8_process_stop();
    return failed;
}
