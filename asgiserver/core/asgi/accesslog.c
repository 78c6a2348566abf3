/* SPDX-License-Identifier: MIT
 *
 * accesslog.c: the access log's line; see accesslog.h.
 *
 * The path is the one the client sent, still percent-encoded: the parser let only printable ASCII
 * through, so no request can forge a line of the log.
 */
#include "asgi/accesslog.h"

#include "asgi/scope.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"

int
asgi_accesslog_note(CycleObject *cycle, asgi_slice_t path, asgi_slice_t query)
{
    asgi_server_t *server = cycle->server;
    Py_ssize_t root, size;
    PyObject *client;
    char *p;

    if (server->access_log == NULL)
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

void
asgi_accesslog_write(CycleObject *cycle, unsigned status)
{
    asgi_server_t *server = cycle->server;
    struct asgi_server_state *own = server->state->server;
    PyObject *code, *result = NULL, *method, *log;

    if (server->access_log == NULL || cycle->log_path == NULL)
        return;
    if (cycle->ws != NULL) {
        asgi_accesslog_websocket(cycle, status);
        return;
    }
    log = Py_NewRef(server->access_log);
    code = PyLong_FromUnsignedLong(status);
    method = asgi_scope_method(server, cycle->method);
    if (code != NULL && method != NULL) {
        PyObject *args[] = {own->log_format,
                            cycle->log_client,
                            method,
                            cycle->log_path,
                            cycle->minor == 1   ? own->str_v11
                            : cycle->minor == 0 ? own->str_v10
                                                : own->str_v2,
                            code};
        result = PyObject_Vectorcall(log, args, 6, NULL);
    }
    if (result == NULL)
        asgi_loop_report(server->loop, "The access log failed");
    Py_XDECREF(result);
    Py_XDECREF(code);
    Py_DECREF(log);
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
        asgi_loop_report(cycle->server->loop, "The access log failed");
    Py_XDECREF(text);
}
