/* SPDX-License-Identifier: MIT
 *
 * limit.cc: what bounds an isolate (heap, ArrayBuffers, stack, termination) and the switch to
 * locking; also the registry lock that guards what any thread may touch.
 *
 * Termination. jsv8_terminate sets kStop and V8's own flag. V8's flag alone is not enough: a new
 * Locker resets it, and code that never checks its stack never sees it. kStop is cleared when
 * the outermost call it ended closes, together with V8's flag.
 *
 * jsv8_force is for C++ of V8's own that looks for a termination now and then, but runs no
 * interrupts: arithmetic of huge BigInts. It stops the call that was under way when kForcing was
 * set, at least a tick before: an entry takes kForcing away, under the registry lock.
 *
 * Heap. V8 asks, during a collection, what to do near the limit: we raise it, so that the running
 * JavaScript can unwind, condemn the isolate and terminate. Asked again, we raise it again, the
 * only other answer being an abort of the process: C++ that cannot be stopped (JSON.parse) needs
 * what it needs. V8 does not ask where one allocation alone is too large. But it makes a last
 * collection then, whose end we see: four times the limit is as far as V8 lets us go there. Beyond
 * that it ends the process, and we say why. The memories of WebAssembly, which pass no allocator of
 * ours, are looked at after collections, which V8 makes when they grow.
 */
#include "limit.hh"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "node_env.hh"
#include "promise.hh"
#include "realm.hh"
#include "spare.hh"

namespace jsv8
{

std::atomic<bool> locking{false};
jsv8_isolate *inside_top = nullptr;
std::atomic<jsv8_isolate *> resident{nullptr};
std::atomic<void *> resident_thread{nullptr};

namespace
{

constexpr size_t kStackReserve = 256 * 1024;
constexpr size_t kStackUsed = 16 * 1024 * 1024; /* of a larger stack */
constexpr size_t kHeapRaise = 16 * 1024 * 1024;
constexpr size_t kMostLent = 48 * 1024 * 1024;
constexpr size_t kSmallBlock = 256 * 1024;

std::mutex &
registry()
{
    static std::mutex *mutex = new std::mutex(); /* never destroyed: used until the very end */
    return *mutex;
}

/* The lowest address JS may use on this thread. */
uintptr_t
stack_limit()
{
    static thread_local uintptr_t known = 0;
    if (known != 0) {
        return known;
    }
    pthread_attr_t attributes;
    void *low = nullptr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &low, &size);
        pthread_attr_destroy(&attributes);
    }
    uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    uintptr_t bottom = reinterpret_cast<uintptr_t>(low);
    if (low == nullptr || size == 0 || here < bottom || here >= bottom + size) {
        /* A stack that is not the thread's (a fiber): trust half a megabyte of it. */
        return here - 512 * 1024;
    }
    if (size > kStackUsed) {
        bottom += size - kStackUsed;
        size = kStackUsed;
    }
    known = bottom + std::min(kStackReserve, size / 4);
    return known;
}

size_t
near_heap_limit(void *data, size_t current, size_t initial)
{
    auto *iso = static_cast<jsv8_isolate *>(data);
    v8::HeapStatistics figures;
    iso->v8->GetHeapStatistics(&figures); /* it may be beyond the limit by far already */
    condemn(iso);
    return std::max(current, figures.total_heap_size()) + std::max(kHeapRaise, initial / 2);
}

void
after_collection(v8::Isolate *v8, v8::GCType, v8::GCCallbackFlags flags, void *data)
{
    auto *iso = static_cast<jsv8_isolate *>(data);
    if (iso->collecting || iso->disposing) {
        return;
    }
    /* With all of Node's modules JavaScript can have such collections made (v8.writeHeapSnapshot). */
    if ((flags & v8::kGCCallbackFlagCollectAllAvailableGarbage) && !iso->buffers->refusing()
        && iso->profile != JSV8_PROFILE_NODE) {
        condemn(iso); /* V8's last try to make room */
        v8->IncreaseHeapLimitForDebugging();
        return;
    }
    if (iso->heap_limit != 0) {
        v8::HeapStatistics figures;
        v8->GetHeapStatistics(&figures);
        if (figures.external_memory() > iso->buffers->held() + iso->heap_limit) {
            condemn(iso);
        }
    }
}

