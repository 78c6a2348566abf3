/* SPDX-License-Identifier: MIT
 *
 * balance.c: the table of connections per worker; see balance.h. Called by listener.c and conn.c.
 */
#include "net/balance.h"

int
asgi_balance_init(asgi_balance_t *balance, void *memory, size_t bytes, size_t mine)
{
    if (mine >= bytes / sizeof *balance->table)
        return -1;
    balance->table = memory;
    balance->count = bytes / sizeof *balance->table;
    balance->mine = mine;
    return 0;
}

static void
set(asgi_balance_t *balance, uint32_t value)
{
    atomic_store_explicit(&balance->table[balance->mine], value, memory_order_relaxed);
}

void
asgi_balance_tell(asgi_balance_t *balance, size_t connections)
{
    if (balance->table == NULL)
        return;
    balance->present = true;
    set(balance,
        connections < ASGI_BALANCE_ABSENT ? (uint32_t)connections : ASGI_BALANCE_ABSENT - 1);
}

void
asgi_balance_leave(asgi_balance_t *balance)
{
    if (balance->present)
        set(balance, ASGI_BALANCE_ABSENT);
    balance->present = false;
}

bool
asgi_balance_busier(const asgi_balance_t *balance, size_t connections)
{
    for (size_t i = 0; i < balance->count; i++) {
        if (atomic_load_explicit(&balance->table[i], memory_order_relaxed) < connections)
            return true;
    }
    return false;
}
