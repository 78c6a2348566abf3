/* SPDX-License-Identifier: MIT
 *
 * proxied.c: who has to introduce its clients, and what becomes of the introduction; see proxied.h.
 */
#include "net/proxied.h"

#include "asgi/server.h"

#include <arpa/inet.h>

bool
asgi_proxied_due(asgi_conn_t *conn)
{
    const asgi_server_t *server = conn->server;
    struct sockaddr_storage address;
    char host[INET6_ADDRSTRLEN];
    int size = sizeof address;

    if (!server->proxy_protocol)
        return false;
    if (server->trust.everybody || conn->pipe)
        return server->trust.everybody || server->trust.unix_peers;
    /* A peer that is gone already will not be missed. */
    if (uv_tcp_getpeername(&conn->stream.uv.tcp, (struct sockaddr *)&address, &size) < 0
        || uv_ip_name((struct sockaddr *)&address, host, sizeof host) < 0)
        return true;
    return asgi_trust_has(&server->trust, (asgi_slice_t){host, strlen(host)});
}

ssize_t
asgi_proxied_read(asgi_conn_t *conn, const char *data, size_t size)
{
    asgi_proxy_header_t header;
    ssize_t used = asgi_proxy_header_read(data, size, &header);

    if (used <= 0 || header.family == ASGI_PROXY_NONE)
        return used;
    conn->proxied = malloc(sizeof *conn->proxied);
    if (conn->proxied == NULL)
        return ASGI_ERR_NOMEM;
    *conn->proxied = header;
    return used;
}

int
asgi_proxied_address(const asgi_proxy_header_t *header, bool client,
                     struct sockaddr_storage *address)
{
    const uint8_t *bytes = client ? header->ip.source : header->ip.destination;
    uint16_t port = htons(client ? header->ip.source_port : header->ip.destination_port);

    memset(address, 0, sizeof *address);
    if (header->family == ASGI_PROXY_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)address;
        in->sin_family = AF_INET;
        in->sin_port = port;
        memcpy(&in->sin_addr, bytes, sizeof in->sin_addr);
    } else if (header->family == ASGI_PROXY_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        memcpy(&in6->sin6_addr, bytes, sizeof in6->sin6_addr);
    } else {
        return -1;
    }
    return 0;
}
