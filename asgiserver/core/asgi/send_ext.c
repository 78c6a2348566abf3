/* SPDX-License-Identifier: MIT
 *
 * send_ext.c: extensions of the ASGI specification; see send_ext.h. Called by send.c.
 *
 *   message                        when                     what it does
 *   http.response.early_hint       before the start         103 with Link fields; not to HTTP/1.0
 *   http.response.zerocopysend     in place of .body        a stretch of an open file
 *   http.response.pathsend         in place of all .body    a whole file, by its path
 *   http.response.trailers         behind the body, if the  fields behind the last chunk; dropped
 *                                  start said trailers      where the response has no chunks
 *   http.response.debug            any time                 a line of the debug log, if that is on
 *   http.response.push             any time                 nothing: HTTP/1.1 cannot push, and
 *                                                           HTTP/2 clients do not let us
 *
 * A small file is copied behind the head and leaves with it. A bigger one belongs to the cycle
 * until it has been sent (net/file.h); meanwhile no other message is accepted, and what send()
 * returned waits.
 */
#include "asgi/send_ext.h"

#include "asgi/http2_send.h"
#include "asgi/send.h"
#include "net/conn_http1.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_FILE_AT_MOST \
    32768 /* bytes of a file that are read rather than handed to sendfile(2) */

/* ---- what there is ---- */

int
asgi_extensions_make(asgi_server_t *server)
{
    struct asgi_server_state *own = server->state->server;
    PyObject *names[] = {
        own->str_pathsend, own->str_zerocopysend, server->debug ? own->str_debug : NULL,
        /* from here on HTTP/1.1 only */
        own->str_request_trailers, own->str_response_trailers, own->str_early_hint};

    server->extensions = PyDict_New();
    server->extensions_v10 = PyDict_New();
    if (server->extensions == NULL || server->extensions_v10 == NULL)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *empty;
        int rc;
        if (names[i] == NULL)
            continue;
        if ((empty = PyDict_New()) == NULL)
            return -1;
        rc = PyDict_SetItem(server->extensions, names[i], empty);
        if (rc == 0 && i < 3)
            rc = PyDict_SetItem(server->extensions_v10, names[i], empty);
        Py_DECREF(empty);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* ---- early hints ---- */

static int
write_links(asgi_buf_t *buf, PyObject *links)
{
    PyObject *list = PySequence_Fast(links, "links must be iterable");
    int rc = 0;

    if (list == NULL)
        return -1;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *link = PySequence_Fast_GET_ITEM(list, i);
        if (!PyBytes_Check(link)
            || !asgi_header_value_ok(PyBytes_AS_STRING(link), (size_t)PyBytes_GET_SIZE(link))) {
            PyErr_Format(PyExc_RuntimeError, "Invalid early hint %R.", link);
            Py_DECREF(list);
            return -1;
        }
        rc = asgi_buf_append(buf, "link: ", 6)
             | asgi_buf_append(buf, PyBytes_AS_STRING(link), (size_t)PyBytes_GET_SIZE(link))
             | asgi_buf_append(buf, "\r\n", 2);
    }
    Py_DECREF(list);
    if (rc < 0)
        PyErr_NoMemory();
    return rc < 0 ? -1 : 0;
}

static int
write_early_hint(asgi_conn_t *conn, const asgi_buf_t *lines)
{
    static const char head[] = "HTTP/1.1 103 Early Hints\r\n";
    asgi_buf_t *buf = asgi_stream_out(&conn->stream);

    if ((asgi_buf_append(buf, head, sizeof head - 1)
         | asgi_buf_append(buf, lines->data, asgi_buf_size(lines))
         | asgi_buf_append(buf, "\r\n", 2))
        < 0) {
        PyErr_NoMemory();
        return -1;
    }
    asgi_conn_flush(conn);
    return 0;
}

static PyObject *
send_early_hint(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *links = asgi_send_required(message, own->str_links);
    asgi_buf_t lines = {0};
    int rc = 0;

    if (links == NULL)
        return NULL;
    if (cycle->out.minor != 0)
        rc = write_links(&lines, links);
    Py_DECREF(links);
    if (rc == 0 && cycle->conn != NULL && cycle->out.minor != 0)
        rc = cycle->h2 != NULL ? asgi_http2_send_informational(
                 cycle, 103, (asgi_slice_t){lines.data, asgi_buf_size(&lines)})
                               : write_early_hint(cycle->conn, &lines);
    asgi_buf_dispose(&lines);
    return rc < 0 ? NULL : Py_NewRef(own->ready);
}

