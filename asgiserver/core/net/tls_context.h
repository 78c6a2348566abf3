/* SPDX-License-Identifier: MIT
 *
 * tls_context.h: what all TLS connections of a server have in common: certificates and rules.
 *
 * A context is made whole from settings and files, or not at all, and never changes afterwards:
 * new certificates are a new context. Whoever uses one holds a reference, every session among
 * them, so connections made with the former certificates live on with the former context.
 *
 * Which certificate: the one whose names include what the client asks for (SNI), a full name before
 * a wildcard; the first one for anybody else. Certificates for exactly the same names with keys of
 * different kinds (RSA and ECDSA) are offered together, and the client's abilities decide.
 *
 * Python-free. References are counted atomically; everything else is the loop thread's.
 */
#ifndef ASGI_TLS_CONTEXT_H
#define ASGI_TLS_CONTEXT_H

#include "base/buf.h"
#include "net/tls_tickets.h"

#include <openssl/ssl.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or later is needed"
#endif

typedef struct asgi_tls_context asgi_tls_context_t;

typedef enum {
    ASGI_TLS_VERIFY_NONE,     /* no client certificate is asked for */
    ASGI_TLS_VERIFY_OPTIONAL, /* … asked for; one that is sent must be good */
    ASGI_TLS_VERIFY_REQUIRED, /* … without a good one there is no connection */
} asgi_tls_verify_t;

typedef struct {
    const char *certificate; /* PEM file: the certificate, then its chain */
    const char *key;         /* PEM file, or NULL: in the same one */
} asgi_tls_pair_t;

typedef struct {
    const asgi_tls_pair_t *pairs; /* the first is the default */
    size_t pair_count;            /* at least 1 */
    const char *password;         /* of encrypted keys, or NULL */
    const char *ca_certs;         /* whose client certificates are good: PEM file or folder */
    const char *ciphers;          /* OpenSSL's list for TLS 1.2, or NULL: ours */
    asgi_tls_verify_t verify;
    int least, most;           /* TLS1_2_VERSION … TLS1_3_VERSION */
    bool http2;                /* offered by ALPN, before HTTP/1.1 */
    const unsigned char *seed; /* ASGI_TLS_SEED_SIZE bytes: of the session tickets' keys */
    uint64_t seeded;           /* when, as asgi_tls_tickets_now() */
} asgi_tls_settings_t;

#define ASGI_TLS_PROBLEM_SIZE 1024

/* Returns: owned, or NULL with a sentence in problem, which has ASGI_TLS_PROBLEM_SIZE bytes.
 * Blocks while it reads the files. */
asgi_tls_context_t *asgi_tls_context_new(const asgi_tls_settings_t *settings, char *problem);

asgi_tls_context_t *asgi_tls_context_ref(asgi_tls_context_t *context);
void asgi_tls_context_unref(asgi_tls_context_t *context);

/* Returns: owned, in server state and without BIOs; NULL without memory. */
SSL *asgi_tls_context_session(asgi_tls_context_t *context);
/* Returns: borrowed, lives as long as the context. */
const BIO_METHOD *asgi_tls_context_bio(const asgi_tls_context_t *context);

asgi_tls_verify_t asgi_tls_context_verify(const asgi_tls_context_t *context);

/* The text of one of the context's own certificates. Returns: borrowed, or NULL for any other. */
const char *asgi_tls_context_pem(const asgi_tls_context_t *context, const X509 *certificate);

/* The certificates in the order of their settings. Returns: borrowed, NULL beyond the last. */
const X509 *asgi_tls_context_certificate(const asgi_tls_context_t *context, size_t index);

/* Appends a certificate as PEM. Returns 0 or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK int asgi_tls_pem(const X509 *certificate, asgi_buf_t *out);

#endif
