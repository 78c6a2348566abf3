/* SPDX-License-Identifier: MIT
 *
 * pool.c: lends engines to threads (pool.h has the rules).
 *
 * Called by context.c for calls that come from another thread than the context's home, and for
 * every call of a context that is at home nowhere (jsrt.JSEngine).
 */
#define _GNU_SOURCE /* pipe2 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pool.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { ROUND_MS = 100, ROUND_WITHOUT_PIPE_MS = 1, KEPT_PIPES = 16 };
#define IDLE_LIMIT_NS 30000000000ull
#define GRACE_NS 2000000ull /* invariant 2's moment */

/* Woken by a byte in a pipe and by no condition variable: the kernel takes a write to a pipe for a
 * sign that the writer will sleep soon, and runs the reader on its core. Woken otherwise, a thread
 * often queues behind JavaScript on the other core while this one idles: ten threads over two
 * isolates get through 1.86 times the work of one then, and through 1.93 this way. */
typedef struct {
    int read, write;
} pipe_t;

typedef struct jsrt_waiter {
    EngineObject *engine; /* owned; set by who gives it */
    int called;           /* a byte says that there may be an idle engine */
    uint64_t since;
    pipe_t pipe; /* -1: the process has no descriptors left; it looks every millisecond */
    struct jsrt_waiter *next;
} jsrt_waiter_t;

/* Of threads that have waited, for the next ones, of all pools. Under the GIL. */
static pipe_t kept[KEPT_PIPES];
static int kept_count;

static pipe_t
take_pipe(void)
{
    int ends[2];
    if (kept_count > 0) {
        return kept[--kept_count];
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return (pipe_t){-1, -1};
    }
    return (pipe_t){ends[0], ends[1]};
}

static void
keep_pipe(pipe_t pipe)
{
    if (pipe.read < 0) {
        return;
    }
    if (kept_count < KEPT_PIPES) {
        kept[kept_count++] = pipe;
    } else {
        close(pipe.read);
        close(pipe.write);
    }
}

/* The waiter needs the GIL, which this thread has, to go on: so it is there until this returns. */
static void
wake(const jsrt_waiter_t *waiter)
{
    if (waiter->pipe.write >= 0 && write(waiter->pipe.write, "", 1) < 0) {
        /* Full: it is awake already. */
    }
}

