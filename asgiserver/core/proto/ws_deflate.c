/* SPDX-License-Identifier: MIT
 *
 * ws_deflate.c: compressing and inflating WebSocket messages with zlib; see ws_deflate.h. Called by
 * ws.c for what comes in, by asgi/ws_send.c for what goes out.
 *
 * zlib's raw streams know no window of 256 bytes (8 bits) when compressing. A stream of 9 bits
 * serves: it keeps 262 bytes of its window as look-ahead, so that no distance exceeds 250.
 * tests/unit/c/test_ws_deflate.c has an inflater of 8 bits read it. Inflating, 9 bits are taken for
 * 8 too, for peers whose library does likewise.
 */
#include "proto/ws_deflate.h"

#include "proto/ws.h"

#include <limits.h>
#include <zlib.h>

#define LEVEL 6
#define MEM_LEVEL 5             /* hash and pending output of 16 KiB */
#define TAIL "\x00\x00\xff\xff" /* an empty stored block: the end of every message, not sent */
#define TAIL_SIZE 4
#define LEAST_ROOM 256 /* for inflated bytes */
#define MOST_ROOM 65536
#define SKIP_LOG_MAX 5 /* at most 32 messages go out untried */

struct asgi_ws_deflate {
    asgi_ws_extension_t agreed;
    bool deflating; /* `out` is initialised */
    bool inflating; /* `in` is */
    bool used;      /* `out` was, since the last rest */
    uint8_t misses; /* messages in a row that did not shrink */
    uint8_t skip;   /* messages not to be tried */
    z_stream out;
    z_stream in;
};

asgi_ws_deflate_t *
asgi_ws_deflate_new(const asgi_ws_extension_t *agreed)
{
    asgi_ws_deflate_t *deflate = calloc(1, sizeof *deflate);

    if (deflate != NULL)
        deflate->agreed = *agreed;
    return deflate;
}

static int
raw_bits(unsigned bits)
{
    return -(int)(bits < 9 ? 9 : bits);
}

static void
stop_deflating(asgi_ws_deflate_t *deflate)
{
    if (deflate->deflating)
        deflateEnd(&deflate->out);
    deflate->deflating = false;
}

static void
stop_inflating(asgi_ws_deflate_t *deflate)
{
    if (deflate->inflating)
        inflateEnd(&deflate->in);
    deflate->inflating = false;
}

void
asgi_ws_deflate_free(asgi_ws_deflate_t *deflate)
{
    if (deflate == NULL)
        return;
    stop_deflating(deflate);
    stop_inflating(deflate);
    free(deflate);
}

void
asgi_ws_deflate_rest(asgi_ws_deflate_t *deflate)
{
    if (!deflate->used)
        stop_deflating(deflate);
    deflate->used = false;
}

/* ---- compressing ---- */

/* Appends the compressed message and its tail, `most` bytes at most. Returns 1, 0 where they do not
 * suffice, or ASGI_ERR_NOMEM. */
static int
compress_into(z_stream *out, asgi_buf_t *buf, asgi_slice_t message, size_t most)
{
    out->next_in = (Bytef *)message.data;
    out->avail_in = (uInt)message.size;
    while (most > 0) {
        size_t room = most < 512 ? most : most / 4 < 512 ? 512 : most / 4;
        if (room > MOST_ROOM)
            room = MOST_ROOM;
        if (asgi_buf_reserve(buf, room) < 0)
            return ASGI_ERR_NOMEM;
        out->next_out = (Bytef *)buf->data + buf->end;
        out->avail_out = (uInt)room;
        if (deflate(out, Z_SYNC_FLUSH) != Z_OK)
            return 0;
        buf->end += room - out->avail_out;
        most -= room - out->avail_out;
        if (out->avail_out > 0)
            return 1;
    }
    return 0;
}

