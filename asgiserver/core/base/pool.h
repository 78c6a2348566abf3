/* SPDX-License-Identifier: MIT
 *
 * pool.h: chunks of one size, kept for the next taker instead of going back to malloc.
 *
 * Thread: loop. A pool keeps at most `keep` free chunks; more go back to the system, so a burst
 * of connections does not stay in memory for ever. `taken` is for leak checks.
 */
#ifndef ASGI_POOL_H
#define ASGI_POOL_H

#include <stddef.h>

typedef struct asgi_pool_chunk {
    struct asgi_pool_chunk *next;
} asgi_pool_chunk_t;

typedef struct {
    asgi_pool_chunk_t *free; /* owned list */
    size_t size;             /* of a chunk; at least a pointer's */
    size_t kept, keep;
    size_t taken;
} asgi_pool_t;

void asgi_pool_init(asgi_pool_t *pool, size_t size, size_t keep);
/* Returns: owned chunk with undefined content, or NULL without memory. */
void *asgi_pool_take(asgi_pool_t *pool) __attribute__((warn_unused_result));
void asgi_pool_give(asgi_pool_t *pool, void *chunk);
/* Frees what is kept. Chunks still taken stay valid and may be given back. */
void asgi_pool_dispose(asgi_pool_t *pool);

#endif
