/* SPDX-License-Identifier: MIT
 *
 * sockaddr.h: socket addresses as Python has them, and as the kernel does: IPv4 and IPv6.
 *
 * A datagram socket mostly hears from, and answers, the peer it last had to do with: the last address
 * that was received and the last one that was given are kept in both forms. They are two, because
 * a caller may write an address otherwise than the kernel's is written: ("::1", 9) for
 * ("::1", 9, 0, 0).
 */
#ifndef ASGI_SOCKADDR_H
#define ASGI_SOCKADDR_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/socket.h>

typedef struct {
    PyObject *tuple; /* owned, immutable; NULL: none yet */
    struct sockaddr_storage raw;
    socklen_t size;
} asgi_sockaddr_t;

/* The tuple of an address that the kernel gave. Returns: new, or NULL with an exception. */
PyObject *asgi_sockaddr_tuple(asgi_sockaddr_t *last, const struct sockaddr_storage *raw,
                              socklen_t size);
/* Has (host, port) or (host, port, flow, scope) in both forms; the host has to be numeric. Returns
 * whether it could be done; nothing is raised. */
int asgi_sockaddr_parse(asgi_sockaddr_t *last, PyObject *address, int family);
void asgi_sockaddr_clear(asgi_sockaddr_t *last);

#endif
