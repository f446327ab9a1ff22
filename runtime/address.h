/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as text, without libc (inet_ntop needs 2 KB of the host's stack). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = 64 };

/* A peer's address, as small as it can be: 16 bytes for IP, or a Unix socket's path. */
struct address {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; 0: unknown */
    uint8_t length; /* of path */
    uint16_t port;  /* host byte order */
    union {
        uint8_t ip[16];
        char path[60]; /* longer paths are cut */
    };
};

void address_set(struct address *address, const struct sockaddr *socket, socklen_t length);

/* Of this machine or of a network that is not routed: Unix sockets, loopback, link-local, RFC 1918,
 * RFC 4193. */
bool address_is_private(const struct address *address);

/* NUL-terminated; IPv6 as RFC 5952, IPv4-mapped as IPv4. */
void address_format(const struct address *address, char out[ADDRESS_TEXT_MAX]);
