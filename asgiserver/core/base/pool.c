/* SPDX-License-Identifier: MIT
 *
 * pool.c: a free list per chunk size; see pool.h.
 */
#include "base/pool.h"

#include <stdlib.h>

void
asgi_pool_init(asgi_pool_t *pool, size_t size, size_t keep)
{
    *pool = (asgi_pool_t){.size = size, .keep = keep};
    if (pool->size < sizeof(asgi_pool_chunk_t))
        pool->size = sizeof(asgi_pool_chunk_t);
}

void *
asgi_pool_take(asgi_pool_t *pool)
{
    asgi_pool_chunk_t *chunk = pool->free;

    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->kept--;
    } else if ((chunk = malloc(pool->size)) == NULL) {
        return NULL;
    }
    pool->taken++;
    return chunk;
}

void
asgi_pool_give(asgi_pool_t *pool, void *memory)
{
    asgi_pool_chunk_t *chunk = memory;

    pool->taken--;
    if (pool->kept >= pool->keep) {
        free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->kept++;
}

void
asgi_pool_dispose(asgi_pool_t *pool)
{
    while (pool->free != NULL) {
        asgi_pool_chunk_t *chunk = pool->free;
        pool->free = chunk->next;
        free(chunk);
    }
    pool->kept = pool->keep = 0;
}
