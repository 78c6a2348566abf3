/* SPDX-License-Identifier: MIT
 *
 * pool.c: lends engines to threads (pool.h has the rules).
 *
 * Called by context.c for calls that come from another thread than the context's home.
 */
#include "pool.h"

#include "bell.h"

static jsrt_bell_t returned = JSRT_BELL_INIT; /* rung when a thread gives an engine back */

int
jsrt_pool_init(jsrt_pool_t *pool, Py_ssize_t size)
{
    *pool = (jsrt_pool_t){.size = size};
    if (size > 0) {
        pool->idle = PyMem_Calloc((size_t)size, sizeof(EngineObject *));
        if (pool->idle == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

EngineObject *
jsrt_pool_borrow(jsrt_pool_t *pool, EngineObject *like)
{
    while (pool->idle_count == 0) {
        if (like->closed) {
            PyErr_SetString(like->state->ContextClosed, "the context is closed");
            return NULL;
        }
        if (pool->made < pool->size) {
            EngineObject *engine =
                jsrt_engine_new(like->state, like->profile, like->heap_limit, like->timeout, 0);
            if (engine != NULL) {
                engine->context = like->context;
                pool->made++;
            }
            return engine;
        }
        pool->waiting++;
        int code = jsrt_bell_wait(&returned);
        pool->waiting--;
        if (code < 0) {
            return NULL;
        }
    }
    EngineObject *engine = pool->idle[--pool->idle_count];
    pool->idle[pool->idle_count] = NULL;
    return engine;
}

void
jsrt_pool_return(jsrt_pool_t *pool, EngineObject *engine)
{
    pool->idle[pool->idle_count++] = engine;
    if (pool->waiting > 0) {
        jsrt_bell_ring(&returned);
    }
}

void
jsrt_pool_close(jsrt_pool_t *pool)
{
    for (Py_ssize_t i = 0; i < pool->idle_count; i++) {
        jsrt_engine_close(pool->idle[i]);
    }
}

void
jsrt_pool_dispose(jsrt_pool_t *pool)
{
    EngineObject **idle = pool->idle;
    Py_ssize_t count = pool->idle_count;
    *pool = (jsrt_pool_t){0};
    for (Py_ssize_t i = 0; i < count; i++) {
        jsrt_engine_close(idle[i]);
        idle[i]->context = NULL;
        Py_DECREF(idle[i]);
    }
    PyMem_Free(idle);
}

int
jsrt_pool_traverse(jsrt_pool_t *pool, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < pool->idle_count; i++) {
        Py_VISIT(pool->idle[i]);
    }
    return 0;
}
