/* SPDX-License-Identifier: MIT
 *
 * proxy_protocol.c: both versions of the PROXY protocol's header; see proxy_protocol.h.
 *
 * Called again with all bytes from the first one on as more arrive: a header is one segment in
 * practice, so nothing is remembered in between. The first byte tells the versions apart.
 */
#include "proto/proxy_protocol.h"

#include "base/slice.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* ---- version 1 ---- */

static const char prefix[] = {'P', 'R', 'O', 'X', 'Y', ' '};

/* Takes a word that a single space ends, or the line. */
static asgi_slice_t
next_word(asgi_slice_t *line)
{
    const char *space = memchr(line->data, ' ', line->size);
    asgi_slice_t word = {line->data, space != NULL ? (size_t)(space - line->data) : line->size};
    size_t taken = word.size + (space != NULL);

    line->data += taken;
    line->size -= taken;
    return word;
}

static bool
read_address(asgi_slice_t word, int family, uint8_t address[16])
{
    char text[INET6_ADDRSTRLEN];

    if (word.size == 0 || word.size >= sizeof text)
        return false;
    memcpy(text, word.data, word.size);
    text[word.size] = '\0';
    return inet_pton(family, text, address) == 1;
}

/* Decimal without leading zeros. */
static bool
read_port(asgi_slice_t word, uint16_t *port)
{
    unsigned long number = 0;

    if (word.size == 0 || word.size > 5 || (word.data[0] == '0' && word.size > 1))
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        number = number * 10 + (unsigned long)(word.data[i] - '0');
    }
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* What stands between "PROXY " and CRLF. */
static bool
read_words(asgi_slice_t line, asgi_proxy_header_t *header)
{
    asgi_slice_t protocol = next_word(&line);
    int family;

    if (asgi_slice_equal(protocol, ASGI_SLICE("UNKNOWN"))) {
        header->family = ASGI_PROXY_NONE; /* whatever follows is to be ignored */
        return true;
    }
    if (asgi_slice_equal(protocol, ASGI_SLICE("TCP4"))) {
        header->family = ASGI_PROXY_INET;
        family = AF_INET;
    } else if (asgi_slice_equal(protocol, ASGI_SLICE("TCP6"))) {
        header->family = ASGI_PROXY_INET6;
        family = AF_INET6;
    } else {
        return false;
    }
    if (!read_address(next_word(&line), family, header->ip.source)
        || !read_address(next_word(&line), family, header->ip.destination)
        || !read_port(next_word(&line), &header->ip.source_port))
        return false;
    /* The last word is the rest, so that a space behind it is no digit. */
    return read_port(line, &header->ip.destination_port);
}

static ssize_t
read_line(const char *data, size_t size, asgi_proxy_header_t *header)
{
    size_t end = sizeof prefix;

    if (memcmp(data, prefix, size < sizeof prefix ? size : sizeof prefix) != 0)
        return ASGI_ERR_PROXY;
    while (end < size && data[end] >= ' ' && data[end] <= '~')
        end++;
    if (end + 2 > ASGI_PROXY_LINE_MAX || (end < size && data[end] != '\r')
        || (end + 1 < size && data[end + 1] != '\n'))
        return ASGI_ERR_PROXY;
    if (end + 1 >= size)
        return 0;
    if (!read_words((asgi_slice_t){data + sizeof prefix, end - sizeof prefix}, header))
        return ASGI_ERR_PROXY;
    return (ssize_t)end + 2;
}

/* ---- version 2 ---- */

enum {
    FIXED = 16, /* signature, version and command, family, length */
    COMMAND_LOCAL = 0x20,
    COMMAND_PROXY = 0x21,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    SSL_BY_TLS = 0x01, /* in the first byte of TLV_SSL */
};

static const unsigned char signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                            '\n', 'Q',  'U',  'I',  'T', '\n'};

static unsigned
two_bytes(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* CRC-32C of the header, its own field counted as zeros. */
static uint32_t
checksum(const unsigned char *data, size_t size, size_t field)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= i - field < 4 ? 0 : data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The extensions behind the addresses, from `at` to the header's end. */
static bool
read_extensions(const unsigned char *data, size_t at, size_t size, asgi_proxy_header_t *header)
{
    bool summed = false;

    while (at < size) {
        size_t value = at + 3, length;
        if (size - at < 3 || (length = two_bytes(data + at + 1)) > size - value)
            return false;
        if (data[at] == TLV_CRC32C) {
            uint32_t sum;
            if (length != 4 || summed) /* one: each costs a pass over the header */
                return false;
            summed = true;
            memcpy(&sum, data + value, sizeof sum);
            if (ntohl(sum) != checksum(data, size, value))
                return false;
        } else if (data[at] == TLV_SSL) {
            if (length < 5)
                return false;
            header->secure = (data[value] & SSL_BY_TLS) != 0;
        }
        at = value + length;
    }
    return true;
}

/* The addresses and what follows them. Families and transports that are not a byte stream's are
 * refused: what would such a connection be? */
static bool
read_block(const unsigned char *data, size_t size, asgi_proxy_header_t *header)
{
    const unsigned char *at = data + FIXED;
    size_t addresses;

    switch (data[13]) {
    case 0x00: /* UNSPEC: of what follows not even the form is known */
        header->family = ASGI_PROXY_NONE;
        return true;
    case 0x11:
        header->family = ASGI_PROXY_INET;
        addresses = 12;
        break;
    case 0x21:
        header->family = ASGI_PROXY_INET6;
        addresses = 36;
        break;
    case 0x31:
        header->family = ASGI_PROXY_UNIX;
        addresses = sizeof header->path;
        break;
    default:
        return false;
    }
    if (size - FIXED < addresses)
        return false;
    if (header->family == ASGI_PROXY_UNIX) {
        memcpy(header->path.source, at, sizeof header->path.source);
        memcpy(header->path.destination, at + sizeof header->path.source,
               sizeof header->path.destination);
    } else {
        size_t bytes = header->family == ASGI_PROXY_INET ? 4 : 16;
        memcpy(header->ip.source, at, bytes);
        memcpy(header->ip.destination, at + bytes, bytes);
        header->ip.source_port = (uint16_t)two_bytes(at + 2 * bytes);
        header->ip.destination_port = (uint16_t)two_bytes(at + 2 * bytes + 2);
    }
    return read_extensions(data, FIXED + addresses, size, header);
}

static ssize_t
read_binary(const unsigned char *data, size_t size, asgi_proxy_header_t *header)
{
    size_t total;

    if (memcmp(data, signature, size < sizeof signature ? size : sizeof signature) != 0)
        return ASGI_ERR_PROXY;
    if (size > 12 && data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
        return ASGI_ERR_PROXY;
    if (size < FIXED)
        return 0;
    total = FIXED + two_bytes(data + 14);
    if (total > FIXED + ASGI_PROXY_BLOCK_MAX)
        return ASGI_ERR_PROXY;
    if (size < total)
        return 0;
    if (data[12] == COMMAND_LOCAL)
        header->family = ASGI_PROXY_NONE; /* whatever the rest says */
    else if (!read_block(data, total, header))
        return ASGI_ERR_PROXY;
    return (ssize_t)total;
}

ssize_t
asgi_proxy_header_read(const char *data, size_t size, asgi_proxy_header_t *header)
{
    asgi_proxy_header_t read;
    ssize_t used;

    if (size == 0)
        return 0;
    memset(&read, 0, sizeof read);
    used = data[0] == 'P' ? read_line(data, size, &read)
                          : read_binary((const unsigned char *)data, size, &read);
    if (used > 0)
        *header = read;
    return used;
}
