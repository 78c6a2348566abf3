/* SPDX-License-Identifier: MIT
 *
 * signal.c: see signal.h.
 */
#define _GNU_SOURCE
#include "loop/loop_object.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void
on_signals(uv_poll_t *poll, int Py_UNUSED(status), int Py_UNUSED(events))
{
    LoopObject *loop = poll->data;
    struct asgi_state *state = loop->head.state;
    unsigned char numbers[512];
    ssize_t n = read(loop->signals.read_fd, numbers, sizeof(numbers));

    if (n <= 0) {
        return;
    }
    if (loop->signals.previous_fd >= 0) {
        /* Full or closed: its owner's affair, and no different from without us. */
        ssize_t written = write(loop->signals.previous_fd, numbers, (size_t)n);
        (void)written;
    }
    asgi_loop_acquire(loop);
    if (PyErr_CheckSignals() < 0) {
        /* As out of asyncio's select(): KeyboardInterrupt, or whatever the handler raises (a test
         * runner's timeout, say), leaves run_forever. */
        asgi_loop_set_fatal(loop, asgi_exception_take());
    }
    for (ssize_t i = 0; i < n; i++) {
        PyObject *number = PyLong_FromLong(numbers[i]);
        PyObject *done = NULL;
        if (number != NULL) {
            done = PyObject_CallMethodOneArg((PyObject *)loop, state->str_handle_signal, number);
            Py_DECREF(number);
        }
        if (done == NULL) {
            asgi_loop_report(loop, "Exception while handing on a signal");
        }
        Py_XDECREF(done);
    }
}

static int
open_pipe(LoopObject *loop)
{
    asgi_signals_t *signals = &loop->signals;
    int fds[2];
    int err;

    if (signals->read_fd >= 0) {
        return 0;
    }
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    err = uv_poll_init(loop->head.uv, &signals->poll, fds[0]);
    if (err == 0) {
        asgi_loop_own(loop, (uv_handle_t *)&signals->poll);
        err = uv_poll_start(&signals->poll, UV_READABLE, on_signals);
        if (err < 0) {
            uv_close((uv_handle_t *)&signals->poll, asgi_loop_on_handle_closed);
        }
    }
    if (err < 0) {
        close(fds[0]);
        close(fds[1]);
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    signals->read_fd = fds[0];
    signals->write_fd = fds[1];
    return 0;
}

/* signal.set_wakeup_fd(fd). Returns the one before, -1: none; or -2 with an exception. */
static int
set_wakeup_fd(struct asgi_state *state, int fd)
{
    PyObject *before = PyObject_CallFunction(state->set_wakeup_fd, "i", fd);
    long value;

    if (before == NULL) {
        return -2;
    }
    value = PyLong_AsLong(before);
    Py_DECREF(before);
    return value == -1 && PyErr_Occurred() ? -2 : (int)value;
}

int
asgi_signals_attach(LoopObject *loop)
{
    int before;

    if (loop->signals.users > 0) {
        loop->signals.users++;
        return 0;
    }
    if (open_pipe(loop) < 0) {
        return -1;
    }
    before = set_wakeup_fd(loop->head.state, loop->signals.write_fd);
    if (before == -2) {
        return -1;
    }
    loop->signals.previous_fd = before;
    loop->signals.users = 1;
    return 0;
}

void
asgi_signals_detach(LoopObject *loop)
{
    asgi_signals_t *signals = &loop->signals;
    struct asgi_state *state = loop->head.state;
    int current;

    if (signals->users == 0 || --signals->users > 0) {
        return;
    }
    current = set_wakeup_fd(state, signals->previous_fd);
    signals->previous_fd = -1;
    if (current >= 0 && current != signals->write_fd) {
        /* Somebody else's by now: it stays theirs. */
        current = set_wakeup_fd(state, current);
    }
    if (current == -2) {
        /* The descriptor to put back was closed meanwhile, or this is not the main thread. */
        PyErr_Clear();
        if (set_wakeup_fd(state, -1) == -2) {
            PyErr_Clear();
        }
    }
}

void
asgi_signals_close(LoopObject *loop)
{
    asgi_signals_t *signals = &loop->signals;

    while (signals->users > 0) {
        asgi_signals_detach(loop);
    }
    if (signals->read_fd >= 0) {
        uv_close((uv_handle_t *)&signals->poll, asgi_loop_on_handle_closed);
        close(signals->read_fd);
        close(signals->write_fd);
        signals->read_fd = signals->write_fd = -1;
    }
}