int
asgi_ws_deflate_frame(asgi_ws_deflate_t *deflate, asgi_buf_t *buf, unsigned opcode,
                      asgi_slice_t message)
{
    size_t before = asgi_buf_size(buf), size, head_size;
    char head[ASGI_WS_HEAD_MAX], *frame;
    int rc;

    if (message.size < ASGI_WS_DEFLATE_MIN || message.size > UINT_MAX)
        return 0;
    if (deflate->skip > 0) {
        deflate->skip--;
        return 0;
    }
    if (!deflate->deflating) {
        memset(&deflate->out, 0, sizeof deflate->out);
        if (deflateInit2(&deflate->out, LEVEL, Z_DEFLATED, raw_bits(deflate->agreed.server_bits),
                         MEM_LEVEL, Z_DEFAULT_STRATEGY)
            != Z_OK)
            return ASGI_ERR_NOMEM;
        deflate->deflating = true;
    }
    deflate->used = true;
    /* Room for the longest head; once the size is known the payload moves up to its own. */
    if (asgi_buf_reserve(buf, ASGI_WS_HEAD_MAX) < 0)
        return ASGI_ERR_NOMEM;
    buf->end += ASGI_WS_HEAD_MAX;
    rc = compress_into(&deflate->out, buf, message, message.size + TAIL_SIZE - 1);
    if (rc <= 0) {
        /* The peer will not see what the stream has in its window now. */
        stop_deflating(deflate);
        buf->end = buf->start + before;
        if (rc == 0) {
            if (deflate->misses < SKIP_LOG_MAX)
                deflate->misses++;
            deflate->skip = (uint8_t)(1u << deflate->misses);
        }
        return rc;
    }
    deflate->misses = 0;
    frame = buf->data + buf->start + before;
    size = asgi_buf_size(buf) - before - ASGI_WS_HEAD_MAX - TAIL_SIZE;
    head_size = asgi_ws_head(head, opcode, size);
    head[0] = (char)(head[0] | ASGI_WS_COMPRESSED);
    memmove(frame + head_size, frame + ASGI_WS_HEAD_MAX, size);
    memcpy(frame, head, head_size);
    buf->end = buf->start + before + head_size + size;
    if (deflate->agreed.server_no_takeover)
        stop_deflating(deflate);
    return 1;
}

/* ---- inflating ---- */

static int
start_inflating(asgi_ws_deflate_t *deflate)
{
    if (deflate->inflating)
        return 0;
    memset(&deflate->in, 0, sizeof deflate->in);
    if (inflateInit2(&deflate->in, raw_bits(deflate->agreed.client_bits)) != Z_OK)
        return ASGI_ERR_NOMEM;
    deflate->inflating = true;
    return 0;
}

int
asgi_ws_inflate(asgi_ws_deflate_t *deflate, const char *data, size_t size, size_t most,
                asgi_buf_t *into)
{
    z_stream *in = &deflate->in;

    if (start_inflating(deflate) < 0)
        return ASGI_ERR_NOMEM;
    in->next_in = (Bytef *)data;
    in->avail_in = (uInt)size;
    for (;;) {
        size_t room = (size_t)in->avail_in * 4;
        Bytef beyond;
        int rc;
        room = room < LEAST_ROOM ? LEAST_ROOM : room > MOST_ROOM ? MOST_ROOM : room;
        if (most > 0) {
            if (asgi_buf_reserve(into, room < most ? room : most) < 0)
                return ASGI_ERR_NOMEM;
            room = into->capacity - into->end;
            if (room > most)
                room = most;
            if (room > MOST_ROOM)
                room = MOST_ROOM;
            in->next_out = (Bytef *)into->data + into->end;
        } else {
            room = 1; /* where one byte comes, the message is too long */
            in->next_out = &beyond;
        }
        in->avail_out = (uInt)room;
        rc = inflate(in, Z_SYNC_FLUSH);
        room -= in->avail_out;
        if (room > most)
            return ASGI_ERR_BODY_SIZE;
        into->end += room;
        most -= room;
        if (rc == Z_STREAM_END) {
            /* A last block may stand anywhere in a message (RFC 7692 7.2.3.4): what follows is a
             * new stream over the same window. inflateReset() would lose the window, and to
             * save and restore it would let a peer have 32 KiB copied for every two bytes. */
            rc = inflateResetKeep(in);
        }
        if (rc == Z_MEM_ERROR)
            return ASGI_ERR_NOMEM;
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return ASGI_ERR_SYNTAX;
        /* With no input left and the room filled, more may still be to come: asked once more,
         * zlib answers BUF_ERROR when it is not. */
        if (in->avail_in == 0 && (in->avail_out > 0 || rc == Z_BUF_ERROR))
            return 0;
    }
}

int
asgi_ws_inflate_end(asgi_ws_deflate_t *deflate, size_t most, asgi_buf_t *into)
{
    int rc = asgi_ws_inflate(deflate, TAIL, TAIL_SIZE, most, into);

    /* 128: between blocks. */
    if (rc == 0 && !(deflate->in.data_type & 128))
        rc = ASGI_ERR_SYNTAX;
    if (deflate->agreed.client_no_takeover)
        stop_inflating(deflate);
    return rc;
}
