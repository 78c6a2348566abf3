/* SPDX-License-Identifier: MIT
 *
 * server_api.c: constructor, configuration, methods and properties of _core.Server.
 *
 * A Server is used on its loop's thread only. It may be dropped at any time: while sockets are
 * open it keeps itself alive, and closing its loop aborts it.
 */
#include "asgi/server_api.h"

#include "asgi/cycle.h"
#include "asgi/scope.h"
#include "asgi/send_ext.h"
#include "asgi/task.h"
#include "asgi/tls_object.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/stream_tls.h"
#include "proto/date.h"

#define CONNS_KEPT 256 /* connection structs kept for the next burst */

/* ---- configuration ---- */

/* config[key], borrowed; NULL without an exception where it is missing or None. */
static PyObject *
option(PyObject *config, const char *key)
{
    PyObject *value = PyDict_GetItemString(config, key);

    return value == Py_None ? NULL : value;
}

static int
option_callable(PyObject *config, const char *key, PyObject **out)
{
    PyObject *value = option(config, key);

    if (value != NULL && !PyCallable_Check(value)) {
        PyErr_Format(PyExc_TypeError, "config['%s'] must be callable or None", key);
        return -1;
    }
    *out = Py_XNewRef(value);
    return 0;
}

static int
option_size(PyObject *config, const char *key, Py_ssize_t fallback, Py_ssize_t *out)
{
    PyObject *value = option(config, key);

    *out = fallback;
    if (value == NULL)
        return 0;
    *out = PyLong_AsSsize_t(value);
    if (*out == -1 && PyErr_Occurred())
        return -1;
    if (*out < 0) {
        PyErr_Format(PyExc_ValueError, "config['%s'] must not be negative", key);
        return -1;
    }
    return 0;
}

/* Seconds into milliseconds; None or 0 turns a deadline off, except where zero_means is given. */
static int
option_seconds(PyObject *config, const char *key, double fallback, uint64_t zero_means,
               uint64_t *out)
{
    PyObject *value = PyDict_GetItemString(config, key);
    double seconds = fallback;

    if (value == Py_None)
        seconds = -1;
    else if (value != NULL && (seconds = PyFloat_AsDouble(value)) == -1 && PyErr_Occurred())
        return -1;
    if (seconds > 1e9)
        seconds = 1e9;
    *out = seconds < 0 ? 0 : (uint64_t)(seconds * 1000);
    if (*out == 0 && seconds >= 0)
        *out = zero_means;
    return 0;
}

static int
option_bool(PyObject *config, const char *key, bool fallback)
{
    PyObject *value = option(config, key);

    return value == NULL ? fallback : PyObject_IsTrue(value);
}

/* Appends the configured header lines. server: set where one of them is Server. */
static int
add_headers(PyObject *headers, asgi_buf_t *lines, bool *server)
{
    PyObject *list = PySequence_Fast(headers, "config['headers'] must be a list of pairs");
    int rc = list != NULL ? 0 : -1;

    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *pair = PySequence_Tuple(PySequence_Fast_GET_ITEM(list, i));
        const char *name, *value;
        Py_ssize_t name_size, value_size;
        int id = 0;
        if (pair == NULL
            || !PyArg_ParseTuple(pair, "y#y#;a header must be a pair of bytes", &name, &name_size,
                                 &value, &value_size)) {
            rc = -1;
        } else if (asgi_buf_reserve(lines, (size_t)(name_size + value_size) + 4) < 0) {
            PyErr_NoMemory();
            rc = -1;
        } else if ((id = asgi_header_name(name, (size_t)name_size, lines->data + lines->end)) < 0
                   || !asgi_header_value_ok(value, (size_t)value_size)) {
            PyErr_Format(PyExc_ValueError, "config['headers'] holds an invalid header: %R", pair);
            rc = -1;
        } else {
            lines->end += (size_t)name_size;
            rc = asgi_buf_append(lines, ": ", 2) | asgi_buf_append(lines, value, (size_t)value_size)
                 | asgi_buf_append(lines, "\r\n", 2);
            if (rc < 0)
                PyErr_NoMemory();
            *server |= id == ASGI_HEADER_SERVER;
        }
        Py_XDECREF(pair);
    }
    Py_XDECREF(list);
    return rc < 0 ? -1 : 0;
}

