/* SPDX-License-Identifier: MIT
 *
 * tls_data.h: the hot way of asyncio's SSLProtocol: application data in and out of TLS.
 *
 * Handshake, shutdown, timeouts and flow control stay asyncio.sslproto's. A TLSData object stands in
 * for three of a protocol's methods, as attributes of the instance: get_buffer and buffer_updated,
 * which the transport calls, and _write_appdata, which the application's write() ends in. Each does
 * the ordinary case itself, an established session with nothing held back, and hands everything
 * else to the method it stands in for.
 *
 * What it saves besides Python frames: a buffer of 256 KiB per connection (all of a loop share
 * one), and the exception with which OpenSSL says that there is nothing more to read, which costs
 * more than a small message: whether there is more is asked of the BIO first.
 */
#ifndef ASGI_TLS_DATA_H
#define ASGI_TLS_DATA_H

#include "loop/loop.h"

int asgi_tls_data_exec(PyObject *module, struct asgi_state *state);

#endif
