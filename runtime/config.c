/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the environment finds the values (this runs in every program that is started, so it
 * looks at most names for one byte only); then the rows of variables.def are applied in their
 * order; then what follows from several of them is settled.
 */
#include "config.h"

#include <string.h>

#include "service_name.h"
#include "sys.h"
#include "text.h"
#include "url.h"

struct config config;

/* What rows say to each other before it is settled. */
struct reading {
    struct config *config;
    bool sampler_given;
    bool root;
    bool endpoint_https;       /* the endpoint that counts is https:// */
    bool protocol_elsewhere;   /* grpc or http/json: not spoken in the process */
    const char *endpoint_from; /* the variable that gave the endpoint, NULL: none did */
    const char *protocol_from;
    bool service_given;
    bool delay_given;
    bool state_home_given;
};

struct variable;
typedef void parser(struct reading *reading, const struct variable *variable, const char *value);

struct variable {
    const char *name;
    parser *parse;
    size_t offset; /* of the target in struct config */
    size_t size;
};

static void problem(struct reading *reading, const char *variable, const char *why)
{
    struct config *config = reading->config;
    if (config->problem_count < CONFIG_PROBLEMS_MAX)
        config->problems[config->problem_count] = (struct config_problem){variable, why};
    config->problem_count++;
}

static struct slice whole(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void *target(struct reading *reading, const struct variable *variable)
{
    return (char *)reading->config + variable->offset;
}

/* False, with a problem: longer than the target. */
static bool set_text(struct reading *reading, const struct variable *variable, const char *value)
{
    size_t length = strlen(value);
    if (length >= variable->size) {
        problem(reading, variable->name, "ignored: too long");
        return false;
    }
    memcpy(target(reading, variable), value, length + 1);
    return true;
}

/* ---- plain values ---- */

static void parse_bool(struct reading *reading, const struct variable *variable, const char *value)
{
    bool yes = slice_is(slice_trim(whole(value)), "true");
    if (!yes && !slice_is(slice_trim(whole(value)), "false"))
        problem(reading, variable->name, "neither true nor false: taken as false");
    *(bool *)target(reading, variable) = yes;
}

static bool read_number(struct reading *reading, const struct variable *variable, const char *value,
    uint64_t least, uint64_t *number)
{
    /* Milliseconds and counts are 32 bits with sign in other SDKs; more is a mistake. */
    if (number_parse(slice_trim(whole(value)), INT32_MAX, number) && *number >= least)
        return true;
    problem(reading, variable->name, "ignored: not a number in the permitted range");
    return false;
}

static void parse_number(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (read_number(reading, variable, value, 0, &number))
        *(uint32_t *)target(reading, variable) = (uint32_t)number;
}

static void parse_positive(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (read_number(reading, variable, value, 1, &number))
        *(uint32_t *)target(reading, variable) = (uint32_t)number;
}

static void parse_delay(struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (!read_number(reading, variable, value, 0, &number))
        return;
    reading->config->schedule_delay_ms = (uint32_t)number;
    reading->delay_given = true;
}

/* Stands below the exporter's own timeouts, so those are final here. */
static void parse_export_timeout(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    uint32_t *timeout_ms = &reading->config->export_timeout_ms;
    if (!read_number(reading, variable, value, 0, &number) || number == 0)
        return;
    if (*timeout_ms == 0 || number < *timeout_ms)
        *timeout_ms = (uint32_t)number;
}

static void parse_context(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_text(reading, variable, value);
}

static void parse_config_file(
    struct reading *reading, const struct variable *variable, const char *value)
{
    problem(reading, variable->name,
        "not read inside the process: start the program with burdock run, which reads it");
}

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
        problem(reading, "OTEL_RESOURCE_ATTRIBUTES", "service.name ignored: too long");
        return;
    }
    config->service_name[length] = 0;
    reading->service_given = true;
}

static void parse_resource(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        if (item.length == 0 || item_valid(item))
            continue;
        problem(reading, variable->name, "ignored as a whole: not k=v,k=v, percent-encoded UTF-8");
        return;
    }
    if (!set_text(reading, variable, value))
        return;
    rest = whole(value);
    while (slice_split(&rest, ',', &item))
        if (item.length > 0)
            service_name_from(reading, item);
}

static void parse_service_name(
    struct reading *reading, const struct variable *variable, const char *value)
{
    if (set_text(reading, variable, value))
        reading->service_given = true;
}

/* ---- choices ---- */

static void parse_propagators(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    uint32_t chosen = 0;
    bool none = false;
    while (slice_split(&rest, ',', &item)) {
        if (slice_is(item, "tracecontext"))
            chosen |= PROPAGATOR_TRACECONTEXT;
        else if (slice_is(item, "baggage"))
            chosen |= PROPAGATOR_BAGGAGE;
        else if (slice_is(item, "none"))
            none = true;
        else
            problem(
                reading, variable->name, "a propagator was ignored: tracecontext, baggage, none");
    }
    if (chosen || none)
        reading->config->propagators = chosen;
}

