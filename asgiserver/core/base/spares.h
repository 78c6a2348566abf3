/* SPDX-License-Identifier: MIT
 *
 * spares.h: large blocks of memory, lent to buffers that are filled and emptied again at once.
 *
 * A buffer that grows by doubling copies as much as it comes to hold, and malloc gets blocks of this
 * size from the system and gives them back, page by page. A response made of many pieces fills and
 * empties its buffer within one step of its application: a few blocks serve all connections.
 *
 * Thread: one, that of the loop.
 */
#ifndef ASGI_SPARES_H
#define ASGI_SPARES_H

#include "base/buf.h"

#define ASGI_SPARE_SIZE 98304 /* a stream's high-water mark, and what is copied on top of it */
#define ASGI_SPARES_KEPT 4

typedef struct {
    char *blocks[ASGI_SPARES_KEPT]; /* owned, ASGI_SPARE_SIZE each */
    unsigned count;
} asgi_spares_t;

/* Makes room for `more` bytes at the end of buf: in a spare block where the content grows beyond a
 * page and fits into one, else as asgi_buf_reserve(). Returns 0 or NOMEM. */
ASGI_MUST_CHECK int asgi_spares_reserve_slow(asgi_spares_t *spares, asgi_buf_t *buf, size_t more);

ASGI_MUST_CHECK static inline int
asgi_spares_reserve(asgi_spares_t *spares, asgi_buf_t *buf, size_t more)
{
    return buf->capacity - buf->end >= more ? 0 : asgi_spares_reserve_slow(spares, buf, more);
}

/* Empties buf of its memory: kept for the next taker where it is such a block and there are not
 * enough, else freed. */
void asgi_spares_take_back(asgi_spares_t *spares, asgi_buf_t *buf);

/* Frees what is kept. Blocks still lent stay valid and may be given back. */
void asgi_spares_dispose(asgi_spares_t *spares);

#endif
