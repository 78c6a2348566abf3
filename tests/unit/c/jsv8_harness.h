/* SPDX-License-Identifier: MIT
 *
 * jsv8_harness.h: what the tests of jsv8 (test_jsv8*.c, one program) share: isolates, values and
 * calls in one line each, which fail the test that makes them where they do not give what is
 * expected. cmocka's headers come before this one.
 */
#ifndef JSV8_HARNESS_H
#define JSV8_HARNESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "jsv8.h"

extern const char *program; /* path of this program: some tests run it again */
extern const char *share;   /* holds nodejs/; NULL: the system's is used */
extern char unhandled[4096]; /* "name: message\n" of each report */

void on_unhandled(void *user, const jsv8_error_t *error);

/* ---- isolates and values ---- */
jsv8_isolate_t *isolate_with(jsv8_profile_t profile, size_t heap_limit);
jsv8_isolate_t *bare(void);
jsv8_value_t text(const char *source);
jsv8_value_t integer(int64_t value);

/* ---- running ---- */
jsv8_status_t run(jsv8_isolate_t *isolate, const char *source, jsv8_scope_t scope, jsv8_want_t want,
                  jsv8_value_t *result, jsv8_error_t *error);
/* Runs in a scope of its own; the status must be OK. */
jsv8_value_t value_of(jsv8_isolate_t *isolate, const char *source);
/* Runs in the scope that is kept. */
void define(jsv8_isolate_t *isolate, const char *source);
jsv8_ref_t *function(jsv8_isolate_t *isolate, const char *name);
void expect_int(jsv8_isolate_t *isolate, const char *source, int64_t expected);
void expect_text(jsv8_isolate_t *isolate, const char *source, const char *expected);
/* name and message may be NULL: any; the message is looked for in the error's. */
void expect_status(jsv8_isolate_t *isolate, const char *source, jsv8_status_t expected,
                   const char *name, const char *message);

/* ---- promises ---- */
/* Turns the isolate's loop until source's promise has settled; its value. */
jsv8_value_t awaited(jsv8_isolate_t *isolate, const char *source);
void awaited_text(jsv8_isolate_t *isolate, const char *source, const char *expected);
/* The promise that source gives, which must be pending. */
jsv8_ref_t *pending(jsv8_isolate_t *isolate, const char *source);

struct settled {
    int calls;
    jsv8_status_t status;
    int64_t number;
    char message[64];
};

/* For jsv8_promise_then; user is a struct settled. */
void on_settled(void *user, jsv8_status_t status, const jsv8_value_t *result,
                const jsv8_error_t *error);

/* ---- termination ---- */
struct stopper {
    jsv8_isolate_t *isolate;
    int after_ms;
    atomic_int done;
};

/* A thread that terminates what the isolate runs; argument is a struct stopper. */
void *stop_soon(void *argument);
/* source runs until it is terminated, and the isolate goes on. */
void expect_stopped(jsv8_isolate_t *isolate, const char *source);

double now_ms(void);

/* ---- processes of their own (test_jsv8_isolates.c): their exit codes, run by test_jsv8.c ---- */
/* Locking is refused inside of a running call, and goes on after it. */
int lock_inside_process(void);
/* An isolate used without locking on one thread, then by another, then by the first again (used),
 * and one that another thread frees. */
int orphan_process(int used);

/* ---- the tests ---- */
/* test_jsv8_values.c */
void test_values_out(void **state);
void test_values_in(void **state);
void test_no_plain_data(void **state);
/* test_jsv8_calls.c */
void test_scopes(void **state);
void test_exceptions(void **state);
void test_functions(void **state);
void test_large_results(void **state);
void test_terminate(void **state);
void test_heap_limit(void **state);
void test_recursion(void **state);
/* test_jsv8_isolates.c */
void test_isolates_in_any_order(void **state);
void test_four_threads(void **state);
void test_pinned(void **state);
/* test_jsv8_promises.c */
void test_promises_bare(void **state);
void test_promises_web(void **state);
/* test_jsv8_node.c */
void test_web_globals(void **state);
void test_fetch(void **state);
void test_unhandled(void **state);
void test_terminate_in_loop(void **state);
void test_node(void **state);

#endif
