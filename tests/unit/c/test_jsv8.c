/* SPDX-License-Identifier: MIT
 *
 * test_jsv8.c: the C ABI of jsrt/v8 (jsv8.h), used as the C side uses it, without Python.
 *
 *   test_jsv8 SHARE            all tests; SHARE holds nodejs/ ("" : the system's is used)
 *   test_jsv8 SHARE exit KIND  ends the process with isolates alive (run by tests of its own)
 *   test_jsv8 SHARE bench      figures: raw and shim calls, boot time and memory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jsv8_harness.h"

/* After each test everything made must be gone. */
static int
nothing_left(void **state)
{
    (void)state;
    return jsv8_live_isolates() != 0 || jsv8_live_refs() != 0;
}

/* ---- the process --------------------------------------------------------------------------- */

static int
exit_process(const char *kind)
{
    if (strcmp(kind, "lock") == 0) {
        return lock_inside_process();
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
