/* SPDX-License-Identifier: MIT
 *
 * heap.c: two settings of glibc's malloc; see heap.h. Called once, when a process that is ours alone
 * has started.
 */
#include "base/heap.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_FROM (32 << 20) /* where glibc's own growing limit ends, too */
#define KEPT_AT_END (16 << 20)

bool
asgi_heap_keep(void)
{
#ifdef __GLIBC__
    static const char *const names[] = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_",
                                        "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_"};
    const char *tunables = getenv("GLIBC_TUNABLES");

    if (tunables != NULL && strstr(tunables, "glibc.malloc.") != NULL)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (getenv(names[i]) != NULL)
            return false;
    }
    return mallopt(M_MMAP_THRESHOLD, MAPPED_FROM) == 1
           && mallopt(M_TRIM_THRESHOLD, KEPT_AT_END) == 1;
#else
    return false;
#endif
}
