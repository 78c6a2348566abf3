/* SPDX-License-Identifier: MIT
 *
 * scope.h: the ASGI scope of an HTTP request or a WebSocket.
 */
#ifndef ASGI_SCOPE_H
#define ASGI_SCOPE_H

#include "asgi/cycle.h"
#include "asgi/server.h"

/* The dict every http (or websocket) scope of a server starts from. Returns: new, or NULL with an
 * exception. */
PyObject *asgi_scope_template(asgi_server_t *server, PyObject *scheme, bool websocket);

/* Builds cycle->scope from the head conn->http1 has just parsed at `head`. Returns 0, or -1 with
 * an exception. */
int asgi_scope_build(asgi_conn_t *conn, const char *head, CycleObject *cycle);

/* Returns: borrowed str of a method by llhttp's number, or NULL with an exception. */
PyObject *asgi_scope_method(asgi_server_t *server, unsigned method);

/* Returns: new list of (name, value) bytes tuples of the head. */
PyObject *asgi_scope_headers(asgi_server_t *server, const asgi_http1_t *http1, const char *head);

/* The same of the trailer section just parsed, without what only a head may say. */
PyObject *asgi_scope_trailers(asgi_server_t *server, const asgi_http1_t *http1,
                              const char *section);

#endif
