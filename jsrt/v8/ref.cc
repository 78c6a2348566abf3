/* SPDX-License-Identifier: MIT
 *
 * ref.cc: persistent handles that the C side holds.
 *
 * A ref is given back by any thread, also by one that may not enter the isolate: it waits in the
 * isolate's list of dead refs for the next entry. A ref outlives its isolate, empty.
 */
#include "limit.hh"
#include "value.hh"

namespace jsv8
{

namespace
{

std::atomic<size_t> live_refs{0};

}   // namespace

jsv8_ref *
make_ref(jsv8_isolate *iso, v8::Local<v8::Value> value)
{
    jsv8_ref *ref = new (std::nothrow) jsv8_ref();
    if (ref == nullptr) {
        return nullptr;
    }
    ref->isolate = iso;
    ref->value.Reset(iso->v8, value);
    ref->callable = value->IsFunction();
    ref->promise = value->IsPromise();
    ref->want = JSV8_SETTLE;
    Registry guard;
    ref->next = iso->refs;
    if (ref->next != nullptr) {
        ref->next->prev = ref;
    }
    iso->refs = ref;
    live_refs.fetch_add(1, std::memory_order_relaxed);
    return ref;
}

namespace
{

void
unlink_ref(jsv8_isolate *iso, jsv8_ref *ref)
{
    if (ref->prev != nullptr) {
        ref->prev->next = ref->next;
    } else {
        iso->refs = ref->next;
    }
    if (ref->next != nullptr) {
        ref->next->prev = ref->prev;
    }
    ref->next = ref->prev = nullptr;
}

}   // namespace

void
release_dead_refs(jsv8_isolate *iso)
{
    jsv8_ref *dead;
    {
        Registry guard;
        dead = iso->dead_refs;
        iso->dead_refs = nullptr;
        iso->attention.fetch_and(~kDeadRefs);
        for (jsv8_ref *each = dead; each != nullptr; each = each->next_dead) {
            unlink_ref(iso, each);
        }
    }
    while (dead != nullptr) {
        jsv8_ref *next = dead->next_dead;
        delete dead;
        dead = next;
    }
}

void
forget_refs(jsv8_isolate *iso)
{
    release_dead_refs(iso);
    Registry guard;
    while (iso->refs != nullptr) {
        jsv8_ref *ref = iso->refs;
        unlink_ref(iso, ref);
        ref->value.Reset();
        ref->receiver.Reset();
        ref->callable = false;
        ref->isolate = nullptr;
    }
}

}   // namespace jsv8

using namespace jsv8;

void
jsv8_ref_free(jsv8_ref_t *ref)
{
    if (ref == nullptr) {
        return;
    }
    live_refs.fetch_sub(1, std::memory_order_relaxed);
    {
        Registry guard;
        jsv8_isolate *iso = ref->isolate;
        if (iso != nullptr) {
            ref->next_dead = iso->dead_refs;
            iso->dead_refs = ref;
            iso->attention.fetch_or(kDeadRefs);
            return;
        }
    }
    delete ref;
}

jsv8_ref_kind_t
jsv8_ref_kind(const jsv8_ref_t *ref)
{
    return ref->callable ? JSV8_REF_FUNCTION : ref->promise ? JSV8_REF_PROMISE : JSV8_REF_OBJECT;
}

jsv8_isolate_t *
jsv8_ref_isolate(const jsv8_ref_t *ref)
{
    return ref->isolate;
}

size_t
jsv8_live_refs(void)
{
    return live_refs.load(std::memory_order_relaxed);
}
