/* SPDX-License-Identifier: MIT
 *
 * stats.c: what one request leaves in the record; see stats.h. Called by asgi/server.c and
 * net/conn_http1.c, with the GIL or without.
 */
#include "net/stats.h"

enum { FIRST_REFUSAL = 400 };

void
asgi_stats_answered(asgi_stats_t *stats, unsigned status, uint64_t nanos)
{
    uint64_t micros = nanos / 1000;
    unsigned hundreds = status / 100;

    asgi_stats_count(&stats->durations[asgi_stats_bucket(micros)], 1);
    asgi_stats_count(stats->micros, micros);
    asgi_stats_count(&stats->statuses[hundreds < 6 ? hundreds : 0], 1);
}

void
asgi_stats_refused(asgi_stats_t *stats, unsigned status)
{
    unsigned place = status - FIRST_REFUSAL;

    if (status >= FIRST_REFUSAL && place < ASGI_STATS_REFUSALS)
        asgi_stats_count(&stats->refused[place], 1);
}
