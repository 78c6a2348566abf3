/* SPDX-License-Identifier: MIT
 *
 * watch.c: the watchdog's thread and the interrupt it asks for (watch.h has the idea).
 *
 * The thread starts with the first engine, never touches Python, and sleeps while no call comes
 * in: the first call after a quiet time wakes it.
 */
#include "watch.h"

#include "dump.h"
#include "error.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define MILLISECOND UINT64_C(1000000)

enum {
    TICK_MS = 10,          /* how often running calls are looked at */
    SIGNALS_EVERY_MS = 50, /* how often a long call looks for Ctrl-C */
    FORCE_AFTER_MS = 100,  /* an overdue call that serves no interrupt is stopped then */
    IDLE_TICKS = 100       /* ticks without a call before the thread sleeps */
};

_Atomic int jsrt_watchdog_asleep;
unsigned long jsrt_main_thread;
_Thread_local int jsrt_inside;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    pthread_t thread;
    int running, stop;
    jsrt_watch_t *watches;
} dog = {.mutex = PTHREAD_MUTEX_INITIALIZER};

uint64_t
jsrt_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* On the thread that runs JavaScript, between two of its steps. */
static void
on_interrupt(jsv8_isolate_t *isolate, void *user)
{
    jsrt_watch_t *watch = user;
    atomic_store(&watch->interrupt_due, 0);
    uint64_t call = atomic_load(&watch->sequence);
    if (!(call & 1) || atomic_load(&watch->long_call) != call || watch->stopped) {
        return;
    }
    if (atomic_load(&watch->overdue_call) == call) {
        watch->stopped = watch->timed_out = 1;
        jsrt_v8.terminate(isolate);
        return;
    }
    if (watch->released == NULL) {
        watch->released = PyEval_SaveThread();
        return;
    }
    /* Signal handlers are Python functions of the main thread. */
    if (PyThread_get_thread_ident() != jsrt_main_thread) {
        return;
    }
    PyEval_RestoreThread(watch->released);
    watch->released = NULL;
    jsrt_inside++;
    if (PyErr_CheckSignals() < 0) {
        Py_XSETREF(watch->raised, jsrt_error_fetch());
        watch->stopped = 1;
        jsrt_v8.terminate(isolate);
    }
    jsrt_inside--;
    watch->released = PyEval_SaveThread();
}

static void
ask(jsrt_watch_t *watch, uint64_t call, uint64_t now)
{
    watch->asked = now;
    atomic_store(&watch->long_call, call);
    if (!atomic_exchange(&watch->interrupt_due, 1)) {
        jsrt_v8.interrupt(watch->isolate, on_interrupt, watch);
    }
}

/* In two steps, a tick apart (jsv8.h). */
static void
force(jsrt_watch_t *watch, uint64_t call)
{
    if (!watch->forcing) {
        jsrt_v8.force_next(watch->isolate);
        watch->forcing = 1;
        return;
    }
    if (atomic_load(&watch->forced_call) != call) {
        uint64_t before = atomic_exchange(&watch->forced_call, call);
        if (!jsrt_v8.force(watch->isolate)) {
            atomic_store(&watch->forced_call, before);
            watch->forcing = 0;
        }
    }
}

/* Returns 1 where the engine was used since the last look. */
static int
look(jsrt_watch_t *watch, uint64_t now)
{
    uint64_t call = atomic_load(&watch->sequence);
    if (call != watch->seen) {
        watch->seen = call;
        watch->since = now;
        watch->asked = 0;
        watch->forcing = 0;
        return 1;
    }
    if (!(call & 1)) {
        return 0;
    }
    if (watch->timeout != 0 && now - watch->since >= watch->timeout) {
        if (atomic_exchange(&watch->overdue_call, call) != call) {
            watch->overdue_since = now;
        }
        ask(watch, call, now);
        if (atomic_load(&watch->interrupt_due)
            && now - watch->overdue_since >= FORCE_AFTER_MS * MILLISECOND) {
            force(watch, call);
        }
    } else if (watch->asked == 0 || now - watch->asked >= SIGNALS_EVERY_MS * MILLISECOND) {
        ask(watch, call, now);
    }
    return 1;
}

