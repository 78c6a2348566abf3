/* SPDX-License-Identifier: MIT
 *
 * proxy.c: see proxy.h. Called by scope.c for heads that have a forwarding field.
 *
 * A field that cannot be read changes nothing: the proxy's own address stays, which is at least
 * true.
 */
#define _GNU_SOURCE /* memrchr */

#include "asgi/proxy.h"

/* What the fields say, as slices of them. */
typedef struct {
    asgi_slice_t client; /* host with or without a port; empty: not said */
    asgi_slice_t scheme; /* empty: not said */
} told_t;

/* ---- the peer ---- */

/* Returns 1 or 0, or -1 with an exception. */
static int
is_trusted(asgi_conn_t *conn)
{
    const asgi_trust_t *trust = &conn->server->trust;
    PyObject *client;

    if (conn->trust == 0) {
        bool yes = trust->everybody || (conn->pipe && conn->proxied == NULL && trust->unix_peers);
        if (!yes) {
            if ((client = asgi_conn_client(conn)) == NULL)
                return -1;
            if (client != Py_None) {
                Py_ssize_t size;
                const char *host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(client, 0), &size);
                if (host == NULL)
                    return -1;
                yes = asgi_trust_has(trust, (asgi_slice_t){host, (size_t)size});
            }
        }
        conn->trust = yes ? 1 : -1;
    }
    return conn->trust > 0;
}

/* ---- host and port ---- */

/* "host", "host:port" or "[host]:port"; what is none of these is a host as it stands. */
static void
split_port(asgi_slice_t text, asgi_slice_t *host, unsigned long *port)
{
    const char *colon = NULL, *p;
    const char *end = text.data + text.size;

    *host = text;
    *port = 0;
    if (text.size == 0)
        return;
    if (text.data[0] == '[') {
        const char *bracket = memchr(text.data, ']', text.size);
        if (bracket == NULL || (bracket + 1 < end && bracket[1] != ':'))
            return;
        *host = (asgi_slice_t){text.data + 1, (size_t)(bracket - text.data) - 1};
        colon = bracket + 1 < end ? bracket + 1 : NULL;
        if (colon == NULL)
            return;
    } else {
        colon = memchr(text.data, ':', text.size);
        if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon) - 1) != NULL)
            return;
    }
    for (p = colon + 1; p < end && p - colon <= 5; p++) {
        if (*p < '0' || *p > '9')
            break;
        *port = *port * 10 + (unsigned long)(*p - '0');
    }
    if (p != end || p == colon + 1 || *port > 65535)
        *port = 0;
    else if (text.data[0] != '[')
        *host = (asgi_slice_t){text.data, (size_t)(colon - text.data)};
}

/* Whether a hop named so is one of ours, so that the one before it is the client. */
static bool
is_ours(const asgi_trust_t *trust, asgi_slice_t text)
{
    asgi_slice_t host;
    unsigned long port;

    split_port(text, &host, &port);
    return asgi_trust_has(trust, host);
}

/* ---- the fields ---- */

/* Where the elements of a list end and begin: at commas, but in Forwarded not at those in quotes.
 * Returns the first comma, or with `last` the last one, or NULL. Quotes that do not end are none:
 * what a client left open must not swallow what a proxy has added. */
static const char *
find_comma(asgi_slice_t list, bool quotes, bool last)
{
    const char *found = NULL;
    bool quoted = false;

    if (!quotes)
        return last ? memrchr(list.data, ',', list.size) : memchr(list.data, ',', list.size);
    for (size_t i = 0; i < list.size; i++) {
        char c = list.data[i];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted)
            i++;
        else if (c == ',' && !quoted && (found == NULL || last))
            found = list.data + i;
    }
    return quoted ? find_comma(list, false, last) : found;
}

/* The first element of a list, trimmed. */
static asgi_slice_t
first_of(asgi_slice_t list, bool quotes)
{
    const char *comma = find_comma(list, quotes, false);

    return asgi_slice_trim(
        (asgi_slice_t){list.data, comma != NULL ? (size_t)(comma - list.data) : list.size});
}

/* Takes the last element off a list; false when it is used up. */
static bool
take_last(asgi_slice_t *list, asgi_slice_t *item, bool quotes)
{
    const char *comma, *end = list->data + list->size;

    if (list->data == NULL)
        return false;
    comma = find_comma(*list, quotes, true);
    if (comma == NULL) {
        *item = asgi_slice_trim(*list);
        list->data = NULL;
    } else {
        *item = asgi_slice_trim((asgi_slice_t){comma + 1, (size_t)(end - comma) - 1});
        list->size = (size_t)(comma - list->data);
    }
    return true;
}

