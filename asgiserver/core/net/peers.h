/* SPDX-License-Identifier: MIT
 *
 * peers.h: how many connections each client address has, for the bound on them.
 *
 * Used by net/conn.c, and only where a bound is set: then accepting costs one getpeername() and one
 * look-up. IPv4 in IPv6 counts as IPv4, and all addresses of an IPv6 /64 as one client, for whoever
 * has one of them has all.
 */
#ifndef ASGI_PEERS_H
#define ASGI_PEERS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct asgi_peer {
    struct asgi_peer *next; /* owned: in its bucket */
    uint64_t key[2];
    size_t connections;
} asgi_peer_t;

/* All zero is a valid empty table without a bound. */
typedef struct {
    asgi_peer_t **buckets; /* owned; NULL until first used */
    uint64_t seed;
    size_t limit; /* connections of one peer; 0: none */
} asgi_peers_t;

/* Counts a connection. *peer is what to give back later, NULL for one that is not counted. Returns
 * 0, ASGI_ERR_LIMIT where the peer has as many as it may, or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK int asgi_peers_enter(asgi_peers_t *peers, const struct sockaddr *address,
                                     asgi_peer_t **peer);
/* The connection has ended. peer may be NULL. */
void asgi_peers_leave(asgi_peers_t *peers, asgi_peer_t *peer);
/* Frees the table; nobody may be counted in it. */
void asgi_peers_dispose(asgi_peers_t *peers);

#endif
