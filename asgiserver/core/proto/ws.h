/* SPDX-License-Identifier: MIT
 *
 * ws.h: WebSocket (RFC 6455) framing for a server: handshake values, frames in, frames out.
 *
 * Reading is a pull API: call asgi_ws_next() with bytes until it answers MORE. Payload of data
 * frames is unmasked straight to the end of a buffer of the caller's, fragments one behind the
 * other, so a message is contiguous when it is complete; whatever lies before it in the buffer is
 * left alone. Control frames are kept whole in the parser. All bytes given are consumed up to the
 * event, a frame may be cut anywhere.
 *
 *   event     meaning
 *   MORE      everything is consumed, no event
 *   MESSAGE   the last `size` bytes of the buffer are a message; text: checked to be UTF-8
 *   PING      payload is to be sent back in a pong
 *   PONG      payload as received
 *   CLOSE     code (1005: none was given) and reason, checked; nothing after it is read
 *   ERROR     code is the close code that says what is wrong, or 0 without memory; the parser
 *             answers ERROR for ever after
 *
 * Bounds: a message has at most max_size bytes, refused when the frame's head is read; a control
 * frame 125. With permessage-deflate (`deflate` is set) RSV1 on a message's first frame says that
 * it is compressed; then max_size bounds what it inflates to, while it is being inflated, and its
 * compressed form may be a sixteenth longer. Every other reserved bit is an error.
 */
#ifndef ASGI_WS_H
#define ASGI_WS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/utf8.h"

#include <stdint.h>

struct asgi_ws_deflate; /* of proto/ws_deflate.h */

#define ASGI_WS_CONTROL_MAX 125
#define ASGI_WS_HEAD_MAX 10     /* bytes of a frame's head, unmasked */
#define ASGI_WS_COMPRESSED 0x40 /* RSV1, in a head's first byte */
#define ASGI_WS_ACCEPT_SIZE 28  /* of Sec-WebSocket-Accept */

/* Close codes that we give or report. */
#define ASGI_WS_NORMAL 1000
#define ASGI_WS_PROTOCOL_ERROR 1002
#define ASGI_WS_NO_CODE 1005
#define ASGI_WS_ABNORMAL 1006
#define ASGI_WS_BAD_DATA 1007
#define ASGI_WS_TOO_BIG 1009
#define ASGI_WS_INTERNAL_ERROR 1011
#define ASGI_WS_RESTART 1012

typedef enum {
    ASGI_WS_CONTINUATION = 0x0,
    ASGI_WS_TEXT = 0x1,
    ASGI_WS_BINARY = 0x2,
    ASGI_WS_OP_CLOSE = 0x8,
    ASGI_WS_OP_PING = 0x9,
    ASGI_WS_OP_PONG = 0xa,
} asgi_ws_opcode_t;

typedef enum {
    ASGI_WS_MORE,
    ASGI_WS_MESSAGE,
    ASGI_WS_PING,
    ASGI_WS_PONG,
    ASGI_WS_CLOSE,
    ASGI_WS_ERROR,
} asgi_ws_kind_t;

typedef struct {
    asgi_ws_kind_t kind;
    size_t consumed;
    bool text;            /* MESSAGE */
    size_t size;          /* MESSAGE */
    uint16_t code;        /* CLOSE, ERROR */
    const char *problem;  /* ERROR: static, a reason for the close frame */
    asgi_slice_t payload; /* PING, PONG; CLOSE: the reason. Valid until the next call */
} asgi_ws_event_t;

typedef struct {
    size_t max_size;                 /* set by the owner */
    struct asgi_ws_deflate *deflate; /* set by the owner, who keeps it; NULL: not agreed on */

    /* Private. */
    uint8_t head[14]; /* of the frame being read, mask included */
    uint8_t head_size;
    uint8_t state;
    uint8_t opcode;  /* of the frame */
    uint8_t message; /* opcode of the message under way, 0 between messages */
    bool final;
    bool compressed; /* the message under way */
    uint8_t mask[4];
    uint64_t remaining; /* of the frame's payload */
    size_t offset;      /* into the frame's payload: where the mask stands */
    size_t size;        /* of the message so far */
    size_t wire_size;   /* of its compressed form so far */
    asgi_utf8_t utf8;
    uint16_t code; /* of the error */
    const char *problem;
    uint8_t control_size;
    char control[ASGI_WS_CONTROL_MAX];
} asgi_ws_parser_t;

void asgi_ws_parser_init(asgi_ws_parser_t *parser, size_t max_size);

/* See the table above. Returns event->kind. */
asgi_ws_kind_t asgi_ws_next(asgi_ws_parser_t *parser, const char *data, size_t size,
                            asgi_buf_t *into, asgi_ws_event_t *event);

/* out = data with the mask applied, which starts at byte `offset` of the payload. May be in
 * place. */
void asgi_ws_unmask(char *out, const char *data, size_t size, const uint8_t mask[4], size_t offset);

/* Whether a code may stand in a close frame. */
bool asgi_ws_code_ok(unsigned code);

/* Writes the head of an unmasked, final frame. Returns its size. */
size_t asgi_ws_head(char out[ASGI_WS_HEAD_MAX], asgi_ws_opcode_t opcode, size_t size);

/* Appends a control frame; size <= 125. */
ASGI_MUST_CHECK int asgi_ws_control(asgi_buf_t *buf, asgi_ws_opcode_t opcode, const char *payload,
                                    size_t size);

/* Appends a close frame; NO_CODE gives an empty one. A reason that is too long is cut, between
 * characters. */
ASGI_MUST_CHECK int asgi_ws_close(asgi_buf_t *buf, unsigned code, const char *reason, size_t size);

/* Whether a Sec-WebSocket-Key is 16 bytes in base64. */
bool asgi_ws_key_ok(asgi_slice_t key);

/* The Sec-WebSocket-Accept that answers a key of 24 bytes. */
void asgi_ws_accept(const char *key, char out[ASGI_WS_ACCEPT_SIZE]);

#endif
