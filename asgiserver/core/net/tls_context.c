/* SPDX-License-Identifier: MIT
 *
 * tls_context.c: builds a context and answers OpenSSL's questions during handshakes; see
 * tls_context.h. Made by asgi/tls_object.c, used by net/tls.c.
 *
 * There is one SSL_CTX for each set of names. All of them get the same rules from make_ctx(), so
 * that changing over to another one (SNI) changes the certificate and nothing else.
 *
 * Clients' certificates and session tickets exclude each other here: a ticket holds the client's
 * certificate but not its chain, and would outlive a change of the CA certificates.
 */
#include "net/tls_context.h"

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SIZE 256 /* of a DNS name, its NUL included */

/* Forward secrecy and authenticated encryption only (what RFC 9325 asks of TLS 1.2). */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
/* The first is for OpenSSL 3.5 and later. No finite-field groups: they cost the server far more
 * than the client. */
static const char *const groups[] = {"X25519MLKEM768:X25519:P-256:P-384:P-521",
                                     "X25519:P-256:P-384:P-521"};
/* HTTP/2 first; a context without it begins behind that. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1\x08http/1.0";
#define H2_SIZE 3
static const unsigned char session_context[] = "asgiserver";

typedef struct {
    SSL_CTX *ctx;      /* owned reference; certificates for the same names share it */
    X509 *certificate; /* owned reference */
    char *pem;         /* owned: its text */
} site_t;

typedef struct {
    char *name; /* owned, lower case; may begin with "*." */
    size_t site;
} name_t;

struct asgi_tls_context {
    atomic_int references;
    BIO_METHOD *bio; /* owned */
    asgi_tls_tickets_t tickets;
    asgi_tls_verify_t verify;
    bool http2;
    site_t *sites; /* owned array, in the order of the settings */
    size_t site_count;
    name_t *names; /* owned array, sorted */
    size_t name_count, name_room;
};

/* What the password callback is told and tells. */
typedef struct {
    const char *text; /* or NULL */
    bool asked;
} password_t;

/* ---- during a handshake ---- */

static const name_t *
look_up(const asgi_tls_context_t *context, const char *name)
{
    size_t from = 0, to = context->name_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(name, context->names[middle].name);
        if (order == 0)
            return &context->names[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
    const asgi_tls_context_t *context = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), *dot;
    char name[NAME_MAX_SIZE];
    const name_t *found;
    size_t size = 0;

    if (asked == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (; asked[size] != '\0' && size < sizeof name - 1; size++)
        name[size] = (char)tolower((unsigned char)asked[size]);
    name[size] = '\0';
    found = look_up(context, name);
    if (found == NULL && (dot = strchr(name, '.')) != NULL && dot > name) {
        size_t cut = (size_t)(dot - name) - 1;
        name[cut] = '*';
        found = look_up(context, name + cut);
    }
    if (found == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_SSL_CTX(ssl, context->sites[found->site].ctx) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* A client that speaks only other protocols is refused (RFC 7301 3.2): it may have been lured
 * here from one of them. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
        unsigned in_size, void *arg)
{
    const asgi_tls_context_t *context = arg;
    size_t skip = context->http2 ? 0 : H2_SIZE;

    return SSL_select_next_proto((unsigned char **)out, out_size, protocols + skip,
                                 (unsigned)(sizeof protocols - 1 - skip), in, in_size)
                   == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
          EVP_MAC_CTX *mac, int seal)
{
    asgi_tls_context_t *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    return asgi_tls_tickets_key(&context->tickets, asgi_tls_tickets_now(), name, iv, cipher, mac,
                                seal);
}

/* ---- problems ---- */

/* What OpenSSL found wrong first, and nothing of it is left behind. */
static const char *
first_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return reason != NULL ? reason : "unknown error";
}

static void
tell(char *problem, const char *what, const char *which, const char *why)
{
    snprintf(problem, ASGI_TLS_PROBLEM_SIZE, "Cannot use %s %s: %s.", what, which, why);
}

/* Whether a file can be read; otherwise says why not. */
static bool
readable(const char *path, bool folder_will_do, const char *what, char *problem)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code = errno;

    if (fd >= 0) {
        code = fstat(fd, &about) < 0                        ? errno
               : S_ISDIR(about.st_mode) && !folder_will_do  ? EISDIR
               : !S_ISREG(about.st_mode) && !folder_will_do ? EINVAL
                                                            : 0;
        close(fd);
    }
    if (code != 0)
        tell(problem, what, path, strerror(code));
    return code == 0;
}

