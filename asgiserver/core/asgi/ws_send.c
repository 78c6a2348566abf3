/* SPDX-License-Identifier: MIT
 *
 * ws_send.c: what a WebSocket's app sends; see ws_cycle.h for its states. Called by send.c, which
 * also has the response heads, bodies and waiting that the two protocols share.
 *
 * As there, the work is done when send() is called. The handshake's answer is written whole or not
 * at all; a message that was refused leaves nothing in the output buffer.
 */
#include "asgi/accesslog.h"
#include "asgi/send.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"
#include "net/conn_http1.h"

#define COPY_AT_MOST 8192 /* message bytes that are copied rather than sent from where they are */

/* ---- handshake ---- */

static int
write_subprotocol(asgi_buf_t *buf, PyObject *subprotocol)
{
    const char *name;
    Py_ssize_t size;
    char lower[256];

    name = PyUnicode_AsUTF8AndSize(subprotocol, &size);
    if (name == NULL)
        return -1;
    if (size > (Py_ssize_t)sizeof lower || asgi_header_name(name, (size_t)size, lower) < 0) {
        PyErr_Format(PyExc_RuntimeError, "Invalid WebSocket subprotocol %R.", subprotocol);
        return -1;
    }
    if ((asgi_buf_append(buf, "sec-websocket-protocol: ", 24)
         | asgi_buf_append(buf, name, (size_t)size) | asgi_buf_append(buf, "\r\n", 2))
        < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
write_extension(asgi_buf_t *buf, const asgi_ws_extension_t *extension)
{
    char value[ASGI_WS_EXTENSION_ANSWER_MAX];
    size_t size = asgi_ws_extension_answer(extension, value);

    return asgi_buf_append(buf, "sec-websocket-extensions: ", 26)
           | asgi_buf_append(buf, value, size) | asgi_buf_append(buf, "\r\n", 2);
}

/* Writes the 101. On failure the caller takes back what was written. */
static int
write_accept(CycleObject *cycle, PyObject *subprotocol, PyObject *headers)
{
    static const char lines[] = "upgrade: websocket\r\nconnection: Upgrade\r\n"
                                "sec-websocket-accept: ";
    asgi_buf_t *buf = asgi_stream_out(&cycle->conn->stream);
    asgi_ws_t *ws = cycle->ws;
    char accept[ASGI_WS_ACCEPT_SIZE];

    if (asgi_send_head(cycle, buf, 101, headers) < 0)
        return -1;
    if (cycle->conn == NULL)
        return 0; /* a header's Python closed us; the caller sees it */
    asgi_ws_accept(ws->key, accept);
    if ((asgi_buf_append(buf, lines, sizeof lines - 1) | asgi_buf_append(buf, accept, sizeof accept)
         | asgi_buf_append(buf, "\r\n", 2))
        < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (subprotocol != NULL && subprotocol != Py_None && write_subprotocol(buf, subprotocol) < 0)
        return -1;
    if (cycle->conn == NULL)
        return 0;
    if (ws->extension.agreed && ws->deflate == NULL)
        ws->deflate = asgi_ws_deflate_new(&ws->extension);
    if ((ws->extension.agreed && (ws->deflate == NULL || write_extension(buf, &ws->extension) < 0))
        || asgi_buf_append(buf, "\r\n", 2) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
send_accept(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_t *ws = cycle->ws;
    PyObject *subprotocol = NULL, *headers = NULL, *result = NULL;
    asgi_http1_out_t before = cycle->out;
    asgi_conn_t *conn;
    size_t written;

    subprotocol = asgi_send_lookup(message, own->str_subprotocol);
    if (subprotocol == NULL && PyErr_Occurred())
        return NULL;
    headers = asgi_send_lookup(message, own->str_headers);
    if (headers == NULL && PyErr_Occurred())
        goto done;
    conn = cycle->conn;
    if (conn != NULL) {
        written = asgi_buf_size(asgi_stream_out(&conn->stream));
        if (write_accept(cycle, subprotocol, headers) < 0) {
            if (cycle->conn != NULL) {
                asgi_buf_t *buf = asgi_stream_out(&conn->stream);
                buf->end = buf->start + written;
                cycle->out = before;
            }
            goto done;
        }
    }
    ws->state = ASGI_WS_OPEN;
    cycle->started = true;
    if (cycle->conn != NULL) {
        asgi_accesslog_websocket(cycle, 0);
        asgi_server_count_request(cycle, 101);
    }
    if (cycle->conn != NULL)
        asgi_ws_open(cycle);
    result = Py_NewRef(own->ready);
done:
    Py_XDECREF(subprotocol);
    Py_XDECREF(headers);
    return result;
}

/* Without accept a close is a refusal. */
static PyObject *
send_refusal(CycleObject *cycle)
{
    cycle->ws->state = ASGI_WS_OVER;
    if (cycle->conn != NULL)
        asgi_accesslog_websocket(cycle, 403);
    if (cycle->conn != NULL) {
        asgi_http1_conn_refuse(cycle->conn, 403, "");
        asgi_server_count_request(cycle, 403);
    }
    return Py_NewRef(cycle->server->state->server->ready);
}

static PyObject *
send_denial(CycleObject *cycle, PyObject *message)
{
    PyObject *result;

    if (cycle->conn == NULL) {
        cycle->ws->state = ASGI_WS_DENYING;
        return Py_NewRef(cycle->server->state->server->ready);
    }
    result = asgi_send_start(cycle, message);
    if (result != NULL && cycle->started)
        cycle->ws->state = ASGI_WS_DENYING;
    return result;
}

static PyObject *
send_denial_body(CycleObject *cycle, PyObject *message)
{
    PyObject *result;

    if (cycle->conn == NULL)
        return Py_NewRef(cycle->server->state->server->ready);
    result = asgi_send_body(cycle, message);
    if (cycle->complete)
        cycle->ws->state = ASGI_WS_OVER;
    return result;
}

/* ---- messages ---- */

static void
flush_message(asgi_conn_t *conn)
{
    if (asgi_buf_size(asgi_stream_out(&conn->stream)) >= ASGI_STREAM_HIGH_WATER)
        asgi_conn_flush(conn);
    else
        asgi_conn_flush_soon(conn);
}

/* owner: the object that data lies in and that does not change, or NULL where it must be
 * copied. */
static int
write_message(asgi_conn_t *conn, asgi_ws_opcode_t opcode, asgi_slice_t data, PyObject *owner)
{
    asgi_ws_deflate_t *deflate = conn->cycle->ws->deflate;
    asgi_buf_t *buf = asgi_stream_out(&conn->stream);
    char head[ASGI_WS_HEAD_MAX];
    size_t size = asgi_ws_head(head, opcode, data.size);
    bool copy = owner == NULL || data.size <= COPY_AT_MOST;
    int rc = deflate != NULL ? asgi_ws_deflate_frame(deflate, buf, opcode, data) : 0;

    if (rc < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (rc > 0) {
        flush_message(conn);
        return 0;
    }
    if (asgi_buf_reserve(buf, size + (copy ? data.size : 0)) < 0
        || asgi_buf_append(buf, head, size) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (!copy) {
        asgi_stream_flush(&conn->stream, data, owner);
        return 0;
    }
    if (asgi_buf_append(buf, data.data, data.size) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    flush_message(conn);
    return 0;
}

static PyObject *
client_gone(void)
{
    PyErr_SetString(PyExc_ConnectionResetError, "the WebSocket client has disconnected");
    return NULL;
}

/* The message's payload, "bytes" before "text". Returns 0, or -1 with an exception. */
static int
payload_of(struct asgi_server_state *own, PyObject *message, PyObject **payload)
{
    PyObject *value = asgi_send_lookup(message, own->str_bytes);

    if (value == NULL && PyErr_Occurred())
        return -1;
    if (value == NULL || value == Py_None) {
        Py_XDECREF(value);
        value = asgi_send_lookup(message, own->str_text);
        if (value == NULL && PyErr_Occurred())
            return -1;
        if (value == NULL || !PyUnicode_Check(value)) {
            Py_XDECREF(value);
            PyErr_SetString(PyExc_RuntimeError,
                            "'websocket.send' needs 'bytes', or 'text' that is a str.");
            return -1;
        }
    }
    *payload = value;
    return 0;
}

static PyObject *
send_data(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_opcode_t opcode = ASGI_WS_BINARY;
    PyObject *payload, *owner = NULL, *result = NULL;
    Py_buffer view = {0};
    asgi_slice_t data;

    if (payload_of(own, message, &payload) < 0)
        return NULL;
    if (PyUnicode_Check(payload)) {
        Py_ssize_t size;
        opcode = ASGI_WS_TEXT;
        data.data = PyUnicode_AsUTF8AndSize(payload, &size);
        if (data.data == NULL)
            goto done;
        data.size = (size_t)size;
        owner = payload;
    } else if (PyBytes_CheckExact(payload)) {
        data = (asgi_slice_t){PyBytes_AS_STRING(payload), (size_t)PyBytes_GET_SIZE(payload)};
        owner = payload;
    } else {
        if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) < 0)
            goto done;
        data = (asgi_slice_t){view.buf, (size_t)view.len};
    }
    if (cycle->conn == NULL || cycle->ws->code != 0)
        result = client_gone();
    else if (write_message(cycle->conn, opcode, data, owner) == 0)
        result = asgi_send_after_write(cycle, data.size);
done:
    if (view.obj != NULL)
        PyBuffer_Release(&view);
    Py_DECREF(payload);
    return result;
}

/* message["code"]: 1000 where it is missing or None. Returns -1 with an exception. */
static long
code_of(struct asgi_server_state *own, PyObject *message)
{
    PyObject *value = asgi_send_lookup(message, own->str_code);
    long code = ASGI_WS_NORMAL;

    if (value == NULL)
        return PyErr_Occurred() ? -1 : code;
    if (value != Py_None)
        code = PyLong_AsLong(value);
    Py_DECREF(value);
    if (code == -1 && PyErr_Occurred())
        return -1;
    /* 1005 is what receive() gives for a close frame without a code: apps pass it on. */
    if (code != ASGI_WS_NO_CODE && (code < 0 || !asgi_ws_code_ok((unsigned)code))) {
        PyErr_Format(PyExc_RuntimeError, "Invalid WebSocket close code %ld.", code);
        return -1;
    }
    return code;
}

static PyObject *
send_close(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_ws_t *ws = cycle->ws;
    PyObject *value, *result = NULL;
    const char *reason = NULL;
    Py_ssize_t size = 0;
    long code;

    if (cycle->conn == NULL || ws->code != 0) {
        ws->state = ASGI_WS_OVER; /* closed already: nothing to do */
        return Py_NewRef(own->ready);
    }
    if ((code = code_of(own, message)) < 0)
        return NULL;
    value = asgi_send_lookup(message, own->str_reason);
    if (value == NULL && PyErr_Occurred())
        return NULL;
    if (value != NULL && value != Py_None
        && (reason = PyUnicode_AsUTF8AndSize(value, &size)) == NULL)
        goto done;
    ws->state = ASGI_WS_OVER;
    /* What was not read is of no use any more. */
    asgi_buf_clear(&ws->sizes);
    if (ws->unread > 0)
        asgi_buf_consume(&cycle->body, ws->unread);
    ws->unread = 0;
    if (cycle->conn != NULL && !ws->close_sent)
        asgi_ws_begin_close(cycle->conn, (unsigned)code, reason, (size_t)size);
    result = Py_NewRef(own->ready);
done:
    Py_XDECREF(value);
    return result;
}

/* ---- by type and state ---- */

static bool
is_type(PyObject *type, PyObject *wanted)
{
    return PyUnicode_Compare(type, wanted) == 0;
}

static PyObject *
dispatch(CycleObject *cycle, PyObject *type, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;

    switch (cycle->ws->state) {
    case ASGI_WS_CONNECTING:
        if (is_type(type, own->str_ws_accept))
            return send_accept(cycle, message);
        if (is_type(type, own->str_ws_close))
            return send_refusal(cycle);
        if (is_type(type, own->str_ws_response_start))
            return send_denial(cycle, message);
        return PyErr_Format(PyExc_RuntimeError,
                            "Expected ASGI message 'websocket.accept', 'websocket.close' or "
                            "'websocket.http.response.start' but got '%U'.",
                            type);
    case ASGI_WS_DENYING:
        if (is_type(type, own->str_ws_response_body))
            return send_denial_body(cycle, message);
        return PyErr_Format(PyExc_RuntimeError,
                            "Expected ASGI message 'websocket.http.response.body' but got '%U'.",
                            type);
    case ASGI_WS_OPEN:
        if (is_type(type, own->str_ws_send))
            return send_data(cycle, message);
        if (is_type(type, own->str_ws_close))
            return send_close(cycle, message);
        return PyErr_Format(PyExc_RuntimeError,
                            "Expected ASGI message 'websocket.send' or 'websocket.close', but "
                            "got '%U'.",
                            type);
    case ASGI_WS_OVER:
        break;
    }
    return PyErr_Format(PyExc_RuntimeError,
                        "Unexpected ASGI message '%U', after sending 'websocket.close' or "
                        "response already completed.",
                        type);
}

PyObject *
asgi_ws_send(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *type = asgi_send_required(message, own->str_type), *result;

    if (type == NULL)
        return NULL;
    if (PyUnicode_Check(type)) {
        result = dispatch(cycle, type, message);
    } else {
        PyErr_Format(PyExc_TypeError, "an ASGI message's type must be a str, not %.100s",
                     Py_TYPE(type)->tp_name);
        result = NULL;
    }
    Py_DECREF(type);
    return result;
}
