/* SPDX-License-Identifier: MIT
 *
 * tls_object.c: _core.TLSContext as Python sees it; see tls_object.h. Made by tls.py, given to
 * Server in its config; net/conn.c takes the context from it for each connection.
 *
 * It keeps its settings, so that reload() reads the same files again. A reload that fails changes
 * nothing; one that succeeds is for new connections, old ones keep the context they have.
 *
 * Thread: the server's loop, as soon as a server uses it.
 */
#include "asgi/tls_object.h"

typedef struct {
    PyObject_HEAD
    asgi_tls_context_t *context; /* owned reference */
    PyObject *certificates;      /* owned tuple of (certificate, key or None), bytes */
    PyObject *password;          /* owned bytes or None; also the next three */
    PyObject *ca_certs;
    PyObject *ciphers;
    PyObject *seed;
    unsigned long long seeded;
    int verify, least, most;
    bool verbose, http2;
} TLSObject;

static const char *
text_or_null(PyObject *bytes)
{
    return bytes == Py_None ? NULL : PyBytes_AS_STRING(bytes);
}

/* A context from the settings and what is in the files now. Returns: owned, or NULL with an
 * exception. */
static asgi_tls_context_t *
make_context(TLSObject *self)
{
    Py_ssize_t count = PyTuple_GET_SIZE(self->certificates);
    asgi_tls_pair_t *pairs = PyMem_Calloc((size_t)count, sizeof *pairs);
    asgi_tls_settings_t settings = {
        .pairs = pairs,
        .pair_count = (size_t)count,
        .password = text_or_null(self->password),
        .ca_certs = text_or_null(self->ca_certs),
        .ciphers = text_or_null(self->ciphers),
        .verify = (asgi_tls_verify_t)self->verify,
        .least = self->least,
        .most = self->most,
        .seed = (const unsigned char *)PyBytes_AS_STRING(self->seed),
        .seeded = self->seeded,
        .http2 = self->http2,
    };
    asgi_tls_context_t *context;
    char problem[ASGI_TLS_PROBLEM_SIZE];
    PyObject *text;

    if (pairs == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(self->certificates, i);
        pairs[i].certificate = PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0));
        pairs[i].key = text_or_null(PyTuple_GET_ITEM(pair, 1));
    }
    context = asgi_tls_context_new(&settings, problem);
    PyMem_Free(pairs);
    if (context == NULL) {
        text = PyUnicode_DecodeFSDefault(problem);
        if (text != NULL)
            PyErr_SetObject(PyExc_ValueError, text);
        Py_XDECREF(text);
    }
    return context;
}

static int
check_certificates(PyObject *certificates)
{
    Py_ssize_t count = PyTuple_GET_SIZE(certificates);
    bool good = count > 0;

    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(certificates, i), *key;
        good = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2
               && PyBytes_Check(PyTuple_GET_ITEM(pair, 0));
        if (good) {
            key = PyTuple_GET_ITEM(pair, 1);
            good = key == Py_None || PyBytes_Check(key);
        }
    }
    if (!good)
        PyErr_SetString(PyExc_TypeError, "certificates must be pairs of bytes, at least one");
    return good ? 0 : -1;
}

static int
check_optional_bytes(PyObject *value, const char *name)
{
    if (value == Py_None || PyBytes_Check(value))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be bytes or None", name);
    return -1;
}

PyDoc_STRVAR(
    tls_doc,
    "TLSContext(certificates, password, ca_certs, ciphers, verify, least, most, seed,\n"
    "           seeded, verbose, http2=False, /)\n--\n\n"
    "What the TLS connections of a server have in common.\n\n"
    "certificates: a tuple of (certificate file, key file or None), as bytes. verify: 0, 1\n"
    "or 2. least, most: TLS versions on the wire. seed: 32 bytes for the keys of session\n"
    "tickets, and the time.monotonic() at which they were made. verbose: failed handshakes\n"
    "are logged. http2: it is offered by ALPN. Raises ValueError with a sentence about the file or "
    "setting at fault.");

