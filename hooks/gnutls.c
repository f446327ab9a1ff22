/* SPDX-License-Identifier: Apache-2.0 */
/* What GnuTLS reads and writes inside TLS. Its socket is the one that carries the records during
 * its calls, whoever's functions move them. Corked data and ranges are reported as what they are
 * made of, or not edited. */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "foreign.h"
#include "secure.h"

typedef struct gnutls_session_int *gnutls_session_t; /* gnutls.h, which is not needed to build us */
typedef struct mbuffer_st *gnutls_packet_t;
typedef struct {
    unsigned char *data;
    unsigned int size;
} gnutls_datum_t;

/* What is called of it. gnutls_record_recv is what it is known by. */
#define FUNCTIONS(X)                                                                            \
    X(ssize_t, gnutls_record_recv, (gnutls_session_t, void *, size_t))                          \
    X(ssize_t, gnutls_record_recv_seq, (gnutls_session_t, void *, size_t, unsigned char *))     \
    X(ssize_t, gnutls_record_recv_packet, (gnutls_session_t, gnutls_packet_t *))                \
    X(ssize_t, gnutls_record_send, (gnutls_session_t, const void *, size_t))                    \
    X(ssize_t, gnutls_record_send2, (gnutls_session_t, const void *, size_t, size_t, unsigned)) \
    X(ssize_t, gnutls_record_send_file, (gnutls_session_t, int, off_t *, size_t))               \
    X(int, gnutls_handshake, (gnutls_session_t))                                                \
    X(void, gnutls_deinit, (gnutls_session_t))                                                  \
    X(void, gnutls_packet_get, (const gnutls_packet_t, gnutls_datum_t *, unsigned char *))      \
    X(int, gnutls_error_is_fatal, (int))                                                        \
    X(int, gnutls_protocol_get_version, (gnutls_session_t))                                     \
    X(const char *, gnutls_protocol_get_name, (int))                                            \
    X(int, gnutls_session_is_resumed, (gnutls_session_t))                                       \
    X(const char *, gnutls_ciphersuite_get, (gnutls_session_t))                                 \
    X(int, gnutls_alpn_get_selected_protocol, (gnutls_session_t, gnutls_datum_t *))

FOREIGN_LIBRARY(gnutls, FUNCTIONS);

/* gnutls.h */
enum {
    E_AGAIN = -28,
    E_INTERRUPTED = -52,
    E_PULL_ERROR = -54,
    E_PUSH_ERROR = -53,
    E_PREMATURE_TERMINATION = -110,
    E_FATAL_ALERT_RECEIVED = -12,
    E_UNEXPECTED_PACKET_LENGTH = -9,
    E_CERTIFICATE_ERROR = -43,
    E_CERTIFICATE_VERIFICATION_ERROR = -348,
    E_NO_CIPHER_SUITES = -87,
    E_UNSUPPORTED_VERSION_PACKET = -8
};

/* A handshake is over when there is a cipher suite to name. Before that, the socket will be seen.
 */
static void tell_facts(
    struct secure_call *call, const struct gnutls *gnutls, gnutls_session_t session)
{
    gnutls_datum_t alpn = {0};
    if (!secure_wants_facts(call))
        return;
    const char *cipher = "";
    if ((void *)gnutls->gnutls_ciphersuite_get != (void *)hooks_missing) /* it is of 3.7.4 */
        cipher = gnutls->gnutls_ciphersuite_get(session);
    if (cipher == NULL)
        return;
    const char *version = gnutls->gnutls_protocol_get_name(
        gnutls->gnutls_protocol_get_version(session)); /* "TLS1.3" */
    if (gnutls->gnutls_alpn_get_selected_protocol(session, &alpn) != 0)
        alpn.size = 0;
    if (version == NULL)
        version = "";
    secure_agreed(call, &(struct secure_agreement){
                            .version = strncmp(version, "TLS", 3) == 0 ? version + 3 : version,
                            .cipher = cipher,
                            .alpn = (const char *)alpn.data,
                            .alpn_length = alpn.size,
                            .is_resumed = gnutls->gnutls_session_is_resumed(session) != 0,
                        });
}

static bool begin(struct secure_call *call, gnutls_session_t session, bool is_open)
{
    if (!secure_begin(call, session))
        return false;
    if (!secure_is_linked(call))
        secure_link(call, -1, false, is_open, false);
    return true;
}

/* Of DTLS nothing is told: each write is a packet of its own, and a refused one may be given up. */
static bool begin_record(
    struct secure_call *call, const struct gnutls *gnutls, gnutls_session_t session)
{
    enum { DTLS_FIRST = 200, DTLS_LAST = 209 };
    int version = gnutls->gnutls_protocol_get_version(session);
    return (version < DTLS_FIRST || version > DTLS_LAST) && begin(call, session, true);
}

static void stopped(struct secure_call *call, const struct gnutls *gnutls, ssize_t result)
{
    int saved_errno = errno;
    bool is_fatal = result < 0 && gnutls->gnutls_error_is_fatal((int)result) != 0;
    errno = saved_errno;
    if (result == 0 || result == E_PREMATURE_TERMINATION)
        secure_stopped(call, SECURE_CLOSED);
    else if (is_fatal)
        secure_stopped(call, SECURE_FAILED);
}

static ssize_t received(struct secure_call *call, const struct gnutls *gnutls,
    gnutls_session_t session, void *buffer, size_t size, ssize_t result)
{
    if (result > 0) {
        tell_facts(call, gnutls, session);
        result = (ssize_t)secure_received(call, buffer, (size_t)result, size);
    } else if (size > 0)
        stopped(call, gnutls, result);
    secure_end(call);
    return result;
}

