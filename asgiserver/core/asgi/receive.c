/* SPDX-License-Identifier: MIT
 *
 * receive.c: messages from the client to the app; see receive.h.
 *
 *   body bytes held, or the end not yet told   http.request
 *   otherwise: answered, or client gone        http.disconnect, as often as asked
 *   otherwise                                  wait
 *
 * What the client sent before it half-closed is delivered before the disconnect. The first call
 * sends "100 Continue" to a client that asked for it.
 */
#include "asgi/receive.h"

#include "asgi/http2_send.h"
#include "asgi/server.h"
#include "asgi/ws_cycle.h"
#include "net/conn_http1.h"

static PyObject *
disconnect_message(struct asgi_server_state *own)
{
    PyObject *message = PyDict_New();

    if (message != NULL && PyDict_SetItem(message, own->str_type, own->str_http_disconnect) < 0)
        Py_CLEAR(message);
    return message;
}

static PyObject *
request_message(CycleObject *cycle, struct asgi_server_state *own)
{
    asgi_buf_t *body = &cycle->body;
    size_t size = asgi_buf_size(body);
    PyObject *message = PyDict_New(), *bytes;

    if (message == NULL)
        return NULL;
    bytes = size > 0 ? PyBytes_FromStringAndSize(asgi_buf_front(body), (Py_ssize_t)size)
                     : Py_NewRef(own->empty_bytes);
    if (bytes == NULL || PyDict_SetItem(message, own->str_type, own->str_http_request) < 0
        || PyDict_SetItem(message, own->str_body, bytes) < 0
        || PyDict_SetItem(message, own->str_more_body, cycle->request_over ? Py_False : Py_True)
               < 0) {
        Py_XDECREF(bytes);
        Py_DECREF(message);
        return NULL;
    }
    Py_DECREF(bytes);
    if (cycle->request_over && cycle->trailers != NULL
        && PyDict_SetItem(message, own->str_trailers, cycle->trailers) < 0) {
        Py_DECREF(message);
        return NULL;
    }
    asgi_buf_clear(body);
    cycle->end_given = cycle->request_over;
    return message;
}

PyObject *
asgi_receive_take(CycleObject *cycle)
{
    struct asgi_server_state *own = cycle->server->state->server;

    if (cycle->ws != NULL)
        return asgi_ws_take(cycle);
    if (cycle->complete)
        return disconnect_message(own);
    if (asgi_buf_size(&cycle->body) > 0 || (cycle->request_over && !cycle->end_given)) {
        size_t size = asgi_buf_size(&cycle->body);
        PyObject *message = request_message(cycle, own);
        if (message != NULL && cycle->h2 != NULL)
            asgi_http2_body_taken(cycle, size);
        else if (message != NULL && cycle->conn != NULL && !cycle->request_over)
            asgi_http1_conn_body_taken(cycle->conn);
        return message;
    }
    if (cycle->conn == NULL || cycle->peer_closed)
        return disconnect_message(own);
    if (cycle->expect_continue && !cycle->started) {
        asgi_conn_t *conn = cycle->conn;
        cycle->expect_continue = false;
        if (cycle->h2 != NULL) {
            asgi_http2_send_informational(cycle, 100, (asgi_slice_t){NULL, 0});
            return NULL;
        }
        if (asgi_buf_append(asgi_stream_out(&conn->stream), ASGI_HTTP1_CONTINUE,
                            sizeof ASGI_HTTP1_CONTINUE - 1)
            < 0) {
            PyErr_NoMemory();
            return NULL;
        }
        asgi_conn_flush(conn);
        if (!conn->stream.closing)
            asgi_http1_conn_set_deadline(conn, true);
        /* Nothing can have been received yet, but a failed write ends the exchange. */
        if (cycle->conn == NULL)
            return disconnect_message(own);
    }
    return NULL;
}

static PyObject *
receive(PyObject *self, PyObject *unused)
{
    CycleObject *cycle = (CycleObject *)self;

    return asgi_awaitable_new(cycle->server->state, cycle, ASGI_AWAIT_RECEIVE);
}

static PyMethodDef receive_def = {
    "receive",
    receive,
    METH_NOARGS,
    "receive()\n--\n\nThe next message of the scope's protocol from the client.",
};

PyObject *
asgi_receive_bind(CycleObject *cycle)
{
    return PyCFunction_New(&receive_def, (PyObject *)cycle);
}