/* ---- trailers ---- */

int
asgi_send_wants_trailers(CycleObject *cycle, PyObject *message, bool has_headers)
{
    int rc;

    /* type, status and headers are all that nearly every start has. */
    if (cycle->ws != NULL
        || (PyDict_CheckExact(message) && PyDict_GET_SIZE(message) <= 2 + has_headers))
        return 0;
    rc = asgi_send_flag(message, cycle->server->state->server->str_trailers);
    cycle->trailers_due = rc > 0;
    return rc < 0 ? -1 : 0;
}

/* Fields that would have been for the head to say. Returns 0, or -1 with an exception. */
static int
refuse_framing(const asgi_http1_out_t *out)
{
    if (!out->has_length && !out->has_chunked && !out->has_close)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "A trailer must not frame the message.");
    return -1;
}

static PyObject *
send_trailers(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *headers = asgi_send_lookup(message, own->str_headers);
    int more =
        headers == NULL && PyErr_Occurred() ? -1 : asgi_send_flag(message, own->str_more_trailers);
    asgi_http1_out_t out = {.keep_alive = true};
    asgi_buf_t lines = {0};
    int rc = more < 0 ? -1 : 0;

    if (rc == 0 && headers != NULL)
        rc = asgi_send_fields(&out, &lines, headers);
    if (rc == 0) {
        out.has_close |= !out.keep_alive;
        rc = refuse_framing(&out);
    }
    Py_XDECREF(headers);
    if (rc == 0 && cycle->h2 != NULL) {
        rc = asgi_http2_send_trailers(cycle, (asgi_slice_t){lines.data, asgi_buf_size(&lines)},
                                      more > 0);
    } else if (rc == 0 && cycle->conn != NULL) {
        asgi_conn_t *conn = cycle->conn;
        asgi_buf_t *buf = asgi_stream_out(&conn->stream);
        if (cycle->out.body == ASGI_BODY_CHUNKED) {
            if (!cycle->trailers_begun)
                rc |= asgi_buf_append(buf, "0\r\n", 3);
            rc |= asgi_buf_append(buf, lines.data, asgi_buf_size(&lines));
            if (!more)
                rc |= asgi_buf_append(buf, "\r\n", 2);
        }
        cycle->trailers_begun = true;
        if (rc < 0) {
            PyErr_NoMemory();
        } else if (!more) {
            cycle->complete = true;
            asgi_http1_conn_answered(conn, cycle->out.keep_alive, (asgi_slice_t){NULL, 0}, NULL);
            asgi_server_count_request(cycle, cycle->out.status);
        }
    }
    asgi_buf_dispose(&lines);
    return rc < 0 ? NULL : Py_NewRef(own->ready);
}

/* ---- files ---- */

