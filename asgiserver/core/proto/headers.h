/* SPDX-License-Identifier: MIT
 *
 * headers.h: what a header field may look like, and numbers for the names everybody sends.
 *
 * The same checks serve both directions: a request that fails them is answered 400, a response
 * that fails them is refused before a byte of it is written, so no header can be smuggled through
 * either way. A known name has a number, by which scope.c finds its ready-made bytes object and
 * http1_out.c recognises the headers that change framing.
 */
#ifndef ASGI_HEADERS_H
#define ASGI_HEADERS_H

#include "base/err.h"
#include "base/slice.h"

/* Ordered by length: asgi_header_name() depends on it, test_headers.c checks it. */
#define ASGI_HEADER_NAMES(X)                                \
    X(TE, "te")                                             \
    X(DATE, "date")                                         \
    X(ETAG, "etag")                                         \
    X(FROM, "from")                                         \
    X(HOST, "host")                                         \
    X(VARY, "vary")                                         \
    X(ALLOW, "allow")                                       \
    X(RANGE, "range")                                       \
    X(ACCEPT, "accept")                                     \
    X(COOKIE, "cookie")                                     \
    X(EXPECT, "expect")                                     \
    X(ORIGIN, "origin")                                     \
    X(PRAGMA, "pragma")                                     \
    X(SERVER, "server")                                     \
    X(ALT_SVC, "alt-svc")                                   \
    X(REFERER, "referer")                                   \
    X(TRAILER, "trailer")                                   \
    X(UPGRADE, "upgrade")                                   \
    X(IF_MATCH, "if-match")                                 \
    X(IF_RANGE, "if-range")                                 \
    X(LOCATION, "location")                                 \
    X(PRIORITY, "priority")                                 \
    X(FORWARDED, "forwarded")                               \
    X(X_REAL_IP, "x-real-ip")                               \
    X(CONNECTION, "connection")                             \
    X(KEEP_ALIVE, "keep-alive")                             \
    X(SET_COOKIE, "set-cookie")                             \
    X(USER_AGENT, "user-agent")                             \
    X(TRACEPARENT, "traceparent")                           \
    X(CONTENT_TYPE, "content-type")                         \
    X(X_REQUEST_ID, "x-request-id")                         \
    X(AUTHORIZATION, "authorization")                       \
    X(CACHE_CONTROL, "cache-control")                       \
    X(IF_NONE_MATCH, "if-none-match")                       \
    X(LAST_MODIFIED, "last-modified")                       \
    X(ACCEPT_RANGES, "accept-ranges")                       \
    X(CONTENT_LENGTH, "content-length")                     \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                     \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                     \
    X(SEC_FETCH_SITE, "sec-fetch-site")                     \
    X(SEC_FETCH_USER, "sec-fetch-user")                     \
    X(ACCEPT_ENCODING, "accept-encoding")                   \
    X(ACCEPT_LANGUAGE, "accept-language")                   \
    X(X_FORWARDED_FOR, "x-forwarded-for")                   \
    X(CONTENT_ENCODING, "content-encoding")                 \
    X(X_FORWARDED_HOST, "x-forwarded-host")                 \
    X(X_FORWARDED_PORT, "x-forwarded-port")                 \
    X(X_REQUESTED_WITH, "x-requested-with")                 \
    X(PROXY_CONNECTION, "proxy-connection")                 \
    X(IF_MODIFIED_SINCE, "if-modified-since")               \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")               \
    X(TRANSFER_ENCODING, "transfer-encoding")               \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")               \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")       \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")     \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions") \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")

typedef enum {
    ASGI_HEADER_OTHER = 0,
#define ASGI_HEADER_ID(id, text) ASGI_HEADER_##id,
    ASGI_HEADER_NAMES(ASGI_HEADER_ID)
#undef ASGI_HEADER_ID
        ASGI_HEADER_COUNT
} asgi_header_id_t;

/* Checks that name is a token (RFC 9110 5.6.2) and writes it in lower case to `lower`, which has
 * room for size bytes. Returns its number, ASGI_HEADER_OTHER, or ASGI_ERR_NAME. */
ASGI_MUST_CHECK int asgi_header_name(const char *name, size_t size, char *lower);

/* Whether a value has no control character but the tab (so neither CR, LF nor NUL). */
ASGI_MUST_CHECK bool asgi_header_value_ok(const char *value, size_t size);

/* Returns: borrowed, static; the lower-case name of a number. */
asgi_slice_t asgi_header_text(asgi_header_id_t id);

#endif
