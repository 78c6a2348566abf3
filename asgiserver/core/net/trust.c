/* SPDX-License-Identifier: MIT
 *
 * trust.c: see trust.h. The list is as long as an operator writes it, so it is walked.
 */
#include "net/trust.h"

#include <arpa/inet.h>

/* An address without a port as 16 bytes. Returns the number of bits it has as written (32 or 128),
 * or 0 where the text is no address. */
static unsigned
parse_address(asgi_slice_t text, uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char name[INET6_ADDRSTRLEN + 1];

    if (text.size == 0 || text.size >= sizeof name)
        return 0;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    if (inet_pton(AF_INET, name, address + 12) == 1) {
        memcpy(address, mapped, sizeof mapped);
        return 32;
    }
    return inet_pton(AF_INET6, name, address) == 1 ? 128 : 0;
}

static bool
in_network(const asgi_network_t *network, const uint8_t address[16])
{
    unsigned bytes = network->bits / 8, rest = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));

    return memcmp(network->address, address, bytes) == 0
           && (rest == 0 || ((network->address[bytes] ^ address[bytes]) & mask) == 0);
}

/* "a.b.c.d/24" or an address alone. Returns whether it is one. */
static bool
parse_network(asgi_slice_t item, asgi_network_t *network)
{
    const char *slash = memchr(item.data, '/', item.size);
    size_t size = slash != NULL ? (size_t)(slash - item.data) : item.size;
    unsigned bits = parse_address((asgi_slice_t){item.data, size}, network->address), prefix = 0;

    if (bits == 0)
        return false;
    if (slash == NULL) {
        network->bits = 128;
        return true;
    }
    if (item.size - size < 2 || item.size - size > 4)
        return false;
    for (size_t i = size + 1; i < item.size; i++) {
        if (item.data[i] < '0' || item.data[i] > '9')
            return false;
        prefix = prefix * 10 + (unsigned)(item.data[i] - '0');
    }
    if (prefix > bits)
        return false;
    network->bits = (uint8_t)(128 - bits + prefix);
    return true;
}

int
asgi_trust_add(asgi_trust_t *trust, asgi_slice_t item)
{
    asgi_network_t network, *networks;

    item = asgi_slice_trim(item);
    if (item.size == 0)
        return 0;
    if (item.size == 1 && item.data[0] == '*') {
        trust->everybody = true;
        return 0;
    }
    if (asgi_slice_is(item, "unix:")) {
        trust->unix_peers = true;
        return 0;
    }
    if (parse_network(item, &network)) {
        networks = realloc(trust->networks, (trust->count + 1) * sizeof *networks);
        if (networks == NULL)
            return ASGI_ERR_NOMEM;
        networks[trust->count++] = network;
        trust->networks = networks;
        return 0;
    }
    return asgi_buf_append(&trust->literals, item.data, item.size) < 0
                   || asgi_buf_append(&trust->literals, "", 1) < 0
               ? ASGI_ERR_NOMEM
               : 0;
}

void
asgi_trust_dispose(asgi_trust_t *trust)
{
    free(trust->networks);
    trust->networks = NULL;
    trust->count = 0;
    asgi_buf_dispose(&trust->literals);
}

bool
asgi_trust_has(const asgi_trust_t *trust, asgi_slice_t host)
{
    uint8_t address[16];

    if (trust->everybody)
        return true;
    if (parse_address(host, address) != 0) {
        for (size_t i = 0; i < trust->count; i++) {
            if (in_network(&trust->networks[i], address))
                return true;
        }
        return false;
    }
    if (host.size > 0) {
        const char *at = trust->literals.data, *end = at + trust->literals.end;
        for (; at < end; at += strlen(at) + 1) {
            if (asgi_slice_equal((asgi_slice_t){at, strlen(at)}, host))
                return true;
        }
    }
    return false;
}
