/* SPDX-License-Identifier: MIT
 *
 * isolate.hh: what the shim keeps for one isolate, shared by the files of jsrt/v8.
 *
 * Ownership: a jsv8_isolate owns everything it points at except where a field says borrowed.
 * Locking: fields are touched by the thread that is inside the isolate, except those marked
 * [any], which are atomic or guarded by `registry` (limit.cc: interrupts; ref.cc: refs).
 */
#ifndef JSRT_V8_ISOLATE_HH
#define JSRT_V8_ISOLATE_HH

#include <atomic>
#include <memory>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "node.h"
#include "uv.h"
#include "v8.h"

#include "jsv8.h"

namespace v8
{
class CpuProfiler;
}

namespace jsv8
{

/* The isolate's embedder slot that holds its jsv8_isolate. */
constexpr uint32_t kDataSlot = 0;

/* Things an entry must look at before it runs JS: one load tells that there are none. */
enum Attention : uint32_t {
    kStop = 1,      /* jsv8_terminate() was called and nothing has ended because of it yet */
    kCondemned = 2, /* the heap limit was hit: never cleared */
    kDeadRefs = 4,  /* refs were given back and wait to be released */
    kInterrupt = 8, /* callbacks of jsv8_interrupt() wait */
    kForcing = 16,  /* jsv8_force() may stop the call that is under way, and no later one */
    kForced = 32    /* it did: kStop is of its making */
};

/* Memory that results point to: grows as needed, shrinks when big uses have become rare. */
struct Scratch {
    char *data = nullptr; /* owned, malloc */
    size_t capacity = 0;
    unsigned idle = 0; /* uses in a row that needed less than a quarter */

    char *reserve(size_t size); /* NULL: no memory. The old content is lost. */
    void swap(Scratch &other)
    {
        std::swap(data, other.data);
        std::swap(capacity, other.capacity);
        std::swap(idle, other.idle);
    }
    ~Scratch()
    {
        free(data);
    }
};

class Buffers;    /* limit.hh: the ArrayBuffer allocator */
struct Interrupt; /* limit.cc */
struct Rejection; /* promise.cc */

/* Somebody who waits for a promise: promise.cc. */
struct Settling {
    jsv8_settled_t on_settled;
    void *user;
    jsv8_want_t want;
    v8::Global<v8::Promise> promise;
};
struct ErrorTexts; /* exception.hh */
struct Operations; /* handle.cc */
struct Host;       /* host.cc */
struct Views;      /* view.cc */
struct Names;      /* names.cc */

/* What belongs to one global scope. An isolate has that of its current realm as its own fields;
 * those of the others wait in their realms (realm.cc). */
struct RealmParts {
    v8::Global<v8::Context> context;
    v8::Global<v8::Function> own_scope; /* context.cc: (eval, source) => eval(source) */
    v8::Global<v8::Function> intrinsic_eval;
    v8::Global<v8::Function> intrinsic_buffer; /* lend.cc: ArrayBuffer */
    v8::Global<v8::Function> settle_pair;      /* promise.cc: makes the two reactions */

    v8::Global<v8::Function> pack;                /* pack.cc */
    std::shared_ptr<v8::BackingStore> pack_store; /* the tape's memory */
    bool packing = false;                         /* a getter may lead back to it */
    unsigned pack_misses = 0, pack_skip = 0;

    v8::Global<v8::Function> make_iterator; /* host.cc: (call, async) => an iterator */
    jsv8::Views *views = nullptr;           /* view.cc, owned; NULL: not needed yet */

    jsv8::Names *names = nullptr;           /* names.cc, owned */
    jsv8::Operations *operations = nullptr; /* handle.cc, owned; NULL: not needed yet */
};

}   // namespace jsv8

struct jsv8_isolate : jsv8::RealmParts {
    v8::Isolate *v8 = nullptr;
    v8::Global<v8::Context> main_context; /* the first realm's; Node's environment is in it */
    jsv8_profile_t profile = JSV8_PROFILE_BARE;

    std::atomic<uint32_t> attention{0}; /* [any] */
    std::atomic<void *> owner{nullptr}; /* [any] thread pointer of who is inside */
    int depth = 0;                      /* calls of the owner that are open */
    bool pinned = false;
    bool inside = false; /* the owner has entered it and its context */
    bool disposing = false;
    bool orphan = false;                 /* freed while resident on another thread */
    void *stack_thread = nullptr;        /* whose stack the stack limit is for */
    jsv8_isolate *inside_next = nullptr; /* scope.hh: entered without a Locker */
    alignas(v8::Locker) char pin_lock[sizeof(v8::Locker)];
    jsv8_isolate *pinned_below = nullptr; /* isolate.cc: pinned earlier on this thread */

