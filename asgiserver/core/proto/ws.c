/* SPDX-License-Identifier: MIT
 *
 * ws.c: WebSocket frames; see ws.h. Called by asgi/ws_cycle.c.
 *
 * The parser is in one of two states: gathering a frame's head (2 to 14 bytes, kept in the parser
 * when they come piecemeal), or reading its payload. A head is judged when it is complete, before
 * any byte of its payload is looked at.
 */
#include "proto/ws.h"

#include "proto/ws_deflate.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#define PIECE 4096 /* compressed bytes unmasked at once */

enum { HEAD, PAYLOAD, FAILED, CLOSED };

void
asgi_ws_parser_init(asgi_ws_parser_t *parser, size_t max_size)
{
    memset(parser, 0, sizeof *parser);
    parser->max_size = max_size;
}

/* Sixteen bytes, which the compiler turns into a vector register where there are any. */
typedef uint64_t block_t __attribute__((vector_size(16)));

static inline void
unmask_block(char *out, const char *data, block_t key)
{
    block_t block;

    memcpy(&block, data, sizeof block);
    block ^= key;
    memcpy(out, &block, sizeof block);
}

void
asgi_ws_unmask(char *out, const char *data, size_t size, const uint8_t mask[4], size_t offset)
{
    uint8_t turned[16];
    block_t key;
    size_t i = 0;

    for (size_t j = 0; j < sizeof turned; j++)
        turned[j] = mask[(offset + j) & 3];
    memcpy(&key, turned, sizeof key);
    for (; size - i >= 64; i += 64) {
        unmask_block(out + i, data + i, key);
        unmask_block(out + i + 16, data + i + 16, key);
        unmask_block(out + i + 32, data + i + 32, key);
        unmask_block(out + i + 48, data + i + 48, key);
    }
    for (; size - i >= 16; i += 16)
        unmask_block(out + i, data + i, key);
    for (; i < size; i++)
        out[i] = (char)((uint8_t)data[i] ^ turned[i & 15]);
}

bool
asgi_ws_code_ok(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}

static asgi_ws_kind_t
fail(asgi_ws_parser_t *parser, asgi_ws_event_t *event, uint16_t code, const char *problem)
{
    parser->state = FAILED;
    parser->code = code;
    parser->problem = problem;
    event->code = code;
    event->problem = problem;
    return event->kind = ASGI_WS_ERROR;
}

/* ---- heads ---- */

/* Bytes of the head, as far as its first two tell. */
static size_t
head_size(const uint8_t *head)
{
    size_t length = head[1] & 0x7f;

    return 2 + (length == 127 ? 8 : length == 126 ? 2 : 0) + (head[1] & 0x80 ? 4 : 0);
}

/* What is wrong with the complete head, or NULL. */
static const char *
judge_head(asgi_ws_parser_t *parser)
{
    const uint8_t *head = parser->head;
    bool control = (head[0] & 0x08) != 0;
    uint64_t length = head[1] & 0x7f;

    parser->opcode = head[0] & 0x0f;
    if ((head[0] & 0x30)
        || ((head[0] & ASGI_WS_COMPRESSED)
            && (parser->deflate == NULL || control || parser->opcode == ASGI_WS_CONTINUATION)))
        return "reserved bits must be zero";
    parser->final = (head[0] & 0x80) != 0;
    if (parser->opcode > ASGI_WS_OP_PONG || (parser->opcode > ASGI_WS_BINARY && !control))
        return "invalid opcode";
    if (!(head[1] & 0x80))
        return "frames must be masked";
    if (length == 126) {
        length = (uint64_t)head[2] << 8 | head[3];
    } else if (length == 127) {
        length = 0;
        for (int i = 2; i < 10; i++)
            length = length << 8 | head[i];
        if (length >> 63)
            return "invalid frame length";
    }
    if (control && !parser->final)
        return "control frames must not be fragmented";
    if (control && length > ASGI_WS_CONTROL_MAX)
        return "control frame too long";
    if (!control && (parser->opcode == ASGI_WS_CONTINUATION) != (parser->message != 0))
        return parser->message != 0 ? "expected a continuation frame"
                                    : "unexpected continuation frame";
    memcpy(parser->mask, head + head_size(head) - 4, 4);
    parser->remaining = length;
    parser->offset = 0;
    return NULL;
}