/* The value of a parameter of an element of Forwarded, without its quotes; empty without it. */
static asgi_slice_t
parameter(asgi_slice_t element, const char *name)
{
    while (element.size > 0) {
        size_t i = 0;
        bool quoted = false;
        for (; i < element.size && (quoted || element.data[i] != ';'); i++) {
            if (element.data[i] == '"')
                quoted = !quoted;
        }
        asgi_slice_t pair = asgi_slice_trim((asgi_slice_t){element.data, i});
        const char *equals = memchr(pair.data, '=', pair.size);
        if (equals != NULL
            && asgi_slice_is((asgi_slice_t){pair.data, (size_t)(equals - pair.data)}, name)) {
            asgi_slice_t value = {equals + 1, pair.size - (size_t)(equals + 1 - pair.data)};
            if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
                value = (asgi_slice_t){value.data + 1, value.size - 2};
            return value;
        }
        i += i < element.size;
        element.data += i;
        element.size -= i;
    }
    return (asgi_slice_t){NULL, 0};
}

static void
read_hop(asgi_slice_t item, bool standard, told_t *told)
{
    told->client = standard ? parameter(item, "for") : item;
    if (standard)
        told->scheme = parameter(item, "proto");
}

/* Goes through the hops, the nearest first: field lines and their elements from the last to the
 * first. Where everybody is trusted the first of all is the client, as with uvicorn. */
static void
read_hops(const asgi_trust_t *trust, const asgi_request_t *request, const char *head,
          asgi_header_id_t id, told_t *told)
{
    bool standard = id == ASGI_HEADER_FORWARDED;

    for (uint32_t i = request->field_count; i-- > 0;) {
        asgi_slice_t rest = {head + request->fields[i].value, request->fields[i].value_size}, item;
        if (request->fields[i].id != id)
            continue;
        if (trust->everybody) {
            read_hop(first_of(rest, standard), standard, told);
            continue;
        }
        while (take_last(&rest, &item, standard)) {
            read_hop(item, standard, told);
            if (!is_ours(trust, told->client))
                return;
        }
    }
}

static void
read_scheme(const asgi_request_t *request, const char *head, told_t *told)
{
    for (uint32_t i = 0; i < request->field_count; i++) {
        const asgi_field_t *field = &request->fields[i];
        if (field->id == ASGI_HEADER_X_FORWARDED_PROTO)
            told->scheme = (asgi_slice_t){head + field->value, field->value_size};
    }
}

/* ---- the scope ---- */

static int
set_client(CycleObject *cycle, asgi_slice_t text)
{
    PyObject *client, *host;
    asgi_slice_t name;
    unsigned long port;
    int rc;

    split_port(text, &name, &port);
    if (name.size == 0)
        return 0;
    host = PyUnicode_DecodeLatin1(name.data, (Py_ssize_t)name.size, NULL);
    client = host != NULL ? Py_BuildValue("(Nk)", host, port) : NULL;
    if (client == NULL)
        return -1;
    rc = PyDict_SetItem(cycle->scope, cycle->server->state->server->str_client, client);
    Py_DECREF(client);
    return rc;
}

static int
set_scheme(CycleObject *cycle, asgi_slice_t text)
{
    struct asgi_server_state *own = cycle->server->state->server;
    PyObject *schemes[] = {own->str_http, own->str_https, own->str_ws, own->str_wss};
    static const char *const names[] = {"http", "https", "ws", "wss"};

    for (size_t i = 0; i < 4; i++) {
        if (text.size != strlen(names[i]) || memcmp(text.data, names[i], text.size) != 0)
            continue;
        if (cycle->ws != NULL)
            i |= 2; /* http is ws, https is wss */
        return PyDict_SetItem(cycle->scope, own->str_scheme, schemes[i]);
    }
    return 0;
}

int
asgi_proxy_apply(asgi_conn_t *conn, const asgi_request_t *request, const char *head,
                 CycleObject *cycle)
{
    told_t told = {{NULL, 0}, {NULL, 0}};
    int trusted = is_trusted(conn);

    if (trusted <= 0)
        return trusted;
    if (conn->server->forwarded_header) {
        read_hops(&conn->server->trust, request, head, ASGI_HEADER_FORWARDED, &told);
    } else {
        read_hops(&conn->server->trust, request, head, ASGI_HEADER_X_FORWARDED_FOR, &told);
        read_scheme(request, head, &told);
    }
    if (told.client.size > 0 && set_client(cycle, told.client) < 0)
        return -1;
    return told.scheme.size > 0 ? set_scheme(cycle, told.scheme) : 0;
}
