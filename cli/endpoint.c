/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

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

/* Splits host[:port] or [v6]:port in place. */
static const char *try_authority(char *authority, const char *default_port)
{
    char *host = authority, *end = authority + strcspn(authority, ":");
    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end)
            return "the address lacks its closing bracket";
        *end++ = 0;
    }
    const char *port = *end == ':' ? end + 1 : default_port;
    *end = 0;
    return try_name(host, port);
}

const char *endpoint_unreachable(const char *url)
{
    static const char http[] = "http://", https[] = "https://", local[] = "unix://";
    bool is_https = strncmp(url, https, sizeof https - 1) == 0;
    if (strncmp(url, local, sizeof local - 1) == 0)
        return try_unix(url + sizeof local - 1);
    if (!is_https && strncmp(url, http, sizeof http - 1) != 0)
        return "only http://, https:// and unix:// can be used";
    char *authority = duplicate(url + (is_https ? sizeof https : sizeof http) - 1);
    authority[strcspn(authority, "/")] = 0;
    const char *why = try_authority(authority, is_https ? "443" : "80");
    free(authority);
    return why;
}
