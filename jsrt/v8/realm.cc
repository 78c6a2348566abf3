/* SPDX-License-Identifier: MIT
 *
 * realm.cc: further global scopes in an isolate: V8 contexts, 0.3 ms and 0.2 MB each.
 *
 * One realm is current: the shim's own handles of it are the isolate's fields, so a call costs
 * nothing more where there is only one. Changing realms exchanges them, and the entered context
 * where the isolate stays entered on a thread (scope.hh).
 *
 * Realms of a bare isolate have intrinsics of their own, V8's own security token each, and no
 * object in common: code in one cannot reach another. They share the heap with its limit, the
 * symbol registry, and the microtask queue, which is empty between calls.
 *
 * A realm beside Node's environment is a context without one. The names that Node has put on the
 * first realm's global object are there, as the very same objects, so the first realm is within
 * reach: enough to keep scripts out of each other's way, not to keep them apart.
 */
#include "realm.hh"

#include <utility>

#include "context.hh"
#include "handle.hh"
#include "limit.hh"
#include "names.hh"
#include "view.hh"

namespace jsv8
{

namespace
{

std::atomic<size_t> live_realms{0};

constexpr char kShare[] = R"js(((own) => {
  "use strict";
  const { defineProperty, getOwnPropertyNames } = Object, { hasOwn } = Object;
  const main = globalThis, names = getOwnPropertyNames(main).filter((name) => name !== "global");
  return (target) => {
    for (const name of names) {
      if (name !== "console" && hasOwn(target, name)) continue;
      const put = (value) => defineProperty(target, name,
        { value, writable: true, configurable: true, enumerable: false });
      defineProperty(target, name, {
        get: () => { const value = main[name]; put(value); return value; },
        set: put, configurable: true, enumerable: false,
      });
    }
    defineProperty(target, "global",
      { value: target, writable: true, configurable: true, enumerable: false });
  };
})())js";

/* A context for use beside Node's environment. node::NewContext makes one fit for an environment of
 * its own, which takes 5 ms. Node's callbacks tell a context that is none of theirs by its having
 * less embedder data than they use, but first look whether it allows WebAssembly: at this index,
 * which is kept clear of other embedders', and which therefore stays. */
v8::Local<v8::Context>
context_beside_node(v8::Isolate *v8)
{
#if NODE_MAJOR_VERSION == 18 || NODE_MAJOR_VERSION == 20
    constexpr int kAllowWasm = 34;
    v8::Local<v8::Context> context = v8::Context::New(v8);
    if (!context.IsEmpty()) {
        context->SetEmbedderData(kAllowWasm, v8::True(v8));
    }
    return context;
#else
    return node::NewContext(v8);
#endif
}

void
drop_parts(RealmParts *parts)
{
    forget_names(parts);
    forget_operations(parts);
    forget_views(parts);
    *parts = RealmParts();
}

RealmParts &
parts_of(jsv8_isolate *iso)
{
    return *iso;
}

void
unlink_realm(jsv8_isolate *iso, jsv8_realm *realm)
{
    if (realm->previous != nullptr) {
        realm->previous->next = realm->next;
    } else {
        iso->realms = realm->next;
    }
    if (realm->next != nullptr) {
        realm->next->previous = realm->previous;
    }
}

void
exchange(jsv8_isolate *iso, jsv8_realm *realm)
{
    (iso->realm != nullptr ? iso->realm->parts : iso->first_parts) = std::move(parts_of(iso));
    parts_of(iso) = std::move(realm != nullptr ? realm->parts : iso->first_parts);
    (realm != nullptr ? realm->parts : iso->first_parts) = RealmParts();
    iso->realm = realm;
}

