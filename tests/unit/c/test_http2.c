/* SPDX-License-Identifier: MIT
 *
 * test_http2.c: sessions between our server and nghttp2's client, in memory: what comes out as events
 * and as frames, with the wire cut at every place; the budgets; memory that is lent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <llhttp.h>
#include <nghttp2/nghttp2.h>

#include "proto/http2.h"

#define NV(name, value)                                                               \
    {                                                                                 \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, 0 \
    }

static int released;

static void
release(void *context, void *owner)
{
    assert_ptr_equal(context, &released);
    assert_non_null(owner);
    released++;
}

static asgi_http2_t *
make_server(uint64_t max_body)
{
    asgi_http2_config_t config = {
        .bounds = {.max_head_bytes = 4096, .max_line_bytes = 1000, .max_fields = 20},
        .max_streams = 10,
        .max_body_bytes = max_body,
        .release = release,
        .context = &released,
    };
    asgi_http2_t *http2 = asgi_http2_new(&config);

    assert_non_null(http2);
    released = 0;
    return http2;
}

/* ---- a client ---- */

typedef struct {
    nghttp2_session *session;
    char log[4096];
    size_t used;
    size_t body; /* bytes received */
} client_t;

static void
say(client_t *client, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    client->used += (size_t)vsnprintf(client->log + client->used, sizeof client->log - client->used,
                                      format, args);
    va_end(args);
    assert_true(client->used < sizeof client->log);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
    say(context, "%d %.*s=%.*s ", frame->hd.stream_id, (int)name_size, (const char *)name,
        (int)value_size, (const char *)value);
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
        void *context)
{
    ((client_t *)context)->body += size;
    return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        say(context, "%d reset=%u ", frame->hd.stream_id, frame->rst_stream.error_code);
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        say(context, "goaway=%u ", frame->goaway.error_code);
    else if (frame->hd.type != NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        say(context, "%d end ", frame->hd.stream_id);
    return 0;
}

static client_t *
make_client(void)
{
    client_t *client = calloc(1, sizeof *client);
    nghttp2_session_callbacks *callbacks;

    assert_non_null(client);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_client_new(&client->session, callbacks, client), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(client->session, 0, NULL, 0);
    return client;
}

static void
free_client(client_t *client)
{
    nghttp2_session_del(client->session);
    free(client);
}

/* What the client has to send. */
static asgi_buf_t
wire_of(client_t *client)
{
    asgi_buf_t wire = {0};
    const uint8_t *data;
    ssize_t size;

    while ((size = nghttp2_session_mem_send(client->session, &data)) > 0)
        assert_int_equal(asgi_buf_append(&wire, data, (size_t)size), 0);
    return wire;
}

/* Gives the client everything that the server sends, at most `high` bytes at a time. */
static void
deliver(asgi_http2_t *http2, client_t *client, size_t high)
{
    asgi_buf_t out = {0};

    for (;;) {
        assert_int_equal(asgi_http2_send(http2, &out, high), 0);
        if (asgi_buf_size(&out) == 0)
            break;
        assert_true(asgi_buf_size(&out) <= high + 16393);
        assert_int_equal(nghttp2_session_mem_recv(client->session,
                                                  (const uint8_t *)asgi_buf_front(&out),
                                                  asgi_buf_size(&out)),
                         asgi_buf_size(&out));
        asgi_buf_clear(&out);
    }
    asgi_buf_dispose(&out);
}

/* ---- requests ---- */

/* Feeds the wire in pieces of `step` bytes and writes the events into log. */
static void
replay(asgi_http2_t *http2, const asgi_buf_t *wire, size_t step, char *log, size_t room)
{
    asgi_http2_event_t event;
    size_t n = 0, body = 0;

    log[0] = '\0';
    for (size_t at = 0; at < asgi_buf_size(wire); at += step) {
        size_t size = asgi_buf_size(wire) - at < step ? asgi_buf_size(wire) - at : step;
        char *piece = malloc(size); /* with nothing behind it, so that ASan sees a read beyond */
        memcpy(piece, asgi_buf_front(wire) + at, size);
        assert_int_equal(asgi_http2_feed(http2, piece, size, 1), 0);
        while (asgi_http2_next(http2, &event) != ASGI_HTTP2_NONE) {
            const asgi_http2_section_t *section =
                event.kind == ASGI_HTTP2_HEAD ? event.stream->head : event.stream->trailers;
            const char *text;
            switch (event.kind) {
            case ASGI_HTTP2_HEAD:
                text = asgi_buf_front(&section->text);
                n += (size_t)snprintf(
                    log + n, room - n, "%s %.*s%s%s %d: ",
                    event.error == 0 ? llhttp_method_name((llhttp_method_t)section->request.method)
                                     : "-",
                    event.error == 0 ? (int)section->request.target_size : 0,
                    text + section->request.target, section->request.chunked ? " chunked" : "",
                    section->request.expect_continue ? " expect" : "", event.error);
                break;
            case ASGI_HTTP2_TRAILERS:
                n += (size_t)snprintf(log + n, room - n, "body(%zu) trailers: ", body);
                text = asgi_buf_front(&section->text);
                body = 0;
                break;
            case ASGI_HTTP2_BODY:
                body += event.body.size;
                asgi_http2_consume(event.stream, event.body.size);
                continue;
            case ASGI_HTTP2_END:
                n += (size_t)snprintf(log + n, room - n, "body(%zu) end ", body);
                body = 0;
                continue;
            default:
                n += (size_t)snprintf(log + n, room - n, "? ");
                continue;
            }
            for (uint32_t i = 0; event.error == 0 && i < section->request.field_count; i++) {
                const asgi_field_t *field = &section->request.fields[i];
                n += (size_t)snprintf(log + n, room - n, "%.*s=%.*s ", (int)field->name_size,
                                      text + field->name, (int)field->value_size,
                                      text + field->value);
            }
        }
        free(piece);
    }
    assert_true(n < room);
}

static void
submit(client_t *client, const nghttp2_nv *fields, size_t count, const nghttp2_data_provider *body)
{
    assert_true(nghttp2_submit_request(client->session, NULL, fields, count, body, NULL) > 0);
}

static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t most, uint32_t *flags,
          nghttp2_data_source *source, void *context)
{
    size_t *left = source->ptr, n = *left < most ? *left : most;
    nghttp2_nv trailer = NV("x-sum", "1");

    memset(buf, 'b', n);
    *left -= n;
    if (*left == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, &trailer, 1);
    }
    return (ssize_t)n;
}

