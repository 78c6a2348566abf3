/* SPDX-License-Identifier: MIT
 *
 * http1.h: HTTP/1.x requests out of a byte stream, one event at a time.
 *
 * Heads are tokenised by llhttp (no lenient flag is ever set) and then held against stricter rules
 * of our own, because what llhttp tolerates differs between versions: every line ends in CRLF, no
 * folded lines, one space between the parts of the request line, HTTP/1.0 or 1.1, names are
 * tokens, values have no control characters, exactly one well-formed Host on 1.1, and one
 * unambiguous body length. Bodies are framed here: counting for Content-Length, a small strict
 * decoder for chunked (extensions bounded and dropped, trailers held to the rules of a head).
 *
 * Use: call asgi_http1_next() with the bytes not consumed so far, again and again.
 *
 *   event        consumed            meaning
 *   MORE         >= 0                no event in these bytes: come back with more after them
 *   HEAD         the whole head      fields and target are slices of the data just given
 *   BODY         framing and data    event.body is a slice of the data just given
 *   TRAILERS     the whole section   event.body is the section, fields are the trailers, their
 *                                    offsets counted from it; only where there are any
 *   END          framing             the request is over; next call begins another one
 *   ERROR        -                   event.error; the parser answers ERROR for ever after
 *
 * While a head or a trailer section is incomplete nothing of it is consumed (its slices must be
 * contiguous), so the next call must give the same bytes again, at any address, followed by more.
 * The bound on head bytes therefore bounds the caller's buffer too.
 */
#ifndef ASGI_HTTP1_H
#define ASGI_HTTP1_H

#include "base/err.h"
#include "base/slice.h"
#include "proto/headers.h"
#include "proto/request.h"

#include <llhttp.h>
#include <stdint.h>

#define ASGI_HTTP1_INLINE_FIELDS 24

typedef enum {
    ASGI_HTTP1_MORE,
    ASGI_HTTP1_HEAD,
    ASGI_HTTP1_BODY,
    ASGI_HTTP1_TRAILERS,
    ASGI_HTTP1_END,
    ASGI_HTTP1_ERROR,
} asgi_http1_kind_t;

typedef struct {
    asgi_http1_kind_t kind;
    int error; /* ERROR: one of err.h's */
    size_t consumed;
    asgi_slice_t body; /* BODY, TRAILERS: borrowed from the caller's data */
} asgi_http1_event_t;

typedef struct {
    llhttp_t llhttp;
    /* Set by the owner after asgi_http1_init(); 0 bytes of body: no bound. */
    uint32_t max_head_bytes; /* of a head, and of a trailer section */
    uint32_t max_line_bytes; /* of a request line */
    uint32_t max_fields;
    uint32_t max_chunk_extra; /* chunk framing of a body beyond the size of its data */
    uint64_t max_body_bytes;

    /* The head's result, valid from HEAD to TRAILERS (fields) or the next request's first byte. Its
     * fields are inline_fields, or owned when there are more. */
    asgi_request_t request;

    /* Private. */
    uint8_t state;
    uint8_t size_digits; /* of the chunk size being read */
    bool in_field;
    bool done_target;
    int error;
    uint32_t field_capacity;
    uint32_t fed;       /* bytes of this head llhttp has seen, of these trailers we have scanned */
    const char *base;   /* the head's first byte, only during asgi_http1_next() */
    uint64_t remaining; /* of the body or the chunk */
    uint64_t received;  /* body bytes so far */
    uint64_t framing;   /* bytes of chunk extensions, less the data that came with them */
    asgi_field_t inline_fields[ASGI_HTTP1_INLINE_FIELDS];
} asgi_http1_t;

/* Makes a parser for one connection. It must not move afterwards. */
void asgi_http1_init(asgi_http1_t *http1);
void asgi_http1_dispose(asgi_http1_t *http1);

/* See the table above. Returns event->kind. */
asgi_http1_kind_t asgi_http1_next(asgi_http1_t *http1, const char *data, size_t size,
                                  asgi_http1_event_t *event);

/* Whether a request has begun (a byte of its head was seen) and is not over. */
bool asgi_http1_in_request(const asgi_http1_t *http1);
/* Whether the head is complete and body bytes (or framing) are still to come. */
bool asgi_http1_in_body(const asgi_http1_t *http1);
/* Body bytes the client still owes, as far as known: 0 for a chunked body. */
uint64_t asgi_http1_owed(const asgi_http1_t *http1);

#endif
