/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NSS reads and writes inside TLS. A session of its is a layer of a descriptor of NSPR's, and
 * PR_Read and its like go through the layer's table of functions: there is no name to hook but that
 * of what makes such a layer. So when it is made (SSL_ImportFD, or accepted by one that was), the
 * layer gets a table of ours: a copy of the library's, but for what carries bytes. Layers are found
 * by their identity, and nobody compares tables.
 *
 * A session is known by what its layer keeps: a layer that is pushed above moves it to another
 * address. One thread may read while another writes; what is under way with the library is the
 * writer's. NSPR's error is asked for only after a call that failed, and so has set it: nothing is
 * allocated for us.
 *
 *   a layer's table is of `tables` or a copy of such a one  <=>  its functions below may be called
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "foreign.h"
#include "process.h"
#include "secure.h"

struct methods;

/* prio.h, sslt.h and ssl.h, which are not needed to build us. */
struct layer {
    const struct methods *methods;
    void *secret;
    struct layer *lower, *higher;
    void (*destroy)(struct layer *layer);
    int identity;
};
struct piece {
    char *base;
    int length;
};
struct methods {
    int file_type;
    int (*close)(struct layer *);
    int32_t (*read)(struct layer *, void *, int32_t);
    int32_t (*write)(struct layer *, const void *, int32_t);
    void *of_files[7];
    int32_t (*writev)(struct layer *, const struct piece *, int32_t, uint32_t);
    void *connect;
    struct layer *(*accept)(struct layer *, void *, uint32_t);
    void *of_sockets[3];
    int32_t (*recv)(struct layer *, void *, int32_t, int, uint32_t);
    int32_t (*send)(struct layer *, const void *, int32_t, int, uint32_t);
    void *others[17];
};
_Static_assert(sizeof(struct methods) == 36 * sizeof(void *), "as in prio.h");

struct channel { /* as much as is needed of an SSLChannelInfo */
    uint32_t length;
    uint16_t version, suite;
    uint32_t skipped[26];
    uint32_t is_resumed;
};
struct suite { /* of an SSLCipherSuiteInfo */
    uint16_t length, suite;
    const char *name;
};

enum {
    LAYERED = 4, /* file_type */
    LAYER_HEAD = -3,
    OPTION_SECURITY = 1,
    E_WOULD_BLOCK = -5998,
    E_PENDING_INTERRUPT = -5993,
    E_IO_TIMEOUT = -5990,
    E_CONNECT_RESET = -5961,
    E_END_OF_FILE = -5938,
    E_SSL = -0x3000 /* SSL_ERROR_BASE */
};

/* What is called of it. SSL_ImportFD is what it is known by. */
#define FUNCTIONS(X)                                                         \
    X(struct layer *, SSL_ImportFD, (struct layer *, struct layer *))        \
    X(int, SSL_ForceHandshake, (struct layer *))                             \
    X(int, SSL_ForceHandshakeWithTimeout, (struct layer *, uint32_t))        \
    X(int, SSL_OptionGet, (struct layer *, int, int *))                      \
    X(int, SSL_GetChannelInfo, (struct layer *, struct channel *, unsigned)) \
    X(int, SSL_GetCipherSuiteInfo, (uint16_t, struct suite *, unsigned))     \
    X(int, SSL_GetNextProto, (struct layer *, int *, unsigned char *, unsigned *, unsigned))
FOREIGN_LIBRARY(nss, FUNCTIONS);

#define NSPR_FUNCTIONS(X)                              \
    X(int, PR_FileDesc2NativeHandle, (struct layer *)) \
    X(int, PR_GetError, (void))
FOREIGN_LIBRARY(nspr, NSPR_FUNCTIONS);

/* One for each copy of the library.
 * | state | who                | may                                      |
 * | EMPTY | who makes it TAKEN | write the rest, then make it READY       |
 * | READY | all                | read                                     | */
enum { EMPTY, TAKEN, READY, TABLES_MAX = 4 };
struct table {
    uint32_t state;
    const struct methods *original;
    struct nss nss;
    struct nspr nspr;
    struct methods methods;
};
static struct table tables[TABLES_MAX];

/* A program may have copied the table that it found. */
static const struct table *table_of(const struct layer *layer)
{
    size_t offset = (uintptr_t)layer->methods - (uintptr_t)tables;
    return &tables[offset < sizeof(tables) ? offset / sizeof(tables[0]) : 0];
}

