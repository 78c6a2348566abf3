/* SPDX-License-Identifier: MIT
 *
 * request.h: the head of a request as any version's parser leaves it: what scope.c makes a scope of.
 *
 * Names, values and the target are offsets from a base that comes with it: the first byte of the
 * head for HTTP/1 (http1.h), of the names and values gathered so far for HTTP/2 (http2.h).
 */
#ifndef ASGI_REQUEST_H
#define ASGI_REQUEST_H

#include "base/slice.h"

#include <stdint.h>

typedef struct {
    uint32_t name, name_size;   /* offsets from the base */
    uint32_t value, value_size; /* trimmed once the head is complete */
    uint16_t id;                /* asgi_header_id_t, once the head is complete */
} asgi_field_t;

#define ASGI_MINOR_HTTP2 2 /* in place of a minor version */

typedef struct {
    uint8_t method;  /* llhttp_method_t */
    uint8_t minor;   /* HTTP/1.minor, or ASGI_MINOR_HTTP2 */
    bool keep_alive; /* what the request allows */
    bool expect_continue;
    bool chunked; /* has a body, of a length that is not declared */
    bool upgrade; /* Connection: upgrade and an Upgrade header */
    bool upgrade_websocket;
    bool forwarded;          /* has a field by which a proxy may name its client */
    uint64_t content_length; /* declared; 0 when chunked */
    uint32_t target, target_size;
    uint32_t field_count;
    asgi_field_t *fields; /* of the parser */
} asgi_request_t;

/* Returns: the number of a method by its name, or -1 for one that we do not have: CONNECT would make
 * us a proxy. */
int asgi_request_method(asgi_slice_t name);

/* Splits the target into path and query, both slices of it: absolute-form loses scheme and
 * authority, a fragment is dropped. */
void asgi_request_split_target(const asgi_request_t *request, const char *base, asgi_slice_t *path,
                               asgi_slice_t *query);

#endif