static void parse_sampler(
    struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct {
        const char *name;
        enum sampler_kind kind;
        bool parent_based;
    } samplers[] = {
        {"always_on", SAMPLER_ALWAYS_ON, false},
        {"always_off", SAMPLER_ALWAYS_OFF, false},
        {"traceidratio", SAMPLER_RATIO, false},
        {"parentbased_always_on", SAMPLER_ALWAYS_ON, true},
        {"parentbased_always_off", SAMPLER_ALWAYS_OFF, true},
        {"parentbased_traceidratio", SAMPLER_RATIO, true},
    };
    for (size_t i = 0; i < sizeof(samplers) / sizeof(samplers[0]); i++) {
        if (!slice_is(slice_trim(whole(value)), samplers[i].name))
            continue;
        reading->config->sampler = samplers[i].kind;
        reading->config->sampler_parent_based = samplers[i].parent_based;
        reading->sampler_given = true;
        return;
    }
    problem(
        reading, variable->name, "unknown or unsupported sampler: parentbased_always_on is used");
}

/* digits [ "." digits ] between 0 and 1. Own code: strtod depends on the host's locale. */
static bool ratio_parse(struct slice text, double *ratio)
{
    double value = 0, scale = 1;
    bool digits = false, point = false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '.' && !point) {
            point = true;
            continue;
        }
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9)
            return false;
        digits = true;
        if (scale > 1e17)
            continue; /* beyond what a double holds */
        value = value * 10 + digit;
        scale = point ? scale * 10 : scale;
    }
    *ratio = value / scale;
    return digits && *ratio <= 1;
}

static void parse_sampler_argument(
    struct reading *reading, const struct variable *variable, const char *value)
{
    double ratio;
    if (!reading->sampler_given || reading->config->sampler != SAMPLER_RATIO)
        return;
    if (ratio_parse(slice_trim(whole(value)), &ratio))
        reading->config->sampler_ratio = ratio;
    else
        problem(reading, variable->name, "ignored: not a ratio between 0 and 1");
}

static void parse_exporter(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    bool otlp = false, none = false;
    while (slice_split(&rest, ',', &item)) {
        if (slice_is(item, "otlp"))
            otlp = true;
        else if (slice_is(item, "none"))
            none = true;
        else
            problem(reading, variable->name, "an exporter was ignored: otlp, none");
    }
    if (none && !otlp)
        reading->config->destination = DESTINATION_NONE;
}

static void parse_protocol(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    bool elsewhere = slice_is(name, "grpc") || slice_is(name, "http/json");
    if (!elsewhere && !slice_is(name, "http/protobuf")) {
        problem(reading, variable->name, "ignored: unknown protocol");
        return;
    }
    reading->protocol_elsewhere = elsewhere;
    reading->protocol_from = variable->name;
}

static void parse_compression(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice name = slice_trim(whole(value));
    if (slice_is(name, "gzip") || slice_is(name, "none"))
        reading->config->gzip = slice_is(name, "gzip");
    else
        problem(reading, variable->name, "ignored: unknown compression");
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
        problem(reading, variable->name, "ignored: too long");
        return;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    if (!url_parse(copy, &url)) {
        problem(reading, variable->name,
            "ignored: not a URL http://host[:port][/path] or unix:///path without user name");
        return;
    }
    bool no_path = url.path.length == 0 || url.path.data[0] == '?';
    const char *added = url.scheme == URL_UNIX ? "" : base ? "/v1/traces" : no_path ? "/" : "";
    if (!build_endpoint(reading->config, text, added)) {
        problem(reading, variable->name, "ignored: too long");
        return;
    }
    reading->endpoint_from = variable->name;
    reading->endpoint_https = url.scheme == URL_HTTPS;
}

static void parse_endpoint_base(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_endpoint(reading, variable, value, true);
}

static void parse_endpoint(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_endpoint(reading, variable, value, false);
}

/* ---- headers ---- */

static bool token_valid(struct slice name)
{
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' ||
            strchr("\"(),/:;<=>?@[\\]{}", name.data[i]))
            return false;
    return name.length > 0;
}

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
    if (equals == NULL || !token_valid(name))
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

static void parse_headers(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    size_t used = 0;
    while (slice_split(&rest, ',', &item)) {
        const char *why = item.length ? add_header(reading->config, item, &used) : NULL;
        if (why)
            problem(reading, variable->name, why);
    }
    reading->config->headers[used] = 0;
}

static void parse_methods(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        if (token_valid(item))
            continue;
        problem(reading, variable->name, "ignored: not a list of methods");
        return;
    }
    set_text(reading, variable, value);
}

/* ---- directories ---- */

/* A relative one would follow the program from directory to directory. */
static bool set_directory(
    struct reading *reading, const struct variable *variable, const char *value, const char *below)
{
    size_t length = strlen(value), more = strlen(below);
    if (value[0] != '/') {
        problem(reading, variable->name, "ignored: not an absolute path");
        return false;
    }
    if (length + more >= variable->size) {
        problem(reading, variable->name, "ignored: too long");
        return false;
    }
    char *out = target(reading, variable);
    memcpy(out, value, length);
    memcpy(out + length, below, more + 1);
    return true;
}

static void parse_directory(
    struct reading *reading, const struct variable *variable, const char *value)
{
    set_directory(reading, variable, value, "");
}