/* Gathers the head's bytes. Returns how many were used up. */
static size_t
gather_head(asgi_ws_parser_t *parser, const char *data, size_t size)
{
    size_t used = 0;

    while (used < size && (parser->head_size < 2 || parser->head_size < head_size(parser->head)))
        parser->head[parser->head_size++] = (uint8_t)data[used++];
    return used;
}

/* Bytes of payload that the message may still have. Compressed ones do not say what they come to,
 * but no sender needs more than this for a message that does not shrink, and nobody may have us
 * read empty blocks for ever. */
static size_t
room_for(const asgi_ws_parser_t *parser)
{
    size_t most;

    if (!parser->compressed)
        return parser->max_size - parser->size;
    most = parser->max_size + parser->max_size / 16 + 64;
    return (most < parser->max_size ? SIZE_MAX : most) - parser->wire_size;
}

/* The head is complete: prepares for the payload. */
static asgi_ws_kind_t
begin_frame(asgi_ws_parser_t *parser, asgi_ws_event_t *event)
{
    const char *problem = judge_head(parser);

    if (problem != NULL)
        return fail(parser, event, ASGI_WS_PROTOCOL_ERROR, problem);
    parser->state = PAYLOAD;
    parser->head_size = 0;
    if (parser->opcode & 0x08) {
        parser->control_size = 0;
        return ASGI_WS_MORE;
    }
    if (parser->opcode != ASGI_WS_CONTINUATION) {
        parser->message = parser->opcode;
        parser->compressed = (parser->head[0] & ASGI_WS_COMPRESSED) != 0;
        parser->size = 0;
        parser->wire_size = 0;
        parser->utf8 = (asgi_utf8_t){0};
    }
    if (parser->remaining > room_for(parser))
        return fail(parser, event, ASGI_WS_TOO_BIG, "message too big");
    return ASGI_WS_MORE;
}

/* ---- payloads ---- */

/* `size` bytes of the message have been added to the buffer. */
static asgi_ws_kind_t
check_data(asgi_ws_parser_t *parser, const asgi_buf_t *into, size_t size, asgi_ws_event_t *event)
{
    parser->size += size;
    if (parser->message == ASGI_WS_TEXT && size > 0
        && !asgi_utf8_feed(&parser->utf8, into->data + into->end - size, size))
        return fail(parser, event, ASGI_WS_BAD_DATA, "invalid UTF-8");
    return ASGI_WS_MORE;
}

/* The same, of inflated bytes; rc: what inflating them came to. */
static asgi_ws_kind_t
check_inflated(asgi_ws_parser_t *parser, const asgi_buf_t *into, size_t before, int rc,
               asgi_ws_event_t *event)
{
    if (rc == ASGI_ERR_NOMEM)
        return fail(parser, event, 0, "out of memory");
    if (rc == ASGI_ERR_BODY_SIZE)
        return fail(parser, event, ASGI_WS_TOO_BIG, "message too big");
    if (check_data(parser, into, asgi_buf_size(into) - before, event) == ASGI_WS_MORE && rc < 0)
        fail(parser, event, ASGI_WS_PROTOCOL_ERROR, "decompression failed");
    return event->kind;
}

static asgi_ws_kind_t
take_compressed(asgi_ws_parser_t *parser, const char *data, size_t size, asgi_buf_t *into,
                asgi_ws_event_t *event)
{
    char piece[PIECE];

    while (size > 0) {
        size_t n = size < sizeof piece ? size : sizeof piece, before = asgi_buf_size(into);
        int rc;
        asgi_ws_unmask(piece, data, n, parser->mask, parser->offset);
        data += n;
        size -= n;
        parser->offset += n;
        parser->wire_size += n;
        parser->remaining -= n;
        rc = asgi_ws_inflate(parser->deflate, piece, n, parser->max_size - parser->size, into);
        if (check_inflated(parser, into, before, rc, event) != ASGI_WS_MORE)
            return event->kind;
    }
    return ASGI_WS_MORE;
}

