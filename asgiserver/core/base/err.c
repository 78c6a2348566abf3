/* SPDX-License-Identifier: MIT
 *
 * err.c: texts and HTTP statuses of the codes in err.h.
 */
#include "base/err.h"

const char *
asgi_err_text(int code)
{
    switch (code) {
    case ASGI_OK:
        return "no error";
    case ASGI_ERR_NOMEM:
        return "out of memory";
    case ASGI_ERR_SYNTAX:
        return "malformed request";
    case ASGI_ERR_FRAMING:
        return "wrong or ambiguous body length";
    case ASGI_ERR_HOST:
        return "missing, doubled or malformed Host";
    case ASGI_ERR_HEAD_SIZE:
        return "request header fields too large";
    case ASGI_ERR_URI_SIZE:
        return "request target too long";
    case ASGI_ERR_CODING:
        return "transfer coding not implemented";
    case ASGI_ERR_VERSION:
        return "HTTP version not supported";
    case ASGI_ERR_NAME:
        return "invalid header name";
    case ASGI_ERR_VALUE:
        return "invalid header value";
    case ASGI_ERR_BODY_SIZE:
        return "request body too large";
    case ASGI_ERR_METHOD:
        return "method not implemented";
    case ASGI_ERR_LIMIT:
        return "too many connections of one client";
    case ASGI_ERR_FILE:
        return "the file is shorter than it was";
    case ASGI_ERR_PROXY:
        return "missing or malformed PROXY protocol header";
    case ASGI_ERR_TLS:
        return "broken TLS handshake or record";
    case ASGI_ERR_NOT_TLS:
        return "plain HTTP on a TLS port";
    default:
        return "unknown error";
    }
}

int
asgi_err_status(int code)
{
    switch (code) {
    case ASGI_ERR_HEAD_SIZE:
        return 431;
    case ASGI_ERR_URI_SIZE:
        return 414;
    case ASGI_ERR_CODING:
    case ASGI_ERR_METHOD:
        return 501;
    case ASGI_ERR_VERSION:
        return 505;
    case ASGI_ERR_BODY_SIZE:
        return 413;
    case ASGI_ERR_NOMEM:
        return 500;
    default:
        return 400;
    }
}
