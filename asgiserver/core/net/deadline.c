/* SPDX-License-Identifier: MIT
 *
 * deadline.c: lists of deadlines under one timer; see deadline.h. Used by net/conn.c.
 */
#include "net/deadline.h"

#include <stdlib.h>

/* Expired in one turn of the loop: where a thousand expire together, others are served in between. */
#define EXPIRED_AT_ONCE 64

static void on_timer(uv_timer_t *timer);

void
asgi_deadlines_init(asgi_deadlines_t *deadlines, uv_loop_t *loop,
                    void (*on_expired)(asgi_deadline_t *deadline))
{
    for (int i = 0; i < ASGI_DEADLINE_KINDS; i++)
        asgi_link_init(&deadlines->lists[i]);
    deadlines->loop = loop;
    deadlines->timer = NULL;
    deadlines->armed = 0;
    deadlines->on_expired = on_expired;
}

int
asgi_deadlines_open(asgi_deadlines_t *deadlines)
{
    if (deadlines->timer != NULL)
        return 0;
    deadlines->timer = malloc(sizeof *deadlines->timer);
    if (deadlines->timer == NULL)
        return -1;
    uv_timer_init(deadlines->loop, deadlines->timer);
    deadlines->timer->data = deadlines;
    deadlines->armed = 0;
    return 0;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

void
asgi_deadlines_close(asgi_deadlines_t *deadlines)
{
    uv_timer_t *timer = deadlines->timer;

    deadlines->timer = NULL;
    if (timer != NULL)
        uv_close((uv_handle_t *)timer, on_timer_closed);
}

static void
arm(asgi_deadlines_t *deadlines, uint64_t at)
{
    uint64_t now = uv_now(deadlines->loop);

    if (deadlines->timer == NULL)
        return;
    deadlines->armed = at;
    uv_timer_start(deadlines->timer, on_timer, at > now ? at - now : 0, 0);
}

static void
on_timer(uv_timer_t *timer)
{
    asgi_deadlines_t *deadlines = timer->data;
    uint64_t now = uv_now(timer->loop), next = 0;
    int budget = EXPIRED_AT_ONCE;

    deadlines->armed = 0;
    for (int i = 0; i < ASGI_DEADLINE_KINDS; i++) {
        asgi_link_t *first;
        while ((first = asgi_list_first(&deadlines->lists[i])) != NULL) {
            asgi_deadline_t *deadline = ASGI_CONTAINER(first, asgi_deadline_t, link);
            if (deadline->at > now) {
                if (next == 0 || deadline->at < next)
                    next = deadline->at;
                break;
            }
            if (budget-- == 0) {
                arm(deadlines, now + 1); /* not now: libuv would call again in this turn */
                return;
            }
            asgi_link_remove(first);
            deadlines->on_expired(deadline);
        }
    }
    if (next != 0 && (deadlines->armed == 0 || next < deadlines->armed))
        arm(deadlines, next);
}

void
asgi_deadline_init(asgi_deadline_t *deadline)
{
    asgi_link_init(&deadline->link);
    deadline->kind = ASGI_DEADLINE_NONE;
}

void
asgi_deadline_set(asgi_deadlines_t *deadlines, asgi_deadline_t *deadline, asgi_deadline_kind_t kind)
{
    asgi_link_remove(&deadline->link);
    deadline->kind = kind;
    if (deadlines->after[kind] == 0)
        return;
    deadline->at = uv_now(deadlines->loop) + deadlines->after[kind];
    asgi_list_push(&deadlines->lists[kind], &deadline->link);
    if (deadlines->armed == 0 || deadline->at < deadlines->armed)
        arm(deadlines, deadline->at);
}