/* The file's bytes are in the output or on the socket. Returns 0, or -1 with an exception. */
static int
end_file(CycleObject *cycle, bool last)
{
    asgi_conn_t *conn = cycle->conn;

    if (cycle->out.body == ASGI_BODY_CHUNKED
        && asgi_buf_append(asgi_stream_out(&conn->stream), "\r\n", 2) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (last)
        return asgi_send_end_body(cycle, (asgi_slice_t){NULL, 0}, NULL);
    asgi_conn_flush_soon(conn);
    return 0;
}

static void
cut_off(CycleObject *cycle, int error)
{
    asgi_conn_t *conn = cycle->conn;
    char text[128];

    if (error == UV_EPIPE || error == UV_ECONNRESET || error == UV_ETIMEDOUT) {
        asgi_conn_close(conn); /* it is the client that went */
        return;
    }
    snprintf(text, sizeof text, "A file could not be sent to its end: %s.",
             error <= ASGI_ERR_NOMEM ? asgi_err_text(error) : uv_strerror(error));
    asgi_conn_detach(conn, true);
    asgi_conn_close(conn);
    asgi_server_log(cycle->server, 40, text, NULL);
}

void
asgi_send_file_go_on(CycleObject *cycle)
{
    asgi_conn_t *conn = cycle->conn;
    asgi_file_t *file = cycle->file;
    int rc;

    Py_INCREF(cycle);
    rc = asgi_file_send(file, &conn->stream);
    if (cycle->conn == NULL) {
        rc = 1; /* the stream broke, which ended the exchange */
    } else if (rc < 0) {
        cut_off(cycle, rc);
    } else if (rc == 0) {
        asgi_http1_conn_set_deadline(conn, true);
    } else {
        cycle->file = NULL;
        asgi_file_free(file);
        file = NULL;
        if (end_file(cycle, cycle->file_last) < 0) {
            asgi_loop_report(cycle->server->loop, "A response could not be ended");
            if (cycle->conn != NULL)
                asgi_conn_close(conn);
        }
        asgi_cycle_wake_senders(cycle);
        if (cycle->conn != NULL)
            asgi_http1_conn_set_deadline(conn, true);
    }
    if (cycle->conn == NULL && file != NULL && cycle->file == file) {
        cycle->file = NULL;
        asgi_file_free(file);
    }
    Py_DECREF(cycle);
}

/* Sets cycle->file. Returns 0, NOMEM or a libuv code. */
static int
keep_file(CycleObject *cycle, int fd, off_t offset, uint64_t size, bool more)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (own < 0)
        return uv_translate_sys_error(errno);
    cycle->file = asgi_file_new(own, offset, size);
    if (cycle->file == NULL)
        return ASGI_ERR_NOMEM;
    cycle->file_last = !more;
    return 0;
}

/* Sends size bytes of fd from offset as body. fd: borrowed. */
static PyObject *
send_file(CycleObject *cycle, int fd, off_t offset, uint64_t size, bool more)
{
    struct asgi_state *state = cycle->server->state;
    asgi_conn_t *conn = cycle->conn;
    asgi_buf_t *buf = asgi_stream_out(&conn->stream);
    size_t before = asgi_buf_size(buf);
    int rc = 0;

    if (asgi_send_account(cycle, size, more) < 0)
        return NULL;
    if (cycle->out.body == ASGI_BODY_NONE)
        size = 0;
    if (size == 0) {
        if (!more && asgi_send_end_body(cycle, (asgi_slice_t){NULL, 0}, NULL) < 0)
            return NULL;
        return Py_NewRef(state->server->ready);
    }
    if (cycle->h2 != NULL) {
        rc = keep_file(cycle, fd, offset, size, more);
        if (rc == 0) {
            asgi_http2_send_file_go_on(cycle);
            return asgi_send_after_write(cycle, 0);
        }
    } else if (cycle->out.body == ASGI_BODY_CHUNKED) {
        rc = asgi_http1_out_chunk(buf, (size_t)size);
    }
    if (rc == 0 && size <= COPY_FILE_AT_MOST) {
        rc = asgi_file_read(fd, offset, (size_t)size, buf);
        if (rc == 0)
            return end_file(cycle, !more) < 0 ? NULL : asgi_send_after_write(cycle, (size_t)size);
    } else if (rc == 0) {
        rc = keep_file(cycle, fd, offset, size, more);
        if (rc == 0) {
            asgi_send_file_go_on(cycle);
            return asgi_send_after_write(cycle, 0);
        }
    }
    buf->end = buf->start + before;
    if (rc == ASGI_ERR_NOMEM)
        return PyErr_NoMemory();
    PyErr_Format(PyExc_OSError, "cannot send the file: %s",
                 rc <= ASGI_ERR_NOMEM ? asgi_err_text(rc) : uv_strerror(rc));
    return NULL;
}

/* The size of a regular file. Returns 0, or -1 with an exception. */
static int
file_size(int fd, uint64_t *size)
{
    struct stat found;

    if (fstat(fd, &found) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!S_ISREG(found.st_mode)) {
        PyErr_SetString(PyExc_RuntimeError, "Only a regular file can be sent.");
        return -1;
    }
    *size = (uint64_t)found.st_size;
    return 0;
}

