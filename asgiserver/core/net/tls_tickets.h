/* SPDX-License-Identifier: MIT
 *
 * tls_tickets.h: the keys that session tickets are sealed with.
 *
 * A client that comes back with a ticket skips the costly part of the handshake. All workers of a
 * server have one seed, made before they were forked, and derive the same keys from it by the time
 * that has passed since: a ticket of one is good at any other, without a word between them. A key
 * seals tickets for one period and opens them for another.
 *
 * Python-free. Thread: loop.
 */
#ifndef ASGI_TLS_TICKETS_H
#define ASGI_TLS_TICKETS_H

#include <openssl/evp.h>

#include <stdbool.h>
#include <stdint.h>

#define ASGI_TLS_SEED_SIZE 32
#define ASGI_TLS_TICKET_PERIOD (6 * 3600) /* seconds; longer than a ticket lives */

typedef struct {
    uint64_t period; /* the key's number; UINT64_MAX: no key */
    unsigned char name[16];
    unsigned char cipher[32]; /* AES-256-CBC */
    unsigned char mac[32];    /* HMAC-SHA256 */
} asgi_tls_ticket_key_t;

typedef struct {
    unsigned char seed[ASGI_TLS_SEED_SIZE];
    uint64_t begin; /* seconds of CLOCK_MONOTONIC, which all processes share */
    asgi_tls_ticket_key_t keys[2];
} asgi_tls_tickets_t;

void asgi_tls_tickets_init(asgi_tls_tickets_t *tickets, const unsigned char *seed, uint64_t begin);

/* Seconds of CLOCK_MONOTONIC. */
uint64_t asgi_tls_tickets_now(void);

/* OpenSSL's ticket callback, with the time it is now: chooses the key of a new ticket, or finds that
 * of an old one by its name. Returns 1, 2 (good, and due for a new one), 0 (unknown) or -1. */
int asgi_tls_tickets_key(asgi_tls_tickets_t *tickets, uint64_t now, unsigned char *name,
                         unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal);

/* Overwrites the keys. */
void asgi_tls_tickets_dispose(asgi_tls_tickets_t *tickets);

#endif
