/* SPDX-License-Identifier: MIT
 *
 * value.hh: plain data in and out of V8, and refs.
 */
#ifndef JSRT_V8_VALUE_HH
#define JSRT_V8_VALUE_HH

#include "exception.hh"

/* A handle the C side holds. isolate: NULL once the isolate is gone. The lists and isolate are
 * guarded by the registry lock; value and receiver by being inside the isolate. */
struct jsv8_ref {
    jsv8_isolate *isolate;
    v8::Global<v8::Value> value;
    v8::Global<v8::Value> receiver; /* `this` of a function found by a dotted path */
    bool callable, promise;
    jsv8_want_t want;      /* of a promise: how its value is to be delivered */
    jsv8_ref *next, *prev; /* iso->refs */
    jsv8_ref *next_dead;   /* iso->dead_refs */
};

namespace jsv8
{

/* A new ref to value; NULL: no memory. */
jsv8_ref *make_ref(jsv8_isolate *iso, v8::Local<v8::Value> value);
void release_dead_refs(jsv8_isolate *iso); /* inside the isolate */
void forget_refs(jsv8_isolate *iso);       /* before the isolate is disposed */

/* JSV8_OK and a value, or the status with error filled in. */
jsv8_status_t to_v8(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in,
                    v8::Local<v8::Value> *out, jsv8_error_t *error);

/* value as plain data. Texts and bytes point into iso->scratch. May run JavaScript (getters). */
jsv8_status_t from_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_want_t want,
                      jsv8_value_t *out, jsv8_error_t *error);

/* The part of from_v8 for thrown values: 0 where the value is not plain data. Never fails. */
int plain_from_v8(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
                  jsv8_value_t *out);

}   // namespace jsv8
#endif