[[noreturn]] void
give_up(const char *location)
{
    v8::Isolate *v8 = v8::Isolate::TryGetCurrent();
    auto *iso = v8 != nullptr ? static_cast<jsv8_isolate *>(v8->GetData(kDataSlot)) : nullptr;
    char limit[64] = "no heap limit was set", line[320];
    if (iso != nullptr && iso->heap_limit != 0) {
        snprintf(limit, sizeof(limit), "the heap limit is %.6g MB",
                 static_cast<double>(iso->heap_limit) / (1 << 20));
    }
    int length = snprintf(line, sizeof(line),
                          "jsrt: fatal: JavaScript made one allocation beyond all bounds (%s), "
                          "which V8 cannot survive: the process ends (%.100s)\n",
                          limit, location != nullptr ? location : "");
    if (write(STDERR_FILENO, line, static_cast<size_t>(length)) < 0) {
        abort();
    }
    abort();
}

#if V8_MAJOR_VERSION < 11
void
on_out_of_memory(const char *location, bool)
#else
void
on_out_of_memory(const char *location, const v8::OOMDetails &)
#endif
{
    give_up(location);
}

}   // namespace

Registry::Registry()
{
    registry().lock();
}
Registry::~Registry()
{
    registry().unlock();
}

struct Interrupt {
    void (*callback)(jsv8_isolate *isolate, void *user);
    void *user;
    Interrupt *next;
};

namespace
{

void
run_interrupts(jsv8_isolate *iso)
{
    Interrupt *first;
    {
        Registry guard;
        first = iso->interrupts;
        iso->interrupts = nullptr;
        iso->attention.fetch_and(~kInterrupt);
    }
    Interrupt *ordered = nullptr; /* the list is last-in-first-out */
    while (first != nullptr) {
        Interrupt *next = first->next;
        first->next = ordered;
        ordered = first;
        first = next;
    }
    while (ordered != nullptr) {
        Interrupt *next = ordered->next;
        ordered->callback(iso, ordered->user);
        delete ordered;
        ordered = next;
    }
}

}   // namespace

void
become_resident(jsv8_isolate *iso)
{
    leave_resident();
    Presence::enter(iso);
    iso->inside = true;
    resident.store(iso, std::memory_order_relaxed);
    resident_thread.store(thread_pointer(), std::memory_order_relaxed);
}

namespace
{

/* Returns whether the isolate was freed meanwhile. If another thread used it, the end of that
 * thread's Locker has thrown away V8's list of entered contexts, and ours with it. */
bool
leave_one(jsv8_isolate *iso)
{
    if (!iso->orphan) {
        v8::HandleScope scope(iso->v8);
        v8::Local<v8::Context> entered = iso->v8->GetEnteredOrMicrotaskContext();
        if (!entered.IsEmpty() && entered == strong(iso->context)) {
            entered->Exit();
        }
    }
    iso->v8->Exit();
    iso->inside = false;
    return iso->orphan;
}

}   // namespace

void
leave_resident()
{
    jsv8_isolate *iso = resident.load(std::memory_order_relaxed);
    if (iso == nullptr || resident_thread.load(std::memory_order_relaxed) != thread_pointer()) {
        return;
    }
    bool orphan;
    if (locking.load() && !v8::Locker::IsLocked(iso->v8)) {
        v8::Locker lock(iso->v8);
        orphan = leave_one(iso);
    } else {
        orphan = leave_one(iso);
    }
    resident.store(nullptr, std::memory_order_relaxed);
    resident_thread.store(nullptr, std::memory_order_relaxed);
    if (orphan) {
        dispose_orphan(iso);
    }
}

void
set_stack_limit(jsv8_isolate *iso)
{
    iso->stack_thread = thread_pointer();
    iso->v8->SetStackLimit(stack_limit());
}

