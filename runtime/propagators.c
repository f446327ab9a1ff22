/* SPDX-License-Identifier: Apache-2.0 */
#include "propagators.h"

#include <string.h>

/* --- headers ------------------------------------------------------------------------------- */

enum context_header {
#define CONTEXT_HEADER(id, name, readers) HEADER_##id,
#include "propagators.def"
#undef CONTEXT_HEADER
    HEADER_COUNT
};

static const struct {
    struct slice name;
    uint32_t readers;
} headers[] = {
#define CONTEXT_HEADER(id, name, readers) {{name, sizeof(name) - 1}, readers},
#include "propagators.def"
#undef CONTEXT_HEADER
};

/* By header; the first one counts where it is repeated. */
struct values {
    struct slice of[HEADER_COUNT];
};

static enum context_header header_of(struct slice name)
{
    unsigned header = 0;
    while (header < HEADER_COUNT && !slice_is(name, headers[header].name.data))
        header++;
    return header;
}

bool propagators_read(const uint8_t *name, size_t length)
{
    enum context_header header = header_of((struct slice){(const char *)name, length});
    return header < HEADER_COUNT && (headers[header].readers & config.propagators) != 0;
}

/* The header of a line "name: value", whose value is left in *line. */
static enum context_header read_line(struct slice *line)
{
    struct slice name = {"", 0};
    if (!slice_split(line, ':', &name))
        return HEADER_COUNT;
    *line = slice_trim(*line);
    return header_of(name);
}

static void read_lines(struct slice context, struct values *values)
{
    struct slice line;
    memset(values, 0, sizeof(*values));
    while (slice_split(&context, '\n', &line)) {
        enum context_header header = read_line(&line);
        if (header < HEADER_COUNT && values->of[header].data == NULL)
            values->of[header] = line;
    }
}

/* --- what values are made of --------------------------------------------------------------- */

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* At most two digits a byte; fewer are padded on the left. False: no number, too long, or zero. */
static bool read_hex(struct slice digits, uint8_t *out, size_t bytes)
{
    int any = 0;
    memset(out, 0, bytes);
    if (digits.length > 2 * bytes)
        return false;
    for (size_t i = 0; i < digits.length; i++) {
        int value = digit_value(digits.data[digits.length - 1 - i]);
        if (value < 0)
            return false;
        out[bytes - 1 - i / 2] |= (uint8_t)(value << (i % 2 * 4));
        any |= value;
    }
    return any != 0;
}

enum { LONG_DIGITS = 32, SHORT_DIGITS = 16 };

/* A trace id of 128 or 64 bits and a span id, of all their digits. */
static bool read_ids(struct slice trace, struct slice span, struct trace_ids *ids)
{
    return (trace.length == LONG_DIGITS || trace.length == SHORT_DIGITS) &&
           span.length == SHORT_DIGITS && read_hex(trace, ids->trace_id, sizeof(ids->trace_id)) &&
           read_hex(span, ids->span_id, sizeof(ids->span_id));
}

static bool is_letter(struct slice text, char letter)
{
    return text.length == 1 && text.data[0] == letter;
}

/* --- extract ------------------------------------------------------------------------------- */

static void extract_traceparent(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)values;
    out->is_w3c = traceparent_parse(
        (const uint8_t *)carried->traceparent.data, carried->traceparent.length, &out->ids);
    out->found = out->is_w3c ? FOUND_PARENT : FOUND_NOTHING;
}

static void extract_nothing(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried, (void)values, (void)out;
}

/* False: no state of B3. */
static bool read_b3_state(struct slice state, struct extracted *out)
{
    if (is_letter(state, '1') || slice_is(state, "true"))
        out->ids.flags = FLAG_SAMPLED;
    else if (is_letter(state, 'd'))
        out->ids.flags = FLAG_SAMPLED | FLAG_DEBUG;
    else if (!is_letter(state, '0') && !slice_is(state, "false"))
        return false;
    return true;
}

static enum found read_b3_single(struct slice value, struct extracted *out)
{
    struct slice parts[5];
    unsigned count = 0;
    uint8_t parent[8];
    if (value.length == 1)
        return read_b3_state(value, out) ? FOUND_DECISION : FOUND_NOTHING;
    while (count < 5 && slice_split(&value, '-', &parts[count]))
        count++;
    out->is_deferred = count == 2;
    bool is_parent = count >= 2 && value.data[value.length - 1] != '-' && count <= 4 &&
                     read_ids(parts[0], parts[1], &out->ids) &&
                     (count < 3 || (parts[2].length == 1 && read_b3_state(parts[2], out))) &&
                     (count < 4 || (parts[3].length == SHORT_DIGITS &&
                                       read_hex(parts[3], parent, sizeof(parent))));
    return is_parent ? FOUND_PARENT : FOUND_NOTHING;
}

