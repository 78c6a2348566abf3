/* SPDX-License-Identifier: MIT
 *
 * accesslog.c: the access log's line; see accesslog.h.
 *
 * The path is the one the client sent, still percent-encoded: the parser let only printable ASCII
 * through, so no request can forge a line of the log.
 */
#include "asgi/accesslog.h"

#include "asgi/cycle.h"
#include "asgi/scope.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"

/* Lines of one turn are written in pieces of some such size at most. */
#define LINES_AT_MOST (64 << 10)
#define FAILED "The access log failed"

static void on_hook(asgi_hook_t *hook);

/* ---- life ---- */

int
asgi_accesslog_open(asgi_accesslog_t *log)
{
    log->hook.run = on_hook;
    if (log->call == NULL)
        return 0;
    log->plain = PyObject_GetAttrString(log->call, "plain");
    log->write = log->plain != NULL ? PyObject_GetAttrString(log->call, "write") : NULL;
    if (log->write == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        Py_CLEAR(log->plain);
    }
    return 0;
}

int
asgi_accesslog_traverse(asgi_accesslog_t *log, visitproc visit, void *arg)
{
    Py_VISIT(log->call);
    Py_VISIT(log->plain);
    Py_VISIT(log->write);
    Py_VISIT(log->style);
    return 0;
}

void
asgi_accesslog_clear(asgi_accesslog_t *log)
{
    Py_CLEAR(log->call);
    Py_CLEAR(log->plain);
    Py_CLEAR(log->write);
    Py_CLEAR(log->style);
    asgi_buf_dispose(&log->lines);
}

/* ---- a request ---- */

int
asgi_accesslog_note(CycleObject *cycle, asgi_slice_t path, asgi_slice_t query)
{
    asgi_server_t *server = cycle->server;
    Py_ssize_t root, size;
    PyObject *client;
    char *p;

    if (server->access_log.call == NULL)
        return 0;
    root = PyBytes_GET_SIZE(server->root_path_bytes);
    size = root + (Py_ssize_t)(path.size + (query.size > 0 ? query.size + 1 : 0));
    cycle->log_path = PyUnicode_New(size, 127);
    if (cycle->log_path == NULL)
        return -1;
    p = (char *)PyUnicode_1BYTE_DATA(cycle->log_path);
    memcpy(p, PyBytes_AS_STRING(server->root_path_bytes), (size_t)root);
    memcpy(p + root, path.data, path.size);
    if (query.size > 0) {
        p[(size_t)root + path.size] = '?';
        memcpy(p + (size_t)root + path.size + 1, query.data, query.size);
    }
    client = PyDict_GetItemWithError(cycle->scope, server->state->server->str_client);
    if (client == NULL)
        return -1;
    if (client == Py_None)
        cycle->log_client = PyUnicode_New(0, 0);
    else
        cycle->log_client =
            PyUnicode_FromFormat("%U:%S", PyTuple_GET_ITEM(client, 0), PyTuple_GET_ITEM(client, 1));
    return cycle->log_client != NULL ? 0 : -1;
}

/* ---- a line ---- */

/* Lets write() have the lines; the next line finds out anew what becomes of it. */
static int
write_lines(asgi_accesslog_t *log)
{
    PyObject *write = Py_NewRef(log->write), *result = NULL;
    PyObject *text = PyUnicode_DecodeUTF8(asgi_buf_front(&log->lines),
                                          (Py_ssize_t)asgi_buf_size(&log->lines), "replace");

    asgi_buf_clear(&log->lines);
    asgi_buf_shrink(&log->lines, LINES_AT_MOST);
    Py_CLEAR(log->style);
    if (text != NULL)
        result = PyObject_CallOneArg(write, text);
    Py_XDECREF(text);
    Py_XDECREF(result);
    Py_DECREF(write);
    return result != NULL ? 0 : -1;
}

void
asgi_accesslog_flush(asgi_server_t *server)
{
    asgi_accesslog_t *log = &server->access_log;

    asgi_loop_hook_cancel(server->loop, &log->hook);
    if (log->style != NULL && write_lines(log) < 0)
        asgi_loop_report(server->loop, FAILED);
}

static void
on_hook(asgi_hook_t *hook)
{
    asgi_accesslog_flush(ASGI_CONTAINER(hook, asgi_server_t, access_log.hook));
}

/* Asks for the style of the turn's lines. Returns 1 if there is one, 0 or -1. */
static int
ask_style(asgi_server_t *server)
{
    asgi_accesslog_t *log = &server->access_log;
    PyObject *style;

    if (log->style != NULL)
        return 1;
    if (log->plain == NULL)
        return 0;
    style = PyObject_CallNoArgs(log->plain);
    if (style == Py_None) {
        Py_DECREF(style);
        return 0;
    }
    if (style == NULL)
        return -1;
    if (!PyTuple_Check(style) || PyTuple_GET_SIZE(style) != 4
        || !PyBytes_Check(PyTuple_GET_ITEM(style, 0)) || !PyBytes_Check(PyTuple_GET_ITEM(style, 1))
        || !PyBytes_Check(PyTuple_GET_ITEM(style, 2))) {
        Py_DECREF(style);
        PyErr_SetString(PyExc_TypeError, "plain() returns None or (bytes, bytes, bytes, mapping)");
        return -1;
    }
    Py_XSETREF(log->style, style);
    return 1;
}

