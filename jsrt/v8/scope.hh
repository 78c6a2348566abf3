/* SPDX-License-Identifier: MIT
 *
 * scope.hh: the one way into an isolate. Every function of the ABI that needs V8 opens an Entry,
 * which is, from the outside in:
 *
 *   Gate           the Locker where locking is on and the thread does not hold it already; who
 *                  owns the isolate; the stack limit of this thread
 *   Presence       Isolate::Enter, Context::Enter and their ends, or the lack of them (invariant 3)
 *   HandleScope
 *
 * Invariants
 *   1. owner is the caller's thread pointer exactly while that thread is inside: so reading
 *      "owner == me" without a lock can only be true where it is really so.
 *   2. While locking is off only one thread uses V8 at all; the isolates it is inside of then
 *      form the list inside_top. Locking goes on only where that is empty: a Locker that is made
 *      in the middle of JavaScript clears V8's state of the thread (the context, the chain of
 *      handlers), as V8 takes the thread for a new one.
 *   3. Entering an isolate afresh costs V8 as much as a small call. So while locking is off, the
 *      isolate that was used last stays entered ("resident") on its thread until that thread
 *      enters another or locking goes on. Only the resident's own thread may leave it: an isolate
 *      freed by another thread while resident is disposed by its own thread's next entry.
 */
#ifndef JSRT_V8_SCOPE_HH
#define JSRT_V8_SCOPE_HH

#include "isolate.hh"

namespace jsv8
{

extern std::atomic<bool> locking; /* limit.cc */
extern jsv8_isolate *inside_top;  /* limit.cc */

extern std::atomic<jsv8_isolate *> resident; /* limit.cc */
extern std::atomic<void *> resident_thread;  /* limit.cc */

void become_resident(jsv8_isolate *iso); /* limit.cc */
void leave_resident();                   /* limit.cc: no effect on other threads */
void dispose_orphan(jsv8_isolate *iso);  /* isolate.cc: the rest of jsv8_isolate_free */
void set_stack_limit(jsv8_isolate *iso); /* limit.cc: for the calling thread */
void attend(jsv8_isolate *iso);          /* limit.cc: releases refs, runs interrupts */
void end_stop(jsv8_isolate *iso);        /* limit.cc: takes a termination back */

inline void *
thread_pointer()
{
    return __builtin_thread_pointer();
}

class Gate
{
  public:
    explicit Gate(jsv8_isolate *iso) : iso_(iso)
    {
        void *me = thread_pointer();
        if (iso->owner.load(std::memory_order_relaxed) != me) {
            took_ = true;
            if (locking.load(std::memory_order_acquire)) {
                if (__builtin_expect(resident_thread.load(std::memory_order_relaxed) == me, 0)
                    && resident.load(std::memory_order_relaxed)->depth == 0) {
                    leave_resident(); /* one that is called from stays until that call ends */
                }
                new (lock_) v8::Locker(iso->v8);
                locked_ = true;
                set_stack_limit(iso); /* a new Locker has reset it */
            } else {
                iso->inside_next = inside_top;
                inside_top = iso;
                if (__builtin_expect(iso->stack_thread != me, 0)) {
                    set_stack_limit(iso);
                }
            }
            iso->owner.store(me, std::memory_order_relaxed);
        }
        outermost_ = iso->depth++ == 0;
    }

    ~Gate()
    {
        iso_->depth--;
        if (!took_) {
            return;
        }
        iso_->owner.store(nullptr, std::memory_order_relaxed);
        if (locked_) {
            reinterpret_cast<v8::Locker *>(lock_)->~Locker();
            return;
        }
        inside_top = iso_->inside_next;
    }

    Gate(const Gate &) = delete;
    void operator=(const Gate &) = delete;

    bool outermost() const
    {
        return outermost_;
    }
    /* Whether the thread is inside of this isolate only, and no Locker is used. */
    bool alone() const
    {
        return took_ && !locked_ && iso_->inside_next == nullptr;
    }

  private:
    jsv8_isolate *iso_;
    bool took_ = false, locked_ = false, outermost_;
    alignas(v8::Locker) char lock_[sizeof(v8::Locker)];
};

class Presence
{
  public:
    Presence(jsv8_isolate *iso, const Gate &gate) : iso_(iso)
    {
        if (gate.alone()) {
            if (__builtin_expect(resident.load(std::memory_order_relaxed) != iso, 0)) {
                become_resident(iso);
            }
            return;
        }
        /* Pinned or nested: inside already, unless another isolate lies on top. */
        if (iso->inside && v8::Isolate::TryGetCurrent() == iso->v8) {
            return;
        }
        entered_ = true;
        was_inside_ = iso->inside;
        iso->inside = true;
        enter(iso);
    }

    ~Presence()
    {
        if (entered_) {
            leave(iso_);
            iso_->inside = was_inside_;
        }
    }

    Presence(const Presence &) = delete;
    void operator=(const Presence &) = delete;

    /* The isolate and its context, without a scope: pinned and resident isolates stay so. */
    static void enter(jsv8_isolate *iso)
    {
        iso->v8->Enter();
        v8::HandleScope scope(iso->v8);
        strong(iso->context)->Enter();
    }

    static void leave(jsv8_isolate *iso)
    {
        {
            v8::HandleScope scope(iso->v8);
            strong(iso->context)->Exit();
        }
        iso->v8->Exit();
    }

  private:
    jsv8_isolate *iso_;
    bool entered_ = false, was_inside_ = false;
};

class Entry
{
  public:
    explicit Entry(jsv8_isolate *iso)
        : gate_(iso), iso_(iso), presence_(iso, gate_), handle_scope_(iso->v8),
          context_(strong(iso->context))
    {
        if (__builtin_expect(iso->attention.load(std::memory_order_acquire) != 0, 0)
            && gate_.outermost()) {
            attend(iso);
        }
    }

    ~Entry()
    {
        if (__builtin_expect(ended_by_stop_, 0) && gate_.outermost()) {
            end_stop(iso_);
        }
    }

    bool outermost() const
    {
        return gate_.outermost();
    }
    v8::Isolate *v8() const
    {
        return iso_->v8;
    }
    v8::Local<v8::Context> context() const
    {
        return context_;
    }

    /* Whether JS was, or must be, stopped. */
    bool stopped() const
    {
        return __builtin_expect(
            (iso_->attention.load(std::memory_order_relaxed) & (kStop | kCondemned)) != 0, 0);
    }

    /* The status of a call that was stopped; the stop ends with the outermost Entry. */
    jsv8_status_t stop_status()
    {
        ended_by_stop_ = true;
        return iso_->attention.load(std::memory_order_relaxed) & kCondemned ? JSV8_HEAP_LIMIT
                                                                            : JSV8_TERMINATED;
    }

  private:
    Gate gate_;
    jsv8_isolate *iso_;
    Presence presence_;
    v8::HandleScope handle_scope_;
    v8::Local<v8::Context> context_;
    bool ended_by_stop_ = false;
};

}   // namespace jsv8
#endif
