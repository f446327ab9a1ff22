/* SPDX-License-Identifier: Apache-2.0 */
#include "propagators_formats.h"

#include <string.h>

/* --- headers ------------------------------------------------------------------------------- */

static const struct {
    struct slice name;
    uint32_t readers;
} headers[] = {
#define CONTEXT_HEADER(id, name, readers) {{name, sizeof(name) - 1}, readers},
#include "propagators.def"
#undef CONTEXT_HEADER
};

static enum format_header header_of(struct slice name)
{
    unsigned header = 0;
    while (header < HEADER_COUNT && !slice_is(name, headers[header].name.data))
        header++;
    return header;
}

static bool is_carried(struct slice name)
{
    static const struct {
        struct slice pattern;
        uint32_t readers;
    } rows[] = {
#define CARRIED_HEADER(pattern, readers) {{pattern, sizeof(pattern) - 1}, readers},
#include "propagators.def"
#undef CARRIED_HEADER
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((rows[i].readers & config.propagators) && slice_matches_loosely(name, rows[i].pattern))
            return true;
    return false;
}

enum field propagators_read(const uint8_t *name, size_t length)
{
    struct slice slice = {(const char *)name, length};
    enum format_header header = header_of(slice);
    if (header < HEADER_COUNT && (headers[header].readers & config.propagators))
        return header == HEADER_NEWRELIC ? FIELD_CARRIED : FIELD_CONTEXT;
    return is_carried(slice) ? FIELD_CARRIED : FIELD_COUNT;
}

void propagators_start(void)
{
    enum {
        ROWS = 0
#define CONTEXT_HEADER(id, name, readers) +1
#define CARRIED_HEADER(pattern, readers) +1
#include "propagators.def"
#undef CONTEXT_HEADER
#undef CARRIED_HEADER
    };
    static const char all[] =
#define CONTEXT_HEADER(id, name, readers) name "\0"
#define CARRIED_HEADER(pattern, readers) pattern "\0"
#include "propagators.def"
#undef CONTEXT_HEADER
#undef CARRIED_HEADER
        ;
    static struct context_row rows[ROWS];
    unsigned count = 0;
    if ((config.propagators & ~(uint32_t)(PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE)) == 0)
        return;
    size_t length;
    for (const char *name = all; *name != '\0'; name += length + 1) {
        length = strlen(name);
        enum field field = propagators_read((const uint8_t *)name, length);
        bool is_open = name[length - 1] == '*';
        if (field != FIELD_COUNT)
            rows[count++] =
                (struct context_row){name, (uint8_t)(length - is_open), (uint8_t)field, is_open};
    }
    protocol_look_for_context(propagators_read, rows, count);
}

/* The header of a line "name: value", whose value is left in *line. */
static enum format_header read_line(struct slice *line)
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
    while (slice_split(&context, '\n', &line)) {
        enum format_header header = read_line(&line);
        if (header < HEADER_COUNT && values->of[header].data == NULL)
            values->of[header] = line;
    }
}

/* --- all of them --------------------------------------------------------------------------- */

static const struct {
    void (*extract)(const struct carried *, const struct values *, struct extracted *);
    void (*inject)(struct writer *, const struct carrying *);
} propagators[] = {
#define PROPAGATOR(id, name, extract, inject) {propagators_##extract, propagators_##inject},
#include "propagators.def"
#undef PROPAGATOR
};

void propagators_extract(const struct carried *carried, struct extracted *extracted)
{
    struct values values;
    memset(&values, 0, sizeof(values));
    read_lines(carried->context, &values);
    read_lines(carried->others, &values);
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
    propagators_pass_on(&writer, carrying);
    return (size_t)(writer.at - out);
}

size_t propagators_inject_xray(const struct trace_ids *ids, char *out, size_t room, bool bare_lf)
{
    struct writer writer = {.at = out, .end = out + room, .bare_lf = bare_lf};
    traceparent_format(writer.digits, ids);
    propagators_put_xray(&writer, &(struct carrying){.ids = ids});
    return writer.is_full ? 0 : (size_t)(writer.at - out);
}

/* Where in its value a header has the span id; SIZE_MAX: in none of 16 digits. */
static size_t span_at(enum format_header header, struct slice value)
{
    const char *found = NULL;
    switch (header) {
    case HEADER_B3_SPAN:
    case HEADER_OT_SPAN:
        return 0;
    case HEADER_JAEGER:
        found = value.length > 0 ? memchr(value.data, ':', value.length) : NULL;
        break;
    case HEADER_XRAY:
        found = value.length > 0 ? memmem(value.data, value.length, "Parent=", 7) : NULL;
        found = found != NULL ? found + 6 : NULL;
        break;
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
    enum format_header header = read_line(&line);
    size_t offset = span_at(header, line);
    if (offset > line.length || line.length - offset < SHORT_DIGITS ||
        !propagators_read_hex(
            (struct slice){line.data + offset, SHORT_DIGITS}, span_id, sizeof(span_id)))
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
