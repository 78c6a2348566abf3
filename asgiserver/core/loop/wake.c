/* SPDX-License-Identifier: MIT
 *
 * wake.c: ends a poll that would block: a uv_async from other threads, an idle handle on the
 * loop's own, where no system call is needed.
 *
 * The async handle is referenced and never stopped: uv_run has always one active handle. The
 * idle handle does nothing; while it is started libuv polls with a timeout of zero.
 */
#include "loop/loop_object.h"

static void
on_wake(uv_async_t *wake)
{
    /* Whoever woke us has queued something that needs the GIL: the turn goes on with it. */
    asgi_loop_acquire(wake->data);
}

static void
on_spin(uv_idle_t *Py_UNUSED(spin))
{
}

int
asgi_wake_open(LoopObject *loop)
{
    int err = uv_async_init(loop->head.uv, &loop->wake, on_wake);

    if (err < 0) {
        return err;
    }
    asgi_loop_own(loop, (uv_handle_t *)&loop->wake);
    err = uv_idle_init(loop->head.uv, &loop->spin);
    if (err < 0) {
        return err;
    }
    asgi_loop_own(loop, (uv_handle_t *)&loop->spin);
    return 0;
}

void
asgi_loop_spin(LoopObject *loop)
{
    if (loop->polling && !loop->spinning) {
        loop->spinning = 1;
        uv_idle_start(&loop->spin, on_spin);
    }
}

void
asgi_loop_spin_stop(LoopObject *loop)
{
    if (loop->spinning) {
        loop->spinning = 0;
        uv_idle_stop(&loop->spin);
    }
}

void
asgi_loop_awaken(LoopObject *loop)
{
    if (loop->closed) {
        return;
    }
    if (loop->thread_id == 0 || asgi_loop_on_thread(loop)) {
        asgi_loop_spin(loop);
    } else if (loop->polling) {
        uv_async_send(&loop->wake);
    }
}
