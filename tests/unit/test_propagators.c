/* SPDX-License-Identifier: Apache-2.0 */
/* Context in formats other than W3C's: what is read, and what is written of the same. */
#include "propagators.h"
#include "tap.h"

#include <stdio.h>
#include <string.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define LOW "8448eb211c80319c"
#define PADDED "00000000000000008448eb211c80319c"

static void use(const uint8_t *order, uint32_t count)
{
    config.propagators = 0;
    config.propagator_count = count;
    for (uint32_t i = 0; i < count; i++) {
        config.propagator_order[i] = order[i];
        config.propagators |= 1u << order[i];
    }
}

static void use_one(enum propagator propagator)
{
    use(&(uint8_t){(uint8_t)propagator}, 1);
}

static struct extracted extract(const char *traceparent, const char *context)
{
    struct extracted extracted;
    struct slice lines = {context, strlen(context)};
    struct carried carried = {.traceparent = {traceparent, strlen(traceparent)}, .context = lines};
    if (config.propagators == PROPAGATOR_NEWRELIC)
        carried = (struct carried){.traceparent = carried.traceparent, .others = lines};
    propagators_extract(&carried, &extracted);
    return extracted;
}

/* As a traceparent, then "d" for debug and "?" for deferred; a decision as its flags. */
static const char *told(const struct extracted *extracted)
{
    static char text[TRACEPARENT_LENGTH + 3];
    if (extracted->found == FOUND_NOTHING)
        return "nothing";
    traceparent_format(text, &extracted->ids);
    snprintf(text + TRACEPARENT_LENGTH, 3, "%s%s", extracted->ids.flags & FLAG_DEBUG ? "d" : "",
        extracted->is_deferred ? "?" : "");
    return extracted->found == FOUND_DECISION ? text + TRACEPARENT_LENGTH - 2 : text;
}

