/* SPDX-License-Identifier: MIT
 *
 * http2_session.h: what http2.c and http2_out.c, the two directions of a session, share. Nobody else
 * includes it: nghttp2's types stay in here.
 */
#ifndef ASGI_HTTP2_SESSION_H
#define ASGI_HTTP2_SESSION_H

#include "proto/http2.h"

#include <nghttp2/nghttp2.h>

typedef struct {
    uint64_t left; /* thousandths */
    uint64_t at;
} budget_t;

struct asgi_http2 {
    nghttp2_session *session; /* owned */
    asgi_http2_config_t config;
    asgi_link_t streams;         /* asgi_http2_stream_t.link */
    size_t open;                 /* of these, not closed */
    size_t waiting;              /* of these, with a head that waits */
    asgi_buf_t events;           /* asgi_http2_event_t, not taken yet */
    asgi_http2_event_t given;    /* what next() has returned last */
    asgi_http2_section_t *spare; /* owned: for the next head */
    asgi_buf_t *out;             /* where asgi_http2_send() writes, only during it */
    size_t high;
    budget_t resets, noise;
    uint64_t now;
    bool failed; /* an allocation in a callback did */
    bool calm;   /* asgi_http2_calm() was called */
};

static inline asgi_http2_stream_t *
asgi_http2_stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* Notes an event that has neither body nor error. */
void asgi_http2_note(asgi_http2_stream_t *stream, asgi_http2_kind_t kind);

/* A stream has ended in a reset that the peer has sent, or made us send. */
void asgi_http2_spend_reset(asgi_http2_t *http2);
/* A frame has moved something. */
void asgi_http2_earn(asgi_http2_t *http2);

/* Lets go of what the stream was lent. */
void asgi_http2_give_back(asgi_http2_stream_t *stream);

/* Sets the callbacks by which nghttp2 sends. */
void asgi_http2_set_output(nghttp2_session_callbacks *callbacks);

#endif
