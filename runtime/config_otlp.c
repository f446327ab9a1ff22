/* SPDX-License-Identifier: Apache-2.0 */
/* Variables of the resource and of the OTLP exporter. */
#include "config_parse.h"
#include "url.h"

/* ---- resource ---- */

/* k=v with a key and well-formed encoding; decoded text must be UTF-8. */
static bool item_valid(struct slice item)
{
    char text[CONFIG_LIST_MAX];
    size_t length;
    const char *equals = memchr(item.data, '=', item.length);
    if (equals == NULL ||
        slice_trim((struct slice){item.data, (size_t)(equals - item.data)}).length == 0)
        return false;
    return percent_decode(item, text, sizeof(text), &length) && utf8_valid(text, length) &&
           memchr(text, 0, length) == NULL;
}

static void service_name_from(struct reading *reading, struct slice item)
{
    struct config *config = reading->config;
    const char *equals = memchr(item.data, '=', item.length);
    struct slice key = slice_trim((struct slice){item.data, (size_t)(equals - item.data)});
    struct slice value =
        slice_trim((struct slice){equals + 1, item.length - (size_t)(equals - item.data) - 1});
    size_t length;
    if (key.length != 12 || memcmp(key.data, "service.name", 12) != 0 || value.length == 0)
        return;
    if (!percent_decode(value, config->service_name, sizeof(config->service_name) - 1, &length)) {
        parse_problem(reading, "OTEL_RESOURCE_ATTRIBUTES", "service.name ignored: too long");
        return;
    }
    config->service_name[length] = 0;
    reading->service_given = true;
}

void parse_resource(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        if (item.length == 0 || item_valid(item))
            continue;
        parse_problem(
            reading, variable->name, "ignored as a whole: not k=v,k=v, percent-encoded UTF-8");
        return;
    }
    if (!parse_text(reading, variable, value))
        return;
    rest = whole(value);
    while (slice_split(&rest, ',', &item))
        if (item.length > 0)
            service_name_from(reading, item);
}

void parse_service_name(struct reading *reading, const struct variable *variable, const char *value)
{
    if (parse_text(reading, variable, value))
        reading->service_given = true;
}

/* ---- exporter ---- */

void parse_exporter(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    bool otlp = false, none = false;
    while (slice_split(&rest, ',', &item)) {
        if (slice_is(item, "otlp"))
            otlp = true;
        else if (slice_is(item, "none"))
            none = true;
        else
            parse_problem(reading, variable->name, "an exporter was ignored: otlp, none");
    }
    if (none && !otlp)
        reading->config->destination = DESTINATION_NONE;
}

void parse_protocol(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    bool elsewhere = slice_is(name, "grpc") || slice_is(name, "http/json");
    if (!elsewhere && !slice_is(name, "http/protobuf")) {
        parse_problem(reading, variable->name, "ignored: unknown protocol");
        return;
    }
    reading->protocol_elsewhere = elsewhere;
    reading->protocol_from = variable->name;
}

void parse_compression(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    if (slice_is(name, "gzip") || slice_is(name, "none"))
        reading->config->gzip = slice_is(name, "gzip");
    else
        parse_problem(reading, variable->name, "ignored: unknown compression");
}

/* ---- endpoint ---- */

/* Puts `added` where the path ends, before a query. Exactly one '/' between both. */
static bool build_endpoint(struct config *config, struct slice text, const char *added)
{
    size_t path_end = text.length;
    for (size_t i = 0; i < text.length && path_end == text.length; i++)
        if (text.data[i] == '?' || text.data[i] == '#')
            path_end = i;
    size_t query_end = path_end;
    while (query_end < text.length && text.data[query_end] != '#')
        query_end++;
    bool slash = path_end > 0 && text.data[path_end - 1] == '/';
    if (*added == '/' && slash)
        added++;
    size_t extra = strlen(added);
    if (query_end + extra >= sizeof(config->endpoint))
        return false;
    char *out = config->endpoint;
    memcpy(out, text.data, path_end);
    memcpy(out + path_end, added, extra);
    memcpy(out + path_end + extra, text.data + path_end, query_end - path_end);
    out[query_end + extra] = 0;
    return true;
}

static void set_endpoint(
    struct reading *reading, const struct variable *variable, const char *value, bool base)
{
    struct slice text = slice_trim(whole(value));
    char copy[CONFIG_TEXT_MAX];
    struct url url;
    if (text.length >= sizeof(copy)) {
        parse_problem(reading, variable->name, "ignored: too long");
        return;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    if (!url_parse(copy, &url)) {
        parse_problem(reading, variable->name,
            "ignored: not a URL http://host[:port][/path] or unix:///path without user name");
        return;
    }
    bool no_path = url.path.length == 0 || url.path.data[0] == '?';
    const char *added = url.scheme == URL_UNIX ? "" : base ? "/v1/traces" : no_path ? "/" : "";
    if (!build_endpoint(reading->config, text, added)) {
        parse_problem(reading, variable->name, "ignored: too long");
        return;
    }
    reading->endpoint_from = variable->name;
    reading->endpoint_https = url.scheme == URL_HTTPS;
}

void parse_endpoint_base(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_endpoint(reading, variable, value, true);
}

void parse_endpoint(struct reading *reading, const struct variable *variable, const char *value)
{
    set_endpoint(reading, variable, value, false);
}

/* ---- headers ---- */

/* Those that frame the request are the exporter's own. */
static bool header_reserved(struct slice name)
{
    static const char *const reserved[] = {"Host", "Connection", "Content-Length", "Content-Type",
        "Content-Encoding", "Transfer-Encoding", "User-Agent", "Expect", "Upgrade"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (slice_is(name, reserved[i]))
            return true;
    return false;
}

/* A line break in a value would let it add fields or a whole request. */
static bool value_valid(const char *value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((uint8_t)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7F)
            return false;
    return true;
}

/* Appends "Name: value\r\n" to headers; *used grows. Answers why it did not, or NULL. */
static const char *add_header(struct config *config, struct slice item, size_t *used)
{
    const char *equals = memchr(item.data, '=', item.length);
    size_t name_bytes = equals ? (size_t)(equals - item.data) : 0;
    struct slice name = slice_trim((struct slice){item.data, name_bytes});
    if (equals == NULL || !parse_token(name))
        return "a header was ignored: not k=v";
    if (header_reserved(name))
        return "a header was ignored: the exporter sets it itself";

    struct slice value = slice_trim((struct slice){equals + 1, item.length - name_bytes - 1});
    size_t length, room = sizeof(config->headers) - *used;
    char *out = config->headers + *used;
    if (name.length + 2 > room)
        return "a header was ignored: all together are too long";
    if (!percent_decode(value, out + name.length + 2, room - name.length - 2, &length) ||
        !value_valid(out + name.length + 2, length))
        return "a header was ignored: too long, not percent-encoded, or with a line break";
    if (name.length + 2 + length + 3 > room)
        return "a header was ignored: all together are too long";
    memcpy(out, name.data, name.length);
    memcpy(out + name.length, ": ", 2);
    memcpy(out + name.length + 2 + length, "\r\n", 2);
    *used += name.length + 2 + length + 2;
    return NULL;
}

void parse_headers(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    size_t used = 0;
    while (slice_split(&rest, ',', &item)) {
        const char *why = item.length ? add_header(reading->config, item, &used) : NULL;
        if (why)
            parse_problem(reading, variable->name, why);
    }
    reading->config->headers[used] = 0;
}
