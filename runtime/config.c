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

struct config config;

static const struct variable variables[] = {
#define VARIABLE(name, parser, target, secure, text) \
    {name, parser, offsetof(struct config, target), sizeof(((struct config *)0)->target)},
#include "variables.def"
#undef VARIABLE
};

enum { VARIABLE_COUNT = sizeof(variables) / sizeof(variables[0]) };

/* With two letters as a name of the table: most of an environment goes no further. A test holds the
 * list against the table. */
static bool may_be_ours(const char *entry)
{
    static const char beginnings[] = "OTBUTRHOXDPONOKUCOEC";
    for (size_t i = 0; i < sizeof(beginnings) - 1; i += 2)
        if (entry[0] == beginnings[i])
            return entry[1] == beginnings[i + 1];
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
        for (size_t i = 0; i < VARIABLE_COUNT; i++) {
            const char *name = variables[i].name;
            if (name[0] == entry[0] && strncmp(name, entry, length) == 0 && name[length] == 0 &&
                values[i] == NULL)
                values[i] = equals + 1; /* the first one counts, as for getenv */
        }
    }
}

static void set_defaults(struct config *config, bool root)
{
    config->propagators = PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE;
    config->w3c = true;
    config->propagator_order[0] = PROPAGATOR_AT_TRACECONTEXT;
    config->propagator_order[1] = PROPAGATOR_AT_BAGGAGE;
    config->propagator_count = 2;
    config->carriers = CARRIER_PYTHON;
    config->sampler = SAMPLER_ALWAYS_ON;
    config->sampler_parent_based = true;
    config->sampler_ratio = 1;
    config->sampler_poll_ms = 60000;
    static const char *const paths[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = "/v1/traces", [SIGNAL_METRICS] = "/v1/metrics"};
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        config->signals[i].path = paths[i];
        config->signals[i].destination = DESTINATION_OTLP; /* until settled */
        config->signals[i].timeout_ms = 10000;
    }
    config->metric_interval_ms = 60000;
    config->schedule_delay_ms = 5000;
    config->queue_spans_max = 2048;
    config->batch_spans_max = 512;
    config->exit_timeout_ms = 2000;
    config->stack_min_ns = 100 * 1000000ull;
    config->keeps_slow_ns = UINT64_MAX;
    config->attribute_value_limit = UINT32_MAX;
    config->attribute_count_limit = 128;
    config->store_bytes_max = 256u << 20;
    config->spool_bytes_max = 256u << 20;
    memcpy(config->run_directory, "/dev/shm", sizeof("/dev/shm"));
    if (root)
        memcpy(config->store_directory, "/var/lib/burdock", sizeof("/var/lib/burdock"));
}

static void settle_destination(struct reading *reading, enum signal signal)
{
    struct config_signal *settings = &reading->config->signals[signal];
    const char *endpoint_from = reading->signals[signal].endpoint_from;
    bool is_https = reading->signals[signal].is_https;
    if (settings->destination == DESTINATION_FILE && reading->config->outlet_descriptor == 0 &&
        reading->config->outlet_path[0] == '\0') {
        parse_problem(reading, "OTEL_TRACES_EXPORTER",
            "otlp_file needs BURDOCK_OTLP_FILE: kept in the local store");
        settings->destination = DESTINATION_STORE;
    }
    if (settings->destination != DESTINATION_OTLP)
        return;
    if (endpoint_from && !is_https && !reading->signals[signal].is_elsewhere)
        return;
    settings->destination = DESTINATION_STORE;
    if (endpoint_from == NULL)
        return;
    const char *from = is_https ? endpoint_from : reading->signals[signal].protocol_from;
    if (signal == SIGNAL_METRICS)
        parse_problem(reading, from,
            "https and grpc are not spoken inside the process: metrics are not sent");
    else if (is_https)
        parse_problem(reading, from,
            "https is not spoken inside the process: kept in the local store; send with burdock "
            "export");
    else
        parse_problem(reading, from,
            "grpc is not spoken inside the process: kept in the local store; send with burdock "
            "export");
}

static void settle(struct reading *reading)
{
    struct config *config = reading->config;
    config_settle_sampling(config);
    config->w3c_of_all = config->w3c && config->trust == TRUST_ALL;
    settle_destination(reading, SIGNAL_TRACES);
    settle_destination(reading, SIGNAL_METRICS);
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
    config->measures =
        !config->sdk_disabled &&
        (config->scraped || config->signals[SIGNAL_METRICS].destination == DESTINATION_OTLP);
    config->records =
        config->measures ||
        (!config->sdk_disabled && config->signals[SIGNAL_TRACES].destination != DESTINATION_NONE);
    config->keeps = config->keeps && !config->sdk_disabled &&
                    config->signals[SIGNAL_TRACES].destination != DESTINATION_NONE;
    config->records_unsampled = config->measures || config->keeps;
    enum destination destination = config->signals[SIGNAL_TRACES].destination;
    if (destination != DESTINATION_OTLP && destination != DESTINATION_NONE && !reading->delay_given)
        config->schedule_delay_ms = 1000;
    if (config->batch_spans_max > config->queue_spans_max) {
        config->batch_spans_max = config->queue_spans_max;
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
    for (size_t i = 0; i < VARIABLE_COUNT; i++)
        if (values[i])
            variables[i].parse(&reading, &variables[i], values[i]);
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
