/* SPDX-License-Identifier: Apache-2.0 */
/* The environment as configuration: one row per rule. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "service_name.h"
#include "tap.h"

static struct config c;
static char *arguments[] = {"/usr/bin/shop", NULL};

/* Reads the variables given as "A=b", ended by NULL. */
#define READ(...) config_read(&c, (char *[]){__VA_ARGS__, NULL}, arguments, "/usr/bin/shop")

static bool problem_with(const char *variable)
{
    for (unsigned i = 0; i < c.problem_count && i < CONFIG_PROBLEMS_MAX; i++)
        if (strcmp(c.problems[i].variable, variable) == 0)
            return true;
    return false;
}

static void test_defaults(void)
{
    READ("PATH=/bin", "NOTHING");
    CHECK(!c.disabled && !c.sdk_disabled && c.problem_count == 0, "nothing set, nothing wrong");
    CHECK(strcmp(c.service_name, "shop") == 0, "service name: the executable");
    CHECK(c.propagators == (PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE), "both propagators");
    CHECK(c.sampler == SAMPLER_ALWAYS_ON && c.sampler_parent_based && c.sampler_ratio == 1,
        "parentbased_always_on");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE && c.schedule_delay_ms == 1000,
        "no endpoint: the store, each second");
    CHECK(c.signals[SIGNAL_TRACES].timeout_ms == 10000 && c.queue_spans_max == 2048 &&
              c.batch_spans_max == 512 && c.exit_timeout_ms == 2000,
        "times and sizes");
    CHECK(c.attribute_value_limit == UINT32_MAX && c.attribute_count_limit == 128 &&
              c.link_count_limit == 128,
        "limits");
    CHECK(strcmp(c.run_directory, "/dev/shm") == 0 && c.store_bytes_max == 256u << 20, "places");
    CHECK(strcmp(c.store_directory, geteuid() == 0 ? "/var/lib/burdock" : "") == 0, "store");
}

static void test_values(void)
{
    READ("BURDOCK_DISABLED=TRUE", "OTEL_SDK_DISABLED=1", "OTEL_SERVICE_NAME=");
    CHECK(c.disabled && !c.sdk_disabled, "only true is true, in any case");
    CHECK(problem_with("OTEL_SDK_DISABLED"), "1 is reported");
    READ("BURDOCK_DISABLED=1", "BURDOCK_RANDOM_FLAG_OFF=0", "OTEL_SERVICE_NAME=");
    CHECK(c.disabled && !c.random_flag_off && c.problem_count == 0, "our own take 1 and 0, too");
    CHECK(strcmp(c.service_name, "shop") == 0, "empty is unset");
    READ("OTEL_BSP_SCHEDULE_DELAY=-1", "OTEL_BSP_MAX_QUEUE_SIZE=0",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=12x", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=99999999999");
    CHECK(c.problem_count == 4 && c.queue_spans_max == 2048 && c.attribute_count_limit == 128,
        "bad numbers are ignored and reported");
    READ("OTEL_BSP_SCHEDULE_DELAY= 250 ", "OTEL_BSP_MAX_QUEUE_SIZE=100");
    CHECK(
        c.schedule_delay_ms == 250 && c.batch_spans_max == 100, "a batch is no more than a queue");
    READ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT=9", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=7",
        "OTEL_ATTRIBUTE_COUNT_LIMIT=3");
    CHECK(c.attribute_value_limit == 9 && c.attribute_count_limit == 3, "the nearer limit wins");
    READ("OTEL_EXPORTER_OTLP_TIMEOUT=40000");
    CHECK(c.signals[SIGNAL_TRACES].timeout_ms == 40000, "a timeout");
    READ("OTEL_EXPORTER_OTLP_TIMEOUT=0", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=500",
        "OTEL_BSP_EXPORT_TIMEOUT=300");
    CHECK(c.signals[SIGNAL_TRACES].timeout_ms == 300, "the smaller timeout");
    READ("OTEL_EXPORTER_OTLP_TIMEOUT=0");
    CHECK(c.signals[SIGNAL_TRACES].timeout_ms == 0, "none");
    READ("BURDOCK_STORE_MAX=3g", "BURDOCK_RUN=abc9", "BURDOCK_DIR=relative", "BURDOCK_STORE=/s",
        "HOME=/h", "XDG_STATE_HOME=/x");
    CHECK(c.store_bytes_max == 3ull << 30 && strcmp(c.run_id, "abc9") == 0, "sizes have suffixes");
    CHECK(problem_with("BURDOCK_DIR") && strcmp(c.run_directory, "/dev/shm") == 0,
        "no relative path");
    CHECK(strcmp(c.store_directory, "/s") == 0, "BURDOCK_STORE wins");
    READ("BURDOCK_STORE_MAX=99999999999G", "BURDOCK_RUN=../x", "BURDOCK_STORE_MAX=1K");
    CHECK(c.problem_count == 2 && c.run_id[0] == 0 && c.store_bytes_max == 256u << 20,
        "what does not fit or is a path is ignored; the first of two counts");
    READ("TRACEPARENT=00-1", "TRACESTATE=a=b", "BURDOCK_RANDOM_FLAG_OFF=true",
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=GET,PURGE", "OTEL_CONFIG_FILE=/x");
    CHECK(strcmp(c.traceparent, "00-1") == 0 && strcmp(c.tracestate, "a=b") == 0, "own parent");
    CHECK(c.random_flag_off && strcmp(c.known_methods, "GET,PURGE") == 0, "flag and methods");
    CHECK(problem_with("OTEL_CONFIG_FILE"), "a configuration file is not passed over in silence");
}

