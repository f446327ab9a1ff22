/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenSSL reads and writes inside TLS: libssl 1.1 and 3, whoever's copy. Its BIOs are left
 * alone: reading a file of certificates takes hundreds of their calls. */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "foreign.h"
#include "secure.h"

typedef struct ssl_st SSL; /* as ssl.h has it, which is not needed to build us */
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;

/* What is called of it. SSL_read is what a libssl is known by. */
#define FUNCTIONS(X)                                                      \
    X(int, SSL_read, (SSL *, void *, int))                                \
    X(int, SSL_read_ex, (SSL *, void *, size_t, size_t *))                \
    X(int, SSL_read_early_data, (SSL *, void *, size_t, size_t *))        \
    X(int, SSL_write, (SSL *, const void *, int))                         \
    X(int, SSL_write_ex, (SSL *, const void *, size_t, size_t *))         \
    X(int, SSL_write_early_data, (SSL *, const void *, size_t, size_t *)) \
    X(ssize_t, SSL_sendfile, (SSL *, int, off_t, size_t, int))            \
    X(int, SSL_do_handshake, (SSL *))                                     \
    X(int, SSL_connect, (SSL *))                                          \
    X(int, SSL_accept, (SSL *))                                           \
    X(void, SSL_free, (SSL *))                                            \
    X(int, SSL_up_ref, (SSL *))                                           \
    X(int, SSL_clear, (SSL *))                                            \
    X(int, SSL_get_error, (const SSL *, int))                             \
    X(BIO *, SSL_get_rbio, (const SSL *))                                 \
    X(int, SSL_get_rfd, (const SSL *))                                    \
    X(int, SSL_is_server, (const SSL *))                                  \
    X(int, SSL_is_init_finished, (const SSL *))                           \
    X(const char *, SSL_get_version, (const SSL *))                       \
    X(int, SSL_session_reused, (const SSL *))                             \
    X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *))          \
    X(const char *, SSL_CIPHER_standard_name, (const SSL_CIPHER *))       \
    X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned *))

FOREIGN_LIBRARY(openssl, FUNCTIONS);

/* include/openssl/ssl.h */
enum { SSL_ERROR_SSL = 1, SSL_ERROR_SYSCALL = 5, SSL_ERROR_ZERO_RETURN = 6 };

#define LIBCRYPTO_FUNCTIONS(X)               \
    X(unsigned long, ERR_peek_error, (void)) \
    X(const char *, BIO_method_name, (const BIO *))
FOREIGN_LIBRARY(libcrypto, LIBCRYPTO_FUNCTIONS);

/* What libssl calls of libcrypto, of which it knows its own. */
static const struct libcrypto *libcrypto_of(
    const struct openssl *openssl, void *scratch[FOREIGN_FUNCTIONS_MAX])
{
    return (const struct libcrypto *)foreign_functions(
        &libcrypto_library, (void *)openssl->SSL_read, scratch);
}

/* Node writes before the handshake, and moves the bytes itself after the call. Others are known to
 * have no socket when the handshake is over. The type of a BIO says nothing: that of curl, which
 * leads to a socket, is of the same. */
static bool is_memory(const struct openssl *openssl, const BIO *bio)
{
    void *scratch[FOREIGN_FUNCTIONS_MAX];
    const struct libcrypto *libcrypto = libcrypto_of(openssl, scratch);
    if (bio == NULL || (void *)libcrypto->BIO_method_name == (void *)hooks_missing)
        return false;
    const char *name = libcrypto->BIO_method_name(bio);
    return name != NULL && strcmp(name, "node.js SSL buffer") == 0;
}

static bool begin(struct secure_call *call, const struct openssl *openssl, SSL *ssl)
{
    if (!secure_begin(call, ssl))
        return false;
    if (!secure_is_linked(call)) {
        const BIO *bio = openssl->SSL_get_rbio(ssl);
        int fd = bio == NULL ? -1 : openssl->SSL_get_rfd(ssl);
        secure_link(call, fd, openssl->SSL_is_server(ssl) != 0,
            openssl->SSL_is_init_finished(ssl) != 0, fd < 0 && is_memory(openssl, bio));
    }
    return true;
}

/* Before 1.1.1 there are no such names. */
static const char *name_of(const struct openssl *openssl, const SSL_CIPHER *cipher)
{
    return (void *)openssl->SSL_CIPHER_standard_name == (void *)hooks_missing
               ? ""
               : openssl->SSL_CIPHER_standard_name(cipher);
}

static void tell_facts(struct secure_call *call, const struct openssl *openssl, SSL *ssl)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_length = 0;
    const SSL_CIPHER *cipher = NULL;
    if (!secure_wants_facts(call) || !openssl->SSL_is_init_finished(ssl) ||
        (cipher = openssl->SSL_get_current_cipher(ssl)) == NULL)
        return;
    const char *version = openssl->SSL_get_version(ssl); /* "TLSv1.3", "TLSv1" */
    openssl->SSL_get0_alpn_selected(ssl, &alpn, &alpn_length);
    secure_agreed(call, &(struct secure_agreement){
                            .version = strncmp(version, "TLSv", 4) == 0 ? version + 4 : version,
                            .cipher = name_of(openssl, cipher),
                            .alpn = (const char *)alpn,
                            .alpn_length = alpn_length,
                            .is_resumed = openssl->SSL_session_reused(ssl) != 0,
                        });
}

