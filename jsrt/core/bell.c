/* SPDX-License-Identifier: MIT
 *
 * bell.c: waiting for another thread, without the GIL (bell.h has the rules).
 *
 * Called by engine.c.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bell.h"

#include <time.h>

enum { LONGEST_NS = 100000000, SECOND_NS = 1000000000 };

int
jsrt_bell_wait(jsrt_bell_t *bell)
{
    pthread_mutex_lock(&bell->mutex);
    uint64_t rings = bell->rings;
    pthread_mutex_unlock(&bell->mutex);
    Py_BEGIN_ALLOW_THREADS
    /* Not the wall clock, whose steps backwards would stretch the wait. */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LONGEST_NS;
    if (until.tv_nsec >= SECOND_NS) {
        until.tv_sec++;
        until.tv_nsec -= SECOND_NS;
    }
    pthread_mutex_lock(&bell->mutex);
    while (bell->rings == rings
           && pthread_cond_clockwait(&bell->rung, &bell->mutex, CLOCK_MONOTONIC, &until) == 0) {}
    pthread_mutex_unlock(&bell->mutex);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

void
jsrt_bell_ring(jsrt_bell_t *bell)
{
    pthread_mutex_lock(&bell->mutex);
    bell->rings++;
    pthread_cond_broadcast(&bell->rung);
    pthread_mutex_unlock(&bell->mutex);
}
