/* SPDX-License-Identifier: MIT
 *
 * ws_extension.c: the grammar of Sec-WebSocket-Extensions and the choice among its offers; see
 * ws_extension.h. Called by asgi/ws_cycle.c (the request) and asgi/ws_send.c (the answer).
 *
 *   extension-list   1#( token *( ";" token [ "=" ( token / quoted-string ) ] ) )
 *
 * where an unquoted quoted-string has to be a token itself. Empty list elements are skipped, as
 * every recipient of a list must (RFC 9110 5.6.1.2).
 */
#include "proto/ws_extension.h"

#include <stdio.h>

typedef struct {
    const char *at, *end;
} cursor_t;

typedef struct {
    char text[4]; /* all that an allowed value needs; longer ones are cut */
    size_t size;
} value_t;

/* ---- grammar ---- */

static bool
is_token_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static void
skip_space(cursor_t *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
        cursor->at++;
}

/* Whether the next character is this one, which is skipped then. */
static bool
take(cursor_t *cursor, char c)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool
take_token(cursor_t *cursor, asgi_slice_t *token)
{
    skip_space(cursor);
    token->data = cursor->at;
    while (cursor->at < cursor->end && is_token_char(*cursor->at))
        cursor->at++;
    token->size = (size_t)(cursor->at - token->data);
    return token->size > 0;
}

static void
add_to_value(value_t *value, char c)
{
    if (value->size < sizeof value->text)
        value->text[value->size] = c;
    value->size++;
}

/* Behind the opening quote. */
static bool
take_quoted(cursor_t *cursor, value_t *value)
{
    while (cursor->at < cursor->end) {
        char c = *cursor->at++;
        if (c == '"')
            return value->size > 0;
        if (c == '\\') {
            if (cursor->at == cursor->end)
                return false;
            c = *cursor->at++;
        }
        if (!is_token_char(c))
            return false;
        add_to_value(value, c);
    }
    return false;
}

static bool
take_value(cursor_t *cursor, value_t *value)
{
    asgi_slice_t token;

    value->size = 0;
    if (take(cursor, '"'))
        return take_quoted(cursor, value);
    if (!take_token(cursor, &token))
        return false;
    for (size_t i = 0; i < token.size; i++)
        add_to_value(value, token.data[i]);
    return true;
}

/* ---- offers ---- */

/* 8 to 15, in decimal without leading zeros. Returns 0 for anything else. */
static uint8_t
window_bits(const value_t *value)
{
    const char *text = value->text;

    if (value->size == 1 && (text[0] == '8' || text[0] == '9'))
        return (uint8_t)(text[0] - '0');
    if (value->size == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5')
        return (uint8_t)(10 + text[1] - '0');
    return 0;
}

/* Adds a parameter to an offer. value: NULL where there is none. Returns whether the offer may
 * still be accepted. */
static bool
add_parameter(asgi_ws_extension_t *offer, asgi_slice_t name, const value_t *value)
{
    bool *flag = NULL;

    if (asgi_slice_equal(name, ASGI_SLICE("server_no_context_takeover")))
        flag = &offer->server_no_takeover;
    else if (asgi_slice_equal(name, ASGI_SLICE("client_no_context_takeover")))
        flag = &offer->client_no_takeover;
    if (flag != NULL) {
        if (*flag || value != NULL)
            return false;
        return *flag = true;
    }
    if (asgi_slice_equal(name, ASGI_SLICE("server_max_window_bits"))) {
        if (offer->server_bits != 0 || value == NULL)
            return false;
        return (offer->server_bits = window_bits(value)) != 0;
    }
    if (asgi_slice_equal(name, ASGI_SLICE("client_max_window_bits"))) {
        if (offer->client_bits_offered)
            return false;
        offer->client_bits_offered = true;
        offer->client_bits = value != NULL ? window_bits(value) : ASGI_WS_WINDOW_BITS;
        return offer->client_bits != 0;
    }
    return false;
}

static uint8_t
at_most_ours(uint8_t bits)
{
    return bits == 0 || bits > ASGI_WS_WINDOW_BITS ? ASGI_WS_WINDOW_BITS : bits;
}

int
asgi_ws_extension_offers(asgi_ws_extension_t *extension, asgi_slice_t line)
{
    cursor_t cursor = {line.data, line.data + line.size};

    for (;;) {
        asgi_ws_extension_t offer = {0};
        asgi_slice_t name;
        while (take(&cursor, ','))
            ;
        if (cursor.at == cursor.end)
            return 0;
        if (!take_token(&cursor, &name))
            return ASGI_ERR_SYNTAX;
        offer.agreed = asgi_slice_equal(name, ASGI_SLICE("permessage-deflate"));
        while (take(&cursor, ';')) {
            value_t value;
            bool has_value;
            if (!take_token(&cursor, &name))
                return ASGI_ERR_SYNTAX;
            has_value = take(&cursor, '=');
            if (has_value && !take_value(&cursor, &value))
                return ASGI_ERR_SYNTAX;
            if (offer.agreed)
                offer.agreed = add_parameter(&offer, name, has_value ? &value : NULL);
        }
        if (!take(&cursor, ',') && cursor.at != cursor.end)
            return ASGI_ERR_SYNTAX;
        if (offer.agreed && !extension->agreed) {
            offer.server_bits = at_most_ours(offer.server_bits);
            offer.client_bits = offer.client_bits_offered ? at_most_ours(offer.client_bits) : 15;
            *extension = offer;
        }
    }
}

size_t
asgi_ws_extension_answer(const asgi_ws_extension_t *extension,
                         char out[ASGI_WS_EXTENSION_ANSWER_MAX])
{
    int n = snprintf(out, ASGI_WS_EXTENSION_ANSWER_MAX,
                     "permessage-deflate%s%s; server_max_window_bits=%u",
                     extension->server_no_takeover ? "; server_no_context_takeover" : "",
                     extension->client_no_takeover ? "; client_no_context_takeover" : "",
                     (unsigned)extension->server_bits);

    if (extension->client_bits_offered)
        n += snprintf(out + n, ASGI_WS_EXTENSION_ANSWER_MAX - (size_t)n,
                      "; client_max_window_bits=%u", (unsigned)extension->client_bits);
    return (size_t)n;
}

bool
asgi_ws_tokens_ok(asgi_slice_t line)
{
    cursor_t cursor = {line.data, line.data + line.size};
    asgi_slice_t token;
    bool found = false;

    for (;;) {
        while (take(&cursor, ','))
            ;
        if (cursor.at == cursor.end)
            return found;
        if (!take_token(&cursor, &token))
            return false;
        found = true;
        if (!take(&cursor, ',') && cursor.at != cursor.end)
            return false;
    }
}
