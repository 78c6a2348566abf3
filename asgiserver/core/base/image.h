/* SPDX-License-Identifier: MIT
 *
 * image.h: the shared objects mapped into this process, and giving back what of them is idle.
 *
 * Loading and starting touch far more of a library than serving does: the dynamic linker reads
 * every relocation (10 MB of them in libnode), an interpreter's or an engine's start runs code that
 * never runs again. Such pages are the file's own and come back from the page cache when somebody
 * touches them, so a process that has started can let go of all of them at once and take back what
 * it really uses.
 */
#ifndef ASGI_BASE_IMAGE_H
#define ASGI_BASE_IMAGE_H

#include <stddef.h>

/* Unmaps the pages of all shared objects that are read-only or code and still the file's own.
 * Pages that anybody has written to stay: relocated ones, a debugger's breakpoints, a patched
 * function. Returns how many bytes were let go; 0 where the kernel does not tell whose a page is.
 * Any thread may call it at any time; others at most fault a page in again. */
size_t asgi_image_release(void);

#endif
