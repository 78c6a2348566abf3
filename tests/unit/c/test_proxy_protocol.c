/* SPDX-License-Identifier: MIT
 *
 * test_proxy_protocol.c: PROXY protocol headers as bytes, and what is read from them.
 *
 * Each is given whole, with bytes behind it, and cut at every byte: a header that is good asks for
 * more until its last byte is there; one that is bad is refused at the byte named in the table, and
 * not before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "proto/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A copy with nothing behind it, so that ASan sees a read beyond. */
static ssize_t
read_copy(const char *data, size_t size, asgi_proxy_header_t *header)
{
    char *copy = malloc(size > 0 ? size : 1);
    ssize_t used;

    assert_non_null(copy);
    memcpy(copy, data, size);
    used = asgi_proxy_header_read(copy, size, header);
    free(copy);
    return used;
}

static void
describe(const asgi_proxy_header_t *header, char text[512])
{
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    int family = header->family == ASGI_PROXY_INET ? AF_INET : AF_INET6;

    switch (header->family) {
    case ASGI_PROXY_NONE:
        strcpy(text, "none");
        break;
    case ASGI_PROXY_UNIX:
        snprintf(text, 512, "%.108s > %.108s", header->path.source, header->path.destination);
        break;
    default:
        inet_ntop(family, header->ip.source, source, sizeof source);
        inet_ntop(family, header->ip.destination, destination, sizeof destination);
        snprintf(text, 512, "%s %u > %s %u", source, header->ip.source_port, destination,
                 header->ip.destination_port);
    }
    if (header->secure)
        strcat(text, " secure");
}

static void
check_good(const char *data, size_t size, const char *expected)
{
    asgi_proxy_header_t header;
    char text[512], *longer = malloc(size + 4);

    for (size_t cut = 0; cut < size; cut++) {
        if (read_copy(data, cut, &header) != 0)
            fail_msg("%s: not asked for more at byte %zu", expected, cut);
    }
    assert_non_null(longer);
    memcpy(longer, data, size);
    memcpy(longer + size, "GET ", 4);
    for (size_t more = 0; more <= 4; more++) {
        memset(&header, 0xee, sizeof header);
        assert_int_equal(read_copy(longer, size + more, &header), size);
        describe(&header, text);
        assert_string_equal(text, expected);
    }
    free(longer);
}

/* at: with how many bytes it is refused first. */
static void
check_bad(const char *data, size_t size, size_t at)
{
    asgi_proxy_header_t header;

    for (size_t cut = 0; cut <= size; cut++) {
        ssize_t used = read_copy(data, cut, &header);
        if (used != (cut < at ? 0 : ASGI_ERR_PROXY))
            fail_msg("%.40s…: %zd with %zu bytes", data, used, cut);
    }
}

/* ---- version 1 ---- */

static void
test_lines(void **state)
{
    static const char *const table[][2] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1 56324 > 198.51.100.2 443"},
        {"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0 0 > 255.255.255.255 65535"},
        {"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1 1 > ::1 2"},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "::ffff:192.0.2.1 1 > ::1 2"},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 > "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"},
        {"PROXY UNKNOWN\r\n", "none"},
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "none"}, /* 107 bytes: the longest */
        {"PROXY UNKNOWN  anything\r\n", "none"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check_good(table[i][0], strlen(table[i][0]), table[i][1]);
}

static void
test_bad_lines(void **state)
{
    /* Refused with the whole line, as soon as its end is there. */
    static const char *const whole[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 0x50\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 100000\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY UNKNOWNx\r\n",
        "PROXY \r\n",
    };
    char long_line[128];

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        check_bad(whole[i], strlen(whole[i]), strlen(whole[i]));
    check_bad(BYTES("PROXY\r\n"), 6);
    check_bad(BYTES("PROXY\tTCP4"), 6);
    check_bad(BYTES("PROXY TCP4 192.0.2.1\n"), 21);
    check_bad(BYTES("PROXY TCP4 192.0.2.1\r "), 22);
    check_bad(BYTES("PROXY TCP4\t"), 11);
    check_bad(BYTES("PROXY UNKNOWN \0\r\n"), 15);
    check_bad(BYTES("PROXY UNKNOWN \x80"), 15);
    check_bad(BYTES("PRoXY "), 3);
    check_bad(BYTES("POST / HTTP/1.1\r\n"), 2);
    check_bad(BYTES("PRI * HTTP/2.0\r\n"), 3);
    check_bad(BYTES("GET / HTTP/1.1\r\n"), 1);
    check_bad(BYTES("\x16\x03\x01"), 1);
    memset(long_line, 'x', sizeof long_line);
    memcpy(long_line, "PROXY UNKNOWN ", 14);
    check_bad(long_line, sizeof long_line, 106);
    memcpy(long_line + 106, "\r\n", 2);
    check_bad(long_line, 108, 106);
}

/* ---- version 2 ---- */

