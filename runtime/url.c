/* SPDX-License-Identifier: Apache-2.0 */
#include "url.h"

#include <string.h>

static bool visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static bool take_scheme(const char **text, struct url *url)
{
    static const struct {
        const char *prefix;
        enum url_scheme scheme;
        uint16_t port;
    } schemes[] = {
        {"http://", URL_HTTP, 80}, {"https://", URL_HTTPS, 443}, {"unix://", URL_UNIX, 0}};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t length = strlen(schemes[i].prefix);
        if (!slice_is((struct slice){*text, strnlen(*text, length)}, schemes[i].prefix))
            continue;
        url->scheme = schemes[i].scheme;
        url->port = schemes[i].port;
        *text += length;
        return true;
    }
    return false;
}

/* RFC 3986, 3.2: host [ ":" port ]; an IPv6 address stands in brackets. */
static bool parse_authority(struct slice authority, struct url *url)
{
    const char *end = authority.data + authority.length;
    const char *colon;
    if (authority.length == 0 || memchr(authority.data, '@', authority.length))
        return false;
    if (authority.data[0] == '[') {
        const char *close = memchr(authority.data, ']', authority.length);
        if (close == NULL)
            return false;
        url->host = (struct slice){authority.data + 1, (size_t)(close - authority.data - 1)};
        colon = close + 1;
    } else {
        colon = memchr(authority.data, ':', authority.length);
        if (colon == NULL)
            colon = end;
        url->host = (struct slice){authority.data, (size_t)(colon - authority.data)};
    }
    if (url->host.length == 0)
        return false;
    if (colon == end)
        return true;
    uint64_t port;
    struct slice digits = {colon + 1, (size_t)(end - colon - 1)};
    if (*colon != ':' || !number_parse(digits, 65535, &port) || port == 0)
        return false;
    url->port = (uint16_t)port;
    return true;
}

bool url_parse(const char *text, struct url *url)
{
    if (!visible(text) || !take_scheme(&text, url))
        return false;
    size_t authority = url->scheme == URL_UNIX ? 0 : strcspn(text, "/?#");
    url->authority = (struct slice){text, authority};
    url->host = (struct slice){text, 0};
    url->path = (struct slice){text + authority, strcspn(text + authority, "#")};
    if (url->scheme == URL_UNIX)
        return url->path.length > 1 && url->path.data[0] == '/';
    return parse_authority(url->authority, url);
}
