/* SPDX-License-Identifier: MIT
 *
 * tls.h: one TLS session, as a machine that turns bytes into bytes and never touches a socket.
 *
 *   asgi_tls_feed()   gives it what came from the peer; that memory is read by the following
 *   asgi_tls_read()   calls of this, until it returns 0: then all of it has been taken
 *   asgi_tls_write()  takes plain text
 *   sealed            is what has to go to the peer: records, handshake messages, alerts. Anything
 *                     above may add to it, reading too; the owner sends and empties it.
 *
 *   state      entered by                        then
 *   handshake  asgi_tls_init                     read gives 0 or an error; write is not allowed
 *   ready      the peer's last handshake message read gives plain text
 *   ended      the peer's close_notify           read gives 0; write still works (half-closed)
 *   failed     anything wrong, told by read      an alert is in sealed; nothing works any more
 *
 * Python-free. Thread: loop.
 */
#ifndef ASGI_TLS_H
#define ASGI_TLS_H

#include "base/buf.h"
#include "net/tls_context.h"

#include <sys/types.h>

typedef struct asgi_tls {
    SSL *ssl;                    /* owned */
    asgi_tls_context_t *context; /* owned reference */
    asgi_buf_t sealed;
    asgi_slice_t feed;     /* borrowed between feed and the read that returns 0 */
    unsigned long problem; /* OpenSSL's code for why it failed */
    bool ready, ended, failed;
    bool closed; /* our close_notify is in sealed, or was */
} asgi_tls_t;

/* Returns 0 or ASGI_ERR_NOMEM. The session's address must not change. */
ASGI_MUST_CHECK int asgi_tls_init(asgi_tls_t *tls, asgi_tls_context_t *context);
void asgi_tls_dispose(asgi_tls_t *tls);

static inline void
asgi_tls_feed(asgi_tls_t *tls, const char *data, size_t size)
{
    tls->feed = (asgi_slice_t){data, size};
}

/* Returns the number of plain bytes written to data, 0 when more input is needed (or none will
 * come: see ended), ASGI_ERR_TLS, or ASGI_ERR_NOT_TLS for what looks like a plain HTTP request. */
ASGI_MUST_CHECK ssize_t asgi_tls_read(asgi_tls_t *tls, char *data, size_t room);

/* Seals all of it. Returns 0, ASGI_ERR_TLS or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK int asgi_tls_write(asgi_tls_t *tls, const char *data, size_t size);

/* Says that nothing more will follow. A second call, or one in no state for it, does nothing. */
void asgi_tls_close(asgi_tls_t *tls);

/* Whether the handshake has settled on HTTP/2 (ALPN). */
bool asgi_tls_is_http2(const asgi_tls_t *tls);

/* Why the session failed, in a few words. text has room for size bytes. */
void asgi_tls_explain(const asgi_tls_t *tls, char *text, size_t size);

/* The BIO through which OpenSSL reads feed and writes sealed; its data is the session.
 * Returns: owned, or NULL. Called by tls_context.c: one for each context. */
BIO_METHOD *asgi_tls_bio_new(void);

#endif
