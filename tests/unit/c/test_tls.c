/* SPDX-License-Identifier: MIT
 *
 * test_tls.c: net/tls.c, tls_context.c and tls_tickets.c against an OpenSSL client in memory.
 *
 * argv[1] is a folder with server.pem and server.key, for localhost; test_c_units.py makes it.
 */
#include "net/tls.h"
#include "net/tls_tickets.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static char certificate[512], key[512];
static const unsigned char seed[ASGI_TLS_SEED_SIZE] = {1, 2, 3};

/* ---- a client ---- */

typedef struct {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* the session's */
} client_t;

static void
client_open(client_t *client, int version)
{
    client->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(client->ctx);
    SSL_CTX_set_min_proto_version(client->ctx, version);
    SSL_CTX_set_max_proto_version(client->ctx, version);
    client->ssl = SSL_new(client->ctx);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_tlsext_host_name(client->ssl, "localhost");
    SSL_set_connect_state(client->ssl);
}

static void
client_close(client_t *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
}

static asgi_tls_context_t *
make_context(const asgi_tls_settings_t *changes)
{
    asgi_tls_pair_t pair = {certificate, key};
    asgi_tls_settings_t settings = {
        .pairs = &pair,
        .pair_count = 1,
        .least = TLS1_2_VERSION,
        .most = TLS1_3_VERSION,
        .seed = seed,
        .seeded = asgi_tls_tickets_now(),
    };
    char problem[ASGI_TLS_PROBLEM_SIZE];
    asgi_tls_context_t *context;

    if (changes != NULL)
        settings.verify = changes->verify;
    context = asgi_tls_context_new(&settings, problem);
    if (context == NULL)
        print_error("%s\n", problem);
    assert_non_null(context);
    return context;
}

/* What the session has sealed goes to the client. */
static void
to_client(asgi_tls_t *tls, client_t *client)
{
    size_t size = asgi_buf_size(&tls->sealed);

    if (size > 0)
        assert_int_equal(BIO_write(client->in, asgi_buf_front(&tls->sealed), (int)size), (int)size);
    asgi_buf_clear(&tls->sealed);
}

/* What the client has written goes to the session, `step` bytes at a time. Returns what the last
 * read gave; plain bytes are appended to plain. */
static ssize_t
to_server(client_t *client, asgi_tls_t *tls, size_t step, asgi_buf_t *plain)
{
    char *data;
    long size = BIO_get_mem_data(client->out, &data);
    asgi_buf_t copy = {0};
    char text[1000];
    ssize_t got = 0;

    assert_int_equal(asgi_buf_append(&copy, data, (size_t)size), 0);
    (void)BIO_reset(client->out);
    for (size_t at = 0; at < (size_t)size; at += step) {
        size_t part = (size_t)size - at < step ? (size_t)size - at : step;
        asgi_tls_feed(tls, copy.data + at, part);
        while ((got = asgi_tls_read(tls, text, sizeof text)) > 0)
            assert_int_equal(asgi_buf_append(plain, text, (size_t)got), 0);
        assert_int_equal(tls->feed.size, 0);
        if (got < 0)
            break;
    }
    asgi_buf_dispose(&copy);
    return got;
}

static void
shake_hands(client_t *client, asgi_tls_t *tls, size_t step)
{
    asgi_buf_t plain = {0};

    for (int turn = 0; turn < 10 && !(tls->ready && SSL_is_init_finished(client->ssl)); turn++) {
        int rc = SSL_do_handshake(client->ssl);
        if (rc != 1)
            assert_int_equal(SSL_get_error(client->ssl, rc), SSL_ERROR_WANT_READ);
        assert_int_equal(to_server(client, tls, step, &plain), 0);
        to_client(tls, client);
    }
    assert_true(tls->ready);
    assert_int_equal(asgi_buf_size(&plain), 0);
}

/* ---- sessions ---- */