HOOK_FOREIGN(ssize_t, gnutls_record_recv, (gnutls_session_t session, void *buffer, size_t size))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_recv(session, buffer, size);
    ssize_t result = gnutls->gnutls_record_recv(session, buffer, size);
    return received(&call, gnutls, session, buffer, size, result);
}

HOOK_FOREIGN(ssize_t, gnutls_record_recv_seq,
    (gnutls_session_t session, void *buffer, size_t size, unsigned char *sequence))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_recv_seq(session, buffer, size, sequence);
    ssize_t result = gnutls->gnutls_record_recv_seq(session, buffer, size, sequence);
    return received(&call, gnutls, session, buffer, size, result);
}

HOOK_FOREIGN(
    ssize_t, gnutls_record_recv_packet, (gnutls_session_t session, gnutls_packet_t *packet))
{
    FOREIGN(gnutls);
    struct secure_call call;
    gnutls_datum_t data = {0};
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_recv_packet(session, packet);
    ssize_t result = gnutls->gnutls_record_recv_packet(session, packet);
    if (result > 0)
        gnutls->gnutls_packet_get(*packet, &data, NULL);
    size_t room = result > 0 ? data.size : 1; /* none for lines of ours */
    received(&call, gnutls, session, data.data, room, result > 0 ? (ssize_t)data.size : result);
    return result;
}

struct way {
    struct secure_way base;
    const struct gnutls *gnutls;
    gnutls_session_t session;
    struct secure_call *call;
    ssize_t (*write)(struct way *way, const void *bytes, size_t length);
    size_t padding;
    unsigned flags;
};

static ssize_t write_plainly(struct way *way, const void *bytes, size_t length)
{
    return way->gnutls->gnutls_record_send(way->session, bytes, length);
}

static ssize_t write_padded(struct way *way, const void *bytes, size_t length)
{
    return way->gnutls->gnutls_record_send2(way->session, bytes, length, way->padding, way->flags);
}

static ssize_t write_some(struct secure_way *base, const void *bytes, size_t length)
{
    struct way *way = (struct way *)base;
    ssize_t taken = way->write(way, bytes, length);
    if (taken > 0)
        tell_facts(way->call, way->gnutls, way->session);
    else
        stopped(way->call, way->gnutls, taken == 0 ? E_AGAIN : taken);
    return taken;
}

HOOK_FOREIGN(
    ssize_t, gnutls_record_send, (gnutls_session_t session, const void *buffer, size_t size))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_send(session, buffer, size);
    struct way way = {{write_some}, gnutls, session, &call, write_plainly};
    ssize_t result = secure_write(&call, buffer, size, &way.base);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(ssize_t, gnutls_record_send2,
    (gnutls_session_t session, const void *buffer, size_t size, size_t padding, unsigned flags))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_send2(session, buffer, size, padding, flags);
    struct way way = {{write_some}, gnutls, session, &call, write_padded, padding, flags};
    ssize_t result = secure_write(&call, buffer, size, &way.base);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(ssize_t, gnutls_record_send_file,
    (gnutls_session_t session, int fd, off_t *offset, size_t size))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin_record(&call, gnutls, session))
        return gnutls->gnutls_record_send_file(session, fd, offset, size);
    ssize_t result = gnutls->gnutls_record_send_file(session, fd, offset, size);
    if (result > 0)
        secure_sent_unseen(&call, (size_t)result);
    secure_end(&call);
    return result;
}

static const char *failure_of(const struct gnutls *gnutls, int result)
{
    if (result >= 0 || !gnutls->gnutls_error_is_fatal(result))
        return NULL;
    switch (result) {
    case E_PULL_ERROR:
    case E_PUSH_ERROR:
    case E_PREMATURE_TERMINATION:
        return "connection_closed";
    case E_CERTIFICATE_ERROR:
    case E_CERTIFICATE_VERIFICATION_ERROR:
        return "certificate_verify_failed";
    case E_FATAL_ALERT_RECEIVED:
        return "alert";
    case E_NO_CIPHER_SUITES:
        return "no_shared_cipher";
    case E_UNEXPECTED_PACKET_LENGTH:
    case E_UNSUPPORTED_VERSION_PACKET:
        return "not_tls";
    }
    return "tls_handshake_failed";
}

HOOK_FOREIGN(int, gnutls_handshake, (gnutls_session_t session))
{
    FOREIGN(gnutls);
    struct secure_call call;
    if (!begin(&call, session, false))
        return gnutls->gnutls_handshake(session);
    int result = gnutls->gnutls_handshake(session);
    int saved_errno = errno;
    const char *error = failure_of(gnutls, result);
    errno = saved_errno;
    secure_handshake(&call, false, error);
    if (result == 0)
        tell_facts(&call, gnutls, session);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(void, gnutls_deinit, (gnutls_session_t session))
{
    FOREIGN(gnutls);
    secure_drop(session);
    gnutls->gnutls_deinit(session);
}

FOREIGN_VERSION(gnutls_record_recv, "GNUTLS_3_4");
FOREIGN_VERSION(gnutls_record_recv_seq, "GNUTLS_3_4");
FOREIGN_VERSION(gnutls_record_recv_packet, "GNUTLS_3_4");
FOREIGN_VERSION(gnutls_record_send, "GNUTLS_3_4");
FOREIGN_VERSION(gnutls_record_send2, "GNUTLS_3_6_3");
FOREIGN_VERSION(gnutls_record_send_file, "GNUTLS_3_7_4");
FOREIGN_VERSION(gnutls_handshake, "GNUTLS_3_4");
FOREIGN_VERSION(gnutls_deinit, "GNUTLS_3_4");
