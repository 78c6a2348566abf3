/* SPDX-License-Identifier: MIT
 *
 * buf.c: the growing part of buf.h, out of line because it is rare.
 *
 * Never includes Python.h.
 */
#include "buf.h"

#include <stdlib.h>

int
jsrt_buf_grow(jsrt_buf_t *buf, size_t more)
{
    if (buf->failed || more > SIZE_MAX / 4 || buf->size > SIZE_MAX / 4) {
        buf->failed = 1;
        return -1;
    }
    size_t capacity = buf->capacity ? buf->capacity : 256;
    while (capacity - buf->size < more) {
        capacity *= 2;
    }
    uint8_t *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = 1;
        return -1;
    }
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

void
jsrt_buf_dispose(jsrt_buf_t *buf)
{
    free(buf->data);
    *buf = (jsrt_buf_t){0};
}
