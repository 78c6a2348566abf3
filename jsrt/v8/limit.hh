/* SPDX-License-Identifier: MIT
 *
 * limit.hh: bounds of an isolate: heap, ArrayBuffers, stack, time.
 */
#ifndef JSRT_V8_LIMIT_HH
#define JSRT_V8_LIMIT_HH

#include "scope.hh"

namespace jsv8
{

struct Lent; /* lend.hh */

/* malloc with a cap, counted for one isolate. A refusal makes V8 collect garbage and ask again;
 * after its last try JavaScript sees a RangeError. V8's C++ callers (Node's stream reads) cannot
 * take a refusal and would abort: so a small block is given on the last try, and condemns the
 * isolate. Shared by V8 and by every live BackingStore, which may outlast the isolate. */
class Buffers : public v8::ArrayBuffer::Allocator
{
  public:
    Buffers(jsv8_isolate *iso, size_t cap) : iso_(iso), cap_(cap)
    {
    }

    void *Allocate(size_t length) override;
    void *AllocateUninitialized(size_t length) override;
    void Free(void *data, size_t length) override;
#if V8_MAJOR_VERSION < 13
    void *Reallocate(void *data, size_t old_length, size_t new_length) override;
#endif
    /* While it is set, what this thread has allocated is overwritten whole at once: not cleared. */
    static thread_local bool filling;
    /* A text of the host's that V8 reads in place: false where it is to be copied instead. */
    bool begin_loan(size_t size);
    void end_loan(size_t size)
    {
        lent_.fetch_sub(size, std::memory_order_relaxed);
    }
    /* What is no block of ours, but counts as one: memory of the host's that JavaScript shares
     * (lend.cc). false: refused. */
    bool admit(size_t length);
    void release(size_t length)
    {
        held_.fetch_sub(length, std::memory_order_relaxed);
    }
    void link(Lent *lent); /* under the registry lock, as the next two */
    void unlink(Lent *lent);
    int visit(int (*each)(void *object, void *arg), void *arg) const;
    size_t held() const
    {
        return held_.load(std::memory_order_relaxed);
    }
    /* Whether V8 collects garbage for the sake of a block that was refused three times. */
    bool refusing() const
    {
        return refused_.load(std::memory_order_relaxed) == kTriesBeforeLast;
    }
    void detach()
    {
        iso_.store(nullptr);
    } /* the isolate goes, blocks may stay */

  private:
    /* V8 asks at once, after each of two collections, and after a full one. */
    static constexpr int kTriesBeforeLast = 3;

    std::atomic<jsv8_isolate *> iso_; /* weak: cleared by detach() */
    const size_t cap_;                /* 0: none */
    std::atomic<size_t> held_{0};
    std::atomic<size_t> lent_{0};
    std::atomic<size_t> refused_length_{0};
    std::atomic<int> refused_{0};
    Lent *shared_ = nullptr; /* [any, under registry]; each keeps this alive */
};

/* While it lives, thorough collections are asked for: they are no last try of V8's to make room. */
class Collecting
{
  public:
    explicit Collecting(jsv8_isolate *iso) : iso_(iso)
    {
        iso_->collecting = true;
    }
    ~Collecting()
    {
        iso_->collecting = false;
    }
    Collecting(const Collecting &) = delete;
    Collecting &operator=(const Collecting &) = delete;

  private:
    jsv8_isolate *iso_;
};

/* Has V8 let go of what it can. */
void collect_soon(jsv8_isolate *iso);
void watch_heap(jsv8_isolate *iso);  /* what V8 calls near the limit, and after collections */
void watch_fatal(jsv8_isolate *iso); /* what it calls when it gives up; after Node's own */
void condemn(jsv8_isolate *iso);     /* heap limit hit: stops JS, for good. [any] */
void drop_interrupts(jsv8_isolate *iso);

/* Guards what [any] thread may touch of an isolate: refs, interrupts, the list of isolates. */
class Registry
{
  public:
    Registry();
    ~Registry();
};

}   // namespace jsv8
#endif
