/* SPDX-License-Identifier: MIT
 *
 * http2_fields.c: see http2_fields.h.
 */
#include "proto/http2_fields.h"

#include "proto/headers.h"
#include "proto/http1_line.h"

#include <llhttp.h>

#define MAX_NAME 256 /* bytes of a field's name */
#define FIRST_FIELDS 24
#define KEPT_BYTES 8192 /* of a used section's memory */
#define KEPT_FIELDS 64

asgi_http2_section_t *
asgi_http2_section_new(void)
{
    asgi_http2_section_t *section = calloc(1, sizeof *section);

    if (section == NULL)
        return NULL;
    section->request.fields = malloc(FIRST_FIELDS * sizeof(asgi_field_t));
    section->room = FIRST_FIELDS;
    if (section->request.fields == NULL || asgi_buf_reserve(&section->text, 512) < 0) {
        asgi_http2_section_free(section);
        return NULL;
    }
    return section;
}

void
asgi_http2_section_free(asgi_http2_section_t *section)
{
    if (section == NULL)
        return;
    free(section->request.fields);
    asgi_buf_dispose(&section->text);
    free(section);
}

bool
asgi_http2_section_reuse(asgi_http2_section_t *section)
{
    asgi_field_t *fields = section->request.fields;
    asgi_buf_t text = section->text;
    uint32_t room = section->room;

    if (text.capacity > KEPT_BYTES || room > KEPT_FIELDS)
        return false;
    memset(section, 0, sizeof *section);
    section->request.fields = fields;
    section->room = room;
    section->text = text;
    asgi_buf_clear(&section->text);
    return true;
}

/* ---- fields coming in ---- */

/* The first fault is the one that is told. */
static int
refuse(asgi_http2_section_t *section, int error)
{
    if (section->error == 0)
        section->error = error;
    return 0;
}

static asgi_slice_t
value_of(const asgi_http2_section_t *section, const asgi_field_t *field)
{
    return (asgi_slice_t){asgi_buf_front(&section->text) + field->value, field->value_size};
}

/* name: checked, in lower case. Returns 0 or NOMEM. */
static int
keep(asgi_http2_section_t *section, asgi_slice_t name, asgi_slice_t value, int id)
{
    asgi_request_t *request = &section->request;
    asgi_buf_t *text = &section->text;

    if (request->field_count == section->room) {
        asgi_field_t *fields = realloc(request->fields, section->room * 2 * sizeof *fields);
        if (fields == NULL)
            return ASGI_ERR_NOMEM;
        request->fields = fields;
        section->room *= 2;
    }
    if (asgi_buf_reserve(text, name.size + value.size) < 0)
        return ASGI_ERR_NOMEM;
    request->fields[request->field_count++] =
        (asgi_field_t){.name = (uint32_t)asgi_buf_size(text),
                       .name_size = (uint32_t)name.size,
                       .value = (uint32_t)(asgi_buf_size(text) + name.size),
                       .value_size = (uint32_t)value.size,
                       .id = (uint16_t)id};
    return asgi_buf_append(text, name.data, name.size)
           | asgi_buf_append(text, value.data, value.size);
}

static int
add_host(asgi_http2_section_t *section, asgi_slice_t value)
{
    if (!asgi_http1_host_ok(value))
        return refuse(section, ASGI_ERR_HOST);
    if (section->hosts++ == 0)
        return keep(section, ASGI_SLICE("host"), value, ASGI_HEADER_HOST);
    /* Host beside :authority has to say the same (RFC 9113 8.3.1). */
    for (uint32_t i = 0; i < section->request.field_count; i++) {
        if (section->request.fields[i].id == ASGI_HEADER_HOST
            && !asgi_slice_equal(value_of(section, &section->request.fields[i]), value))
            refuse(section, ASGI_ERR_HOST);
    }
    return section->hosts > 2 ? refuse(section, ASGI_ERR_HOST) : 0;
}

static int
add_path(asgi_http2_section_t *section, const asgi_http2_bounds_t *bounds, asgi_slice_t path)
{
    section->request.target = (uint32_t)asgi_buf_size(&section->text);
    section->request.target_size = (uint32_t)path.size;
    if (path.size > bounds->max_line_bytes || path.size > bounds->max_head_bytes)
        return refuse(section, ASGI_ERR_URI_SIZE);
    for (size_t i = 0; i < path.size; i++) {
        if (path.data[i] <= 0x20 || path.data[i] == 0x7f) /* char is signed: refuses >= 0x80 too */
            return refuse(section, ASGI_ERR_SYNTAX);
    }
    return asgi_buf_append(&section->text, path.data, path.size);
}

static int
add_pseudo(asgi_http2_section_t *section, const asgi_http2_bounds_t *bounds, asgi_slice_t name,
           asgi_slice_t value)
{
    int method;

    if (asgi_slice_equal(name, ASGI_SLICE(":path")))
        return add_path(section, bounds, value);
    if (asgi_slice_equal(name, ASGI_SLICE(":authority")))
        return add_host(section, value);
    if (asgi_slice_equal(name, ASGI_SLICE(":method"))) {
        method = asgi_request_method(value);
        section->request.method = (uint8_t)method;
        return method < 0 ? refuse(section, ASGI_ERR_METHOD) : 0;
    }
    if (asgi_slice_equal(name, ASGI_SLICE(":scheme"))
        && (asgi_slice_is(value, "http") || asgi_slice_is(value, "https")))
        return 0; /* which of the two is for the connection to say */
    return refuse(section, ASGI_ERR_SYNTAX);
}