static void
test_requests_cut_everywhere(void **state)
{
    static const nghttp2_nv get[] = {
        NV(":method", "GET"), NV(":scheme", "http"), NV(":authority", "h:1"), NV(":path", "/a?b"),
        NV("cookie", "a=1"),  NV("x", "y"),          NV("cookie", "b=2")};
    static const nghttp2_nv post[] = {NV(":method", "POST"), NV(":scheme", "https"),
                                      NV(":path", "/p"), NV("host", "h"),
                                      NV("expect", "100-continue")};
    const char *expected = "GET /a?b 0: host=h:1 cookie=a=1; b=2 x=y body(0) end "
                           "POST /p chunked expect 0: host=h expect=100-continue "
                           "body(3000) trailers: x-sum=1 body(0) end ";

    for (size_t step = 1; step < 4000; step += step < 80 ? 1 : 487) {
        size_t left = 3000;
        nghttp2_data_provider body = {.source.ptr = &left, .read_callback = read_body};
        client_t *client = make_client();
        asgi_http2_t *http2 = make_server(0);
        char log[1024];
        asgi_buf_t wire;
        submit(client, get, sizeof get / sizeof *get, NULL);
        submit(client, post, sizeof post / sizeof *post, &body);
        wire = wire_of(client);
        replay(http2, &wire, step, log, sizeof log);
        assert_string_equal(log, expected);
        assert_int_equal(asgi_http2_streams(http2), 2);
        asgi_buf_dispose(&wire);
        asgi_http2_free(http2);
        free_client(client);
    }
}

