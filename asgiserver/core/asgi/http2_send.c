/* SPDX-License-Identifier: MIT
 *
 * http2_send.c: see http2_send.h. Called by send.c, send_ext.c and receive.c where cycle->h2 is set.
 *
 * Nothing here is written to the connection: what is given to the stream becomes frames before the
 * next poll (net/conn_http2.c), together with that of other streams.
 */
#include "asgi/http2_send.h"

#include "asgi/server.h"
#include "net/conn_http2.h"

#define COPY_AT_MOST 8192 /* body bytes that are copied rather than sent from where they are */
#define FILE_PIECE 65536

static int
no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

int
asgi_http2_send_body(CycleObject *cycle, asgi_slice_t data, PyObject *owner, bool more)
{
    asgi_http2_stream_t *stream = cycle->h2;
    int rc = 0;

    if (cycle->out.body == ASGI_BODY_NONE)
        data.size = 0;
    if (data.size > COPY_AT_MOST && owner != NULL)
        rc = asgi_http2_lend(stream, data, Py_NewRef(owner));
    else if (data.size > 0)
        rc = asgi_http2_write(stream, data);
    if (rc < 0)
        return no_memory();
    if (!more)
        return asgi_http2_send_end(cycle);
    asgi_conn_flush_soon(cycle->conn);
    return 0;
}

/* Nothing more comes from the app. */
static int
finish(CycleObject *cycle)
{
    asgi_conn_t *conn = cycle->conn;
    asgi_http2_stream_t *stream = cycle->h2;

    asgi_http2_end(stream);
    cycle->complete = true;
    asgi_conn_flush_soon(conn);
    asgi_http2_conn_detach(stream, false);
    asgi_server_count_request(cycle, cycle->out.status);
    return 0;
}

int
asgi_http2_send_end(CycleObject *cycle)
{
    if (!cycle->trailers_due)
        return finish(cycle);
    cycle->body_over = true;
    asgi_conn_flush_soon(cycle->conn);
    return 0;
}

int
asgi_http2_send_trailers(CycleObject *cycle, asgi_slice_t lines, bool more)
{
    if (cycle->out.body != ASGI_BODY_NONE && asgi_http2_trailers(cycle->h2, lines) < 0)
        return no_memory();
    return more ? 0 : finish(cycle);
}

int
asgi_http2_send_informational(CycleObject *cycle, unsigned status, asgi_slice_t lines)
{
    if (asgi_http2_inform(cycle->h2, status, lines) < 0)
        return no_memory();
    asgi_conn_flush_soon(cycle->conn);
    return 0;
}

static void
cut_off(CycleObject *cycle, int error)
{
    char text[128];

    snprintf(text, sizeof text, "A file could not be sent to its end: %s.",
             error <= ASGI_ERR_NOMEM ? asgi_err_text(error) : uv_strerror(error));
    asgi_http2_conn_give_up(cycle->conn, cycle->h2, ASGI_HTTP2_INTERNAL_ERROR);
    asgi_server_log(cycle->server, 40, text, NULL);
}

void
asgi_http2_send_file_go_on(CycleObject *cycle)
{
    asgi_http2_stream_t *stream = cycle->h2;
    asgi_file_t *file = cycle->file;
    int rc = 0;

    Py_INCREF(cycle);
    while (rc == 0 && file->remaining > 0 && asgi_http2_pending(stream) <= ASGI_HTTP2_LOW_WATER) {
        size_t size = file->remaining < FILE_PIECE ? (size_t)file->remaining : FILE_PIECE;
        asgi_buf_t *out = asgi_http2_out(stream);
        rc = out != NULL ? asgi_file_read(file->fd, file->offset, size, out) : ASGI_ERR_NOMEM;
        file->offset += (off_t)size;
        file->remaining -= size;
    }
    asgi_http2_wake(stream);
    asgi_conn_flush_soon(cycle->conn);
    if (rc < 0 || file->remaining == 0) {
        bool last = cycle->file_last;
        cycle->file = NULL;
        asgi_file_free(file);
        if (rc < 0) {
            cut_off(cycle, rc);
        } else if (last && asgi_http2_send_end(cycle) < 0) {
            asgi_loop_report(cycle->server->loop, "A response could not be ended");
            if (cycle->conn != NULL)
                asgi_http2_conn_give_up(cycle->conn, stream, ASGI_HTTP2_INTERNAL_ERROR);
        }
        asgi_cycle_wake_senders(cycle);
    }
    Py_DECREF(cycle);
}

void
asgi_http2_body_taken(CycleObject *cycle, size_t size)
{
    asgi_http2_consume(cycle->h2, size);
    if (!cycle->request_over)
        asgi_conn_flush_soon(cycle->conn);
}
