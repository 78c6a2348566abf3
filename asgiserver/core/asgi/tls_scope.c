/* SPDX-License-Identifier: MIT
 *
 * tls_scope.c: what an application is told about its TLS connection; see tls_scope.h. Called by
 * scope.c.
 *
 * Nothing in it changes while the connection lives (there is no renegotiation), so the dict is made
 * once for each connection and copied into each scope. client_cert_error is always None: a client
 * whose certificate is not good gets no connection.
 */
#include "asgi/tls_scope.h"

#include "asgi/server.h"
#include "net/stream_tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>

/* Returns: new str. */
static PyObject *
pem_text(const X509 *certificate)
{
    asgi_buf_t pem = {0};
    PyObject *text;

    if (asgi_tls_pem(certificate, &pem) < 0) {
        asgi_buf_dispose(&pem);
        return PyErr_NoMemory();
    }
    text = PyUnicode_DecodeASCII(asgi_buf_front(&pem), (Py_ssize_t)asgi_buf_size(&pem), NULL);
    asgi_buf_dispose(&pem);
    return text;
}

/* Returns: new tuple of str, the client's own certificate first; empty where it sent none. */
static PyObject *
client_chain(SSL *ssl, const X509 *own)
{
    STACK_OF(X509) *others =
        SSL_get_peer_cert_chain(ssl); /* at a server: without the client's own */
    int count = own == NULL ? 0 : others == NULL ? 1 : 1 + sk_X509_num(others);
    PyObject *chain = PyTuple_New(count);

    for (int i = 0; chain != NULL && i < count; i++) {
        PyObject *text = pem_text(i == 0 ? own : sk_X509_value(others, i - 1));
        if (text != NULL)
            PyTuple_SET_ITEM(chain, i, text);
        else
            Py_CLEAR(chain);
    }
    return chain;
}

/* The subject as RFC 4514 writes it, in UTF-8. Returns: new str. */
static PyObject *
subject(const X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PyObject *text = NULL;
    char *data = NULL;
    long size;

    if (bio == NULL
        || X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                              XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB)
               < 0) {
        BIO_free(bio);
        ERR_clear_error();
        return PyErr_NoMemory();
    }
    size = BIO_get_mem_data(bio, &data);
    text = PyUnicode_DecodeUTF8(size > 0 ? data : "", size > 0 ? (Py_ssize_t)size : 0, "replace");
    BIO_free(bio);
    return text;
}

static PyObject *
make_info(const asgi_tls_t *tls)
{
    const X509 *served = SSL_get_certificate(tls->ssl);
    const char *pem = asgi_tls_context_pem(tls->context, served);
    bool asked = asgi_tls_context_verify(tls->context) != ASGI_TLS_VERIFY_NONE;
    X509 *own = asked ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    PyObject *chain = client_chain(tls->ssl, own);
    PyObject *name = own != NULL ? subject(own) : Py_NewRef(Py_None);

    if (chain == NULL || name == NULL) {
        Py_XDECREF(chain);
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("{s:z,s:N,s:N,s:O,s:i,s:i}", "server_cert", pem, "client_cert_chain",
                         chain, "client_cert_name", name, "client_cert_error", Py_None,
                         "tls_version", SSL_version(tls->ssl), "cipher_suite",
                         (int)SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(tls->ssl)));
}

int
asgi_tls_scope(asgi_conn_t *conn, PyObject *scope)
{
    struct asgi_server_state *own = conn->server->state->server;
    PyObject *former = PyDict_GetItemWithError(scope, own->str_extensions), *all, *info;
    int rc = -1;

    if (former == NULL && PyErr_Occurred())
        return -1;
    if (conn->tls == NULL && (conn->tls = make_info(&conn->stream.tls->session)) == NULL)
        return -1;
    all = former != NULL ? PyDict_Copy(former) : PyDict_New();
    info = PyDict_Copy(conn->tls);
    if (all != NULL && info != NULL && PyDict_SetItem(all, own->str_tls, info) == 0)
        rc = PyDict_SetItem(scope, own->str_extensions, all);
    Py_XDECREF(all);
    Py_XDECREF(info);
    return rc;
}
