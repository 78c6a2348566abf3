/* SPDX-License-Identifier: MIT
 *
 * send_ext.h: the messages of ASGI's extensions that an app may send, and what is
 * said of them in scope["extensions"].
 */
#ifndef ASGI_SEND_EXT_H
#define ASGI_SEND_EXT_H

#include "asgi/cycle.h"
#include "asgi/server.h"

/* Fills server->extensions and server->extensions_v10. Returns 0, or -1 with an exception. */
int asgi_extensions_make(asgi_server_t *server);

/* A message that is not the one of the core protocol whose turn it is. Returns: new awaitable, or
 * NULL with an exception, which names the message expected where this one is out of place. */
PyObject *asgi_send_extension(CycleObject *cycle, PyObject *type, PyObject *message);

/* Reads the trailers flag of a http.response.start, which has headers or has none. Returns 0, or -1
 * with an exception. */
int asgi_send_wants_trailers(CycleObject *cycle, PyObject *message, bool has_headers);

/* Output has gone out while cycle->file is set: its next step, or its end. GIL held. */
void asgi_send_file_go_on(CycleObject *cycle);

#endif