static void
test_heads_to_be_refused(void **state)
{
    static char longer[4200];
    static const struct {
        nghttp2_nv more;
        const char *method, *path, *authority;
        int error;
        bool early; /* nghttp2, or some version of it, resets it before there is a HEAD event */
    } cases[] = {
        {NV("x", "y"), "BREW", "/", "h", ASGI_ERR_METHOD, false},
        {NV("x", "y"), "GET", "/ ", "h", ASGI_ERR_SYNTAX, true},
        {NV("x", "y"), "GET", "/\x7f", "h", ASGI_ERR_SYNTAX, true},
        {NV("x", "y"), "GET", "/", "u@h", ASGI_ERR_HOST, true},
        {NV("host", "other"), "GET", "/", "h", ASGI_ERR_HOST, false},
        {NV("content-length", "11"), "GET", "/", "h", ASGI_ERR_BODY_SIZE, false},
    };
    size_t left = 10;
    nghttp2_data_provider body = {.source.ptr = &left, .read_callback = read_body};

    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    for (size_t i = 0; i < sizeof cases / sizeof *cases + 2; i++) {
        size_t n = i < sizeof cases / sizeof *cases ? i : 0;
        bool long_path = i == sizeof cases / sizeof *cases;
        bool long_value = i == sizeof cases / sizeof *cases + 1;
        const char *path = long_path ? longer : cases[n].path;
        const char *method = long_path || long_value ? "GET" : cases[n].method;
        int error = long_path    ? ASGI_ERR_URI_SIZE
                    : long_value ? ASGI_ERR_HEAD_SIZE
                                 : cases[n].error;
        nghttp2_nv fields[] = {
            NV(":scheme", "http"),
            {(uint8_t *)":method", (uint8_t *)method, 7, strlen(method), 0},
            {(uint8_t *)":path", (uint8_t *)path, 5, strlen(path), 0},
            {(uint8_t *)":authority", (uint8_t *)cases[n].authority, 10, strlen(cases[n].authority),
             0},
            cases[n].more,
        };
        client_t *client = make_client();
        asgi_http2_t *http2 = make_server(10);
        char log[1024], expected[64];
        asgi_buf_t wire;
        if (long_value)
            fields[4] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)longer, 1, sizeof longer - 1, 0};
        left = 10;
        submit(client, fields, sizeof fields / sizeof *fields,
               error == ASGI_ERR_BODY_SIZE ? &body : NULL);
        wire = wire_of(client);
        replay(http2, &wire, 7, log, sizeof log);
        if (log[0] != '\0' || long_path || long_value || !cases[n].early) {
            snprintf(expected, sizeof expected, "-  %d: ", error);
            assert_memory_equal(log, expected, strlen(expected));
        }
        asgi_buf_dispose(&wire);
        asgi_http2_free(http2);
        free_client(client);
    }
}

/* ---- answers ---- */

/* A session with one request whose HEAD event was taken; its stream. */
static asgi_http2_stream_t *
begin(asgi_http2_t *http2, client_t *client)
{
    static const nghttp2_nv get[] = {NV(":method", "GET"), NV(":scheme", "http"),
                                     NV(":authority", "h"), NV(":path", "/")};
    asgi_http2_stream_t *stream = NULL;
    asgi_http2_event_t event;
    asgi_buf_t wire;

    submit(client, get, 4, NULL);
    wire = wire_of(client);
    assert_int_equal(asgi_http2_feed(http2, asgi_buf_front(&wire), asgi_buf_size(&wire), 1), 0);
    asgi_buf_dispose(&wire);
    while (asgi_http2_next(http2, &event) != ASGI_HTTP2_NONE)
        stream = event.stream;
    assert_non_null(stream);
    return stream;
}

static asgi_buf_t
lines(const char *text)
{
    asgi_buf_t buf = {0};

    assert_int_equal(asgi_buf_append(&buf, text, strlen(text)), 0);
    return buf;
}

static void
test_answers(void **state)
{
    client_t *client = make_client();
    asgi_http2_t *http2 = make_server(0);
    asgi_http2_stream_t *stream = begin(http2, client);
    asgi_buf_t head = lines("x: y\r\nconnection: close\r\nte: x\r\nkeep-alive: 1\r\n"
                            "upgrade: h2c\r\ntransfer-encoding: gzip\r\nempty: \r\n");
    asgi_http2_event_t event;

    assert_int_equal(asgi_http2_inform(stream, 103, ASGI_SLICE("link: a\r\n")), 0);
    asgi_http2_head(stream, 200, &head);
    assert_int_equal(asgi_http2_write(stream, ASGI_SLICE("body")), 0);
    assert_int_equal(asgi_http2_trailers(stream, ASGI_SLICE("t: 1\r\n")), 0);
    asgi_http2_end(stream);
    deliver(http2, client, 65536);
    assert_string_equal(client->log,
                        "1 :status=103 1 link=a 1 :status=200 1 x=y 1 empty= 1 t=1 1 end ");
    assert_int_equal(client->body, 4);
    assert_int_equal(asgi_http2_next(http2, &event), ASGI_HTTP2_CLOSED);
    assert_ptr_equal(event.stream, stream);
    assert_int_equal(asgi_http2_next(http2, &event), ASGI_HTTP2_NONE);

    /* Without a body the head ends the stream. */
    client->used = 0;
    stream = begin(http2, client);
    head = lines("");
    asgi_http2_head(stream, 204, &head);
    asgi_http2_end(stream);
    deliver(http2, client, 65536);
    assert_string_equal(client->log, "3 :status=204 3 end ");
    asgi_http2_free(http2);
    free_client(client);
}