static void test_choices(void)
{
    static const struct {
        const char *name;
        enum sampler_kind kind;
        bool parent_based;
    } rows[] = {{"always_on", SAMPLER_ALWAYS_ON, false}, {"ALWAYS_OFF", SAMPLER_ALWAYS_OFF, false},
        {"traceidratio", SAMPLER_RATIO, false}, {"parentbased_always_on", SAMPLER_ALWAYS_ON, true},
        {"parentbased_always_off", SAMPLER_ALWAYS_OFF, true},
        {"ParentBased_TraceIdRatio", SAMPLER_RATIO, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "OTEL_TRACES_SAMPLER=%s", rows[i].name);
        READ("OTEL_TRACES_SAMPLER_ARG=0.25", text);
        bool ratio = rows[i].kind == SAMPLER_RATIO;
        CHECK(c.sampler == rows[i].kind && c.sampler_parent_based == rows[i].parent_based &&
                  c.sampler_ratio == (ratio ? 0.25 : 1) && c.problem_count == 0,
            "sampler %s", rows[i].name);
    }
    READ("OTEL_TRACES_SAMPLER=zipkin", "OTEL_TRACES_SAMPLER_ARG=0.5");
    CHECK(problem_with("OTEL_TRACES_SAMPLER") && c.sampler == SAMPLER_ALWAYS_ON &&
              c.sampler_parent_based && c.sampler_ratio == 1,
        "an unsupported sampler gives the default");
    READ("OTEL_TRACES_SAMPLER=xray", "OTEL_TRACES_SAMPLER_ARG=polling_interval=10");
    CHECK(c.sampler == SAMPLER_XRAY && c.sampler_parent_based && c.sampler_poll_ms == 10000 &&
              strcmp(c.sampler_url, "http://127.0.0.1:2000/GetSamplingRules") == 0 &&
              c.problem_count == 0,
        "X-Ray's daemon is asked");
    READ("OTEL_TRACES_SAMPLER=xray",
        "OTEL_TRACES_SAMPLER_ARG=endpoint=http://a:1,initialSamplingRate=1");
    CHECK(strcmp(c.sampler_url, "http://a:1/GetSamplingRules") == 0 && c.sampler_ratio == 0.05 &&
              problem_with("OTEL_TRACES_SAMPLER_ARG"),
        "where it is; what is Jaeger's is no argument of it");
    static const struct {
        const char *text;
        double ratio;
    } ratios[] = {{"0", 0}, {"1", 1}, {"1.0", 1}, {".5", .5}, {"0.001", .001},
        {"0.33333333333333333333333", 1. / 3}, {"1e-3", .001}, {"2.5E-1", .25}, {"10e-1", 1},
        {"0.05e+1", .5}, {"1e-300", 0}};
    for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "OTEL_TRACES_SAMPLER_ARG=%s", ratios[i].text);
        READ("OTEL_TRACES_SAMPLER=traceidratio", text);
        double off = c.sampler_ratio - ratios[i].ratio;
        CHECK(off < 1e-12 && off > -1e-12 && c.problem_count == 0, "ratio %s", ratios[i].text);
    }
    static const char *const bad[] = {
        "1.1", "-0.5", "half", "0.5x", ".", "1..0", "e-3", "1e1", "1e-3x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "OTEL_TRACES_SAMPLER_ARG=%s", bad[i]);
        READ("OTEL_TRACES_SAMPLER=traceidratio", text);
        CHECK(c.sampler_ratio == 1 && c.problem_count == 1, "no ratio: %s", bad[i]);
    }
    READ("OTEL_PROPAGATORS=tracecontext,TraceContext,zipkin");
    CHECK(c.propagators == PROPAGATOR_TRACECONTEXT && c.problem_count == 1 && c.w3c &&
              c.propagator_count == 1,
        "known propagators");
    READ("OTEL_PROPAGATORS=b3multi,tracecontext,B3multi");
    CHECK(c.propagator_count == 2 && c.propagator_order[0] == PROPAGATOR_AT_B3MULTI &&
              c.propagator_order[1] == PROPAGATOR_AT_TRACECONTEXT && !c.w3c,
        "propagators in their order, each once");
    READ("OTEL_PROPAGATORS=none");
    CHECK(c.propagators == 0 && c.problem_count == 0, "no propagators");
    READ("OTEL_PROPAGATORS=zipkin");
    CHECK(c.propagators == 3 && c.propagator_count == 2 && c.w3c && c.problem_count == 1,
        "only unknown ones: the default");
    READ("A=b");
    CHECK(c.carriers == (CARRIER_PYTHON | CARRIER_LUA | CARRIER_NODE | CARRIER_RUBY),
        "all but Java's by default");
    READ("BURDOCK_CARRIERS=none");
    CHECK(c.carriers == 0 && c.problem_count == 0, "no carriers");
    READ("BURDOCK_CARRIERS=node, cobol");
    CHECK(c.carriers == CARRIER_NODE && c.problem_count == 1, "known carriers");
    READ("BURDOCK_CARRIERS=python,java");
    CHECK(c.carriers == (CARRIER_PYTHON | CARRIER_JAVA) && c.problem_count == 0, "two carriers");
    READ("A=b");
    CHECK(c.answer_headers == 0, "answers name no span by default");
    READ("BURDOCK_RESPONSE_HEADERS=server-timing, traceresponse");
    CHECK(c.answer_headers == (ANSWER_TRACERESPONSE | ANSWER_SERVER_TIMING) && c.problem_count == 0,
        "headers of answers");
    READ("BURDOCK_RESPONSE_HEADERS=traceresponse", "OTEL_TRACES_EXPORTER=none");
    CHECK(c.answer_headers == 0, "no spans, none that an answer could name");
    READ("BURDOCK_RESPONSE_HEADERS=x-trace");
    CHECK(c.answer_headers == 0 && c.problem_count == 1, "an unknown header");
    READ("OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_NONE, "no exporter");
    READ("OTEL_TRACES_EXPORTER=zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h",
        "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_OTLP && c.problem_count == 2 &&
              c.signals[SIGNAL_TRACES].gzip,
        "unknown ones ignored");
    READ("OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=none");
    CHECK(!c.signals[SIGNAL_TRACES].gzip, "compression of the signal");
}

