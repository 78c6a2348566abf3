/* SPDX-License-Identifier: MIT
 *
 * shut.c: opens and closes what a LoopObject has with libuv.
 *
 * Closing: jsrt's engines, every other owner's at-close hook, our own handles, then uv_run until
 * all close callbacks are through and uv_loop_close. Where another owner's handles live on (a Node
 * environment that another thread made) the uv_loop_t is left allocated with a ResourceWarning:
 * freeing it would crash whoever closes those later.
 */
#include "loop/loop_object.h"

#include "loop/handle.h"

#include <errno.h>
#include <unistd.h>

#define CLOSE_ROUNDS 64 /* uv_run calls that close() gives other owners to finish in */

void
asgi_loop_own(LoopObject *loop, uv_handle_t *handle)
{
    handle->data = loop;
    loop->uv_open++;
    ASGI_COUNT(loop->head.state, uv_handles)++;
}

void
asgi_loop_on_handle_closed(uv_handle_t *handle)
{
    LoopObject *loop = handle->data;

    loop->uv_open--;
    ASGI_COUNT(loop->head.state, uv_handles)--;
}

int
asgi_loop_open(LoopObject *loop)
{
    uv_loop_t *uv = malloc(sizeof(*uv));
    int err;

    if (uv == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    err = uv_loop_init(uv);
    if (err < 0) {
        free(uv);
        goto fail;
    }
    uv->data = NULL;
    loop->head.uv = uv;
    ASGI_COUNT(loop->head.state, loops)++;
    err = asgi_wake_open(loop);
    if (err < 0) {
        goto fail;
    }
    uv_timer_init(uv, &loop->alarm);
    asgi_loop_own(loop, (uv_handle_t *)&loop->alarm);
    return 0;

fail:
    /* What is open by now the deallocator closes. */
    errno = -err;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

void
asgi_loop_drop_ready(LoopObject *loop)
{
    while (asgi_ready_length(&loop->ready) > 0) {
        uintptr_t entry = asgi_ready_pop(&loop->ready);
        ASGI_COUNT(loop->head.state, ready)--;
        if (entry & 1) {
            ((asgi_soon_t *)(entry - 1))->queued = 0;
        } else {
            Py_XDECREF((PyObject *)entry);
        }
    }
    free(loop->ready.slots);
    memset(&loop->ready, 0, sizeof(loop->ready));
    while (loop->polled_first != NULL) {
        asgi_soon_t *soon = loop->polled_first;
        loop->polled_first = soon->next;
        soon->next = NULL;
        soon->queued = 0;
    }
    loop->polled_last = NULL;
}

static void
unlink_hooks(LoopObject *loop, asgi_hook_t *list)
{
    while (list->next != list) {
        asgi_loop_hook_cancel(loop, list->next);
    }
}

static void
run_closers(LoopObject *loop)
{
    while (loop->closers.next != &loop->closers) {
        asgi_hook_t *hook = loop->closers.next;
        asgi_loop_hook_cancel(loop, hook);
        hook->run(hook);
    }
}

static void
close_if_open(uv_handle_t *handle, LoopObject *loop)
{
    if (handle->data == loop && !uv_is_closing(handle)) {
        uv_close(handle, asgi_loop_on_handle_closed);
    }
}

/* Not called by the loop's own process: the child of a fork shares the kernel's side of it with
 * its parent, and closing would undo the parent's registrations. */
static void
abandon(LoopObject *loop)
{
    struct asgi_state *state = loop->head.state;

    ASGI_COUNT(state, uv_handles) -= loop->uv_open;
    ASGI_COUNT(state, loops)--;
    loop->uv_open = 0;
    loop->head.uv = NULL;
}

void
asgi_loop_free_engines(LoopObject *loop)
{
    PyObject *name = PyUnicode_FromString("jsrt._jsrt");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    PyObject *done;

    Py_XDECREF(name);
    if (module == NULL) {
        PyErr_Clear(); /* sys.modules is gone: the interpreter ends */
        return;
    }
    done = PyObject_CallMethod(module, "_loop_closing", "O", loop);
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)loop);
    }
    Py_XDECREF(done);
    Py_DECREF(module);
}

void
asgi_loop_shut(LoopObject *loop)
{
    struct asgi_state *state = loop->head.state;
    uv_loop_t *uv = loop->head.uv;
    int err;

    loop->closed = 1;
    asgi_pulse_drop(loop);
    Py_CLEAR(loop->self_kwargs);
    if (uv == NULL) {
        return;
    }
    if (loop->pid != getpid()) {
        asgi_watches_abandon(loop);
        abandon(loop);
        asgi_readers_drop(loop);
        asgi_loop_drop_ready(loop);
        asgi_timers_drop(loop);
        return;
    }
    run_closers(loop);
    asgi_signals_close(loop);
    asgi_readers_close(loop);
    asgi_watches_close(loop);
    asgi_loop_drop_ready(loop);
    asgi_timers_drop(loop);
    unlink_hooks(loop, &loop->hooks);
    close_if_open((uv_handle_t *)&loop->wake, loop);
    close_if_open((uv_handle_t *)&loop->spin, loop);
    close_if_open((uv_handle_t *)&loop->alarm, loop);
    err = UV_EBUSY;
    for (int i = 0; i < CLOSE_ROUNDS && (loop->uv_open > 0 || err == UV_EBUSY); i++) {
        uv_run(uv, UV_RUN_NOWAIT);
        err = loop->uv_open > 0 ? UV_EBUSY : uv_loop_close(uv);
        if (err == UV_EBUSY && loop->uv_open == 0 && i > 2 && uv_loop_alive(uv)) {
            /* Open, referenced and not closing: more rounds do not help. */
            break;
        }
    }
    unlink_hooks(loop, &loop->hooks);
    loop->head.uv = NULL;
    ASGI_COUNT(state, loops)--;
    if (err == 0) {
        free(uv);
        return;
    }
    ASGI_COUNT(state, uv_leaked)++;
    if (PyErr_ResourceWarning((PyObject *)loop, 1,
                              "event loop closed while other owners' libuv handles are open on "
                              "it: its uv_loop_t stays allocated")
        < 0) {
        PyErr_WriteUnraisable((PyObject *)loop);
    }
}