/* A fresh context and the shim's handles of it. The current realm's are put aside meanwhile. */
jsv8_status_t
make_parts(jsv8_isolate *iso, RealmParts *out, jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::TryCatch caught(v8);
    v8::Local<v8::Context> context =
        iso->env != nullptr ? context_beside_node(v8) : v8::Context::New(v8);
    if (context.IsEmpty()) {
        return fail(error, JSV8_NO_MEMORY, "V8 could not make a context");
    }
    context->AllowCodeGenerationFromStrings(true);
    if (iso->env != nullptr) {
        context->SetSecurityToken(strong(iso->main_context)->GetSecurityToken());
    }
    RealmParts current = std::move(parts_of(iso));
    parts_of(iso) = RealmParts();
    bool ok;
    {
        v8::Context::Scope context_scope(context);
        iso->context.Reset(v8, context);
        ok = keep_intrinsics(iso, context);
    }
    *out = std::move(parts_of(iso));
    parts_of(iso) = std::move(current);
    if (ok && iso->env != nullptr) {
        v8::Local<v8::Value> target = context->Global();
        ok = !strong(iso->share)
                  ->Call(strong(iso->main_context), v8::Undefined(v8), 1, &target)
                  .IsEmpty();
    }
    if (!ok) {
        drop_parts(out);
        return fail(error, JSV8_NO_MEMORY, "V8 could not make a context");
    }
    return JSV8_OK;
}

}   // namespace

bool
prepare_sharing(jsv8_isolate *iso)
{
    return own_function(iso, strong(iso->context), kShare, &iso->share);
}

void
release_dead_realms(jsv8_isolate *iso)
{
    jsv8_realm *dead, *kept = nullptr;
    {
        Registry guard;
        dead = iso->dead_realms;
        iso->dead_realms = nullptr;
    }
    while (dead != nullptr) {
        jsv8_realm *next = dead->next_dead;
        if (dead == iso->realm) {
            kept = dead;
        } else {
            unlink_realm(iso, dead);
            drop_parts(&dead->parts);
            delete dead;
            live_realms.fetch_sub(1, std::memory_order_relaxed);
        }
        dead = next;
    }
    if (kept != nullptr) {
        Registry guard;
        kept->next_dead = iso->dead_realms;
        iso->dead_realms = kept;
    }
}

void
forget_realms(jsv8_isolate *iso)
{
    if (iso->realm != nullptr) {
        exchange(iso, nullptr);
    }
    release_dead_realms(iso);
    while (iso->realms != nullptr) {
        jsv8_realm *realm = iso->realms;
        unlink_realm(iso, realm);
        drop_parts(&realm->parts);
        Registry guard;
        realm->isolate = nullptr;
    }
    iso->share.Reset();
    drop_parts(iso);
}

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_realm_new(jsv8_isolate_t *iso, jsv8_realm_t **out, jsv8_error_t *error)
{
    *out = nullptr;
    clear_error(error);
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    auto *realm = new (std::nothrow) jsv8_realm();
    if (realm == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    jsv8_status_t status = make_parts(iso, &realm->parts, error);
    if (status != JSV8_OK) {
        delete realm;
        return entry.stopped() ? fail(error, entry.stop_status(), "") : status;
    }
    realm->isolate = iso;
    realm->next = iso->realms;
    if (realm->next != nullptr) {
        realm->next->previous = realm;
    }
    iso->realms = realm;
    live_realms.fetch_add(1, std::memory_order_relaxed);
    *out = realm;
    return JSV8_OK;
}

void
jsv8_realm_use(jsv8_isolate_t *iso, jsv8_realm_t *realm)
{
    if (iso->realm == realm) {
        return;
    }
    Gate gate(iso);
    if (!gate.outermost()) {
        return;
    }
    /* Resident or pinned: the old context is the entered one of this thread. */
    bool entered =
        iso->pinned
        || (iso->inside && resident_thread.load() == thread_pointer() && resident.load() == iso);
    if (!entered) {
        exchange(iso, realm);
    } else {
        v8::Isolate::Scope isolate_scope(iso->v8);
        v8::HandleScope scope(iso->v8);
        strong(iso->context)->Exit();
        exchange(iso, realm);
        strong(iso->context)->Enter();
    }
    Registry guard;
    if (iso->dead_realms != nullptr) {
        iso->attention.fetch_or(kDeadRefs);
    }
}

void
jsv8_realm_free(jsv8_realm_t *realm)
{
    if (realm == nullptr) {
        return;
    }
    Registry guard;
    jsv8_isolate *iso = realm->isolate;
    if (iso == nullptr) {
        delete realm; /* emptied when the isolate went */
        live_realms.fetch_sub(1, std::memory_order_relaxed);
        return;
    }
    realm->next_dead = iso->dead_realms;
    iso->dead_realms = realm;
    iso->attention.fetch_or(kDeadRefs);
}

size_t
jsv8_live_realms(void)
{
    return live_realms.load(std::memory_order_relaxed);
}