static void test_outlets(void)
{
    READ("OTEL_TRACES_EXPORTER= console", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_CONSOLE && c.outlet_descriptor == 2 &&
              c.batch_spans_max == 1 && c.schedule_delay_ms == 1000 && c.measures &&
              c.problem_count == 0,
        "the console is stderr, endpoint or not");
    READ("BURDOCK_CONSOLE=STDOUT", "OTEL_TRACES_EXPORTER=none,console,console");
    CHECK(c.outlet_descriptor == 1 && c.problem_count == 0, "or stdout");
    READ("BURDOCK_CONSOLE=stdout");
    CHECK(c.outlet_descriptor == 0 && c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE,
        "which alone asks for nothing");
    READ("BURDOCK_CONSOLE=tty", "OTEL_TRACES_EXPORTER=console,otlp");
    CHECK(c.outlet_descriptor == 2 && c.problem_count == 1 && problem_with("BURDOCK_CONSOLE"),
        "one of two descriptors");
    const struct config_signal *spans = &c.signals[SIGNAL_TRACES];
    READ("OTEL_TRACES_EXPORTER=console,otlp,none,console,otlp_file,zipkin",
        "BURDOCK_OTLP_FILE=/var/log/spans.jsonl", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h");
    CHECK(spans->destination == DESTINATION_OTLP && spans->outlet == 0 && spans->copy_count == 2 &&
              spans->copies[0].destination == DESTINATION_CONSOLE && spans->copies[0].outlet == 2 &&
              spans->copies[1].destination == DESTINATION_FILE && spans->copies[1].outlet == 0 &&
              c.outlet_descriptor == 2 && c.batch_spans_max == 512 && c.batch_may_grow &&
              c.problem_count == 1 && problem_with("OTEL_TRACES_EXPORTER"),
        "several: the collector first, each once, and what is unknown is told");
    READ("OTEL_TRACES_EXPORTER=otlp,console", "BURDOCK_CONSOLE=stdout");
    CHECK(spans->destination == DESTINATION_STORE && spans->copies[0].outlet == 1 &&
              c.outlet_descriptor == 1 && c.problem_count == 0,
        "the store and the console");
    READ("OTEL_TRACES_EXPORTER=otlp_file,console", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h");
    CHECK(spans->destination == DESTINATION_CONSOLE && spans->copy_count == 0 &&
              problem_with("OTEL_TRACES_EXPORTER"),
        "what is left of them without a file");
    READ("OTEL_TRACES_EXPORTER=otlp,otlp_file", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h");
    CHECK(spans->destination == DESTINATION_OTLP && spans->copy_count == 0 &&
              problem_with("OTEL_TRACES_EXPORTER"),
        "that is told of a copy, too");
    READ("OTEL_TRACES_EXPORTER=console,otlp/stdout");
    CHECK(spans->outlet == 2 && spans->copies[0].outlet == 2 && c.outlet_descriptor == 2 &&
              problem_with("OTEL_TRACES_EXPORTER"),
        "one descriptor for all");
    READ("OTEL_TRACES_EXPORTER=otlp/stdout");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_FILE && c.outlet_descriptor == 1 &&
              c.batch_spans_max == 512,
        "OTLP on stdout");
    READ("OTEL_TRACES_EXPORTER=otlp_file", "BURDOCK_OTLP_FILE=/var/log/spans.jsonl");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_FILE && c.outlet_descriptor == 0 &&
              strcmp(c.outlet_paths[SIGNAL_TRACES], "/var/log/spans.jsonl") == 0 &&
              c.problem_count == 0,
        "OTLP in a file");
    READ("OTEL_TRACES_EXPORTER=otlp_file", "BURDOCK_OTLP_FILE=spans.jsonl");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE && c.problem_count == 2 &&
              problem_with("BURDOCK_OTLP_FILE"),
        "which has an absolute path, or is not");
    const struct config_signal *metrics = &c.signals[SIGNAL_METRICS];
    READ("OTEL_METRICS_EXPORTER=console,prometheus");
    CHECK(c.measures && c.scraped && metrics->destination == DESTINATION_CONSOLE &&
              metrics->copy_count == 0 && c.outlet_descriptor == 2 && c.problem_count == 0,
        "metrics have a console, too");
    READ("OTEL_METRICS_EXPORTER=otlp,otlp_file", "BURDOCK_OTLP_METRICS_FILE=/var/log/m.jsonl");
    CHECK(c.measures && metrics->destination == DESTINATION_FILE && metrics->copy_count == 0,
        "and without an endpoint only the file");
    READ("OTEL_METRICS_EXPORTER=otlp_file");
    CHECK(!c.measures && metrics->destination == DESTINATION_STORE &&
              problem_with("OTEL_METRICS_EXPORTER"),
        "which needs a path");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_OTLP &&
              c.signals[SIGNAL_TRACES].json && !c.signals[SIGNAL_METRICS].json &&
              c.problem_count == 0,
        "JSON is spoken, by signal");
}

