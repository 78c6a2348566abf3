/* SPDX-License-Identifier: MIT
 *
 * test_jsv8_values.c: values in and out of V8, and what is no plain data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jsv8_harness.h"

void
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

void
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

void
test_no_plain_data(void **state)
{
    (void)state;
    jsv8_isolate_t *isolate = bare();
    jsv8_value_t result;
    jsv8_error_t error;

    expect_status(isolate, "[() => 1]", JSV8_CONVERSION, NULL, "a function");
    expect_status(isolate, "[Symbol('s')]", JSV8_CONVERSION, NULL, "a symbol");
    expect_status(isolate, "[new Proxy({}, {})]", JSV8_CONVERSION, NULL, "a Proxy");
    expect_status(isolate, "[new WeakMap()]", JSV8_CONVERSION, NULL, "a weak");
    expect_status(isolate, "({a: [0, {'b c': () => 1}]})", JSV8_CONVERSION, NULL,
                  "a function at result.a[1].b c");
    expect_status(isolate, "({get x() { throw new TypeError('mine') }})", JSV8_EXCEPTION,
                  "TypeError", "mine");
    expect_status(isolate, "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a",
                  JSV8_CONVERSION, NULL, "nested too deeply");
    assert_int_equal(run(isolate, "(() => 1)", JSV8_OWN_SCOPE, JSV8_COPY, &result, &error),
                     JSV8_CONVERSION);
    /* Alone they are held instead. */
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
