/* SPDX-License-Identifier: MIT
 *
 * proxy.h: who the client is and what it speaks, where a trusted proxy says so.
 *
 *   X-Forwarded-For, -Proto   uvicorn's reading: the rightmost address that is not itself trusted,
 *                             the last scheme
 *   Forwarded (RFC 7239)      instead, where the server is told so: the same with `for` and with
 *                             the `proto` of the element it was found in
 *
 * Whether the peer is trusted is decided once per connection, and only when a request has one of
 * these fields.
 */
#ifndef ASGI_PROXY_H
#define ASGI_PROXY_H

#include "asgi/cycle.h"
#include "asgi/server.h"

/* Changes scope["client"] and scope["scheme"] as the head of a request on conn says, if its peer may
 * say so. Returns 0, or -1 with an exception. */
int asgi_proxy_apply(asgi_conn_t *conn, const asgi_request_t *request, const char *head,
                     CycleObject *cycle);

#endif
