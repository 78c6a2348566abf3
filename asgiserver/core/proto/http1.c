/* SPDX-License-Identifier: MIT
 *
 * http1.c: the request parser of http1.h. net/conn_http1.c is its only caller in the server.
 *
 * State machine (one per connection):
 *
 *   HEAD ──complete──▶ LENGTH (content-length > 0) ──▶ OVER
 *                 ├──▶ CHUNK_* (chunked) ──▶ TRAILERS ──▶ OVER
 *                 └──▶ OVER (no body)
 *   HEAD ──what llhttp refuses──▶ BAD_LINE ──its end──▶ BROKEN
 *   OVER ──next()──▶ END event, HEAD          any ──error──▶ BROKEN
 *
 * llhttp only ever sees heads: on_headers_complete pauses it at the last LF, and the parser is
 * reset before the next head.
 */
#define _GNU_SOURCE /* memmem */

#include "proto/http1.h"

#include "proto/http1_line.h"

#include <limits.h>
#include <stdlib.h>

enum {
    BAD_LINE, /* a request line llhttp has refused: its end tells the status */
    HEAD,
    LENGTH,
    CHUNK_SIZE_FIRST, /* at least one hex digit is due */
    CHUNK_SIZE,
    CHUNK_EXTENSION_NAME, /* its first character is due */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILERS, /* behind the last chunk's size: fields, or the empty line at once */
    OVER,
    BROKEN,
};

#define MAX_NAME 256       /* bytes of a field's name */
#define MAX_SIZE_DIGITS 16 /* of a chunk's size, leading zeros included */

/* ---- llhttp's callbacks: note offsets, judge nothing ---- */

static int
on_url(llhttp_t *parser, const char *at, size_t size)
{
    asgi_http1_t *http1 = parser->data;

    if (http1->request.target_size == 0)
        http1->request.target = (uint32_t)(at - http1->base);
    http1->request.target_size += (uint32_t)size;
    return 0;
}

static int
on_url_complete(llhttp_t *parser)
{
    ((asgi_http1_t *)parser->data)->done_target = true;
    return 0;
}

static int
grow_fields(asgi_http1_t *http1)
{
    uint32_t capacity = http1->field_capacity * 2;
    bool first = http1->request.fields == http1->inline_fields;
    asgi_field_t *fields = realloc(first ? NULL : http1->request.fields, capacity * sizeof *fields);

    if (fields == NULL)
        return ASGI_ERR_NOMEM;
    if (first)
        memcpy(fields, http1->inline_fields, sizeof http1->inline_fields);
    http1->request.fields = fields;
    http1->field_capacity = capacity;
    return 0;
}

static int
on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    asgi_http1_t *http1 = parser->data;
    asgi_field_t *field;

    if (!http1->in_field) {
        if (http1->request.field_count >= http1->max_fields) {
            http1->error = ASGI_ERR_HEAD_SIZE;
            return -1;
        }
        if (http1->request.field_count == http1->field_capacity && grow_fields(http1) < 0) {
            http1->error = ASGI_ERR_NOMEM;
            return -1;
        }
        field = &http1->request.fields[http1->request.field_count++];
        *field = (asgi_field_t){.name = (uint32_t)(at - http1->base)};
        http1->in_field = true;
    }
    http1->request.fields[http1->request.field_count - 1].name_size += (uint32_t)size;
    return 0;
}

static int
on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    asgi_http1_t *http1 = parser->data;
    asgi_field_t *field;

    if (http1->request.field_count == 0)
        return -1;
    field = &http1->request.fields[http1->request.field_count - 1];
    if (field->value_size == 0)
        field->value = (uint32_t)(at - http1->base);
    field->value_size += (uint32_t)size;
    return 0;
}

static int
on_header_value_complete(llhttp_t *parser)
{
    ((asgi_http1_t *)parser->data)->in_field = false;
    return 0;
}

static int
on_headers_complete(llhttp_t *parser)
{
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
};

/* ---- life ---- */

static void
begin_head(asgi_http1_t *http1)
{
    /* Not llhttp_reset(): that keeps nothing we need and costs the same. */
    llhttp_init(&http1->llhttp, HTTP_REQUEST, &settings);
    http1->llhttp.data = http1;
    http1->state = HEAD;
    http1->fed = 0;
    http1->request.target_size = 0;
    http1->request.field_count = 0;
    http1->in_field = false;
    http1->done_target = false;
    http1->framing = 0;
    http1->received = 0;
    http1->remaining = 0;
}

