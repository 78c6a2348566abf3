/* SPDX-License-Identifier: MIT
 *
 * ws_deflate.h: the messages of one connection through zlib (RFC 7692), both ways.
 *
 * Memory. A zlib stream is there only while it is of use: each is made for the first message that
 * needs it, and freed behind every message where no context is taken over. What we compress with
 * may be dropped at any time, since a new stream refers to nothing older: that is done when a
 * message did not shrink, and by asgi_ws_deflate_rest() for a connection that has gone quiet. What
 * we inflate with has to stay, for the peer may refer to earlier messages.
 *
 *   agreed                    compressing   inflating
 *   12 bits, takeover         38 KiB        7 KiB and the window: 4 KiB
 *   no client_max_window_bits 38 KiB        7 KiB and 32 KiB
 *   no takeover               nothing stays between messages
 *
 * Bounds. Inflating never appends more than it was allowed to: the bound is zlib's room for output,
 * so nothing beyond it is ever computed. Compressing never appends more than the message's size.
 */
#ifndef ASGI_WS_DEFLATE_H
#define ASGI_WS_DEFLATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/ws_extension.h"

/* Messages below this size are sent as they are: what the network would be spared is less than
 * its own headers. */
#define ASGI_WS_DEFLATE_MIN 128

typedef struct asgi_ws_deflate asgi_ws_deflate_t;

/* Returns: new, owned by the caller; NULL without memory. */
asgi_ws_deflate_t *asgi_ws_deflate_new(const asgi_ws_extension_t *agreed);
void asgi_ws_deflate_free(asgi_ws_deflate_t *deflate); /* NULL is fine */

/* Appends the message as a whole compressed frame, its head included. Returns 1; 0 where it is
 * better sent as it is, with nothing appended; or ASGI_ERR_NOMEM, likewise. */
ASGI_MUST_CHECK int asgi_ws_deflate_frame(asgi_ws_deflate_t *deflate, asgi_buf_t *buf,
                                          unsigned opcode, asgi_slice_t message);

/* Appends at most `most` bytes to `into`, of a piece of a compressed message. Returns 0,
 * ASGI_ERR_SYNTAX for what is no deflate data, ASGI_ERR_BODY_SIZE where it is more than `most`,
 * or ASGI_ERR_NOMEM. After a failure the stream is of no further use. */
ASGI_MUST_CHECK int asgi_ws_inflate(asgi_ws_deflate_t *deflate, const char *data, size_t size,
                                    size_t most, asgi_buf_t *into);

/* The same for the end of a message, which holds what the sender left out (RFC 7692 7.2.2). A
 * message that ends within a deflate block is ASGI_ERR_SYNTAX. */
ASGI_MUST_CHECK int asgi_ws_inflate_end(asgi_ws_deflate_t *deflate, size_t most, asgi_buf_t *into);

/* Called now and then: frees the compressing stream if no message went through it since the last
 * call. */
void asgi_ws_deflate_rest(asgi_ws_deflate_t *deflate);

#endif
