/* SPDX-License-Identifier: MIT
 *
 * send.h: the app's send().
 */
#ifndef ASGI_SEND_H
#define ASGI_SEND_H

#include "asgi/cycle.h"

/* Returns: new builtin bound to the cycle. */
PyObject *asgi_send_bind(CycleObject *cycle);

/* Whether a sender has to wait for the client. */
bool asgi_send_must_wait(CycleObject *cycle);

#endif