/* ---- keys and certificates ---- */

static int
on_password(char *out, int room, int writing, void *arg)
{
    password_t *password = arg;
    size_t size = password->text != NULL ? strlen(password->text) : 0;

    password->asked = true;
    if (password->text == NULL || size > (size_t)room)
        return -1;
    memcpy(out, password->text, size);
    return (int)size;
}

static bool
load_key(SSL_CTX *ctx, const asgi_tls_pair_t *pair, const char *text, char *problem)
{
    const char *path = pair->key != NULL ? pair->key : pair->certificate, *why;
    password_t password = {text, false};
    unsigned long code;
    bool done;

    if (!readable(path, false, "TLS key", problem))
        return false;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &password);
    done = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (done)
        return true;
    code = ERR_peek_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509
        && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH
            || ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH)) {
        ERR_clear_error();
        snprintf(problem, ASGI_TLS_PROBLEM_SIZE, "The TLS key %s does not belong to %s.", path,
                 pair->certificate);
        return false;
    }
    why = first_reason();
    if (password.asked)
        why = text == NULL ? "it is encrypted, and --ssl-keyfile-password is not given"
                           : "wrong --ssl-keyfile-password";
    else if (ERR_GET_LIB(code) == ERR_LIB_PEM || ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER)
        why = pair->key != NULL
                  ? "there is no PEM private key in it"
                  : "there is no PEM private key in it, and no --ssl-keyfile is given";
    tell(problem, "TLS key", path, why);
    return false;
}

static bool
load_certificate(SSL_CTX *ctx, const asgi_tls_pair_t *pair, char *problem)
{
    password_t none = {NULL, false};
    unsigned long code;
    const char *why;
    bool done;

    if (!readable(pair->certificate, false, "TLS certificate", problem))
        return false;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &none);
    done = SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (done)
        return true;
    code = ERR_peek_error();
    why = first_reason();
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
        why = "there is no PEM certificate in it";
    tell(problem, "TLS certificate", pair->certificate, why);
    return false;
}

int
asgi_tls_pem(const X509 *certificate, asgi_buf_t *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long size;
    int rc = ASGI_ERR_NOMEM;

    if (bio != NULL && PEM_write_bio_X509(bio, (X509 *)certificate) == 1
        && (size = BIO_get_mem_data(bio, &data)) > 0)
        rc = asgi_buf_append(out, data, (size_t)size);
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

/* ---- names ---- */

static bool
add_name(asgi_tls_context_t *context, const char *data, size_t size, size_t site)
{
    char *name;

    /* What SNI can ask for: ASCII without NULs. */
    if (size == 0 || size >= NAME_MAX_SIZE || memchr(data, '\0', size) != NULL)
        return true;
    if (context->name_count == context->name_room) {
        size_t room = context->name_room != 0 ? context->name_room * 2 : 8;
        name_t *names = realloc(context->names, room * sizeof *names);
        if (names == NULL)
            return false;
        context->names = names;
        context->name_room = room;
    }
    name = malloc(size + 1);
    if (name == NULL)
        return false;
    for (size_t i = 0; i < size; i++)
        name[i] = (char)tolower((unsigned char)data[i]);
    name[size] = '\0';
    context->names[context->name_count++] = (name_t){name, site};
    return true;
}

/* Its subjectAltName, or the common name where it has none. */
static bool
add_names(asgi_tls_context_t *context, size_t site)
{
    X509 *certificate = context->sites[site].certificate;
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char common[NAME_MAX_SIZE];
    bool done = true;
    int size;

    for (int i = 0; done && i < sk_GENERAL_NAME_num(alternatives); i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
        if (name->type == GEN_DNS)
            done = add_name(context, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                            (size_t)ASN1_STRING_length(name->d.dNSName), site);
    }
    if (alternatives == NULL) {
        size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common,
                                         sizeof common);
        if (size > 0)
            done = add_name(context, common, strlen(common), site);
    }
    GENERAL_NAMES_free(alternatives);
    ERR_clear_error();
    return done;
}