static void
read_length(asgi_request_t *request, asgi_slice_t value)
{
    request->content_length = 0;
    for (size_t i = 0; i < value.size; i++)
        request->content_length = request->content_length * 10 + (uint64_t)(value.data[i] - '0');
}

int
asgi_http2_section_add(asgi_http2_section_t *section, const asgi_http2_bounds_t *bounds,
                       asgi_slice_t name, asgi_slice_t value)
{
    char lower[MAX_NAME];
    asgi_request_t *request = &section->request;
    int id;

    section->size += name.size + value.size + 32;
    if (section->error != 0)
        return 0;
    if (name.size > 0 && name.data[0] == ':' && asgi_slice_equal(name, ASGI_SLICE(":path")))
        return add_path(section, bounds, value); /* 414 rather than 431 */
    if (section->size > bounds->max_head_bytes || request->field_count >= bounds->max_fields
        || name.size > MAX_NAME)
        return refuse(section, ASGI_ERR_HEAD_SIZE);
    if (name.size > 0 && name.data[0] == ':')
        return add_pseudo(section, bounds, name, value);
    id = asgi_header_name(name.data, name.size, lower);
    value = asgi_slice_trim(value);
    if (id < 0 || !asgi_header_value_ok(value.data, value.size))
        return refuse(section, ASGI_ERR_SYNTAX);
    switch (id) {
    case ASGI_HEADER_HOST:
        return add_host(section, value);
    case ASGI_HEADER_COOKIE:
        section->cookies++;
        break;
    case ASGI_HEADER_CONTENT_LENGTH:
        read_length(request, value);
        break;
    case ASGI_HEADER_EXPECT:
        request->expect_continue |= asgi_slice_is(value, "100-continue");
        break;
    case ASGI_HEADER_FORWARDED:
    case ASGI_HEADER_X_FORWARDED_FOR:
    case ASGI_HEADER_X_FORWARDED_PROTO:
        request->forwarded = true;
        break;
    default:
        break;
    }
    return keep(section, (asgi_slice_t){lower, name.size}, value, id);
}

/* Puts the crumbs together where the first of them was. Returns 0 or NOMEM. */
static int
join_cookies(asgi_http2_section_t *section)
{
    asgi_request_t *request = &section->request;
    asgi_field_t *first = NULL;
    uint32_t kept = 0, start = (uint32_t)asgi_buf_size(&section->text);
    size_t room = 0;

    for (uint32_t i = 0; i < request->field_count; i++) {
        if (request->fields[i].id == ASGI_HEADER_COOKIE)
            room += request->fields[i].value_size + 2;
    }
    if (asgi_buf_reserve(&section->text, room) < 0)
        return ASGI_ERR_NOMEM;
    for (uint32_t i = 0; i < request->field_count; i++) {
        asgi_field_t field = request->fields[i];
        int rc = 0;
        if (field.id == ASGI_HEADER_COOKIE) {
            asgi_slice_t crumb = value_of(section, &field);
            if (first != NULL)
                rc |= asgi_buf_append(&section->text, "; ", 2);
            rc |= asgi_buf_append(&section->text, crumb.data, crumb.size);
            if (first != NULL)
                continue;
            first = &request->fields[kept];
        }
        if (rc < 0)
            return ASGI_ERR_NOMEM;
        request->fields[kept++] = field;
    }
    if (first == NULL)
        return 0;
    first->value = start;
    first->value_size = (uint32_t)asgi_buf_size(&section->text) - start;
    request->field_count = kept;
    return 0;
}

int
asgi_http2_section_end(asgi_http2_section_t *section, bool has_body)
{
    asgi_request_t *request = &section->request;
    const char *text = asgi_buf_front(&section->text);

    request->minor = ASGI_MINOR_HTTP2;
    request->keep_alive = true;
    request->chunked = has_body && request->content_length == 0;
    if (section->error != 0)
        return 0;
    if (section->hosts == 0)
        return refuse(section, ASGI_ERR_HOST);
    if (request->target_size == 0
        || (text[request->target] != '/'
            && !(text[request->target] == '*' && request->target_size == 1
                 && request->method == HTTP_OPTIONS)))
        return refuse(section, ASGI_ERR_SYNTAX);
    return section->cookies > 1 ? join_cookies(section) : 0;
}

/* ---- fields going out ---- */

static bool
of_the_connection(asgi_slice_t name)
{
    static const asgi_slice_t names[] = {
        {"connection", 10},        {"keep-alive", 10}, {"proxy-connection", 16},
        {"transfer-encoding", 17}, {"upgrade", 7},     {"te", 2},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (asgi_slice_equal(name, names[i]))
            return true;
    }
    return false;
}

bool
asgi_http2_next_line(asgi_slice_t *lines, asgi_slice_t *name, asgi_slice_t *value)
{
    while (lines->size > 0) {
        const char *start = lines->data, *end = start + lines->size;
        const char *colon = memchr(start, ':', lines->size);
        const char *cr = colon != NULL ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;
        if (cr == NULL)
            return false;
        *name = (asgi_slice_t){start, (size_t)(colon - start)};
        *value = asgi_slice_trim((asgi_slice_t){colon + 1, (size_t)(cr - colon - 1)});
        lines->data = cr + 2;
        lines->size = (size_t)(end - cr) - 2;
        if (!of_the_connection(*name))
            return true;
    }
    return false;
}
