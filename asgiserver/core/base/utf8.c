/* SPDX-License-Identifier: MIT
 *
 * utf8.c: an incremental UTF-8 check and percent-decoding; see utf8.h.
 *
 * The state while inside a character holds how many bytes are missing (bits 0-7) and the range
 * the next byte must be in (bits 8-15 and 16-23): only the second byte of a character ever has a
 * range narrower than 80..BF, and that range is what excludes over-long forms and surrogates.
 */
#include "base/utf8.h"

#include <string.h>

#define REFUSED 1u
#define INSIDE(missing, low, high) \
    (0x1000000u | (uint32_t)(missing) | ((uint32_t)(low) << 8) | ((uint32_t)(high) << 16))

static uint32_t
first_byte(unsigned char c)
{
    if (c < 0x80)
        return 0;
    if (c < 0xc2)
        return REFUSED;
    if (c < 0xe0)
        return INSIDE(1, 0x80, 0xbf);
    if (c < 0xf0)
        return INSIDE(2, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf);
    if (c < 0xf5)
        return INSIDE(3, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf);
    return REFUSED;
}

bool
asgi_utf8_feed(asgi_utf8_t *check, const void *data, size_t size)
{
    const unsigned char *p = data;
    const unsigned char *end = p + size;
    uint32_t state = check->state;

    while (p < end) {
        if (state == 0) {
            uint64_t words[4];
            /* 32, then eight ASCII bytes at a time: most text is nothing else. */
            while (end - p >= 32) {
                memcpy(words, p, 32);
                if ((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u)
                    break;
                p += 32;
            }
            while (end - p >= 8) {
                memcpy(words, p, 8);
                if (words[0] & 0x8080808080808080u)
                    break;
                p += 8;
            }
            if (p == end)
                break;
            state = first_byte(*p++);
        } else if (state == REFUSED) {
            break;
        } else {
            unsigned char c = *p++;
            uint32_t missing = state & 0xff;
            if (c < ((state >> 8) & 0xff) || c > ((state >> 16) & 0xff))
                state = REFUSED;
            else
                state = missing > 1 ? INSIDE(missing - 1, 0x80, 0xbf) : 0;
        }
    }
    check->state = state;
    return state != REFUSED;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t
asgi_percent_decode(const char *data, size_t size, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        if (data[i] == '%' && size - i > 2) {
            int high = hex_value(data[i + 1]);
            int low = hex_value(data[i + 2]);
            if (high >= 0 && low >= 0) {
                out[n++] = (char)(high << 4 | low);
                i += 2;
                continue;
            }
        }
        out[n++] = data[i];
    }
    return n;
}
