/* SPDX-License-Identifier: MIT
 *
 * promise.hh: microtasks, promises and results that may be promises.
 */
#ifndef JSRT_V8_PROMISE_HH
#define JSRT_V8_PROMISE_HH

#include "value.hh"

namespace jsv8
{

/* Runs microtasks (and Node's ticks) if entry is the outermost, then reports rejections that
 * nobody handles. What is thrown meanwhile never reaches the caller's TryCatch. */
void drain_now(jsv8_isolate *iso);

inline void
drain(jsv8_isolate *iso, Entry &entry)
{
    if (entry.outermost()) {
        drain_now(iso);
    }
}

/* As drain, where an error for the caller is described already: promises that settle meanwhile
 * describe theirs elsewhere. */
void drain_aside(jsv8_isolate *iso, Entry &entry);

/* The end of a call that threw: the error's status, after a drain where the isolate goes on. filename:
 * the script's, where the error may be of its syntax. */
jsv8_status_t threw(jsv8_isolate *iso, Entry &entry, v8::TryCatch &caught, jsv8_error_t *error,
                    const char *filename = nullptr);

/* The end of every call: drains, then delivers value as want says. */
jsv8_status_t deliver(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_want_t want,
                      jsv8_value_t *result, jsv8_error_t *error);

/* V8's hook for rejections in a bare isolate. */
void on_promise_reject(v8::PromiseRejectMessage message);

/* Delivers what was settled while a termination threw its reaction away. Inside. */
void settle_lost(jsv8_isolate *iso);
/* At the end of an isolate: JSV8_TERMINATED to everybody who waits. */
void abandon_settling(jsv8_isolate *iso);
void drop_rejections(jsv8_isolate *iso);

}   // namespace jsv8
#endif