/* date, server, then the configured ones: uvicorn's order. */
static int
make_defaults(asgi_server_t *self, PyObject *config)
{
    static const char date[] = "date: ", name[] = "server: casgi\r\n";
    PyObject *headers = option(config, "headers");
    asgi_buf_t extra = {0};
    bool has_server = false;
    char text[ASGI_DATE_SIZE];
    int with_date = option_bool(config, "date_header", true);
    int with_server = option_bool(config, "server_header", true);
    int rc = 0;

    if (with_date < 0 || with_server < 0)
        return -1;
    if (headers != NULL && add_headers(headers, &extra, &has_server) < 0) {
        asgi_buf_dispose(&extra);
        return -1;
    }
    if (with_date) {
        self->date_at = asgi_date_now();
        asgi_date_format(self->date_at, text);
        rc |= asgi_buf_append(&self->defaults, date, sizeof date - 1);
        rc |= asgi_buf_append(&self->defaults, text, sizeof text);
        rc |= asgi_buf_append(&self->defaults, "\r\n", 2);
        self->date_size = asgi_buf_size(&self->defaults);
    }
    if (with_server && !has_server) {
        rc |= asgi_buf_append(&self->defaults, name, sizeof name - 1);
        self->server_size = sizeof name - 1;
    }
    rc |= asgi_buf_append(&self->defaults, extra.data, asgi_buf_size(&extra));
    asgi_buf_dispose(&extra);
    if (rc < 0)
        PyErr_NoMemory();
    return rc < 0 ? -1 : 0;
}

/* proxy_headers, proxy_protocol, forwarded_header, and whom they are taken from: forwarded_allow_ips,
 * a list of str, or one with commas. */
static int
make_trust(asgi_server_t *self, PyObject *config)
{
    int proxy = option_bool(config, "proxy_headers", false);
    int header = option_bool(config, "forwarded_header", false);
    int protocol = option_bool(config, "proxy_protocol", false);
    PyObject *allowed = option(config, "forwarded_allow_ips"), *list;
    int rc = 0;

    if (proxy < 0 || header < 0 || protocol < 0)
        return -1;
    self->proxy_headers = proxy > 0;
    self->forwarded_header = header > 0;
    self->proxy_protocol = protocol > 0;
    if (allowed == NULL)
        return 0;
    list = PyUnicode_Check(allowed)
               ? PyUnicode_Split(allowed, self->state->server->str_comma, -1)
               : PySequence_Fast(allowed, "config['forwarded_allow_ips'] must be a list or a str");
    for (Py_ssize_t i = 0; list != NULL && rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        Py_ssize_t size;
        const char *item = PyUnicode_AsUTF8AndSize(PySequence_Fast_GET_ITEM(list, i), &size);
        rc = item == NULL ? -1 : asgi_trust_add(&self->trust, (asgi_slice_t){item, (size_t)size});
        if (rc < 0 && !PyErr_Occurred())
            PyErr_NoMemory();
    }
    Py_XDECREF(list);
    return list != NULL && rc == 0 ? 0 : -1;
}

/* The shortest of the deadlines that a look at an HTTP/2 connection checks; 0 where there is none. */
static uint64_t
look_every(const uint64_t *after)
{
    const uint64_t checked[] = {after[ASGI_DEADLINE_HEAD], after[ASGI_DEADLINE_BODY],
                                after[ASGI_DEADLINE_WRITE]};
    uint64_t least = 0;

    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        if (checked[i] > 0 && (least == 0 || checked[i] < least))
            least = checked[i];
    }
    return least;
}

