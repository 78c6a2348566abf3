/* SPDX-License-Identifier: MIT
 *
 * test_jsv8_calls.c: scopes, exceptions, functions, large results; termination, the heap limit and
 * the end of the stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "jsv8_harness.h"

void
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

void
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

void
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

void
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

void
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

void
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
    jsv8_collect(isolate, 1);
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

void
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
