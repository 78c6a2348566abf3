/* SPDX-License-Identifier: MIT
 *
 * spare.cc: what limit.cc's allocator keeps of the blocks that V8 frees.
 *
 * A megabyte of new memory costs some 300 us, most of them the kernel's, which makes each page when
 * it is first written to; one that was used before costs the copy alone, some 35. V8 frees buffers
 * many at a time, in collections, so that many are kept; the watchdog frees them as soon as no
 * JavaScript runs.
 *
 * Invariants
 *   1. What is in a block may be another isolate's: taken only to be overwritten whole.
 *   2. Any thread, the lock held for a look at some fifty entries and no system call.
 */
#include "spare.hh"

#include <malloc.h>
#include <stdlib.h>

#include <mutex>

#include "jsv8.h"

namespace jsv8
{

namespace
{

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kMost = 0; /* a block that is used too late is to be found out */
#else
constexpr size_t kMost = 32 * 1024 * 1024;
#endif
constexpr size_t kLeastBlock = 128 * 1024; /* malloc keeps smaller ones itself */
constexpr int kCount = 64;

struct Spares {
    std::mutex mutex;
    struct {
        void *data; /* owned */
        size_t capacity;
    } blocks[kCount];
    int count = 0;
    size_t size = 0; /* of all */
};

Spares &
spares()
{
    static auto *all = new Spares(); /* never destroyed: V8's threads free until the very end */
    return *all;
}

/* Whether the block is not much larger. */
bool
fits(size_t capacity, size_t length)
{
    return capacity >= length && capacity - length <= length / 8;
}

}   // namespace

void *
take_spare(size_t length)
{
    if (length < kLeastBlock || length > kMost) {
        return nullptr;
    }
    Spares &all = spares();
    std::lock_guard<std::mutex> guard(all.mutex);
    for (int i = all.count; i-- > 0;) { /* the last one in is the warmest */
        if (fits(all.blocks[i].capacity, length)) {
            void *data = all.blocks[i].data;
            all.size -= all.blocks[i].capacity;
            all.blocks[i] = all.blocks[--all.count];
            return data;
        }
    }
    return nullptr;
}

bool
keep_spare(void *data, size_t length)
{
    if (length < kLeastBlock) {
        return false;
    }
    size_t capacity = malloc_usable_size(data);
    if (capacity > kMost) {
        return false;
    }
    Spares &all = spares();
    std::lock_guard<std::mutex> guard(all.mutex);
    if (all.count == kCount || all.size + capacity > kMost) {
        return false;
    }
    all.blocks[all.count++] = {data, capacity};
    all.size += capacity;
    return true;
}

void
free_spares()
{
    Spares &all = spares();
    std::lock_guard<std::mutex> guard(all.mutex);
    while (all.count > 0) {
        free(all.blocks[--all.count].data);
    }
    all.size = 0;
}

}   // namespace jsv8

void
jsv8_trim(void)
{
    jsv8::free_spares();
}