void
asgi_http1_init(asgi_http1_t *http1)
{
    memset(http1, 0, offsetof(asgi_http1_t, inline_fields));
    http1->request.fields = http1->inline_fields;
    http1->field_capacity = ASGI_HTTP1_INLINE_FIELDS;
    http1->max_head_bytes = http1->max_line_bytes = 65536;
    http1->max_fields = 256;
    http1->max_chunk_extra = 8192;
    begin_head(http1);
}

void
asgi_http1_dispose(asgi_http1_t *http1)
{
    if (http1->request.fields != http1->inline_fields)
        free(http1->request.fields);
    http1->request.fields = http1->inline_fields;
    http1->field_capacity = ASGI_HTTP1_INLINE_FIELDS;
}

/* ---- a complete head ---- */

/* Every line of the head ends in CRLF, no CR stands alone, no line is folded, and the head ends
 * in an empty line: true for all versions of llhttp, whatever they let through. */
static bool
lines_ok(const char *head, size_t size)
{
    const char *p = head, *end = head + size;

    if (size < 4 || memcmp(end - 4, "\r\n\r\n", 4) != 0)
        return false;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *cr = memchr(p, '\r', (size_t)(end - p));
        if (lf == NULL || cr == NULL || lf != cr + 1)
            return false;
        p = lf + 1;
        if (p < end && (*p == ' ' || *p == '\t'))
            return false;
    }
    return true;
}

/* The request line is exactly METHOD SP target SP HTTP/1.x CRLF with a printable target. */
static int
check_request_line(asgi_http1_t *http1, const char *head, size_t size)
{
    const char *method = llhttp_method_name((llhttp_method_t)http1->llhttp.method);
    size_t method_size = strlen(method);
    size_t start = 0, target = http1->request.target,
           after = http1->request.target + http1->request.target_size;

    while (start < size && (head[start] == '\r' || head[start] == '\n'))
        start++; /* empty lines before a request are tolerated (RFC 9112 2.2) */
    if (http1->request.target_size == 0 || target != start + method_size + 1
        || head[target - 1] != ' ' || memcmp(head + start, method, method_size) != 0)
        return ASGI_ERR_SYNTAX;
    if (size - after < 11 || memcmp(head + after, " HTTP/", 6) != 0)
        return ASGI_ERR_SYNTAX;
    if (head[after + 6] != '1' || head[after + 7] != '.'
        || (head[after + 8] != '0' && head[after + 8] != '1') || head[after + 9] != '\r')
        return asgi_http1_line_fault(head, size);
    for (size_t i = target; i < after; i++) {
        if (head[i] <= 0x20 || head[i] == 0x7f) /* char is signed here: refuses >= 0x80 too */
            return ASGI_ERR_SYNTAX;
    }
    http1->request.minor = (uint8_t)(head[after + 8] - '0');
    http1->request.method = http1->llhttp.method;
    return 0;
}

static int
parse_length(asgi_slice_t value, uint64_t *length)
{
    uint64_t n = 0;

    if (value.size == 0 || value.size > 19)
        return ASGI_ERR_FRAMING;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return ASGI_ERR_FRAMING;
        n = n * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (n > INT64_MAX)
        return ASGI_ERR_FRAMING;
    *length = n;
    return 0;
}

/* What the fields seen so far say about the message; local to judging one head. */
typedef struct {
    unsigned hosts, lengths, codings;
    bool close, keep_alive, upgrade_token, upgrade_field;
    bool chunked_last;
} verdict_t;

