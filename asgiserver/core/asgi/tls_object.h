/* SPDX-License-Identifier: MIT
 *
 * tls_object.h: _core.TLSContext: the TLS settings of a server, and the context made from them.
 */
#ifndef ASGI_TLS_OBJECT_H
#define ASGI_TLS_OBJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "net/tls_context.h"

#include <stdbool.h>

/* Returns: new TLSContext type. */
PyTypeObject *asgi_tls_object_type(PyObject *module);

/* The context for new connections. Returns: borrowed until the next reload(). */
asgi_tls_context_t *asgi_tls_object_context(PyObject *tls);

/* Whether failed handshakes are worth a line of the log. GIL not needed. */
bool asgi_tls_object_verbose(PyObject *tls);

#endif
