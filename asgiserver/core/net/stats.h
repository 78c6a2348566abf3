/* SPDX-License-Identifier: MIT
 *
 * stats.h: what a worker does, in numbers that another process reads.
 *
 * With --stats each worker has a record in the page it shares with its supervisor
 * (asgiserver/vitals.py). server->stats points at it, and is NULL where nobody looks: then no clock
 * is read and nothing is counted. The fields are native unsigned 64-bit numbers in the order of the
 * table below, which Python reads as _core.stats_layout.
 *
 * Invariants
 *   1. A field has one writer at a time, so a relaxed load, an addition and a relaxed store make a
 *      counter: no lock, no atomic read-modify-write.
 *   2. Counters are never set back. A later worker with the same record goes on counting in it, so
 *      sums over all records only grow. Gauges are cleared by the supervisor between two workers.
 *   3. One request costs two readings of the clock and one store each into `durations`, `micros`
 *      and `statuses`.
 */
#ifndef ASGI_STATS_H
#define ASGI_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Bounds of the histogram: four to each power of two of microseconds. Bucket i holds durations of i
 * up to 4, then of (4 + i % 4) << (i / 4 - 1) and more; the last one holds whatever is longer. */
#define ASGI_STATS_BUCKETS 104

#define ASGI_STATS_REFUSALS 112 /* statuses 400 to 511 */

/* X(name, how many). A later field never depends on an earlier one's place. */
#define ASGI_STATS_FIELDS(X)                                                                   \
    /* Counters of the worker's core. */                                                       \
    X(durations, ASGI_STATS_BUCKETS) /* answers by the time from their head to their end */    \
    X(micros, 1)                     /* the sum of these times */                              \
    X(statuses, 6)                   /* answers by hundreds of their status; [0]: any other */ \
    X(refused, ASGI_STATS_REFUSALS)  /* refused by the server itself, by status - 400 */       \
    X(unfinished, 1)                 /* requests whose answer never came to its end */         \
    X(accepted, 1)                   /* connections */                                         \
    /* Its gauges. */                                                                          \
    X(connections, 1)                                                                          \
    X(tasks, 1)      /* requests and WebSockets whose application runs */                      \
    X(websockets, 1) /* open */                                                                \
    /* Written by the worker's Python (stats/reporter.py) twice a second. */                   \
    X(beat_at, 1) /* CLOCK_MONOTONIC in microseconds: when it last did */                      \
    X(lag, 1)     /* microseconds that an event of its loop had to wait since, at most */      \
    X(turns, 1)   /* of its loop, as in loop.stats() */                                        \
    X(callbacks, 1)                                                                            \
    X(polls, 1)                                                                                \
    X(handles, 1)                                                                              \
    X(timers, 1)                                                                               \
    X(gc_runs, 3)   /* counter: collections by generation */                                   \
    X(gc_micros, 1) /* counter: time in them */                                                \
    X(js_calls, 1)  /* counter */                                                              \
    X(js_used, 1)   /* bytes of JavaScript heap */                                             \
    X(js_total, 1)                                                                             \
    X(js_external, 1)                                                                          \
    X(js_isolates, 1)                                                                          \
    /* Written by the supervisor, or by a process without one. */                              \
    X(pid, 1)   /* 0: nobody has this record */                                                \
    X(state, 1) /* stats/record.py: STATES */                                                  \
    X(slot, 1)                                                                                 \
    X(since, 1)    /* CLOCK_MONOTONIC in microseconds: when it was started */                  \
    X(answered, 1) /* what the record's earlier workers had answered */

typedef struct {
#define ASGI_STATS_FIELD(name, count) uint64_t name[count];
    ASGI_STATS_FIELDS(ASGI_STATS_FIELD)
#undef ASGI_STATS_FIELD
} asgi_stats_t;

static inline void
asgi_stats_set(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static inline void
asgi_stats_count(uint64_t *field, uint64_t more)
{
    __atomic_store_n(field, __atomic_load_n(field, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

/* The bucket of a duration. */
static inline size_t
asgi_stats_bucket(uint64_t micros)
{
    unsigned octave;
    size_t bucket;

    if (micros < 4)
        return (size_t)micros;
    octave = 63 - (unsigned)__builtin_clzll(micros);
    bucket = (size_t)(octave - 1) * 4 + ((micros >> (octave - 2)) & 3);
    return bucket < ASGI_STATS_BUCKETS ? bucket : ASGI_STATS_BUCKETS - 1;
}

/* A request was answered in full. nanos: how long that took. */
void asgi_stats_answered(asgi_stats_t *stats, unsigned status, uint64_t nanos);
/* The server itself has refused a request. */
void asgi_stats_refused(asgi_stats_t *stats, unsigned status);

#endif
