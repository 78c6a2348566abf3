/* SPDX-License-Identifier: MIT
 *
 * http1_line.h: the rules of a request line: its parts, the forms of a target, the authority.
 *
 * Internal to proto/http1.c, but for nothing in it depends on the parser's state: every function
 * judges bytes it is given. What a proxy might read differently is refused here.
 */
#ifndef ASGI_HTTP1_LINE_H
#define ASGI_HTTP1_LINE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* How a target names what it is about (RFC 9112 3.2). */
typedef enum {
    ASGI_TARGET_ORIGIN,   /* /path?query */
    ASGI_TARGET_ABSOLUTE, /* http://authority/path?query */
    ASGI_TARGET_ASTERISK, /* * */
} asgi_target_form_t;

/* uri-host [":" port], as far as it can be told without resolving: no userinfo, no path, no
 * space, brackets only around an address. An empty value is allowed (RFC 9112 3.2). */
ASGI_MUST_CHECK bool asgi_http1_host_ok(asgi_slice_t host);

/* The form of a printable target; authority is set for the absolute form, which must name a host
 * (RFC 9110 4.2.1) and nothing before it (4.2.4). Returns an asgi_target_form_t, or SYNTAX. */
ASGI_MUST_CHECK int asgi_http1_target_form(asgi_slice_t target, asgi_slice_t *authority);

/* What is wrong with a request line that llhttp has refused, data being all there is of it, empty
 * lines before it included. Returns 0 while its end is missing and it may still become one, METHOD
 * or VERSION for a well-formed line that asks for what we do not have, SYNTAX otherwise. */
ASGI_MUST_CHECK int asgi_http1_line_fault(const char *data, size_t size);

#endif
