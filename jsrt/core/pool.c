/* SPDX-License-Identifier: MIT
 *
 * pool.c: lends engines to threads (pool.h has the rules).
 *
 * Called by context.c for calls that come from another thread than the context's home.
 */
#include "pool.h"

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t count; /* engines given back, to any pool */
} returned = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

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

/* Until somebody gives an engine back. */
static int
wait_for_return(jsrt_pool_t *pool)
{
    pthread_mutex_lock(&returned.mutex);
    uint64_t ticket = returned.count;
    pthread_mutex_unlock(&returned.mutex);
    pool->waiting++;
    Py_BEGIN_ALLOW_THREADS
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&returned.mutex);
    while (returned.count == ticket
           && pthread_cond_timedwait(&returned.changed, &returned.mutex, &until) == 0) {}
    pthread_mutex_unlock(&returned.mutex);
    Py_END_ALLOW_THREADS
    pool->waiting--;
    return PyErr_CheckSignals();
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
            pool->made += engine != NULL;
            return engine;
        }
        if (wait_for_return(pool) < 0) {
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
        pthread_mutex_lock(&returned.mutex);
        returned.count++;
        pthread_cond_broadcast(&returned.changed);
        pthread_mutex_unlock(&returned.mutex);
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