void
attend(jsv8_isolate *iso)
{
    uint32_t bits = iso->attention.load(std::memory_order_acquire);
    if (bits & kForcing) {
        Registry guard; /* jsv8_force has come in time, or never will */
        if (iso->attention.fetch_and(~(kForcing | kForced)) & kForced) {
            iso->attention.fetch_and(~kStop);
            iso->v8->CancelTerminateExecution();
        }
    }
    if (bits & kDeadRefs) {
        release_dead_refs(iso);
        release_dead_realms(iso);
    }
    if (bits & kInterrupt) {
        run_interrupts(iso);
    }
}

void
end_stop(jsv8_isolate *iso)
{
    uint32_t before = iso->attention.fetch_and(~(kStop | kForcing | kForced));
    iso->v8->CancelTerminateExecution();
    if (!(before & kCondemned)) {
        unwind_node(iso);
        settle_lost(iso);
    }
}

void
condemn(jsv8_isolate *iso)
{
    iso->attention.fetch_or(kCondemned);
    iso->v8->TerminateExecution();
}

void
watch_heap(jsv8_isolate *iso)
{
    iso->v8->AddNearHeapLimitCallback(near_heap_limit, iso);
    iso->v8->AddGCEpilogueCallback(after_collection, iso, v8::kGCTypeMarkSweepCompact);
}

void
collect_soon(jsv8_isolate *iso)
{
    Collecting asked(iso);
    iso->v8->MemoryPressureNotification(v8::MemoryPressureLevel::kCritical);
    iso->v8->MemoryPressureNotification(v8::MemoryPressureLevel::kNone);
}

void
watch_fatal(jsv8_isolate *iso)
{
    iso->v8->SetOOMErrorHandler(on_out_of_memory);
}

void
drop_interrupts(jsv8_isolate *iso)
{
    Registry guard;
    while (iso->interrupts != nullptr) {
        Interrupt *next = iso->interrupts->next;
        delete iso->interrupts;
        iso->interrupts = next;
    }
}

/* ---- ArrayBuffers -------------------------------------------------------------------------- */

thread_local bool Buffers::filling = false;

bool
Buffers::admit(size_t length)
{
    size_t before = held_.fetch_add(length, std::memory_order_relaxed);
    if (cap_ == 0 || before + length <= cap_) {
        refused_.store(0, std::memory_order_relaxed);
        return true;
    }
    bool again = refused_length_.exchange(length) == length;
    int tries = again ? refused_.fetch_add(1) + 1 : (refused_.store(1), 1);
    jsv8_isolate *iso = iso_.load();
    if (length <= kSmallBlock && tries > kTriesBeforeLast && iso != nullptr) {
        refused_.store(0);
        condemn(iso);
        return true;
    }
    held_.fetch_sub(length, std::memory_order_relaxed);
    return false;
}

/* Beyond a bound texts are copied, so that keeping them is stopped by the heap limit. */
bool
Buffers::begin_loan(size_t size)
{
    size_t most = cap_ != 0 ? std::min(cap_ / 4, kMostLent) : kMostLent;
    if (lent_.fetch_add(size, std::memory_order_relaxed) + size <= most) {
        return true;
    }
    end_loan(size);
    return false;
}

void *
Buffers::Allocate(size_t length)
{
    if (filling) {
        return AllocateUninitialized(length);
    }
    if (!admit(length)) {
        return nullptr;
    }
    void *data = calloc(length != 0 ? length : 1, 1);
    if (data == nullptr) {
        held_.fetch_sub(length, std::memory_order_relaxed);
    }
    return data;
}

void *
Buffers::AllocateUninitialized(size_t length)
{
    if (!admit(length)) {
        return nullptr;
    }
    void *data = take_spare(length);
    if (data == nullptr) {
        data = malloc(length != 0 ? length : 1);
    }
    if (data == nullptr) {
        held_.fetch_sub(length, std::memory_order_relaxed);
    }
    return data;
}

void
Buffers::Free(void *data, size_t length)
{
    held_.fetch_sub(length, std::memory_order_relaxed);
    if (!keep_spare(data, length)) {
        free(data);
    }
}

