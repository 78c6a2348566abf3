/* SPDX-License-Identifier: MIT
 *
 * err.h: the one table of error codes of the Python-free layers.
 *
 * A function that can fail returns 0 (or a count) and, on failure, one of these or one of
 * libuv's codes; both are negative and the ranges do not meet (libuv stays above -5000).
 */
#ifndef ASGI_ERR_H
#define ASGI_ERR_H

#define ASGI_MUST_CHECK __attribute__((warn_unused_result))

typedef enum {
    ASGI_OK = 0,
    ASGI_ERR_NOMEM = -10001,     /* an allocation failed: the connection is closed */
    ASGI_ERR_SYNTAX = -10002,    /* not HTTP: 400 */
    ASGI_ERR_FRAMING = -10003,   /* body length or chunk framing is wrong or ambiguous: 400 */
    ASGI_ERR_HOST = -10004,      /* Host is missing, doubled or malformed: 400 */
    ASGI_ERR_HEAD_SIZE = -10005, /* header block beyond its bound: 431 */
    ASGI_ERR_URI_SIZE = -10006,  /* request target alone beyond that bound: 414 */
    ASGI_ERR_CODING = -10007,    /* a transfer coding we do not implement: 501 */
    ASGI_ERR_VERSION = -10008,   /* neither HTTP/1.0 nor HTTP/1.1: 505 */
    ASGI_ERR_NAME = -10009,      /* a header name that is not a token */
    ASGI_ERR_VALUE = -10010,     /* a header value with a control character */
    ASGI_ERR_BODY_SIZE = -10011, /* request body beyond its bound: 413 */
    ASGI_ERR_METHOD = -10012,    /* a method we do not implement: 501 */
    ASGI_ERR_LIMIT = -10013,     /* a client has as many connections as it may */
    ASGI_ERR_FILE = -10014,      /* a file is shorter than it was */
    ASGI_ERR_PROXY = -10015,     /* no PROXY protocol header where one is due, or a wrong one */
    ASGI_ERR_TLS = -10020,       /* a TLS handshake or record that cannot be accepted */
    ASGI_ERR_NOT_TLS = -10021,   /* plain HTTP where TLS was expected: 400, in plain text */
} asgi_err_t;

/* Returns: borrowed, static text for one of the codes above; "unknown error" otherwise. */
const char *asgi_err_text(int code);

/* The HTTP status that answers a request refused with this code. */
int asgi_err_status(int code);

#endif
