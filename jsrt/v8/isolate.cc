/* SPDX-License-Identifier: MIT
 *
 * isolate.cc: an isolate from birth to death, and pinning.
 *
 * Pinned isolates of a thread form a stack (V8 keeps "the current isolate" as one), freed in any
 * order: those above the one that goes are left, and entered again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "context.hh"
#include "host.hh"
#include "limit.hh"
#include "node_env.hh"
#include "platform.hh"
#include "promise.hh"
#include "realm.hh"
#include "snapshot.hh"

namespace jsv8
{

namespace
{

std::atomic<size_t> live_isolates{0};
thread_local jsv8_isolate *pinned_top = nullptr;

/* Counts an isolate from before it is made: V8 is not stopped meanwhile. */
class Reservation
{
  public:
    Reservation()
    {
        live_isolates.fetch_add(1);
    }
    ~Reservation()
    {
        if (!kept_) {
            live_isolates.fetch_sub(1);
        }
    }
    Reservation(const Reservation &) = delete;
    Reservation &operator=(const Reservation &) = delete;
    void keep()
    {
        kept_ = true;
    }

  private:
    bool kept_ = false;
};

void
pin(jsv8_isolate *iso)
{
    iso->owner.store(thread_pointer(), std::memory_order_relaxed);
    Presence::enter(iso);
    iso->inside = true;
    iso->pinned_below = pinned_top;
    pinned_top = iso;
}

/* Leaves the isolate and all pinned after it; returns the latter, to be entered again. */
jsv8_isolate *
unpin(jsv8_isolate *iso)
{
    jsv8_isolate *others = nullptr;
    while (pinned_top != iso) {
        jsv8_isolate *above = pinned_top;
        Presence::leave(above);
        pinned_top = above->pinned_below;
        above->pinned_below = others;
        others = above;
    }
    Presence::leave(iso);
    iso->inside = false;
    pinned_top = iso->pinned_below;
    return others;
}

void
pin_again(jsv8_isolate *others)
{
    while (others != nullptr) {
        jsv8_isolate *next = others->pinned_below;
        Presence::enter(others);
        others->pinned_below = pinned_top;
        pinned_top = others;
        others = next;
    }
}

bool
open_own_loop(jsv8_isolate *iso)
{
    if (uv_loop_init(&iso->own_loop) != 0) {
        return false;
    }
    if (uv_async_init(&iso->own_loop, &iso->wake, [](uv_async_t *) {}) != 0) {
        uv_loop_close(&iso->own_loop);
        return false;
    }
    uv_unref(reinterpret_cast<uv_handle_t *>(&iso->wake));
    iso->loop = &iso->own_loop;
    iso->owns_loop = true;
    return true;
}

void
close_own_loop(jsv8_isolate *iso)
{
    uv_close(reinterpret_cast<uv_handle_t *>(&iso->wake), nullptr);
    uv_run(&iso->own_loop, UV_RUN_DEFAULT);
    uv_loop_close(&iso->own_loop);
}

jsv8_status_t
start_bare(jsv8_isolate *iso, jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
    v8->SetPromiseRejectCallback(on_promise_reject);
    v8::HandleScope scope(v8);
    v8::Local<v8::Context> context = v8::Context::New(v8);
    if (context.IsEmpty()) {
        return fail(error, JSV8_NO_MEMORY, "V8 could not make a context");
    }
    iso->context.Reset(v8, context);
    iso->main_context.Reset(v8, context);
    return JSV8_OK;
}

/* The isolate, registered with the platform, with nothing in it. */
void
allocate(jsv8_isolate *iso, v8::StartupData *blob)
{
    v8::Isolate::CreateParams params;
    if (blob != nullptr) {
        params.snapshot_blob = blob;
    }
    if (iso->heap_limit != 0) {
        params.constraints.ConfigureDefaultsFromHeapSize(0, iso->heap_limit);
    } else {
        uint64_t memory = uv_get_constrained_memory();
        uint64_t total = uv_get_total_memory();
        memory = memory == 0 || memory > total ? total : memory;
        params.constraints.ConfigureDefaults(memory, 0);
    }
    iso->buffers = std::make_shared<Buffers>(iso, iso->heap_limit);
    params.array_buffer_allocator_shared = iso->buffers;
    iso->v8 = v8::Isolate::Allocate();
    platform()->RegisterIsolate(iso->v8, iso->loop);
    v8::Isolate::Initialize(iso->v8, params);
    iso->v8->SetData(kDataSlot, iso);
    watch_heap(iso);
}

/* Undoes allocate(); outside of the isolate, lock held where locking is on. */
void
dispose(jsv8_isolate *iso)
{
    bool finished = false;
    platform()->AddIsolateFinishedCallback(
        iso->v8, [](void *flag) { *static_cast<bool *>(flag) = true; }, &finished);
    platform()->UnregisterIsolate(iso->v8);
    iso->v8->Dispose();
    /* The platform closes handles of its own on the loop. */
    while (!finished) {
        uv_run(iso->loop, UV_RUN_ONCE);
    }
}

}   // namespace

