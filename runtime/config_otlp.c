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

void parse_kubernetes(struct reading *reading, const struct variable *variable, const char *value)
{
    (void)value;
    *(bool *)parse_target(reading, variable) = true;
}

/* One that is no name or address is somebody else's variable. */
void parse_pod_fact(struct reading *reading, const struct variable *variable, const char *value)
{
    if (utf8_valid(value, strlen(value)))
        parse_text(reading, variable, value);
}

/* The agent's own: a number of an address that nobody routes, so that no name is looked up and
 * nobody else is asked. Loopback is where stand-ins are. */
void parse_ecs(struct reading *reading, const struct variable *variable, const char *value)
{
    struct url url;
    bool is_near =
        url_parse(value, &url) && url.scheme == URL_HTTP &&
        (strncmp(url.host.data, "169.254.", 8) == 0 || strncmp(url.host.data, "127.", 4) == 0) &&
        strspn(url.host.data, "0123456789.") >= url.host.length;
    if (is_near)
        parse_text(reading, variable, value);
    else
        parse_problem(reading, variable->name,
            "ignored: not http:// with a link-local or loopback address in numbers");
}

/* ---- exporter ---- */

/* The signals that a variable is of: their settings are its target. */
struct range {
    unsigned first, end;
};

static struct range signals_of(const struct variable *variable)
{
    size_t size = sizeof(struct config_signal);
    unsigned first = (unsigned)((variable->offset - offsetof(struct config, signals)) / size);
    return (struct range){first, first + (unsigned)(variable->size / size)};
}

static const struct exporter_name {
    const char *name;
    enum destination destination;
    uint8_t descriptor;
    bool is_of[SIGNAL_COUNT];
} exporter_names[] = {{"otlp", DESTINATION_OTLP, 0, {true, true, true}},
    {"none", DESTINATION_NONE, 0, {true, true, true}},
    {"console", DESTINATION_CONSOLE, 2, {true, true, true}},
    {"otlp_file", DESTINATION_FILE, 0, {true, true, true}},
    {"otlp/stdout", DESTINATION_FILE, 1, {true, true, true}},
    {"prometheus", DESTINATION_NONE, 0, {false, true}}}; /* scraped, beside a destination */

static const struct exporter_name *exporter_named(struct slice name, enum signal signal)
{
    for (size_t i = 0; i < sizeof(exporter_names) / sizeof(exporter_names[0]); i++)
        if (exporter_names[i].is_of[signal] && slice_is(name, exporter_names[i].name))
            return &exporter_names[i];
    return NULL;
}

static void add_copy(struct config_signal *settings, const struct exporter_name *named)
{
    for (unsigned i = 0; i < settings->copy_count; i++)
        if (settings->copies[i].destination == named->destination &&
            settings->copies[i].outlet == named->descriptor)
            return;
    if (settings->copy_count < CONFIG_COPIES_MAX)
        settings->copies[settings->copy_count++] =
            (struct config_copy){named->destination, named->descriptor};
}

/* Of several the collector is the destination, else the first; the others get copies. */
void parse_exporter(struct reading *reading, const struct variable *variable, const char *value)
{
    enum signal signal = (enum signal)signals_of(variable).first;
    struct config *config = reading->config;
    const struct exporter_name *chosen = NULL;
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        const struct exporter_name *named = exporter_named(item, signal), *other = named;
        if (named == NULL) {
            parse_problem(reading, variable->name,
                "an exporter was ignored: otlp, console, otlp_file, otlp/stdout, none; of metrics "
                "prometheus");
            continue;
        }
        config->scraped |= signal == SIGNAL_METRICS && slice_is(item, "prometheus");
        if (chosen == NULL || chosen->destination == DESTINATION_NONE) {
            chosen = named;
            continue;
        }
        if (named->destination == DESTINATION_OTLP) {
            other = chosen;
            chosen = named;
        }
        if (other != chosen && other->destination != DESTINATION_NONE)
            add_copy(&config->signals[signal], other);
    }
    if (chosen == NULL)
        return;
    config->signals[signal].destination = chosen->destination;
    config->signals[signal].outlet = chosen->descriptor;
}