static int
judge_field(asgi_http1_t *http1, int id, asgi_slice_t value, verdict_t *verdict)
{
    asgi_slice_t rest = value, item;

    switch (id) {
    case ASGI_HEADER_HOST:
        if (++verdict->hosts > 1 || !asgi_http1_host_ok(value))
            return ASGI_ERR_HOST;
        break;
    case ASGI_HEADER_CONTENT_LENGTH:
        if (++verdict->lengths > 1)
            return ASGI_ERR_FRAMING;
        return parse_length(value, &http1->request.content_length);
    case ASGI_HEADER_TRANSFER_ENCODING:
        /* One after another so that two header lines count as one list. */
        while (asgi_slice_next_item(&rest, &item)) {
            if (verdict->chunked_last)
                return ASGI_ERR_FRAMING; /* chunked must be the last, and only once */
            verdict->codings++;
            verdict->chunked_last = asgi_slice_is(item, "chunked");
        }
        /* Empty elements might be skipped (RFC 9110 5.6.1), but whoever compares the whole value
         * with "chunked" does not: nobody sends them who means well. */
        if (value.size == 0 || value.data[0] == ',' || value.data[value.size - 1] == ','
            || memmem(value.data, value.size, ",,", 2) != NULL)
            return ASGI_ERR_FRAMING;
        break;
    case ASGI_HEADER_CONNECTION:
        while (asgi_slice_next_item(&rest, &item)) {
            verdict->close |= asgi_slice_is(item, "close");
            verdict->keep_alive |= asgi_slice_is(item, "keep-alive");
            verdict->upgrade_token |= asgi_slice_is(item, "upgrade");
        }
        break;
    case ASGI_HEADER_UPGRADE:
        verdict->upgrade_field = true;
        while (asgi_slice_next_item(&rest, &item))
            http1->request.upgrade_websocket |= asgi_slice_is(item, "websocket");
        break;
    case ASGI_HEADER_FORWARDED:
    case ASGI_HEADER_X_FORWARDED_FOR:
    case ASGI_HEADER_X_FORWARDED_PROTO:
        http1->request.forwarded = true;
        break;
    case ASGI_HEADER_EXPECT:
        http1->request.expect_continue |= asgi_slice_is(value, "100-continue");
        break;
    default:
        break;
    }
    return 0;
}

/* Checks one field and trims its value. Returns its number, or SYNTAX or HEAD_SIZE. */
static inline __attribute__((always_inline)) int
check_field(asgi_field_t *field, char *scratch, const char *base)
{
    const char *name = base + field->name;
    asgi_slice_t value;
    int id;

    if (field->name_size > MAX_NAME)
        return ASGI_ERR_HEAD_SIZE;
    if ((id = asgi_header_name(name, field->name_size, scratch)) < 0
        || name[field->name_size] != ':')
        return ASGI_ERR_SYNTAX;
    if (field->value_size == 0)
        field->value = field->name + field->name_size + 1;
    value = asgi_slice_trim((asgi_slice_t){base + field->value, field->value_size});
    if (!asgi_header_value_ok(value.data, value.size))
        return ASGI_ERR_SYNTAX;
    field->value = (uint32_t)(value.data - base);
    field->value_size = (uint32_t)value.size;
    field->id = (uint16_t)id;
    return id;
}

/* A target that is no path. With the absolute form its authority takes Host's place, as RFC 9112
 * 3.2.2 demands: the field's slice is moved there. */
static int
judge_target(asgi_http1_t *http1, const char *head)
{
    asgi_slice_t authority;

    switch (asgi_http1_target_form(
        (asgi_slice_t){head + http1->request.target, http1->request.target_size}, &authority)) {
    case ASGI_TARGET_ORIGIN:
        return 0;
    case ASGI_TARGET_ASTERISK:
        return http1->request.method == HTTP_OPTIONS ? 0 : ASGI_ERR_SYNTAX; /* RFC 9112 3.2.4 */
    case ASGI_TARGET_ABSOLUTE:
        for (uint32_t i = 0; i < http1->request.field_count; i++) {
            if (http1->request.fields[i].id == ASGI_HEADER_HOST) {
                http1->request.fields[i].value = (uint32_t)(authority.data - head);
                http1->request.fields[i].value_size = (uint32_t)authority.size;
            }
        }
        return 0;
    default:
        return ASGI_ERR_SYNTAX;
    }
}