/* A handshake is over when there is a suite to name. */
static void tell_facts(struct secure_call *call, const struct nss *nss, struct layer *layer)
{
    static const char versions[][4] = {"1", "1.1", "1.2", "1.3"};
    struct channel channel = {0};
    struct suite suite = {0};
    unsigned char alpn[64];
    unsigned alpn_length = 0;
    int state = 0;
    if (!secure_wants_facts(call) ||
        nss->SSL_GetChannelInfo(layer, &channel, sizeof(channel)) != 0 || channel.version == 0 ||
        nss->SSL_GetCipherSuiteInfo(channel.suite, &suite, sizeof(suite)) != 0)
        return;
    if (!FOREIGN_HAS(nss, SSL_GetNextProto) ||
        nss->SSL_GetNextProto(layer, &state, alpn, &alpn_length, sizeof(alpn)) != 0)
        alpn_length = 0;
    unsigned version = channel.version - 0x301u;
    secure_agreed(call, &(struct secure_agreement){
                            .version = version < 4 ? versions[version] : "",
                            .cipher = suite.name,
                            .alpn = (const char *)alpn,
                            .alpn_length = alpn_length,
                            .is_resumed = channel.is_resumed != 0,
                        });
}

/* Where security is switched off, what goes through is what the socket carries, and seen there. */
static bool begin(struct secure_call *call, const struct table *table, struct layer *layer)
{
    if (!secure_begin(call, layer->secret))
        return false;
    if (secure_is_linked(call))
        return true;
    int saved_errno = errno, is_secure = 0;
    if (table->nss.SSL_OptionGet(layer, OPTION_SECURITY, &is_secure) != 0)
        is_secure = 0;
    int fd = is_secure ? table->nspr.PR_FileDesc2NativeHandle(layer) : -1;
    errno = saved_errno;
    if (is_secure)
        secure_link(call, fd, false, !secure_wants_facts(call), false);
    else
        secure_end(call);
    return is_secure;
}

static const char *failure_of(int error)
{
    enum {
        NO_CYPHER_OVERLAP = 2,
        UNSUPPORTED_VERSION = 9,
        BAD_CERT_DOMAIN = 12,
        TOO_LONG = 25,
        UNKNOWN_RECORD = 55
    };
    enum { CERTIFICATE_FIRST = -8182, CERTIFICATE_LAST = -8171, CERTIFICATE_OF_CA = -8156 };
    int number = error - E_SSL;
    if (error == E_CONNECT_RESET || error == E_END_OF_FILE)
        return "connection_closed";
    if ((error >= CERTIFICATE_FIRST && error <= CERTIFICATE_LAST) || error == CERTIFICATE_OF_CA ||
        number == BAD_CERT_DOMAIN)
        return "certificate_verify_failed";
    if ((number >= 16 && number <= 19) || (number >= 58 && number <= 64) ||
        (number >= 91 && number <= 102) || (number >= 104 && number <= 108))
        return "alert"; /* the peer's */
    if (number == NO_CYPHER_OVERLAP)
        return "no_shared_cipher";
    if (number == TOO_LONG || number == UNKNOWN_RECORD || number == UNSUPPORTED_VERSION)
        return "not_tls";
    return "tls_handshake_failed";
}

/* The library's answer was no bytes: 0, the end, or -1. A handshake may be part of any call. What
 * errno says of it is a guess: NSPR keeps errors of its own. */
static void stopped(
    struct secure_call *call, const struct table *table, struct layer *layer, int32_t result)
{
    int saved_errno = errno;
    int error = result == 0 ? E_END_OF_FILE : table->nspr.PR_GetError();
    bool goes_on = error == E_WOULD_BLOCK || error == E_IO_TIMEOUT || error == E_PENDING_INTERRUPT;
    tell_facts(call, &table->nss, layer);
    errno = error == E_CONNECT_RESET ? ECONNRESET : 0;
    if (secure_wants_facts(call))
        secure_handshake(call, false, goes_on ? NULL : failure_of(error));
    else if (!goes_on)
        secure_stopped(call, error == E_END_OF_FILE ? SECURE_CLOSED : SECURE_FAILED);
    errno = saved_errno;
}

