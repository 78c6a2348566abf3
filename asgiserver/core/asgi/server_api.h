/* SPDX-License-Identifier: MIT
 *
 * server_api.h: _core.Server as Python sees it.
 */
#ifndef ASGI_SERVER_API_H
#define ASGI_SERVER_API_H

#include "asgi/server.h"

/* Returns: new ServerType. */
PyTypeObject *asgi_server_type(PyObject *module);

/* Closes listeners and connections; cancel: and cancels the running tasks. May run Python. */
void asgi_server_abort(asgi_server_t *server, bool cancel);

#endif