static int
compare_names(const void *a, const void *b)
{
    const name_t *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : (left->site > right->site) - (left->site < right->site);
}

/* Of several certificates with a name the first given has it. */
static void
sort_names(asgi_tls_context_t *context)
{
    size_t kept = 0;

    if (context->name_count == 0)
        return;
    qsort(context->names, context->name_count, sizeof *context->names, compare_names);
    for (size_t i = 1; i < context->name_count; i++) {
        if (strcmp(context->names[i].name, context->names[kept].name) == 0)
            free(context->names[i].name);
        else
            context->names[++kept] = context->names[i];
    }
    context->name_count = kept + 1;
}

/* Whether two certificates are for exactly the same names. */
static bool
same_names(const X509 *a, const X509 *b)
{
    int i = X509_get_ext_by_NID(a, NID_subject_alt_name, -1);
    int j = X509_get_ext_by_NID(b, NID_subject_alt_name, -1);

    if (i < 0 || j < 0)
        return i < 0 && j < 0
               && X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(a, i)),
                                 X509_EXTENSION_get_data(X509_get_ext(b, j)))
           == 0;
}

/* ---- making one ---- */

static bool
ask_for_certificates(SSL_CTX *ctx, const asgi_tls_settings_t *settings, char *problem)
{
    static const char what[] = "the CA certificates of";
    const char *path = settings->ca_certs;
    STACK_OF(X509_NAME) *names = NULL;
    struct stat about;
    bool folder;

    if (path == NULL) {
        snprintf(problem, ASGI_TLS_PROBLEM_SIZE,
                 "--ssl-cert-reqs asks for client certificates, and --ssl-ca-certs is not given.");
        return false;
    }
    if (!readable(path, true, what, problem))
        return false;
    folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    if (SSL_CTX_load_verify_locations(ctx, folder ? NULL : path, folder ? path : NULL) != 1
        || (!folder && (names = SSL_load_client_CA_file(path)) == NULL)) {
        unsigned long code = ERR_peek_error();
        const char *why = first_reason();
        tell(problem, what, path,
             ERR_GET_LIB(code) == ERR_LIB_PEM || ERR_GET_LIB(code) == ERR_LIB_X509
                 ? "there is no PEM certificate in it"
                 : why);
        return false;
    }
    if (names != NULL)
        SSL_CTX_set_client_CA_list(ctx, names); /* steals it */
    SSL_CTX_set_verify(ctx,
                       settings->verify == ASGI_TLS_VERIFY_REQUIRED
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    return true;
}

/* A new SSL_CTX with all rules and no certificate. Returns: owned, or NULL with a problem. */
static SSL_CTX *
make_ctx(asgi_tls_context_t *context, const asgi_tls_settings_t *settings, char *problem)
{
    const char *ciphers = settings->ciphers != NULL ? settings->ciphers : default_ciphers;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, settings->least) != 1
        || SSL_CTX_set_max_proto_version(ctx, settings->most) != 1
        || (SSL_CTX_set1_groups_list(ctx, groups[0]) != 1
            && SSL_CTX_set1_groups_list(ctx, groups[1]) != 1)
        || SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) != 1
        || SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1) {
        snprintf(problem, ASGI_TLS_PROBLEM_SIZE, "Cannot set up TLS: %s.", first_reason());
        SSL_CTX_free(ctx);
        return NULL;
    }
    ERR_clear_error(); /* of the first list of groups */
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        tell(problem, "--ssl-ciphers", ciphers, first_reason());
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                                 | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* 34 KiB of buffers are not kept for an idle connection. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* clients keep their tickets */
    SSL_CTX_set_app_data(ctx, context);
    SSL_CTX_set_default_passwd_cb(ctx, on_password);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, context);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, context);
    if (settings->verify != ASGI_TLS_VERIFY_NONE && !ask_for_certificates(ctx, settings, problem)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* An earlier site that this certificate can stand beside. Returns: owned reference, or NULL. */
static SSL_CTX *
join(asgi_tls_context_t *context, SSL_CTX *made)
{
    X509 *certificate = SSL_CTX_get0_certificate(made);

    for (size_t i = 0; i < context->site_count; i++) {
        site_t *site = &context->sites[i];
        bool kind_taken = false;
        if (!same_names(site->certificate, certificate))
            continue;
        for (size_t j = 0; j < context->site_count; j++)
            kind_taken =
                kind_taken
                || (context->sites[j].ctx == site->ctx
                    && EVP_PKEY_get_base_id(X509_get0_pubkey(context->sites[j].certificate))
                           == EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)));
        if (!kind_taken && SSL_CTX_up_ref(site->ctx) == 1)
            return site->ctx;
    }
    return NULL;
}