static void test_logs_exporter(void)
{
    READ("BURDOCK_LOGS=2", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h/x");
    CHECK(!c.records_logs && c.signals[SIGNAL_LOGS].destination == DESTINATION_NONE &&
              c.problem_count == 0,
        "lines are no records unless asked for");
    READ("BURDOCK_LOGS=2", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h/x", "OTEL_LOGS_EXPORTER=otlp",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS=a=b", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=7");
    CHECK(c.records_logs && strcmp(c.urls[SIGNAL_LOGS], "http://h/x/v1/logs") == 0 &&
              strcmp(c.headers[SIGNAL_LOGS], "a: b\r\n") == 0 && !*c.headers[SIGNAL_TRACES] &&
              c.batch_logs_max == 7 && c.problem_count == 0,
        "asked for, they go beside the spans, by variables of their own");
    READ("BURDOCK_LOGS=2", "OTEL_LOGS_EXPORTER=otlp");
    CHECK(!c.records_logs && problem_with("OTEL_LOGS_EXPORTER"), "but for want of an endpoint");
    READ("BURDOCK_LOGS=2", "OTEL_LOGS_EXPORTER=otlp,console");
    CHECK(c.records_logs && c.signals[SIGNAL_LOGS].destination == DESTINATION_CONSOLE &&
              c.signals[SIGNAL_LOGS].copy_count == 0 && problem_with("OTEL_LOGS_EXPORTER"),
        "then to the other of two");
    READ("OTEL_LOGS_EXPORTER=console", "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none");
    CHECK(!c.records_logs && !c.records && problem_with("OTEL_LOGS_EXPORTER"), "or of a log");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=none");
    CHECK(!c.records_logs && c.problem_count == 0, "none");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=logging,prometheus");
    CHECK(!c.records_logs && c.problem_count == 2 && problem_with("OTEL_LOGS_EXPORTER"),
        "what is no exporter");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=console", "OTEL_SDK_DISABLED=true");
    CHECK(!c.records_logs, "disabled");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=console", "OTEL_TRACES_EXPORTER=otlp/stdout");
    CHECK(c.records_logs && c.outlet_descriptor == 1 && c.signals[SIGNAL_LOGS].outlet == 1 &&
              problem_with("OTEL_LOGS_EXPORTER"),
        "one descriptor for both");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=console", "OTEL_TRACES_EXPORTER=none");
    CHECK(c.records_logs && !c.records && c.outlet_descriptor == 2 && c.batch_logs_max == 1 &&
              c.problem_count == 0,
        "the console, of logs alone");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=otlp_file");
    CHECK(!c.records_logs && problem_with("OTEL_LOGS_EXPORTER"), "no file");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=https://h",
        "BURDOCK_RELAY=off");
    CHECK(!c.records_logs && problem_with("BURDOCK_RELAY"), "no relay");
    READ("BURDOCK_LOGS=1", "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=https://h");
    CHECK(c.records_logs && c.signals[SIGNAL_LOGS].is_relayed, "by the relay");
}

static void test_orchestrators(void)
{
    READ("POD_NAME=shop-1", "KUBERNETES_SERVICE_HOST=10.0.0.1", "NODE_NAME=n");
    CHECK(c.in_kubernetes && strcmp(c.kubernetes[KUBERNETES_POD_NAME], "shop-1") == 0 &&
              strcmp(c.kubernetes[KUBERNETES_NODE], "n") == 0,
        "what a pod is told");
    READ("OTEL_RESOURCE_ATTRIBUTES_POD_NAME=b", "POD_NAME=a", "POD_UID=\xFF");
    CHECK(!c.in_kubernetes && strcmp(c.kubernetes[KUBERNETES_POD_NAME], "b") == 0 &&
              c.kubernetes[KUBERNETES_POD_UID][0] == 0,
        "the operator's variable wins; what is no text is none");
    static const struct {
        const char *url;
        bool is_good;
    } rows[] = {{"http://169.254.170.2/v4/1f", true}, {"http://127.0.0.1:80/v4", true},
        {"http://169.254.170.2.example.org/", false}, {"https://169.254.170.2/", false},
        {"http://10.0.0.1/", false}, {"http://localhost/", false}, {"unix:///x", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "ECS_CONTAINER_METADATA_URI_V4=%s", rows[i].url);
        READ(text);
        CHECK((c.ecs_metadata[0] != 0) == rows[i].is_good &&
                  (c.problem_count == 0) == rows[i].is_good,
            "the agent of ECS at %s", rows[i].url);
    }
}

static void test_endpoint(void)
{
    static const struct {
        const char *base, *traces, *url;
    } rows[] = {{"http://h:4318", "", "http://h:4318/v1/traces"},
        {"http://h:4318/", "", "http://h:4318/v1/traces"},
        {"HTTP://h/pre/fix", "", "HTTP://h/pre/fix/v1/traces"},
        {"http://h/a?k=v", "", "http://h/a/v1/traces?k=v"},
        {"http://[::1]:80/#x", "", "http://[::1]:80/v1/traces"},
        {"http://h", "http://t", "http://t/"}, {"", "http://t:1/x/", "http://t:1/x/"},
        {"", "http://t?q", "http://t/?q"}, {"unix:///run/c.sock", "", "unix:///run/c.sock"},
        {"", "unix:///run/c.sock", "unix:///run/c.sock"}};
    char base[128], traces[128];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(base, sizeof(base), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", rows[i].base);
        snprintf(traces, sizeof(traces), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=%s", rows[i].traces);
        READ(traces, base);
        CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_OTLP &&
                  strcmp(c.urls[SIGNAL_TRACES], rows[i].url) == 0 && c.schedule_delay_ms == 5000 &&
                  c.problem_count == 0,
            "%s %s: %s", rows[i].base, rows[i].traces, c.urls[SIGNAL_TRACES]);
    }
    static const char *const bad[] = {"h:4318", "ftp://h", "http://", "http://u:p@h", "http://h:0",
        "http://h:70000", "http://h:x", "http://[::1", "http://h/a b", "http://h/\r\nX:1",
        "unix://x", "http://:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(base, sizeof(base), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", bad[i]);
        READ(base);
        CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE &&
                  problem_with("OTEL_EXPORTER_OTLP_ENDPOINT"),
            "no endpoint: row %zu", i);
    }
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf");
    CHECK(c.signals[SIGNAL_METRICS].grpc && c.signals[SIGNAL_METRICS].is_relayed && c.measures &&
              !c.signals[SIGNAL_TRACES].grpc && !c.signals[SIGNAL_TRACES].is_relayed &&
              c.problem_count == 0,
        "the signal's protocol wins");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h/p", "OTEL_METRIC_EXPORT_INTERVAL=500",
        "OTEL_EXPORTER_OTLP_HEADERS=a=1", "OTEL_EXPORTER_OTLP_METRICS_HEADERS=b=2",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=Delta",
        "OTEL_METRICS_EXEMPLAR_FILTER=always_off", "OTEL_METRIC_EXPORT_TIMEOUT=200");
    CHECK(c.measures && c.delta && c.exemplars == EXEMPLAR_ALWAYS_OFF && c.problem_count == 0 &&
              c.metric_interval_ms == 500 && c.signals[SIGNAL_METRICS].timeout_ms == 200 &&
              c.signals[SIGNAL_TRACES].timeout_ms == 10000 &&
              strcmp(c.urls[SIGNAL_METRICS], "http://h/p/v1/metrics") == 0 &&
              strcmp(c.headers[SIGNAL_METRICS], "b: 2\r\n") == 0 &&
              strcmp(c.headers[SIGNAL_TRACES], "a: 1\r\n") == 0,
        "metrics have settings of their own");
    READ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://h", "OTEL_TRACES_EXPORTER=none");
    CHECK(c.measures && c.records && strcmp(c.urls[SIGNAL_METRICS], "http://h/") == 0,
        "metrics alone");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h", "OTEL_METRICS_EXPORTER=none");
    CHECK(!c.measures && c.records, "no metrics");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h", "OTEL_SDK_DISABLED=true");
    CHECK(!c.measures && !c.records, "nothing at all");
    READ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="
         "base2_exponential_bucket_histogram");
    CHECK(c.exponential && c.problem_count == 0, "exponential buckets");
    READ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=summary");
    CHECK(!c.exponential && c.problem_count == 1, "what is not there is said");
    READ("OTEL_METRICS_EXPORTER=prometheus");
    CHECK(c.measures && c.scraped && c.records &&
              c.signals[SIGNAL_METRICS].destination == DESTINATION_NONE && c.problem_count == 0,
        "metrics to be scraped need no endpoint");
    READ("OTEL_METRICS_EXPORTER=prometheus,otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://h",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="
        "base2_exponential_bucket_histogram");
    CHECK(c.scraped && c.signals[SIGNAL_METRICS].destination == DESTINATION_OTLP && !c.delta &&
              !c.exponential && c.problem_count == 2,
        "both, as what is scraped has to be");
    READ("OTEL_EXPORTER_OTLP_PROTOCOL=grpc");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE && c.problem_count == 0,
        "without endpoint no matter");
}

