/* SPDX-License-Identifier: MIT
 *
 * http1_line.c: see http1_line.h. Called by proto/http1.c, the fault finder only on the way to an
 * error.
 */
#include "proto/http1_line.h"

#include "proto/request.h"

#include <llhttp.h>

#define MAX_METHOD 32 /* bytes of a method nobody knows, before its end is no longer waited for */

/* What a byte may be part of. */
enum {
    NAME = 1,  /* reg-name (RFC 3986 3.2.2), but for percent signs */
    IP = 2,    /* within brackets: IPv6, a zone, a future version */
    DIGIT = 4, /* of a port */
    HEX = 8,
    TOKEN = 16, /* RFC 9110 5.6.2 */
};

static const unsigned char class_of[256] = {
    ['0' ... '9'] = NAME | IP | DIGIT | HEX | TOKEN,
    ['A' ... 'F'] = NAME | IP | HEX | TOKEN,
    ['a' ... 'f'] = NAME | IP | HEX | TOKEN,
    ['G' ... 'Z'] = NAME | IP | TOKEN,
    ['g' ... 'z'] = NAME | IP | TOKEN,
    ['-'] = NAME | IP | TOKEN,
    ['.'] = NAME | IP | TOKEN,
    ['_'] = NAME | IP | TOKEN,
    ['~'] = NAME | IP | TOKEN,
    ['%'] = IP | TOKEN,
    ['!'] = NAME | TOKEN,
    ['$'] = NAME | TOKEN,
    ['&'] = NAME | TOKEN,
    ['\''] = NAME | TOKEN,
    ['*'] = NAME | TOKEN,
    ['+'] = NAME | TOKEN,
    ['('] = NAME,
    [')'] = NAME,
    [','] = NAME,
    [';'] = NAME,
    ['='] = NAME,
    [':'] = IP,
    ['#'] = TOKEN,
    ['^'] = TOKEN,
    ['`'] = TOKEN,
    ['|'] = TOKEN,
};

static bool
is(char c, unsigned char kind)
{
    return (class_of[(unsigned char)c] & kind) != 0;
}

bool
asgi_http1_host_ok(asgi_slice_t host)
{
    size_t i = 0;

    if (host.size > 0 && host.data[0] == '[') {
        for (i = 1; i < host.size && host.data[i] != ']'; i++) {
            if (!is(host.data[i], IP))
                return false;
        }
        if (i++ == host.size || i == 2)
            return false;
    } else {
        for (; i < host.size && host.data[i] != ':'; i++) {
            if (is(host.data[i], NAME))
                continue;
            if (host.data[i] != '%' || host.size - i < 3 || !is(host.data[i + 1], HEX)
                || !is(host.data[i + 2], HEX))
                return false;
        }
    }
    if (i == host.size)
        return true;
    if (host.data[i] != ':')
        return false;
    for (i++; i < host.size; i++) {
        if (!is(host.data[i], DIGIT))
            return false;
    }
    return true;
}

int
asgi_http1_target_form(asgi_slice_t target, asgi_slice_t *authority)
{
    size_t scheme, end;

    if (target.size > 0 && target.data[0] == '/')
        return ASGI_TARGET_ORIGIN;
    if (target.size == 1 && target.data[0] == '*')
        return ASGI_TARGET_ASTERISK;
    if (target.size > 7 && asgi_slice_is((asgi_slice_t){target.data, 7}, "http://"))
        scheme = 7;
    else if (target.size > 8 && asgi_slice_is((asgi_slice_t){target.data, 8}, "https://"))
        scheme = 8;
    else
        return ASGI_ERR_SYNTAX;
    for (end = scheme; end < target.size; end++) {
        char c = target.data[end];
        if (c == '/' || c == '?' || c == '#')
            break;
    }
    *authority = (asgi_slice_t){target.data + scheme, end - scheme};
    if (authority->size == 0 || authority->data[0] == ':' || !asgi_http1_host_ok(*authority))
        return ASGI_ERR_SYNTAX;
    return ASGI_TARGET_ABSOLUTE;
}

int
asgi_http1_line_fault(const char *data, size_t size)
{
    /* What follows the target; a digit stands for any. */
    static const char version[] = " HTTP/0.0\r\n";
    asgi_slice_t method;
    size_t i = 0, start;
    const char *at;

    while (i < size && (data[i] == '\r' || data[i] == '\n'))
        i++;
    for (start = i; i < size && is(data[i], TOKEN); i++) {
        if (i - start == MAX_METHOD)
            return ASGI_ERR_METHOD;
    }
    if (i == size)
        return 0;
    method = (asgi_slice_t){data + start, i - start};
    if (method.size == 0 || data[i++] != ' ')
        return ASGI_ERR_SYNTAX;
    for (start = i; i < size && data[i] > 0x20 && data[i] != 0x7f; i++)
        ; /* char is signed: stops at bytes of 0x80 and above as well */
    if (i == size)
        return 0;
    if (i == start)
        return ASGI_ERR_SYNTAX;
    for (at = version; *at != '\0'; at++, i++) {
        if (i == size)
            return 0;
        if (*at == '0' ? !is(data[i], DIGIT) : data[i] != *at)
            return ASGI_ERR_SYNTAX;
    }
    if (data[i - 5] != '1' || (data[i - 3] != '0' && data[i - 3] != '1'))
        return ASGI_ERR_VERSION;
    return asgi_request_method(method) >= 0 ? ASGI_ERR_SYNTAX : ASGI_ERR_METHOD;
}
