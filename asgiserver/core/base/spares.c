/* SPDX-License-Identifier: MIT
 *
 * spares.c: a stack of blocks of one size; see spares.h. A block is known by its buffer's capacity,
 * which growth by doubling never gives.
 */
#include "base/spares.h"

#define SMALL 4096 /* content up to here grows by malloc: most answers are no larger */

int
asgi_spares_reserve_slow(asgi_spares_t *spares, asgi_buf_t *buf, size_t more)
{
    size_t used = asgi_buf_size(buf);
    char *block;

    if (more > ASGI_SPARE_SIZE - (used < ASGI_SPARE_SIZE ? used : ASGI_SPARE_SIZE)
        || used + more <= SMALL || buf->capacity >= ASGI_SPARE_SIZE)
        return asgi_buf_reserve(buf, more);
    block = spares->count > 0 ? spares->blocks[--spares->count] : malloc(ASGI_SPARE_SIZE);
    if (block == NULL)
        return ASGI_ERR_NOMEM;
    if (used > 0)
        memcpy(block, asgi_buf_front(buf), used);
    free(buf->data);
    *buf = (asgi_buf_t){.data = block, .end = used, .capacity = ASGI_SPARE_SIZE};
    return 0;
}

void
asgi_spares_take_back(asgi_spares_t *spares, asgi_buf_t *buf)
{
    if (buf->capacity != ASGI_SPARE_SIZE || spares->count == ASGI_SPARES_KEPT) {
        asgi_buf_dispose(buf);
        return;
    }
    spares->blocks[spares->count++] = buf->data;
    memset(buf, 0, sizeof *buf);
}

void
asgi_spares_dispose(asgi_spares_t *spares)
{
    while (spares->count > 0)
        free(spares->blocks[--spares->count]);
}