static int
judge_head(asgi_http1_t *http1, char *scratch, const char *head, size_t size)
{
    verdict_t verdict = {0};
    int rc;

    if (!lines_ok(head, size))
        return ASGI_ERR_SYNTAX;
    if ((rc = check_request_line(http1, head, size)) < 0)
        return rc;
    /* CONNECT would make us a proxy; its target is not a path. */
    if (http1->request.method == HTTP_CONNECT)
        return ASGI_ERR_METHOD;
    http1->request.content_length = 0;
    http1->request.expect_continue = http1->request.upgrade_websocket = http1->request.forwarded =
        false;
    for (uint32_t i = 0; i < http1->request.field_count; i++) {
        asgi_field_t *field = &http1->request.fields[i];
        int id = check_field(field, scratch, head);

        if (id < 0)
            return id;
        if (id != ASGI_HEADER_OTHER
            && (rc = judge_field(http1, id, (asgi_slice_t){head + field->value, field->value_size},
                                 &verdict))
                   < 0)
            return rc;
    }
    if (http1->request.minor == 1 && verdict.hosts == 0)
        return ASGI_ERR_HOST;
    if (head[http1->request.target] != '/' && (rc = judge_target(http1, head)) < 0)
        return rc;
    /* RFC 9112 6.1: a length beside a coding, or a coding on HTTP/1.0, is an attack or a fault. */
    if (verdict.codings > 0) {
        if (verdict.lengths > 0 || http1->request.minor == 0 || !verdict.chunked_last)
            return ASGI_ERR_FRAMING;
        if (verdict.codings > 1)
            return ASGI_ERR_CODING;
    }
    http1->request.chunked = verdict.codings > 0;
    http1->request.keep_alive = !verdict.close && (http1->request.minor == 1 || verdict.keep_alive);
    http1->request.upgrade =
        http1->request.minor == 1 && verdict.upgrade_token && verdict.upgrade_field;
    http1->request.expect_continue &= http1->request.minor == 1;
    if (http1->max_body_bytes > 0 && http1->request.content_length > http1->max_body_bytes)
        return ASGI_ERR_BODY_SIZE;
    return 0;
}

/* Bytes at the front that belong to empty lines (RFC 9112 2.2). */
static size_t
empty_lines(const char *data, size_t size)
{
    size_t i = 0;

    while (i < size && (data[i] == '\r' || data[i] == '\n'))
        i++;
    return i;
}

/* llhttp has refused the head at `at`. In a request line it may be for a method or a version we do
 * not have, which only the whole line tells. Returns 0 when that has to be waited for. */
static int
refuse_head(asgi_http1_t *http1, const char *data, size_t size, size_t at)
{
    size_t start = empty_lines(data, size);

    if (http1->error != 0)
        return http1->error;
    if (at >= start && memchr(data + start, '\n', at - start) != NULL)
        return asgi_http1_line_fault(data, size) == ASGI_ERR_VERSION ? ASGI_ERR_VERSION
                                                                     : ASGI_ERR_SYNTAX;
    http1->state = BAD_LINE;
    return asgi_http1_line_fault(data, size);
}

/* What to say when a head or its request line is longer than it may be; 0 when it is not (yet). */
static int
size_fault(const asgi_http1_t *http1, size_t size)
{
    if (!http1->done_target && size > http1->max_line_bytes)
        return ASGI_ERR_URI_SIZE;
    if (size > http1->max_head_bytes)
        return http1->done_target ? ASGI_ERR_HEAD_SIZE : ASGI_ERR_URI_SIZE;
    return 0;
}

static int
feed_head(asgi_http1_t *http1, const char *data, size_t size, size_t *consumed)
{
    char scratch[MAX_NAME];
    size_t limit = http1->max_head_bytes;
    size_t usable = size < limit ? size : limit;
    llhttp_errno_t rc;
    size_t end;

    if (usable <= http1->fed)
        return size_fault(http1, size);
    http1->base = data;
    rc = llhttp_execute(&http1->llhttp, data + http1->fed, usable - http1->fed);
    http1->base = NULL;
    if (rc == HPE_OK) {
        http1->fed = (uint32_t)usable;
        return size_fault(http1, size);
    }
    end = (size_t)(llhttp_get_error_pos(&http1->llhttp) - data);
    if (rc != HPE_PAUSED)
        return refuse_head(http1, data, size, end);
    /* Paused in on_headers_complete: at the head's last LF or just behind it, by version. */
    if (end < size && (end == 0 || data[end - 1] != '\n') && data[end] == '\n')
        end++;
    *consumed = end;
    if (end > limit)
        return ASGI_ERR_HEAD_SIZE;
    if (http1->request.target + http1->request.target_size > http1->max_line_bytes)
        return ASGI_ERR_URI_SIZE;
    return judge_head(http1, scratch, data, end);
}

