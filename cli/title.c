/* SPDX-License-Identifier: Apache-2.0 */
#include "title.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct value *attribute_find(const struct stored_span *span, const char *key)
{
    for (size_t i = 0; i < span->attributes.count; i++) {
        if (strcmp(span->attributes.items[i].key, key) == 0)
            return &span->attributes.items[i].value;
    }
    return NULL;
}

static const char *text_of(const struct stored_span *span, const char *key)
{
    const struct value *value = attribute_find(span, key);
    return value != NULL && value->kind == VALUE_TEXT ? value->text : NULL;
}

/* A URL without its scheme and its query: the length of the rest goes to *length. */
static const char *url_subject(const char *url, int *length)
{
    const char *authority = strstr(url, "://");
    const char *start = authority != NULL ? authority + 3 : url;
    *length = (int)strcspn(start, "?");
    return start;
}

void title_format(const struct stored_span *span, char out[TITLE_BYTES_MAX])
{
    const char *path = text_of(span, "url.path");
    const char *url = text_of(span, "url.full");
    const char *address = text_of(span, "server.address");
    const struct value *port = attribute_find(span, "server.port");
    int length;
    if (strchr(span->name, ' ') != NULL) /* a route or a template: it says enough */
        snprintf(out, TITLE_BYTES_MAX, "%s", span->name);
    else if (path != NULL)
        snprintf(out, TITLE_BYTES_MAX, "%s %s", span->name, path);
    else if (url != NULL && (url = url_subject(url, &length)) != NULL)
        snprintf(out, TITLE_BYTES_MAX, "%s %.*s", span->name, length, url);
    else if (address != NULL && port != NULL && port->kind == VALUE_INTEGER)
        snprintf(out, TITLE_BYTES_MAX, "%s %s:%" PRId64, span->name, address, port->integer);
    else
        snprintf(out, TITLE_BYTES_MAX, "%s", span->name);
}
