/* SPDX-License-Identifier: MIT
 *
 * tls_data.c: see tls_data.h.
 */
#include "transport/tls_data.h"

#include "loop/loop_object.h"

#include <structmember.h>

#define RECORD_MAX 16384

/* Attributes of the protocol that are looked at, as interned strings in `names`. */
#define NAMES(X)                    \
    X(_state)                       \
    X(_app_reading_paused)          \
    X(_app_writing_paused)          \
    X(_ssl_reading_paused)          \
    X(_ssl_writing_paused)          \
    X(_app_protocol)                \
    X(_app_protocol_get_buffer)     \
    X(_app_protocol_buffer_updated) \
    X(_app_protocol_is_buffer)      \
    X(_write_backlog)               \
    X(_transport)                   \
    X(_call_eof_received)           \
    X(_start_shutdown)              \
    X(_control_app_writing)         \
    X(_control_ssl_reading)         \
    X(_do_read)                     \
    X(_do_write)                    \
    X(_fatal_error)                 \
    X(_sslobj)                      \
    X(data_received)                \
    X(pending)                      \
    X(read)                         \
    X(write)

enum {
#define NAME_ENUM(name) NAME_##name,
    NAMES(NAME_ENUM)
#undef NAME_ENUM
        NAME_COUNT
};

static const char *const name_texts[NAME_COUNT] = {
#define NAME_TEXT(name) #name,
    NAMES(NAME_TEXT)
#undef NAME_TEXT
};

typedef struct {
    PyObject_HEAD
    LoopObject *loop;   /* owned */
    PyObject *protocol; /* owned: the SSLProtocol; a cycle, which connection_lost() breaks */
    PyObject *fields;   /* owned: its __dict__ */
    PyObject *names;    /* owned tuple, in the order of NAMES */
    PyObject *incoming; /* owned: the MemoryBIO of bytes from the peer */
    PyObject *outgoing; /* owned: the MemoryBIO of bytes to the peer */
    PyObject *wrapped;  /* owned: SSLProtocolState.WRAPPED */
    PyObject *again;    /* owned: sslproto.SSLAgainErrors */
    PyObject *slow_updated, *slow_write; /* owned: the methods it stands in for, bound */
    PyObject *ssl;                       /* owned: the _ssl._SSLSocket, once there is one */
    PyObject *ssl_read;                  /* owned: its bound read */
    PyObject *ssl_write;                 /* owned: its bound write */
    PyObject *ssl_pending;               /* owned: its bound pending */
    PyObject *view;                      /* owned memoryview of the loop's read buffer */
    PyObject *record, *record_size;      /* owned: the first RECORD_MAX bytes of plain_buffer */
} TLSDataObject;

