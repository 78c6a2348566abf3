/* SPDX-License-Identifier: MIT
 *
 * send.c: messages from the app to the client; see send.h.
 *
 * The work is done when send() is called, what it returns only says when to go on:
 *
 *   done already           the usual case
 *   DRAIN                  the client has more than the high-water mark still to take
 *   YIELD                  this task has sent a lot without ever waiting: others get a turn
 *
 * A head waits in the output buffer for the first body message, so both leave in one write; a head
 * or a piece of body that nothing follows in this turn leaves before the next poll. A refused head
 * leaves no trace (the app can still be answered for with a 500); a body that does not fit its
 * content-length is refused before a byte of it is written.
 */
#include "asgi/send.h"

#include "asgi/accesslog.h"
#include "asgi/http2_send.h"
#include "asgi/send_ext.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"
#include "net/conn_http1.h"
#include "proto/http2.h"

#define COPY_AT_MOST 8192 /* body bytes that are copied rather than sent from where they are */
#define CHUNK_LINES 32    /* more than what frames a chunk */
#define STREAK_SENDS 64
#define STREAK_BYTES 1048576

PyObject *
asgi_send_lookup(PyObject *message, PyObject *key)
{
    PyObject *value;

    if (PyDict_CheckExact(message))
        return Py_XNewRef(PyDict_GetItemWithError(message, key));
    value = PyObject_GetItem(message, key);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_KeyError))
        PyErr_Clear();
    return value;
}

