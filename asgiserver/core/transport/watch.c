/* SPDX-License-Identifier: MIT
 *
 * watch.c: see watch.h.
 */
#include "transport/watch.h"

#include "loop/loop_object.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void on_poll(uv_poll_t *poll, int status, int events);

static void
arm(asgi_watch_t *watch, int events)
{
    if (events == watch->armed) {
        return;
    }
    watch->armed = events;
    if (events == 0) {
        uv_poll_stop(&watch->poll);
    } else {
        uv_poll_start(&watch->poll, events, on_poll);
    }
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    asgi_watch_t *watch = poll->data;
    PyObject *owner;
    int wanted;

    asgi_loop_acquire(watch->loop);
    if (status < 0) {
        /* libuv has stopped it: the owner finds the error when it reads or writes. */
        watch->armed = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    wanted = events & watch->want;
    if (wanted != 0) {
        owner = Py_NewRef(watch->owner);
        watch->ready(owner, wanted);
        if (watch->owner != NULL) {
            /* What became ready and is not wanted any more would be reported without end. */
            arm(watch, (watch->armed & ~events) | watch->want);
        }
        Py_DECREF(owner);
    } else {
        arm(watch, (watch->armed & ~events) | watch->want);
    }
}

static void
on_closed(uv_handle_t *handle)
{
    asgi_watch_t *watch = handle->data;
    LoopObject *loop = watch->loop;

    loop->uv_open--;
    ASGI_COUNT(loop->head.state, uv_handles)--;
    free(watch);
}

int
asgi_watch_open(LoopObject *loop, int fd, PyObject *owner,
                void (*ready)(PyObject *owner, int events), asgi_watch_t **slot)
{
    asgi_watch_t *watch = calloc(1, sizeof(*watch));
    int err;

    if (watch == NULL) {
        PyErr_NoMemory();
        close(fd);
        return -1;
    }
    err = uv_poll_init(loop->head.uv, &watch->poll, fd);
    if (err < 0) {
        free(watch);
        close(fd);
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    asgi_loop_own(loop, (uv_handle_t *)&watch->poll);
    watch->poll.data = watch;
    watch->loop = loop;
    watch->owner = owner;
    watch->ready = ready;
    watch->slot = slot;
    watch->fd = fd;
    asgi_link_init(&watch->wanting);
    asgi_list_push(&loop->watches.open, &watch->open);
    *slot = watch;
    return 0;
}

void
asgi_watch_want(asgi_watch_t *watch, int events)
{
    int before = watch->want;

    if (events == before) {
        return;
    }
    watch->want = events;
    if ((events & ~watch->armed) != 0) {
        arm(watch, watch->armed | events);
    }
    if (before == 0) {
        Py_INCREF(watch->owner);
        asgi_list_push(&watch->loop->watches.wanting, &watch->wanting);
    } else if (events == 0) {
        asgi_link_remove(&watch->wanting);
        Py_DECREF(watch->owner);
    }
}

/* Takes it from its owner. Returns: the reference it had, or NULL. */
static PyObject *
detach(asgi_watch_t *watch)
{
    PyObject *owner = watch->want != 0 ? watch->owner : NULL;

    asgi_link_remove(&watch->wanting);
    asgi_link_remove(&watch->open);
    *watch->slot = NULL;
    watch->owner = NULL;
    watch->want = 0;
    return owner;
}

void
asgi_watch_close(asgi_watch_t *watch)
{
    PyObject *owner = detach(watch);

    /* libuv lets go of the descriptor here and only reports it later. */
    uv_close((uv_handle_t *)&watch->poll, on_closed);
    close(watch->fd);
    Py_XDECREF(owner);
}

void
asgi_watches_init(asgi_watches_t *watches)
{
    asgi_link_init(&watches->wanting);
    asgi_link_init(&watches->open);
}

void
asgi_watches_close(LoopObject *loop)
{
    asgi_link_t *link;

    while ((link = asgi_list_first(&loop->watches.open)) != NULL) {
        asgi_watch_close(ASGI_CONTAINER(link, asgi_watch_t, open));
    }
}

void
asgi_watches_abandon(LoopObject *loop)
{
    asgi_link_t *link;

    while ((link = asgi_list_first(&loop->watches.open)) != NULL) {
        asgi_watch_t *watch = ASGI_CONTAINER(link, asgi_watch_t, open);
        PyObject *owner = detach(watch);
        close(watch->fd);
        free(watch);
        Py_XDECREF(owner);
    }
}

int
asgi_watches_traverse(asgi_watches_t *watches, visitproc visit, void *arg)
{
    for (asgi_link_t *link = watches->wanting.next; link != &watches->wanting; link = link->next) {
        Py_VISIT(ASGI_CONTAINER(link, asgi_watch_t, wanting)->owner);
    }
    return 0;
}