/* The reasons of errors (include/openssl/sslerr.h) that say something; alerts of the peer are 1000
 * and their number (RFC 8446, 6). */
static const struct {
    unsigned reason;
    char name[32];
} reasons[] = {
    {134, "certificate_verify_failed"},
    {156, "plaintext_http"},
    {155, "plaintext_http"},
    {193, "no_shared_cipher"},
    {235, "no_application_protocol"},
    {258, "unsupported_protocol"},
    {267, "not_tls"},
    {294, "connection_closed"},
    {1040, "alert_handshake_failure"},
    {1042, "alert_bad_certificate"},
    {1045, "alert_certificate_expired"},
    {1046, "alert_certificate_unknown"},
    {1048, "alert_unknown_ca"},
    {1070, "alert_protocol_version"},
    {1112, "alert_unrecognized_name"},
    {1116, "alert_certificate_required"},
    {1120, "alert_no_application_protocol"},
};

/* It changes nothing. */
static const char *reason_of(const struct openssl *openssl)
{
    void *scratch[FOREIGN_FUNCTIONS_MAX];
    unsigned reason = libcrypto_of(openssl, scratch)->ERR_peek_error() & 0xfff;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].reason == reason)
            return reasons[i].name;
    return "tls_handshake_failed";
}

static const char *failure_of(const struct openssl *openssl, SSL *ssl, int result)
{
    int saved_errno = errno;
    int error = result > 0 ? 0 : openssl->SSL_get_error(ssl, result);
    errno = saved_errno;
    if (error == SSL_ERROR_SSL)
        return reason_of(openssl);
    return error == SSL_ERROR_SYSCALL ? "connection_closed" : NULL;
}

/* A handshake may be part of a call that is for bytes, or for none (s_client writes nothing). True:
 * it is not over. */
static bool is_shaking_hands(
    struct secure_call *call, const struct openssl *openssl, SSL *ssl, int result)
{
    tell_facts(call, openssl, ssl);
    if (!secure_wants_facts(call) || openssl->SSL_is_init_finished(ssl))
        return false;
    secure_handshake(call, openssl->SSL_is_server(ssl) != 0, failure_of(openssl, ssl, result));
    return true;
}

/* The library's answer was no bytes: `result` <= 0 is what SSL_get_error asks for. */
static void stopped(struct secure_call *call, const struct openssl *openssl, SSL *ssl, int result)
{
    if (is_shaking_hands(call, openssl, ssl, result))
        return;
    int saved_errno = errno;
    int error = openssl->SSL_get_error(ssl, result);
    errno = saved_errno;
    if (error == SSL_ERROR_ZERO_RETURN)
        secure_stopped(call, SECURE_CLOSED);
    else if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        secure_stopped(call, SECURE_FAILED);
}

static size_t received(struct secure_call *call, const struct openssl *openssl, SSL *ssl,
    void *buffer, size_t length, size_t size)
{
    tell_facts(call, openssl, ssl);
    return secure_received(call, buffer, length, size);
}

HOOK_FOREIGN(int, SSL_read, (SSL * ssl, void *buffer, int size))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_read(ssl, buffer, size);
    int result = openssl->SSL_read(ssl, buffer, size);
    if (result > 0)
        result = (int)received(&call, openssl, ssl, buffer, (size_t)result, (size_t)size);
    else
        stopped(&call, openssl, ssl, result);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(int, SSL_read_ex, (SSL * ssl, void *buffer, size_t size, size_t *length))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_read_ex(ssl, buffer, size, length);
    int result = openssl->SSL_read_ex(ssl, buffer, size, length);
    if (result > 0)
        *length = received(&call, openssl, ssl, buffer, *length, size);
    else
        stopped(&call, openssl, ssl, result);
    secure_end(&call);
    return result;
}

/* Its answer says whether more early data may come; what it read is read in any case. */
HOOK_FOREIGN(int, SSL_read_early_data, (SSL * ssl, void *buffer, size_t size, size_t *length))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_read_early_data(ssl, buffer, size, length);
    int result = openssl->SSL_read_early_data(ssl, buffer, size, length);
    if (result > 0 && *length > 0)
        *length = received(&call, openssl, ssl, buffer, *length, size);
    secure_end(&call);
    return result;
}

/* The way of a write: the function that the host called. */
struct way {
    struct secure_way base;
    const struct openssl *openssl;
    SSL *ssl;
    struct secure_call *call;
    int answer;
};

static void wrote(struct way *way)
{
    if (way->answer > 0)
        tell_facts(way->call, way->openssl, way->ssl);
    else
        stopped(way->call, way->openssl, way->ssl, way->answer);
}