static int
make_bounds(asgi_server_t *self, PyObject *config)
{
    uint64_t *after = self->deadlines.after;
    Py_ssize_t head, line, count, chunk, peer, body, rate, backlog, ws_size, ws_queue, streams;
    int debug, http2;
    int ws_deflate = option_bool(config, "ws_per_message_deflate", true);

    if (ws_deflate < 0
        || option_seconds(config, "timeout_tls_handshake", 10, 0, &after[ASGI_DEADLINE_TLS]) < 0
        || option_seconds(config, "timeout_header", 10, 0, &after[ASGI_DEADLINE_HEAD]) < 0
        || option_seconds(config, "timeout_body", 30, 0, &after[ASGI_DEADLINE_BODY]) < 0
        || option_seconds(config, "timeout_write", 30, 0, &after[ASGI_DEADLINE_WRITE]) < 0
        || option_seconds(config, "timeout_keep_alive", 5, 1, &after[ASGI_DEADLINE_IDLE]) < 0
        || option_size(config, "limit_concurrency", -1, &self->limit_concurrency) < 0
        || option_size(config, "limit_max_requests", -1, &self->limit_max_requests) < 0
        || option_size(config, "max_header_bytes", 65536, &head) < 0
        || option_size(config, "max_line_bytes", 65536, &line) < 0
        || option_size(config, "max_header_count", 256, &count) < 0
        || option_size(config, "max_chunk_extra", 8192, &chunk) < 0
        || option_size(config, "limit_connections_per_client", 0, &peer) < 0
        || option_size(config, "max_body_bytes", 0, &body) < 0
        || option_size(config, "limit_min_rate", 0, &rate) < 0
        || option_size(config, "backlog", 2048, &backlog) < 0
        || option_size(config, "max_streams", 100, &streams) < 0
        || option_size(config, "ws_max_size", 16 * 1024 * 1024, &ws_size) < 0
        || option_size(config, "ws_max_queue", 32, &ws_queue) < 0
        || option_seconds(config, "ws_ping_interval", 20, 0, &after[ASGI_DEADLINE_WS_PING]) < 0
        || option_seconds(config, "ws_ping_timeout", 20, 0, &after[ASGI_DEADLINE_WS_PONG]) < 0)
        return -1;
    if (ws_size < 1 || ws_queue < 1 || head < 64 || head > 1 << 30 || count < 1 || count > 65535
        || line < 16 || line > 1 << 30 || chunk > 1 << 30 || rate > 1 << 30 || backlog > 1 << 30
        || streams < 1 || streams > 1 << 30) {
        PyErr_SetString(PyExc_ValueError, "a bound in config is out of range");
        return -1;
    }
    if ((debug = option_bool(config, "debug", false)) < 0
        || (http2 = option_bool(config, "http2", false)) < 0)
        return -1;
    self->debug = debug > 0;
    self->http2 = http2 > 0;
    self->max_streams = (uint32_t)streams;
    after[ASGI_DEADLINE_LOOK] = look_every(after);
    after[ASGI_DEADLINE_LINGER] = 2000;
    after[ASGI_DEADLINE_DRAIN] = 500;
    after[ASGI_DEADLINE_WS_CLOSE] = 10000;
    self->ws_max_size = (size_t)ws_size;
    self->ws_max_queue = (size_t)ws_queue;
    self->ws_deflate = ws_deflate;
    self->max_header_bytes = (uint32_t)head;
    self->max_line_bytes = (uint32_t)line;
    self->max_header_count = (uint32_t)count;
    self->max_chunk_extra = (uint32_t)chunk;
    self->peers.limit = (size_t)peer;
    self->max_body_bytes = (uint64_t)body;
    self->min_rate = (uint64_t)rate;
    self->backlog = (int)backlog;
    return 0;
}