static void test_relay(void)
{
    char first[sizeof(c.relay_url)];
    READ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://h", "BURDOCK_DIR=/d");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_OTLP &&
              c.signals[SIGNAL_TRACES].is_relayed && !c.signals[SIGNAL_METRICS].is_relayed &&
              c.problem_count == 0 && strncmp(c.relay_url, "unix:///d/burdock-relay-", 24) == 0,
        "https goes to the relay: %s", c.relay_url);
    memcpy(first, c.relay_url, sizeof(first));
    static char *others[] = {"OTEL_EXPORTER_OTLP_HEADERS=a=1", "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY=/key", "OTEL_EXPORTER_OTLP_PROTOCOL=GRPC",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TIMEOUT=1",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://h"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        READ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://h", "BURDOCK_DIR=/d", others[i]);
        CHECK(strcmp(c.relay_url, first) != 0 && c.relay_url[0] != '\0',
            "other settings, another relay: %s", others[i]);
    }
    READ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://h", "BURDOCK_DIR=/d", "OTEL_SERVICE_NAME=s");
    CHECK(strcmp(c.relay_url, first) == 0, "the service is no matter");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=unix:///s", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        "BURDOCK_RELAY=/run/relay", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/c",
        "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE=/m");
    CHECK(c.signals[SIGNAL_TRACES].grpc && strcmp(c.relay_url, "unix:///run/relay") == 0 &&
              strcmp(c.tls[SIGNAL_TRACES].client_certificate, "/c") == 0 &&
              strcmp(c.tls[SIGNAL_METRICS].client_certificate, "/m") == 0,
        "so does gRPC; the socket can be named");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        "OTEL_EXPORTER_OTLP_METRICS_INSECURE=true");
    CHECK(strcmp(c.urls[SIGNAL_TRACES], "https://h:4317/v1/traces") == 0 &&
              strcmp(c.urls[SIGNAL_METRICS], "http://h:4317/v1/metrics") == 0 &&
              c.problem_count == 0,
        "grpc's endpoints need no scheme");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=h:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc");
    CHECK(c.signals[SIGNAL_TRACES].is_relayed && !c.measures && c.problem_count == 1, "others' do");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=https://h", "BURDOCK_RELAY=off");
    CHECK(c.signals[SIGNAL_TRACES].destination == DESTINATION_STORE && !c.measures &&
              c.relay_url[0] == '\0' && problem_with("BURDOCK_RELAY") &&
              c.schedule_delay_ms == 1000,
        "without a relay spans go to the store, and that is said");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=https://h", "BURDOCK_RELAY=sock");
    CHECK(c.signals[SIGNAL_TRACES].is_relayed && problem_with("BURDOCK_RELAY"), "no such place");
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=http://h", "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca");
    CHECK(c.relay_url[0] == '\0' && c.problem_count == 0, "plain http needs none");
    char deep[CONFIG_TEXT_MAX] = "BURDOCK_DIR=/";
    memset(deep + 13, 'd', 100);
    READ("OTEL_EXPORTER_OTLP_ENDPOINT=https://h", deep);
    CHECK(c.relay_url[0] == '\0' && problem_with("BURDOCK_DIR"), "a directory that is too deep");
}

