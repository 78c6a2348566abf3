/* SPDX-License-Identifier: MIT
 *
 * slice.c: comparisons and list walking over borrowed bytes; see slice.h.
 */
#include "base/slice.h"

bool
asgi_slice_is(asgi_slice_t slice, const char *lower)
{
    size_t i;

    for (i = 0; i < slice.size; i++) {
        char c = slice.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        /* Also stops at lower's end: its NUL never equals c unless the slice holds a NUL. */
        if (lower[i] == '\0' || c != lower[i])
            return false;
    }
    return lower[i] == '\0';
}

asgi_slice_t
asgi_slice_trim(asgi_slice_t slice)
{
    while (slice.size > 0 && (slice.data[0] == ' ' || slice.data[0] == '\t')) {
        slice.data++;
        slice.size--;
    }
    while (slice.size > 0) {
        char c = slice.data[slice.size - 1];
        if (c != ' ' && c != '\t')
            break;
        slice.size--;
    }
    return slice;
}

bool
asgi_slice_next_item(asgi_slice_t *rest, asgi_slice_t *item)
{
    while (rest->size > 0) {
        const char *comma = memchr(rest->data, ',', rest->size);
        size_t n = comma != NULL ? (size_t)(comma - rest->data) : rest->size;
        *item = asgi_slice_trim((asgi_slice_t){rest->data, n});
        if (comma != NULL)
            n++;
        rest->data += n;
        rest->size -= n;
        if (item->size > 0)
            return true;
    }
    return false;
}
