/* SPDX-License-Identifier: MIT
 *
 * headers.c: token and value checks, and the table of known names; see headers.h.
 */
#include "proto/headers.h"

#include <stdint.h>

static const asgi_slice_t known[ASGI_HEADER_COUNT] = {{"", 0},
#define ASGI_HEADER_TEXT(id, text) {text, sizeof(text) - 1},
                                                      ASGI_HEADER_NAMES(ASGI_HEADER_TEXT)
#undef ASGI_HEADER_TEXT
};

/* A token character's lower-case form; 0 for every other byte. */
static const char token[256] = {
    ['!'] = '!',      ['#'] = '#',      ['$'] = '$',      ['%'] = '%',      ['&'] = '&',
    ['\''] = '\'',    ['*'] = '*',      ['+'] = '+',      ['-'] = '-',      ['.'] = '.',
    ['^'] = '^',      ['_'] = '_',      ['`'] = '`',      ['|'] = '|',      ['~'] = '~',
    ['0'] = '0',      ['1'] = '1',      ['2'] = '2',      ['3'] = '3',      ['4'] = '4',
    ['5'] = '5',      ['6'] = '6',      ['7'] = '7',      ['8'] = '8',      ['9'] = '9',
#define LETTER(upper, lower) [upper] = lower, [lower] = lower
    LETTER('A', 'a'), LETTER('B', 'b'), LETTER('C', 'c'), LETTER('D', 'd'), LETTER('E', 'e'),
    LETTER('F', 'f'), LETTER('G', 'g'), LETTER('H', 'h'), LETTER('I', 'i'), LETTER('J', 'j'),
    LETTER('K', 'k'), LETTER('L', 'l'), LETTER('M', 'm'), LETTER('N', 'n'), LETTER('O', 'o'),
    LETTER('P', 'p'), LETTER('Q', 'q'), LETTER('R', 'r'), LETTER('S', 's'), LETTER('T', 't'),
    LETTER('U', 'u'), LETTER('V', 'v'), LETTER('W', 'w'), LETTER('X', 'x'), LETTER('Y', 'y'),
    LETTER('Z', 'z'),
#undef LETTER
};

/* The first known name of each length; the next length's first ends its run. */
static asgi_header_id_t
first_of_length(size_t size)
{
    switch (size) {
    case 2:
        return ASGI_HEADER_TE;
    case 4:
        return ASGI_HEADER_DATE;
    case 5:
        return ASGI_HEADER_ALLOW;
    case 6:
        return ASGI_HEADER_ACCEPT;
    case 7:
        return ASGI_HEADER_ALT_SVC;
    case 8:
        return ASGI_HEADER_IF_MATCH;
    case 9:
        return ASGI_HEADER_FORWARDED;
    case 10:
        return ASGI_HEADER_CONNECTION;
    case 11:
        return ASGI_HEADER_TRACEPARENT;
    case 12:
        return ASGI_HEADER_CONTENT_TYPE;
    case 13:
        return ASGI_HEADER_AUTHORIZATION;
    case 14:
        return ASGI_HEADER_CONTENT_LENGTH;
    case 15:
        return ASGI_HEADER_ACCEPT_ENCODING;
    case 16:
        return ASGI_HEADER_CONTENT_ENCODING;
    case 17:
        return ASGI_HEADER_IF_MODIFIED_SINCE;
    case 21:
        return ASGI_HEADER_SEC_WEBSOCKET_VERSION;
    case 22:
        return ASGI_HEADER_SEC_WEBSOCKET_PROTOCOL;
    case 24:
        return ASGI_HEADER_SEC_WEBSOCKET_EXTENSIONS;
    case 25:
        return ASGI_HEADER_UPGRADE_INSECURE_REQUESTS;
    default:
        return ASGI_HEADER_COUNT;
    }
}

int
asgi_header_name(const char *name, size_t size, char *lower)
{
    if (size == 0)
        return ASGI_ERR_NAME;
    for (size_t i = 0; i < size; i++) {
        char c = token[(unsigned char)name[i]];
        if (c == 0)
            return ASGI_ERR_NAME;
        lower[i] = c;
    }
    for (int id = first_of_length(size); id < ASGI_HEADER_COUNT && known[id].size == size; id++) {
        if (memcmp(known[id].data, lower, size) == 0)
            return id;
    }
    return ASGI_HEADER_OTHER;
}

bool
asgi_header_value_ok(const char *value, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t i = 0;

    while (i < size) {
        uint64_t word;
        /* Eight bytes at a time: is any of them below 0x20, or 0x7f? The test may err towards
         * yes, never towards no; the loop below decides. */
        while (size - i >= 8) {
            memcpy(&word, value + i, 8);
            uint64_t del = word ^ (0x7f * ones);
            uint64_t low = (word - 0x20 * ones) & ~word;
            if ((low | ((del - ones) & ~del)) & highs)
                break;
            i += 8;
        }
        for (size_t end = size - i >= 8 ? i + 8 : size; i < end; i++) {
            unsigned char c = (unsigned char)value[i];
            if ((c < 0x20 && c != '\t') || c == 0x7f)
                return false;
        }
    }
    return true;
}

asgi_slice_t
asgi_header_text(asgi_header_id_t id)
{
    return known[id];
}