static int32_t received(struct secure_call *call, const struct table *table, struct layer *layer,
    void *buffer, int32_t size, int32_t result)
{
    int saved_errno = errno;
    if (result > 0) {
        tell_facts(call, &table->nss, layer);
        result = (int32_t)secure_received(call, buffer, (size_t)result, (size_t)size);
    } else if (size > 0)
        stopped(call, table, layer, result);
    secure_end(call);
    errno = saved_errno;
    return result;
}

/* The only flag is for bytes that are read again. */
static int32_t receive(
    struct layer *layer, void *buffer, int32_t size, int flags, uint32_t timeout, bool is_recv)
{
    const struct table *table = table_of(layer);
    struct secure_call call;
    bool is_seen = flags == 0 && begin(&call, table, layer);
    int32_t result = is_recv ? table->original->recv(layer, buffer, size, flags, timeout)
                             : table->original->read(layer, buffer, size);
    return is_seen ? received(&call, table, layer, buffer, size, result) : result;
}

static int32_t read_layer(struct layer *layer, void *buffer, int32_t size)
{
    return receive(layer, buffer, size, 0, 0, false);
}

static int32_t recv_layer(
    struct layer *layer, void *buffer, int32_t size, int flags, uint32_t timeout)
{
    return receive(layer, buffer, size, flags, timeout, true);
}

/* A write that blocks has taken nothing, or all but its last byte; the layer wants that one again.
 * Either way what is edited stays where it is until it is taken (secure_write). */
struct way {
    struct secure_way base;
    const struct table *table;
    struct layer *layer;
    struct secure_call *call;
    bool is_send;
    int flags;
    uint32_t timeout;
};

static void wrote(
    struct secure_call *call, const struct table *table, struct layer *layer, int32_t taken)
{
    int saved_errno = errno;
    if (taken > 0)
        tell_facts(call, &table->nss, layer);
    else if (taken < 0)
        stopped(call, table, layer, taken);
    errno = saved_errno;
}

static int32_t write_once(const struct way *way, const void *bytes, int32_t length)
{
    const struct methods *original = way->table->original;
    return way->is_send ? original->send(way->layer, bytes, length, way->flags, way->timeout)
                        : original->write(way->layer, bytes, length);
}

static ssize_t write_some(struct secure_way *base, const void *bytes, size_t length)
{
    struct way *way = (struct way *)base;
    int32_t taken = write_once(way, bytes, (int32_t)length);
    wrote(way->call, way->table, way->layer, taken);
    return taken;
}

static int32_t deliver(struct layer *layer, const void *buffer, int32_t size, int flags,
    uint32_t timeout, bool is_send)
{
    struct secure_call call;
    struct way way = {{write_some}, table_of(layer), layer, &call, is_send, flags, timeout};
    if (size <= 0 || buffer == NULL || !begin(&call, way.table, layer))
        return write_once(&way, buffer, size);
    int32_t result = (int32_t)secure_write(&call, buffer, (size_t)size, &way.base);
    secure_end(&call);
    return result;
}

static int32_t write_layer(struct layer *layer, const void *buffer, int32_t size)
{
    return deliver(layer, buffer, size, 0, 0, false);
}

static int32_t send_layer(
    struct layer *layer, const void *buffer, int32_t size, int flags, uint32_t timeout)
{
    return deliver(layer, buffer, size, flags, timeout, true);
}

/* Not edited. What is under way goes first: the pieces are the same bytes once more. */
static int32_t writev_layer(
    struct layer *layer, const struct piece *pieces, int32_t count, uint32_t timeout)
{
    const struct table *table = table_of(layer);
    struct secure_call call;
    if (!begin(&call, table, layer))
        return table->original->writev(layer, pieces, count, timeout);
    int32_t result;
    if (secure_is_editing(&call) && count > 0) {
        struct way way = {{write_some}, table, layer, &call, true, 0, timeout};
        result = (int32_t)secure_write(&call, pieces[0].base, (size_t)pieces[0].length, &way.base);
    } else {
        result = table->original->writev(layer, pieces, count, timeout);
        wrote(&call, table, layer, result);
        for (int32_t i = 0, left = result; left > 0 && i < count; i++) {
            int32_t length = pieces[i].length < left ? pieces[i].length : left;
            if (length > 0)
                secure_sent(&call, pieces[i].base, (size_t)length);
            left -= length;
        }
    }
    secure_end(&call);
    return result;
}

