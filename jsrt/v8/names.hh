/* SPDX-License-Identifier: MIT
 *
 * names.hh: global functions by name, fast and always current.
 */
#ifndef JSRT_V8_NAMES_HH
#define JSRT_V8_NAMES_HH

#include "isolate.hh"

namespace jsv8
{

/* What `name` (a global, or a dotted path from one) holds now, and the `this` to call it with.
 * false: the quick way does not know the name, or something threw; nothing is pending then, and
 * jsv8_function says what is wrong. Inside the isolate. May run JavaScript (getters). */
bool find_named(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *name, size_t length,
                v8::Local<v8::Value> *function, v8::Local<v8::Value> *receiver);
/* Before the isolate's context goes. */
void forget_names(RealmParts *parts);

}   // namespace jsv8
#endif
