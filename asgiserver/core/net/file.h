/* SPDX-License-Identifier: MIT
 *
 * file.h: a stretch of a file on its way out through a stream, without passing through Python and,
 * where the stream allows it, without being copied: sendfile(2).
 *
 * Used by asgi/send_ext.c. The file's bytes follow what is in the stream's output buffer; nothing
 * may be appended there until the stretch is sent. A step never blocks on the client: when the
 * socket is full, or after STEP_BYTES for the sake of others, one small piece goes through the
 * stream's own queue, whose on_sent says when to take the next step. So no second watcher of the
 * socket is needed, and a stream that cannot be bypassed (asgi_stream_raw() is false: it encrypts)
 * sends everything that way.
 */
#ifndef ASGI_FILE_H
#define ASGI_FILE_H

#include "net/stream.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct {
    int fd; /* owned */
    off_t offset;
    uint64_t remaining;
    bool copy; /* sendfile(2) cannot read this file */
} asgi_file_t;

/* Steals: fd. Returns: new, or NULL without memory (fd is closed then). */
asgi_file_t *asgi_file_new(int fd, off_t offset, uint64_t size);
void asgi_file_free(asgi_file_t *file);

/* Takes a step. Returns 1 when all is handed over, 0 when on_sent will ask for the next step (or the
 * stream has broken), or a negative code: ASGI_ERR_FILE where the file is shorter than it was. */
ASGI_MUST_CHECK int asgi_file_send(asgi_file_t *file, asgi_stream_t *stream);

/* Appends size bytes of a file to a buffer. Returns 0, NOMEM, a libuv code or ASGI_ERR_FILE; what
 * was appended before is the caller's to take back. */
ASGI_MUST_CHECK int asgi_file_read(int fd, off_t offset, size_t size, asgi_buf_t *buf);

#endif
