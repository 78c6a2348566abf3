/* SPDX-License-Identifier: MIT
 *
 * buf.h: a growing byte buffer, the target of both writers (JSON text and wire format).
 *
 * Invariants
 *   1. data is owned, from malloc, 16-aligned; NULL while capacity is 0.
 *   2. Running out of memory sets `failed` and stays: later writes do nothing, so that a writer
 *      asks once, at its end.
 *   3. Never includes Python.h.
 */
#ifndef JSRT_BUF_H
#define JSRT_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t *data; /* owned */
    size_t size, capacity;
    int failed;
} jsrt_buf_t;

/* Makes room for `more` bytes behind size. Returns 0, or -1 (and sets failed). */
int jsrt_buf_grow(jsrt_buf_t *buf, size_t more);
void jsrt_buf_dispose(jsrt_buf_t *buf);

/* A pointer to `more` writable bytes behind size, NULL where memory ran out. The caller adds what
 * it wrote to size. */
static inline uint8_t *
jsrt_buf_room(jsrt_buf_t *buf, size_t more)
{
    if (buf->capacity - buf->size < more && jsrt_buf_grow(buf, more) < 0) {
        return NULL;
    }
    return buf->data + buf->size;
}

static inline void
jsrt_buf_byte(jsrt_buf_t *buf, uint8_t byte)
{
    uint8_t *at = jsrt_buf_room(buf, 1);
    if (at != NULL) {
        *at = byte;
        buf->size += 1;
    }
}

static inline void
jsrt_buf_bytes(jsrt_buf_t *buf, const void *bytes, size_t length)
{
    uint8_t *at = jsrt_buf_room(buf, length);
    if (at != NULL && length > 0) {
        memcpy(at, bytes, length);
        buf->size += length;
    }
}

#endif
