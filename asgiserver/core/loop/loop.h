/* SPDX-License-Identifier: MIT
 *
 * loop.h: one asyncio event loop on one uv_loop_t, and what the rest of the C code asks of it.
 *
 * A turn: run what is ready; run the before-poll hooks (connections flush their writes); poll libuv
 * (blocking only when nothing is ready) with the GIL put down around a poll that may block;
 * libuv's callbacks take the GIL back with asgi_loop_acquire() at the first need of Python, so a
 * turn that is pure I/O never takes it.
 *
 * Invariants
 *   1. Outside of a poll the loop's thread holds the GIL (released == NULL).
 *   2. A libuv callback calls asgi_loop_acquire() before it touches any Python object, and returns
 *      with no Python exception set: asgi_loop_report() hands it to the exception handler.
 *   3. uv handles are closed by their owner, freed only in their close callback.
 */
#ifndef ASGI_LOOP_H
#define ASGI_LOOP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <uv.h>

struct asgi_state;

/* Work to be done once before the next poll; embedded in its owner, never allocated. */
typedef struct asgi_hook {
    void (*run)(struct asgi_hook *hook); /* GIL held; may queue hooks again (next turn) */
    struct asgi_hook *prev, *next;       /* both NULL: not queued */
} asgi_hook_t;

/* A C function in the ready queue, in order with call_soon's handles; embedded in its owner. */
typedef struct asgi_soon {
    void (*run)(struct asgi_soon *soon); /* GIL held; must not leave an exception set */
    struct asgi_soon *next;              /* the queue's */
    int queued;
} asgi_soon_t;

typedef struct LoopObject LoopObject; /* defined in loop_object.h, for files of loop/ */

/* The fields other files may read; the first thing in LoopObject. */
typedef struct {
    PyObject_HEAD
    struct asgi_state *state; /* borrowed: the module's */
    uv_loop_t *uv;            /* owned */
    PyThreadState *released;  /* this thread's state while it does not hold the GIL */
} asgi_loop_head_t;

/* Returns: borrowed LoopObject, or NULL with TypeError where object is none of ours. */
LoopObject *asgi_loop_from(struct asgi_state *state, PyObject *object);

static inline uv_loop_t *
asgi_loop_uv(LoopObject *loop)
{
    return ((asgi_loop_head_t *)loop)->uv;
}

/* The part of asgi_loop_acquire that is not inline: only where this poll put the GIL down. Does
 * nothing if the thread holds it again by PyGILState_Ensure (another owner's uv callback, calling
 * Python that calls us): that one's PyGILState_Release puts it down. */
void asgi_loop_restore(LoopObject *loop);

/* Thread: loop. Takes the GIL if this poll put it down; cheap otherwise. */
static inline void
asgi_loop_acquire(LoopObject *loop)
{
    if (((asgi_loop_head_t *)loop)->released != NULL) {
        asgi_loop_restore(loop);
    }
}

/* call_soon(callable, *[arg]) without a Handle given back. arg, context may be NULL (context: the
 * current one is copied). Returns 0, or -1 with an exception. Thread: loop, GIL held. */
int asgi_loop_soon(LoopObject *loop, PyObject *callable, PyObject *arg, PyObject *context);
/* Queues a C function once; queued twice it still runs once. Thread: loop, GIL held or not. */
void asgi_loop_soon_c(LoopObject *loop, asgi_soon_t *soon);
void asgi_loop_soon_cancel(LoopObject *loop, asgi_soon_t *soon);
/* Hooks run once, in order, right before the next poll. While callbacks are ready the loop may
 * take a few turns (50 us at most) between two polls: writes of several turns go out together.
 * Also run when run_forever() ends. */
void asgi_loop_before_poll(LoopObject *loop, asgi_hook_t *hook);
/* Run when the loop is closed (GIL held), for owners of uv handles to uv_close() them: close()
 * then runs the uv loop until their close callbacks are through. A hook that was never cancelled
 * is unlinked before it runs. */
void asgi_loop_at_close(LoopObject *loop, asgi_hook_t *hook);
/* Takes a hook out of either list; one that is in none may be given. */
void asgi_loop_hook_cancel(LoopObject *loop, asgi_hook_t *hook);

/* Hands the pending exception to loop.call_exception_handler({"message": message, "exception": e}).
 * May run Python. Nothing is pending afterwards. KeyboardInterrupt and SystemExit stop the loop
 * and are raised by run_forever(). */
void asgi_loop_report(LoopObject *loop, const char *message);

/* The pending exception, normalised, its traceback attached. Returns: new. */
PyObject *asgi_exception_take(void);

/* Milliseconds of the loop's clock (uv_now): the time at which this turn's poll ended. */
static inline uint64_t
asgi_loop_now(LoopObject *loop)
{
    return uv_now(asgi_loop_uv(loop));
}

/* Called by module.c: adds the types of loop/ to the module. Returns 0 or -1. */
int asgi_loop_exec(PyObject *module, struct asgi_state *state);

#endif