static const struct {
    enum propagator propagator;
    const char *context, *wanted;
} reads[] = {
#define IDS(flags) "00-" TRACE "-" SPAN "-" flags
#define SHORT(flags) "00-" PADDED "-" SPAN "-" flags
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-1", IDS("01")},
    {PROPAGATOR_AT_B3, "B3: " TRACE "-" SPAN "-0", IDS("00")},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-d", IDS("01d")},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN, IDS("00?")},
    {PROPAGATOR_AT_B3, "b3: " LOW "-" SPAN "-1", SHORT("01")},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-1-00f067aa0ba902b7", IDS("01")},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-00f067aa0ba902b7", "nothing"},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-", "nothing"},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-x", "nothing"},
    {PROPAGATOR_AT_B3, "b3: 00000000000000000000000000000000-" SPAN "-1", "nothing"},
    {PROPAGATOR_AT_B3, "b3: " TRACE "-0000000000000000-1", "nothing"},
    {PROPAGATOR_AT_B3, "b3: 0AF7651916CD43DD8448EB211C80319C-" SPAN "-1", "nothing"},
    {PROPAGATOR_AT_B3, "b3: 0", "00"},
    {PROPAGATOR_AT_B3, "b3: 1", "01"},
    {PROPAGATOR_AT_B3, "b3: d", "01d"},
    {PROPAGATOR_AT_B3, "b3: ", "nothing"},
    {PROPAGATOR_AT_B3, "b3: x", "nothing"},
    {PROPAGATOR_AT_B3, "X-B3-TraceId: " TRACE "\nX-B3-SpanId: " SPAN "\nX-B3-Sampled: 1",
        IDS("01")},
    {PROPAGATOR_AT_B3MULTI, "x-b3-spanid: " SPAN "\nx-b3-sampled: true\nx-b3-traceid: " LOW,
        SHORT("01")},
    {PROPAGATOR_AT_B3MULTI, "x-b3-traceid: " TRACE "\nx-b3-spanid: " SPAN "\nx-b3-flags: 1",
        IDS("01d")},
    {PROPAGATOR_AT_B3MULTI, "x-b3-traceid: " TRACE "\nx-b3-spanid: " SPAN, IDS("00?")},
    {PROPAGATOR_AT_B3MULTI, "x-b3-traceid: " TRACE "\nx-b3-spanid: x", "nothing"},
    {PROPAGATOR_AT_B3MULTI, "x-b3-traceid: " TRACE "\nx-b3-sampled: 1", "nothing"},
    {PROPAGATOR_AT_B3MULTI, "x-b3-sampled: 0", "00"},
    {PROPAGATOR_AT_B3MULTI,
        "x-b3-traceid: " LOW "\nx-b3-spanid: " SPAN "\nb3: " TRACE "-" SPAN "-0", IDS("00")},
    {PROPAGATOR_AT_B3MULTI,
        "x-b3-traceid: " TRACE "\nx-b3-traceid: " LOW "\nx-b3-spanid: " SPAN "\nx-b3-sampled: 0",
        IDS("00")},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:1", IDS("01")},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE "%3A" SPAN "%3a0%3A3", IDS("01d")},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " LOW ":" SPAN ":" SPAN ":00", SHORT("00")},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:2", IDS("00")},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: 1:2:0:1",
        "00-00000000000000000000000000000001-0000000000000002-01"},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: 0:" SPAN ":0:1", "nothing"},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":0:0:1", "nothing"},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0", "nothing"},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:0g", "nothing"},
    {PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE "0:" SPAN ":0:1", "nothing"},
    {PROPAGATOR_AT_XRAY,
        "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=1",
        IDS("01")},
    {PROPAGATOR_AT_XRAY,
        "X-Amzn-Trace-Id: Sampled=0; Parent=" SPAN "; Self=1-2;"
        "Root=1-0af76519-16cd43dd8448eb211c80319c",
        IDS("00")},
    {PROPAGATOR_AT_XRAY,
        "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=?",
        IDS("00?")},
    {PROPAGATOR_AT_XRAY, "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c", "nothing"},
    {PROPAGATOR_AT_XRAY, "X-Amzn-Trace-Id: Root=2-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN,
        "nothing"},
    {PROPAGATOR_AT_DATADOG,
        "x-datadog-trace-id: 9532127138774266268\nx-datadog-parent-id: 13235353014750950193\n"
        "x-datadog-sampling-priority: 2\n"
        "x-datadog-tags: _dd.p.dm=-4,_dd.p.tid=0af7651916cd43dd",
        IDS("01")},
    {PROPAGATOR_AT_DATADOG,
        "x-datadog-trace-id: 9532127138774266268\nx-datadog-parent-id: 13235353014750950193\n"
        "x-datadog-sampling-priority: -1",
        SHORT("00")},
    {PROPAGATOR_AT_DATADOG,
        "x-datadog-trace-id: 9532127138774266268\nx-datadog-parent-id: 13235353014750950193",
        SHORT("00?")},
    {PROPAGATOR_AT_DATADOG, "x-datadog-trace-id: 0\nx-datadog-parent-id: 1", "nothing"},
    {PROPAGATOR_AT_DATADOG, "x-datadog-trace-id: 18446744073709551616\nx-datadog-parent-id: 1",
        "nothing"},
    {PROPAGATOR_AT_GCP, "X-Cloud-Trace-Context: " TRACE "/13235353014750950193;o=1", IDS("01")},
    {PROPAGATOR_AT_GCP, "X-Cloud-Trace-Context: " TRACE "/13235353014750950193", IDS("00")},
    {PROPAGATOR_AT_GCP, "X-Cloud-Trace-Context: " TRACE "/0;o=1", "nothing"},
    {PROPAGATOR_AT_GCP, "X-Cloud-Trace-Context: " TRACE, "nothing"},
    {PROPAGATOR_AT_OTTRACE,
        "ot-tracer-traceid: " LOW "\not-tracer-spanid: " SPAN "\not-tracer-sampled: true",
        SHORT("01")},
    {PROPAGATOR_AT_OTTRACE,
        "ot-tracer-traceid: " TRACE "\not-tracer-spanid: " SPAN "\not-tracer-sampled: false",
        IDS("00")},
    {PROPAGATOR_AT_OTTRACE, "ot-tracer-traceid: " TRACE "\not-tracer-sampled: true", "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMCwxXSwiZCI6eyJ0eSI6IkFwcCIsImFjIjoiMSIsImFwIjoiMiIsImlk"
        "IjoiYjdhZDZiNzE2OTIwMzMzMSIsInRyIjoiMGFmNzY1MTkxNmNkNDNkZDg0NDhl"
        "YjIxMWM4MDMxOWMiLCJ0eCI6IjAxMjM0NTY3ODlhYmNkZWYiLCJwciI6MS4yNSwi"
        "c2EiOnRydWUsInRpIjoxNTE4NDY5NjM2MDM1fX0=",
        IDS("01")},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMCwxXSwiZCI6eyJ0eSI6IkFwcCIsInRyIjoiODQ0OGViMjExYzgwMzE5"
        "YyIsImlkIjoiYjdhZDZiNzE2OTIwMzMzMSJ9fQ",
        SHORT("00?")},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjogWzAsIDFdLCAiZCI6IHsidHIiOiAiMGFmNzY1MTkxNmNkNDNkZDg0NDhl"
        "YjIxMWM4MDMxOWMiLCAiaWQiOiAiYjdhZDZiNzE2OTIwMzMzMSIsICJzYSI6IGZh"
        "bHNlfX0=",
        IDS("00")},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMCwxXSwiZCI6eyJ0ciI6IjBhZjc2NTE5MTZjZDQzZGQ4NDQ4ZWIyMTFj"
        "ODAzMTljIiwidHgiOiJiN2FkNmI3MTY5MjAzMzMxIn19",
        "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMSwwXSwiZCI6eyJ0ciI6IjBhZjc2NTE5MTZjZDQzZGQ4NDQ4ZWIyMTFj"
        "ODAzMTljIiwiaWQiOiJiN2FkNmI3MTY5MjAzMzMxIn19",
        "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "!yJ2IjpbMCwxXSwiZCI6eyJ0eSI6IkFwcCIsImFjIjoiMSIsImFwIjoiMiIsImlk"
        "IjoiYjdhZDZiNzE2OTIwMzMzMSIsInRyIjoiMGFmNzY1MTkxNmNkNDNkZDg0NDhl"
        "YjIxMWM4MDMxOWMiLCJ0eCI6IjAxMjM0NTY3ODlhYmNkZWYiLCJwciI6MS4yNSwi"
        "c2EiOnRydWUsInRpIjoxNTE4NDY5NjM2MDM1fX0=",
        "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMCwxXSwiZCI6eyJ0eSI6IkFwcCIsImFjIjoiMSIsImFwIjoiMiIsImlk"
        "IjoiYjdhZDZiNzE2OTIwMzMzMSIsInRyIjoi",
        "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "eyJ2IjpbMCwxXSwiZCI6eyJ0eSI6IkFwcCIsImFjIjoiMSIsImFwIjoiMiIsImlk"
        "IjoiYjdhZDZiNzE2OTIwMzMzMSIsInRyIjoiMGFmNzY1MTkxNmNkNDNkZDg0NDhl"
        "YjIxMWM4MDMxOWMiLCJ0eCI6IjAxMjM0NTY3ODlhYmNkZWYiLCJwciI6MS4yNSwi"
        "c2EiOnRydWUsInRpIjoxNTE4NDY5NjM2MDM1fX0gICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg",
        "nothing"},
    {PROPAGATOR_AT_NEWRELIC,
        "NewRelic: "
        "",
        "nothing"},
};