#if V8_MAJOR_VERSION < 13
void *
Buffers::Reallocate(void *data, size_t old_length, size_t new_length)
{
    if (new_length > old_length && !admit(new_length - old_length)) {
        return nullptr;
    }
    void *moved = realloc(data, new_length != 0 ? new_length : 1);
    if (moved == nullptr) {
        if (new_length > old_length) {
            held_.fetch_sub(new_length - old_length, std::memory_order_relaxed);
        }
        return nullptr;
    }
    if (new_length > old_length) {
        memset(static_cast<char *>(moved) + old_length, 0, new_length - old_length);
    } else {
        held_.fetch_sub(old_length - new_length, std::memory_order_relaxed);
    }
    return moved;
}
#endif

}   // namespace jsv8

using namespace jsv8;

/* ---- locking ------------------------------------------------------------------------------- */

int
jsv8_locking_on(void)
{
    if (!locking.load(std::memory_order_relaxed)) {
        if (inside_top != nullptr) {
            return inside_top->owner.load(std::memory_order_relaxed) == thread_pointer() ? 0 : -1;
        }
        leave_resident();
        locking.store(true, std::memory_order_release);
    }
    return 1;
}

int
jsv8_locking_is_on(void)
{
    return locking.load(std::memory_order_acquire);
}

/* ---- termination, interrupts --------------------------------------------------------------- */

void
jsv8_terminate(jsv8_isolate_t *iso)
{
    iso->attention.fetch_or(kStop);
    iso->v8->TerminateExecution();
    if (iso->owns_loop) {
        uv_async_send(&iso->wake);
    }
}

void
jsv8_force_next(jsv8_isolate_t *iso)
{
    iso->attention.fetch_or(kForcing);
}

int
jsv8_force(jsv8_isolate_t *iso)
{
    Registry guard;
    if (!(iso->attention.load() & kForcing)) {
        return 0;
    }
    iso->attention.fetch_or(kStop | kForced);
    iso->v8->TerminateExecution();
    return 1;
}

void
jsv8_terminate_cancel(jsv8_isolate_t *iso)
{
    if (!(iso->attention.load() & kStop)) {
        return;
    }
    Entry entry(iso);
    if (entry.outermost()) {
        end_stop(iso);
        return;
    }
    /* Node's state is not unwound: the calls that began it are still under way. */
    if (!(iso->attention.fetch_and(~kStop) & kCondemned)) {
        iso->v8->CancelTerminateExecution();
        settle_lost(iso);
    }
}

void
jsv8_interrupt(jsv8_isolate_t *iso, void (*callback)(jsv8_isolate_t *, void *), void *user)
{
    Interrupt *added = new (std::nothrow) Interrupt{callback, user, nullptr};
    if (added == nullptr) {
        return;
    }
    {
        Registry guard;
        added->next = iso->interrupts;
        iso->interrupts = added;
        iso->attention.fetch_or(kInterrupt);
    }
    iso->v8->RequestInterrupt(
        [](v8::Isolate *, void *data) { run_interrupts(static_cast<jsv8_isolate *>(data)); }, iso);
}

/* ---- figures ------------------------------------------------------------------------------- */

void
jsv8_heap_stats(jsv8_isolate_t *iso, jsv8_heap_stats_t *out)
{
    Entry entry(iso);
    v8::HeapStatistics figures;
    iso->v8->GetHeapStatistics(&figures);
    out->heap_used = figures.used_heap_size();
    out->heap_total = figures.total_heap_size();
    out->heap_limit = figures.heap_size_limit();
    out->external = iso->buffers->held();
    out->malloced = figures.malloced_memory();
    out->contexts = figures.number_of_native_contexts();
    out->physical = figures.total_physical_size();
    out->executable = figures.total_heap_size_executable();
    out->available = figures.total_available_size();
    out->malloced_peak = figures.peak_malloced_memory();
    out->detached_contexts = figures.number_of_detached_contexts();
}

void
jsv8_collect(jsv8_isolate_t *iso, int thorough)
{
    Entry entry(iso);
    if (!thorough) {
        collect_soon(iso);
        return;
    }
    Collecting asked(iso);
    iso->v8->LowMemoryNotification();
}
