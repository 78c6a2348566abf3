/* SPDX-License-Identifier: MIT
 *
 * pulse.c: where the loop's sign of life goes; see pulse.h.
 */
#include "loop/loop_object.h"

PyObject *
asgi_pulse_set(PyObject *op, PyObject *buffer)
{
    LoopObject *loop = (LoopObject *)op;
    Py_buffer view;

    if (asgi_loop_check_open(loop) < 0) {
        return NULL;
    }
    if (buffer == Py_None) {
        asgi_pulse_drop(loop);
        Py_RETURN_NONE;
    }
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    if ((size_t)view.len < sizeof(asgi_pulse_t)
        || (uintptr_t)view.buf % __alignof__(asgi_pulse_t) != 0) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "a pulse needs 16 aligned bytes");
        return NULL;
    }
    asgi_pulse_drop(loop);
    loop->pulse_view = view;
    loop->pulse = view.buf;
    asgi_pulse_beat(loop->pulse, loop->thread_id != 0 ? ASGI_PULSE_RUNNING : ASGI_PULSE_POLLING);
    Py_RETURN_NONE;
}

void
asgi_pulse_drop(LoopObject *loop)
{
    loop->pulse = &loop->own_pulse;
    if (loop->pulse_view.obj != NULL) {
        PyBuffer_Release(&loop->pulse_view);
    }
}