static bool
add_site(asgi_tls_context_t *context, const asgi_tls_settings_t *settings,
         const asgi_tls_pair_t *pair, char *problem)
{
    SSL_CTX *ctx = make_ctx(context, settings, problem), *other;
    site_t *site = &context->sites[context->site_count];
    asgi_buf_t text = {0};

    if (ctx == NULL || !load_certificate(ctx, pair, problem)
        || !load_key(ctx, pair, settings->password, problem)) {
        SSL_CTX_free(ctx);
        return false;
    }
    other = join(context, ctx);
    if (other != NULL) {
        SSL_CTX_free(ctx);
        ctx = other;
        if (!load_certificate(ctx, pair, problem)
            || !load_key(ctx, pair, settings->password, problem)) {
            SSL_CTX_free(ctx);
            return false;
        }
    }
    site->ctx = ctx;
    site->certificate = SSL_CTX_get0_certificate(ctx);
    X509_up_ref(site->certificate);
    context->site_count++;
    if (asgi_tls_pem(site->certificate, &text) < 0 || asgi_buf_append(&text, "", 1) < 0
        || !add_names(context, context->site_count - 1)) {
        asgi_buf_dispose(&text);
        snprintf(problem, ASGI_TLS_PROBLEM_SIZE, "Cannot set up TLS: out of memory.");
        return false;
    }
    site->pem = text.data;
    return true;
}

asgi_tls_context_t *
asgi_tls_context_new(const asgi_tls_settings_t *settings, char *problem)
{
    asgi_tls_context_t *context = calloc(1, sizeof *context);

    snprintf(problem, ASGI_TLS_PROBLEM_SIZE, "Cannot set up TLS: out of memory.");
    if (context == NULL)
        return NULL;
    ERR_clear_error();
    atomic_init(&context->references, 1);
    asgi_tls_tickets_init(&context->tickets, settings->seed, settings->seeded);
    context->verify = settings->verify;
    context->http2 = settings->http2;
    context->bio = asgi_tls_bio_new();
    context->sites = calloc(settings->pair_count, sizeof *context->sites);
    if (context->bio == NULL || context->sites == NULL) {
        asgi_tls_context_unref(context);
        return NULL;
    }
    for (size_t i = 0; i < settings->pair_count; i++) {
        if (!add_site(context, settings, &settings->pairs[i], problem)) {
            asgi_tls_context_unref(context);
            return NULL;
        }
    }
    sort_names(context);
    return context;
}

/* ---- using it ---- */

asgi_tls_context_t *
asgi_tls_context_ref(asgi_tls_context_t *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void
asgi_tls_context_unref(asgi_tls_context_t *context)
{
    if (context == NULL
        || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < context->site_count; i++) {
        SSL_CTX_free(context->sites[i].ctx);
        X509_free(context->sites[i].certificate);
        free(context->sites[i].pem);
    }
    for (size_t i = 0; i < context->name_count; i++)
        free(context->names[i].name);
    free(context->sites);
    free(context->names);
    BIO_meth_free(context->bio);
    asgi_tls_tickets_dispose(&context->tickets);
    free(context);
}

SSL *
asgi_tls_context_session(asgi_tls_context_t *context)
{
    SSL *ssl = SSL_new(context->sites[0].ctx);

    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}

const BIO_METHOD *
asgi_tls_context_bio(const asgi_tls_context_t *context)
{
    return context->bio;
}

asgi_tls_verify_t
asgi_tls_context_verify(const asgi_tls_context_t *context)
{
    return context->verify;
}

const X509 *
asgi_tls_context_certificate(const asgi_tls_context_t *context, size_t index)
{
    return index < context->site_count ? context->sites[index].certificate : NULL;
}

const char *
asgi_tls_context_pem(const asgi_tls_context_t *context, const X509 *certificate)
{
    for (size_t i = 0; i < context->site_count; i++) {
        if (context->sites[i].certificate == certificate)
            return context->sites[i].pem;
    }
    return NULL;
}
