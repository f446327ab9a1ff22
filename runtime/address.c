/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "format.h"

void address_set(struct address *address, const struct sockaddr *socket, socklen_t length)
{
    memset(address, 0, sizeof(*address));
    if (socket == NULL || length < sizeof(socket->sa_family))
        return;
    if (socket->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, socket, sizeof(in));
        address->family = AF_INET;
        address->port = ntohs(in.sin_port);
        memcpy(address->ip, &in.sin_addr, 4);
    } else if (socket->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, socket, sizeof(in6));
        address->family = AF_INET6;
        address->port = ntohs(in6.sin6_port);
        memcpy(address->ip, &in6.sin6_addr, 16);
    } else if (socket->sa_family == AF_UNIX) {
        size_t room = length - offsetof(struct sockaddr_un, sun_path);
        address->family = AF_UNIX;
        if (length <= offsetof(struct sockaddr_un, sun_path))
            return; /* an unnamed peer */
        const char *path = ((const struct sockaddr_un *)socket)->sun_path;
        size_t used = path[0] == '\0' ? room : strnlen(path, room);
        address->length = (uint8_t)(used < sizeof(address->path) ? used : sizeof(address->path));
        memcpy(address->path, path, address->length);
    }
}

static bool is_private_ipv4(const uint8_t ip[4])
{
    return ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
           (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254);
}

static bool is_private_ipv6(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, loopback[16] = {[15] = 1};
    if (memcmp(ip, mapped, sizeof(mapped)) == 0)
        return is_private_ipv4(ip + 12);
    return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) ||
           memcmp(ip, loopback, sizeof(loopback)) == 0;
}

bool address_is_private(const struct address *address)
{
    switch (address->family) {
    case AF_INET:
        return is_private_ipv4(address->ip);
    case AF_INET6:
        return is_private_ipv6(address->ip);
    default:
        return address->family == AF_UNIX;
    }
}

static void format_ipv4(struct format *out, const uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            format_text(out, ".");
        format_number(out, ip[i]);
    }
}

static void format_group(struct format *out, unsigned group)
{
    char digits[4];
    size_t count = 0;
    do
        digits[sizeof(digits) - ++count] = "0123456789abcdef"[group & 15];
    while ((group >>= 4) != 0);
    format_bytes(out, digits + sizeof(digits) - count, count);
}

/* The longest run of two or more zero groups becomes "::", the first of equals (RFC 5952, 4.2). */
static void longest_zeros(const unsigned groups[8], int *start, int *length)
{
    *start = -1;
    *length = 1;
    for (int i = 0; i < 8; i++) {
        int run = 0;
        while (i + run < 8 && groups[i + run] == 0)
            run++;
        if (run > *length) {
            *start = i;
            *length = run;
        }
        i += run;
    }
}

static void format_ipv6(struct format *out, const uint8_t ip[16])
{
    unsigned groups[8];
    int start, length;
    for (int i = 0; i < 8; i++)
        groups[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
    longest_zeros(groups, &start, &length);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            format_text(out, "::");
            i += length - 1;
            continue;
        }
        if (i > 0 && (start < 0 || i != start + length))
            format_text(out, ":");
        format_group(out, groups[i]);
    }
}

static bool is_mapped_ipv4(const uint8_t ip[16])
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    struct format out;
    format_start(&out, text, ADDRESS_TEXT_MAX);
    if (address->family == AF_INET)
        format_ipv4(&out, address->ip);
    else if (address->family == AF_INET6 && is_mapped_ipv4(address->ip))
        format_ipv4(&out, address->ip + 12);
    else if (address->family == AF_INET6)
        format_ipv6(&out, address->ip);
    else if (address->family == AF_UNIX && address->length > 0) {
        if (address->path[0] == '\0')
            format_text(&out, "@"); /* abstract, as ss and lsof write it */
        size_t skip = address->path[0] == '\0';
        format_bytes(&out, address->path + skip, address->length - skip);
    }
}
