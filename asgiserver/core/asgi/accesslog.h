/* SPDX-License-Identifier: MIT
 *
 * accesslog.h: one line per response, through the callable given as config["access_log"].
 */
#ifndef ASGI_ACCESSLOG_H
#define ASGI_ACCESSLOG_H

#include "asgi/cycle.h"

/* Keeps what the line will need of the request; nothing when there is no access log. Returns 0 or
 * -1 with an exception. */
int asgi_accesslog_note(CycleObject *cycle, asgi_slice_t path, asgi_slice_t query);

/* Calls access_log(format, client, method, path, http_version, status). What it raises is
 * reported to the loop: logging never fails a request. */
void asgi_accesslog_write(CycleObject *cycle, unsigned status);

/* A line of the error log at level info, as uvicorn writes it: a WebSocket was accepted (status 0)
 * or answered with a status. */
void asgi_accesslog_websocket(CycleObject *cycle, unsigned status);

#endif
