/* SPDX-License-Identifier: MIT
 *
 * pack.hh: the short way out for small results; see pack.cc.
 */
#ifndef JSRT_V8_PACK_HH
#define JSRT_V8_PACK_HH

#include "isolate.hh"

namespace jsv8
{

/* Once, while the context is new and nobody has changed its intrinsics. False: an exception. */
bool prepare_pack(jsv8_isolate *iso, v8::Local<v8::Context> context);

enum class Packed {
    kDone,   /* out is filled in: JSV8_WIRE, in iso->scratch */
    kNot,    /* V8's serializer has to do it: nothing was written */
    kThrown, /* a getter threw, or JS was stopped: the exception is pending */
};

/* A small plain object or array. May run JavaScript (getters); for kNot those that ran will run
 * again in the serializer. */
Packed pack_from_v8(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
                    jsv8_value_t *out);

}   // namespace jsv8
#endif
