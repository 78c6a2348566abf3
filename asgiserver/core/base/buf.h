/* SPDX-License-Identifier: MIT
 *
 * buf.h: a growable run of bytes, filled at its end and consumed at its front.
 *
 * Bytes [start, end) are content. Consuming everything rewinds to the front, so a connection that
 * keeps up never moves memory. All-zero is a valid empty buffer that owns nothing.
 */
#ifndef ASGI_BUF_H
#define ASGI_BUF_H

#include "base/err.h"
#include "base/slice.h"

#include <stdlib.h>

typedef struct {
    char *data; /* owned; NULL until the first reserve */
    size_t start;
    size_t end;
    size_t capacity;
} asgi_buf_t;

static inline size_t
asgi_buf_size(const asgi_buf_t *buf)
{
    return buf->end - buf->start;
}

static inline char *
asgi_buf_front(const asgi_buf_t *buf)
{
    return buf->data + buf->start;
}

/* Makes room for `more` bytes at the end; pointers into the buffer die. Returns 0 or NOMEM. */
ASGI_MUST_CHECK int asgi_buf_reserve_slow(asgi_buf_t *buf, size_t more);

ASGI_MUST_CHECK static inline int
asgi_buf_reserve(asgi_buf_t *buf, size_t more)
{
    return buf->capacity - buf->end >= more ? 0 : asgi_buf_reserve_slow(buf, more);
}

ASGI_MUST_CHECK static inline int
asgi_buf_append(asgi_buf_t *buf, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    if (asgi_buf_reserve(buf, size) < 0)
        return ASGI_ERR_NOMEM;
    memcpy(buf->data + buf->end, data, size);
    buf->end += size;
    return 0;
}

static inline void
asgi_buf_consume(asgi_buf_t *buf, size_t size)
{
    buf->start += size;
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
}

static inline void
asgi_buf_clear(asgi_buf_t *buf)
{
    buf->start = buf->end = 0;
}

/* Frees the memory; the buffer is empty and usable again. */
void asgi_buf_dispose(asgi_buf_t *buf);

/* Frees the memory of an empty buffer whose capacity went beyond `keep`. */
void asgi_buf_shrink(asgi_buf_t *buf, size_t keep);

#endif