static asgi_slice_t
bytes_slice(PyObject *bytes)
{
    return (asgi_slice_t){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

/* Adds the line that the format "%s - \"%s %s HTTP/%s\" %d" would give. Returns 0 or -1. */
static int
add_line(asgi_server_t *server, PyObject *const *args)
{
    asgi_accesslog_t *log = &server->access_log;
    asgi_slice_t words[4]; /* client, method, path, version */
    PyObject *code = PyObject_GetItem(PyTuple_GET_ITEM(log->style, 3), args[4]);
    asgi_slice_t parts[] = {bytes_slice(PyTuple_GET_ITEM(log->style, 0)),
                            {NULL, 0},
                            ASGI_SLICE(" - \""),
                            bytes_slice(PyTuple_GET_ITEM(log->style, 1)),
                            {NULL, 0},
                            ASGI_SLICE(" "),
                            {NULL, 0},
                            ASGI_SLICE(" HTTP/"),
                            {NULL, 0},
                            bytes_slice(PyTuple_GET_ITEM(log->style, 2)),
                            ASGI_SLICE("\" "),
                            {NULL, 0},
                            ASGI_SLICE("\n")};
    size_t size = 0;
    char *p;

    if (code == NULL)
        return -1;
    if (!PyBytes_Check(code)) {
        PyErr_SetString(PyExc_TypeError, "plain()'s statuses are bytes");
        goto fail;
    }
    for (int i = 0; i < 4; i++) {
        Py_ssize_t length;
        words[i].data = PyUnicode_AsUTF8AndSize(args[i], &length);
        if (words[i].data == NULL)
            goto fail;
        words[i].size = (size_t)length;
    }
    parts[1] = words[0];
    parts[4] = words[1];
    parts[6] = words[2];
    parts[8] = words[3];
    parts[11] = bytes_slice(code);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        size += parts[i].size;
    if (asgi_buf_reserve(&log->lines, size) < 0) {
        PyErr_NoMemory();
        goto fail;
    }
    p = log->lines.data + log->lines.end;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(p, parts[i].data, parts[i].size);
        p += parts[i].size;
    }
    log->lines.end += size;
    Py_DECREF(code);
    return 0;

fail:
    Py_DECREF(code);
    return -1;
}

/* Logs one response; args as of `call`, without the format. Returns 0 or -1. */
static int
log_response(asgi_server_t *server, PyObject *const *args)
{
    asgi_accesslog_t *log = &server->access_log;
    int plain = ask_style(server);

    if (plain < 0)
        return -1;
    if (plain == 0) {
        PyObject *all[] = {
            server->state->server->log_format, args[0], args[1], args[2], args[3], args[4]};
        PyObject *call = Py_NewRef(log->call), *result;
        result = PyObject_Vectorcall(call, all, 6, NULL);
        Py_DECREF(call);
        Py_XDECREF(result);
        return result != NULL ? 0 : -1;
    }
    if (add_line(server, args) < 0) {
        if (asgi_buf_size(&log->lines) == 0)
            Py_CLEAR(log->style);
        return -1;
    }
    if (asgi_buf_size(&log->lines) >= LINES_AT_MOST)
        return write_lines(log);
    if (log->hook.next == NULL)
        asgi_loop_before_poll(server->loop, &log->hook);
    return 0;
}

void
asgi_accesslog_write(CycleObject *cycle, unsigned status)
{
    asgi_server_t *server = cycle->server;
    struct asgi_server_state *own = server->state->server;
    PyObject *code, *method, *version;

    if (server->access_log.call == NULL || cycle->log_path == NULL)
        return;
    if (cycle->ws != NULL) {
        asgi_accesslog_websocket(cycle, status);
        return;
    }
    code = PyLong_FromUnsignedLong(status);
    method = asgi_scope_method(server, cycle->method);
    version = cycle->minor == 1 ? own->str_v11 : cycle->minor == 0 ? own->str_v10 : own->str_v2;
    if (code == NULL || method == NULL
        || log_response(server, (PyObject *const[]){cycle->log_client, method, cycle->log_path,
                                                    version, code})
               < 0)
        asgi_loop_report(server->loop, FAILED);
    Py_XDECREF(code);
}

void
asgi_accesslog_websocket(CycleObject *cycle, unsigned status)
{
    PyObject *text;
    const char *utf8;

    if (cycle->log_path == NULL)
        return;
    if (status == 0)
        text = PyUnicode_FromFormat("%U - \"WebSocket %U\" [accepted]", cycle->log_client,
                                    cycle->log_path);
    else
        text = PyUnicode_FromFormat("%U - \"WebSocket %U\" %u", cycle->log_client, cycle->log_path,
                                    status);
    utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    if (utf8 != NULL)
        asgi_server_log(cycle->server, 20, utf8, NULL);
    else
        asgi_loop_report(cycle->server->loop, FAILED);
    Py_XDECREF(text);
}
