/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the environment finds the values (this runs in every program that is started, so it
 * looks at most names for one byte only); then the rows of variables.def are applied in their
 * order; then what follows from several of them is settled.
 */
#include "config.h"

#include <string.h>

#include "config_parse.h"
#include "service_name.h"
#include "sys.h"

struct config config __attribute__((aligned(2048)));
_Static_assert(
    offsetof(struct config, store_directory) < 2048 - sizeof("/var/lib/burdock"), "one page");

static const char names[] =
#define VARIABLE(name, parser, target, secure, text) name "\0"
#include "variables.def"
#undef VARIABLE
    ;

static const struct {
    uint8_t name_bytes; /* with its end */
    uint16_t offset, size;
} variables[] = {
#define VARIABLE(name, parser, target, secure, text) \
    {sizeof(name), offsetof(struct config, target), sizeof(((struct config *)0)->target)},
#include "variables.def"
#undef VARIABLE
};
_Static_assert(sizeof(struct config) <= UINT16_MAX, "offsets fit");

enum { BATCH_ITEMS_MAX = 512 };
enum { VARIABLE_COUNT = sizeof(variables) / sizeof(variables[0]) };

static void apply(size_t row, struct reading *reading, const char *name, const char *value)
{
    const struct variable variable = {name, variables[row].offset, variables[row].size};
    enum { FIRST = __COUNTER__ + 1 };
    switch (row) {
#define VARIABLE(name, parser, target, secure, text) \
    case __COUNTER__ - FIRST:                        \
        parser(reading, &variable, value);           \
        break;
#include "variables.def"
#undef VARIABLE
    }
}

/* With two letters as a name of the table: most of an environment goes no further. A test holds the
 * list against the table. */
static bool may_be_ours(const char *entry)
{
    static const char beginnings[] = "OTBUTRHOXDPONOKUCOECBA";
    for (size_t i = 0; i < sizeof(beginnings) - 1; i += 2)
        if (entry[0] == beginnings[i] && entry[1] == beginnings[i + 1])
            return true;
    return false;
}

static void collect(char *const *envp, const char *values[VARIABLE_COUNT])
{
    for (; *envp; envp++) {
        const char *entry = *envp;
        if (!may_be_ours(entry))
            continue;
        const char *equals = strchr(entry, '=');
        if (equals == NULL || equals[1] == 0)
            continue; /* empty is unset */
        size_t length = (size_t)(equals - entry);
        const char *name = names;
        for (size_t i = 0; i < VARIABLE_COUNT; name += variables[i++].name_bytes)
            if (variables[i].name_bytes == length + 1 && memcmp(name, entry, length) == 0 &&
                values[i] == NULL)
                values[i] = equals + 1; /* the first one counts, as for getenv */
    }
}

static void set_defaults(struct config *config, bool root)
{
    config->propagators = PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE;
    config->w3c = true;
    config->propagator_order[0] = PROPAGATOR_AT_TRACECONTEXT;
    config->propagator_order[1] = PROPAGATOR_AT_BAGGAGE;
    config->propagator_count = 2;
    config->carriers = CARRIER_PYTHON | CARRIER_LUA | CARRIER_NODE | CARRIER_RUBY;
    config->sampler = SAMPLER_ALWAYS_ON;
    config->sampler_parent_based = true;
    config->sampler_ratio = 1;
    config->sampler_poll_ms = 60000;
    static const char *const paths[SIGNAL_COUNT] = {[SIGNAL_TRACES] = "/v1/traces",
        [SIGNAL_METRICS] = "/v1/metrics",
        [SIGNAL_LOGS] = "/v1/logs"};
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        config->signals[i].path = paths[i];
        config->signals[i].destination = DESTINATION_OTLP; /* until settled */
        config->signals[i].timeout_ms = 10000;
    }
    config->signals[SIGNAL_LOGS].destination = DESTINATION_NONE; /* unless asked for */
    config->metric_interval_ms = 60000;
    config->schedule_delay_ms = 5000;
    config->queue_spans_max = 2048;
    config->batch_logs_max = BATCH_ITEMS_MAX;
    config->exit_timeout_ms = 2000;
    config->stack_min_ns = 100 * 1000000ull;
    config->keeps_slow_ns = UINT64_MAX;
    config->attribute_value_limit = UINT32_MAX;
    config->attribute_count_limit = 128;
    config->link_count_limit = 128;
    config->store_bytes_max = 256u << 20;
    config->spool_bytes_max = 256u << 20;
    memcpy(config->run_directory, "/dev/shm", sizeof("/dev/shm"));
    if (root)
        memcpy(config->store_directory, "/var/lib/burdock", sizeof("/var/lib/burdock"));
}