static PyObject *
send_path(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *path = asgi_send_required(message, own->str_path), *bytes = NULL, *result = NULL;
    uint64_t size;
    int fd;

    if (path == NULL)
        return NULL;
    if (PyUnicode_FSConverter(path, &bytes)) {
        /* Not blocking: a FIFO without a writer is refused below rather than waited for. */
        fd = open(PyBytes_AS_STRING(bytes), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        } else {
            if (file_size(fd, &size) == 0 && cycle->conn != NULL)
                result = send_file(cycle, fd, 0, size, false);
            close(fd);
        }
        Py_DECREF(bytes);
    }
    Py_DECREF(path);
    return result;
}

/* message[key] as a number, -1 where it is missing or None. Returns 0, or -1 with an exception. */
static int
number(PyObject *message, PyObject *key, long long *out)
{
    PyObject *value = asgi_send_lookup(message, key);

    *out = -1;
    if (value == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (value != Py_None) {
        *out = PyLong_AsLongLong(value);
        if (*out < 0 && !PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "%U must not be negative", key);
    }
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
send_open_file(CycleObject *cycle, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *file = asgi_send_required(message, own->str_file);
    long long offset, count;
    bool here;
    uint64_t size = 0;
    int fd, more;

    if (file == NULL)
        return NULL;
    fd = PyObject_AsFileDescriptor(file);
    Py_DECREF(file);
    if (fd < 0 || number(message, own->str_offset, &offset) < 0
        || number(message, own->str_count, &count) < 0
        || (more = asgi_send_flag(message, own->str_more_body)) < 0 || file_size(fd, &size) < 0)
        return NULL;
    if (cycle->conn == NULL)
        return Py_NewRef(own->ready);
    here = offset < 0;
    if (here && (offset = lseek(fd, 0, SEEK_CUR)) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    size = size > (uint64_t)offset ? size - (uint64_t)offset : 0;
    if (count >= 0 && (uint64_t)count > size) {
        PyErr_SetString(PyExc_RuntimeError, "The file is shorter than offset and count say.");
        return NULL;
    }
    if (count >= 0)
        size = (uint64_t)count;
    /* As sendfile(2): read from the file's position, which moves. */
    if (here && lseek(fd, (off_t)(offset + (long long)size), SEEK_SET) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return send_file(cycle, fd, (off_t)offset, size, more);
}

/* ---- the rest ---- */

static PyObject *
send_debug(CycleObject *cycle, PyObject *message)
{
    asgi_server_t *server = cycle->server;
    PyObject *info, *text;
    const char *utf8;

    if (!server->debug)
        return Py_NewRef(server->state->server->ready);
    info = asgi_send_lookup(message, server->state->server->str_info);
    if (info == NULL && PyErr_Occurred())
        return NULL;
    text = PyUnicode_FromFormat("ASGI debug information: %R", info != NULL ? info : Py_None);
    Py_XDECREF(info);
    utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    if (utf8 != NULL)
        asgi_server_log(server, 10, utf8, NULL);
    Py_XDECREF(text);
    return utf8 != NULL ? Py_NewRef(server->state->server->ready) : NULL;
}

static bool
is(PyObject *type, PyObject *name)
{
    return PyUnicode_Check(type) && PyUnicode_Compare(type, name) == 0;
}

PyObject *
asgi_send_extension(CycleObject *cycle, PyObject *type, PyObject *message)
{
    struct asgi_server_state *own = cycle->server->state->server;
    bool in_body = cycle->started && !cycle->body_over && cycle->file == NULL;

    if (is(type, own->str_debug))
        return send_debug(cycle, message);
    if (is(type, own->str_push))
        return Py_NewRef(own->ready);
    if (!cycle->started && is(type, own->str_early_hint))
        return send_early_hint(cycle, message);
    if (in_body && is(type, own->str_zerocopysend))
        return send_open_file(cycle, message);
    if (in_body && is(type, own->str_pathsend))
        return send_path(cycle, message);
    if (cycle->body_over && is(type, own->str_response_trailers))
        return send_trailers(cycle, message);
    if (cycle->file != NULL)
        PyErr_Format(PyExc_RuntimeError,
                     "ASGI message '%S' sent while a file is being sent: await send() first.",
                     type);
    else
        PyErr_Format(PyExc_RuntimeError, "Expected ASGI message '%U', but got '%S'.",
                     cycle->body_over ? own->str_response_trailers
                     : cycle->started ? own->str_response_body
                                      : own->str_response_start,
                     type);
    return NULL;
}
