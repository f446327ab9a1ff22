/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "sys.h"

enum {
    ADDRESSES_MAX = 8,
    SLICE_NS = 50 * 1000 * 1000, /* how late *stop may be noticed */
    DESCRIPTOR_LEAST = 900       /* ours lie high, below the usual limit of 1024 */
};

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t length;
};

struct addresses {
    struct address list[ADDRESSES_MAX];
    unsigned count;
};

/* ---- time ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t patience_left(const struct patience *patience)
{
    uint64_t limit = patience->deadline_ns;
    uint64_t stop = patience->stop ? __atomic_load_n(patience->stop, __ATOMIC_ACQUIRE) : 0;
    if (stop != 0 && stop < limit)
        limit = stop;
    uint64_t now = now_ns();
    return limit > now ? limit - now : 0;
}

bool patience_poll(const struct patience *patience, int descriptor, short events, short *seen)
{
    for (;;) {
        uint64_t left = patience_left(patience);
        if (left == 0)
            return false;
        if (left > SLICE_NS)
            left = SLICE_NS;
        struct timespec slice = {0, (long)left};
        struct pollfd poll = {.fd = descriptor, .events = events};
        long ready = sys(SYS_ppoll, &poll, 1, &slice, 0, 0);
        *seen = poll.revents;
        if (ready > 0)
            return true;
        if (ready < 0 && ready != -EINTR)
            return false;
    }
}

/* ---- addresses ---- */

static struct address *add_address(struct addresses *addresses)
{
    struct address *address = &addresses->list[addresses->count++];
    memset(address, 0, sizeof(*address));
    return address;
}

static void add_v4(struct addresses *addresses, const struct in_addr *ip, uint16_t port)
{
    struct address *address = add_address(addresses);
    address->in.sin_family = AF_INET;
    address->in.sin_port = htons(port);
    address->in.sin_addr = *ip;
    address->length = sizeof(address->in);
}

static void add_v6(struct addresses *addresses, const struct in6_addr *ip, uint16_t port)
{
    struct address *address = add_address(addresses);
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_port = htons(port);
    address->in6.sin6_addr = *ip;
    address->length = sizeof(address->in6);
}

static int add_named(struct addresses *addresses, const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed)
        return failed == EAI_AGAIN ? EAGAIN : EHOSTUNREACH;
    for (struct addrinfo *at = found; at && addresses->count < ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_family == AF_INET)
            add_v4(addresses, &((struct sockaddr_in *)at->ai_addr)->sin_addr, port);
        else if (at->ai_family == AF_INET6) {
            add_v6(addresses, &((struct sockaddr_in6 *)at->ai_addr)->sin6_addr, port);
            addresses->list[addresses->count - 1].in6.sin6_scope_id =
                ((struct sockaddr_in6 *)at->ai_addr)->sin6_scope_id;
        }
    }
    freeaddrinfo(found);
    return addresses->count > 0 ? 0 : EHOSTUNREACH;
}

static int add_socket_path(struct addresses *addresses, struct slice path)
{
    struct address *address = add_address(addresses);
    if (path.length >= sizeof(address->un.sun_path))
        return ENAMETOOLONG;
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, path.data, path.length);
    address->length = sizeof(address->un);
    return 0;
}

/* 0 or errno. Numbers and localhost never leave this file; only real names cost a lookup. */
static int find_addresses(const struct url *url, struct addresses *addresses)
{
    char host[256];
    struct in_addr v4;
    struct in6_addr v6;
    addresses->count = 0;
    if (url->scheme == URL_UNIX)
        return add_socket_path(addresses, url->path);
    if (url->host.length >= sizeof(host))
        return ENAMETOOLONG;
    memcpy(host, url->host.data, url->host.length);
    host[url->host.length] = 0;

    if (slice_is(url->host, "localhost")) {
        v4.s_addr = htonl(INADDR_LOOPBACK);
        add_v4(addresses, &v4, url->port);
        add_v6(addresses, &(struct in6_addr)IN6ADDR_LOOPBACK_INIT, url->port);
        return 0;
    }
    if (inet_pton(AF_INET, host, &v4) == 1)
        add_v4(addresses, &v4, url->port);
    else if (inet_pton(AF_INET6, host, &v6) == 1)
        add_v6(addresses, &v6, url->port);
    else
        return add_named(addresses, host, url->port);
    return 0;
}

/* ---- identity ---- */

/* Old kernels and sandboxes know no cookie; the number of a socket's inode serves as well. */
static bool identity_of(int descriptor, uint64_t *identity)
{
    socklen_t length = sizeof(*identity);
    if (sys(SYS_getsockopt, descriptor, SOL_SOCKET, SO_COOKIE, identity, &length) == 0)
        return true;
    struct stat status;
    if (sys(SYS_fstat, descriptor, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    *identity = status.st_ino;
    return true;
}

bool otlp_connection_ours(const struct otlp_http *http)
{
    uint64_t identity;
    return http->descriptor >= 0 && identity_of(http->descriptor, &identity) &&
           identity == http->identity;
}

bool otlp_peer_is_ours(const struct otlp_http *http)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    return otlp_connection_ours(http) &&
           sys(SYS_getsockopt, http->descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == 0 || peer.uid == (uid_t)sys(SYS_geteuid));
}

/* ---- connecting ---- */

/* Programs close a low number and count on the next open to return it; ours should not be there. */
static int move_up(int descriptor)
{
    long moved = sys(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, DESCRIPTOR_LEAST);
    if (moved < 0)
        return descriptor;
    sys(SYS_close, descriptor);
    return (int)moved;
}

static bool open_socket(struct otlp_http *http, int family, int *error)
{
    long opened = sys(SYS_socket, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0) {
        *error = (int)-opened;
        return false;
    }
    http->descriptor = move_up((int)opened);
    http->pid = sys(SYS_getpid);
    if (identity_of(http->descriptor, &http->identity))
        return true;
    *error = EBADF;
    http->descriptor = -1;
    return false;
}

static int pending_error(const struct otlp_http *http)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (!otlp_connection_ours(http))
        return EBADF;
    sys(SYS_getsockopt, http->descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

static bool connect_one(struct otlp_http *http, const struct address *address,
    const struct patience *patience, int *error)
{
    short seen;
    if (!open_socket(http, address->any.sa_family, error))
        return false;
    long begun = sys(SYS_connect, http->descriptor, &address->any, address->length);
    if (begun == 0)
        return true;
    if (begun != -EINPROGRESS && begun != -EINTR)
        *error = (int)-begun;
    else if (!patience_poll(patience, http->descriptor, POLLOUT, &seen))
        *error = ETIMEDOUT;
    else
        *error = pending_error(http);
    if (*error == 0)
        return true;
    otlp_http_close(http);
    return false;
}

bool otlp_connect(
    struct otlp_http *http, const struct url *url, const struct patience *patience, int *error)
{
    struct addresses addresses;
    *error = find_addresses(url, &addresses);
    if (*error)
        return false;
    for (unsigned i = 0; i < addresses.count; i++) {
        /* An address that never answers must leave time for the others. */
        struct patience share = *patience;
        uint64_t left = patience_left(patience) / (addresses.count - i);
        if (i + 1 < addresses.count && patience->deadline_ns != UINT64_MAX)
            share.deadline_ns = now_ns() + left;
        *error = 0;
        if (connect_one(http, &addresses.list[i], &share, error))
            return true;
    }
    return false;
}
