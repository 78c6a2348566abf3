/* SPDX-License-Identifier: MIT
 *
 * peers.c: a table of client addresses with chains, its hash seeded at random; see peers.h. An
 * entry lives as long as the client has a connection.
 */
#include "net/peers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BUCKETS 1024

/* Returns whether the address is of a kind that is counted. */
static int
key_of(const struct sockaddr *address, uint64_t key[2])
{
    memset(key, 0, 2 * sizeof *key);
    if (address->sa_family == AF_INET) {
        memcpy(&key[1], &((const struct sockaddr_in *)address)->sin_addr, 4);
        return 1;
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(in6))
            memcpy(&key[1], in6->s6_addr + 12, 4);
        else
            memcpy(&key[0], in6->s6_addr, 8); /* the /64 */
        return 1;
    }
    return 0;
}

static asgi_peer_t **
bucket_of(const asgi_peers_t *peers, const uint64_t key[2])
{
    uint64_t hash = (key[0] ^ peers->seed) * 0x9e3779b97f4a7c15u;

    hash = (hash ^ (hash >> 32) ^ key[1]) * 0xd6e8feb86659fd93u;
    return &peers->buckets[(hash >> 40) % BUCKETS];
}

int
asgi_peers_enter(asgi_peers_t *peers, const struct sockaddr *address, asgi_peer_t **peer)
{
    uint64_t key[2];
    asgi_peer_t **bucket, *found;

    *peer = NULL;
    if (peers->limit == 0 || !key_of(address, key))
        return 0;
    if (peers->buckets == NULL) {
        peers->buckets = calloc(BUCKETS, sizeof *peers->buckets);
        if (peers->buckets == NULL)
            return ASGI_ERR_NOMEM;
        if (uv_random(NULL, NULL, &peers->seed, sizeof peers->seed, 0, NULL) < 0)
            peers->seed = uv_hrtime();
    }
    bucket = bucket_of(peers, key);
    for (found = *bucket; found != NULL; found = found->next) {
        if (found->key[0] == key[0] && found->key[1] == key[1])
            break;
    }
    if (found == NULL) {
        found = calloc(1, sizeof *found);
        if (found == NULL)
            return ASGI_ERR_NOMEM;
        found->key[0] = key[0];
        found->key[1] = key[1];
        found->next = *bucket;
        *bucket = found;
    } else if (found->connections >= peers->limit) {
        return ASGI_ERR_LIMIT;
    }
    found->connections++;
    *peer = found;
    return 0;
}

void
asgi_peers_leave(asgi_peers_t *peers, asgi_peer_t *peer)
{
    asgi_peer_t **link;

    if (peer == NULL || --peer->connections > 0)
        return;
    for (link = bucket_of(peers, peer->key); *link != peer; link = &(*link)->next)
        ;
    *link = peer->next;
    free(peer);
}

void
asgi_peers_dispose(asgi_peers_t *peers)
{
    free(peers->buckets);
    peers->buckets = NULL;
}