static void check_reads(void)
{
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        use_one(reads[i].propagator);
        struct extracted extracted = extract("", reads[i].context);
        CHECK(strcmp(told(&extracted), reads[i].wanted) == 0, "read %zu: %.*s", i,
            (int)strcspn(reads[i].context, "\n"), reads[i].context);
    }
}

static const struct {
    enum propagator propagator;
    uint8_t flags;
    const char *wanted;
} writes[] = {
    {PROPAGATOR_AT_TRACECONTEXT, FLAG_SAMPLED | FLAG_DEBUG, "traceparent: " IDS("01") "\n"},
    {PROPAGATOR_AT_B3, FLAG_SAMPLED | FLAG_RANDOM, "b3: " TRACE "-" SPAN "-1\n"},
    {PROPAGATOR_AT_B3, 0, "b3: " TRACE "-" SPAN "-0\n"},
    {PROPAGATOR_AT_B3, FLAG_SAMPLED | FLAG_DEBUG, "b3: " TRACE "-" SPAN "-d\n"},
    {PROPAGATOR_AT_B3MULTI, FLAG_SAMPLED,
        "X-B3-TraceId: " TRACE "\nX-B3-SpanId: " SPAN "\nX-B3-Sampled: 1\n"},
    {PROPAGATOR_AT_B3MULTI, FLAG_SAMPLED | FLAG_DEBUG,
        "X-B3-TraceId: " TRACE "\nX-B3-SpanId: " SPAN "\nX-B3-Flags: 1\n"},
    {PROPAGATOR_AT_JAEGER, FLAG_SAMPLED, "uber-trace-id: " TRACE ":" SPAN ":0:1\n"},
    {PROPAGATOR_AT_JAEGER, FLAG_SAMPLED | FLAG_DEBUG, "uber-trace-id: " TRACE ":" SPAN ":0:3\n"},
    {PROPAGATOR_AT_XRAY, 0,
        "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=0\n"},
    {PROPAGATOR_AT_DATADOG, FLAG_SAMPLED,
        "x-datadog-trace-id: 9532127138774266268\nx-datadog-parent-id: 13235353014750950193\n"
        "x-datadog-sampling-priority: 1\nx-datadog-tags: _dd.p.tid=0af7651916cd43dd\n"},
    {PROPAGATOR_AT_GCP, FLAG_SAMPLED,
        "X-Cloud-Trace-Context: " TRACE "/13235353014750950193;o=1\n"},
    {PROPAGATOR_AT_OTTRACE, FLAG_SAMPLED,
        "ot-tracer-traceid: " LOW "\not-tracer-spanid: " SPAN "\not-tracer-sampled: true\n"},
};

