/* SPDX-License-Identifier: MIT
 *
 * pool.h: engines that a context lends to threads other than its home, one call at a time.
 *
 * Invariants
 *   1. Touched with the GIL held; a thread that must wait puts it down.
 *   2. Who waits is served in order. A thread that comes later may still go first while the first
 *      one waits less than a moment: handing over costs a change of threads, which is a hundred
 *      times a short call. After that moment an engine that comes back is the waiting one's.
 *   3. Otherwise the engine given back last is lent first: few engines boot, their caches stay
 *      warm, and those at the other end, when nobody has wanted them for long, are freed.
 */
#ifndef JSRT_POOL_H
#define JSRT_POOL_H

#include "engine.h"

enum { JSRT_POOL_LARGEST = 256, JSRT_POOL_GAUGES = 64 };

typedef struct {
    EngineObject *engine; /* owned */
    uint64_t since;       /* when it was given back */
} jsrt_idle_t;

/* How long calls of a function take: decides whether one puts the GIL down at once. */
typedef struct {
    Py_hash_t name;
    double ns; /* a moving average; 0: none yet */
} jsrt_gauge_t;

struct jsrt_waiter; /* pool.c: on the stack of the thread that waits */

typedef struct {
    jsrt_idle_t *idle; /* owned array */
    Py_ssize_t idle_count, made, size;
    struct jsrt_waiter *first, **last; /* borrowed: who waits, in order */
    double patience;                   /* seconds a thread waits at most; 0: for ever */
    uint64_t idle_limit;               /* ns after which an idle engine is freed */
    uint64_t calls, waits, wait_ns, shrunk;
    jsrt_gauge_t gauges[JSRT_POOL_GAUGES];
} jsrt_pool_t;

/* Returns 0, or -1 with an exception. */
int jsrt_pool_init(jsrt_pool_t *pool, Py_ssize_t size);
/* An engine like `like`, not entered. Waits while all are lent. Returns: new, or NULL. */
EngineObject *jsrt_pool_borrow(jsrt_pool_t *pool, EngineObject *like);
/* Takes it back. Steals engine. May run Python. */
void jsrt_pool_return(jsrt_pool_t *pool, EngineObject *engine);
/* Frees the engines that nobody has used for `ns`. Returns how many. Runs Python. */
Py_ssize_t jsrt_pool_shrink(jsrt_pool_t *pool, uint64_t ns);
/* Figures as a new dict, or NULL with an exception; enters the idle engines. */
PyObject *jsrt_pool_stats(jsrt_pool_t *pool);
/* Closes the idle ones; those lent are closed by whoever brings them back. */
void jsrt_pool_close(jsrt_pool_t *pool);
void jsrt_pool_dispose(jsrt_pool_t *pool);
int jsrt_pool_traverse(jsrt_pool_t *pool, visitproc visit, void *arg);

/* Before a call of a function in an engine that was lent: whether the GIL is put down at once. Most
 * short calls end sooner than another thread could take it. */
static inline jsrt_gauge_t *
jsrt_pool_gauge(jsrt_pool_t *pool, Py_hash_t name)
{
    jsrt_gauge_t *gauge = &pool->gauges[(size_t)name % JSRT_POOL_GAUGES];
    if (gauge->name != name) {
        *gauge = (jsrt_gauge_t){.name = name};
    }
    return gauge;
}

#endif