static void
run_session(int version, size_t step)
{
    asgi_tls_context_t *context = make_context(NULL);
    asgi_buf_t plain = {0};
    client_t client;
    asgi_tls_t tls;
    char *big = malloc(100000), *back = malloc(100000);
    size_t got, total = 0;

    for (size_t i = 0; i < 100000; i++)
        big[i] = (char)(i * 7);
    client_open(&client, version);
    assert_int_equal(asgi_tls_init(&tls, context), 0);
    asgi_tls_context_unref(context); /* the session keeps it */
    assert_int_equal(asgi_tls_write(&tls, "early", 5), ASGI_ERR_TLS);
    shake_hands(&client, &tls, step);

    assert_int_equal(SSL_write(client.ssl, big, 100000), 100000);
    assert_int_equal(to_server(&client, &tls, step, &plain), 0);
    assert_int_equal(asgi_buf_size(&plain), 100000);
    assert_memory_equal(asgi_buf_front(&plain), big, 100000);

    assert_int_equal(asgi_tls_write(&tls, big, 100000), 0);
    to_client(&tls, &client);
    while (total < 100000 && SSL_read_ex(client.ssl, back + total, 100000 - total, &got))
        total += got;
    assert_int_equal(total, 100000);
    assert_memory_equal(back, big, 100000);

    /* The client ends first, and still reads. */
    SSL_shutdown(client.ssl);
    asgi_buf_clear(&plain);
    assert_int_equal(to_server(&client, &tls, step, &plain), 0);
    assert_true(tls.ended);
    assert_int_equal(asgi_tls_write(&tls, "after", 5), 0);
    asgi_tls_close(&tls);
    asgi_tls_close(&tls);
    assert_int_equal(asgi_tls_write(&tls, "late", 4), ASGI_ERR_TLS);
    to_client(&tls, &client);
    assert_int_equal(SSL_read(client.ssl, back, 100), 5);
    assert_memory_equal(back, "after", 5);
    assert_int_equal(SSL_read(client.ssl, back, 100), 0);
    assert_int_equal(SSL_get_error(client.ssl, 0), SSL_ERROR_ZERO_RETURN);

    asgi_tls_dispose(&tls);
    client_close(&client);
    asgi_buf_dispose(&plain);
    free(big);
    free(back);
    assert_int_equal(ERR_peek_error(), 0);
}

static void
test_sessions(void **state)
{
    static const size_t steps[] = {1, 2, 5, 17, 1000, 65536};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        run_session(TLS1_2_VERSION, steps[i]);
        run_session(TLS1_3_VERSION, steps[i]);
    }
}

static void
test_renegotiation_is_refused(void **state)
{
    asgi_tls_context_t *context = make_context(NULL);
    asgi_buf_t plain = {0};
    client_t client;
    asgi_tls_t tls;
    char text[10];

    client_open(&client, TLS1_2_VERSION);
    assert_int_equal(asgi_tls_init(&tls, context), 0);
    shake_hands(&client, &tls, 65536);
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    (void)SSL_do_handshake(client.ssl);
    assert_int_equal(to_server(&client, &tls, 65536, &plain), 0);
    assert_false(tls.failed);
    to_client(&tls, &client); /* a warning, after which the client gives up or goes on */
    assert_true(SSL_read(client.ssl, text, sizeof text) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    asgi_tls_dispose(&tls);
    asgi_tls_context_unref(context);
    client_close(&client);
    asgi_buf_dispose(&plain);
}

static void
test_what_is_no_tls(void **state)
{
    static const struct {
        const char *text;
        ssize_t expected;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", ASGI_ERR_NOT_TLS},
        {"POST / HTTP/1.1\r\n\r\n", ASGI_ERR_NOT_TLS},
        {"CONNECT h:443 HTTP/1.1\r\n\r\n", ASGI_ERR_NOT_TLS},
        {"SSH-2.0-OpenSSH_9.2\r\n", ASGI_ERR_TLS},
        {"\x16\x03\x01\xff\xff", ASGI_ERR_TLS},
        {"\x16\x03\x01", 0},
    };
    asgi_tls_context_t *context = make_context(NULL);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgi_tls_t tls;
        char text[100];
        assert_int_equal(asgi_tls_init(&tls, context), 0);
        asgi_tls_feed(&tls, cases[i].text, strlen(cases[i].text));
        assert_int_equal(asgi_tls_read(&tls, text, sizeof text), cases[i].expected);
        if (cases[i].expected < 0) {
            assert_true(tls.failed);
            asgi_tls_explain(&tls, text, sizeof text);
            assert_true(strlen(text) > 3);
            asgi_tls_feed(&tls, "more", 4);
            assert_int_equal(asgi_tls_read(&tls, text, sizeof text), ASGI_ERR_TLS);
            assert_int_equal(asgi_tls_write(&tls, "x", 1), ASGI_ERR_TLS);
            asgi_tls_close(&tls);
        }
        asgi_tls_dispose(&tls);
    }
    asgi_tls_context_unref(context);
    assert_int_equal(ERR_peek_error(), 0);
}

