/* SPDX-License-Identifier: MIT
 *
 * heap.h: how much freed memory malloc keeps for the next request.
 *
 * glibc maps blocks from 128 KiB on one by one and gives the end of the heap back to the system as
 * soon as that much of it is free; both limits grow with the blocks that are freed, but not beyond
 * what the largest has asked for. A server whose requests have megabytes of body thus gets the same
 * pages again and again, and the kernel zeroes each of them each time: half of what a megabyte cost.
 */
#ifndef ASGI_BASE_HEAP_H
#define ASGI_BASE_HEAP_H

#include <stdbool.h>

/* Sets both limits for this process, unless its environment says something about malloc (MALLOC_*_,
 * GLIBC_TUNABLES). Returns whether they were set; never with another C library's malloc. */
bool asgi_heap_keep(void);

#endif
