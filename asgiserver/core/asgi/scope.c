/* SPDX-License-Identifier: MIT
 *
 * scope.c: the scopes, key by key as uvicorn makes it, and extensions; see scope.h.
 *
 * A scope starts as a copy of the server's template, which has all keys in uvicorn's order and the
 * values that do not change; the others are overwritten. Method names, versions and the names of
 * common headers are shared objects; values are made anew.
 */
#include "asgi/scope.h"

#include "asgi/accesslog.h"
#include "asgi/proxy.h"
#include "asgi/tls_scope.h"
#include "asgi/ws_cycle.h"
#include "base/utf8.h"

PyObject *
asgi_scope_template(asgi_server_t *server, PyObject *scheme, bool websocket)
{
    struct asgi_server_state *own = server->state->server;
    PyObject *keys[] = {own->str_type,         own->str_asgi,      own->str_http_version,
                        own->str_server,       own->str_client,    own->str_scheme,
                        own->str_root_path,    own->str_headers,   own->str_state,
                        own->str_method,       own->str_path,      own->str_raw_path,
                        own->str_query_string, own->str_extensions};
    PyObject *values[] = {own->str_http, Py_None,           own->str_v11,     Py_None, Py_None,
                          scheme,        server->root_path, Py_None,          Py_None, Py_None,
                          Py_None,       Py_None,           own->empty_bytes, Py_None};
    PyObject *scope = PyDict_New();

    if (websocket) {
        values[0] = own->str_websocket;
        keys[9] = own->str_subprotocols;
    }
    for (size_t i = 0; scope != NULL && i < sizeof keys / sizeof *keys; i++) {
        if (PyDict_SetItem(scope, keys[i], values[i]) < 0)
            Py_CLEAR(scope);
    }
    return scope;
}

PyObject *
asgi_scope_method(asgi_server_t *server, unsigned method)
{
    struct asgi_server_state *own = server->state->server;

    if (method >= ASGI_MAX_METHODS) {
        PyErr_SetString(PyExc_SystemError, "unknown HTTP method number");
        return NULL;
    }
    if (own->methods[method] == NULL)
        own->methods[method] =
            PyUnicode_InternFromString(llhttp_method_name((llhttp_method_t)method));
    return own->methods[method];
}