static void test_lists(void)
{
    READ("OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20b, X = y=z ,,bad,Host=h,c=%0d%0aE: "
         "1,d=%zz,e=%E2%82%AC");
    CHECK(strcmp(c.headers[SIGNAL_TRACES], "api-key: a b\r\nX: y=z\r\ne: \xE2\x82\xAC\r\n") == 0,
        "headers are decoded");
    CHECK(c.problem_count == 4, "and those that would break a request are not sent");
    READ("OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=c=d");
    CHECK(strcmp(c.headers[SIGNAL_TRACES], "c: d\r\n") == 0,
        "the signal's headers replace the others");
    static char many[3 * CONFIG_LIST_MAX] = "OTEL_EXPORTER_OTLP_HEADERS=";
    for (unsigned i = 0; strlen(many) < sizeof(many) - 20; i++)
        sprintf(many + strlen(many), "k%u=v%u,", i, i);
    READ(many);
    CHECK(c.problem_count > CONFIG_PROBLEMS_MAX &&
              strlen(c.headers[SIGNAL_TRACES]) < sizeof(c.headers[SIGNAL_TRACES]) &&
              strcmp(c.headers[SIGNAL_TRACES] + strlen(c.headers[SIGNAL_TRACES]) - 2, "\r\n") == 0,
        "too many headers end with a whole one");

    READ("OTEL_RESOURCE_ATTRIBUTES=service.name=a%20b,k=v");
    CHECK(strcmp(c.service_name, "a b") == 0, "service.name of the resource");
    READ("OTEL_SERVICE_NAME=first", "OTEL_RESOURCE_ATTRIBUTES=service.name=second");
    CHECK(strcmp(c.service_name, "first") == 0, "OTEL_SERVICE_NAME wins");
    static const char *const bad[] = {"k=%", "k=%g0", "k=%FF", "k", "=v", "a=b,c", "k=%00"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "OTEL_RESOURCE_ATTRIBUTES=good=1,%s", bad[i]);
        READ(text);
        CHECK(c.resource_attributes[0] == 0 && c.problem_count == 1, "discarded whole: %s", bad[i]);
    }
}