static PyObject *
tls_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *certificates, *password, *ca_certs, *ciphers, *seed;
    unsigned long long seeded;
    int verify, least, most, verbose, http2 = 0;
    TLSObject *self;

    if (!PyArg_ParseTuple(args, "O!OOOiiiSKp|p:TLSContext", &PyTuple_Type, &certificates, &password,
                          &ca_certs, &ciphers, &verify, &least, &most, &seed, &seeded, &verbose,
                          &http2))
        return NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "TLSContext() takes no keyword arguments");
        return NULL;
    }
    if (check_certificates(certificates) < 0 || check_optional_bytes(password, "password") < 0
        || check_optional_bytes(ca_certs, "ca_certs") < 0
        || check_optional_bytes(ciphers, "ciphers") < 0)
        return NULL;
    if (verify < 0 || verify > 2 || PyBytes_GET_SIZE(seed) != ASGI_TLS_SEED_SIZE) {
        PyErr_SetString(PyExc_ValueError, "verify must be 0, 1 or 2, and seed have 32 bytes");
        return NULL;
    }
    self = (TLSObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->certificates = Py_NewRef(certificates);
    self->password = Py_NewRef(password);
    self->ca_certs = Py_NewRef(ca_certs);
    self->ciphers = Py_NewRef(ciphers);
    self->seed = Py_NewRef(seed);
    self->seeded = seeded;
    self->verify = verify;
    self->least = least;
    self->most = most;
    self->verbose = verbose != 0;
    self->http2 = http2 != 0;
    self->context = make_context(self);
    if (self->context == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
tls_dealloc(PyObject *op)
{
    TLSObject *self = (TLSObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    asgi_tls_context_unref(self->context);
    Py_XDECREF(self->certificates);
    Py_XDECREF(self->password);
    Py_XDECREF(self->ca_certs);
    Py_XDECREF(self->ciphers);
    Py_XDECREF(self->seed);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(reload_doc, "reload()\n--\n\n"
                         "Reads the files again; new connections get what is in them now.\n\n"
                         "Raises ValueError and changes nothing where something is wrong.");

static PyObject *
tls_reload(PyObject *op, PyObject *unused)
{
    TLSObject *self = (TLSObject *)op;
    asgi_tls_context_t *context = make_context(self), *former = self->context;

    if (context == NULL)
        return NULL;
    self->context = context;
    asgi_tls_context_unref(former);
    Py_RETURN_NONE;
}

/* Seconds from now to the end of its validity; clamped where that is centuries away. */
static double
validity(const X509 *certificate)
{
    int days = 0, seconds = 0;

    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    return days * 86400.0 + seconds;
}

static PyObject *
get_validity(PyObject *op, void *closure)
{
    TLSObject *self = (TLSObject *)op;
    PyObject *list = PyList_New(0);
    const X509 *certificate;

    for (size_t i = 0;
         list != NULL && (certificate = asgi_tls_context_certificate(self->context, i)) != NULL;
         i++) {
        PyObject *seconds = PyFloat_FromDouble(validity(certificate));
        if (seconds == NULL || PyList_Append(list, seconds) < 0)
            Py_CLEAR(list);
        Py_XDECREF(seconds);
    }
    return list;
}

static PyMethodDef tls_methods[] = {
    {"reload", tls_reload, METH_NOARGS, reload_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tls_getset[] = {
    {"validity", get_validity, NULL, "Seconds until each certificate expires.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tls_slots[] = {
    {Py_tp_doc, (void *)tls_doc}, {Py_tp_new, tls_new},         {Py_tp_methods, tls_methods},
    {Py_tp_getset, tls_getset},   {Py_tp_dealloc, tls_dealloc}, {0, NULL},
};

/* No garbage collection: its fields are bytes, None, and a tuple of such pairs. */
static PyType_Spec tls_spec = {
    .name = "asgiserver._core.TLSContext",
    .basicsize = sizeof(TLSObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tls_slots,
};

PyTypeObject *
asgi_tls_object_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &tls_spec, NULL);
}

asgi_tls_context_t *
asgi_tls_object_context(PyObject *tls)
{
    return ((TLSObject *)tls)->context;
}

bool
asgi_tls_object_verbose(PyObject *tls)
{
    return ((TLSObject *)tls)->verbose;
}