int
jsrt_pool_init(jsrt_pool_t *pool, Py_ssize_t size)
{
    *pool = (jsrt_pool_t){.size = size, .idle_limit = IDLE_LIMIT_NS};
    pool->last = &pool->first;
    if (size > 0) {
        pool->idle = PyMem_Calloc((size_t)size, sizeof(jsrt_idle_t));
        if (pool->idle == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

static EngineObject *
take_idle(jsrt_pool_t *pool)
{
    jsrt_idle_t *last = &pool->idle[--pool->idle_count];
    EngineObject *engine = last->engine;
    last->engine = NULL;
    return engine;
}

/* Until something is given, 100 ms at most. Returns 0, or -1 with what a signal handler raised. */
static int
wait_a_round(jsrt_waiter_t *waiter)
{
    Py_BEGIN_ALLOW_THREADS
    struct pollfd end = {.fd = waiter->pipe.read, .events = POLLIN};
    char bytes[8];
    if (end.fd < 0 || poll(&end, 1, ROUND_MS) < 0 || (end.revents & POLLNVAL)) {
        poll(NULL, 0, ROUND_WITHOUT_PIPE_MS); /* POLLNVAL: somebody has closed it */
    }
    while (end.fd >= 0 && read(end.fd, bytes, sizeof(bytes)) > 0) {}
    Py_END_ALLOW_THREADS
    waiter->called = 0;
    return PyErr_CheckSignals();
}

static void
leave_queue(jsrt_pool_t *pool, jsrt_waiter_t *waiter)
{
    jsrt_waiter_t **link = &pool->first;
    while (*link != waiter) {
        link = &(*link)->next;
    }
    *link = waiter->next;
    if (pool->last == &waiter->next) {
        pool->last = link;
    }
}

/* Tells the first in the queue that there is an idle engine. */
static void
call_first(jsrt_pool_t *pool)
{
    jsrt_waiter_t *first = pool->first;
    if (first != NULL && pool->idle_count > 0 && !first->called) {
        first->called = 1;
        wake(first);
    }
}

/* In the queue until an engine is given. Returns: new, or NULL. */
static EngineObject *
wait_for_one(jsrt_pool_t *pool, EngineObject *like)
{
    jsrt_waiter_t waiter = {.since = jsrt_now(), .pipe = take_pipe()};
    uint64_t patience = (uint64_t)(pool->patience * 1e9);
    int code = 0;
    *pool->last = &waiter;
    pool->last = &waiter.next;
    pool->waits++;
    while (waiter.engine == NULL && code == 0) {
        code = wait_a_round(&waiter);
        if (waiter.engine != NULL || code < 0) {
            break;
        }
        if (pool->first == &waiter && pool->idle_count > 0) {
            leave_queue(pool, &waiter);
            waiter.engine = take_idle(pool);
            call_first(pool);
            break;
        }
        if (like->closed) {
            PyErr_SetString(like->state->ContextClosed, "the context is closed");
            code = -1;
        } else if (patience != 0 && jsrt_now() - waiter.since >= patience) {
            char text[80];
            snprintf(text, sizeof(text), "no isolate was free within %.6g s", pool->patience);
            PyErr_SetString(like->state->Timeout, text);
            code = -1;
        }
    }
    pool->wait_ns += jsrt_now() - waiter.since;
    if (waiter.engine == NULL) {
        leave_queue(pool, &waiter);
        call_first(pool);
    } else if (code < 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        jsrt_pool_return(pool, waiter.engine); /* it is somebody else's turn */
        PyErr_Restore(type, value, traceback);
        waiter.engine = NULL;
    }
    keep_pipe(waiter.pipe);
    return waiter.engine;
}

EngineObject *
jsrt_pool_borrow(jsrt_pool_t *pool, EngineObject *like)
{
    if (pool->made == 0 && jsrt_engine_expect_threads(like->state) < 0) {
        return NULL;
    }
    if (like->closed) {
        PyErr_SetString(like->state->ContextClosed, "the context is closed");
        return NULL;
    }
    pool->calls++;
    if (pool->idle_count > 0
        && (pool->first == NULL || jsrt_now() - pool->first->since < GRACE_NS)) {
        return take_idle(pool);
    }
    if (pool->made < pool->size) {
        EngineObject *engine =
            jsrt_engine_new(like->state, like->profile, like->heap_limit, like->timeout, 0);
        if (engine != NULL) {
            engine->context = like->context;
            engine->snapshot = Py_XNewRef(like->snapshot);
            pool->made++;
        }
        return engine;
    }
    return wait_for_one(pool, like);
}

void
jsrt_pool_return(jsrt_pool_t *pool, EngineObject *engine)
{
    jsrt_waiter_t *first = pool->first;
    uint64_t now = jsrt_now();
    if (first != NULL && now - first->since >= GRACE_NS) {
        pool->first = first->next;
        if (pool->first == NULL) {
            pool->last = &pool->first;
        }
        first->engine = engine;
        wake(first);
        return;
    }
    pool->idle[pool->idle_count++] = (jsrt_idle_t){engine, now};
    if (first != NULL) {
        call_first(pool);
    } else if (pool->idle_count > 1) {
        jsrt_pool_shrink(pool, pool->idle_limit);
    }
}

/* A handle may have a thread inside of an engine that is idle to the pool: its leave frees it. */
static void
close_idle(EngineObject *engine)
{
    if (jsrt_watch_busy(&engine->watch)) {
        engine->closed = engine->condemned = 1;
        engine->ready = 0;
    } else {
        jsrt_engine_close(engine);
    }
}

Py_ssize_t
jsrt_pool_shrink(jsrt_pool_t *pool, uint64_t ns)
{
    Py_ssize_t freed = 0;
    uint64_t now = jsrt_now();
    /* Not what somebody has been called to take. */
    while (pool->first == NULL && pool->idle_count > 0 && now - pool->idle[0].since >= ns) {
        EngineObject *engine = pool->idle[0].engine;
        pool->idle_count--;
        memmove(pool->idle, pool->idle + 1, (size_t)pool->idle_count * sizeof(jsrt_idle_t));
        pool->made--;
        pool->shrunk++;
        freed++;
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        close_idle(engine);
        Py_DECREF(engine);
        PyErr_Restore(type, value, traceback);
    }
    return freed;
}

/* Adds up the heaps of the engines that are idle now. */
static size_t
heap_in_use(jsrt_pool_t *pool)
{
    size_t total = 0;
    Py_ssize_t count = pool->idle_count;
    EngineObject **engines = PyMem_Calloc((size_t)count + 1, sizeof(EngineObject *));
    if (engines == NULL) {
        return 0;
    }
    /* Entering may put the GIL down: the pool is another one then. */
    for (Py_ssize_t i = 0; i < count; i++) {
        engines[i] = (EngineObject *)Py_NewRef(pool->idle[i].engine);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        EngineObject *engine = engines[i];
        if (engine->isolate != NULL && !jsrt_watch_busy(&engine->watch)) {
            if (jsrt_engine_enter(engine) == 0) {
                jsv8_heap_stats_t stats = {0};
                jsrt_v8.heap_stats(engine->isolate, &stats);
                jsrt_watch_regain(&engine->watch);
                total += stats.heap_used + stats.external;
                jsrt_engine_leave(engine);
            } else {
                PyErr_Clear();
            }
        }
        Py_DECREF(engine);
    }
    PyMem_Free(engines);
    return total;
}

PyObject *
jsrt_pool_stats(jsrt_pool_t *pool)
{
    Py_ssize_t waiting = 0;
    size_t heap = heap_in_use(pool);
    for (jsrt_waiter_t *each = pool->first; each != NULL; each = each->next) {
        waiting++;
    }
    return Py_BuildValue("{s:n,s:n,s:n,s:K,s:K,s:d,s:K,s:n}", "isolates", pool->made, "idle",
                         pool->idle_count, "waiting", waiting, "calls",
                         (unsigned long long)pool->calls, "waits", (unsigned long long)pool->waits,
                         "wait_time", (double)pool->wait_ns / 1e9, "shrunk",
                         (unsigned long long)pool->shrunk, "heap", (Py_ssize_t)heap);
}

void
jsrt_pool_close(jsrt_pool_t *pool)
{
    for (Py_ssize_t i = 0; i < pool->idle_count; i++) {
        close_idle(pool->idle[i].engine);
    }
}

void
jsrt_pool_dispose(jsrt_pool_t *pool)
{
    jsrt_idle_t *idle = pool->idle;
    Py_ssize_t count = pool->idle_count;
    *pool = (jsrt_pool_t){0};
    for (Py_ssize_t i = 0; i < count; i++) {
        jsrt_engine_close(idle[i].engine);
        idle[i].engine->context = NULL;
        Py_DECREF(idle[i].engine);
    }
    PyMem_Free(idle);
}

int
jsrt_pool_traverse(jsrt_pool_t *pool, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < pool->idle_count; i++) {
        Py_VISIT(pool->idle[i].engine);
    }
    return 0;
}
