/* SPDX-License-Identifier: MIT
 *
 * signal.h: lets signals wake a blocked poll, so that Python's handlers run at once.
 *
 * CPython's C handler writes each signal's number to the descriptor given to
 * signal.set_wakeup_fd(): ours is a pipe that a uv_poll_t watches. Reading it takes the GIL, runs
 * Python's handlers (PyErr_CheckSignals: what they raise, as Ctrl-C does, leaves run_forever) and
 * hands the numbers to loop._handle_signal() for add_signal_handler()'s callbacks.
 *
 * The descriptor is in place while the loop runs on the main thread, and while it has signal
 * handlers. One that was there before is put back afterwards, and gets the bytes meanwhile.
 */
#ifndef ASGI_SIGNAL_H
#define ASGI_SIGNAL_H

#include "loop/loop.h"

typedef struct {
    int read_fd, write_fd; /* owned; -1 before the first use */
    int previous_fd;       /* borrowed: the one to put back, -1: none */
    int users;             /* attach calls not yet detached */
    uv_poll_t poll;        /* open while read_fd >= 0 */
} asgi_signals_t;

/* Returns 0, or -1 with ValueError outside of the main thread, or OSError. */
int asgi_signals_attach(LoopObject *loop);
void asgi_signals_detach(LoopObject *loop);
void asgi_signals_close(LoopObject *loop);

#endif
