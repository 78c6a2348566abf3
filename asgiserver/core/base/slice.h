/* SPDX-License-Identifier: MIT
 *
 * slice.h: bytes that belong to someone else. A slice never owns and is never NUL-terminated;
 * whoever hands one out says until when it may be read.
 */
#ifndef ASGI_SLICE_H
#define ASGI_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data; /* borrowed; may be NULL when size is 0 */
    size_t size;
} asgi_slice_t;

#define ASGI_SLICE(literal) ((asgi_slice_t){(literal), sizeof(literal) - 1})

static inline bool
asgi_slice_equal(asgi_slice_t a, asgi_slice_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ASCII letters compare without case; lower must be lower case already. */
bool asgi_slice_is(asgi_slice_t slice, const char *lower);

/* Without leading and trailing spaces and tabs. */
asgi_slice_t asgi_slice_trim(asgi_slice_t slice);

/* Takes the next element of a comma-separated list, trimmed; false at its end. Empty elements
 * are skipped. rest is advanced. */
bool asgi_slice_next_item(asgi_slice_t *rest, asgi_slice_t *item);

#endif
