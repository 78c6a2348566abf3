/* SPDX-License-Identifier: MIT
 *
 * proxied.h: connections that a trusted proxy introduces by a PROXY protocol header.
 *
 * With --proxy-protocol a connection from an address in forwarded_allow_ips begins with a header:
 * one that does not is closed. The addresses in it take the place of the connection's own from then
 * on, for the scope, for the bound on connections of one client, and for the question whether
 * X-Forwarded-For is to be believed. conn.c calls this before it looks at anything else.
 */
#ifndef ASGI_PROXIED_H
#define ASGI_PROXIED_H

#include "net/conn.h"

/* Whether the connection has to begin with a header: whether its peer is a trusted proxy. */
bool asgi_proxied_due(asgi_conn_t *conn);

/* Looks for the header at the beginning of data, and notes its addresses in conn->proxied. Returns
 * the header's length, 0 where there has to come more, or ASGI_ERR_PROXY or ASGI_ERR_NOMEM. */
ASGI_MUST_CHECK ssize_t asgi_proxied_read(asgi_conn_t *conn, const char *data, size_t size);

/* The client's address, or the one that it connected to. Returns 0, or -1 where it is none of
 * IPv4 or IPv6. */
int asgi_proxied_address(const asgi_proxy_header_t *header, bool client,
                         struct sockaddr_storage *address);

#endif
