/* SPDX-License-Identifier: MIT
 *
 * datagram_transport.c: _core.DatagramTransport, over a datagram socket; behaves as asyncio's.
 *
 * IPv4 and IPv6 with numeric addresses go straight to the kernel; for all other addresses (names of
 * hosts, Unix sockets) the socket object is asked. An error of the socket is the protocol's to hear
 * of, error_received(), and ends nothing.
 *
 * Several datagrams are read by one system call into the loop's buffer, and made into bytes before
 * the first of them is given to the protocol, which may have the buffer used for something else.
 */
#include "transport/methods.h"
#include "transport/sockaddr.h"

#include <errno.h>
#include <string.h>

#define DATAGRAM_MAX (64 * 1024) /* of IP */
#define BATCH (ASGI_READ_BUFFER / DATAGRAM_MAX)
#define BATCHES_MAX 8 /* in a row */

typedef struct {
    TransportObject base;
    PyObject *address;               /* owned or NULL: the only one that may be sent to */
    asgi_sockaddr_t received, given; /* of the last datagram in, and out */
    int family;
    char connected;
    char deferred; /* what is there to be read has waited for the callbacks that were ready */
} DatagramObject;

/* ---- to the protocol ---- */

/* Calls protocol.name(first, second or nothing). Steals: first, second. */
static void
call_protocol(TransportObject *transport, PyObject *name, PyObject *first, PyObject *second)
{
    LoopObject *loop = (LoopObject *)Py_NewRef((PyObject *)transport->loop);
    PyObject *protocol = Py_XNewRef(transport->protocol); /* which may be exchanged meanwhile */
    PyObject *arguments[] = {protocol, first, second};
    PyObject *result = protocol == NULL ? Py_NewRef(Py_None) : NULL;

    if (first != NULL && protocol != NULL) {
        result = PyObject_VectorcallMethod(
            name, arguments, (second != NULL ? 3 : 2) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (result == NULL) {
        asgi_loop_report(loop, "Fatal error: a datagram protocol's method failed.");
    }
    Py_XDECREF(result);
    Py_XDECREF(first);
    Py_XDECREF(second);
    Py_XDECREF(protocol);
    Py_DECREF(loop);
}

/* Takes the pending exception: OSErrors to the protocol, all others end the transport. Returns 0,
 * or -1 with KeyboardInterrupt or SystemExit set. */
static int
socket_failed(TransportObject *transport, const char *message)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return asgi_transport_fatal(transport, message);
    }
    call_protocol(transport, transport->loop->head.state->str_error_received, asgi_exception_take(),
                  NULL);
    return 0;
}

static int
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* ---- in ---- */

/* One datagram by way of the socket object. */
static void
read_by_object(TransportObject *transport)
{
    PyObject *pair =
        PyObject_CallMethod(transport->sock, "recvfrom", "n", (Py_ssize_t)ASGI_READ_BUFFER);
    PyObject *data, *address;

    if (pair == NULL) {
        if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
            || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
            PyErr_Clear();
        } else if (socket_failed(transport, transport->kind->read_failed) < 0) {
            asgi_loop_set_fatal(transport->loop, asgi_exception_take());
        }
        return;
    }
    data = PySequence_GetItem(pair, 0);
    address = data != NULL ? PySequence_GetItem(pair, 1) : NULL;
    Py_DECREF(pair);
    if (address == NULL) {
        Py_XDECREF(data);
        asgi_transport_failed(transport, transport->kind->read_failed);
        return;
    }
    call_protocol(transport, transport->loop->head.state->str_datagram_received, data, address);
}