/* ---- bodies ---- */

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte of chunk framing. Returns 0, or FRAMING / HEAD_SIZE. */
static int
chunk_byte(asgi_http1_t *http1, char c)
{
    int digit;

    switch (http1->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        digit = hex_digit(c);
        if (digit >= 0) {
            if (http1->remaining >> 55 != 0 || ++http1->size_digits > MAX_SIZE_DIGITS)
                return ASGI_ERR_FRAMING;
            http1->remaining = http1->remaining << 4 | (uint64_t)digit;
            http1->state = CHUNK_SIZE;
            return 0;
        }
        if (http1->state == CHUNK_SIZE_FIRST)
            return ASGI_ERR_FRAMING;
        if (c == '\r')
            http1->state = CHUNK_SIZE_LF;
        else if (c == ';')
            http1->state = CHUNK_EXTENSION_NAME;
        else
            return ASGI_ERR_FRAMING;
        return 0;
    case CHUNK_EXTENSION_NAME:
        if (c == ' ' || c == '\t')
            return ++http1->framing > http1->max_chunk_extra ? ASGI_ERR_HEAD_SIZE : 0;
        if (c < '!' || c == 0x7f || c == ';' || c == '=' || c == '"')
            return ASGI_ERR_FRAMING; /* char is signed: bytes of 0x80 and above, too */
        http1->state = CHUNK_EXTENSION;
        return 0;
    case CHUNK_EXTENSION:
        if (c == '\r')
            http1->state = CHUNK_SIZE_LF;
        else if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            return ASGI_ERR_FRAMING;
        else if (++http1->framing > http1->max_chunk_extra)
            return ASGI_ERR_HEAD_SIZE;
        return 0;
    case CHUNK_SIZE_LF:
        http1->state = http1->remaining > 0 ? CHUNK_DATA : TRAILERS;
        break;
    case CHUNK_DATA_CR:
        http1->state = CHUNK_DATA_LF;
        return c == '\r' ? 0 : ASGI_ERR_FRAMING;
    case CHUNK_DATA_LF:
        http1->state = CHUNK_SIZE_FIRST;
        break;
    default:
        return ASGI_ERR_FRAMING;
    }
    return c == '\n' ? 0 : ASGI_ERR_FRAMING;
}

/* One line of the trailer section, without its CRLF. */
static int
trailer_line(asgi_http1_t *http1, const char *data, size_t start, size_t end)
{
    char scratch[MAX_NAME];
    const char *colon = memchr(data + start, ':', end - start);
    asgi_field_t *field;
    int id;

    if (colon == NULL)
        return ASGI_ERR_SYNTAX;
    if (http1->request.field_count >= http1->max_fields)
        return ASGI_ERR_HEAD_SIZE;
    if (http1->request.field_count == http1->field_capacity && grow_fields(http1) < 0)
        return ASGI_ERR_NOMEM;
    field = &http1->request.fields[http1->request.field_count++];
    *field = (asgi_field_t){.name = (uint32_t)start,
                            .name_size = (uint32_t)(colon - data - (ptrdiff_t)start),
                            .value = (uint32_t)(colon + 1 - data),
                            .value_size = (uint32_t)(data + end - colon - 1)};
    id = check_field(field, scratch, data);
    if (id == ASGI_HEADER_CONTENT_LENGTH || id == ASGI_HEADER_TRANSFER_ENCODING)
        return ASGI_ERR_FRAMING; /* too late to say, and not for everybody (RFC 9110 6.5.1) */
    return id < 0 ? id : 0;
}

/* Takes the section apart line by line as it comes in. Offsets of the fields are from data, its
 * first byte. Returns 0 or an error; *consumed stays 0 while the section is incomplete. */
static int
feed_trailers(asgi_http1_t *http1, const char *data, size_t size, size_t *consumed)
{
    int rc;

    if (http1->fed == 0)
        http1->request.field_count = 0; /* the head's are no longer needed */
    while (http1->fed < size) {
        size_t start = http1->fed;
        const char *lf = memchr(data + start, '\n', size - start);
        size_t end = lf != NULL ? (size_t)(lf - data) : size;
        if (end >= http1->max_head_bytes)
            return ASGI_ERR_HEAD_SIZE;
        if (lf == NULL)
            break;
        if (end == start || data[end - 1] != '\r')
            return ASGI_ERR_FRAMING;
        http1->fed = (uint32_t)end + 1;
        if (end == start + 1) {
            *consumed = end + 1;
            http1->state = OVER;
            return 0;
        }
        if ((rc = trailer_line(http1, data, start, end - 1)) < 0)
            return rc;
    }
    return 0;
}