/* The relay stands between: it speaks what is not to enter a host. */
static void settle_relay(struct reading *reading)
{
    struct config *config = reading->config;
    bool is_wanted = false;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        is_wanted |= config->signals[i].is_relayed;
    if (!is_wanted)
        return;
    memcpy(config->relay_url, "unix://", 7);
    if (config_relay_path(config, (uint32_t)sys(SYS_geteuid), config->relay_url + 7))
        return;
    parse_problem(reading, "BURDOCK_DIR",
        "too long for the relay's socket: https and grpc are not sent, see BURDOCK_RELAY");
    config->relay_url[0] = '\0';
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        if (config->signals[i].is_relayed)
            config->signals[i].destination = DESTINATION_STORE;
        config->signals[i].is_relayed = false;
    }
    config->records_logs &= config->signals[SIGNAL_LOGS].destination != DESTINATION_STORE;
}

/* What becomes of a signal that cannot go where it was to go. */
static const char *const kept_where[SIGNAL_COUNT][2] = {
    [SIGNAL_TRACES] = {"otlp_file needs BURDOCK_OTLP_FILE: kept in the local store",
        "off, and https and grpc are the relay's to speak: kept in the local store"},
    [SIGNAL_METRICS] = {"otlp_file needs BURDOCK_OTLP_METRICS_FILE: metrics are not exported",
        "off, and https and grpc are the relay's to speak: metrics are not sent"},
    [SIGNAL_LOGS] = {"otlp_file needs BURDOCK_OTLP_LOGS_FILE: logs are not exported",
        "off, and https and grpc are the relay's to speak: logs are not sent"}};

static const char *const exporter_variables[SIGNAL_COUNT] = {
    "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"};

/* What cannot go to its destination goes where its first copy was to go. */
static void settle_elsewhere(struct config_signal *settings)
{
    settings->destination = DESTINATION_STORE;
    if (settings->copy_count == 0)
        return;
    settings->destination = settings->copies[0].destination;
    settings->outlet = settings->copies[0].outlet;
    settings->copy_count--;
    memmove(
        settings->copies, settings->copies + 1, settings->copy_count * sizeof(settings->copies[0]));
}

static void settle_file(struct reading *reading, enum signal signal)
{
    struct config_signal *settings = &reading->config->signals[signal];
    unsigned kept = 0;
    if (settings->destination != DESTINATION_FILE && settings->copy_count == 0)
        return; /* before the paths are read, which would touch their pages */
    bool has_path = reading->config->outlet_paths[signal][0] != '\0', is_lost = false;
    for (unsigned i = 0; i < settings->copy_count && !has_path; i++)
        if (settings->copies[i].destination != DESTINATION_FILE || settings->copies[i].outlet != 0)
            settings->copies[kept++] = settings->copies[i];
        else
            is_lost = true;
    settings->copy_count = has_path ? settings->copy_count : (uint8_t)kept;
    if (settings->destination == DESTINATION_FILE && settings->outlet == 0 && !has_path) {
        parse_problem(reading, exporter_variables[signal], kept_where[signal][0]);
        settle_elsewhere(settings);
    } else if (is_lost) {
        parse_problem(reading, exporter_variables[signal], "otlp_file needs the path of a file");
    }
}

static void settle_destination(struct reading *reading, enum signal signal)
{
    struct config_signal *settings = &reading->config->signals[signal];
    const char *endpoint_from = reading->signals[signal].endpoint_from;
    bool is_spoken = !reading->signals[signal].is_https && !settings->grpc;
    settle_file(reading, signal);
    if (settings->destination != DESTINATION_OTLP)
        return;
    settings->is_relayed = endpoint_from && !is_spoken && !reading->config->relay_off;
    if (endpoint_from && (is_spoken || settings->is_relayed))
        return;
    settings->destination = DESTINATION_STORE;
    if (endpoint_from)
        parse_problem(reading, "BURDOCK_RELAY", kept_where[signal][1]);
    else if (signal == SIGNAL_LOGS)
        parse_problem(reading, "OTEL_LOGS_EXPORTER", "otlp needs an endpoint: logs are not sent");
    if (signal != SIGNAL_TRACES)
        settle_elsewhere(settings);
}

/* The exporter's thread takes one descriptor along: the first. */
static void settle_outlet(struct reading *reading, enum signal signal, uint8_t *outlet)
{
    uint8_t *kept = &reading->config->outlet_descriptor;
    if (*outlet == 0)
        return;
    if (*kept != 0 && *kept != *outlet)
        parse_problem(reading, exporter_variables[signal],
            "others go to the other one of stdout and stderr: these do too, see BURDOCK_CONSOLE");
    *kept = *outlet = *kept != 0 ? *kept : *outlet;
}

