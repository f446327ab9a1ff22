/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"
#include "url.h"

enum { CONNECT_TIMEOUT_MS = 2000 };

/* 0 or an errno. */
static int wait_connected(int descriptor)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof error;
    if (poll(&ready, 1, CONNECT_TIMEOUT_MS) <= 0)
        return ETIMEDOUT;
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

static int try_address(const struct sockaddr *address, socklen_t length)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return errno;
    int error = connect(descriptor, address, length) == 0 ? 0 : errno;
    if (error == EINPROGRESS)
        error = wait_connected(descriptor);
    close(descriptor);
    return error;
}

static const char *try_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return "the path of the socket is too long";
    strcpy(address.sun_path, path);
    int error = try_address((struct sockaddr *)&address, sizeof address);
    return error ? strerror(error) : NULL;
}

static const char *try_name(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses;
    int failure = getaddrinfo(host, port, &hints, &addresses);
    if (failure)
        return gai_strerror(failure);
    int error = EHOSTUNREACH;
    for (struct addrinfo *at = addresses; at && error; at = at->ai_next)
        error = try_address(at->ai_addr, at->ai_addrlen);
    freeaddrinfo(addresses);
    return error ? strerror(error) : NULL;
}

const char *endpoint_unreachable(const char *url)
{
    struct url parsed;
    char host[256], port[8];
    if (!url_parse(url, &parsed))
        return "only http://, https:// and unix:// can be used";
    if (parsed.scheme == URL_UNIX)
        return try_unix(parsed.path.data);
    snprintf(host, sizeof host, "%.*s", (int)parsed.host.length, parsed.host.data);
    snprintf(port, sizeof port, "%u", parsed.port);
    return try_name(host, port);
}
