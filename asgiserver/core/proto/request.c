/* SPDX-License-Identifier: MIT
 *
 * request.c: see request.h. Called by asgi/scope.c.
 */
#include "proto/request.h"

#include <llhttp.h>

int
asgi_request_method(asgi_slice_t name)
{
#define IS_METHOD(number, id, text)                \
    if (asgi_slice_equal(name, ASGI_SLICE(#text))) \
        return number != HTTP_CONNECT && number != HTTP_PRI ? number : -1;
    HTTP_METHOD_MAP(IS_METHOD)
#undef IS_METHOD
    return -1;
}

void
asgi_request_split_target(const asgi_request_t *request, const char *base, asgi_slice_t *path,
                          asgi_slice_t *query)
{
    asgi_slice_t target = {base + request->target, request->target_size};
    const char *mark = memchr(target.data, '#', target.size);

    if (mark != NULL)
        target.size = (size_t)(mark - target.data);
    mark = memchr(target.data, '?', target.size);
    *query = (asgi_slice_t){NULL, 0};
    if (mark != NULL) {
        query->data = mark + 1;
        query->size = target.size - (size_t)(mark + 1 - target.data);
        target.size = (size_t)(mark - target.data);
    }
    /* Only the absolute form begins otherwise: the parsers have seen to that. */
    if (target.data[0] != '/' && target.data[0] != '*') {
        size_t scheme = (target.data[4] | 0x20) == 's' ? 8 : 7;
        const char *slash = memchr(target.data + scheme, '/', target.size - scheme);
        *path = slash == NULL ? ASGI_SLICE("/")
                              : (asgi_slice_t){slash, (size_t)(target.data + target.size - slash)};
        return;
    }
    *path = target;
}