/* Reads a batch and gives it to the protocol. Returns whether there may be more. */
static int
read_batch(DatagramObject *datagram)
{
    TransportObject *transport = &datagram->base;
    LoopObject *loop = transport->loop;
    PyObject *data[BATCH], *address[BATCH];
    struct sockaddr_storage from[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    int n;

    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++) {
        pieces[i].iov_base = loop->read_buffer + i * DATAGRAM_MAX;
        pieces[i].iov_len = DATAGRAM_MAX;
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &from[i];
        messages[i].msg_hdr.msg_namelen = sizeof(from[i]);
    }
    n = recvmmsg(transport->watch->fd, messages, BATCH, 0, NULL);
    if (n < 0) {
        if (!would_block()) {
            PyErr_SetFromErrno(PyExc_OSError);
            if (socket_failed(transport, transport->kind->read_failed) < 0) {
                asgi_loop_set_fatal(loop, asgi_exception_take());
            }
        }
        return 0;
    }
    for (int i = 0; i < n; i++) {
        data[i] = PyBytes_FromStringAndSize(pieces[i].iov_base, (Py_ssize_t)messages[i].msg_len);
        address[i] = data[i] != NULL ? asgi_sockaddr_tuple(&datagram->received, &from[i],
                                                           messages[i].msg_hdr.msg_namelen)
                                     : NULL;
        if (address[i] == NULL) {
            PyErr_Clear();
        }
    }
    for (int i = 0; i < n; i++) {
        if (transport->lost > 0 || transport->closing || transport->protocol == NULL) {
            Py_XDECREF(data[i]);
            Py_XDECREF(address[i]);
        } else if (address[i] == NULL) {
            Py_XDECREF(data[i]);
            PyErr_NoMemory();
            asgi_transport_failed(transport, transport->kind->read_failed);
        } else {
            call_protocol(transport, loop->head.state->str_datagram_received, data[i], address[i]);
        }
    }
    return n == BATCH;
}

static void
datagram_readable(TransportObject *transport)
{
    DatagramObject *datagram = (DatagramObject *)transport;
    LoopObject *loop = transport->loop;
    int more = 1;

    /* What was queued before the datagram came runs before the protocol hears of it: a task that is
     * about to wait for it, say. The next poll reports it again. */
    if (!datagram->deferred && asgi_ready_length(&loop->ready) > 0) {
        datagram->deferred = 1;
        return;
    }
    datagram->deferred = 0;
    if (datagram->family != AF_INET && datagram->family != AF_INET6) {
        read_by_object(transport);
        return;
    }
    if (loop->read_buffer == NULL && asgi_loop_buffers(loop) < 0) {
        asgi_transport_failed(transport, transport->kind->read_failed);
        return;
    }
    for (int i = 0; more && i < BATCHES_MAX; i++) {
        more = transport->watch != NULL && (transport->watch->want & UV_READABLE)
               && read_batch(datagram);
    }
}

/* ---- out ---- */

/* The kernel's form of an address. Returns: borrowed until the next one; NULL: ask the socket. */
static const asgi_sockaddr_t *
find_address(DatagramObject *datagram, PyObject *address)
{
    if (address == datagram->received.tuple) {
        return &datagram->received;
    }
    return asgi_sockaddr_parse(&datagram->given, address, datagram->family) ? &datagram->given
                                                                            : NULL;
}

