/* SPDX-License-Identifier: MIT
 *
 * trust.h: the set of peers that may say who their client is: addresses, networks, literals.
 *
 * Made once from forwarded_allow_ips, by uvicorn's rules: "*" is everybody; what is an address or a
 * network compares as one, whichever way it is written; anything else compares as text. "unix:" is
 * whoever connects by a unix socket. An IPv4 address in IPv6 form is that IPv4 address.
 */
#ifndef ASGI_TRUST_H
#define ASGI_TRUST_H

#include "base/buf.h"

#include <stdint.h>

typedef struct {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;        /* that have to agree, of 128 */
} asgi_network_t;

/* All zero is a valid set that trusts nobody. */
typedef struct {
    bool everybody, unix_peers;
    size_t count;
    asgi_network_t *networks; /* owned */
    asgi_buf_t literals;      /* the rest, each followed by a NUL */
} asgi_trust_t;

/* Adds one item. Returns 0 or NOMEM. */
ASGI_MUST_CHECK int asgi_trust_add(asgi_trust_t *trust, asgi_slice_t item);
void asgi_trust_dispose(asgi_trust_t *trust);

/* Whether a host, as text, is in the set. Empty: no. */
bool asgi_trust_has(const asgi_trust_t *trust, asgi_slice_t host);

#endif
