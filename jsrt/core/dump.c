/* SPDX-License-Identifier: MIT
 *
 * dump.c: see dump.h. faulthandler does the same for Python's stacks; registered for the same signal
 * after this, with chain=True, it calls this handler when it is done.
 */
#include "dump.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TEXT_SIZE = 8192 };

static _Atomic int wanted;
static _Atomic int target = -1;

static void
on_signal(int number)
{
    atomic_store(&wanted, 1);
}

PyObject *
jsrt_dump_register(PyObject *module, PyObject *args)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int number, fd;

    if (!PyArg_ParseTuple(args, "ii:dump_stacks_on", &number, &fd)) {
        return NULL;
    }
    sigemptyset(&action.sa_mask);
    atomic_store(&target, fd);
    if (sigaction(number, &action, NULL) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

int
jsrt_dump_wanted(void)
{
    return atomic_load_explicit(&wanted, memory_order_relaxed) && atomic_exchange(&wanted, 0);
}

/* On the thread that runs JavaScript, the GIL held or not. */
static void
on_interrupt(jsv8_isolate_t *isolate, void *unused)
{
    char text[TEXT_SIZE];
    size_t size = jsrt_v8.stack(isolate, text, sizeof(text)), written = 0;

    while (written < size) {
        ssize_t n = write(atomic_load(&target), text + written, size - written);
        if (n < 0 && errno != EINTR) {
            return;
        }
        written += n > 0 ? (size_t)n : 0;
    }
}

void
jsrt_dump_ask(jsv8_isolate_t *isolate)
{
    jsrt_v8.interrupt(isolate, on_interrupt, NULL);
}