static ssize_t write_some(struct secure_way *base, const void *bytes, size_t length)
{
    struct way *way = (struct way *)base;
    way->answer = way->openssl->SSL_write(way->ssl, bytes, (int)length);
    wrote(way);
    return way->answer;
}

static ssize_t write_some_ex(struct secure_way *base, const void *bytes, size_t length)
{
    struct way *way = (struct way *)base;
    size_t taken = 0;
    way->answer = way->openssl->SSL_write_ex(way->ssl, bytes, length, &taken);
    wrote(way);
    return way->answer > 0 ? (ssize_t)taken : 0;
}

HOOK_FOREIGN(int, SSL_write, (SSL * ssl, const void *buffer, int size))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_write(ssl, buffer, size);
    struct way way = {{write_some}, openssl, ssl, &call, 0};
    ssize_t result = 0;
    if (size > 0 && buffer != NULL)
        result = secure_write(&call, buffer, (size_t)size, &way.base);
    else
        is_shaking_hands(&call, openssl, ssl, way.answer = openssl->SSL_write(ssl, buffer, size));
    secure_end(&call);
    return result > 0 ? (int)result : way.answer;
}

HOOK_FOREIGN(int, SSL_write_ex, (SSL * ssl, const void *buffer, size_t size, size_t *length))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (size == 0 || buffer == NULL || !begin(&call, openssl, ssl))
        return openssl->SSL_write_ex(ssl, buffer, size, length);
    struct way way = {{write_some_ex}, openssl, ssl, &call, 0};
    ssize_t result = secure_write(&call, buffer, size, &way.base);
    secure_end(&call);
    *length = result > 0 ? (size_t)result : 0;
    return way.answer;
}

HOOK_FOREIGN(
    int, SSL_write_early_data, (SSL * ssl, const void *buffer, size_t size, size_t *length))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_write_early_data(ssl, buffer, size, length);
    int result = openssl->SSL_write_early_data(ssl, buffer, size, length);
    if (result > 0)
        secure_sent(&call, buffer, *length);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(ssize_t, SSL_sendfile, (SSL * ssl, int fd, off_t offset, size_t size, int flags))
{
    FOREIGN(openssl);
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return openssl->SSL_sendfile(ssl, fd, offset, size, flags);
    ssize_t result = openssl->SSL_sendfile(ssl, fd, offset, size, flags);
    if (result > 0)
        secure_sent_unseen(&call, (size_t)result);
    secure_end(&call);
    return result;
}

static int shake_hands(SSL *ssl, const struct openssl *openssl, int (*original)(SSL *))
{
    struct secure_call call;
    if (!begin(&call, openssl, ssl))
        return original(ssl);
    int result = original(ssl);
    secure_handshake(&call, openssl->SSL_is_server(ssl) != 0, failure_of(openssl, ssl, result));
    if (result > 0)
        tell_facts(&call, openssl, ssl);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(int, SSL_do_handshake, (SSL * ssl))
{
    FOREIGN(openssl);
    return shake_hands(ssl, openssl, openssl->SSL_do_handshake);
}

HOOK_FOREIGN(int, SSL_connect, (SSL * ssl))
{
    FOREIGN(openssl);
    return shake_hands(ssl, openssl, openssl->SSL_connect);
}

HOOK_FOREIGN(int, SSL_accept, (SSL * ssl))
{
    FOREIGN(openssl);
    return shake_hands(ssl, openssl, openssl->SSL_accept);
}

HOOK_FOREIGN(int, SSL_up_ref, (SSL * ssl))
{
    FOREIGN(openssl);
    secure_hold(ssl);
    return openssl->SSL_up_ref(ssl);
}

HOOK_FOREIGN(void, SSL_free, (SSL * ssl))
{
    FOREIGN(openssl);
    secure_drop(ssl);
    openssl->SSL_free(ssl);
}

HOOK_FOREIGN(int, SSL_clear, (SSL * ssl))
{
    FOREIGN(openssl);
    secure_forget(ssl);
    return openssl->SSL_clear(ssl);
}

/* 1.1.0, where 1.1.1 added some, and 3. */
FOREIGN_VERSION(SSL_read, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_read, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_read_ex, "OPENSSL_1_1_1");
FOREIGN_VERSION(SSL_read_ex, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_read_early_data, "OPENSSL_1_1_1");
FOREIGN_VERSION(SSL_read_early_data, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_write, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_write, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_write_ex, "OPENSSL_1_1_1");
FOREIGN_VERSION(SSL_write_ex, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_write_early_data, "OPENSSL_1_1_1");
FOREIGN_VERSION(SSL_write_early_data, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_sendfile, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_do_handshake, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_do_handshake, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_connect, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_connect, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_accept, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_accept, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_up_ref, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_up_ref, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_free, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_free, "OPENSSL_3.0.0");
FOREIGN_VERSION(SSL_clear, "OPENSSL_1_1_0");
FOREIGN_VERSION(SSL_clear, "OPENSSL_3.0.0");
