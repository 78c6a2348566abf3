/* SPDX-License-Identifier: MIT
 *
 * loop.c: the turn: what runs when, and when the GIL is down. Also the C side of loop.h.
 *
 * A turn, in asyncio's order: before-poll hooks, poll, due timers into the ready queue, then the
 * entries that were ready at that moment (what they add waits for the next turn). Only a poll
 * that may block puts the GIL down, and goes on polling without it as long as the callbacks of
 * the turn needed no Python. While callbacks stay ready, polls that could not block anyway are
 * left out for up to POLL_EVERY: a chain of task steps does not pay a system call for each.
 * pulse.h tells a supervisor which of this is going on.
 */
#include "loop/loop_object.h"

#include "loop/handle.h"

#define POLL_EVERY 50000ull /* nanoseconds */

/* ---- exceptions ---- */

PyObject *
asgi_exception_take(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void
asgi_exception_raise(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                  PyException_GetTraceback(exception));
#endif
}

int
asgi_exception_is_fatal(PyObject *exception)
{
    return PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt)
           || PyErr_GivenExceptionMatches(exception, PyExc_SystemExit);
}

void
asgi_loop_set_fatal(LoopObject *loop, PyObject *exception)
{
    if (loop->fatal == NULL) {
        loop->fatal = exception;
    } else {
        Py_DECREF(exception);
    }
    if (loop->polling) {
        asgi_loop_awaken(loop);
    }
}

void
asgi_loop_call_handler(LoopObject *loop, PyObject *context)
{
    PyObject *result = NULL;
    struct asgi_state *state = loop->head.state;

    if (context != NULL) {
        result =
            PyObject_CallMethodOneArg((PyObject *)loop, state->str_call_exception_handler, context);
        Py_DECREF(context);
    }
    if (result == NULL) {
        PyObject *exception = asgi_exception_take();
        if (asgi_exception_is_fatal(exception)) {
            asgi_loop_set_fatal(loop, exception);
            return;
        }
        asgi_exception_raise(exception);
        PyErr_WriteUnraisable((PyObject *)loop);
        return;
    }
    Py_DECREF(result);
}

void
asgi_loop_report(LoopObject *loop, const char *message)
{
    PyObject *exception = asgi_exception_take();

    if (asgi_exception_is_fatal(exception)) {
        asgi_loop_set_fatal(loop, exception);
        return;
    }
    asgi_loop_call_handler(loop,
                           Py_BuildValue("{s:s,s:N}", "message", message, "exception", exception));
}

int
asgi_loop_raise_closed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
    return -1;
}