static void settle_outlets(struct reading *reading)
{
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        struct config_signal *settings = &reading->config->signals[i];
        settle_outlet(reading, (enum signal)i, &settings->outlet);
        for (unsigned c = 0; c < settings->copy_count; c++)
            settle_outlet(reading, (enum signal)i, &settings->copies[c].outlet);
    }
}

static void settle_logs(struct reading *reading)
{
    struct config *config = reading->config;
    enum destination destination = config->signals[SIGNAL_LOGS].destination;
    if (destination != DESTINATION_NONE && !config->joins_logs) {
        parse_problem(reading, "OTEL_LOGS_EXPORTER", "without effect: BURDOCK_LOGS names no log");
        config->signals[SIGNAL_LOGS].destination = DESTINATION_NONE;
        config->signals[SIGNAL_LOGS].outlet = config->signals[SIGNAL_LOGS].copy_count = 0;
        return;
    }
    settle_destination(reading, SIGNAL_LOGS);
    config->records_logs = !config->sdk_disabled && config_sends(config, SIGNAL_LOGS);
    if (config->signals[SIGNAL_LOGS].destination == DESTINATION_CONSOLE)
        config->batch_logs_max = 1;
}

static void settle(struct reading *reading)
{
    struct config *config = reading->config;
    config_settle_sampling(config);
    config->w3c_of_all = config->w3c && config->trust == TRUST_ALL;
    settle_destination(reading, SIGNAL_TRACES);
    settle_destination(reading, SIGNAL_METRICS);
    settle_logs(reading);
    settle_outlets(reading);
    settle_relay(reading);
    if (config->scraped && config->delta) {
        parse_problem(reading, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "ignored: with prometheus all is cumulative");
        config->delta = false;
    }
    if (config->scraped && config->exponential) {
        parse_problem(reading, "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "ignored: prometheus' text has explicit buckets only");
        config->exponential = false;
    }
    bool traces =
        !config->sdk_disabled && config->signals[SIGNAL_TRACES].destination != DESTINATION_NONE;
    config->measures =
        !config->sdk_disabled && (config->scraped || config_sends(config, SIGNAL_METRICS));
    config->records = config->measures || traces;
    config->keeps = config->keeps && traces;
    config->answer_headers = traces ? config->answer_headers : 0;
    config->records_unsampled = config->measures || config->keeps;
    enum destination destination = config->signals[SIGNAL_TRACES].destination;
    if (destination != DESTINATION_OTLP && destination != DESTINATION_NONE && !reading->delay_given)
        config->schedule_delay_ms = 1000;
    config->batch_may_grow = config->batch_spans_max == 0 && destination == DESTINATION_OTLP;
    if (config->batch_spans_max == 0)
        config->batch_spans_max = BATCH_ITEMS_MAX;
    if (config->batch_spans_max > config->queue_spans_max) {
        config->batch_spans_max = config->queue_spans_max;
        config->batch_may_grow = false;
        parse_problem(reading, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "cut to OTEL_BSP_MAX_QUEUE_SIZE");
    }
    if (destination == DESTINATION_CONSOLE)
        config->batch_spans_max = 1; /* each span is a line, in the order in which they ended */
}

/* Proxies that run requests on an event loop or a pool and send their heads on. */
static bool passes_heads_on(const char *executable)
{
    static const char *const names[] = {"haproxy", "squid", "varnishd"};
    const char *slash = strrchr(executable, '/');
    const char *name = slash == NULL ? executable : slash + 1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

void config_read_first(
    struct config *config, char *const *envp, char *const *argv, const char *executable)
{
    const char *values[VARIABLE_COUNT] = {NULL};
    struct reading reading = {
        .config = config, .executable = executable, .root = sys(SYS_geteuid) == 0};
    set_defaults(config, reading.root);
    collect(envp, values);
    const char *name = names;
    for (size_t i = 0; i < VARIABLE_COUNT; name += variables[i++].name_bytes)
        if (values[i])
            apply(i, &reading, name, values[i]);
    settle(&reading);
    if (!config->inbound_given)
        config->inserts_inbound = passes_heads_on(executable);
    if (!reading.service_given)
        service_name_guess(executable, argv, config->service_name, sizeof(config->service_name));
}

void config_read(
    struct config *config, char *const *envp, char *const *argv, const char *executable)
{
    memset(config, 0, sizeof(*config));
    config_read_first(config, envp, argv, executable);
}
