/* SPDX-License-Identifier: MIT
 *
 * buf.c: growth and disposal of buf.h's buffer. Capacity doubles, from 256 bytes.
 */
#include "base/buf.h"

#include <stdint.h>

int
asgi_buf_reserve_slow(asgi_buf_t *buf, size_t more)
{
    size_t used = buf->end - buf->start;
    size_t capacity = buf->capacity != 0 ? buf->capacity : 256;
    char *data;

    if (more > SIZE_MAX / 4 - used)
        return ASGI_ERR_NOMEM;
    /* Moving the content to the front is enough when at least half is already consumed. */
    if (buf->data != NULL && buf->start >= buf->capacity / 2 && buf->capacity - used >= more) {
        memmove(buf->data, buf->data + buf->start, used);
        buf->start = 0;
        buf->end = used;
        return 0;
    }
    while (capacity - used < more)
        capacity *= 2;
    data = malloc(capacity);
    if (data == NULL)
        return ASGI_ERR_NOMEM;
    if (used > 0)
        memcpy(data, buf->data + buf->start, used);
    free(buf->data);
    buf->data = data;
    buf->start = 0;
    buf->end = used;
    buf->capacity = capacity;
    return 0;
}

void
asgi_buf_dispose(asgi_buf_t *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof *buf);
}

void
asgi_buf_shrink(asgi_buf_t *buf, size_t keep)
{
    if (buf->end == buf->start && buf->capacity > keep)
        asgi_buf_dispose(buf);
}
