/* SPDX-License-Identifier: MIT
 *
 * timer.c: see timer.h.
 */
#include "loop/loop_object.h"

#include <math.h>

#define SWEEP_MIN 100             /* cancelled entries worth a sweep */
#define FAR_AHEAD (24.0 * 3600.0) /* seconds: no alarm is set further off */

static inline int
sooner(const asgi_timer_t *a, const asgi_timer_t *b)
{
    return a->when < b->when || (a->when == b->when && a->seq < b->seq);
}

static void
sift_up(asgi_timer_t *heap, size_t at)
{
    asgi_timer_t moving = heap[at];

    while (at > 0) {
        size_t parent = (at - 1) / 4;
        if (!sooner(&moving, &heap[parent])) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = moving;
}

static void
sift_down(asgi_timer_t *heap, size_t length, size_t at)
{
    asgi_timer_t moving = heap[at];

    for (;;) {
        size_t child = at * 4 + 1;
        size_t end = child + 4 < length ? child + 4 : length;
        size_t best = child;
        if (child >= length) {
            break;
        }
        for (size_t i = child + 1; i < end; i++) {
            if (sooner(&heap[i], &heap[best])) {
                best = i;
            }
        }
        if (!sooner(&heap[best], &moving)) {
            break;
        }
        heap[at] = heap[best];
        at = best;
    }
    heap[at] = moving;
}

/* Returns: the reference the heap held. */
static TimerHandleObject *
take_first(LoopObject *loop)
{
    asgi_timers_t *timers = &loop->timers;
    TimerHandleObject *timer = timers->heap[0].timer;

    timers->length--;
    if (timers->length > 0) {
        timers->heap[0] = timers->heap[timers->length];
        sift_down(timers->heap, timers->length, 0);
    }
    timer->handle.scheduled = 0;
    ASGI_COUNT(loop->head.state, timers)--;
    return timer;
}

int
asgi_timers_add(LoopObject *loop, TimerHandleObject *timer)
{
    asgi_timers_t *timers = &loop->timers;
    asgi_timer_t *entry;

    if (timers->length == timers->capacity) {
        size_t capacity = timers->capacity == 0 ? 64 : timers->capacity * 2;
        asgi_timer_t *heap = realloc(timers->heap, capacity * sizeof(*heap));
        if (heap == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        timers->heap = heap;
        timers->capacity = capacity;
    }
    entry = &timers->heap[timers->length];
    /* A NaN has no order: such a timer is due at once, as in asyncio. */
    entry->when = isnan(timer->when) ? 0.0 : timer->when;
    entry->seq = timers->seq++;
    entry->timer = (TimerHandleObject *)Py_NewRef((PyObject *)timer);
    timer->handle.scheduled = 1;
    ASGI_COUNT(loop->head.state, timers)++;
    sift_up(timers->heap, timers->length++);
    if (loop->polling) {
        asgi_loop_awaken(loop);
    }
    return 0;
}

/* Out with all cancelled entries. They are let go after the heap is whole again, since that may
 * run Python. */
static void
sweep(LoopObject *loop)
{
    asgi_timers_t *timers = &loop->timers;
    size_t kept = 0;
    size_t length = timers->length;
    TimerHandleObject **gone = malloc(timers->cancelled * sizeof(*gone));
    size_t n = 0;

    if (gone == NULL) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        asgi_timer_t entry = timers->heap[i];
        if (entry.timer->handle.cancelled) {
            entry.timer->handle.scheduled = 0;
            gone[n++] = entry.timer;
        } else {
            timers->heap[kept++] = entry;
        }
    }
    timers->length = kept;
    timers->cancelled = 0;
    ASGI_COUNT(loop->head.state, timers) -= (Py_ssize_t)n;
    if (kept > 1) {
        for (size_t i = (kept - 2) / 4 + 1; i-- > 0;) {
            sift_down(timers->heap, kept, i);
        }
    }
    for (size_t i = 0; i < n; i++) {
        Py_DECREF(gone[i]);
    }
    free(gone);
}

void
asgi_timers_cancelled(LoopObject *loop, TimerHandleObject *timer)
{
    asgi_timers_t *timers = &loop->timers;

    if (!timer->handle.scheduled) {
        return;
    }
    if (timers->length > 0 && timers->heap[timers->length - 1].timer == timer) {
        /* A leaf: no other entry depends on its place. */
        timers->length--;
        timer->handle.scheduled = 0;
        ASGI_COUNT(loop->head.state, timers)--;
        Py_DECREF(timer);
        return;
    }
    timers->cancelled++;
    if (timers->cancelled > SWEEP_MIN && timers->cancelled * 2 > timers->length) {
        sweep(loop);
    }
}

int
asgi_timers_collect(LoopObject *loop, uint64_t now)
{
    asgi_timers_t *timers = &loop->timers;
    double seconds = (double)now * 1e-9;

    while (timers->length > 0 && timers->heap[0].when <= seconds) {
        TimerHandleObject *timer = take_first(loop);
        if (timer->handle.cancelled) {
            timers->cancelled--;
            Py_DECREF(timer);
        } else if (asgi_loop_push(loop, (uintptr_t)timer) < 0) {
            return -1;
        }
    }
    return 0;
}

static void
on_alarm(uv_timer_t *alarm)
{
    LoopObject *loop = alarm->data;

    loop->alarm_ms = 0;
    /* libuv runs timers before it polls, too: that poll is not to block any more. */
    asgi_loop_spin(loop);
    asgi_loop_acquire(loop);
}

int
asgi_timers_arm(LoopObject *loop)
{
    asgi_timers_t *timers = &loop->timers;
    uint64_t now_ns, target;
    double wait;

    while (timers->length > 0 && timers->heap[0].timer->handle.cancelled) {
        timers->cancelled--;
        Py_DECREF(take_first(loop));
    }
    if (timers->length == 0) {
        if (loop->alarm_ms != 0) {
            loop->alarm_ms = 0;
            uv_timer_stop(&loop->alarm);
        }
        return 0;
    }
    now_ns = uv_hrtime();
    wait = timers->heap[0].when - (double)now_ns * 1e-9;
    if (wait <= 0) {
        return 1;
    }
    if (wait > FAR_AHEAD) {
        wait = FAR_AHEAD;
    }
    target = (now_ns + (uint64_t)ceil(wait * 1e9) + 999999) / 1000000;
    if (target != loop->alarm_ms) {
        uint64_t uv_time = uv_now(loop->head.uv);
        loop->alarm_ms = target;
        uv_timer_start(&loop->alarm, on_alarm, target > uv_time ? target - uv_time : 0, 0);
    }
    return 0;
}

void
asgi_timers_drop(LoopObject *loop)
{
    asgi_timers_t timers = loop->timers;

    memset(&loop->timers, 0, sizeof(loop->timers));
    for (size_t i = 0; i < timers.length; i++) {
        timers.heap[i].timer->handle.scheduled = 0;
        ASGI_COUNT(loop->head.state, timers)--;
        Py_DECREF(timers.heap[i].timer);
    }
    free(timers.heap);
}

int
asgi_timers_traverse(asgi_timers_t *timers, visitproc visit, void *arg)
{
    for (size_t i = 0; i < timers->length; i++) {
        Py_VISIT(timers->heap[i].timer);
    }
    return 0;
}
