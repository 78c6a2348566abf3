/* SPDX-License-Identifier: MIT
 *
 * registry.h: asyncio's list of tasks, kept by C.
 *
 * Every asyncio.Task is put into a weakref.WeakSet when it is made, and taken out when it is freed,
 * by two Python functions that take a tenth of what a small request takes. CPython 3.14 keeps the
 * list in C; until then asgi_registry_take_over puts C functions in their place: in asyncio's set only,
 * which stays what it is to all who look into it.
 */
#ifndef ASGI_LOOP_REGISTRY_H
#define ASGI_LOOP_REGISTRY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* For the rest of the process, whose tasks these are. Returns 1; 0 where it has been done, or where
 * asyncio's set is not as this knows it and is left alone; -1 with an exception. */
int asgi_registry_take_over(void);

#endif