static void test_service_name(void)
{
    static const struct {
        const char *executable, *line, *name;
    } rows[] = {{"/usr/sbin/nginx", "nginx -g x", "nginx"}, {"/opt/app (deleted)", "app", "app"},
        {"/usr/bin/python3.11", "python3 /srv/shop.py --port 1", "shop"},
        {"/usr/bin/python3.11", "python3 -u -W ignore -X dev /srv/a.b.py", "a.b"},
        {"/usr/bin/python3.11", "python3 -m http.server 80", "http.server"},
        {"/usr/bin/python3.11", "python3 -c code", "python3.11"},
        {"/usr/bin/python3.11", "python3 -uc code file.py", "python3.11"},
        {"/usr/bin/python3.11", "python /usr/bin/gunicorn app:app", "gunicorn"},
        {"/usr/bin/python3.11", "python3", "python3.11"},
        {"/usr/bin/python3.11", "python3 -", "python3.11"},
        {"/usr/bin/node", "node --require ./trace.js server.js", "server"},
        {"/usr/bin/node", "node -e 1", "node"},
        {"/usr/bin/nodejs-tool", "nodejs-tool x.js", "nodejs-tool"},
        {"/usr/bin/ruby3.1", "ruby -I lib bin/puma", "puma"},
        {"/usr/bin/perl", "perl -w -I x daemon.pl", "daemon"},
        {"/usr/bin/php8.2", "php -d a=b -f index.php", "index"},
        {"/usr/sbin/php-fpm8.2", "php-fpm: master", "php-fpm8.2"},
        {"/usr/bin/java", "java -Xmx1g -jar /srv/cart-1.0.jar --x", "cart-1.0"},
        {"/usr/bin/java", "java -cp a:b com.example.Main x", "com.example.Main"},
        {"/usr/bin/bash", "bash -e ./run.sh a", "run"}, {"/usr/bin/dash", "sh -c ls", "dash"},
        {"/usr/bin/dash", "sh -ec ls", "dash"},
        {"/usr/bin/bash", "bash -o pipefail start.sh", "start"}, {NULL, "./tool x", "tool"},
        {NULL, "", "unknown_service"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[128], name[256], *argv[16] = {NULL};
        unsigned count = 0;
        snprintf(line, sizeof(line), "%s", rows[i].line);
        for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
            argv[count++] = word;
        service_name_guess(rows[i].executable, argv, name, sizeof(name));
        CHECK(strcmp(name, rows[i].name) == 0, "%s: %s", rows[i].line, name);
    }
    char small[4];
    service_name_guess("/usr/bin/something", NULL, small, sizeof(small));
    CHECK(strcmp(small, "som") == 0, "cut to the room");
}

/* Of those that begin with the same two letters one at least leaves a trace of a value, so no
 * beginning is passed over. Root's HOME and its like count for nobody else. */
static void test_names(void)
{
    static const char *const names[] = {
#define VARIABLE(name, parser, target, secure, text) name,
#include "variables.def"
#undef VARIABLE
    };
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    static struct config bare;
    bool counts[COUNT];
    char text[128];
    READ("LANG=C");
    bare = c;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(text, sizeof(text), "%s=/x", names[i]);
        READ(text);
        counts[i] = memcmp(&c, &bare, sizeof(c)) != 0 || strcmp(names[i], "HOME") == 0 ||
                    strcmp(names[i], "XDG_STATE_HOME") == 0;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        bool is_read = false;
        for (unsigned k = 0; k < COUNT; k++)
            is_read |= counts[k] && memcmp(names[k], names[i], 2) == 0;
        CHECK(is_read, "%s is looked for", names[i]);
    }
}