/* Sends one. Returns 1; 0 where the kernel has no room; -1 with an exception. */
static int
send_one(DatagramObject *datagram, const char *from, size_t size, PyObject *address)
{
    TransportObject *transport = &datagram->base;
    const asgi_sockaddr_t *to;
    PyObject *view, *sent;
    ssize_t n;

    if (datagram->connected) {
        n = send(transport->watch->fd, from, size, MSG_NOSIGNAL);
    } else if ((to = find_address(datagram, address)) != NULL) {
        n = sendto(transport->watch->fd, from, size, MSG_NOSIGNAL,
                   (const struct sockaddr *)&to->raw, to->size);
    } else {
        view = PyMemoryView_FromMemory((char *)from, (Py_ssize_t)size, PyBUF_READ);
        if (view == NULL) {
            return -1;
        }
        sent = PyObject_CallMethod(transport->sock, "sendto", "NO", view, address);
        if (sent == NULL
            && (PyErr_ExceptionMatches(PyExc_BlockingIOError)
                || PyErr_ExceptionMatches(PyExc_InterruptedError))) {
            PyErr_Clear();
            return 0;
        }
        Py_XDECREF(sent);
        return sent == NULL ? -1 : 1;
    }
    if (n >= 0) {
        return 1;
    }
    if (would_block()) {
        return 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int
send_datagrams(TransportObject *transport)
{
    DatagramObject *datagram = (DatagramObject *)transport;

    while (transport->queue.count > 0 && transport->lost == 0 && transport->watch != NULL) {
        asgi_piece_t *piece = &transport->queue.pieces[transport->queue.head];
        PyObject *bytes = Py_NewRef(piece->bytes), *address = Py_NewRef(piece->address);
        int sent =
            send_one(datagram, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), address);
        Py_DECREF(bytes);
        Py_DECREF(address);
        if (sent == 0) {
            break;
        }
        asgi_outqueue_pop_datagram(&transport->queue);
        if (sent < 0 && socket_failed(transport, transport->kind->write_failed) < 0) {
            asgi_loop_set_fatal(transport->loop, asgi_exception_take());
            break;
        }
    }
    return 0;
}

/* The address that sendto() was given, or the transport's own. Returns: borrowed, or NULL. */
static PyObject *
choose_address(DatagramObject *datagram, PyObject *address)
{
    int same;

    if (datagram->address == NULL) {
        return address;
    }
    same = address == Py_None ? 1 : PyObject_RichCompareBool(address, datagram->address, Py_EQ);
    if (same == 0) {
        PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %S", datagram->address);
    }
    return same == 1 ? datagram->address : NULL;
}

static int
send_or_queue(DatagramObject *datagram, PyObject *data, const char *from, size_t size,
              PyObject *address)
{
    TransportObject *transport = &datagram->base;
    PyObject *bytes;
    int result;

    if (transport->queue.count == 0) {
        int sent = send_one(datagram, from, size, address);
        if (sent != 0) {
            return sent > 0 ? 0 : socket_failed(transport, transport->kind->write_failed);
        }
    }
    bytes = PyBytes_CheckExact(data) ? Py_NewRef(data)
                                     : PyBytes_FromStringAndSize(from, (Py_ssize_t)size);
    result = bytes != NULL ? asgi_outqueue_push_datagram(&transport->queue, bytes, address) : -1;
    Py_XDECREF(bytes);
    if (result < 0) {
        return -1;
    }
    asgi_transport_update(transport);
    return asgi_transport_maybe_pause(transport);
}

PyDoc_STRVAR(sendto_doc, "sendto($self, data, addr=None)\n--\n\n"
                         "Send a datagram; never blocks. One that comes after the end is dropped.");

static PyObject *
sendto_method(DatagramObject *datagram, PyObject *const *args, Py_ssize_t count, PyObject *kwnames)
{
    TransportObject *transport = &datagram->base;
    PyObject *data, *address = Py_None;
    Py_buffer view;
    int result;

    if (kwnames == NULL && (count == 1 || count == 2)) {
        data = args[0];
        address = count == 2 ? args[1] : Py_None;
    } else {
        static const char *const names[] = {"data", "addr"};
        PyObject *given[2] = {NULL, Py_None};
        Py_ssize_t keywords = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
        for (Py_ssize_t i = 0; i < count && count <= 2; i++) {
            given[i] = args[i];
        }
        for (Py_ssize_t i = 0; i < keywords; i++) {
            PyObject *name = PyTuple_GET_ITEM(kwnames, i);
            int which = PyUnicode_CompareWithASCIIString(name, names[0]) == 0   ? 0
                        : PyUnicode_CompareWithASCIIString(name, names[1]) == 0 ? 1
                                                                                : -1;
            if (which < 0 || which < count) {
                return PyErr_Format(PyExc_TypeError, "sendto() got an unexpected argument %R",
                                    name);
            }
            given[which] = args[count + i];
        }
        data = given[0];
        address = given[1];
        if (data == NULL || count > 2) {
            return PyErr_Format(PyExc_TypeError, "sendto() takes data and addr");
        }
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    address = choose_address(datagram, address);
    if (address == NULL) {
        return NULL;
    }
    if (transport->watch == NULL || transport->closed
        || (transport->lost > 0 && datagram->address != NULL)) {
        if (asgi_transport_count_lost(transport) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    result = send_or_queue(datagram, data, view.buf, (size_t)view.len, address);
    PyBuffer_Release(&view);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static const asgi_transport_kind_t kind = {
    .read_failed = "Fatal read error on datagram transport",
    .write_failed = "Fatal write error on datagram transport",
    .readable = datagram_readable,
    .send_queue = send_datagrams,
    .is_socket = 1,
};

/* Whether the socket has a peer. */
static int
is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);

    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

static PyObject *
datagram_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "sock", "protocol", "address", "waiter", "extra", NULL};
    PyObject *loop, *sock, *protocol, *address = Py_None, *waiter = Py_None, *extra = Py_None;
    DatagramObject *datagram;
    socklen_t size = sizeof(datagram->family);

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OOO:DatagramTransport", names, &loop, &sock,
                                     &protocol, &address, &waiter, &extra)) {
        return NULL;
    }
    datagram = (DatagramObject *)asgi_transport_new(type, &kind, loop, sock, waiter, extra);
    if (datagram == NULL) {
        return NULL;
    }
    datagram->base.protocol = Py_NewRef(protocol);
    datagram->address = address == Py_None ? NULL : Py_NewRef(address);
    datagram->connected = (char)is_connected(datagram->base.fd);
    if (getsockopt(datagram->base.fd, SOL_SOCKET, SO_DOMAIN, &datagram->family, &size) < 0) {
        datagram->family = AF_UNSPEC;
    }
    if (asgi_transport_begin(&datagram->base) < 0) {
        Py_DECREF(datagram);
        return NULL;
    }
    return (PyObject *)datagram;
}

