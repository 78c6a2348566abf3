/* SPDX-License-Identifier: MIT
 *
 * http2.h: one HTTP/2 session of a server: bytes in, events out; answers in, bytes out.
 *
 * nghttp2 does frames, HPACK, windows and priorities; what a request may look like is then held
 * against the rules that HTTP/1 requests meet (http1.h), and what a peer may do for nothing is
 * counted. nghttp2's callbacks only take notes: events are taken with asgi_http2_next() outside of
 * them, so whoever handles one may call anything here.
 *
 *   event     meaning
 *   NONE      nothing until more is fed or sent
 *   HEAD      a request; stream->head holds it until the next call. error: why it is to be refused
 *   BODY      body bytes, borrowed from the data fed; they count against the windows until
 *             asgi_http2_consume(). error: BODY_SIZE, once, and no bytes of that body after it
 *   TRAILERS  stream->trailers holds them until the next call
 *   END       the request is over
 *   DRAINED   output that was above ASGI_HTTP2_LOW_WATER no longer is
 *   CLOSED    the stream is over, and freed by the next call
 *
 * All events of a feed must be taken before the next one, as bodies lie in the data fed. Answers are
 * put together by asgi_http2_send(), which takes only as much of them as there is room for.
 *
 * Floods. A peer has a budget for streams that end in a reset, whoever is made to send it (rapid
 * reset, CVE-2023-44487, and CVE-2025-8671), and one for frames that move nothing (PING, SETTINGS,
 * PRIORITY, WINDOW_UPDATE, empty DATA), which useful frames refill. Beyond either the session ends
 * with ENHANCE_YOUR_CALM. The number of CONTINUATION frames and of unsent acknowledgements is
 * bounded by nghttp2, the size of field sections by `bounds`.
 */
#ifndef ASGI_HTTP2_H
#define ASGI_HTTP2_H

#include "base/buf.h"
#include "base/list.h"
#include "proto/http2_fields.h"

#define ASGI_HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define ASGI_HTTP2_PREFACE_SIZE (sizeof ASGI_HTTP2_PREFACE - 1)

#define ASGI_HTTP2_HIGH_WATER 65536 /* unframed body bytes at which a sender has to wait */
#define ASGI_HTTP2_LOW_WATER 16384  /* … and at which it may go on */

typedef struct asgi_http2 asgi_http2_t;

typedef struct {
    asgi_http2_bounds_t bounds; /* of field sections */
    uint32_t max_streams;       /* requests at once */
    uint64_t max_body_bytes;    /* 0: no bound */
    /* Gives back what asgi_http2_lend() was given. */
    void (*release)(void *context, void *owner);
    void *context;
} asgi_http2_config_t;

/* How long something has been making no progress; the caller's, all zero at first. */
typedef struct {
    uint64_t since, mark;
} asgi_http2_watch_t;

typedef struct asgi_http2_stream {
    asgi_http2_t *http2; /* borrowed: it owns its streams */
    asgi_link_t link;    /* in its list of streams */
    int32_t id;
    void *owner;                              /* the caller's */
    asgi_http2_watch_t begun, taking, giving; /* the caller's */
    asgi_http2_section_t *head, *trailers;    /* owned: until they were handled */
    uint64_t received, sent;                  /* bytes of either body */
    size_t held;                              /* received and not consumed */
    /* The answer. */
    asgi_buf_t lines;    /* fields of a head that waits */
    asgi_buf_t trailing; /* … of the trailers */
    asgi_buf_t out;      /* body bytes to be framed, then those of `lent` */
    asgi_slice_t lent;
    void *lender;
    uint16_t status; /* not 0: `lines` is a head that waits */
    bool noted;      /* its HEAD event is on its way, or was taken */
    bool request_over, too_big;
    bool reset;    /* we have sent RST_STREAM, or are about to */
    bool ended;    /* the answer is complete */
    bool deferred; /* nghttp2 waits to be told of more output */
    bool closed;
} asgi_http2_stream_t;

typedef enum {
    ASGI_HTTP2_NONE,
    ASGI_HTTP2_HEAD,
    ASGI_HTTP2_BODY,
    ASGI_HTTP2_TRAILERS,
    ASGI_HTTP2_END,
    ASGI_HTTP2_DRAINED,
    ASGI_HTTP2_CLOSED,
} asgi_http2_kind_t;

