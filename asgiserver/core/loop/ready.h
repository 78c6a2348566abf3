/* SPDX-License-Identifier: MIT
 *
 * ready.h: the ready queue: a growing ring of what the next turn runs, oldest first.
 *
 * An entry is a HandleObject (owned by the queue) or, marked in its lowest bit, a borrowed
 * asgi_soon_t; 0 is a place whose owner has cancelled it. One queue for both keeps the order in
 * which they were asked for. Touched with the GIL held only, from any thread.
 */
#ifndef ASGI_READY_H
#define ASGI_READY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uintptr_t *slots;  /* owned; NULL before the first push */
    size_t mask;       /* capacity - 1, capacity a power of two */
    size_t head, tail; /* counted up without end: tail - head entries */
} asgi_ready_t;

static inline size_t
asgi_ready_length(const asgi_ready_t *ready)
{
    return ready->tail - ready->head;
}

/* Returns 0, or -1 out of memory (the queue is as before). */
__attribute__((warn_unused_result)) static inline int
asgi_ready_grow(asgi_ready_t *ready)
{
    size_t length = asgi_ready_length(ready);
    size_t capacity = ready->slots == NULL ? 256 : (ready->mask + 1) * 2;
    uintptr_t *slots = malloc(capacity * sizeof(*slots));

    if (slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < length; i++) {
        slots[i] = ready->slots[(ready->head + i) & ready->mask];
    }
    free(ready->slots);
    ready->slots = slots;
    ready->mask = capacity - 1;
    ready->head = 0;
    ready->tail = length;
    return 0;
}

__attribute__((warn_unused_result)) static inline int
asgi_ready_push(asgi_ready_t *ready, uintptr_t entry)
{
    if (ready->slots == NULL || asgi_ready_length(ready) > ready->mask) {
        if (asgi_ready_grow(ready) < 0) {
            return -1;
        }
    }
    ready->slots[ready->tail++ & ready->mask] = entry;
    return 0;
}

/* The queue must not be empty. */
static inline uintptr_t
asgi_ready_pop(asgi_ready_t *ready)
{
    return ready->slots[ready->head++ & ready->mask];
}

#endif