/* Any bytes as values: nothing outside is touched, every text is terminated. */
static void test_noise(void)
{
    static const char *const names[] = {
#define VARIABLE(name, parser, target, secure, text) name,
#include "variables.def"
#undef VARIABLE
    };
    static const char alphabet[] = "ab=,%%2:/.-@[]?#01 \t\r\n\xE2\x82\xAC\xFFkMGhttp://";
    uint64_t seed = 0x2545F4914F6CDD1Du;
    unsigned unterminated = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char *entries[4] = {NULL};
        for (unsigned i = 0; i < 3; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            const char *name = names[(seed >> 9) % (sizeof(names) / sizeof(names[0]))];
            size_t length = (seed >> 20) % (seed % 50 ? 40 : 6000), used = strlen(name);
            entries[i] = malloc(used + length + 32);
            sprintf(entries[i], "%s=%s", name, seed % 5 ? "" : "http://h");
            used = strlen(entries[i]);
            for (size_t j = 0; j < length; j++) {
                seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
                entries[i][used++] = alphabet[(seed >> 11) % (sizeof(alphabet) - 1)];
            }
            entries[i][used] = 0;
        }
        config_read(&c, entries, entries, entries[0]);
        unterminated += strnlen(c.headers[SIGNAL_TRACES], sizeof(c.headers[SIGNAL_TRACES])) ==
                            sizeof(c.headers[SIGNAL_TRACES]) ||
                        strnlen(c.urls[SIGNAL_TRACES], sizeof(c.urls[SIGNAL_TRACES])) ==
                            sizeof(c.urls[SIGNAL_TRACES]) ||
                        strnlen(c.resource_attributes, sizeof(c.resource_attributes)) ==
                            sizeof(c.resource_attributes) ||
                        strnlen(c.service_name, sizeof(c.service_name)) == sizeof(c.service_name);
        for (unsigned i = 0; i < 3; i++)
            free(entries[i]);
    }
    CHECK(unterminated == 0, "noise in every variable");
}

static void measure(void)
{
    char *environment[] = {"SHELL=/bin/sh", "PWD=/", "LANG=C", "HOME=/root", "PATH=/bin:/usr/bin",
        "LD_PRELOAD=x", "OTEL_SERVICE_NAME=x", "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
        "USER=root", "KUBERNETES_PORT=tcp://10.0.0.1", "TERM=xterm", "HOSTNAME=h", NULL};
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < 10000; i++)
        config_read(&c, environment, arguments, arguments[0]);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    printf("# config_read: %.0f ns\n", ns / 10000);
}

int main(void)
{
    test_defaults();
    test_values();
    test_choices();
    test_outlets();
    test_logs_exporter();
    test_orchestrators();
    test_endpoint();
    test_relay();
    test_lists();
    test_service_name();
    test_names();
    test_noise();
    measure();
    return tap_done();
}
