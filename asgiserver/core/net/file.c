/* SPDX-License-Identifier: MIT
 *
 * file.c: sendfile(2) between pieces that go through the stream's queue; see file.h.
 *
 * Reading a file may wait for the disk, on the loop's thread: a step is bounded so that this is
 * short, and the kernel's read-ahead is asked to be quicker than the client.
 */
#define _GNU_SOURCE /* posix_fadvise with 64-bit offsets */

#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define STEP_BYTES (2u << 20) /* by sendfile(2) in one step */
#define PIECE 32768           /* through the stream's queue */

asgi_file_t *
asgi_file_new(int fd, off_t offset, uint64_t size)
{
    asgi_file_t *file = malloc(sizeof *file);

    if (file == NULL) {
        close(fd);
        return NULL;
    }
    *file = (asgi_file_t){.fd = fd, .offset = offset, .remaining = size};
    (void)posix_fadvise(fd, offset, (off_t)size, POSIX_FADV_SEQUENTIAL);
    return file;
}

void
asgi_file_free(asgi_file_t *file)
{
    if (file != NULL) {
        close(file->fd);
        free(file);
    }
}

int
asgi_file_read(int fd, off_t offset, size_t size, asgi_buf_t *buf)
{
    if (asgi_buf_reserve(buf, size) < 0)
        return ASGI_ERR_NOMEM;
    while (size > 0) {
        ssize_t n = pread(fd, buf->data + buf->end, size, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? uv_translate_sys_error(errno) : ASGI_ERR_FILE;
        buf->end += (size_t)n;
        offset += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Straight from the file to the socket. Returns 0 when that goes no further for now, or an error. */
static int
bypass(asgi_file_t *file, asgi_stream_t *stream)
{
    uint64_t budget = STEP_BYTES;
    uv_os_fd_t socket;

    if (uv_fileno(&stream->uv.handle, &socket) < 0)
        return 0;
    while (file->remaining > 0 && budget > 0) {
        size_t size = file->remaining < budget ? (size_t)file->remaining : (size_t)budget;
        ssize_t n = sendfile(socket, file->fd, &file->offset, size);
        if (n > 0) {
            file->remaining -= (uint64_t)n;
            budget -= (uint64_t)n;
        } else if (n == 0) {
            return ASGI_ERR_FILE;
        } else if (errno == EINVAL || errno == ENOSYS || errno == EOVERFLOW) {
            file->copy = true;
            return 0;
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            return uv_translate_sys_error(errno);
        }
    }
    return 0;
}

int
asgi_file_send(asgi_file_t *file, asgi_stream_t *stream)
{
    size_t size;
    int rc;

    asgi_stream_flush(stream, (asgi_slice_t){NULL, 0}, NULL);
    if (stream->closing || stream->broken || asgi_stream_pending(stream) > 0)
        return 0;
    if (asgi_stream_raw(stream) && !file->copy && (rc = bypass(file, stream)) < 0)
        return rc;
    if (file->remaining == 0)
        return 1;
    size = file->remaining < PIECE ? (size_t)file->remaining : PIECE;
    rc = asgi_file_read(file->fd, file->offset, size, asgi_stream_out(stream));
    if (rc < 0)
        return rc;
    file->offset += (off_t)size;
    file->remaining -= size;
    asgi_stream_queue(stream);
    return 0;
}
