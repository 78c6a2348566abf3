/* SPDX-License-Identifier: MIT
 *
 * balance.h: which worker should take the next connection.
 *
 * The workers of a supervisor share one table in memory: a 32-bit count of open connections each.
 * A worker writes its own entry and reads the others'. Nothing is locked, and nothing depends on
 * a fresh or even a right value: who reads a stale one accepts a connection a moment too early or
 * too late.
 *
 * An entry is ASGI_BALANCE_ABSENT while its worker does not accept. The supervisor sets it so too
 * when a worker has died.
 */
#ifndef ASGI_BALANCE_H
#define ASGI_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASGI_BALANCE_ABSENT UINT32_MAX

/* All zero: a worker alone. */
typedef struct {
    _Atomic uint32_t *table; /* borrowed or NULL */
    size_t count, mine;
    bool present;
} asgi_balance_t;

/* memory: `bytes` of shared memory, aligned to 4. Returns 0, or -1 where mine is outside of it. */
int asgi_balance_init(asgi_balance_t *balance, void *memory, size_t bytes, size_t mine);
/* This worker accepts, and has this many connections. */
void asgi_balance_tell(asgi_balance_t *balance, size_t connections);
/* This worker accepts no longer. */
void asgi_balance_leave(asgi_balance_t *balance);
/* Whether a worker that accepts has fewer connections than this one. */
bool asgi_balance_busier(const asgi_balance_t *balance, size_t connections);

#endif