void parse_console(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    bool is_stdout = slice_is(name, "stdout");
    if (!is_stdout && !slice_is(name, "stderr"))
        parse_problem(reading, variable->name, "ignored: neither stderr nor stdout");
    for (unsigned i = 0; i < SIGNAL_COUNT && (is_stdout || slice_is(name, "stderr")); i++) {
        struct config_signal *settings = &reading->config->signals[i];
        if (settings->destination == DESTINATION_CONSOLE)
            settings->outlet = is_stdout ? 1 : 2;
        for (unsigned c = 0; c < settings->copy_count; c++)
            if (settings->copies[c].destination == DESTINATION_CONSOLE)
                settings->copies[c].outlet = is_stdout ? 1 : 2;
    }
}

void parse_protocol(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    bool grpc = slice_is(name, "grpc"), json = slice_is(name, "http/json");
    if (!grpc && !json && !slice_is(name, "http/protobuf")) {
        parse_problem(reading, variable->name, "ignored: unknown protocol");
        return;
    }
    struct range range = signals_of(variable);
    for (unsigned i = range.first; i < range.end; i++) {
        reading->config->signals[i].grpc = grpc;
        reading->config->signals[i].json = json;
    }
}

void parse_insecure(struct reading *reading, const struct variable *variable, const char *value)
{
    struct range range = signals_of(variable);
    for (unsigned i = range.first; i < range.end; i++)
        reading->config->signals[i].insecure = slice_is(slice_trim(whole(value)), "true");
}

void parse_compression(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    struct range range = signals_of(variable);
    if (!slice_is(name, "gzip") && !slice_is(name, "none")) {
        parse_problem(reading, variable->name, "ignored: unknown compression");
        return;
    }
    for (unsigned i = range.first; i < range.end; i++)
        reading->config->signals[i].gzip = slice_is(name, "gzip");
}

void parse_timeout(struct reading *reading, const struct variable *variable, const char *value)
{
    struct range range = signals_of(variable);
    uint64_t ms;
    if (!parse_milliseconds(reading, variable, value, &ms))
        return;
    for (unsigned i = range.first; i < range.end; i++)
        reading->config->signals[i].timeout_ms = (uint32_t)ms;
}

static void set_file(
    struct reading *reading, const struct variable *variable, const char *value, size_t member)
{
    struct range range = signals_of(variable);
    size_t length = strlen(value);
    if (length >= CONFIG_TEXT_MAX) {
        parse_problem(reading, variable->name, "ignored: too long");
        return;
    }
    for (unsigned i = range.first; i < range.end; i++)
        memcpy((char *)&reading->config->tls[i] + member, value, length + 1);
}

void parse_certificate(struct reading *reading, const struct variable *variable, const char *value)
{
    set_file(reading, variable, value, offsetof(struct config_tls, certificate));
}

void parse_client_certificate(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_file(reading, variable, value, offsetof(struct config_tls, client_certificate));
}

void parse_client_key(struct reading *reading, const struct variable *variable, const char *value)
{
    set_file(reading, variable, value, offsetof(struct config_tls, client_key));
}

/* Stands below the exporter's own timeouts, so those are final here. */
void parse_export_timeout(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint32_t *timeout_ms = &reading->config->signals[signals_of(variable).first].timeout_ms;
    uint64_t ms;
    if (!parse_milliseconds(reading, variable, value, &ms) || ms == 0)
        return;
    if (*timeout_ms == 0 || ms < *timeout_ms)
        *timeout_ms = (uint32_t)ms;
}

/* ---- metrics ---- */

void parse_exemplars(struct reading *reading, const struct variable *variable, const char *value)
{
    static const char *const names[] = {[EXEMPLAR_TRACE_BASED] = "trace_based",
        [EXEMPLAR_ALWAYS_ON] = "always_on",
        [EXEMPLAR_ALWAYS_OFF] = "always_off"};
    struct slice name = slice_trim(whole(value));
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_is(name, names[i])) {
            reading->config->exemplars = (enum exemplar_filter)i;
            return;
        }
    }
    parse_problem(reading, variable->name, "ignored: not trace_based, always_on or always_off");
}

/* What only grows is all there is, and for that lowmemory is delta. */
void parse_temporality(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    reading->config->delta = slice_is(name, "delta") || slice_is(name, "lowmemory");
    if (!reading->config->delta && !slice_is(name, "cumulative"))
        parse_problem(reading, variable->name, "ignored: not cumulative, delta or lowmemory");
}

