/* SPDX-License-Identifier: MIT
 *
 * http1_out.c: response heads and chunk framing; see http1_out.h. Called by asgi/send.c for the
 * app's answers and by net/conn_http1.c for our own.
 */
#include "proto/http1_out.h"

#include "proto/headers.h"
#include "proto/request.h"

#include <stdio.h>

const char *
asgi_http1_reason(unsigned status)
{
    switch (status) {
    case 100:
        return "Continue";
    case 101:
        return "Switching Protocols";
    case 102:
        return "Processing";
    case 103:
        return "Early Hints";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 203:
        return "Non-Authoritative Information";
    case 204:
        return "No Content";
    case 205:
        return "Reset Content";
    case 206:
        return "Partial Content";
    case 207:
        return "Multi-Status";
    case 208:
        return "Already Reported";
    case 226:
        return "IM Used";
    case 300:
        return "Multiple Choices";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 305:
        return "Use Proxy";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 402:
        return "Payment Required";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 407:
        return "Proxy Authentication Required";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Request Entity Too Large";
    case 414:
        return "Request-URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Requested Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 418:
        return "I'm a Teapot";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Entity";
    case 423:
        return "Locked";
    case 424:
        return "Failed Dependency";
    case 425:
        return "Too Early";
    case 426:
        return "Upgrade Required";
    case 428:
        return "Precondition Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 451:
        return "Unavailable For Legal Reasons";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 506:
        return "Variant Also Negotiates";
    case 507:
        return "Insufficient Storage";
    case 508:
        return "Loop Detected";
    case 510:
        return "Not Extended";
    case 511:
        return "Network Authentication Required";
    default:
        return "";
    }
}

int
asgi_http1_out_start(asgi_http1_out_t *out, asgi_buf_t *buf, unsigned status)
{
    char *p;

    out->has_length = out->has_chunked = out->has_date = out->has_server = out->has_close = false;
    out->remaining = 0;
    out->status = (uint16_t)status;
    if (out->minor == ASGI_MINOR_HTTP2)
        return 0;
    if (status == 200)
        return asgi_buf_append(buf, "HTTP/1.1 200 OK\r\n", 17);
    if (asgi_buf_reserve(buf, 64) < 0)
        return ASGI_ERR_NOMEM;
    p = buf->data + buf->end;
    buf->end += (size_t)snprintf(p, 64, "HTTP/1.1 %03u %s\r\n", status, asgi_http1_reason(status));
    return 0;
}

static int
note_length(asgi_http1_out_t *out, const char *value, size_t size)
{
    uint64_t n = 0;

    if (size == 0 || size > 18)
        return ASGI_ERR_FRAMING;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return ASGI_ERR_FRAMING;
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    if (out->has_length && out->remaining != n)
        return ASGI_ERR_FRAMING;
    out->has_length = true;
    out->remaining = n;
    return 0;
}

int
asgi_http1_out_field(asgi_http1_out_t *out, asgi_buf_t *buf, const char *name, size_t name_size,
                     const char *value, size_t value_size)
{
    asgi_slice_t rest = {value, value_size}, item;
    char *p;
    int id;

    if (!asgi_header_value_ok(value, value_size))
        return ASGI_ERR_VALUE;
    if (asgi_buf_reserve(buf, name_size + value_size + 4) < 0)
        return ASGI_ERR_NOMEM;
    p = buf->data + buf->end;
    if ((id = asgi_header_name(name, name_size, p)) < 0)
        return id;
    switch (id) {
    case ASGI_HEADER_CONTENT_LENGTH:
        rest = asgi_slice_trim(rest);
        return note_length(out, rest.data, rest.size);
    case ASGI_HEADER_TRANSFER_ENCODING:
        if (asgi_slice_is(asgi_slice_trim(rest), "chunked")) {
            out->has_chunked = true;
            return 0;
        }
        break;
    case ASGI_HEADER_CONNECTION:
        while (asgi_slice_next_item(&rest, &item)) {
            if (asgi_slice_is(item, "close")) {
                out->keep_alive = false;
                return 0;
            }
            if (asgi_slice_is(item, "keep-alive"))
                return 0; /* the server's to say */
        }
        break;
    case ASGI_HEADER_SEC_WEBSOCKET_EXTENSIONS:
        if (out->status == 101)
            return 0; /* what is agreed is the server's to say */
        break;
    case ASGI_HEADER_DATE:
        out->has_date = true;
        break;
    case ASGI_HEADER_SERVER:
        out->has_server = true;
        break;
    default:
        break;
    }
    p += name_size;
    *p++ = ':';
    *p++ = ' ';
    memcpy(p, value, value_size);
    p += value_size;
    *p++ = '\r';
    *p++ = '\n';
    buf->end += name_size + value_size + 4;
    return 0;
}