static enum found read_b3_multi(const struct values *values, struct extracted *out)
{
    bool is_debug = is_letter(values->of[HEADER_B3_FLAGS], '1');
    struct slice state = is_debug ? (struct slice){"d", 1} : values->of[HEADER_B3_SAMPLED];
    out->is_deferred = !read_b3_state(state, out);
    if (read_ids(values->of[HEADER_B3_TRACE], values->of[HEADER_B3_SPAN], &out->ids))
        return FOUND_PARENT;
    bool has_ids = values->of[HEADER_B3_TRACE].length + values->of[HEADER_B3_SPAN].length > 0;
    return out->is_deferred || has_ids ? FOUND_NOTHING : FOUND_DECISION;
}

/* The single header first, whichever form is configured. */
static void extract_b3(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    out->found = read_b3_single(values->of[HEADER_B3], out);
    if (out->found != FOUND_NOTHING)
        return;
    *out = (struct extracted){0};
    out->found = read_b3_multi(values, out);
}

/* --- inject -------------------------------------------------------------------------------- */

/* Lines being written. Once there was no room, nothing more is. */
struct writer {
    char *at;
    const char *end;
    bool is_full;
    bool bare_lf;
    char digits[TRACEPARENT_LENGTH]; /* all the digits there are, of both ids */
};

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

static void put_tracecontext(struct writer *writer, const struct carrying *carrying)
{
    if (!has_ids(carrying))
        return;
    put_line(writer, "traceparent: ", (struct slice){writer->digits, sizeof(writer->digits)});
    if (carrying->tracestate.length > 0)
        put_line(writer, "tracestate: ", carrying->tracestate);
}

static void put_baggage(struct writer *writer, const struct carrying *carrying)
{
    if (carrying->baggage.length > 0)
        put_line(writer, "baggage: ", carrying->baggage);
}

static void put_b3(struct writer *writer, const struct carrying *carrying)
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
static void put_b3multi(struct writer *writer, const struct carrying *carrying)
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

/* --- all of them --------------------------------------------------------------------------- */

static const struct {
    void (*extract)(const struct carried *, const struct values *, struct extracted *);
    void (*inject)(struct writer *, const struct carrying *);
} propagators[] = {
#define PROPAGATOR(id, name, extract, inject) {extract, inject},
#include "propagators.def"
#undef PROPAGATOR
};

void propagators_extract(const struct carried *carried, struct extracted *extracted)
{
    struct values values;
    read_lines(carried->context, &values);
    *extracted = (struct extracted){0};
    for (uint32_t i = 0; i < config.propagator_count; i++) {
        struct extracted one = {0};
        propagators[config.propagator_order[i]].extract(carried, &values, &one);
        if (one.found == FOUND_PARENT ||
            (one.found == FOUND_DECISION && extracted->found != FOUND_PARENT))
            *extracted = one;
    }
}

size_t propagators_inject(const struct carrying *carrying, char *out, size_t room, bool bare_lf)
{
    struct writer writer = {.at = out, .end = out + room, .bare_lf = bare_lf};
    traceparent_format(writer.digits, carrying->ids);
    for (uint32_t i = 0; i < config.propagator_count; i++) {
        char *before = writer.at;
        propagators[config.propagator_order[i]].inject(&writer, carrying);
        if (writer.is_full)
            writer.at = before;
        writer.is_full = false;
    }
    return (size_t)(writer.at - out);
}

/* Where in its value a header has the span id; SIZE_MAX: in none of 16 digits. */
static size_t span_at(enum context_header header, struct slice value)
{
    const char *found = NULL;
    switch (header) {
    case HEADER_B3_SPAN:
        return 0;
    case HEADER_B3:
        found = value.length > 0 ? memchr(value.data, '-', value.length) : NULL;
        break;
    default:
        break;
    }
    return found == NULL ? SIZE_MAX : (size_t)(found + 1 - value.data);
}

bool propagators_locate(struct slice context, struct trace_ids *ids, size_t *at, size_t *length)
{
    struct slice rest = context, line = {"", 0};
    struct extracted extracted;
    uint8_t span_id[8];
    while (slice_split(&rest, '\n', &line)) {
    }
    enum context_header header = read_line(&line);
    size_t offset = span_at(header, line);
    if (offset > line.length || line.length - offset < SHORT_DIGITS ||
        !read_hex((struct slice){line.data + offset, SHORT_DIGITS}, span_id, sizeof(span_id)))
        return false;
    propagators_extract(&(struct carried){.context = context}, &extracted);
    if (extracted.found != FOUND_PARENT ||
        memcmp(extracted.ids.span_id, span_id, sizeof(span_id)) != 0)
        return false;
    *ids = extracted.ids;
    *at = offset;
    *length = line.length;
    return true;
}
