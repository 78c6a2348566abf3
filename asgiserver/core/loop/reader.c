/* SPDX-License-Identifier: MIT
 *
 * reader.c: see reader.h.
 */
#include "loop/loop_object.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 256

static uint32_t
wanted(const asgi_reader_t *entry)
{
    return (entry->reader != NULL ? (uint32_t)EPOLLIN : 0)
           | (entry->writer != NULL ? (uint32_t)EPOLLOUT : 0);
}

static HandleObject **
place(asgi_reader_t *entry, asgi_direction_t direction)
{
    return direction == ASGI_READER ? &entry->reader : &entry->writer;
}

/* The callback of a descriptor that is ready joins the queue, once in a turn. */
static void
queue_handle(LoopObject *loop, HandleObject *handle)
{
    if (handle == NULL || handle->cancelled || handle->queued) {
        return;
    }
    handle->queued = 1;
    Py_INCREF(handle);
    if (asgi_loop_push(loop, (uintptr_t)handle) < 0) {
        handle->queued = 0;
        asgi_loop_report(loop, "Out of memory while queueing a reader's callback");
    }
}

static void
on_ready(uv_poll_t *poll, int Py_UNUSED(status), int Py_UNUSED(uv_events))
{
    LoopObject *loop = poll->data;
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(loop->readers.epoll, events, EVENTS_MAX, 0);

    if (n <= 0) {
        return;
    }
    asgi_loop_acquire(loop);
    for (int i = 0; i < n; i++) {
        uint32_t mask = events[i].events;
        int fd = events[i].data.fd;
        /* A report that runs Python may have changed the table: look anew for each. An error or
         * a hang-up is for both directions to find out. */
        if (fd < loop->readers.size && (mask & ~(uint32_t)EPOLLOUT) != 0) {
            queue_handle(loop, loop->readers.table[fd].reader);
        }
        if (fd < loop->readers.size && (mask & ~(uint32_t)EPOLLIN) != 0) {
            queue_handle(loop, loop->readers.table[fd].writer);
        }
    }
}

static int
open_epoll(LoopObject *loop)
{
    asgi_readers_t *readers = &loop->readers;
    int err;

    if (readers->epoll >= 0) {
        return 0;
    }
    readers->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (readers->epoll < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    err = uv_poll_init(loop->head.uv, &readers->poll, readers->epoll);
    if (err == 0) {
        asgi_loop_own(loop, (uv_handle_t *)&readers->poll);
        err = uv_poll_start(&readers->poll, UV_READABLE, on_ready);
        if (err < 0) {
            uv_close((uv_handle_t *)&readers->poll, asgi_loop_on_handle_closed);
        }
    }
    if (err < 0) {
        close(readers->epoll);
        readers->epoll = -1;
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static int
reserve(asgi_readers_t *readers, int fd)
{
    asgi_reader_t *table;
    int size = readers->size == 0 ? 64 : readers->size;

    if (fd < readers->size) {
        return 0;
    }
    while (size <= fd) {
        size *= 2;
    }
    table = realloc(readers->table, (size_t)size * sizeof(*table));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(table + readers->size, 0, (size_t)(size - readers->size) * sizeof(*table));
    readers->table = table;
    readers->size = size;
    return 0;
}

/* Tells the kernel; what it knew of a descriptor closed meanwhile and used anew does not matter.
 * Returns 0 or an errno. */
static int
control(int epoll, int fd, uint32_t before, uint32_t after)
{
    struct epoll_event event = {.events = after, .data.fd = fd};
    int op = before == 0 ? EPOLL_CTL_ADD : after == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (epoll_ctl(epoll, op, fd, &event) == 0) {
        return 0;
    }
    if (op == EPOLL_CTL_DEL) {
        return 0;
    }
    if (op == EPOLL_CTL_ADD && errno == EEXIST) {
        op = EPOLL_CTL_MOD;
    } else if (op == EPOLL_CTL_MOD && errno == ENOENT) {
        op = EPOLL_CTL_ADD;
    } else {
        return errno;
    }
    return epoll_ctl(epoll, op, fd, &event) == 0 ? 0 : errno;
}

int
asgi_reader_add(LoopObject *loop, int fd, asgi_direction_t direction, HandleObject *handle)
{
    asgi_readers_t *readers = &loop->readers;
    asgi_reader_t *entry;
    HandleObject *old;
    uint32_t before, after;
    int err;

    if (open_epoll(loop) < 0 || reserve(readers, fd) < 0) {
        return -1;
    }
    entry = &readers->table[fd];
    before = wanted(entry);
    after = before | (direction == ASGI_READER ? (uint32_t)EPOLLIN : (uint32_t)EPOLLOUT);
    /* Also where nothing seems to change: the descriptor may be another one by now. */
    err = control(readers->epoll, fd, before, after);
    if (err != 0) {
        errno = err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    old = *place(entry, direction);
    *place(entry, direction) = (HandleObject *)Py_NewRef((PyObject *)handle);
    if (old == NULL) {
        ASGI_COUNT(loop->head.state, readers)++;
        return 0;
    }
    err = asgi_handle_cancel(old);
    Py_DECREF(old);
    return err;
}

int
asgi_reader_remove(LoopObject *loop, int fd, asgi_direction_t direction)
{
    asgi_readers_t *readers = &loop->readers;
    asgi_reader_t *entry;
    HandleObject *old;
    uint32_t before;
    int err;

    if (fd < 0 || fd >= readers->size || *place(&readers->table[fd], direction) == NULL) {
        return 0;
    }
    entry = &readers->table[fd];
    before = wanted(entry);
    old = *place(entry, direction);
    *place(entry, direction) = NULL;
    control(readers->epoll, fd, before, wanted(entry));
    ASGI_COUNT(loop->head.state, readers)--;
    err = asgi_handle_cancel(old);
    Py_DECREF(old);
    return err < 0 ? -1 : 1;
}

int
asgi_reader_events(LoopObject *loop, int fd)
{
    asgi_reader_t *entry;

    if (fd < 0 || fd >= loop->readers.size) {
        return 0;
    }
    entry = &loop->readers.table[fd];
    return (entry->reader != NULL ? 1 : 0) | (entry->writer != NULL ? 2 : 0);
}

void
asgi_readers_drop(LoopObject *loop)
{
    asgi_readers_t *readers = &loop->readers;
    asgi_reader_t *table = readers->table;
    int size = readers->size;

    readers->table = NULL;
    readers->size = 0;
    for (int fd = 0; fd < size; fd++) {
        ASGI_COUNT(loop->head.state, readers) -=
            (table[fd].reader != NULL) + (table[fd].writer != NULL);
        Py_XDECREF(table[fd].reader);
        Py_XDECREF(table[fd].writer);
    }
    free(table);
}

void
asgi_readers_close(LoopObject *loop)
{
    asgi_readers_drop(loop);
    if (loop->readers.epoll >= 0) {
        uv_close((uv_handle_t *)&loop->readers.poll, asgi_loop_on_handle_closed);
        close(loop->readers.epoll);
        loop->readers.epoll = -1;
    }
}

int
asgi_readers_traverse(asgi_readers_t *readers, visitproc visit, void *arg)
{
    for (int fd = 0; fd < readers->size; fd++) {
        Py_VISIT(readers->table[fd].reader);
        Py_VISIT(readers->table[fd].writer);
    }
    return 0;
}
