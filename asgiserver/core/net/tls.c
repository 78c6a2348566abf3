/* SPDX-License-Identifier: MIT
 *
 * tls.c: a TLS session over OpenSSL; see tls.h. Used by net/stream_tls.c.
 *
 * OpenSSL reads and writes through a BIO of our own: reading takes bytes from `feed`, which lies
 * where the kernel put them, writing appends to `sealed`. So OpenSSL never waits for a write, and
 * the only thing it can ever want is more input. Errors are taken from the thread's error queue at
 * once: Python's ssl and Node.js share that queue with us.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <stdio.h>

/* ---- the BIO ---- */

static int
on_bio_read(BIO *bio, char *data, size_t room, size_t *got)
{
    asgi_tls_t *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    *got = tls->feed.size < room ? tls->feed.size : room;
    if (*got == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(data, tls->feed.data, *got);
    tls->feed.data += *got;
    tls->feed.size -= *got;
    return 1;
}

static int
on_bio_write(BIO *bio, const char *data, size_t size, size_t *written)
{
    asgi_tls_t *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    *written = 0;
    if (asgi_buf_append(&tls->sealed, data, size) < 0)
        return 0;
    *written = size;
    return 1;
}

static long
on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *
asgi_tls_bio_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "asgi_tls");

    if (method == NULL)
        return NULL;
    BIO_meth_set_read_ex(method, on_bio_read);
    BIO_meth_set_write_ex(method, on_bio_write);
    BIO_meth_set_ctrl(method, on_bio_ctrl);
    return method;
}

/* ---- life ---- */

int
asgi_tls_init(asgi_tls_t *tls, asgi_tls_context_t *context)
{
    BIO *bio;

    memset(tls, 0, sizeof *tls);
    tls->ssl = asgi_tls_context_session(context);
    bio = BIO_new(asgi_tls_context_bio(context));
    if (tls->ssl == NULL || bio == NULL) {
        SSL_free(tls->ssl);
        BIO_free(bio);
        tls->ssl = NULL;
        ERR_clear_error();
        return ASGI_ERR_NOMEM;
    }
    tls->context = asgi_tls_context_ref(context);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio); /* steals it */
    return 0;
}

void
asgi_tls_dispose(asgi_tls_t *tls)
{
    if (tls->ssl == NULL)
        return;
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    asgi_tls_context_unref(tls->context);
    asgi_buf_dispose(&tls->sealed);
}

/* ---- bytes ---- */

static int
fail(asgi_tls_t *tls)
{
    unsigned long problem = ERR_peek_error();
    int reason = ERR_GET_LIB(problem) == ERR_LIB_SSL ? ERR_GET_REASON(problem) : 0;

    tls->failed = true;
    tls->problem = problem;
    tls->feed.size = 0;
    ERR_clear_error();
    return reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST ? ASGI_ERR_NOT_TLS
                                                                               : ASGI_ERR_TLS;
}

ssize_t
asgi_tls_read(asgi_tls_t *tls, char *data, size_t room)
{
    size_t got;
    int done;

    if (tls->failed || tls->ended) {
        tls->feed.size = 0;
        return tls->failed ? ASGI_ERR_TLS : 0;
    }
    ERR_clear_error();
    done = SSL_read_ex(tls->ssl, data, room, &got);
    tls->ready = tls->ready || SSL_is_init_finished(tls->ssl);
    if (done)
        return (ssize_t)got;
    switch (SSL_get_error(tls->ssl, done)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        tls->ended = true;
        tls->feed.size = 0; /* what follows close_notify is nobody's */
        return 0;
    default:
        return fail(tls);
    }
}

int
asgi_tls_write(asgi_tls_t *tls, const char *data, size_t size)
{
    size_t written;

    if (tls->failed || tls->closed || !tls->ready)
        return ASGI_ERR_TLS;
    /* Room for all records at once: their heads, tags and paddings are well below 1 in 64. */
    if (asgi_buf_reserve(&tls->sealed, size + size / 64 + 128) < 0)
        return ASGI_ERR_NOMEM;
    ERR_clear_error();
    return SSL_write_ex(tls->ssl, data, size, &written) == 1 && written == size ? 0 : fail(tls);
}

void
asgi_tls_close(asgi_tls_t *tls)
{
    if (tls->failed || tls->closed || !tls->ready)
        return;
    tls->closed = true;
    ERR_clear_error();
    if (SSL_shutdown(tls->ssl) < 0)
        fail(tls);
}

bool
asgi_tls_is_http2(const asgi_tls_t *tls)
{
    const unsigned char *name;
    unsigned size;

    SSL_get0_alpn_selected(tls->ssl, &name, &size);
    return size == 2 && memcmp(name, "h2", 2) == 0;
}

void
asgi_tls_explain(const asgi_tls_t *tls, char *text, size_t size)
{
    const char *reason = ERR_reason_error_string(tls->problem);
    long verified = SSL_get_verify_result(tls->ssl);

    if (verified != X509_V_OK)
        snprintf(text, size, "%s: %s", reason != NULL ? reason : "certificate refused",
                 X509_verify_cert_error_string(verified));
    else
        snprintf(text, size, "%s", reason != NULL ? reason : "unknown error");
}