typedef struct {
    asgi_http2_kind_t kind;
    int error; /* HEAD, BODY: one of err.h's, or 0 */
    asgi_http2_stream_t *stream;
    asgi_slice_t body;
} asgi_http2_event_t;

/* Returns: owned, or NULL without memory. config is copied. */
asgi_http2_t *asgi_http2_new(const asgi_http2_config_t *config);
/* Not from within release(). Streams go with it, without events. */
void asgi_http2_free(asgi_http2_t *http2);

/* Takes all of data, the preface first. now: milliseconds of a clock that does not go back. Returns
 * 0, or an error after which nothing more is to be fed: what asgi_http2_send() still has says why. */
ASGI_MUST_CHECK int asgi_http2_feed(asgi_http2_t *http2, const char *data, size_t size,
                                    uint64_t now);
asgi_http2_kind_t asgi_http2_next(asgi_http2_t *http2, asgi_http2_event_t *event);

/* Appends frames to out until it holds `high` bytes or there are none. Events may follow. Returns 0,
 * NOMEM, or SYNTAX where the session cannot go on. */
ASGI_MUST_CHECK int asgi_http2_send(asgi_http2_t *http2, asgi_buf_t *out, size_t high);
/* Nothing will be read or written any more. */
bool asgi_http2_over(const asgi_http2_t *http2);
/* Streams that are not closed. */
size_t asgi_http2_streams(const asgi_http2_t *http2);
/* The list that goes through the streams' `link`. */
asgi_link_t *asgi_http2_list(asgi_http2_t *http2);

/* ---- the caller's part in a request ---- */

/* Body bytes are used up: the peer may send as many more. */
void asgi_http2_consume(asgi_http2_stream_t *stream, size_t size);

/* ---- an answer; each returns 0 or NOMEM ---- */

/* An informational response. lines: "name: value\r\n" of fields known to be good, or empty. */
ASGI_MUST_CHECK int asgi_http2_inform(asgi_http2_stream_t *stream, unsigned status,
                                      asgi_slice_t lines);
/* The head: it leaves with the first body bytes, or with the next asgi_http2_send(). Fields that
 * belong to a connection are left out (RFC 9113 8.2.2). Steals: lines' memory. */
void asgi_http2_head(asgi_http2_stream_t *stream, unsigned status, asgi_buf_t *lines);
/* Appends body bytes. */
ASGI_MUST_CHECK int asgi_http2_write(asgi_http2_stream_t *stream, asgi_slice_t data);
/* The same without copying them: owner keeps them until release() is called with it. */
ASGI_MUST_CHECK int asgi_http2_lend(asgi_http2_stream_t *stream, asgi_slice_t data, void *owner);
/* Where body bytes may be appended to, in place of asgi_http2_write(); then wake. Returns: borrowed,
 * or NULL without memory. */
asgi_buf_t *asgi_http2_out(asgi_http2_stream_t *stream);
void asgi_http2_wake(asgi_http2_stream_t *stream);
/* Appends lines as of asgi_http2_head() that follow the body. */
ASGI_MUST_CHECK int asgi_http2_trailers(asgi_http2_stream_t *stream, asgi_slice_t lines);
/* The answer is complete. */
void asgi_http2_end(asgi_http2_stream_t *stream);

/* Body bytes not framed yet. */
static inline size_t
asgi_http2_pending(const asgi_http2_stream_t *stream)
{
    return asgi_buf_size(&stream->out) + stream->lent.size;
}

/* ---- ends ---- */

typedef enum {
    ASGI_HTTP2_PROTOCOL_ERROR = 0x1,
    ASGI_HTTP2_INTERNAL_ERROR = 0x2,
    ASGI_HTTP2_CANCEL = 0x8,
} asgi_http2_code_t;

/* The stream ends at once; what is not framed is lost. */
void asgi_http2_reset(asgi_http2_stream_t *stream, asgi_http2_code_t code);
/* Tells the peer that the session will end; streams are still accepted. */
void asgi_http2_announce_end(asgi_http2_t *http2);
/* Streams that come after those accepted so far are refused; these go on. */
void asgi_http2_accept_no_more(asgi_http2_t *http2);
/* The peer is to go: GOAWAY with ENHANCE_YOUR_CALM, and the session is over once that is sent. */
void asgi_http2_calm(asgi_http2_t *http2);

#endif
