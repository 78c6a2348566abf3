/* SPDX-License-Identifier: MIT
 *
 * server.h: _core.Server, and the module state that net/ and asgi/ share.
 *
 * One Server serves one ASGI app on one loop. It owns its listeners, its connections and the
 * exchanges (cycles) under way; each of these points back at it without a reference, so while
 * there is any of them the Server holds one reference to itself (asgi_server_hold/release).
 * Closing the loop aborts it through the loop's at-close hook.
 */
#ifndef ASGI_SERVER_H
#define ASGI_SERVER_H

#include "loop/loop.h"
#include "state.h"

#include "asgi/accesslog.h"
#include "asgi/awaitable.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/spares.h"
#include "net/balance.h"
#include "net/deadline.h"
#include "net/peers.h"
#include "net/stats.h"
#include "net/trust.h"
#include "proto/headers.h"

#define ASGI_MAX_METHODS 64

/* Interned names, by the text itself. */
/* clang-format off */
#define ASGI_SERVER_STRINGS(X) \
    X(type, "type") \
    X(asgi, "asgi") \
    X(http_version, "http_version") \
    X(server, "server") \
    X(client, "client") \
    X(scheme, "scheme") \
    X(root_path, "root_path") \
    X(headers, "headers") \
    X(state, "state") \
    X(method, "method") \
    X(path, "path") \
    X(raw_path, "raw_path") \
    X(query_string, "query_string") \
    X(status, "status") \
    X(body, "body") \
    X(more_body, "more_body") \
    X(http, "http") \
    X(http_request, "http.request") \
    X(http_disconnect, "http.disconnect") \
    X(response_start, "http.response.start") \
    X(response_body, "http.response.body") \
    X(v10, "1.0") \
    X(v11, "1.1") \
    X(v2, "2") \
    X(set_result, "set_result") \
    X(done, "done") \
    X(cancel, "cancel") \
    X(throw_, "throw") \
    X(close, "close") \
    X(task_name, "asgi-request") \
    X(websocket, "websocket") \
    X(ws_connect, "websocket.connect") \
    X(ws_receive, "websocket.receive") \
    X(ws_disconnect, "websocket.disconnect") \
    X(ws_accept, "websocket.accept") \
    X(ws_send, "websocket.send") \
    X(ws_close, "websocket.close") \
    X(ws_response_start, "websocket.http.response.start") \
    X(ws_response_body, "websocket.http.response.body") \
    X(text, "text") \
    X(bytes, "bytes") \
    X(code, "code") \
    X(reason, "reason") \
    X(subprotocol, "subprotocol") \
    X(subprotocols, "subprotocols") \
    X(extensions, "extensions") \
    X(https, "https") \
    X(comma, ",") \
    X(ws, "ws") \
    X(wss, "wss") \
    X(trailers, "trailers") \
    X(more_trailers, "more_trailers") \
    X(links, "links") \
    X(file, "file") \
    X(offset, "offset") \
    X(count, "count") \
    X(info, "info") \
    X(fileno, "fileno") \
    X(request_trailers, "http.request.trailers") \
    X(response_trailers, "http.response.trailers") \
    X(early_hint, "http.response.early_hint") \
    X(pathsend, "http.response.pathsend") \
    X(zerocopysend, "http.response.zerocopysend") \
    X(push, "http.response.push") \
    X(debug, "http.response.debug") \
    X(tls, "tls")
/* clang-format on */

/* Owned by struct asgi_state through its field `server`. */
struct asgi_server_state {
    PyTypeObject *ServerType;
    PyTypeObject *CycleType;
    PyTypeObject *AwaitableType;
    PyTypeObject *TLSType;
    PyObject *ready; /* the awaitable that is done, giving None */
    PyObject *CancelledError;
    PyObject *future_kwnames; /* ("loop",) */
    PyObject *task_kwnames;   /* ("loop", "context", "name") */
    PyObject *empty_bytes;
    PyObject *log_format;
    PyObject *header_names[ASGI_HEADER_COUNT];
    PyObject *methods[ASGI_MAX_METHODS]; /* str by llhttp's number; NULL until first used */
#define ASGI_SERVER_STRING_FIELD(name, text) PyObject *str_##name;
    ASGI_SERVER_STRINGS(ASGI_SERVER_STRING_FIELD)
#undef ASGI_SERVER_STRING_FIELD
};