static void check_writes(void)
{
    struct trace_ids ids;
    traceparent_parse((const uint8_t *)IDS("00"), TRACEPARENT_LENGTH, &ids);
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        char out[512];
        ids.flags = writes[i].flags;
        use_one(writes[i].propagator);
        struct carrying carrying = {.ids = &ids};
        size_t length = propagators_inject(&carrying, out, sizeof(out), true);
        CHECK(length == strlen(writes[i].wanted) && memcmp(out, writes[i].wanted, length) == 0,
            "written %zu: %.*s", i, (int)strcspn(writes[i].wanted, "\n"), writes[i].wanted);
        CHECK(propagators_inject(&carrying, out, length - 1, true) == 0, "and not without room");
    }
}

static void check_several(void)
{
    static const uint8_t w3c_first[] = {PROPAGATOR_AT_TRACECONTEXT, PROPAGATOR_AT_B3};
    static const uint8_t b3_first[] = {PROPAGATOR_AT_B3, PROPAGATOR_AT_TRACECONTEXT};
    const char *w3c = "00-" TRACE "-" SPAN "-01", *b3 = "b3: " LOW "-" SPAN "-0";
    use(w3c_first, 2);
    struct extracted extracted = extract(w3c, b3);
    CHECK(strcmp(told(&extracted), SHORT("00")) == 0 && !extracted.is_w3c, "the last one wins");
    extracted = extract(w3c, "b3: 0");
    CHECK(strcmp(told(&extracted), w3c) == 0, "a decision is less than a parent");
    extracted = extract(w3c, "b3: x");
    CHECK(strcmp(told(&extracted), w3c) == 0, "what is not valid changes nothing");
    use(b3_first, 2);
    extracted = extract(w3c, b3);
    CHECK(strcmp(told(&extracted), w3c) == 0 && extracted.is_w3c, "the other order");
    CHECK(propagators_read((const uint8_t *)"X-B3-TraceID", 12) == FIELD_CONTEXT &&
              propagators_read((const uint8_t *)"uber-trace-id", 13) == FIELD_COUNT &&
              propagators_read((const uint8_t *)"uberctx-a", 9) == FIELD_COUNT &&
              propagators_read((const uint8_t *)"x-b3-trace", 10) == FIELD_COUNT,
        "only headers of what is configured are looked at");
}

static enum field read_as(const char *name)
{
    return propagators_read((const uint8_t *)name, strlen(name));
}