static int
datagram_traverse(DatagramObject *datagram, visitproc visit, void *arg)
{
    Py_VISIT(datagram->address);
    return asgi_transport_traverse(&datagram->base, visit, arg);
}

static int
datagram_clear(DatagramObject *datagram)
{
    Py_CLEAR(datagram->address);
    asgi_sockaddr_clear(&datagram->received);
    asgi_sockaddr_clear(&datagram->given);
    return asgi_transport_clear(&datagram->base);
}

static PyObject *
get_sock(TransportObject *transport, void *Py_UNUSED(closure))
{
    return Py_NewRef(transport->closed ? Py_None : transport->sock);
}

static PyObject *
get_address(DatagramObject *datagram, void *Py_UNUSED(closure))
{
    return Py_NewRef(datagram->address != NULL ? datagram->address : Py_None);
}

static PyMethodDef methods[] = {
    ASGI_TRANSPORT_METHODS,
    ASGI_QUEUE_METHODS,
    ASGI_METHOD("sendto", sendto_method, METH_FASTCALL | METH_KEYWORDS, sendto_doc),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_sock", (getter)get_sock, NULL, NULL, NULL},
    {"_address", (getter)get_address, NULL, NULL, NULL},
    ASGI_GET_DICT,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A transport over a datagram socket; see asyncio.DatagramTransport."},
    {Py_tp_new, datagram_new},
    {Py_tp_init, asgi_transport_init},
    {Py_tp_finalize, asgi_transport_finalize},
    {Py_tp_dealloc, asgi_transport_dealloc},
    {Py_tp_traverse, datagram_traverse},
    {Py_tp_clear, datagram_clear},
    {Py_tp_repr, asgi_transport_repr},
    {Py_tp_methods, methods},
    {Py_tp_members, asgi_transport_members},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "asgiserver._core.DatagramTransport",
    .basicsize = sizeof(DatagramObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int
asgi_transport_datagram_exec(PyObject *module, struct asgi_state *state)
{
    /* asyncio's is an asyncio.Transport, too, and tests for that. */
    PyObject *bases = PyTuple_Pack(2, state->FlowControlMixin, state->DatagramTransport);

    if (bases == NULL) {
        return -1;
    }
    state->DatagramTransportType = asgi_transport_type(module, &spec, bases);
    Py_DECREF(bases);
    if (state->DatagramTransportType == NULL) {
        return -1;
    }
    return PyModule_AddType(module, (PyTypeObject *)state->DatagramTransportType);
}