static void
test_binary(void **state)
{
    char unix_addresses[16 + 216] = SIGNATURE "\x21\x31\0\xd8";

    check_good(BYTES(SIGNATURE "\x21\x11\0\x0c"
                               "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"),
               "192.0.2.1 56324 > 198.51.100.2 443");
    check_good(BYTES(SIGNATURE "\x21\x21\0\x24"
                               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                               "\0\x01\xff\xff"),
               "2001:db8::1 1 > ::1 65535");
    strcpy(unix_addresses + 16, "/run/a");
    memset(unix_addresses + 16 + 108, 'b', 108);
    check_good(
        unix_addresses, sizeof unix_addresses,
        "/run/a > bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    check_good(BYTES(SIGNATURE "\x20\0\0\0"), "none");
    check_good(BYTES(SIGNATURE "\x20\x11\0\x0c"
                               "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"),
               "none"); /* LOCAL: whatever the addresses say */
    check_good(BYTES(SIGNATURE "\x20\xff\0\x02"
                               "xx"),
               "none");
    check_good(BYTES(SIGNATURE "\x21\0\0\0"), "none");
    check_good(BYTES(SIGNATURE "\x21\0\0\x05"
                               "\xff\xff\xff\xff\xff"),
               "none"); /* UNSPEC: of what follows not even the form is known */
}

#define HEAD4(length) SIGNATURE "\x21\x11\0" length "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
#define SAYS4 "192.0.2.1 56324 > 198.51.100.2 443"

static void
test_extensions(void **state)
{
    size_t size = 16 + ASGI_PROXY_BLOCK_MAX;
    char *longest = calloc(1, size);

    check_good(BYTES(HEAD4("\x0f") "\x04\0\0"), SAYS4);       /* NOOP, empty */
    check_good(BYTES(HEAD4("\x13") "\x02\0\x04host"), SAYS4); /* AUTHORITY */
    check_good(BYTES(HEAD4("\x15") "\x01\0\x01h\xee\0\x02xy"), SAYS4);
    check_good(BYTES(HEAD4("\x14") "\x20\0\x05\x01\0\0\0\0"), SAYS4 " secure");
    check_good(BYTES(HEAD4("\x14") "\x20\0\x05\x06\0\0\0\0"), SAYS4); /* without TLS itself */
    assert_non_null(longest);
    memcpy(longest, HEAD4("\x0c"), 28);
    longest[14] = (char)(ASGI_PROXY_BLOCK_MAX >> 8);
    longest[15] = (char)(ASGI_PROXY_BLOCK_MAX & 0xff);
    longest[28] = 0x04;
    longest[29] = (char)((size - 31) >> 8);
    longest[30] = (char)((size - 31) & 0xff);
    check_good(longest, size, SAYS4);
    free(longest);
}

static void
test_checksum(void **state)
{
    /* CRC-32C of the header with zeros in the field's place, computed apart. */
    char good[] = HEAD4("\x13") "\x03\0\x04\0\0\0\0";
    uint32_t crc = UINT32_MAX, order;
    size_t size = sizeof good - 1;

    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            unsigned low = (crc ^ ((unsigned char)good[i] >> bit)) & 1;
            crc = crc >> 1 ^ (low ? 0x82f63b78u : 0);
        }
    }
    order = htonl(~crc);
    memcpy(good + size - 4, &order, 4);
    check_good(good, size, SAYS4);
    for (size_t i = 16; i < size; i++) {
        if (i >= 28 && i < 31)
            continue; /* makes it another extension */
        good[i] ^= 0x10;
        check_bad(good, size, size);
        good[i] ^= 0x10;
    }
    check_bad(BYTES(HEAD4("\x12") "\x03\0\x03\0\0\0"), 34);
}

static void
test_bad_binary(void **state)
{
    check_bad(BYTES("\r\n\r\n\0\r\nQUIt"), 11);
    check_bad(BYTES("\r\n\r\nGET"), 5);
    check_bad(BYTES("\r\r"), 2);
    check_bad(BYTES(SIGNATURE "\x11\x11\0\x0c"), 13); /* version 1 has no such form */
    check_bad(BYTES(SIGNATURE "\x31\x11\0\x0c"), 13);
    check_bad(BYTES(SIGNATURE "\x22\x11\0\x0c"), 13); /* a command that is none */
    check_bad(BYTES(SIGNATURE "\x21\x11\0\x0b"
                              "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01"),
              27); /* too short for its addresses */
    check_bad(BYTES(SIGNATURE "\x21\x21\0\x0c"
                              "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"),
              28);
    check_bad(BYTES(SIGNATURE "\x21\x12\0\x0c"
                              "\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"),
              28); /* UDP */
    check_bad(BYTES(SIGNATURE "\x21\x10\0\0"), 16);
    check_bad(BYTES(SIGNATURE "\x21\x01\0\0"), 16);
    check_bad(BYTES(SIGNATURE "\x21\x41\0\0"), 16);
    check_bad(BYTES(SIGNATURE "\x21\x31\0\0"), 16);
    check_bad(BYTES(SIGNATURE "\x21\x11\x40\x01"), 16); /* 16,385 */
    check_bad(BYTES(SIGNATURE "\x20\x11\xff\xff"), 16);
    check_bad(BYTES(HEAD4("\x0d") "\x04"), 29); /* extensions that do not end with the header */
    check_bad(BYTES(HEAD4("\x0e") "\x04\0"), 30);
    check_bad(BYTES(HEAD4("\x0f") "\x04\0\x01"), 31);
    check_bad(BYTES(HEAD4("\x11") "\x04\0\x01x\x04"), 33);
    check_bad(BYTES(HEAD4("\x13") "\x20\0\x04\x01\0\0\0"), 35);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_binary),   cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_checksum), cmocka_unit_test(test_bad_binary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
