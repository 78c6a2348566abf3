/* SPDX-License-Identifier: MIT
 *
 * ws_extension.h: Sec-WebSocket-Extensions: what a client offers, what we answer.
 *
 * permessage-deflate (RFC 7692) is the only extension there is. A client lists offers in its order
 * of preference, over any number of header lines; the first that we can take in full is accepted:
 *
 *   offer                        our answer
 *   server_no_context_takeover   the same: each message of ours starts from nothing
 *   client_no_context_takeover   the same: nothing is kept between the client's messages
 *   server_max_window_bits=N     min(N, 12); 12 is answered also where nothing was offered
 *   client_max_window_bits[=N]   min(N, 12); without this offer the client may use all 15
 *
 * An offer with an unknown or repeated parameter, or a value that RFC 7692 does not allow, is
 * declined and the next one looked at. A header that does not follow the grammar of RFC 6455 9.1 is
 * another matter: the handshake fails.
 */
#ifndef ASGI_WS_EXTENSION_H
#define ASGI_WS_EXTENSION_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* Windows of 4 KiB: more costs memory in every connection, and gains little on messages. */
#define ASGI_WS_WINDOW_BITS 12
#define ASGI_WS_EXTENSION_ANSWER_MAX 160

/* What was agreed. All-zero: nothing. */
typedef struct {
    bool agreed;
    bool server_no_takeover;
    bool client_no_takeover;
    bool client_bits_offered;
    uint8_t server_bits; /* 8..15 */
    uint8_t client_bits;
} asgi_ws_extension_t;

/* Reads one header line. To be called for each of them, in order, with the same zero-initialised
 * struct; once agreed, the rest is only checked. Returns 0, or ASGI_ERR_SYNTAX. */
ASGI_MUST_CHECK int asgi_ws_extension_offers(asgi_ws_extension_t *extension, asgi_slice_t line);

/* Writes the value that accepts what was agreed. Returns its size. */
size_t asgi_ws_extension_answer(const asgi_ws_extension_t *extension,
                                char out[ASGI_WS_EXTENSION_ANSWER_MAX]);

/* Whether a header's value is a list of one token or more (RFC 9110 5.6.1): what
 * Sec-WebSocket-Protocol has to be. */
bool asgi_ws_tokens_ok(asgi_slice_t line);

#endif