#define GET(data, object, name) \
    PyObject_GetAttr(object, PyTuple_GET_ITEM((data)->names, NAME_##name))

/* An attribute of the protocol, which is most often the instance's own: a message looks at a dozen,
 * and the way by the type and its method resolution order is several times longer. Returns: new or
 * NULL. */
static PyObject *
own(TLSDataObject *data, int name)
{
    PyObject *key = PyTuple_GET_ITEM(data->names, name);
    PyObject *value = PyDict_GetItemWithError(data->fields, key);

    if (value != NULL) {
        return Py_NewRef(value);
    }
    return PyErr_Occurred() ? NULL : PyObject_GetAttr(data->protocol, key);
}

static PyObject *
call_method(TLSDataObject *data, PyObject *object, int name, PyObject *argument)
{
    PyObject *stack[2] = {object, argument};

    return PyObject_VectorcallMethod(PyTuple_GET_ITEM(data->names, name), stack,
                                     argument != NULL ? 2 : 1, NULL);
}

/* Calls and drops the result. Returns 0 or -1. */
static int
call_none(TLSDataObject *data, int name)
{
    PyObject *result = call_method(data, data->protocol, name, NULL);

    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Whether an attribute of the protocol is true: 1, 0, or -1 with an exception. */
static int
truth(TLSDataObject *data, int name)
{
    PyObject *value = own(data, name);
    int result = value == NULL ? -1 : PyObject_IsTrue(value);

    Py_XDECREF(value);
    return result;
}

/* object.pending, a number; -1 with an exception. */
static Py_ssize_t
bio_pending(TLSDataObject *data, PyObject *bio)
{
    PyObject *value = GET(data, bio, pending);
    Py_ssize_t n = value == NULL ? -1 : PyLong_AsSsize_t(value);

    Py_XDECREF(value);
    return n;
}

/* Whether the session is established, and its methods are at hand: 1, 0, or -1. */
static int
is_wrapped(TLSDataObject *data)
{
    PyObject *state = own(data, NAME__state);
    PyObject *object, *ssl;

    if (state == NULL) {
        return -1;
    }
    Py_DECREF(state);
    if (state != data->wrapped) {
        return 0;
    }
    if (data->ssl != NULL) {
        return 1;
    }
    object = own(data, NAME__sslobj);
    ssl = object != NULL ? GET(data, object, _sslobj) : NULL;
    Py_XDECREF(object);
    if (ssl == NULL) {
        return -1;
    }
    data->ssl_read = GET(data, ssl, read);
    data->ssl_write = GET(data, ssl, write);
    data->ssl_pending = GET(data, ssl, pending);
    if (data->ssl_read == NULL || data->ssl_write == NULL || data->ssl_pending == NULL) {
        Py_CLEAR(data->ssl_read);
        Py_CLEAR(data->ssl_write);
        Py_CLEAR(data->ssl_pending);
        Py_DECREF(ssl);
        return -1;
    }
    data->ssl = ssl;
    return 1;
}

/* As SSLProtocol tells of what failed: protocol._fatal_error(exception, text), but for those
 * exceptions that are no Exception. Returns None or NULL. */
static PyObject *
fatal(TLSDataObject *data)
{
    PyObject *exception, *method, *result = NULL;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    exception = asgi_exception_take();
    method = GET(data, data->protocol, _fatal_error);
    if (method != NULL) {
        result = PyObject_CallFunction(method, "Os", exception, "Fatal error on SSL protocol");
        Py_DECREF(method);
    }
    Py_DECREF(exception);
    return result;
}

/* ---- out ---- */

/* Sends what OpenSSL has made, unless the transport's queue is full; and flow control. */
static int
process_outgoing(TLSDataObject *data)
{
    Py_ssize_t waiting = bio_pending(data, data->outgoing);
    int paused = waiting > 0 ? truth(data, NAME__ssl_writing_paused) : 0;
    int app_paused = truth(data, NAME__app_writing_paused);
    PyObject *bytes, *transport, *done = NULL;

    if (waiting < 0 || paused < 0 || app_paused < 0) {
        return -1;
    }
    if (waiting > 0 && !paused) {
        bytes = call_method(data, data->outgoing, NAME_read, NULL);
        transport = bytes != NULL ? own(data, NAME__transport) : NULL;
        if (transport != NULL) {
            done = call_method(data, transport, NAME_write, bytes);
            Py_DECREF(transport);
        }
        Py_XDECREF(bytes);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
        waiting = 0;
    }
    if (waiting > 0 || app_paused) {
        return call_none(data, NAME__control_app_writing);
    }
    return 0;
}

PyDoc_STRVAR(write_appdata_doc, "write_appdata($self, list_of_data, /)\n--\n\n"
                                "SSLProtocol._write_appdata().");

static PyObject *
write_appdata(TLSDataObject *data, PyObject *list)
{
    int wrapped = is_wrapped(data);
    PyObject *backlog, *count, *item;
    Py_ssize_t length, written = -1;
    int idle;

    if (wrapped < 0) {
        return NULL;
    }
    if (!wrapped || !PyTuple_CheckExact(list) || PyTuple_GET_SIZE(list) != 1) {
        return PyObject_CallOneArg(data->slow_write, list);
    }
    backlog = own(data, NAME__write_backlog);
    if (backlog == NULL) {
        return NULL;
    }
    idle = PyObject_Not(backlog);
    Py_DECREF(backlog);
    if (idle <= 0) {
        return idle < 0 ? NULL : PyObject_CallOneArg(data->slow_write, list);
    }
    item = PyTuple_GET_ITEM(list, 0);
    length = PyObject_Length(item);
    if (length < 0) {
        return NULL;
    }
    if (PyMemoryView_Check(item)) {
        length = PyMemoryView_GET_BUFFER(item)->len;
    }
    count = PyObject_CallOneArg(data->ssl_write, item);
    if (count == NULL) {
        if (!PyErr_ExceptionMatches(data->again)) {
            return fatal(data);
        }
        /* A renegotiation, say: the bytes wait in the backlog. */
        PyErr_Clear();
        return PyObject_CallOneArg(data->slow_write, list);
    }
    written = PyLong_AsSsize_t(count);
    Py_DECREF(count);
    if (written >= 0 && written < length) {
        PyObject *view = PyMemoryView_FromObject(item);
        PyObject *rest = view != NULL ? PySequence_GetSlice(view, written, length) : NULL;
        PyObject *again = rest != NULL ? PyTuple_Pack(1, rest) : NULL;
        PyObject *result = again != NULL ? PyObject_CallOneArg(data->slow_write, again) : NULL;
        Py_XDECREF(view);
        Py_XDECREF(rest);
        Py_XDECREF(again);
        return result;
    }
    if (written < 0 || process_outgoing(data) < 0) {
        return fatal(data);
    }
    Py_RETURN_NONE;
}

/* ---- in ---- */

/* Whether OpenSSL may have more: bytes of the peer, or of a record that it has begun to give. */
static int
has_more(TLSDataObject *data)
{
    Py_ssize_t n = bio_pending(data, data->incoming);
    PyObject *value;

    if (n != 0) {
        return n < 0 ? -1 : 1;
    }
    value = PyObject_CallNoArgs(data->ssl_pending);
    if (value == NULL) {
        return -1;
    }
    n = PyLong_AsSsize_t(value);
    Py_DECREF(value);
    return n < 0 ? -1 : n > 0;
}

/* One read of at most a record and room bytes. *n: its size, 0 at close_notify, -1 where there is
 * nothing now. Returns 0, or -1 with an exception. */
static int
read_record(TLSDataObject *data, char *to, Py_ssize_t room, Py_ssize_t *n)
{
    int first = to == data->loop->plain_buffer && room == RECORD_MAX;
    PyObject *stack[2], *slice, *want, *count = NULL;

    slice = first ? Py_NewRef(data->record) : PyMemoryView_FromMemory(to, room, PyBUF_WRITE);
    want = first ? Py_NewRef(data->record_size) : PyLong_FromSsize_t(room);
    if (slice != NULL && want != NULL) {
        stack[0] = want;
        stack[1] = slice;
        count = PyObject_Vectorcall(data->ssl_read, stack, 2, NULL);
    }
    Py_XDECREF(slice);
    Py_XDECREF(want);
    if (count == NULL) {
        if (!PyErr_ExceptionMatches(data->again)) {
            return -1;
        }
        PyErr_Clear();
        *n = -1;
        return 0;
    }
    *n = PyLong_AsSsize_t(count);
    Py_DECREF(count);
    return *n < 0 && PyErr_Occurred() ? -1 : 0;
}

/* data_received() with what lies in the plain buffer. Returns 0 or -1. */
static int
give(TLSDataObject *data, Py_ssize_t size)
{
    PyObject *app = own(data, NAME__app_protocol);
    PyObject *bytes = PyBytes_FromStringAndSize(data->loop->plain_buffer, size);
    PyObject *done = NULL;

    if (app != NULL && bytes != NULL) {
        done = call_method(data, app, NAME_data_received, bytes);
    }
    Py_XDECREF(app);
    Py_XDECREF(bytes);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* close_notify has come. Returns 0 or -1. */
static int
end(TLSDataObject *data)
{
    return call_none(data, NAME__call_eof_received) < 0 ? -1
                                                        : call_none(data, NAME__start_shutdown);
}

/* Everything there is, by data_received(). Returns 0 or -1. */
static int
read_copied(TLSDataObject *data)
{
    Py_ssize_t size = 0, n = -1;
    int more = 1;

    while (more > 0) {
        if (read_record(data, data->loop->plain_buffer + size, RECORD_MAX, &n) < 0) {
            return -1;
        }
        if (n <= 0) {
            break;
        }
        size += n;
        more = has_more(data);
        if (more < 0) {
            return -1;
        }
        if (more > 0 && size > ASGI_READ_BUFFER - RECORD_MAX) {
            int paused, wrapped;
            if (give(data, size) < 0) {
                return -1;
            }
            size = 0;
            /* The application may have paused, or closed. */
            paused = truth(data, NAME__app_reading_paused);
            wrapped = is_wrapped(data);
            if (paused != 0 || wrapped <= 0) {
                return paused < 0 || wrapped < 0 ? -1 : 0;
            }
        }
    }
    if (size > 0 && give(data, size) < 0) {
        return -1;
    }
    return n == 0 ? end(data) : 0;
}

/* What fits into the buffer of a BufferedProtocol; the rest soon. Returns 0 or -1. */
static int
read_buffered(TLSDataObject *data)
{
    PyObject *hint = GET(data, data->incoming, pending);
    PyObject *buffer = hint == NULL
                           ? NULL
                           : call_method(data, data->protocol, NAME__app_protocol_get_buffer, hint);
    PyObject *count, *done = NULL;
    Py_buffer view;
    Py_ssize_t size = 0, n = -1;
    int more = 1;

    Py_XDECREF(hint);
    if (buffer == NULL || PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(buffer);
        return -1;
    }
    if (view.len == 0) {
        PyBuffer_Release(&view);
        Py_DECREF(buffer);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return -1;
    }
    while (more > 0 && size < view.len) {
        if (read_record(data, (char *)view.buf + size, view.len - size, &n) < 0) {
            more = -1;
        } else if (n <= 0) {
            break;
        } else {
            size += n;
            more = has_more(data);
        }
    }
    if (more > 0 && size == view.len) {
        PyObject *method = GET(data, data->protocol, _do_read);
        if (method == NULL || asgi_loop_soon(data->loop, method, NULL, NULL) < 0) {
            more = -1;
        }
        Py_XDECREF(method);
    }
    PyBuffer_Release(&view);
    Py_DECREF(buffer);
    if (more < 0) {
        return -1;
    }
    if (size > 0) {
        count = PyLong_FromSsize_t(size);
        if (count != NULL) {
            done = call_method(data, data->protocol, NAME__app_protocol_buffer_updated, count);
            Py_DECREF(count);
        }
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    return n == 0 ? end(data) : 0;
}

PyDoc_STRVAR(get_buffer_doc, "get_buffer($self, sizehint, /)\n--\n\nSSLProtocol.get_buffer().");

static PyObject *
get_buffer(TLSDataObject *data, PyObject *Py_UNUSED(sizehint))
{
    return Py_NewRef(data->view);
}

/* The ordinary read. Returns 0 or -1. */
static int
read_wrapped(TLSDataObject *data, int buffered)
{
    PyObject *backlog;
    int waiting, paused;

    if ((buffered ? read_buffered(data) : read_copied(data)) < 0) {
        return -1;
    }
    backlog = own(data, NAME__write_backlog);
    waiting = backlog == NULL ? -1 : PyObject_IsTrue(backlog);
    Py_XDECREF(backlog);
    if (waiting < 0 || (waiting ? call_none(data, NAME__do_write) : process_outgoing(data)) < 0) {
        return -1;
    }
    paused = truth(data, NAME__ssl_reading_paused);
    if (paused == 0) {
        paused = truth(data, NAME__app_reading_paused);
    }
    return paused < 0 ? -1 : paused > 0 ? call_none(data, NAME__control_ssl_reading) : 0;
}

PyDoc_STRVAR(buffer_updated_doc,
             "buffer_updated($self, nbytes, /)\n--\n\nSSLProtocol.buffer_updated().");

static PyObject *
buffer_updated(TLSDataObject *data, PyObject *count)
{
    int wrapped = is_wrapped(data);
    int paused = wrapped > 0 ? truth(data, NAME__app_reading_paused) : 0;
    int buffered = wrapped > 0 ? truth(data, NAME__app_protocol_is_buffer) : 0;
    PyObject *bytes, *done;
    Py_ssize_t n;

    if (wrapped < 0 || paused < 0 || buffered < 0) {
        return NULL;
    }
    if (!wrapped || paused) {
        return PyObject_CallOneArg(data->slow_updated, count);
    }
    n = PyLong_AsSsize_t(count);
    if (n < 0) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    bytes = PyMemoryView_FromMemory(data->loop->read_buffer, n, PyBUF_READ);
    done = bytes != NULL ? call_method(data, data->incoming, NAME_write, bytes) : NULL;
    Py_XDECREF(bytes);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    if (read_wrapped(data, buffered) < 0) {
        return fatal(data);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(do_read_doc, "do_read($self, /)\n--\n\n"
                          "SSLProtocol._do_read() of an established session that is not paused.");

static PyObject *
do_read(TLSDataObject *data, PyObject *Py_UNUSED(ignored))
{
    int wrapped = is_wrapped(data);
    int buffered = wrapped > 0 ? truth(data, NAME__app_protocol_is_buffer) : 0;

    if (wrapped < 0 || buffered < 0) {
        return NULL;
    }
    if (wrapped && read_wrapped(data, buffered) < 0) {
        return fatal(data);
    }
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static PyObject *
data_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    struct asgi_state *state = asgi_state_from_module(PyType_GetModule(type));
    PyObject *loop, *protocol, *incoming, *outgoing, *wrapped, *again, *updated, *write;
    TLSDataObject *data;

    if (!PyArg_ParseTuple(args, "OOOOOOOO:TLSData", &loop, &protocol, &incoming, &outgoing,
                          &wrapped, &again, &updated, &write)
        || asgi_loop_from(state, loop) == NULL || asgi_loop_buffers((LoopObject *)loop) < 0) {
        return NULL;
    }
    data = (TLSDataObject *)type->tp_alloc(type, 0);
    if (data == NULL) {
        return NULL;
    }
    data->loop = (LoopObject *)Py_NewRef(loop);
    data->protocol = Py_NewRef(protocol);
    data->incoming = Py_NewRef(incoming);
    data->outgoing = Py_NewRef(outgoing);
    data->wrapped = Py_NewRef(wrapped);
    data->again = Py_NewRef(again);
    data->slow_updated = Py_NewRef(updated);
    data->slow_write = Py_NewRef(write);
    data->names = Py_NewRef(state->tls_names);
    data->fields = PyObject_GenericGetDict(protocol, NULL);
    data->view = PyMemoryView_FromMemory(data->loop->read_buffer, ASGI_READ_BUFFER, PyBUF_WRITE);
    data->record = PyMemoryView_FromMemory(data->loop->plain_buffer, RECORD_MAX, PyBUF_WRITE);
    data->record_size = PyLong_FromLong(RECORD_MAX);
    if (data->fields == NULL || data->view == NULL || data->record == NULL
        || data->record_size == NULL) {
        Py_CLEAR(data);
    }
    return (PyObject *)data;
}

static int
data_traverse(TLSDataObject *data, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(data));
    Py_VISIT(data->loop);
    Py_VISIT(data->protocol);
    Py_VISIT(data->fields);
    Py_VISIT(data->slow_updated);
    Py_VISIT(data->slow_write);
    Py_VISIT(data->ssl);
    Py_VISIT(data->ssl_read);
    Py_VISIT(data->ssl_write);
    Py_VISIT(data->ssl_pending);
    return 0;
}

static int
data_clear(TLSDataObject *data)
{
    Py_CLEAR(data->protocol);
    Py_CLEAR(data->fields);
    Py_CLEAR(data->slow_updated);
    Py_CLEAR(data->slow_write);
    Py_CLEAR(data->ssl);
    Py_CLEAR(data->ssl_read);
    Py_CLEAR(data->ssl_write);
    Py_CLEAR(data->ssl_pending);
    return 0;
}

static void
data_dealloc(TLSDataObject *data)
{
    PyTypeObject *type = Py_TYPE(data);

    PyObject_GC_UnTrack(data);
    data_clear(data);
    Py_CLEAR(data->incoming);
    Py_CLEAR(data->outgoing);
    Py_CLEAR(data->wrapped);
    Py_CLEAR(data->again);
    Py_CLEAR(data->names);
    Py_CLEAR(data->view);
    Py_CLEAR(data->record);
    Py_CLEAR(data->record_size);
    Py_CLEAR(data->loop);
    type->tp_free(data);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"view", T_OBJECT, offsetof(TLSDataObject, view), READONLY, "What get_buffer() returns."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
    {"get_buffer", (PyCFunction)get_buffer, METH_O, get_buffer_doc},
    {"buffer_updated", (PyCFunction)buffer_updated, METH_O, buffer_updated_doc},
    {"do_read", (PyCFunction)do_read, METH_NOARGS, do_read_doc},
    {"write_appdata", (PyCFunction)write_appdata, METH_O, write_appdata_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The hot methods of an asyncio.sslproto.SSLProtocol."},
    {Py_tp_new, data_new},
    {Py_tp_dealloc, data_dealloc},
    {Py_tp_traverse, data_traverse},
    {Py_tp_clear, data_clear},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "asgiserver._core.TLSData",
    .basicsize = sizeof(TLSDataObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int
asgi_tls_data_exec(PyObject *module, struct asgi_state *state)
{
    PyObject *type;
    int result;

    state->tls_names = PyTuple_New(NAME_COUNT);
    if (state->tls_names == NULL) {
        return -1;
    }
    for (int i = 0; i < NAME_COUNT; i++) {
        PyObject *name = PyUnicode_InternFromString(name_texts[i]);
        if (name == NULL) {
            return -1;
        }
        PyTuple_SET_ITEM(state->tls_names, i, name);
    }
    type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL) {
        return -1;
    }
    result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}
