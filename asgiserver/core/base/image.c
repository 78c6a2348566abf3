/* SPDX-License-Identifier: MIT
 *
 * image.c: walks the loaded objects' segments with /proc/self/pagemap beside; see image.h.
 *
 * Called by Python once per process, when it has started. Invariant: madvise(MADV_DONTNEED) is
 * given a page only if the kernel has just said that it is mapped from its file or not at all.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "base/image.h"

#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* An entry of pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst). */
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_OF_FILE (UINT64_C(1) << 61)

#define ENTRIES 1024 /* asked for at once: 4 MiB of address space */

struct walk {
    int pagemap;
    size_t page;
    size_t released;
};

/* The pages from..to, `idle` of them mapped, hold nothing of our own. */
static void
let_go(struct walk *walk, uintptr_t from, uintptr_t to, size_t idle)
{
    if (idle != 0 && madvise((void *)from, to - from, MADV_DONTNEED) == 0) {
        walk->released += idle * walk->page;
    }
}

static void
release_range(struct walk *walk, uintptr_t from, uintptr_t to)
{
    uint64_t entries[ENTRIES];
    uintptr_t run = from;
    size_t idle = 0;

    while (from < to) {
        size_t want = (to - from) / walk->page;
        want = want < ENTRIES ? want : ENTRIES;
        ssize_t got = pread(walk->pagemap, entries, want * sizeof(*entries),
                            (off_t)(from / walk->page * sizeof(*entries)));
        if (got < (ssize_t)sizeof(*entries)) {
            break;
        }
        for (size_t i = 0; i < (size_t)got / sizeof(*entries); i++, from += walk->page) {
            bool mapped = (entries[i] & PAGE_PRESENT) != 0;
            if ((entries[i] & PAGE_SWAPPED) || (mapped && !(entries[i] & PAGE_OF_FILE))) {
                let_go(walk, run, from, idle);
                run = from + walk->page;
                idle = 0;
            } else {
                idle += mapped;
            }
        }
    }
    let_go(walk, run, from, idle);
}

static int
release_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct walk *walk = arg;

    (void)size;
    if (info->dlpi_name == NULL || info->dlpi_name[0] != '/') {
        return 0; /* the program itself, and the kernel's vdso */
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W)) {
            uintptr_t start = info->dlpi_addr + segment->p_vaddr, mask = walk->page - 1;
            release_range(walk, (start + mask) & ~mask, (start + segment->p_memsz) & ~mask);
        }
    }
    return 0;
}

size_t
asgi_image_release(void)
{
    struct walk walk = {
        .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
        .page = (size_t)sysconf(_SC_PAGESIZE),
    };

    if (walk.pagemap < 0) {
        return 0;
    }
    dl_iterate_phdr(release_object, &walk);
    close(walk.pagemap);
    return walk.released;
}