/* The table of connections that the workers share, and our place in it. */
static int
share_loads(asgi_server_t *self, PyObject *config)
{
    PyObject *memory = option(config, "loads");
    Py_ssize_t index;

    if (option_size(config, "load_index", 0, &index) < 0)
        return -1;
    if (memory == NULL)
        return 0;
    if (PyObject_GetBuffer(memory, &self->loads, PyBUF_WRITABLE) < 0)
        return -1;
    if ((uintptr_t)self->loads.buf % sizeof(uint32_t) != 0
        || asgi_balance_init(&self->balance, self->loads.buf, (size_t)self->loads.len,
                             (size_t)index)
               < 0) {
        PyErr_SetString(PyExc_ValueError, "config: load_index is outside of loads");
        return -1;
    }
    return 0;
}

/* Where this worker's figures go; without it nothing is counted. */
static int
share_stats(asgi_server_t *self, PyObject *config)
{
    PyObject *memory = option(config, "stats");

    if (memory == NULL)
        return 0;
    if (PyObject_GetBuffer(memory, &self->stats_view, PyBUF_WRITABLE) < 0)
        return -1;
    if ((size_t)self->stats_view.len < sizeof *self->stats
        || (uintptr_t)self->stats_view.buf % __alignof__(asgi_stats_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "config['stats'] is too small or not aligned");
        return -1;
    }
    self->stats = self->stats_view.buf;
    return 0;
}