    uv_loop_t *loop = nullptr; /* borrowed, or &own_loop */
    uv_loop_t own_loop;
    bool owns_loop = false;
    uv_async_t wake;                /* own loop only: ends a blocking wait */
    unsigned idle_checkpoints = 16; /* node_env.cc: of a pass with nothing to do */

    node::IsolateData *node_data = nullptr;  /* owned; NULL in a bare isolate */
    node::Environment *env = nullptr;        /* owned; NULL in a bare isolate */
    const volatile uint8_t *ticks = nullptr; /* Node's tick flags (node_env.cc), or NULL */
    std::shared_ptr<v8::BackingStore> ticks_store;
    v8::Global<v8::Value> internal_binding; /* node_env.cc: while the environment starts */
    v8::Global<v8::Function> unwind;        /* node_env.cc: to call after a termination */
    v8::Global<v8::Object> tick_resource;   /* what CallbackScope wants to be given */

    std::shared_ptr<jsv8::Buffers> buffers; /* V8 and BackingStores share it */
    size_t heap_limit = 0;
    bool collecting = false; /* limit.hh: Collecting */

    void (*on_unhandled)(void *user, const jsv8_error_t *error) = nullptr;
    void *user = nullptr; /* borrowed; host.cc [any, written under registry] */
    void (*on_call)(jsv8_isolate *isolate, jsv8_frame *frame, void *object) = nullptr;
    void (*on_dropped)(void *user) = nullptr;
    void (*release)(void *object) = nullptr;

    jsv8_ref *refs = nullptr;                              /* ref.cc [any, under registry] */
    jsv8_ref *dead_refs = nullptr;                         /* ref.cc [any, under registry] */
    jsv8::Interrupt *interrupts = nullptr;                 /* limit.cc [any, under registry] */
    std::unordered_map<uint64_t, jsv8::Settling> settling; /* promise.cc */
    uint64_t last_settling = 0;
    jsv8::Rejection *rejections = nullptr; /* promise.cc, owned list */

    jsv8_realm *realm = nullptr;       /* realm.cc: the current one; NULL: the first */
    jsv8_realm *realms = nullptr;      /* realm.cc: all others, owned by who made them */
    jsv8_realm *dead_realms = nullptr; /* realm.cc [any, under registry] */
    jsv8::RealmParts first_parts;      /* of the first realm, while another one is current */
    v8::Global<v8::Function> share;    /* realm.cc: gives a realm what Node's has */

    v8::CpuProfiler *profiler = nullptr;                /* profile.cc, owned */
    std::vector<v8::Global<v8::UnboundScript>> scripts; /* code_cache.cc */

    jsv8::Host *host = nullptr;        /* host.cc, owned; NULL: not needed yet */
    v8::Global<v8::Value> last_thrown; /* host.cc: jsv8_take_thrown */
    unsigned copies_left = 0;          /* host.cc: before texts are lent again */
    int converting = 0;    /* JavaScript may run while scratch or error_texts are being written */
    jsv8::Scratch scratch; /* the bytes of results */
    jsv8::ErrorTexts *error_texts = nullptr;     /* owned: texts of the caller's error */
    jsv8::ErrorTexts *unhandled_texts = nullptr; /* owned: texts given to on_unhandled */
    jsv8::ErrorTexts *aside_texts = nullptr;     /* owned: promise.cc, drain_aside */
    jsv8::Scratch aside_scratch;
};

namespace jsv8
{

void forget_profiler(jsv8_isolate *iso); /* profile.cc: the isolate goes */

/* The handle inside a strong Global, without making another: it lives as long as the Global. */
template <class T>
inline v8::Local<T>
strong(const v8::Global<T> &global)
{
    static_assert(sizeof(v8::Local<T>) == sizeof(v8::Global<T>), "one slot pointer each");
    return *reinterpret_cast<v8::Local<T> *>(const_cast<v8::Global<T> *>(&global));
}

/* An internalized string of a literal. */
template <size_t N>
inline v8::Local<v8::String>
literal(v8::Isolate *isolate, const char (&text)[N])
{
    return v8::String::NewFromUtf8Literal(isolate, text, v8::NewStringType::kInternalized);
}

}   // namespace jsv8
#endif
