/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The URLs that the in-process exporter understands (RFC 3986, a small part of it):
 *   http://host[:port][/path][?query]    host may be [an IPv6 address]
 *   https://...                          recognised, so that it can be explained
 *   unix:///path/of/socket
 * Pure; the slices point into the text given.
 */
#pragma once

#include "text.h"

enum url_scheme { URL_HTTP, URL_HTTPS, URL_UNIX };

struct url {
    enum url_scheme scheme;
    struct slice authority; /* host[:port] as written, for the Host field */
    struct slice host;      /* without brackets */
    struct slice path;      /* with query, "" if none; for URL_UNIX the path of the socket */
    uint16_t port;          /* 80 or 443 if none is written */
};

/* False: another scheme, no host, a bad port, user information, or a byte that is not visible
 * ASCII (nothing can be smuggled into a request by a line break). */
bool url_parse(const char *text, struct url *url);