void parse_aggregation(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    reading->config->exponential = slice_is(name, "base2_exponential_bucket_histogram");
    if (!reading->config->exponential && !slice_is(name, "explicit_bucket_histogram"))
        parse_problem(reading, variable->name, "ignored: explicit_bucket_histogram is used");
}

/* ---- endpoint ---- */

/* Puts `added` where the path ends, before a query. Exactly one '/' between both. */
static bool build_endpoint(char url[CONFIG_TEXT_MAX], struct slice text, const char *added)
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
    if (query_end + extra >= CONFIG_TEXT_MAX)
        return false;
    char *out = url;
    memcpy(out, text.data, path_end);
    memcpy(out + path_end, added, extra);
    memcpy(out + path_end + extra, text.data + path_end, query_end - path_end);
    out[query_end + extra] = 0;
    return true;
}

/* What is said of all signals is a base, to which each adds its path. A socket's path is no part of
 * the request's, which is the signal's then. */
static const char *added_to(const struct url *url, const char *path, bool is_base)
{
    bool has_path = url->path.length > 0 && url->path.data[0] != '?';
    if (url->scheme == URL_UNIX)
        return "";
    return is_base ? path : has_path ? "" : "/";
}

/* An endpoint of grpc may be host:port alone; then another variable says whether TLS is meant. */
static const char *missing_scheme(const struct config_signal *settings, struct slice text)
{
    if (!settings->grpc || memmem(text.data, text.length, "://", 3) != NULL)
        return "";
    return settings->insecure ? "http://" : "https://";
}

/* Answers why it cannot be, or NULL. */
static const char *set_endpoint(
    struct reading *reading, unsigned signal, struct slice text, bool is_base)
{
    const struct config_signal *settings = &reading->config->signals[signal];
    const char *scheme = missing_scheme(settings, text);
    size_t scheme_bytes = strlen(scheme), length = scheme_bytes + text.length;
    char copy[CONFIG_TEXT_MAX];
    struct url url;
    if (length >= sizeof(copy))
        return "ignored: too long";
    memcpy(copy, scheme, scheme_bytes);
    memcpy(copy + scheme_bytes, text.data, text.length);
    copy[length] = 0;
    if (!url_parse(copy, &url))
        return "ignored: not a URL http://host[:port][/path] or unix:///path without user name";
    if (!build_endpoint(reading->config->urls[signal], (struct slice){copy, length},
            added_to(&url, settings->path, is_base)))
        return "ignored: too long";
    reading->signals[signal].is_https = url.scheme == URL_HTTPS;
    return NULL;
}

void parse_endpoint(struct reading *reading, const struct variable *variable, const char *value)
{
    struct range range = signals_of(variable);
    const char *why = NULL;
    for (unsigned i = range.first; i < range.end; i++) {
        const char *unfit =
            set_endpoint(reading, i, slice_trim(whole(value)), range.end - range.first > 1);
        if (unfit == NULL)
            reading->signals[i].endpoint_from = variable->name;
        why = unfit != NULL ? unfit : why;
    }
    if (why != NULL)
        parse_problem(reading, variable->name, why);
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
static const char *add_header(char headers[CONFIG_LIST_MAX], struct slice item, size_t *used)
{
    const char *equals = memchr(item.data, '=', item.length);
    size_t name_bytes = equals ? (size_t)(equals - item.data) : 0;
    struct slice name = slice_trim((struct slice){item.data, name_bytes});
    if (equals == NULL || !parse_token(name))
        return "a header was ignored: not k=v";
    if (header_reserved(name))
        return "a header was ignored: the exporter sets it itself";

    struct slice value = slice_trim((struct slice){equals + 1, item.length - name_bytes - 1});
    size_t length, room = CONFIG_LIST_MAX - *used;
    char *out = headers + *used;
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
    struct range range = signals_of(variable);
    char *headers = reading->config->headers[range.first];
    struct slice item, rest = whole(value);
    size_t used = 0;
    while (slice_split(&rest, ',', &item)) {
        const char *why = item.length ? add_header(headers, item, &used) : NULL;
        if (why)
            parse_problem(reading, variable->name, why);
    }
    headers[used] = 0;
    for (unsigned i = range.first + 1; i < range.end; i++)
        memcpy(reading->config->headers[i], headers, used + 1);
}