static void check_passed_on(const char *others, const char *own, const char *wanted)
{
    char out[512];
    struct trace_ids none = {.flags = 0};
    struct carrying carrying = {
        .ids = &none, .others = {others, strlen(others)}, .own = {own, strlen(own)}};
    size_t length = propagators_inject(&carrying, out, sizeof(out), true);
    CHECK(length == strlen(wanted) && memcmp(out, wanted, length) == 0, "passed on: %.*s",
        (int)strcspn(others, "\n"), others);
}

static void check_carried(void)
{
    static const uint8_t all[] = {PROPAGATOR_AT_NEWRELIC, PROPAGATOR_AT_SW8, PROPAGATOR_AT_ISTIO,
        PROPAGATOR_AT_JAEGER, PROPAGATOR_AT_OTTRACE, PROPAGATOR_AT_DATADOG};
    struct extracted extracted;
    use(all, sizeof(all));
    CHECK(read_as("SW8") == FIELD_CARRIED && read_as("sw8-correlation") == FIELD_CARRIED &&
              read_as("X-Request-Id") == FIELD_CARRIED &&
              read_as("UberCtx-tenant") == FIELD_CARRIED &&
              read_as("ot-baggage-a") == FIELD_CARRIED && read_as("newrelic") == FIELD_CARRIED &&
              read_as("uber-trace-id") == FIELD_CONTEXT && read_as("x-request") == FIELD_COUNT &&
              read_as("uberctx") == FIELD_COUNT && read_as("sw81") == FIELD_COUNT,
        "what names no parent is carried");
    extracted = extract("00-" TRACE "-" SPAN "-01", "");
    CHECK(extracted.found == FOUND_NOTHING, "and is no context");
    check_passed_on(
        "X-Request-Id: a-1\nsw8: 1-YQ==-YQ==-0", "", "X-Request-Id: a-1\nsw8: 1-YQ==-YQ==-0\n");
    check_passed_on("X-Request-Id: a\nuberctx-b: c", "x-request-id: mine", "uberctx-b: c\n");
    check_passed_on("newrelic: e30=\nsw8-x: 0", "", "sw8-x: 0\n");
    check_passed_on("x-request-id: a\r\n b\nno line\nsw8-x: 0\t1", "", "sw8-x: 0\t1\n");
    char out[16], long_line[] = "sw8: 0123456789\nsw8-x: 0";
    struct trace_ids none = {.flags = 0};
    struct carrying carrying = {.ids = &none, .others = {long_line, strlen(long_line)}};
    size_t length = propagators_inject(&carrying, out, sizeof(out), false);
    CHECK(length == 10 && memcmp(out, "sw8-x: 0\r\n", 10) == 0, "a line without room is left out");
}

/* A caller that sends both means the same; with Trace Context the flags are the trace's. */
static void check_both(void)
{
    struct extracted extracted;
    use_one(PROPAGATOR_AT_NEWRELIC);
    extracted =
        extract("00-" TRACE "-" SPAN "-01", reads[sizeof(reads) / sizeof(reads[0]) - 9].context);
    CHECK(extracted.found == FOUND_NOTHING, "a traceparent counts more than New Relic's own");
}

static void check_locate(enum propagator propagator, const char *context, size_t wanted)
{
    struct trace_ids ids;
    size_t at = SIZE_MAX, length;
    use_one(propagator);
    bool is_found =
        propagators_locate((struct slice){context, strlen(context)}, &ids, &at, &length);
    CHECK(is_found == (wanted != SIZE_MAX) && at == wanted, "the span id after %.*s",
        (int)strcspn(context, "\n"), context);
}

int main(void)
{
    check_reads();
    check_writes();
    check_several();
    check_carried();
    check_both();
    check_locate(PROPAGATOR_AT_B3, "b3: " TRACE "-" SPAN "-1", 33);
    check_locate(PROPAGATOR_AT_B3MULTI, "x-b3-traceid: " TRACE "\nx-b3-spanid: " SPAN, 0);
    check_locate(PROPAGATOR_AT_B3MULTI, "x-b3-spanid: " SPAN, SIZE_MAX);
    check_locate(PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:1", 33);
    check_locate(PROPAGATOR_AT_JAEGER, "uber-trace-id: " TRACE ":1:0:1", SIZE_MAX);
    check_locate(PROPAGATOR_AT_XRAY,
        "x-amzn-trace-id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN, 48);
    return tap_done();
}
