/* SPDX-License-Identifier: MIT
 *
 * list.h: a circular doubly linked list through links embedded in its elements.
 *
 * A link that is in no list points to itself, so unlinking twice is harmless. Walk with
 * asgi_list_first() until NULL when elements may leave while walking. Header only: every
 * operation is a handful of stores.
 */
#ifndef ASGI_LIST_H
#define ASGI_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct asgi_link {
    struct asgi_link *prev, *next; /* weak: unlinking clears them */
} asgi_link_t;

#define ASGI_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void
asgi_link_init(asgi_link_t *link)
{
    link->prev = link->next = link;
}

static inline bool
asgi_link_linked(const asgi_link_t *link)
{
    return link->next != link;
}

static inline void
asgi_link_remove(asgi_link_t *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    asgi_link_init(link);
}

/* Puts the link last in the list; it must be in none. */
static inline void
asgi_list_push(asgi_link_t *list, asgi_link_t *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline asgi_link_t *
asgi_list_first(const asgi_link_t *list)
{
    return list->next != list ? list->next : NULL;
}

#endif
