/* SPDX-License-Identifier: MIT
 *
 * load.h: the functions of jsv8.h, as Python's side calls them: jsrt_v8.call(...) is jsv8_call(...).
 *
 * V8's side is a library of its own (jsrt/_v8, linked with libnode), which is loaded when JavaScript
 * is used for the first time: binding libnode's symbols is a fifth of what a plain server takes to
 * start, and each has a context whether its application uses it or not.
 *
 * Invariant: everything that can be reached only with an engine that has booted, or with a handle,
 * may call. What can come before (a conversion, a question about the process, a pointer taken out of
 * the table) asks jsrt_v8_need() first.
 */
#ifndef JSRT_LOAD_H
#define JSRT_LOAD_H

#include "jsv8.h"

/* clang-format off */
#define JSRT_V8_FUNCTIONS(F) \
    F(process_start) F(process_stop) F(v8_version) F(node_version) \
    F(isolate_new) F(isolate_free) F(isolate_mute) F(isolate_user) F(locking_on) \
    F(locking_is_on) F(terminate) F(force_next) F(force) F(terminate_cancel) F(interrupt) \
    F(stack) F(heap_stats) F(collect) F(heap_snapshot) F(cpu_profile_start) F(cpu_profile_stop) \
    F(run) F(realm_new) F(realm_use) F(realm_free) F(live_realms) F(run_code) F(code_cache) \
    F(code_forget) F(code_version) F(snapshot) F(function) F(call) F(call_with) F(call_named) \
    F(promise_result) F(promise_then) F(operate) F(global) F(frame_count) F(frame_kind) \
    F(frame_argument) F(frame_return) F(frame_throw) F(frame_promise) F(settle) F(take_thrown) \
    F(dropped) F(visit_hosted) F(live_hosted) F(set_return_hook) F(returned) F(live_lent) \
    F(trim) F(number_text) F(ref_kind) F(ref_free) F(ref_isolate) F(live_refs) F(live_isolates) \
    F(turn) F(set_blocking_hooks) F(raw_call_ns)
/* clang-format on */

typedef struct {
#define JSRT_V8_MEMBER(name) __typeof__(jsv8_##name) *name;
    JSRT_V8_FUNCTIONS(JSRT_V8_MEMBER)
#undef JSRT_V8_MEMBER
} jsrt_v8_t;

/* All NULL until it is loaded. */
extern jsrt_v8_t jsrt_v8;

/* Loads it. With the GIL. Returns 0, or -1 with an ImportError that says what is missing. */
int jsrt_v8_load(void);

static inline int
jsrt_v8_is_loaded(void)
{
    return jsrt_v8.process_start != NULL;
}

static inline int
jsrt_v8_need(void)
{
    return jsrt_v8_is_loaded() ? 0 : jsrt_v8_load();
}

#endif
