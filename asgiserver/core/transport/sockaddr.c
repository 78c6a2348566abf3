/* SPDX-License-Identifier: MIT
 *
 * sockaddr.c: see sockaddr.h.
 */
#include "transport/sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static PyObject *
build_tuple(const struct sockaddr_storage *raw)
{
    char host[INET6_ADDRSTRLEN];

    if (raw->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)raw;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        return Py_BuildValue("(si)", host, (int)ntohs(in->sin_port));
    }
    if (raw->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)raw;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        return Py_BuildValue("(siII)", host, (int)ntohs(in6->sin6_port),
                             (unsigned int)ntohl(in6->sin6_flowinfo),
                             (unsigned int)in6->sin6_scope_id);
    }
    return Py_NewRef(Py_None);
}

PyObject *
asgi_sockaddr_tuple(asgi_sockaddr_t *last, const struct sockaddr_storage *raw, socklen_t size)
{
    PyObject *tuple;

    if (last->tuple != NULL && last->size == size && memcmp(&last->raw, raw, size) == 0) {
        return Py_NewRef(last->tuple);
    }
    tuple = build_tuple(raw);
    if (tuple == NULL || tuple == Py_None) {
        return tuple;
    }
    Py_XSETREF(last->tuple, Py_NewRef(tuple));
    memcpy(&last->raw, raw, size);
    last->size = size;
    return tuple;
}

/* An int of 0 to most. Returns whether it is one. */
static int
get_number(PyObject *object, unsigned long most, unsigned long *number)
{
    if (!PyLong_CheckExact(object)) {
        return 0;
    }
    *number = PyLong_AsUnsignedLong(object);
    if (*number == (unsigned long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *number <= most;
}

static int
parse(PyObject *address, int family, struct sockaddr_storage *raw, socklen_t *size)
{
    Py_ssize_t length = PyTuple_GET_SIZE(address);
    unsigned long port, flow = 0, scope = 0;
    const char *host;

    if (length < 2 || !PyUnicode_Check(PyTuple_GET_ITEM(address, 0))
        || !get_number(PyTuple_GET_ITEM(address, 1), 0xffff, &port)
        || (length > 2 && !get_number(PyTuple_GET_ITEM(address, 2), 0xfffff, &flow))
        || (length > 3 && !get_number(PyTuple_GET_ITEM(address, 3), 0xffffffff, &scope))) {
        return 0;
    }
    host = PyUnicode_AsUTF8(PyTuple_GET_ITEM(address, 0));
    if (host == NULL) {
        PyErr_Clear();
        return 0;
    }
    memset(raw, 0, sizeof(*raw));
    if (family == AF_INET && length == 2) {
        struct sockaddr_in *in = (struct sockaddr_in *)raw;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *size = sizeof(*in);
        return inet_pton(AF_INET, host, &in->sin_addr) == 1;
    }
    if (family == AF_INET6 && length <= 4) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)raw;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        in6->sin6_flowinfo = htonl((uint32_t)flow);
        in6->sin6_scope_id = (uint32_t)scope;
        *size = sizeof(*in6);
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    return 0;
}

int
asgi_sockaddr_parse(asgi_sockaddr_t *last, PyObject *address, int family)
{
    struct sockaddr_storage raw;
    socklen_t size;

    if (address == last->tuple) {
        return 1;
    }
    if (!PyTuple_CheckExact(address) || !parse(address, family, &raw, &size)) {
        return 0;
    }
    Py_XSETREF(last->tuple, Py_NewRef(address));
    memcpy(&last->raw, &raw, size);
    last->size = size;
    return 1;
}

void
asgi_sockaddr_clear(asgi_sockaddr_t *last)
{
    Py_CLEAR(last->tuple);
}
