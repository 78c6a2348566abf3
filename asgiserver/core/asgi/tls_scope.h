/* SPDX-License-Identifier: MIT
 *
 * tls_scope.h: the ASGI extension "tls" in the scopes of a TLS connection.
 */
#ifndef ASGI_TLS_SCOPE_H
#define ASGI_TLS_SCOPE_H

#include "net/conn.h"

/* Adds scope["extensions"]["tls"]; other extensions in the scope stay. The connection's stream has
 * TLS. Returns 0, or -1 with an exception. */
int asgi_tls_scope(asgi_conn_t *conn, PyObject *scope);

#endif