PyObject *
asgi_send_required(PyObject *message, PyObject *key)
{
    PyObject *value = asgi_send_lookup(message, key);

    if (value == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

int
asgi_send_flag(PyObject *message, PyObject *key)
{
    PyObject *value = asgi_send_lookup(message, key);
    int rc;

    if (value == NULL)
        return PyErr_Occurred() ? -1 : 0;
    rc = PyObject_IsTrue(value);
    Py_DECREF(value);
    return rc;
}

static int
raise_header_error(int rc)
{
    switch (rc) {
    case ASGI_ERR_NAME:
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header name.");
        break;
    case ASGI_ERR_VALUE:
        PyErr_SetString(PyExc_RuntimeError, "Invalid HTTP header value.");
        break;
    case ASGI_ERR_FRAMING:
        PyErr_SetString(PyExc_RuntimeError, "Invalid or contradicting Content-Length.");
        break;
    default:
        PyErr_NoMemory();
        break;
    }
    return -1;
}

/* Bytes of a header name or value; anything but bytes goes through the buffer protocol. */
static int
write_pair(asgi_http1_out_t *out, asgi_buf_t *buf, PyObject *name, PyObject *value)
{
    Py_buffer names, values;
    int rc;

    if (PyBytes_CheckExact(name) && PyBytes_CheckExact(value)) {
        rc = asgi_http1_out_field(out, buf, PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name),
                                  PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
        return rc < 0 ? raise_header_error(rc) : 0;
    }
    if (PyObject_GetBuffer(name, &names, PyBUF_SIMPLE) < 0)
        return -1;
    if (PyObject_GetBuffer(value, &values, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&names);
        return -1;
    }
    rc = asgi_http1_out_field(out, buf, names.buf, (size_t)names.len, values.buf,
                              (size_t)values.len);
    PyBuffer_Release(&values);
    PyBuffer_Release(&names);
    return rc < 0 ? raise_header_error(rc) : 0;
}

int
asgi_send_fields(asgi_http1_out_t *out, asgi_buf_t *buf, PyObject *headers)
{
    PyObject *list = PySequence_Fast(headers, "headers must be iterable");

    if (list == NULL)
        return -1;
    /* The size is read anew each time: a buffer's owner may be any object, so may run Python. */
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(list, i);
        int rc;
        if (PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2) {
            rc = write_pair(out, buf, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        } else {
            PyObject *two = PySequence_Tuple(pair);
            if (two == NULL) {
                rc = -1;
            } else if (PyTuple_GET_SIZE(two) != 2) {
                PyErr_SetString(PyExc_ValueError, "a header must be a pair of name and value");
                rc = -1;
            } else {
                rc = write_pair(out, buf, PyTuple_GET_ITEM(two, 0), PyTuple_GET_ITEM(two, 1));
            }
            Py_XDECREF(two);
        }
        if (rc < 0) {
            Py_DECREF(list);
            return -1;
        }
    }
    Py_DECREF(list);
    return 0;
}

/* Takes size bytes out of the middle of what was just written. */
static void
cut(asgi_buf_t *buf, size_t at, size_t size)
{
    memmove(buf->data + buf->start + at, buf->data + buf->start + at + size,
            asgi_buf_size(buf) - at - size);
    buf->end -= size;
}

int
asgi_send_head(CycleObject *cycle, asgi_buf_t *buf, unsigned status, PyObject *headers)
{
    asgi_server_t *server = cycle->server;
    asgi_slice_t defaults = asgi_server_defaults(server);
    asgi_http1_out_t *out = &cycle->out;
    size_t lines;

    if (asgi_http1_out_start(out, buf, status) < 0)
        return raise_header_error(ASGI_ERR_NOMEM);
    lines = asgi_buf_size(buf);
    if (asgi_buf_append(buf, defaults.data, defaults.size) < 0)
        return raise_header_error(ASGI_ERR_NOMEM);
    if (headers != NULL && asgi_send_fields(out, buf, headers) < 0)
        return -1;
    /* The app's own Date and Server stand instead of ours. */
    if (out->has_server && server->server_size > 0)
        cut(buf, lines + server->date_size, server->server_size);
    if (out->has_date && server->date_size > 0)
        cut(buf, lines, server->date_size);
    return 0;
}

PyObject *
asgi_send_start(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    asgi_conn_t *conn = cycle->conn;
    asgi_buf_t lines = {0}; /* HTTP/2: its fields are no bytes of the output yet */
    asgi_buf_t *buf = cycle->h2 != NULL ? &lines : asgi_stream_out(&conn->stream);
    asgi_http1_out_t before = cycle->out;
    size_t written = asgi_buf_size(buf);
    PyObject *value = asgi_send_required(message, own->str_status), *headers;
    long status;
    int rc;

    if (value == NULL)
        return NULL;
    status = PyLong_AsLong(value);
    Py_DECREF(value);
    if (status == -1 && PyErr_Occurred())
        return NULL;
    if (status < 200 || status > 999)
        return PyErr_Format(PyExc_RuntimeError, "Invalid HTTP status code %ld.", status);
    headers = asgi_send_lookup(message, own->str_headers);
    if (headers == NULL && PyErr_Occurred())
        return NULL;
    if (cycle->expect_continue || cycle->server->draining || cycle->peer_closed)
        cycle->out.keep_alive = false;
    rc = asgi_send_wants_trailers(cycle, message, headers != NULL);
    if (rc == 0)
        rc = asgi_send_head(cycle, buf, (unsigned)status, headers);
    if (cycle->trailers_due && cycle->out.minor == 1)
        cycle->out.has_length = false; /* trailers need chunks, which replace the length */
    if (rc == 0 && asgi_http1_out_end(&cycle->out, buf) < 0)
        rc = raise_header_error(ASGI_ERR_NOMEM);
    Py_XDECREF(headers);
    if (rc < 0 || cycle->conn == NULL) {
        buf->end = buf->start + written;
        cycle->out = before;
        cycle->trailers_due = false;
        asgi_buf_dispose(&lines);
        return rc < 0 ? NULL : Py_NewRef(own->ready);
    }
    if (cycle->h2 != NULL)
        asgi_http2_head(cycle->h2, (unsigned)status, &lines);
    cycle->started = true;
    if (cycle->server->access_log.call != NULL)
        asgi_accesslog_write(cycle, (unsigned)status);
    if (cycle->conn != NULL)
        asgi_conn_flush_soon(cycle->conn);
    return Py_NewRef(own->ready);
}

PyObject *
asgi_send_after_write(CycleObject *cycle, size_t size)
{
    struct asgi_state *state = cycle->server->state;

    if (asgi_send_must_wait(cycle))
        return asgi_awaitable_new(state, cycle, ASGI_AWAIT_DRAIN);
    cycle->streak_bytes += size;
    if (++cycle->streak >= STREAK_SENDS || cycle->streak_bytes >= STREAK_BYTES) {
        cycle->streak = 0;
        cycle->streak_bytes = 0;
        return asgi_awaitable_new(state, NULL, ASGI_AWAIT_YIELD);
    }
    return Py_NewRef(state->server->ready);
}

int
asgi_send_end_body(CycleObject *cycle, asgi_slice_t extra, PyObject *owner)
{
    asgi_conn_t *conn = cycle->conn;

    if (cycle->h2 != NULL)
        return asgi_http2_send_end(cycle);
    if (cycle->trailers_due) {
        cycle->body_over = true;
        asgi_stream_flush(&conn->stream, extra, owner);
        return 0;
    }
    if (cycle->out.body == ASGI_BODY_CHUNKED
        && asgi_buf_append(asgi_stream_out(&conn->stream), "0\r\n\r\n", 5) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    cycle->complete = true;
    asgi_http1_conn_answered(conn, cycle->out.keep_alive, extra, owner);
    asgi_server_count_request(cycle, cycle->out.status);
    return 0;
}

/* Writes a piece of body whose framing was checked. owner: the bytes object data lies in, or NULL
 * where it must be copied. */
static int
write_body(CycleObject *cycle, asgi_slice_t data, PyObject *owner, bool more)
{
    asgi_conn_t *conn = cycle->conn;
    asgi_buf_t *buf = asgi_stream_out(&conn->stream);
    bool chunked = cycle->out.body == ASGI_BODY_CHUNKED;
    asgi_slice_t extra = {NULL, 0};
    bool copied = owner == NULL || data.size <= COPY_AT_MOST;
    int rc = 0;

    if (cycle->out.body == ASGI_BODY_NONE)
        data.size = 0;
    if (data.size > 0 && copied)
        rc = asgi_stream_reserve(&conn->stream, data.size + CHUNK_LINES);
    if (rc == 0 && data.size > 0 && chunked)
        rc = asgi_http1_out_chunk(buf, data.size);
    if (rc == 0 && data.size > 0 && copied) {
        rc = asgi_buf_append(buf, data.data, data.size);
    } else if (rc == 0 && data.size > 0 && (chunked || more)) {
        asgi_stream_flush(&conn->stream, data, owner);
        if (cycle->conn == NULL)
            return 0;
    } else if (data.size > 0) {
        extra = data; /* the last piece: goes out with the end of the exchange */
    }
    if (rc == 0 && data.size > 0 && chunked)
        rc = asgi_buf_append(buf, "\r\n", 2);
    if (rc < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (!more) {
        return asgi_send_end_body(cycle, extra, owner);
    } else if (asgi_buf_size(buf) >= ASGI_STREAM_HIGH_WATER) {
        asgi_conn_flush(conn);
    } else if (asgi_buf_size(buf) > 0) {
        asgi_conn_flush_soon(conn);
    }
    return 0;
}

int
asgi_send_account(CycleObject *cycle, uint64_t size, bool more)
{
    asgi_http1_out_t *out = &cycle->out;

    if (out->body != ASGI_BODY_LENGTH)
        return 0;
    if (size > out->remaining) {
        PyErr_SetString(PyExc_RuntimeError, "Response content longer than Content-Length");
        return -1;
    }
    if (!more && out->remaining != size) {
        PyErr_SetString(PyExc_RuntimeError, "Response content shorter than Content-Length");
        return -1;
    }
    out->remaining -= size;
    return 0;
}

/* Sends a piece of body: any object with a buffer, or NULL. */
static PyObject *
send_piece(CycleObject *cycle, PyObject *body, bool more)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *result = NULL;
    Py_buffer view = {0};
    asgi_slice_t data = {NULL, 0};

    if (body != NULL && PyBytes_CheckExact(body)) {
        data = (asgi_slice_t){PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body)};
    } else if (body != NULL) {
        if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        data = (asgi_slice_t){view.buf, (size_t)view.len};
    }
    if (cycle->conn == NULL) {
        result = Py_NewRef(own->ready); /* what was looked up ran Python, which closed us */
        goto done;
    }
    if (asgi_send_account(cycle, data.size, more) < 0)
        goto done;
    if ((cycle->h2 == NULL ? write_body : asgi_http2_send_body)(
            cycle, data, view.obj == NULL ? body : NULL, more)
        < 0)
        goto done;
    result = asgi_send_after_write(cycle, data.size);
done:
    if (view.obj != NULL)
        PyBuffer_Release(&view);
    return result;
}

PyObject *
asgi_send_body(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *body = asgi_send_lookup(message, own->str_body), *result = NULL;
    int more;

    if (body == NULL && PyErr_Occurred())
        return NULL;
    more = asgi_send_flag(message, own->str_more_body);
    if (more >= 0)
        result = send_piece(cycle, body, more > 0);
    Py_XDECREF(body);
    return result;
}

/* Reads the usual body message in one pass over the dict: the keys are the interned names
 * themselves and more_body is a bool, so that nothing of it runs Python. Returns whether it is one;
 * body: new or NULL. */
static bool
usual_body(struct asgi_server_state *own, PyObject *message, PyObject **body, bool *more)
{
    PyObject *key, *value, *type = NULL, *bytes = NULL, *flag = Py_False;
    Py_ssize_t at = 0;

    if (!PyDict_CheckExact(message) || PyDict_GET_SIZE(message) > 3)
        return false;
    while (PyDict_Next(message, &at, &key, &value)) {
        if (key == own->str_type)
            type = value;
        else if (key == own->str_body)
            bytes = value;
        else if (key == own->str_more_body)
            flag = value;
        else
            return false;
    }
    if (type == NULL || !PyUnicode_CheckExact(type) || !PyBool_Check(flag)
        || PyUnicode_Compare(type, own->str_response_body) != 0)
        return false;
    *body = Py_XNewRef(bytes);
    *more = flag == Py_True;
    return true;
}

static PyObject *
send_message(PyObject *self, PyObject *message)
{
    CycleObject *cycle = (CycleObject *)self;
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *type, *wanted, *body, *result = NULL;
    bool more;

    if (cycle->ws != NULL)
        return asgi_ws_send(cycle, message);
    if (cycle->started && cycle->conn != NULL && !cycle->body_over && cycle->file == NULL
        && usual_body(own, message, &body, &more)) {
        result = send_piece(cycle, body, more);
        Py_XDECREF(body);
        return result;
    }
    if (cycle->conn == NULL && !cycle->complete)
        return Py_NewRef(own->ready); /* the client has gone: nobody minds */
    type = asgi_send_required(message, own->str_type);
    if (type == NULL)
        return NULL;
    if (cycle->complete) {
        PyErr_Format(PyExc_RuntimeError,
                     "Unexpected ASGI message '%S' sent, after response "
                     "already completed.",
                     type);
        goto done;
    }
    wanted = cycle->started ? own->str_response_body : own->str_response_start;
    if (cycle->body_over || cycle->file != NULL || !PyUnicode_Check(type)
        || PyUnicode_Compare(type, wanted) != 0) {
        /* Told that the client has gone, frameworks give a stream up and answer once more. */
        if (!PyErr_Occurred() && cycle->started && cycle->peer_closed)
            result = Py_NewRef(own->ready);
        else if (!PyErr_Occurred())
            result = asgi_send_extension(cycle, type, message);
        goto done;
    }
    if (cycle->conn == NULL)
        result = Py_NewRef(own->ready);
    else
        result = cycle->started ? asgi_send_body(cycle, message) : asgi_send_start(cycle, message);
done:
    Py_DECREF(type);
    return result;
}

bool
asgi_send_must_wait(CycleObject *cycle)
{
    /* Woken at the low-water mark (conn_http1.c, http2.c), so one mark to compare with is enough. */
    if (cycle->h2 != NULL)
        return cycle->file != NULL || asgi_http2_pending(cycle->h2) > ASGI_HTTP2_HIGH_WATER;
    return cycle->conn != NULL && !asgi_ws_closing(cycle)
           && (cycle->file != NULL
               || asgi_stream_pending(&cycle->conn->stream) > ASGI_STREAM_HIGH_WATER);
}

static PyMethodDef send_def = {
    "send",
    send_message,
    METH_O,
    "send(message, /)\n--\n\nSends a message of the scope's protocol to the client.",
};

PyObject *
asgi_send_bind(CycleObject *cycle)
{
    return PyCFunction_New(&send_def, (PyObject *)cycle);
}
