/* SPDX-License-Identifier: MIT
 *
 * http1_out.h: the bytes of an HTTP/1.x response.
 *
 * A head is written in three steps: start (status line), one call per field, end. Each appends to
 * the connection's output buffer; on any error the caller truncates the buffer to where the head
 * began, so a refused header leaves nothing behind. The framing decision is taken from what the
 * fields said (asgi_http1_out_t) when the head ends.
 *
 * With ASGI_MINOR_HTTP2 for its minor version it is the lines that http2.c makes a head of: no status
 * line, no framing but content-length, no empty line.
 */
#ifndef ASGI_HTTP1_OUT_H
#define ASGI_HTTP1_OUT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

typedef enum {
    ASGI_BODY_NONE,   /* HEAD, 1xx, 204, 304: body bytes are dropped */
    ASGI_BODY_LENGTH, /* content-length: `remaining` bytes are due */
    ASGI_BODY_CHUNKED,
    ASGI_BODY_CLOSE, /* no length: the end of the connection (or the HTTP/2 stream) ends it */
} asgi_body_kind_t;

typedef struct {
    /* Set by the caller before start. */
    uint8_t minor;         /* of the request's HTTP/1.x, or ASGI_MINOR_HTTP2 */
    bool head_request;     /* HEAD: fields as for GET, no body */
    bool keep_alive;       /* wished; may be false afterwards */
    bool keep_alive_asked; /* the request asked for it by name (HTTP/1.0) */
    /* Learned from the fields, decided at the end. */
    bool has_length, has_chunked, has_date, has_server, has_close;
    uint64_t remaining; /* LENGTH: body bytes still due */
    asgi_body_kind_t body;
    uint16_t status;
} asgi_http1_out_t;

/* Appends "HTTP/1.1 <status> <reason>\r\n". */
ASGI_MUST_CHECK int asgi_http1_out_start(asgi_http1_out_t *out, asgi_buf_t *buf, unsigned status);

/* Appends one field in lower case. Returns 0, NOMEM, NAME, VALUE, or FRAMING for a content-length
 * that is not a number or that contradicts an earlier one. Fields that frame the body are noted
 * and withheld; end() writes them. */
ASGI_MUST_CHECK int asgi_http1_out_field(asgi_http1_out_t *out, asgi_buf_t *buf, const char *name,
                                         size_t name_size, const char *value, size_t value_size);

/* Decides the framing and ends the head. */
ASGI_MUST_CHECK int asgi_http1_out_end(asgi_http1_out_t *out, asgi_buf_t *buf);

/* Appends the line before a chunk of size > 0. The caller adds the data and "\r\n". */
ASGI_MUST_CHECK int asgi_http1_out_chunk(asgi_buf_t *buf, size_t size);

/* Appends a whole plain-text answer that closes the connection. `defaults` are header lines
 * (date, server …) or empty. */
ASGI_MUST_CHECK int asgi_http1_out_plain(asgi_buf_t *buf, unsigned status, asgi_slice_t defaults,
                                         const char *text, bool with_body);

/* Returns: borrowed, static: the reason phrase, "" where there is none. */
const char *asgi_http1_reason(unsigned status);

#define ASGI_HTTP1_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

#endif
