/* SPDX-License-Identifier: MIT
 *
 * tls_tickets.c: derivation and choice of ticket keys; see tls_tickets.h. Used by tls_context.c.
 *
 * The two slots hold the keys of an even and an odd period, so the current key and the one before
 * it are never in each other's way.
 */
#include "net/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <string.h>
#include <time.h>

uint64_t
asgi_tls_tickets_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

void
asgi_tls_tickets_init(asgi_tls_tickets_t *tickets, const unsigned char *seed, uint64_t begin)
{
    memcpy(tickets->seed, seed, sizeof tickets->seed);
    tickets->begin = begin;
    tickets->keys[0].period = tickets->keys[1].period = UINT64_MAX;
}

void
asgi_tls_tickets_dispose(asgi_tls_tickets_t *tickets)
{
    OPENSSL_cleanse(tickets, sizeof *tickets);
}

/* The key of a period, derived where it is not at hand. Returns: borrowed, or NULL. */
static asgi_tls_ticket_key_t *
key_of(asgi_tls_tickets_t *tickets, uint64_t period)
{
    asgi_tls_ticket_key_t *key = &tickets->keys[period % 2];
    unsigned char label[sizeof period + 1], bytes[2][64];
    bool done = true;

    if (key->period == period)
        return key;
    memcpy(label, &period, sizeof period);
    for (unsigned char i = 0; i < 2; i++) {
        label[sizeof period] = i;
        done = done
               && HMAC(EVP_sha512(), tickets->seed, sizeof tickets->seed, label, sizeof label,
                       bytes[i], NULL)
                      != NULL;
    }
    if (done) {
        memcpy(key->cipher, bytes[0], sizeof key->cipher);
        memcpy(key->mac, bytes[0] + sizeof key->cipher, sizeof key->mac);
        memcpy(key->name, bytes[1], sizeof key->name);
        key->period = period;
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    return done ? key : NULL;
}

static bool
use(const asgi_tls_ticket_key_t *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int seal)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, seal) == 1
           && EVP_MAC_CTX_set_params(mac, params) == 1;
}

int
asgi_tls_tickets_key(asgi_tls_tickets_t *tickets, uint64_t now, unsigned char *name,
                     unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    uint64_t period = now > tickets->begin ? (now - tickets->begin) / ASGI_TLS_TICKET_PERIOD : 0;
    asgi_tls_ticket_key_t *key = key_of(tickets, period);

    if (key == NULL)
        return -1;
    if (seal) {
        memcpy(name, key->name, sizeof key->name);
        return RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1
                       && use(key, iv, cipher, mac, 1)
                   ? 1
                   : -1;
    }
    if (CRYPTO_memcmp(name, key->name, sizeof key->name) == 0)
        return use(key, iv, cipher, mac, 0) ? 1 : -1;
    key = period > 0 ? key_of(tickets, period - 1) : NULL;
    if (key == NULL || CRYPTO_memcmp(name, key->name, sizeof key->name) != 0)
        return 0;
    return use(key, iv, cipher, mac, 0) ? 2 : -1;
}
