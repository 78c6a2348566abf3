/* SPDX-License-Identifier: MIT
 *
 * deadline.h: when a connection's patience ends, for any number of connections with one timer.
 *
 * Each kind of deadline has one duration, so a list per kind that is only ever appended to is
 * sorted by time: setting and clearing are a few stores, and the one uv timer sleeps until the
 * earliest list head. It is never moved earlier than needed nor re-armed per request: when it
 * fires too early it just goes back to sleep.
 */
#ifndef ASGI_DEADLINE_H
#define ASGI_DEADLINE_H

#include "base/list.h"

#include <stdint.h>
#include <uv.h>

typedef enum {
    ASGI_DEADLINE_NONE,
    ASGI_DEADLINE_TLS,      /* the TLS handshake, from accept */
    ASGI_DEADLINE_HEAD,     /* a whole request head, from accept or from its first byte */
    ASGI_DEADLINE_BODY,     /* enough bytes of a body we are reading */
    ASGI_DEADLINE_IDLE,     /* keep-alive */
    ASGI_DEADLINE_WRITE,    /* progress of bytes the client has to take, nothing else going on */
    ASGI_DEADLINE_LINGER,   /* the client's FIN after ours */
    ASGI_DEADLINE_DRAIN,    /* the first byte of a request that may be on its way, draining */
    ASGI_DEADLINE_LOOK,     /* HTTP/2: the next look at the streams' progress */
    ASGI_DEADLINE_WS_PING,  /* WebSocket: the next ping */
    ASGI_DEADLINE_WS_PONG,  /* … its answer */
    ASGI_DEADLINE_WS_CLOSE, /* … the answer to our close frame */
    ASGI_DEADLINE_KINDS,
} asgi_deadline_kind_t;

typedef struct {
    asgi_link_t link;
    uint64_t at; /* uv_now milliseconds */
    asgi_deadline_kind_t kind;
} asgi_deadline_t;

typedef struct asgi_deadlines {
    uv_loop_t *loop;   /* borrowed */
    uv_timer_t *timer; /* owned until closed; NULL: not open */
    asgi_link_t lists[ASGI_DEADLINE_KINDS];
    uint64_t after[ASGI_DEADLINE_KINDS]; /* milliseconds; 0: this kind never expires */
    uint64_t armed;                      /* what the timer is set to; 0: not set */
    void (*on_expired)(asgi_deadline_t *deadline);
} asgi_deadlines_t;

void asgi_deadlines_init(asgi_deadlines_t *deadlines, uv_loop_t *loop,
                         void (*on_expired)(asgi_deadline_t *deadline));
/* Opens the timer if it is not open. Returns 0, or -1 without memory. */
int asgi_deadlines_open(asgi_deadlines_t *deadlines);
/* Closes the timer; the lists must be empty. The owner may go at once. */
void asgi_deadlines_close(asgi_deadlines_t *deadlines);

void asgi_deadline_init(asgi_deadline_t *deadline);
/* Starts the deadline anew, whatever it was. NONE clears it. */
void asgi_deadline_set(asgi_deadlines_t *deadlines, asgi_deadline_t *deadline,
                       asgi_deadline_kind_t kind);

#endif
