/* SPDX-License-Identifier: Apache-2.0 */
/* What the formats write. */
#include "propagators_formats.h"

#include <string.h>

static struct slice trace_digits(const struct writer *writer)
{
    return (struct slice){writer->digits + TRACEPARENT_TRACE_AT, LONG_DIGITS};
}

static struct slice span_digits(const struct writer *writer)
{
    return (struct slice){writer->digits + TRACEPARENT_SPAN_AT, SHORT_DIGITS};
}

static void put(struct writer *writer, struct slice text)
{
    if (text.length > (size_t)(writer->end - writer->at))
        writer->is_full = true;
    if (writer->is_full)
        return;
    memcpy(writer->at, text.data, text.length);
    writer->at += text.length;
}

static void put_text(struct writer *writer, const char *text)
{
    put(writer, (struct slice){text, strlen(text)});
}

static void end_line(struct writer *writer)
{
    put_text(writer, writer->bare_lf ? "\n" : "\r\n");
}

static void put_line(struct writer *writer, const char *name, struct slice value)
{
    put_text(writer, name);
    put(writer, value);
    end_line(writer);
}

static bool has_ids(const struct carrying *carrying)
{
    return trace_id_is_set(carrying->ids->trace_id);
}

static bool is_sampled(const struct carrying *carrying)
{
    return carrying->ids->flags & FLAG_SAMPLED;
}

void propagators_put_tracecontext(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    put_line(writer, "traceparent: ", (struct slice){writer->digits, sizeof(writer->digits)});
    if (carrying->tracestate.length > 0)
        put_line(writer, "tracestate: ", carrying->tracestate);
}

void propagators_put_baggage(struct writer *writer, const struct carrying *carrying)
{
    if (carrying->baggage.length > 0)
        put_line(writer, "baggage: ", carrying->baggage);
}

void propagators_put_b3(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    uint8_t flags = carrying->ids->flags;
    put_text(writer, "b3: ");
    put(writer, trace_digits(writer));
    put_text(writer, "-");
    put(writer, span_digits(writer));
    put_text(writer, flags & FLAG_DEBUG ? "-d" : flags & FLAG_SAMPLED ? "-1" : "-0");
    end_line(writer);
}

/* Debug says that it is sampled. */
void propagators_put_b3multi(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    uint8_t flags = carrying->ids->flags;
    put_line(writer, "X-B3-TraceId: ", trace_digits(writer));
    put_line(writer, "X-B3-SpanId: ", span_digits(writer));
    put_text(writer, flags & FLAG_DEBUG     ? "X-B3-Flags: 1"
                     : flags & FLAG_SAMPLED ? "X-B3-Sampled: 1"
                                            : "X-B3-Sampled: 0");
    end_line(writer);
}

void propagators_put_jaeger(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    uint8_t flags = carrying->ids->flags;
    put_text(writer, "uber-trace-id: ");
    put(writer, trace_digits(writer));
    put_text(writer, ":");
    put(writer, span_digits(writer));
    put_text(writer, flags & FLAG_DEBUG ? ":0:3" : flags & FLAG_SAMPLED ? ":0:1" : ":0:0");
    end_line(writer);
}

void propagators_put_xray(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    struct slice trace = trace_digits(writer);
    put_text(writer, "X-Amzn-Trace-Id: Root=1-");
    put(writer, (struct slice){trace.data, 8});
    put_text(writer, "-");
    put(writer, (struct slice){trace.data + 8, 24});
    put_text(writer, ";Parent=");
    put(writer, span_digits(writer));
    put_text(writer, is_sampled(carrying) ? ";Sampled=1" : ";Sampled=0");
    end_line(writer);
}

static void put_decimal(struct writer *writer, const uint8_t bytes[8])
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    put(writer, (struct slice){digits + at, sizeof(digits) - at});
}

void propagators_put_datadog(struct writer *writer, const struct carrying *carrying)
{
    static const uint8_t zeros[8];
    if (!has_ids(carrying))
        return;
    put_text(writer, "x-datadog-trace-id: ");
    put_decimal(writer, carrying->ids->trace_id + 8);
    end_line(writer);
    put_text(writer, "x-datadog-parent-id: ");
    put_decimal(writer, carrying->ids->span_id);
    end_line(writer);
    put_text(writer, "x-datadog-sampling-priority: ");
    put_text(writer, is_sampled(carrying) ? "1" : "0");
    end_line(writer);
    if (memcmp(carrying->ids->trace_id, zeros, sizeof(zeros)) != 0)
        put_line(writer,
            "x-datadog-tags: _dd.p.tid=", (struct slice){trace_digits(writer).data, SHORT_DIGITS});
}

void propagators_put_gcp(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    put_text(writer, "X-Cloud-Trace-Context: ");
    put(writer, trace_digits(writer));
    put_text(writer, "/");
    put_decimal(writer, carrying->ids->span_id);
    put_text(writer, is_sampled(carrying) ? ";o=1" : ";o=0");
    end_line(writer);
}

/* Of the trace id the lower half, as its receivers expect. */
void propagators_put_ottrace(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    put_line(writer, "ot-tracer-traceid: ",
        (struct slice){trace_digits(writer).data + SHORT_DIGITS, SHORT_DIGITS});
    put_line(writer, "ot-tracer-spanid: ", span_digits(writer));
    put_text(writer, "ot-tracer-sampled: ");
    put_text(writer, is_sampled(carrying) ? "true" : "false");
    end_line(writer);
}

void propagators_put_nothing(struct writer *writer, const struct carrying *carrying)
{
    (void)writer, (void)carrying;
}

/* --- what is passed on --------------------------------------------------------------------- */

static bool has_line(struct slice lines, struct slice name)
{
    struct slice line, other = {"", 0};
    while (slice_split(&lines, '\n', &line))
        if (slice_split(&line, ':', &other) && slice_matches_loosely(other, name))
            return true;
    return false;
}

/* It came as a value of a header, so only a folded one can have what no line may have. */
static bool is_line(struct slice line)
{
    for (size_t i = 0; i < line.length; i++)
        if ((uint8_t)line.data[i] < ' ' && line.data[i] != '\t')
            return false;
    return memchr(line.data, ':', line.length) != NULL;
}

void propagators_pass_on(struct writer *writer, const struct carrying *carrying)
{
    struct slice rest = carrying->others, line;
    while (slice_split(&rest, '\n', &line)) {
        struct slice value = line, name = {"", 0};
        char *before = writer->at;
        if (!is_line(line) || !slice_split(&value, ':', &name) || slice_is(name, "newrelic") ||
            has_line(carrying->own, name))
            continue;
        put_line(writer, "", line);
        if (writer->is_full)
            writer->at = before;
        writer->is_full = false;
    }
}