static asgi_ws_kind_t
take_data(asgi_ws_parser_t *parser, const char *data, size_t size, asgi_buf_t *into,
          asgi_ws_event_t *event)
{
    if (size == 0)
        return ASGI_WS_MORE;
    if (parser->compressed)
        return take_compressed(parser, data, size, into, event);
    if (asgi_buf_reserve(into, size) < 0)
        return fail(parser, event, 0, "out of memory");
    asgi_ws_unmask(into->data + into->end, data, size, parser->mask, parser->offset);
    into->end += size;
    parser->offset += size;
    parser->remaining -= size;
    return check_data(parser, into, size, event);
}

static asgi_ws_kind_t
end_data(asgi_ws_parser_t *parser, asgi_buf_t *into, asgi_ws_event_t *event)
{
    parser->state = HEAD;
    if (!parser->final)
        return ASGI_WS_MORE;
    if (parser->compressed) {
        size_t before = asgi_buf_size(into);
        int rc = asgi_ws_inflate_end(parser->deflate, parser->max_size - parser->size, into);
        if (check_inflated(parser, into, before, rc, event) != ASGI_WS_MORE)
            return event->kind;
    }
    if (parser->message == ASGI_WS_TEXT && !asgi_utf8_complete(&parser->utf8))
        return fail(parser, event, ASGI_WS_BAD_DATA, "invalid UTF-8");
    event->text = parser->message == ASGI_WS_TEXT;
    event->size = parser->size;
    parser->message = 0;
    parser->size = 0;
    return event->kind = ASGI_WS_MESSAGE;
}

static asgi_ws_kind_t
end_close(asgi_ws_parser_t *parser, asgi_ws_event_t *event)
{
    asgi_utf8_t utf8 = {0};
    unsigned code;

    event->payload = (asgi_slice_t){NULL, 0};
    event->code = ASGI_WS_NO_CODE;
    if (parser->control_size == 1)
        return fail(parser, event, ASGI_WS_PROTOCOL_ERROR, "invalid close frame");
    if (parser->control_size >= 2) {
        code = (unsigned)(uint8_t)parser->control[0] << 8 | (uint8_t)parser->control[1];
        if (!asgi_ws_code_ok(code))
            return fail(parser, event, ASGI_WS_PROTOCOL_ERROR, "invalid close code");
        event->code = (uint16_t)code;
        event->payload = (asgi_slice_t){parser->control + 2, (size_t)parser->control_size - 2};
        if (!asgi_utf8_feed(&utf8, event->payload.data, event->payload.size)
            || !asgi_utf8_complete(&utf8))
            return fail(parser, event, ASGI_WS_BAD_DATA, "invalid UTF-8");
    }
    parser->state = CLOSED;
    return event->kind = ASGI_WS_CLOSE;
}

static asgi_ws_kind_t
end_control(asgi_ws_parser_t *parser, asgi_ws_event_t *event)
{
    parser->state = HEAD;
    if (parser->opcode == ASGI_WS_OP_CLOSE)
        return end_close(parser, event);
    event->payload = (asgi_slice_t){parser->control, parser->control_size};
    return event->kind = parser->opcode == ASGI_WS_OP_PING ? ASGI_WS_PING : ASGI_WS_PONG;
}