static asgi_http1_kind_t
fail(asgi_http1_t *http1, asgi_http1_event_t *event, int error)
{
    http1->state = BROKEN;
    http1->error = error;
    event->error = error;
    return event->kind = ASGI_HTTP1_ERROR;
}

/* Hands out what data holds of `remaining` bytes as a BODY event. */
static asgi_http1_kind_t
take_body(asgi_http1_t *http1, const char *data, size_t size, asgi_http1_event_t *event)
{
    size_t n = size < http1->remaining ? size : (size_t)http1->remaining;

    http1->remaining -= n;
    http1->received += n;
    http1->framing -= n < http1->framing ? n : http1->framing;
    if (http1->max_body_bytes > 0 && http1->received > http1->max_body_bytes)
        return fail(http1, event, ASGI_ERR_BODY_SIZE);
    if (http1->remaining == 0)
        http1->state = http1->state == LENGTH ? OVER : CHUNK_DATA_CR;
    event->body = (asgi_slice_t){data, n};
    event->consumed += n;
    return event->kind = ASGI_HTTP1_BODY;
}

asgi_http1_kind_t
asgi_http1_next(asgi_http1_t *http1, const char *data, size_t size, asgi_http1_event_t *event)
{
    size_t i = 0;
    int rc;

    event->consumed = 0;
    event->kind = ASGI_HTTP1_MORE;
    switch (http1->state) {
    case HEAD:
        rc = feed_head(http1, data, size, &event->consumed);
        if (rc < 0)
            return fail(http1, event, rc);
        if (event->consumed == 0)
            return ASGI_HTTP1_MORE;
        http1->fed = 0;
        http1->remaining = http1->request.content_length;
        http1->state = http1->request.chunked ? CHUNK_SIZE_FIRST
                       : http1->remaining > 0 ? LENGTH
                                              : OVER;
        return event->kind = ASGI_HTTP1_HEAD;
    case BAD_LINE:
        rc = asgi_http1_line_fault(data, size);
        if (rc == 0)
            rc = size_fault(http1, size);
        return rc < 0 ? fail(http1, event, rc) : ASGI_HTTP1_MORE;
    case LENGTH:
        return size > 0 ? take_body(http1, data, size, event) : ASGI_HTTP1_MORE;
    case BROKEN:
        return fail(http1, event, http1->error);
    default:
        break;
    }
    while (http1->state != OVER && http1->state != TRAILERS && i < size) {
        if (http1->state == CHUNK_DATA) {
            event->consumed = i;
            return take_body(http1, data + i, size - i, event);
        }
        if (http1->state == CHUNK_SIZE_FIRST) {
            http1->remaining = 0;
            http1->size_digits = 0;
        }
        rc = chunk_byte(http1, data[i++]);
        if (rc < 0)
            return fail(http1, event, rc);
    }
    event->consumed = i;
    if (http1->state == TRAILERS && i < size) {
        size_t section = 0;
        rc = feed_trailers(http1, data + i, size - i, &section);
        if (rc < 0)
            return fail(http1, event, rc);
        event->consumed = i + section;
        event->body = (asgi_slice_t){data + i, section};
        if (http1->state == OVER && http1->request.field_count > 0)
            return event->kind = ASGI_HTTP1_TRAILERS;
    }
    if (http1->state != OVER)
        return ASGI_HTTP1_MORE;
    begin_head(http1);
    return event->kind = ASGI_HTTP1_END;
}

bool
asgi_http1_in_request(const asgi_http1_t *http1)
{
    return http1->state != HEAD || http1->fed > 0;
}

bool
asgi_http1_in_body(const asgi_http1_t *http1)
{
    return http1->state > HEAD && http1->state < OVER;
}

uint64_t
asgi_http1_owed(const asgi_http1_t *http1)
{
    return http1->state == LENGTH ? http1->remaining : 0;
}