static int close_layer(struct layer *layer)
{
    const struct table *table = table_of(layer);
    secure_drop(layer->secret);
    return table->original->close(layer);
}

/* --- which layers ---------------------------------------------------------------------------- */

static void take(struct layer *layer, const struct nss *nss);

static struct layer *accept_layer(struct layer *layer, void *address, uint32_t timeout)
{
    const struct table *table = table_of(layer);
    struct layer *accepted = table->original->accept(layer, address, timeout);
    take(accepted, &table->nss);
    return accepted;
}

static void fill(struct table *table, const struct methods *original, const struct nss *nss)
{
    void *scratch[FOREIGN_FUNCTIONS_MAX];
    table->original = original;
    table->nss = *nss;
    table->nspr =
        *(const struct nspr *)foreign_functions(&nspr_library, (void *)nss->SSL_ImportFD, scratch);
    table->methods = *original;
    table->methods.close = close_layer;
    table->methods.read = read_layer;
    table->methods.write = write_layer;
    table->methods.writev = writev_layer;
    table->methods.accept = accept_layer;
    table->methods.recv = recv_layer;
    table->methods.send = send_layer;
}

static struct table *table_for(const struct methods *original, const struct nss *nss)
{
    for (struct table *table = tables; table < tables + TABLES_MAX; table++) {
        uint32_t expected = EMPTY;
        if (__atomic_load_n(&table->state, __ATOMIC_ACQUIRE) == READY &&
            table->original == original && table->nss.SSL_ImportFD == nss->SSL_ImportFD)
            return table;
        if (!__atomic_compare_exchange_n(
                &table->state, &expected, TAKEN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        fill(table, original, nss);
        __atomic_store_n(&table->state, READY, __ATOMIC_RELEASE);
        return table;
    }
    return NULL;
}

/* Of a stack with a head of its own the layer is the one below. Its key may be that of a session
 * that ended without a close. */
static void take(struct layer *layer, const struct nss *nss)
{
    if (layer != NULL && layer->identity == LAYER_HEAD)
        layer = layer->lower;
    if (layer == NULL || process.page == NULL || layer->methods->file_type != LAYERED)
        return;
    secure_forget(layer->secret);
    struct table *table = table_for(layer->methods, nss);
    if (table != NULL)
        layer->methods = &table->methods;
}

HOOK_FOREIGN(struct layer *, SSL_ImportFD, (struct layer * model, struct layer *fd))
{
    FOREIGN(nss);
    struct layer *layer = nss->SSL_ImportFD(model, fd);
    take(layer, nss);
    return layer;
}

/* --- handshakes ------------------------------------------------------------------------------ */

static struct layer *find(struct layer *layer)
{
    while (layer != NULL && (uintptr_t)layer->methods - (uintptr_t)tables >= sizeof(tables))
        layer = layer->lower;
    return layer;
}

static int shake_hands(const struct nss *nss, struct layer *fd, const uint32_t *timeout)
{
    struct layer *layer = find(fd);
    const struct table *table = layer == NULL ? NULL : table_of(layer);
    struct secure_call call;
    bool is_seen = table != NULL && begin(&call, table, layer);
    int result = timeout != NULL ? nss->SSL_ForceHandshakeWithTimeout(fd, *timeout)
                                 : nss->SSL_ForceHandshake(fd);
    if (!is_seen)
        return result;
    wrote(&call, table, layer, result == 0 ? 1 : -1);
    secure_end(&call);
    return result;
}

HOOK_FOREIGN(int, SSL_ForceHandshake, (struct layer * fd))
{
    FOREIGN(nss);
    return shake_hands(nss, fd, NULL);
}

HOOK_FOREIGN(int, SSL_ForceHandshakeWithTimeout, (struct layer * fd, uint32_t timeout))
{
    FOREIGN(nss);
    return shake_hands(nss, fd, &timeout);
}

FOREIGN_VERSION(SSL_ImportFD, "NSS_3.2");
FOREIGN_VERSION(SSL_ForceHandshake, "NSS_3.2");
FOREIGN_VERSION(SSL_ForceHandshakeWithTimeout, "NSS_3.11.4");
