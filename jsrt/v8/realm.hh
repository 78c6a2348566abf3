/* SPDX-License-Identifier: MIT
 *
 * realm.hh: further global scopes in an isolate.
 */
#ifndef JSRT_V8_REALM_HH
#define JSRT_V8_REALM_HH

#include "isolate.hh"

/* Owned by the caller of jsv8_realm_new until it gives it back. */
struct jsv8_realm {
    jsv8_isolate *isolate = nullptr; /* weak: cleared when the isolate goes */
    jsv8::RealmParts parts;          /* empty while it is the isolate's current realm */
    jsv8_realm *next = nullptr, *previous = nullptr; /* isolate->realms */
    jsv8_realm *next_dead = nullptr;
};

namespace jsv8
{

/* Of Node's environment, before anybody has added to its global object: remembers which names
 * further realms get from it. False: an exception. */
bool prepare_sharing(jsv8_isolate *iso);
/* Frees what was given back, but for the current realm. Inside. */
void release_dead_realms(jsv8_isolate *iso);
/* The isolate goes: empties all realms, the first included. */
void forget_realms(jsv8_isolate *iso);

}   // namespace jsv8
#endif