void
dispose_orphan(jsv8_isolate *iso)
{
    iso->buffers->detach();
    dispose(iso);
    iso->buffers.reset();
    if (iso->owns_loop) {
        close_own_loop(iso);
    }
    delete iso->error_texts;
    delete iso->unhandled_texts;
    delete iso->aside_texts;
    delete iso;
    live_isolates.fetch_sub(1);
}

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_isolate_new(const jsv8_isolate_config_t *config, jsv8_isolate_t **out, jsv8_error_t *error)
{
    *out = nullptr;
    clear_error(error);
    Reservation reservation;
    if (!is_running() || jsv8_process_forked()) {
        return fail(error, JSV8_UNSUPPORTED,
                    !is_running() ? "V8 is not running"
                                  : "V8 was started before this process was forked");
    }
    if (config->pinned && config->loop == nullptr) {
        return fail(error, JSV8_UNSUPPORTED, "a pinned isolate needs the loop it is pinned for");
    }
    if (config->pinned && jsv8_locking_on() <= 0) {
        return fail(error, JSV8_UNSUPPORTED, "an isolate cannot be pinned inside another's call");
    }
    v8::StartupData *blob;
    jsv8_status_t status = choose_blob(config, &blob, error);
    if (status != JSV8_OK) {
        return status;
    }
    if (inside_top == nullptr) {
        leave_resident(); /* a pinned isolate must not lie on top of one that will go */
    }
    auto *iso = new (std::nothrow) jsv8_isolate();
    if (iso == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    iso->error_texts = new (std::nothrow) ErrorTexts();
    iso->unhandled_texts = new (std::nothrow) ErrorTexts();
    iso->aside_texts = new (std::nothrow) ErrorTexts();
    iso->profile = config->profile;
    iso->heap_limit = config->heap_limit;
    iso->on_unhandled = config->on_unhandled;
    iso->user = config->user;
    iso->on_call = config->on_call;
    iso->on_dropped = config->on_dropped;
    iso->release = config->release;
    iso->loop = config->loop;
    if (iso->error_texts == nullptr || iso->unhandled_texts == nullptr
        || iso->aside_texts == nullptr || (iso->loop == nullptr && !open_own_loop(iso))) {
        delete iso->error_texts;
        delete iso->unhandled_texts;
        delete iso->aside_texts;
        delete iso;
        return fail(error, JSV8_NO_MEMORY, "no loop could be opened for the isolate");
    }
    allocate(iso, blob);
    reservation.keep();
    if (config->pinned) {
        new (iso->pin_lock) v8::Locker(iso->v8);
        iso->pinned = true;
        set_stack_limit(iso);
    }

    {
        Gate gate(iso);
        v8::Isolate::Scope isolate_scope(iso->v8);
        if (!iso->pinned) {
            set_stack_limit(iso);
        }
        status =
            iso->profile == JSV8_PROFILE_BARE ? start_bare(iso, error) : start_node(iso, error);
        watch_fatal(iso);
        if (status == JSV8_OK) {
            v8::HandleScope scope(iso->v8);
            v8::Context::Scope context_scope(strong(iso->context));
            if (!keep_intrinsics(iso, strong(iso->context))
                || (iso->env != nullptr && !prepare_sharing(iso))) {
                status = fail(error, JSV8_NO_MEMORY, "V8 could not make a context");
            }
        }
    }
    if (status == JSV8_OK && iso->pinned) {
        pin(iso);
    }
    if (status != JSV8_OK) {
        /* error's texts belong to the isolate: what is left of them must outlive it. */
        static char kept[512];
        snprintf(kept, sizeof(kept), "%s", error->message);
        jsv8_isolate_free(iso);
        return fail(error, status, kept);
    }
    *out = iso;
    return JSV8_OK;
}

void
jsv8_isolate_free(jsv8_isolate_t *iso)
{
    jsv8_isolate *others = nullptr;
    void (*release)(void *) = iso->release;
    Hosted *owned = nullptr;
    bool was_pinned = iso->pinned && iso->owner.load() == thread_pointer();

    iso->disposing = true;
    if (resident.load() == iso) {
        leave_resident();
    }
    if (was_pinned) {
        others = unpin(iso);
        iso->owner.store(nullptr);
    }
    iso->attention.fetch_and(~kStop);
    abandon_settling(iso); /* runs the host's code, which may let other threads run: not inside */
    {
        Gate gate(iso); /* pinned: the Locker is held already, one more does no harm */
        {
            v8::Isolate::Scope isolate_scope(iso->v8);
            v8::HandleScope scope(iso->v8);
            iso->v8->CancelTerminateExecution();
            drop_rejections(iso);
            drop_interrupts(iso);
            if (iso->env != nullptr || iso->node_data != nullptr) {
                stop_node(iso);
            }
            forget_refs(iso);
            owned = forget_host(iso);
            iso->last_thrown.Reset();
            iso->ticks = nullptr;
            iso->ticks_store.reset();
            iso->tick_resource.Reset();
            iso->unwind.Reset();
            forget_profiler(iso);
            iso->scripts.clear();
            forget_realms(iso);
            iso->main_context.Reset();
        }
    }
    if (iso->pinned) {
        reinterpret_cast<v8::Locker *>(iso->pin_lock)->~Locker();
    }
    if (resident.load() == iso) {
        v8::Locker lock(iso->v8);
        iso->orphan = true; /* the thread it is resident on does the rest */
    } else {
        dispose_orphan(iso);
    }
    pin_again(others);
    release_owned(owned, release); /* runs the host's code: last */
}

size_t
jsv8_live_isolates(void)
{
    return live_isolates.load();
}
