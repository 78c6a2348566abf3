/* SPDX-License-Identifier: MIT
 *
 * pool.h: engines that a context lends to threads other than its home, one call at a time.
 *
 * Invariants
 *   1. Touched with the GIL held; a thread that must wait puts it down.
 *   2. The engine given back last is lent first: few engines boot, and their caches stay warm.
 */
#ifndef JSRT_POOL_H
#define JSRT_POOL_H

#include "engine.h"

enum { JSRT_POOL_LARGEST = 256 };

typedef struct {
    EngineObject **idle; /* owned array of owned references */
    Py_ssize_t idle_count, made, size;
    Py_ssize_t waiting;
} jsrt_pool_t;

/* Returns 0, or -1 with an exception. */
int jsrt_pool_init(jsrt_pool_t *pool, Py_ssize_t size);
/* An engine like `like`, not entered. Waits while all are lent. Returns: new, or NULL. */
EngineObject *jsrt_pool_borrow(jsrt_pool_t *pool, EngineObject *like);
/* Takes it back. Steals engine. */
void jsrt_pool_return(jsrt_pool_t *pool, EngineObject *engine);
/* Closes the idle ones; those lent are closed by whoever brings them back. */
void jsrt_pool_close(jsrt_pool_t *pool);
void jsrt_pool_dispose(jsrt_pool_t *pool);
int jsrt_pool_traverse(jsrt_pool_t *pool, visitproc visit, void *arg);

#endif
