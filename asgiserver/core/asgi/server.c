/* SPDX-License-Identifier: MIT
 *
 * server.c: the life of _core.Server and of the module state behind it; see server.h. Its Python
 * methods and its configuration are in server_api.c.
 */
#include "asgi/server.h"

#include "asgi/accesslog.h"
#include "asgi/cycle.h"
#include "asgi/server_api.h"
#include "asgi/tls_object.h"
#include "proto/date.h"

/* ---- the self-reference ---- */

void
asgi_server_hold(asgi_server_t *server)
{
    /* The first to hold it is listen(), which is called with the GIL held; a connection comes
     * without the GIL, but its listener holds the server already. */
    if (server->held++ == 0)
        Py_INCREF((PyObject *)server);
}

void
asgi_server_release(asgi_server_t *server)
{
    if (--server->held > 0)
        return;
    asgi_accesslog_flush(server);
    asgi_deadlines_close(&server->deadlines);
    if (server->at_close_queued) {
        server->at_close_queued = false;
        asgi_loop_hook_cancel(server->loop, &server->at_close);
    }
    Py_DECREF((PyObject *)server);
}

/* ---- what net/ and asgi/ ask of it ---- */

asgi_slice_t
asgi_server_defaults(asgi_server_t *server)
{
    if (server->date_size > 0) {
        time_t now = asgi_date_now();
        if (now != server->date_at) {
            server->date_at = now;
            asgi_date_format(now, asgi_buf_front(&server->defaults) + sizeof "date: " - 1);
        }
    }
    return (asgi_slice_t){server->defaults.data, asgi_buf_size(&server->defaults)};
}

void
asgi_server_log(asgi_server_t *server, int level, const char *message, PyObject *exception)
{
    PyObject *log = server->error_log, *number, *text, *result = NULL;

    if (log == NULL)
        return;
    Py_INCREF(log);
    number = PyLong_FromLong(level);
    text = PyUnicode_FromString(message);
    if (number != NULL && text != NULL) {
        PyObject *args[] = {number, text, exception != NULL ? exception : Py_None};
        result = PyObject_Vectorcall(log, args, 3, NULL);
    }
    if (result == NULL)
        asgi_loop_report(server->loop, "The error log failed");
    Py_XDECREF(result);
    Py_XDECREF(number);
    Py_XDECREF(text);
    Py_DECREF(log);
}

void
asgi_server_count_request(CycleObject *cycle, unsigned status)
{
    asgi_server_t *server = cycle->server;
    PyObject *tell = server->on_max_requests, *result;

    server->total_requests++;
    if (server->stats != NULL)
        asgi_stats_answered(server->stats, status, uv_hrtime() - cycle->begun);
    if (tell == NULL || server->limit_max_requests < 0
        || server->total_requests < (unsigned long long)server->limit_max_requests)
        return;
    server->on_max_requests = NULL;
    result = PyObject_CallNoArgs(tell);
    if (result == NULL)
        asgi_loop_report(server->loop, "on_max_requests failed");
    Py_XDECREF(result);
    Py_DECREF(tell);
}

/* ---- module state ---- */

