/* SPDX-License-Identifier: MIT
 *
 * http2_fields.h: a field section of HTTP/2, gathered field by field, and what is wrong with it.
 *
 * Internal to http2.c. nghttp2 has seen to what RFC 9113 8.2 and 8.3 demand: lower case, pseudo
 * fields once, in front and complete, nothing that belongs to a connection, a length that is a
 * number. Here the rest is held against the rules of an HTTP/1 head, and a request is made of it
 * that looks like one: :authority becomes Host, in front of all others, and the crumbs of Cookie one
 * field (RFC 9113 8.2.3).
 *
 * A section that is too big is decoded to its end, as the table of HPACK is shared by all of them,
 * but nothing more of it is kept.
 */
#ifndef ASGI_HTTP2_FIELDS_H
#define ASGI_HTTP2_FIELDS_H

#include "base/buf.h"
#include "proto/request.h"

typedef struct {
    uint32_t max_head_bytes, max_line_bytes, max_fields;
} asgi_http2_bounds_t;

/* A trailer section is one without a target. */
typedef struct {
    asgi_request_t request; /* its offsets are counted from text's front */
    asgi_buf_t text;
    int error;        /* the first thing that is wrong with it, or 0 */
    size_t size;      /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    uint32_t room;    /* for fields */
    uint32_t cookies; /* fields of that name */
    uint32_t hosts;   /* … of that one, :authority counted */
} asgi_http2_section_t;

/* Returns: owned, or NULL without memory. */
asgi_http2_section_t *asgi_http2_section_new(void);
void asgi_http2_section_free(asgi_http2_section_t *section);
/* Makes a used one ready for another section, unless it has become too big to be kept. */
bool asgi_http2_section_reuse(asgi_http2_section_t *section);

/* Takes a field. Returns 0, also where it makes the section one to be refused, or NOMEM. */
ASGI_MUST_CHECK int asgi_http2_section_add(asgi_http2_section_t *section,
                                           const asgi_http2_bounds_t *bounds, asgi_slice_t name,
                                           asgi_slice_t value);
/* All of a request's head is there. has_body: more than the head will come. Returns 0 or NOMEM. */
ASGI_MUST_CHECK int asgi_http2_section_end(asgi_http2_section_t *section, bool has_body);

/* Takes the next of the lines "name: value\r\n" of an answer, without those fields that HTTP/2 has no
 * use for (RFC 9113 8.2.2). Returns whether there was one. */
bool asgi_http2_next_line(asgi_slice_t *lines, asgi_slice_t *name, asgi_slice_t *value);

#endif
