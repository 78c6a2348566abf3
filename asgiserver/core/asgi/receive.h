/* SPDX-License-Identifier: MIT
 *
 * receive.h: the app's receive().
 */
#ifndef ASGI_RECEIVE_H
#define ASGI_RECEIVE_H

#include "asgi/cycle.h"

/* Returns: new builtin bound to the cycle. */
PyObject *asgi_receive_bind(CycleObject *cycle);

/* The next message. Returns: new dict; NULL without an exception when there is none yet. */
PyObject *asgi_receive_take(CycleObject *cycle);

#endif
