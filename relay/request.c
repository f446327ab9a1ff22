/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <string.h>

/* RFC 9112, 3: method SP request-target SP HTTP-version */
static int read_line(struct slice line, struct request *request)
{
    struct slice method, version, more;
    if (!slice_split(&line, ' ', &method) || !slice_split(&line, ' ', &request->path) ||
        !slice_split(&line, ' ', &version) || slice_split(&line, ' ', &more) ||
        version.length != 8 || memcmp(version.data, "HTTP/1.", 7) != 0)
        return 400;
    request->keep_alive = version.data[7] != '0';
    request->is_post = slice_is(method, "POST");
    return request->is_post || slice_is(method, "GET") ? 0 : 405;
}

static int read_field(struct slice line, struct request *request)
{
    const char *colon = memchr(line.data, ':', line.length);
    if (colon == NULL)
        return 400;
    struct slice name = {line.data, (size_t)(colon - line.data)};
    struct slice value = slice_trim((struct slice){colon + 1, line.length - name.length - 1});
    uint64_t number;
    if (slice_is(name, "Content-Length")) {
        if (!number_parse(value, UINT64_MAX, &number))
            return 400;
        request->body_bytes = (size_t)number;
        return number > REQUEST_BODY_BYTES_MAX ? 413 : 0;
    }
    if (slice_is(name, "Transfer-Encoding"))
        return 411;
    if (slice_is(name, "Content-Encoding"))
        return slice_is(value, "identity") ? 0 : 415;
    if (slice_is(name, "Content-Type"))
        return slice_is(value, "application/x-protobuf") ? 0 : 415;
    if (slice_is(name, "Connection"))
        request->keep_alive = !slice_is(value, "close");
    return 0;
}

int request_read(struct slice head, struct request *request)
{
    struct slice line;
    *request = (struct request){0};
    bool is_first = true;
    while (slice_split(&head, '\n', &line)) {
        line.length -= line.length > 0 && line.data[line.length - 1] == '\r';
        if (line.length == 0)
            continue;
        int refusal = is_first ? read_line(line, request) : read_field(line, request);
        if (refusal != 0)
            return refusal;
        is_first = false;
    }
    return is_first ? 400 : 0;
}