static void
test_lent_bytes_and_windows(void **state)
{
    static char big[150000];
    client_t *client = make_client();
    asgi_http2_t *http2 = make_server(0);
    asgi_http2_stream_t *stream = begin(http2, client);
    asgi_buf_t head = lines(""), wire;
    asgi_http2_event_t event;

    asgi_http2_head(stream, 200, &head);
    assert_int_equal(asgi_http2_write(stream, ASGI_SLICE("abc")), 0);
    assert_int_equal(asgi_http2_lend(stream, (asgi_slice_t){big, sizeof big}, big), 0);
    deliver(http2, client, 20000);
    assert_int_equal(client->body, 65535); /* its window */
    assert_int_equal(asgi_http2_pending(stream), sizeof big + 3 - 65535);
    assert_int_equal(released, 0);
    /* What is copied behind lent bytes has them copied, too. */
    assert_int_equal(asgi_http2_write(stream, ASGI_SLICE("def")), 0);
    assert_int_equal(released, 1);
    assert_int_equal(asgi_http2_lend(stream, (asgi_slice_t){big, 100}, big), 0);
    asgi_http2_end(stream);
    nghttp2_submit_window_update(client->session, 0, 0, 1 << 20);
    nghttp2_submit_window_update(client->session, 0, stream->id, 1 << 20);
    wire = wire_of(client);
    assert_int_equal(asgi_http2_feed(http2, asgi_buf_front(&wire), asgi_buf_size(&wire), 2), 0);
    asgi_buf_dispose(&wire);
    deliver(http2, client, 20000);
    assert_int_equal(client->body, sizeof big + 106);
    assert_int_equal(released, 2);
    assert_int_equal(asgi_http2_next(http2, &event), ASGI_HTTP2_DRAINED);
    assert_int_equal(asgi_http2_next(http2, &event), ASGI_HTTP2_CLOSED);
    assert_int_equal(asgi_http2_next(http2, &event), ASGI_HTTP2_NONE);

    /* A stream that goes gives back what it has. */
    stream = begin(http2, client);
    head = lines("");
    asgi_http2_head(stream, 200, &head);
    assert_int_equal(asgi_http2_lend(stream, (asgi_slice_t){big, sizeof big}, big), 0);
    asgi_http2_reset(stream, ASGI_HTTP2_INTERNAL_ERROR);
    assert_int_equal(asgi_http2_write(stream, ASGI_SLICE("x")), 0);
    deliver(http2, client, 65536);
    assert_int_equal(released, 3);
    /* … and one that is gone takes nothing more. */
    assert_int_equal(asgi_http2_lend(stream, (asgi_slice_t){big, sizeof big}, big), 0);
    assert_int_equal(released, 4);
    asgi_http2_free(http2);
    free_client(client);
}

/* ---- budgets and ends ---- */

/* Feeds a frame again and again. Returns how often it was taken. */
static int
flood(asgi_http2_t *http2, const char *frame, size_t size, int most, uint64_t apart)
{
    for (int i = 0; i < most; i++) {
        asgi_buf_t out = {0};
        int rc = asgi_http2_feed(http2, frame, size, 10 + (uint64_t)i * apart);
        if (rc < 0) {
            assert_int_equal(rc, ASGI_ERR_LIMIT);
            return i;
        }
        assert_int_equal(asgi_http2_send(http2, &out, 65536), 0);
        asgi_buf_dispose(&out);
    }
    return most;
}

static void
test_noise(void **state)
{
    static const char ping[] = "\0\0\10\6\0\0\0\0\0abcdefgh";
    client_t *client = make_client();
    asgi_http2_t *http2 = make_server(0);
    int taken;

    begin(http2, client);
    deliver(http2, client, 65536);
    taken = flood(http2, ping, sizeof ping - 1, 10000, 0);
    assert_in_range(taken, 1900, 2100);
    deliver(http2, client, 65536);
    assert_non_null(strstr(client->log, "goaway=11 "));
    assert_true(asgi_http2_over(http2));
    asgi_http2_free(http2);

    /* A few a second are nobody's concern. */
    http2 = make_server(0);
    free_client(client);
    client = make_client();
    begin(http2, client);
    assert_int_equal(flood(http2, ping, sizeof ping - 1, 10000, 6), 10000);
    asgi_http2_free(http2);
    free_client(client);
}

static void
test_ends(void **state)
{
    client_t *client = make_client();
    asgi_http2_t *http2 = make_server(0);
    asgi_http2_stream_t *stream = begin(http2, client);
    asgi_buf_t head = lines("");

    asgi_http2_announce_end(http2);
    deliver(http2, client, 65536);
    assert_string_equal(client->log, "goaway=0 ");
    asgi_http2_accept_no_more(http2);
    deliver(http2, client, 65536);
    assert_false(asgi_http2_over(http2));
    asgi_http2_head(stream, 200, &head);
    asgi_http2_end(stream);
    deliver(http2, client, 65536);
    assert_string_equal(client->log, "goaway=0 goaway=0 1 :status=200 1 end ");
    assert_int_equal(asgi_http2_streams(http2), 0);
    asgi_http2_free(http2);
    free_client(client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_cut_everywhere),
        cmocka_unit_test(test_heads_to_be_refused),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_lent_bytes_and_windows),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