/* Decimal digits of n, backwards from the end of a 20-byte field. Returns the first digit. */
static char *
decimal(char *end, uint64_t n)
{
    do
        *--end = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return end;
}

int
asgi_http1_out_end(asgi_http1_out_t *out, asgi_buf_t *buf)
{
    bool bodiless = out->status < 200 || out->status == 204 || out->status == 304;
    char line[96], digits[20], *p = line, *first;

    if (out->has_length && !out->has_chunked && out->status >= 200 && out->status != 204) {
        first = decimal(digits + sizeof digits, out->remaining);
        memcpy(p, "content-length: ", 16);
        p += 16;
        memcpy(p, first, (size_t)(digits + sizeof digits - first));
        p += digits + sizeof digits - first;
        memcpy(p, "\r\n", 2);
        p += 2;
    }
    if (out->minor == ASGI_MINOR_HTTP2) {
        out->body = bodiless || out->head_request          ? ASGI_BODY_NONE
                    : out->has_length && !out->has_chunked ? ASGI_BODY_LENGTH
                                                           : ASGI_BODY_CLOSE;
        return asgi_buf_append(buf, line, (size_t)(p - line));
    }
    if (bodiless || out->head_request) {
        out->body = ASGI_BODY_NONE;
        if (out->has_chunked && !bodiless && out->minor == 1) {
            memcpy(p, "transfer-encoding: chunked\r\n", 28);
            p += 28;
        }
    } else if (out->has_length && !out->has_chunked) {
        out->body = ASGI_BODY_LENGTH;
    } else if (out->minor == 1) {
        out->body = ASGI_BODY_CHUNKED;
        memcpy(p, "transfer-encoding: chunked\r\n", 28);
        p += 28;
    } else {
        out->body = ASGI_BODY_CLOSE;
        out->keep_alive = false;
    }
    if (!out->keep_alive) {
        memcpy(p, "connection: close\r\n", 19);
        p += 19;
    } else if (out->minor == 0) {
        memcpy(p, "connection: keep-alive\r\n", 24);
        p += 24;
    }
    memcpy(p, "\r\n", 2);
    p += 2;
    return asgi_buf_append(buf, line, (size_t)(p - line));
}

int
asgi_http1_out_chunk(asgi_buf_t *buf, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    char line[20], *end = line + sizeof line, *p = end;

    *--p = '\n';
    *--p = '\r';
    do
        *--p = hex[size & 15];
    while ((size >>= 4) > 0);
    return asgi_buf_append(buf, p, (size_t)(end - p));
}

int
asgi_http1_out_plain(asgi_buf_t *buf, unsigned status, asgi_slice_t defaults, const char *text,
                     bool with_body)
{
    size_t size = strlen(text);
    int n;

    if (asgi_buf_reserve(buf, 256 + defaults.size + size) < 0)
        return ASGI_ERR_NOMEM;
    n = snprintf(buf->data + buf->end, 64, "HTTP/1.1 %03u %s\r\n", status,
                 asgi_http1_reason(status));
    buf->end += (size_t)n;
    if (defaults.size > 0) {
        memcpy(buf->data + buf->end, defaults.data, defaults.size);
        buf->end += defaults.size;
    }
    n = snprintf(buf->data + buf->end, 160,
                 "content-type: text/plain; charset=utf-8\r\n"
                 "content-length: %zu\r\nconnection: close\r\n\r\n",
                 size);
    buf->end += (size_t)n;
    return with_body ? asgi_buf_append(buf, text, size) : 0;
}