/* Root's programs share one store, whatever HOME says: services often have none or somebody's. */
static void parse_state_home(
    struct reading *reading, const struct variable *variable, const char *value)
{
    if (!reading->root && set_directory(reading, variable, value, "/burdock"))
        reading->state_home_given = true;
}

static void parse_home(struct reading *reading, const struct variable *variable, const char *value)
{
    if (!reading->root && !reading->state_home_given)
        set_directory(reading, variable, value, "/.local/state/burdock");
}

static void parse_store(struct reading *reading, const struct variable *variable, const char *value)
{
    set_directory(reading, variable, value, "");
}

static void parse_store_max(
    struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice text = slice_trim(whole(value));
    unsigned shift = 0;
    if (text.length > 0) {
        char unit = text.data[text.length - 1] & ~0x20;
        shift = unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
        text.length -= shift > 0;
    }
    uint64_t number;
    if (number_parse(text, INT64_MAX >> shift, &number))
        reading->config->store_bytes_max = number << shift;
    else
        problem(reading, variable->name, "ignored: not a number of bytes, K, M or G");
}

/* It becomes part of a file's name. */
static void parse_run(struct reading *reading, const struct variable *variable, const char *value)
{
    static const char permitted[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (strspn(value, permitted) == strlen(value))
        set_text(reading, variable, value);
    else
        problem(reading, variable->name, "ignored: letters and digits only");
}

/* ---- the table ---- */

static const struct variable variables[] = {
#define VARIABLE(name, parser, target, secure, text) \
    {name, parser, offsetof(struct config, target), sizeof(((struct config *)0)->target)},
#include "variables.def"
#undef VARIABLE
};

enum { VARIABLE_COUNT = sizeof(variables) / sizeof(variables[0]) };

static void collect(char *const *envp, const char *values[VARIABLE_COUNT])
{
    for (; *envp; envp++) {
        const char *entry = *envp;
        if (entry[0] != 'O' && entry[0] != 'B' && entry[0] != 'T' && entry[0] != 'H' &&
            entry[0] != 'X')
            continue;
        const char *equals = strchr(entry, '=');
        if (equals == NULL || equals[1] == 0)
            continue; /* empty is unset */
        size_t length = (size_t)(equals - entry);
        for (size_t i = 0; i < VARIABLE_COUNT; i++) {
            const char *name = variables[i].name;
            if (strncmp(name, entry, length) == 0 && name[length] == 0 && values[i] == NULL)
                values[i] = equals + 1; /* the first one counts, as for getenv */
        }
    }
}

static void set_defaults(struct config *config, bool root)
{
    memset(config, 0, sizeof(*config));
    config->propagators = PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE;
    config->sampler = SAMPLER_ALWAYS_ON;
    config->sampler_parent_based = true;
    config->sampler_ratio = 1;
    config->destination = DESTINATION_OTLP; /* until settled */
    config->export_timeout_ms = 10000;
    config->schedule_delay_ms = 5000;
    config->queue_spans_max = 2048;
    config->batch_spans_max = 512;
    config->exit_timeout_ms = 2000;
    config->attribute_value_limit = UINT32_MAX;
    config->attribute_count_limit = 128;
    config->store_bytes_max = 256u << 20;
    memcpy(config->run_directory, "/dev/shm", sizeof("/dev/shm"));
    if (root)
        memcpy(config->store_directory, "/var/lib/burdock", sizeof("/var/lib/burdock"));
}

static void settle_destination(struct reading *reading)
{
    struct config *config = reading->config;
    if (config->destination == DESTINATION_NONE)
        return;
    bool unable = reading->endpoint_https || reading->protocol_elsewhere;
    if (reading->endpoint_from && !unable)
        return;
    config->destination = DESTINATION_STORE;
    if (reading->endpoint_from && reading->endpoint_https)
        problem(reading, reading->endpoint_from,
            "https is not spoken inside the process: kept in the local store; send with burdock "
            "export");
    else if (reading->endpoint_from)
        problem(reading, reading->protocol_from,
            "grpc and http/json are not spoken inside the process: kept in the local store; send "
            "with burdock export");
}

static void settle(struct reading *reading)
{
    struct config *config = reading->config;
    settle_destination(reading);
    if (config->destination == DESTINATION_STORE && !reading->delay_given)
        config->schedule_delay_ms = 1000;
    if (config->batch_spans_max > config->queue_spans_max) {
        config->batch_spans_max = config->queue_spans_max;
        problem(reading, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "cut to OTEL_BSP_MAX_QUEUE_SIZE");
    }
}

void config_read(
    struct config *config, char *const *envp, char *const *argv, const char *executable)
{
    const char *values[VARIABLE_COUNT] = {NULL};
    struct reading reading = {.config = config, .root = sys(SYS_geteuid) == 0};
    set_defaults(config, reading.root);
    collect(envp, values);
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        if (values[i])
            variables[i].parse(&reading, &variables[i], values[i]);
    settle(&reading);
    if (!reading.service_given)
        service_name_guess(executable, argv, config->service_name, sizeof(config->service_name));
}