typedef struct asgi_server {
    PyObject_HEAD
    struct asgi_state *state; /* borrowed: the module's, kept by our type */
    LoopObject *loop;         /* owned */
    PyObject *app;            /* owned */
    PyObject *app_state;      /* owned dict, shallow-copied into each scope */
    asgi_accesslog_t access_log;
    PyObject *error_log;       /* owned callable or NULL */
    PyObject *on_max_requests; /* owned callable or NULL; dropped once called */
    PyObject *context;         /* owned: copied for each request */
    PyObject *scope;           /* owned dict: what every scope starts from */
    PyObject *asgi;            /* owned dict, copied into each scope */
    PyObject *extensions;      /* owned dict, copied into each scope; without what needs HTTP/1.1 */
    PyObject *extensions_v10;  /* … in the other one */
    PyObject *ws_scope;        /* owned dicts: the same for WebSockets */
    PyObject *ws_asgi;
    PyObject *local;     /* owned: the last connection's own end as the scope shows it, or NULL */
    PyObject *tls;       /* owned TLSObject, or NULL: no TLS */
    PyObject *root_path; /* owned str */
    PyObject *root_path_bytes; /* owned bytes */

    asgi_link_t listeners; /* asgi_listener_t.link */
    asgi_link_t conns;     /* asgi_conn_t.link */
    asgi_link_t cycles;    /* CycleObject.link, a reference each */
    asgi_pool_t conn_pool;
    asgi_spares_t spares; /* for the output of streams */
    asgi_deadlines_t deadlines;
    char *read_buffer;  /* owned, shared by all streams */
    char *plain_buffer; /* owned, the same for what is decrypted; NULL: no TLS */
    asgi_hook_t at_close;
    asgi_balance_t balance; /* its table is loads's memory */
    Py_buffer loads;        /* owned; obj is NULL where there is none */
    asgi_stats_t *stats;    /* in stats_view; NULL: nothing is counted */
    Py_buffer stats_view;   /* owned; obj is NULL where there is none */
    size_t held;            /* listeners + connections + cycles + the timer */

    asgi_buf_t defaults;           /* date, server and configured header lines */
    size_t date_size, server_size; /* of the first two; 0: not sent */
    time_t date_at;

    size_t connections, tasks;
    asgi_peers_t peers; /* connections by client address, where they are bounded */
    time_t peer_warned_at;
    unsigned long long total_requests;
    Py_ssize_t limit_concurrency;  /* -1: none */
    Py_ssize_t limit_max_requests; /* -1: none */
    uint32_t max_header_bytes, max_line_bytes, max_header_count, max_chunk_extra;
    uint32_t max_streams; /* of an HTTP/2 connection */
    uint64_t max_body_bytes;
    uint64_t min_rate; /* bytes a second below which a client makes no progress */
    size_t ws_max_size, ws_max_queue;
    bool ws_deflate; /* permessage-deflate where the client offers it */
    int backlog;
    struct sockaddr_storage local_address; /* what `local` was made from */
    bool draining;
    bool at_close_queued;
    bool proxy_headers;    /* trusted peers may name their clients */
    bool proxy_protocol;   /* … and introduce each connection by a header in front of it */
    bool forwarded_header; /* … by Forwarded rather than X-Forwarded-* */
    asgi_trust_t trust;
    bool http2; /* on connections without TLS whose client begins with it */
    bool debug; /* http.response.debug is logged */
} asgi_server_t;

struct CycleObject;

/* Called by module.c. */
int asgi_server_exec(PyObject *module, struct asgi_state *state);
int asgi_server_traverse(struct asgi_state *state, visitproc visit, void *arg);
void asgi_server_clear(struct asgi_state *state);
void asgi_server_free(struct asgi_state *state);

/* A listener, connection, cycle or timer begins / ends. release may free the server: GIL held. */
void asgi_server_hold(asgi_server_t *server);
void asgi_server_release(asgi_server_t *server);

/* The default header lines, Date brought up to this second. Valid until the next call. */
asgi_slice_t asgi_server_defaults(asgi_server_t *server);

/* Calls error_log(level, message, exception or None). exception may be NULL; what error_log
 * raises is reported to the loop. GIL held; nothing is pending afterwards. */
void asgi_server_log(asgi_server_t *server, int level, const char *message, PyObject *exception);

/* The response to a cycle went out: counts it, and tells on_max_requests when the limit is reached. */
void asgi_server_count_request(struct CycleObject *cycle, unsigned status);

#endif