static int
make_tls(asgi_server_t *self, PyObject *config)
{
    PyObject *tls = option(config, "tls");

    if (tls == NULL)
        return 0;
    if (!Py_IS_TYPE(tls, self->state->server->TLSType)) {
        PyErr_SetString(PyExc_TypeError, "config['tls'] must be a TLSContext or None");
        return -1;
    }
    self->plain_buffer = PyMem_Malloc(ASGI_STREAM_PLAIN_SIZE);
    if (self->plain_buffer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->tls = Py_NewRef(tls);
    return 0;
}

static int
make_scope(asgi_server_t *self, PyObject *config)
{
    PyObject *root = option(config, "root_path"), *scheme = option(config, "scheme");
    PyObject *state = option(config, "state"), *http, *ws = NULL;

    if ((root != NULL && !PyUnicode_Check(root)) || (scheme != NULL && !PyUnicode_Check(scheme))
        || (state != NULL && !PyDict_Check(state))) {
        PyErr_SetString(PyExc_TypeError, "config: root_path and scheme are str, state is a dict");
        return -1;
    }
    self->root_path = root != NULL ? Py_NewRef(root) : PyUnicode_FromString("");
    if (self->root_path == NULL)
        return -1;
    self->root_path_bytes = PyUnicode_AsASCIIString(self->root_path);
    self->app_state = state != NULL ? Py_NewRef(state) : PyDict_New();
    self->asgi = Py_BuildValue("{s:s,s:s}", "version", "3.0", "spec_version", "2.3");
    self->ws_asgi = Py_BuildValue("{s:s,s:s}", "version", "3.0", "spec_version", "2.4");
    http = scheme != NULL ? Py_NewRef(scheme) : PyUnicode_FromString("http");
    if (http != NULL)
        ws = PyUnicode_FromString(PyUnicode_CompareWithASCIIString(http, "https") == 0 ? "wss"
                                                                                       : "ws");
    if (self->root_path_bytes != NULL && self->app_state != NULL && self->asgi != NULL
        && self->ws_asgi != NULL && ws != NULL) {
        self->scope = asgi_scope_template(self, http, false);
        self->ws_scope = asgi_scope_template(self, ws, true);
    }
    Py_XDECREF(http);
    Py_XDECREF(ws);
    return self->scope != NULL && self->ws_scope != NULL ? 0 : -1;
}

/* ---- life ---- */

static void
on_loop_close(asgi_hook_t *hook)
{
    asgi_server_t *self = ASGI_CONTAINER(hook, asgi_server_t, at_close);

    asgi_link_t *first;

    Py_INCREF(self);
    self->at_close_queued = false;
    asgi_server_abort(self, false);
    /* The tasks will never run again: their loop is closed. */
    while ((first = asgi_list_first(&self->cycles)) != NULL)
        asgi_task_forget(ASGI_CONTAINER(first, CycleObject, link));
    Py_DECREF(self);
}

PyDoc_STRVAR(
    server_doc,
    "Server(loop, app, config, /)\n--\n\n"
    "An HTTP/1.1, HTTP/2 and WebSocket server for one ASGI app on one loop of this package.\n\n"
    "config is a dict: root_path, scheme, server_header, date_header, headers, state,\n"
    "timeout_keep_alive, timeout_header, timeout_body, timeout_write, timeout_tls_handshake\n"
    "(seconds), tls (a TLSContext),\n"
    "limit_concurrency, limit_max_requests, max_header_bytes, max_line_bytes, max_header_count,\n"
    "max_chunk_extra, max_body_bytes, limit_connections_per_client, limit_min_rate,\n"
    "backlog, ws_max_size, ws_max_queue, ws_per_message_deflate, ws_ping_interval,\n"
    "ws_ping_timeout (seconds), http2, max_streams, access_log, error_log, on_max_requests, "
    "debug,\n"
    "proxy_headers, proxy_protocol, forwarded_allow_ips, forwarded_header,\n"
    "stats (a buffer: net/stats.h).");

static PyObject *
server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(type));
    PyObject *loop, *app, *config;
    LoopObject *own_loop;
    asgi_server_t *self;

    if (!PyArg_ParseTuple(args, "OOO!:Server", &loop, &app, &PyDict_Type, &config))
        return NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Server() takes no keyword arguments");
        return NULL;
    }
    if ((own_loop = asgi_loop_from(state, loop)) == NULL)
        return NULL;
    if (!PyCallable_Check(app)) {
        PyErr_SetString(PyExc_TypeError, "app must be callable");
        return NULL;
    }
    self = (asgi_server_t *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    self->loop = (LoopObject *)Py_NewRef((PyObject *)own_loop);
    self->app = Py_NewRef(app);
    asgi_link_init(&self->listeners);
    asgi_link_init(&self->conns);
    asgi_link_init(&self->cycles);
    asgi_pool_init(&self->conn_pool, sizeof(asgi_conn_t), CONNS_KEPT);
    self->at_close.run = on_loop_close;
    asgi_deadlines_init(&self->deadlines, asgi_loop_uv(own_loop), asgi_conn_on_expired);
    self->context = PyContext_CopyCurrent();
    self->read_buffer = PyMem_Malloc(ASGI_STREAM_READ_SIZE);
    if (self->context == NULL || self->read_buffer == NULL
        || option_callable(config, "access_log", &self->access_log.call) < 0
        || asgi_accesslog_open(&self->access_log) < 0
        || option_callable(config, "error_log", &self->error_log) < 0
        || option_callable(config, "on_max_requests", &self->on_max_requests) < 0
        || make_bounds(self, config) < 0 || share_loads(self, config) < 0
        || share_stats(self, config) < 0 || make_tls(self, config) < 0
        || make_scope(self, config) < 0 || asgi_extensions_make(self) < 0
        || make_trust(self, config) < 0 || make_defaults(self, config) < 0) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
server_traverse(PyObject *op, visitproc visit, void *arg)
{
    asgi_server_t *self = (asgi_server_t *)op;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->loop);
    Py_VISIT(self->app);
    Py_VISIT(self->app_state);
    Py_VISIT(self->error_log);
    Py_VISIT(self->on_max_requests);
    Py_VISIT(self->context);
    Py_VISIT(self->scope);
    Py_VISIT(self->asgi);
    Py_VISIT(self->extensions);
    Py_VISIT(self->extensions_v10);
    Py_VISIT(self->ws_scope);
    Py_VISIT(self->ws_asgi);
    if (asgi_accesslog_traverse(&self->access_log, visit, arg) != 0)
        return -1;
    /* The list of running cycles owns a reference each. The self-reference is not visited: it
     * stands for sockets, which no collector can see. */
    if (self->cycles.next != NULL) {
        for (asgi_link_t *link = self->cycles.next; link != &self->cycles; link = link->next)
            Py_VISIT((PyObject *)ASGI_CONTAINER(link, CycleObject, link));
    }
    return 0;
}