static int
register_coroutines(struct asgi_server_state *own)
{
    PyObject *abc = PyImport_ImportModule("collections.abc"), *coroutine, *done = NULL;

    if (abc == NULL)
        return -1;
    coroutine = PyObject_GetAttrString(abc, "Coroutine");
    Py_DECREF(abc);
    if (coroutine != NULL) {
        done = PyObject_CallMethod(coroutine, "register", "O", own->CycleType);
        if (done != NULL) {
            Py_DECREF(done);
            done = PyObject_CallMethod(coroutine, "register", "O", own->AwaitableType);
        }
        Py_DECREF(coroutine);
    }
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static int
make_strings(struct asgi_server_state *own)
{
#define MAKE_STRING(name, text)                                       \
    if ((own->str_##name = PyUnicode_InternFromString(text)) == NULL) \
        return -1;
    ASGI_SERVER_STRINGS(MAKE_STRING)
#undef MAKE_STRING
    for (int i = 0; i < ASGI_HEADER_COUNT; i++) {
        asgi_slice_t text = asgi_header_text((asgi_header_id_t)i);
        own->header_names[i] = PyBytes_FromStringAndSize(text.data, (Py_ssize_t)text.size);
        if (own->header_names[i] == NULL)
            return -1;
    }
    own->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    own->log_format = PyUnicode_FromString("%s - \"%s %s HTTP/%s\" %d");
    own->future_kwnames = Py_BuildValue("(s)", "loop");
    own->task_kwnames = Py_BuildValue("(sss)", "loop", "context", "name");
    return own->empty_bytes != NULL && own->log_format != NULL && own->future_kwnames != NULL
                   && own->task_kwnames != NULL
               ? 0
               : -1;
}

/* _core.stats_layout: ((name, count), ...), the fields of a record in their order. */
static int
add_stats_layout(PyObject *module)
{
    static const struct {
        const char *name;
        int count;
    } fields[] = {
#define NAME_FIELD(name, count) {#name, count},
        ASGI_STATS_FIELDS(NAME_FIELD)
#undef NAME_FIELD
    };
    Py_ssize_t length = (Py_ssize_t)(sizeof fields / sizeof *fields);
    PyObject *layout = PyTuple_New(length);
    int rc;

    for (Py_ssize_t i = 0; layout != NULL && i < length; i++) {
        PyObject *field = Py_BuildValue("(si)", fields[i].name, fields[i].count);
        if (field == NULL)
            Py_CLEAR(layout);
        else
            PyTuple_SET_ITEM(layout, i, field);
    }
    rc = layout == NULL ? -1 : PyModule_AddObjectRef(module, "stats_layout", layout);
    Py_XDECREF(layout);
    return rc;
}

int
asgi_server_exec(PyObject *module, struct asgi_state *state)
{
    struct asgi_server_state *own = PyMem_Calloc(1, sizeof *own);

    if (own == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    state->server = own;
    if (make_strings(own) < 0 || add_stats_layout(module) < 0)
        return -1;
    own->ServerType = asgi_server_type(module);
    own->CycleType = asgi_cycle_type(module);
    own->AwaitableType = asgi_awaitable_type(module);
    own->TLSType = asgi_tls_object_type(module);
    if (own->ServerType == NULL || own->CycleType == NULL || own->AwaitableType == NULL
        || own->TLSType == NULL || PyModule_AddType(module, own->TLSType) < 0)
        return -1;
    own->ready = asgi_awaitable_ready(own->AwaitableType);
    if (own->ready == NULL || register_coroutines(own) < 0)
        return -1;
    return PyModule_AddType(module, own->ServerType);
}

int
asgi_server_traverse(struct asgi_state *state, visitproc visit, void *arg)
{
    struct asgi_server_state *own = state->server;

    if (own == NULL)
        return 0;
    Py_VISIT(own->ServerType);
    Py_VISIT(own->CycleType);
    Py_VISIT(own->AwaitableType);
    Py_VISIT(own->TLSType);
    Py_VISIT(own->ready);
    return 0;
}

void
asgi_server_clear(struct asgi_state *state)
{
    struct asgi_server_state *own = state->server;

    if (own == NULL)
        return;
    Py_CLEAR(own->ready);
    Py_CLEAR(own->ServerType);
    Py_CLEAR(own->CycleType);
    Py_CLEAR(own->AwaitableType);
    Py_CLEAR(own->TLSType);
}

void
asgi_server_free(struct asgi_state *state)
{
    struct asgi_server_state *own = state->server;

    if (own == NULL)
        return;
    asgi_server_clear(state);
#define DROP_STRING(name, text) Py_CLEAR(own->str_##name);
    ASGI_SERVER_STRINGS(DROP_STRING)
#undef DROP_STRING
    for (int i = 0; i < ASGI_HEADER_COUNT; i++)
        Py_CLEAR(own->header_names[i]);
    for (int i = 0; i < ASGI_MAX_METHODS; i++)
        Py_CLEAR(own->methods[i]);
    Py_CLEAR(own->empty_bytes);
    Py_CLEAR(own->log_format);
    Py_CLEAR(own->future_kwnames);
    Py_CLEAR(own->task_kwnames);
    state->server = NULL;
    PyMem_Free(own);
}
