/* SPDX-License-Identifier: MIT
 *
 * proxy_protocol.h: the header with which a proxy introduces the client of a connection.
 *
 * HAProxy's PROXY protocol, versions 1 (a line of text) and 2 (binary), in front of everything else
 * that the connection carries. The parser is strict: it knows from the bytes alone where the header
 * ends, asks for more only where what is there can still become one, and takes nothing that the
 * specification does not define for a byte stream. Which peers may introduce anybody is decided
 * elsewhere (net/proxied).
 */
#ifndef ASGI_PROXY_PROTOCOL_H
#define ASGI_PROXY_PROTOCOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ASGI_PROXY_LINE_MAX 107    /* of version 1, its CRLF included: from the specification */
#define ASGI_PROXY_BLOCK_MAX 16384 /* of version 2, behind its 16 fixed bytes: ours */
#define ASGI_PROXY_PATH_MAX 108    /* of a unix address */

typedef enum {
    ASGI_PROXY_NONE, /* the proxy speaks for itself, or does not know: the real addresses hold */
    ASGI_PROXY_INET,
    ASGI_PROXY_INET6,
    ASGI_PROXY_UNIX,
} asgi_proxy_family_t;

typedef struct {
    asgi_proxy_family_t family;
    bool secure; /* the client speaks TLS to the proxy (version 2) */
    union {
        struct {
            uint8_t source[16], destination[16]; /* INET: the first four of each */
            uint16_t source_port, destination_port;
        } ip;
        struct { /* ends at the first NUL, if there is one */
            char source[ASGI_PROXY_PATH_MAX], destination[ASGI_PROXY_PATH_MAX];
        } path;
    };
} asgi_proxy_header_t;

/* Reads a header at the beginning of data. Returns its length, 0 where it is not complete, or
 * ASGI_ERR_PROXY where what is there can be none. *header is set in the first case only. */
ASGI_MUST_CHECK ssize_t asgi_proxy_header_read(const char *data, size_t size,
                                               asgi_proxy_header_t *header);

#endif
