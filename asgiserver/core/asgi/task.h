/* SPDX-License-Identifier: MIT
 *
 * task.h: running the app of an exchange in an asyncio.Task.
 */
#ifndef ASGI_TASK_H
#define ASGI_TASK_H

#include "asgi/cycle.h"

/* Makes the Task, in a copy of the server's context; its first step runs in this turn of the
 * loop. Returns 0, or -1 with an exception. */
int asgi_task_start(CycleObject *cycle);

/* Slots and methods of CycleType that make it a coroutine. */
PySendResult asgi_task_send(CycleObject *cycle, PyObject *arg, PyObject **result);
PyObject *asgi_task_send_method(PyObject *cycle, PyObject *arg);
PyObject *asgi_task_throw(PyObject *cycle, PyObject *const *args, Py_ssize_t count);
PyObject *asgi_task_close(PyObject *cycle, PyObject *unused);

/* No longer running: off the server's list. Idempotent. May free the cycle. */
void asgi_task_forget(CycleObject *cycle);

#endif