static void
wait_until(uint64_t when)
{
    struct timespec until = {
        .tv_sec = (time_t)(when / 1000000000u),
        .tv_nsec = (long)(when % 1000000000u),
    };
    pthread_cond_timedwait(&dog.changed, &dog.mutex, &until);
}

static void *
watchdog(void *unused)
{
    int idle = 0;
    pthread_mutex_lock(&dog.mutex);
    while (!dog.stop) {
        uint64_t now = jsrt_now();
        int used = 0, dump = jsrt_dump_wanted();
        for (jsrt_watch_t *watch = dog.watches; watch != NULL; watch = watch->next) {
            used |= look(watch, now);
            if (dump && (atomic_load(&watch->sequence) & 1)) {
                jsrt_dump_ask(watch->isolate);
            }
        }
        idle = used ? 0 : idle + 1;
        if (idle <= IDLE_TICKS) {
            wait_until(now + TICK_MS * MILLISECOND);
            continue;
        }
        if (!atomic_load(&jsrt_watchdog_asleep)) {
            /* A call that read the flag just before it was set is seen one tick later: no store
             * of its counter stays unseen that long. */
            atomic_store(&jsrt_watchdog_asleep, 1);
            wait_until(now + TICK_MS * MILLISECOND);
            continue;
        }
        jsrt_v8.trim();
        pthread_cond_wait(&dog.changed, &dog.mutex);
        jsrt_dump_wanted(); /* asked for while nothing ran */
        idle = 0;
    }
    pthread_mutex_unlock(&dog.mutex);
    return NULL;
}

void
jsrt_watchdog_wake(void)
{
    pthread_mutex_lock(&dog.mutex);
    atomic_store(&jsrt_watchdog_asleep, 0);
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.mutex);
}

/* Starts the thread, all signals blocked in it. Under the mutex. Returns 0 or an errno. */
static int
start_thread(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&dog.thread, NULL, watchdog, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    dog.running = code == 0;
    return code;
}

int
jsrt_watch_start(jsrt_watch_t *watch, jsv8_isolate_t *isolate, double timeout)
{
    pthread_mutex_lock(&dog.mutex);
    int code = dog.running ? 0 : start_thread();
    if (code == 0) {
        watch->isolate = isolate;
        watch->timeout = timeout > 0 ? (uint64_t)(timeout * 1e9) : 0;
        watch->seen = atomic_load(&watch->sequence);
        watch->since = jsrt_now();
        watch->previous = NULL;
        watch->next = dog.watches;
        if (dog.watches != NULL) {
            dog.watches->previous = watch;
        }
        dog.watches = watch;
    }
    pthread_mutex_unlock(&dog.mutex);
    if (code != 0) {
        PyErr_SetString(PyExc_RuntimeError, "cannot start the watchdog's thread");
        return -1;
    }
    jsrt_watchdog_wake();
    return 0;
}

void
jsrt_watch_limit(jsrt_watch_t *watch, double timeout)
{
    uint64_t ns = timeout > 0 ? (uint64_t)(timeout * 1e9) : 0;
    if (watch->timeout != ns) { /* written under the GIL only */
        pthread_mutex_lock(&dog.mutex);
        watch->timeout = ns;
        pthread_mutex_unlock(&dog.mutex);
    }
}

void
jsrt_watch_stop(jsrt_watch_t *watch)
{
    if (jsrt_forked) {
        return; /* the watchdog is not in this process; it may have had the mutex at the fork */
    }
    pthread_mutex_lock(&dog.mutex);
    if (watch->isolate != NULL) {
        if (watch->previous != NULL) {
            watch->previous->next = watch->next;
        } else {
            dog.watches = watch->next;
        }
        if (watch->next != NULL) {
            watch->next->previous = watch->previous;
        }
        watch->isolate = NULL;
        watch->next = watch->previous = NULL;
    }
    pthread_mutex_unlock(&dog.mutex);
    atomic_store(&watch->interrupt_due, 0);
}

void
jsrt_watchdog_stop(void)
{
    pthread_mutex_lock(&dog.mutex);
    int running = dog.running;
    dog.stop = 1;
    dog.running = 0;
    if (running) {
        pthread_cond_signal(&dog.changed);
    }
    pthread_mutex_unlock(&dog.mutex);
    if (running) {
        pthread_join(dog.thread, NULL);
    }
    dog.stop = 0;
}
