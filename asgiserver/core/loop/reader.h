/* SPDX-License-Identifier: MIT
 *
 * reader.h: add_reader and add_writer: callbacks on file descriptors that others own.
 *
 * One epoll instance of our own holds them all, and one uv_poll_t watches that instance. A
 * uv_poll_t for each descriptor would set it non-blocking behind its owner's back, refuse one
 * that a uv stream has, and abort the process where a descriptor is closed between add_reader
 * and the next poll: epoll_ctl answers each of these as asyncio's selector does. It also costs
 * one system call instead of five to begin watching. (The price is one more epoll_wait in turns
 * in which such a descriptor is ready.)
 *
 * Invariant: an entry of the table has a reader or a writer exactly while it is in the epoll
 * set, or its descriptor was closed by its owner, when the kernel has taken it out.
 */
#ifndef ASGI_READER_H
#define ASGI_READER_H

#include "loop/handle.h"

typedef struct {
    HandleObject *reader; /* owned or NULL */
    HandleObject *writer; /* owned or NULL */
} asgi_reader_t;

typedef struct {
    int epoll; /* owned; -1 before the first use */
    int size;
    asgi_reader_t *table; /* owned, by descriptor */
    uv_poll_t poll;       /* open while epoll >= 0 */
} asgi_readers_t;

typedef enum { ASGI_READER, ASGI_WRITER } asgi_direction_t;

/* Sets or replaces (cancelling the old one) a callback. Returns 0, or -1 with an exception. */
int asgi_reader_add(LoopObject *loop, int fd, asgi_direction_t direction, HandleObject *handle);
/* Returns 1 where there was one, 0, or -1 with an exception. */
int asgi_reader_remove(LoopObject *loop, int fd, asgi_direction_t direction);
/* The selectors.EVENT_* mask asked for on fd, 0 for none. */
int asgi_reader_events(LoopObject *loop, int fd);
/* Drops all callbacks and closes the epoll instance and its uv handle. */
void asgi_readers_close(LoopObject *loop);
void asgi_readers_drop(LoopObject *loop);
int asgi_readers_traverse(asgi_readers_t *readers, visitproc visit, void *arg);

#endif