static int
server_clear(PyObject *op)
{
    asgi_server_t *self = (asgi_server_t *)op;

    /* `loop` stays: close callbacks and deallocation need it. A server that is held is never
     * cleared, for then it is reachable. */
    Py_CLEAR(self->app);
    Py_CLEAR(self->app_state);
    asgi_accesslog_clear(&self->access_log);
    Py_CLEAR(self->error_log);
    Py_CLEAR(self->on_max_requests);
    Py_CLEAR(self->context);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->asgi);
    Py_CLEAR(self->extensions);
    Py_CLEAR(self->extensions_v10);
    Py_CLEAR(self->ws_scope);
    Py_CLEAR(self->ws_asgi);
    return 0;
}

static void
server_dealloc(PyObject *op)
{
    asgi_server_t *self = (asgi_server_t *)op;
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    server_clear(op);
    Py_CLEAR(self->root_path);
    Py_CLEAR(self->root_path_bytes);
    PyBuffer_Release(&self->loads);
    PyBuffer_Release(&self->stats_view);
    asgi_pool_dispose(&self->conn_pool);
    asgi_spares_dispose(&self->spares);
    asgi_peers_dispose(&self->peers);
    asgi_trust_dispose(&self->trust);
    asgi_buf_dispose(&self->defaults);
    PyMem_Free(self->read_buffer);
    PyMem_Free(self->plain_buffer);
    Py_CLEAR(self->tls);
    Py_CLEAR(self->local);
    Py_XDECREF((PyObject *)self->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- methods ---- */

PyDoc_STRVAR(listen_doc,
             "listen(sock, /)\n--\n\n"
             "Accept connections from a bound socket (AF_INET, AF_INET6 or AF_UNIX).\n\n"
             "The file descriptor is duplicated: sock may be closed afterwards. Raises OSError.");

static PyObject *
server_listen(PyObject *op, PyObject *sock)
{
    asgi_server_t *self = (asgi_server_t *)op;
    PyObject *family = PyObject_GetAttrString(sock, "family");
    long number = family != NULL ? PyLong_AsLong(family) : -1;
    int fd, rc;

    Py_XDECREF(family);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0)
        return NULL;
    if (self->draining) {
        PyErr_SetString(PyExc_RuntimeError, "the server is shutting down");
        return NULL;
    }
    if (asgi_deadlines_open(&self->deadlines) < 0)
        return PyErr_NoMemory();
    asgi_server_hold(self);
    if (!self->at_close_queued) {
        self->at_close_queued = true;
        asgi_loop_at_close(self->loop, &self->at_close);
    }
    rc = asgi_listener_open(self, fd, (int)number);
    asgi_server_release(self);
    if (rc < 0) {
        errno = -rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stop_listening_doc,
             "stop_listening()\n--\n\n"
             "Stop accepting connections, once those already in the kernel's queue are accepted.");

static PyObject *
server_stop_listening(PyObject *op, PyObject *unused)
{
    asgi_server_t *self = (asgi_server_t *)op;
    asgi_link_t *first;

    while ((first = asgi_list_first(&self->listeners)) != NULL)
        asgi_listener_close(ASGI_CONTAINER(first, asgi_listener_t, link));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    shutdown_doc,
    "shutdown()\n--\n\n"
    "Begin to drain: connections are closed after the response under way, idle ones after a short\n"
    "while in which a request may still arrive. The response to either is the last one,\n"
    "which tells the client so where its head is not out yet.");

static PyObject *
server_shutdown(PyObject *op, PyObject *unused)
{
    asgi_server_t *self = (asgi_server_t *)op;
    asgi_link_t *link, *next;

    Py_INCREF(self);
    self->draining = true;
    /* Closing unlinks the connection itself and no other. */
    for (link = self->conns.next; link != &self->conns; link = next) {
        next = link->next;
        asgi_conn_shutdown(ASGI_CONTAINER(link, asgi_conn_t, link));
    }
    Py_DECREF(self);
    Py_RETURN_NONE;
}

void
asgi_server_abort(asgi_server_t *self, bool cancel)
{
    asgi_link_t *first, *link;
    PyObject *tasks;

    Py_INCREF(self);
    Py_XDECREF(server_stop_listening((PyObject *)self, NULL));
    self->draining = true;
    tasks = PyList_New(0);
    for (link = self->cycles.next; cancel && link != &self->cycles; link = link->next) {
        CycleObject *cycle = ASGI_CONTAINER(link, CycleObject, link);
        if (tasks == NULL || PyList_Append(tasks, cycle->task) < 0)
            PyErr_WriteUnraisable((PyObject *)self);
    }
    while ((first = asgi_list_first(&self->conns)) != NULL)
        asgi_conn_close(ASGI_CONTAINER(first, asgi_conn_t, link));
    for (Py_ssize_t i = 0; tasks != NULL && i < PyList_GET_SIZE(tasks); i++) {
        PyObject *done =
            PyObject_CallMethodNoArgs(PyList_GET_ITEM(tasks, i), self->state->server->str_cancel);
        if (done == NULL)
            PyErr_WriteUnraisable(PyList_GET_ITEM(tasks, i));
        Py_XDECREF(done);
    }
    Py_XDECREF(tasks);
    Py_DECREF(self);
}

PyDoc_STRVAR(abort_doc,
             "abort()\n--\n\nClose every socket now and cancel the tasks of all requests.");

static PyObject *
server_abort(PyObject *op, PyObject *unused)
{
    asgi_server_abort((asgi_server_t *)op, true);
    Py_RETURN_NONE;
}

static PyObject *
get_connections(PyObject *op, void *closure)
{
    return PyLong_FromSize_t(((asgi_server_t *)op)->connections);
}

static PyObject *
get_tasks(PyObject *op, void *closure)
{
    return PyLong_FromSize_t(((asgi_server_t *)op)->tasks);
}

static PyObject *
get_total_requests(PyObject *op, void *closure)
{
    return PyLong_FromUnsignedLongLong(((asgi_server_t *)op)->total_requests);
}

static PyObject *
get_asgi_version(PyObject *op, void *closure)
{
    return PyUnicode_FromString("3.0");
}

static PyMethodDef server_methods[] = {
    {"listen", server_listen, METH_O, listen_doc},
    {"stop_listening", server_stop_listening, METH_NOARGS, stop_listening_doc},
    {"shutdown", server_shutdown, METH_NOARGS, shutdown_doc},
    {"abort", server_abort, METH_NOARGS, abort_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef server_getset[] = {
    {"connections", get_connections, NULL, "Open connections.", NULL},
    {"tasks", get_tasks, NULL, "Requests whose app is still running.", NULL},
    {"total_requests", get_total_requests, NULL, "Responses completed so far.", NULL},
    {"asgi_version", get_asgi_version, NULL, "The ASGI version of the scopes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc, (void *)server_doc},   {Py_tp_new, server_new},
    {Py_tp_methods, server_methods},   {Py_tp_getset, server_getset},
    {Py_tp_traverse, server_traverse}, {Py_tp_clear, server_clear},
    {Py_tp_dealloc, server_dealloc},   {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "asgiserver._core.Server",
    .basicsize = sizeof(asgi_server_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};

PyTypeObject *
asgi_server_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &server_spec, NULL);
}