static void
test_context_problems(void **state)
{
    asgi_tls_pair_t pair = {certificate, "/nonexistent"};
    asgi_tls_settings_t settings = {
        .pairs = &pair,
        .pair_count = 1,
        .least = TLS1_2_VERSION,
        .most = TLS1_3_VERSION,
        .seed = seed,
    };
    char problem[ASGI_TLS_PROBLEM_SIZE];

    assert_null(asgi_tls_context_new(&settings, problem));
    assert_string_equal(problem, "Cannot use TLS key /nonexistent: No such file or directory.");
    pair.key = key;
    settings.verify = ASGI_TLS_VERIFY_REQUIRED;
    assert_null(asgi_tls_context_new(&settings, problem));
    assert_non_null(strstr(problem, "--ssl-ca-certs is not given"));
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- tickets ---- */

typedef struct {
    unsigned char name[16], iv[EVP_MAX_IV_LENGTH];
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
} ticket_t;

static void
ticket_open(ticket_t *ticket)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    ticket->cipher = EVP_CIPHER_CTX_new();
    ticket->mac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
}

static void
ticket_close(ticket_t *ticket)
{
    EVP_CIPHER_CTX_free(ticket->cipher);
    EVP_MAC_CTX_free(ticket->mac);
}

static int
use(asgi_tls_tickets_t *tickets, uint64_t now, ticket_t *ticket, int seal)
{
    return asgi_tls_tickets_key(tickets, now, ticket->name, ticket->iv, ticket->cipher, ticket->mac,
                                seal);
}

static void
test_tickets_live_two_periods(void **state)
{
    static const unsigned char other_seed[ASGI_TLS_SEED_SIZE] = {9};
    uint64_t period = ASGI_TLS_TICKET_PERIOD, begin = 1000;
    asgi_tls_tickets_t one, two, other;
    ticket_t ticket;

    asgi_tls_tickets_init(&one, seed, begin);
    asgi_tls_tickets_init(&two, seed, begin);
    asgi_tls_tickets_init(&other, other_seed, begin);
    ticket_open(&ticket);
    for (uint64_t n = 0; n < 5; n++) {
        uint64_t now = begin + n * period + period - 1;
        assert_int_equal(use(&one, now, &ticket, 1), 1);
        /* Another process, which has used no key yet or quite another one. */
        assert_int_equal(use(&two, now, &ticket, 0), 1);
        assert_int_equal(use(&two, now + 1, &ticket, 0), 2);
        assert_int_equal(use(&two, now + period, &ticket, 0), 2);
        assert_int_equal(use(&two, now + period + 1, &ticket, 0), 0);
        assert_int_equal(use(&two, now + 9 * period, &ticket, 0), 0);
        assert_int_equal(use(&other, now, &ticket, 0), 0);
    }
    /* A clock that seems to run backwards is no reason to fail. */
    assert_int_equal(use(&one, 0, &ticket, 1), 1);
    ticket_close(&ticket);
    asgi_tls_tickets_dispose(&one);
    asgi_tls_tickets_dispose(&two);
    asgi_tls_tickets_dispose(&other);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_what_is_no_tls),
        cmocka_unit_test(test_context_problems),
        cmocka_unit_test(test_tickets_live_two_periods),
    };

    if (argc != 2)
        return 2;
    snprintf(certificate, sizeof certificate, "%s/server.pem", argv[1]);
    snprintf(key, sizeof key, "%s/server.key", argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