int
asgi_loop_buffers(LoopObject *loop)
{
    /* On pages of their own: the kernel copies to other places several times slower. */
    if (loop->read_buffer == NULL) {
        loop->read_buffer = aligned_alloc(4096, ASGI_READ_BUFFER);
    }
    if (loop->plain_buffer == NULL) {
        loop->plain_buffer = aligned_alloc(4096, ASGI_READ_BUFFER);
    }
    if (loop->read_buffer == NULL || loop->plain_buffer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

PyObject *
asgi_loop_log(struct asgi_state *state, const char *level, const char *format, ...)
{
    PyObject *logger = PyObject_GetAttrString(state->base_events, "logger");
    PyObject *method = logger != NULL ? PyObject_GetAttrString(logger, level) : NULL;
    PyObject *args, *result = NULL;
    va_list values;

    Py_XDECREF(logger);
    if (method == NULL) {
        return NULL;
    }
    va_start(values, format);
    args = Py_VaBuildValue(format, values);
    va_end(values);
    if (args != NULL) {
        result = PyObject_CallObject(method, args);
        Py_DECREF(args);
    }
    Py_DECREF(method);
    return result;
}

LoopObject *
asgi_loop_from(struct asgi_state *state, PyObject *object)
{
    if (!PyObject_TypeCheck(object, (PyTypeObject *)state->LoopType)) {
        PyErr_Format(PyExc_TypeError, "expected an asgiserver event loop, got %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    return (LoopObject *)object;
}

void
asgi_loop_restore(LoopObject *loop)
{
    PyThreadState *released = loop->head.released;

#if PY_VERSION_HEX >= 0x030D0000
    if (PyThreadState_GetUnchecked() == released) {
        return;
    }
#else
    if (_PyThreadState_UncheckedGet() == released) {
        return;
    }
#endif
    loop->head.released = NULL;
    loop->busy_since = uv_hrtime();
    asgi_pulse_beat(loop->pulse, ASGI_PULSE_WAITING);
    PyEval_RestoreThread(released);
    asgi_pulse_beat(loop->pulse, ASGI_PULSE_RUNNING);
}

/* ---- the ready queue ---- */

/* What the loop's thread queued without the GIL comes before what is queued now. */
static int
flush_polled(LoopObject *loop)
{
    while (loop->polled_first != NULL) {
        asgi_soon_t *soon = loop->polled_first;
        if (asgi_ready_push(&loop->ready, (uintptr_t)soon | 1) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        ASGI_COUNT(loop->head.state, ready)++;
        loop->polled_first = soon->next;
        soon->next = NULL;
    }
    loop->polled_last = NULL;
    return 0;
}

int
asgi_loop_push(LoopObject *loop, uintptr_t entry)
{
    if (loop->polling) {
        if (asgi_loop_on_thread(loop) && loop->polled_first != NULL && flush_polled(loop) < 0) {
            goto fail;
        }
        asgi_loop_awaken(loop);
    }
    if (asgi_ready_push(&loop->ready, entry) < 0) {
        PyErr_NoMemory();
        goto fail;
    }
    ASGI_COUNT(loop->head.state, ready)++;
    return 0;

fail:
    if (!(entry & 1)) {
        Py_DECREF((PyObject *)entry);
    }
    return -1;
}

int
asgi_loop_soon(LoopObject *loop, PyObject *callable, PyObject *arg, PyObject *context)
{
    HandleObject *handle;

    if (asgi_loop_check_open(loop) < 0) {
        return -1;
    }
    handle = asgi_handle_new(loop, callable, &arg, arg != NULL, context);
    if (handle == NULL) {
        return -1;
    }
    return asgi_loop_push(loop, (uintptr_t)handle);
}

void
asgi_loop_soon_c(LoopObject *loop, asgi_soon_t *soon)
{
    if (soon->queued || loop->closed) {
        return;
    }
    soon->queued = 1;
    soon->next = NULL;
    if (loop->head.released == NULL) {
        if (asgi_loop_push(loop, (uintptr_t)soon | 1) == 0) {
            return;
        }
        /* No memory for a larger ring: the list needs none. */
        PyErr_Clear();
    }
    if (loop->polled_last != NULL) {
        loop->polled_last->next = soon;
    } else {
        loop->polled_first = soon;
    }
    loop->polled_last = soon;
    asgi_loop_spin(loop);
}

void
asgi_loop_soon_cancel(LoopObject *loop, asgi_soon_t *soon)
{
    asgi_soon_t *before = NULL;
    asgi_ready_t *ready = &loop->ready;

    if (!soon->queued) {
        return;
    }
    soon->queued = 0;
    for (asgi_soon_t *at = loop->polled_first; at != NULL; before = at, at = at->next) {
        if (at == soon) {
            if (before != NULL) {
                before->next = soon->next;
            } else {
                loop->polled_first = soon->next;
            }
            if (loop->polled_last == soon) {
                loop->polled_last = before;
            }
            soon->next = NULL;
            return;
        }
    }
    /* Found in the ring: that part needs the GIL, which a caller without it takes here. */
    asgi_loop_acquire(loop);
    for (size_t i = ready->head; i != ready->tail; i++) {
        if (ready->slots[i & ready->mask] == ((uintptr_t)soon | 1)) {
            ready->slots[i & ready->mask] = 0;
            return;
        }
    }
}

/* ---- hooks ---- */

static void
hook_append(asgi_hook_t *list, asgi_hook_t *hook)
{
    hook->prev = list->prev;
    hook->next = list;
    list->prev->next = hook;
    list->prev = hook;
}

void
asgi_loop_before_poll(LoopObject *loop, asgi_hook_t *hook)
{
    if (hook->next != NULL) {
        return;
    }
    hook_append(&loop->hooks, hook);
    asgi_loop_spin(loop);
}

void
asgi_loop_at_close(LoopObject *loop, asgi_hook_t *hook)
{
    if (hook->next == NULL) {
        hook_append(&loop->closers, hook);
    }
}

void
asgi_loop_hook_cancel(LoopObject *Py_UNUSED(loop), asgi_hook_t *hook)
{
    if (hook->next == NULL) {
        return;
    }
    hook->prev->next = hook->next;
    hook->next->prev = hook->prev;
    hook->prev = hook->next = NULL;
}

/* Only those queued by now: one that queues itself again waits for the next poll. */
static void
run_hooks(LoopObject *loop)
{
    asgi_hook_t batch;

    if (loop->hooks.next == &loop->hooks) {
        return;
    }
    batch = loop->hooks;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    loop->hooks.next = loop->hooks.prev = &loop->hooks;
    while (batch.next != &batch) {
        asgi_hook_t *hook = batch.next;
        asgi_loop_hook_cancel(loop, hook);
        hook->run(hook);
    }
}

/* ---- the turn ---- */

static int
must_not_block(LoopObject *loop)
{
    return asgi_ready_length(&loop->ready) != 0 || loop->polled_first != NULL || loop->stopping
           || loop->fatal != NULL || loop->hooks.next != &loop->hooks;
}

/* The loop is about to look for events, or ends: who came since busy_since has waited until now. */
static void
note_lag(LoopObject *loop, uint64_t now)
{
    if (loop->busy_since == 0) {
        return;
    }
    loop->lag_last = now - loop->busy_since;
    if (loop->lag_last > loop->lag_peak) {
        loop->lag_peak = loop->lag_last;
    }
}

static int
poll_uv(LoopObject *loop, uint64_t now)
{
    note_lag(loop, now);
    /* A poll that blocks sets it again when there is something to do. */
    loop->busy_since = now;
    loop->polls++;
    run_hooks(loop);
    /* Arming lets cancelled timers go, which may run Python: hence first. */
    if (asgi_timers_arm(loop) || must_not_block(loop)) {
        uv_run(loop->head.uv, UV_RUN_NOWAIT);
    } else {
        loop->polling = 1;
        asgi_pulse_beat(loop->pulse, ASGI_PULSE_POLLING);
        loop->head.released = PyEval_SaveThread();
        do {
            uv_run(loop->head.uv, UV_RUN_ONCE);
        } while (loop->head.released != NULL && !loop->spinning);
        asgi_loop_acquire(loop);
        loop->polling = 0;
        asgi_loop_spin_stop(loop);
    }
    loop->polled_at = uv_hrtime();
    return flush_polled(loop);
}

/* Returns 0, or -1 with an exception that ends run_forever. */
static int
run_entry(LoopObject *loop, uintptr_t entry)
{
    HandleObject *handle;
    int result;

    if (entry & 1) {
        asgi_soon_t *soon = (asgi_soon_t *)(entry - 1);
        soon->queued = 0;
        soon->run(soon);
        return 0;
    }
    handle = (HandleObject *)entry;
    if (handle == NULL) {
        return 0;
    }
    handle->queued = 0;
    if (handle->cancelled) {
        result = 0;
    } else if (loop->debug) {
        result = asgi_handle_run_timed(handle);
    } else {
        result = asgi_handle_run(handle);
    }
    Py_DECREF(handle);
    return result;
}

int
asgi_loop_run(LoopObject *loop)
{
    struct asgi_state *state = loop->head.state;

    /* The first turn always polls: run_until_complete() in a row are to see I/O. */
    loop->polled_at = loop->busy_since = 0;
    for (;;) {
        uint64_t now = uv_hrtime();
        size_t todo;

        asgi_pulse_beat(loop->pulse, ASGI_PULSE_RUNNING);
        if (asgi_ready_length(&loop->ready) == 0 || now - loop->polled_at >= POLL_EVERY) {
            if (poll_uv(loop, now) < 0) {
                return -1;
            }
            now = loop->polled_at;
        }
        if (loop->timers.length > 0 && asgi_timers_collect(loop, now) < 0) {
            return -1;
        }
        todo = asgi_ready_length(&loop->ready);
        loop->turns++;
        loop->callbacks += todo;
        while (todo-- > 0 && loop->fatal == NULL) {
            uintptr_t entry = asgi_ready_pop(&loop->ready);
            ASGI_COUNT(state, ready)--;
            if (run_entry(loop, entry) < 0) {
                asgi_loop_set_fatal(loop, asgi_exception_take());
            }
        }
        if (loop->stopping || loop->fatal != NULL) {
            break;
        }
    }
    note_lag(loop, uv_hrtime());
    run_hooks(loop);
    asgi_pulse_beat(loop->pulse, ASGI_PULSE_POLLING);
    if (loop->fatal != NULL) {
        PyObject *fatal = loop->fatal;
        loop->fatal = NULL;
        asgi_exception_raise(fatal);
        return -1;
    }
    return 0;
}
