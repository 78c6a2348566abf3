/* SPDX-License-Identifier: MIT
 *
 * lend.hh: typed arrays in: over memory of the host's that JavaScript shares, or over a copy.
 */
#ifndef JSRT_V8_LEND_HH
#define JSRT_V8_LEND_HH

#include "limit.hh"
#include "value.hh"

namespace jsv8
{

/* Memory of the host's that V8 has. Lives from share_bytes until V8's last use of the memory, which
 * may be on any thread and after the isolate, and then until the host has fetched the object. */
struct Lent {
    std::shared_ptr<Buffers> buffers; /* where it is counted, until V8 has given it back */
    void *object;                     /* the host's, owned: keeps the memory where it is */
    size_t size;
    Lent *next, *previous; /* of buffers, under the registry lock; then of those given back */
};

/* A JSV8_BYTES: a Uint8Array over a copy. */
jsv8_status_t copy_bytes(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in,
                         v8::Local<v8::Value> *out, jsv8_error_t *error);
/* A JSV8_LENT_BYTES. Sets loan->taken where the memory is shared. */
jsv8_status_t share_bytes(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in,
                          v8::Local<v8::Value> *out, jsv8_error_t *error);

}   // namespace jsv8
#endif