/* Returns: new (name, value) of one field, its offsets counted from base. */
static inline __attribute__((always_inline)) PyObject *
field_pair(struct asgi_server_state *own, const asgi_field_t *field, const char *base)
{
    PyObject *name, *value, *pair = PyTuple_New(2);

    if (field->id != ASGI_HEADER_OTHER) {
        name = Py_NewRef(own->header_names[field->id]);
    } else {
        name = PyBytes_FromStringAndSize(NULL, field->name_size);
        /* The parser has checked the name, this only writes it in lower case. */
        if (name != NULL
            && asgi_header_name(base + field->name, field->name_size, PyBytes_AS_STRING(name)) < 0)
            Py_CLEAR(name);
    }
    value = PyBytes_FromStringAndSize(base + field->value, field->value_size);
    if (pair == NULL || name == NULL || value == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "unchecked header name");
        Py_XDECREF(pair);
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

PyObject *
asgi_scope_headers(asgi_server_t *server, const asgi_request_t *request, const char *head)
{
    PyObject *list = PyList_New(request->field_count);

    for (uint32_t i = 0; list != NULL && i < request->field_count; i++) {
        PyObject *pair = field_pair(server->state->server, &request->fields[i], head);
        if (pair == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, pair);
    }
    return list;
}

/* Fields that a trailer section must not have (RFC 9110 6.5.1): what frames, routes or
 * authenticates a message is decided by its head. */
static bool
head_only(unsigned id)
{
    switch (id) {
    case ASGI_HEADER_TE:
    case ASGI_HEADER_HOST:
    case ASGI_HEADER_RANGE:
    case ASGI_HEADER_COOKIE:
    case ASGI_HEADER_EXPECT:
    case ASGI_HEADER_TRAILER:
    case ASGI_HEADER_UPGRADE:
    case ASGI_HEADER_FORWARDED:
    case ASGI_HEADER_CONNECTION:
    case ASGI_HEADER_KEEP_ALIVE:
    case ASGI_HEADER_CONTENT_TYPE:
    case ASGI_HEADER_AUTHORIZATION:
    case ASGI_HEADER_CACHE_CONTROL:
    case ASGI_HEADER_CONTENT_LENGTH:
    case ASGI_HEADER_CONTENT_ENCODING:
    case ASGI_HEADER_X_FORWARDED_FOR:
    case ASGI_HEADER_PROXY_CONNECTION:
    case ASGI_HEADER_X_FORWARDED_HOST:
    case ASGI_HEADER_X_FORWARDED_PORT:
    case ASGI_HEADER_X_FORWARDED_PROTO:
    case ASGI_HEADER_TRANSFER_ENCODING:
        return true;
    default:
        return false;
    }
}

PyObject *
asgi_scope_trailers(asgi_server_t *server, const asgi_request_t *request, const char *section)
{
    PyObject *list = PyList_New(0);

    for (uint32_t i = 0; list != NULL && i < request->field_count; i++) {
        PyObject *pair;
        if (head_only(request->fields[i].id))
            continue;
        pair = field_pair(server->state->server, &request->fields[i], section);
        if (pair == NULL || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

/* root_path + the percent-decoded path. Returns: new str. */
static PyObject *
decoded_path(asgi_server_t *server, asgi_slice_t path)
{
    PyObject *text, *full;

    if (path.size == 0 || memchr(path.data, '%', path.size) == NULL) {
        text = PyUnicode_New((Py_ssize_t)path.size, 127);
        if (text != NULL)
            memcpy(PyUnicode_1BYTE_DATA(text), path.data, path.size);
    } else {
        char small[512], *bytes = small;
        if (path.size > sizeof small && (bytes = PyMem_Malloc(path.size)) == NULL)
            return PyErr_NoMemory();
        text = PyUnicode_DecodeUTF8(
            bytes, (Py_ssize_t)asgi_percent_decode(path.data, path.size, bytes), "replace");
        if (bytes != small)
            PyMem_Free(bytes);
    }
    if (text == NULL || PyUnicode_GET_LENGTH(server->root_path) == 0)
        return text;
    full = PyUnicode_Concat(server->root_path, text);
    Py_DECREF(text);
    return full;
}

static PyObject *
raw_path(asgi_server_t *server, asgi_slice_t path)
{
    Py_ssize_t root = PyBytes_GET_SIZE(server->root_path_bytes);
    PyObject *raw = PyBytes_FromStringAndSize(NULL, root + (Py_ssize_t)path.size);

    if (raw != NULL) {
        memcpy(PyBytes_AS_STRING(raw), PyBytes_AS_STRING(server->root_path_bytes), (size_t)root);
        memcpy(PyBytes_AS_STRING(raw) + root, path.data, path.size);
    }
    return raw;
}

/* Steals: value (NULL fails). */
static int
put(PyObject *scope, PyObject *key, PyObject *value)
{
    int rc = value != NULL ? PyDict_SetItem(scope, key, value) : -1;

    Py_XDECREF(value);
    return rc;
}

/* What only an http scope has: the method, and the extensions of its version. */
static int
http_only(CycleObject *cycle, PyObject *scope)
{
    asgi_server_t *server = cycle->server;
    struct asgi_server_state *own = server->state->server;
    PyObject *extensions = cycle->minor != 0 ? server->extensions : server->extensions_v10;

    if (put(scope, own->str_method, Py_XNewRef(asgi_scope_method(server, cycle->method))) < 0)
        return -1;
    return put(scope, own->str_extensions, PyDict_Copy(extensions));
}

int
asgi_scope_build(asgi_conn_t *conn, const asgi_request_t *request, const char *head,
                 CycleObject *cycle)
{
    asgi_server_t *server = conn->server;
    struct asgi_server_state *own = server->state->server;
    asgi_slice_t path, query;
    PyObject *scope;
    bool websocket;

    asgi_request_split_target(request, head, &path, &query);
    websocket = cycle->ws != NULL;
    scope = cycle->scope = PyDict_Copy(websocket ? server->ws_scope : server->scope);
    if (scope == NULL
        || put(scope, own->str_asgi, PyDict_Copy(websocket ? server->ws_asgi : server->asgi)) < 0
        || (request->minor != 1
            && PyDict_SetItem(scope, own->str_http_version,
                              request->minor == 0 ? own->str_v10 : own->str_v2)
                   < 0)
        || put(scope, own->str_server, Py_XNewRef(asgi_conn_local(conn))) < 0
        || put(scope, own->str_client, Py_XNewRef(asgi_conn_client(conn))) < 0
        || put(scope, own->str_headers, asgi_scope_headers(server, request, head)) < 0
        || put(scope, own->str_state, PyDict_Copy(server->app_state)) < 0
        || (websocket ? asgi_ws_scope(cycle, request, head) : http_only(cycle, scope)) < 0
        || put(scope, own->str_path, decoded_path(server, path)) < 0
        || put(scope, own->str_raw_path, raw_path(server, path)) < 0)
        return -1;
    if (conn->stream.tls != NULL && asgi_tls_scope(conn, scope) < 0)
        return -1;
    if (conn->proxied != NULL && conn->proxied->secure
        && PyDict_SetItem(scope, own->str_scheme, websocket ? own->str_wss : own->str_https) < 0)
        return -1;
    if (query.size > 0
        && put(scope, own->str_query_string,
               PyBytes_FromStringAndSize(query.data, (Py_ssize_t)query.size))
               < 0)
        return -1;
    if (request->forwarded && server->proxy_headers
        && asgi_proxy_apply(conn, request, head, cycle) < 0)
        return -1;
    return asgi_accesslog_note(cycle, path, query);
}
