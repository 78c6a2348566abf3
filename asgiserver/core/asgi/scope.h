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

/* Builds cycle->scope from a request that came on conn, its offsets counted from head. Returns 0, or
 * -1 with an exception. */
int asgi_scope_build(asgi_conn_t *conn, const asgi_request_t *request, const char *head,
                     CycleObject *cycle);

/* Returns: borrowed str of a method by llhttp's number, or NULL with an exception. */
PyObject *asgi_scope_method(asgi_server_t *server, unsigned method);

/* Returns: new list of (name, value) bytes tuples of the head. */
PyObject *asgi_scope_headers(asgi_server_t *server, const asgi_request_t *request,
                             const char *head);

/* The same of the trailer section just parsed, without what only a head may say. */
PyObject *asgi_scope_trailers(asgi_server_t *server, const asgi_request_t *request,
                              const char *section);

#endif