/* Reads payload. Returns an event's kind, MORE where none is due. */
static asgi_ws_kind_t
read_payload(asgi_ws_parser_t *parser, const char *data, size_t size, asgi_buf_t *into,
             asgi_ws_event_t *event)
{
    size_t piece = size < parser->remaining ? size : (size_t)parser->remaining;

    event->consumed += piece;
    if (!(parser->opcode & 0x08)) {
        if (take_data(parser, data, piece, into, event) != ASGI_WS_MORE)
            return event->kind;
        return parser->remaining == 0 ? end_data(parser, into, event) : ASGI_WS_MORE;
    }
    asgi_ws_unmask(parser->control + parser->control_size, data, piece, parser->mask,
                   parser->offset);
    parser->control_size = (uint8_t)(parser->control_size + piece);
    parser->offset += piece;
    parser->remaining -= piece;
    return parser->remaining == 0 ? end_control(parser, event) : ASGI_WS_MORE;
}

asgi_ws_kind_t
asgi_ws_next(asgi_ws_parser_t *parser, const char *data, size_t size, asgi_buf_t *into,
             asgi_ws_event_t *event)
{
    event->kind = ASGI_WS_MORE;
    event->consumed = 0;
    if (parser->state == FAILED)
        return fail(parser, event, parser->code, parser->problem);
    if (parser->state == CLOSED) {
        event->consumed = size;
        return ASGI_WS_MORE;
    }
    for (;;) {
        asgi_ws_kind_t kind;
        if (parser->state == HEAD) {
            event->consumed += gather_head(parser, data + event->consumed, size - event->consumed);
            if (parser->head_size < 2 || parser->head_size < head_size(parser->head))
                return ASGI_WS_MORE;
            if (begin_frame(parser, event) != ASGI_WS_MORE)
                return event->kind;
        }
        kind = read_payload(parser, data + event->consumed, size - event->consumed, into, event);
        if (kind != ASGI_WS_MORE || parser->state == PAYLOAD)
            return kind;
    }
}

/* ---- writing ---- */

size_t
asgi_ws_head(char out[ASGI_WS_HEAD_MAX], asgi_ws_opcode_t opcode, size_t size)
{
    uint64_t length = size;

    out[0] = (char)(0x80 | opcode);
    if (size < 126) {
        out[1] = (char)size;
        return 2;
    }
    if (size < 65536) {
        out[1] = 126;
        out[2] = (char)(size >> 8);
        out[3] = (char)size;
        return 4;
    }
    out[1] = 127;
    for (int i = 9; i >= 2; i--, length >>= 8)
        out[i] = (char)length;
    return 10;
}

int
asgi_ws_control(asgi_buf_t *buf, asgi_ws_opcode_t opcode, const char *payload, size_t size)
{
    char head[ASGI_WS_HEAD_MAX];
    size_t n = asgi_ws_head(head, opcode, size);

    if (asgi_buf_reserve(buf, n + size) < 0)
        return ASGI_ERR_NOMEM;
    return asgi_buf_append(buf, head, n) | asgi_buf_append(buf, payload, size);
}

int
asgi_ws_close(asgi_buf_t *buf, unsigned code, const char *reason, size_t size)
{
    char payload[ASGI_WS_CONTROL_MAX];

    if (code == ASGI_WS_NO_CODE)
        return asgi_ws_control(buf, ASGI_WS_OP_CLOSE, NULL, 0);
    if (size > sizeof payload - 2) {
        size = sizeof payload - 2;
        while (size > 0 && ((uint8_t)reason[size] & 0xc0) == 0x80)
            size--;
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (size > 0)
        memcpy(payload + 2, reason, size);
    return asgi_ws_control(buf, ASGI_WS_OP_CLOSE, payload, size + 2);
}

/* ---- handshake ---- */

bool
asgi_ws_key_ok(asgi_slice_t key)
{
    if (key.size != 24 || key.data[22] != '=' || key.data[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+'
              || c == '/'))
            return false;
    }
    return true;
}

void
asgi_ws_accept(const char *key, char out[ASGI_WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[24 + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];
    unsigned char encoded[ASGI_WS_ACCEPT_SIZE + 1];

    memcpy(text, key, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    SHA1(text, sizeof text, digest);
    EVP_EncodeBlock(encoded, digest, sizeof digest);
    memcpy(out, encoded, ASGI_WS_ACCEPT_SIZE);
}
