/* SPDX-License-Identifier: MIT
 *
 * utf8.h: percent-decoding and UTF-8 checks for request paths and WebSocket text.
 */
#ifndef ASGI_UTF8_H
#define ASGI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* State of a check that runs over several pieces; zero-initialised. */
typedef struct {
    uint32_t state; /* 0: between characters, 1: refused, else: inside one */
} asgi_utf8_t;

/* Feeds a piece. Returns false at the first byte that can be part of no valid text (over-long
 * forms, surrogates and code points beyond U+10FFFF included), and for ever after. */
bool asgi_utf8_feed(asgi_utf8_t *check, const void *data, size_t size);

/* Whether the text may end here. */
static inline bool
asgi_utf8_complete(const asgi_utf8_t *check)
{
    return check->state == 0;
}

/* Decodes %XX from data into out, which has room for size bytes; "%" without two hex digits stays
 * as it is, as urllib.parse.unquote leaves it. Returns the number of bytes written. */
size_t asgi_percent_decode(const char *data, size_t size, char *out);

#endif
