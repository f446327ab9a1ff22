/* SPDX-License-Identifier: Apache-2.0 */
/* What the formats read. */
#include "propagators_formats.h"

#include <string.h>

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool propagators_read_hex(struct slice digits, uint8_t *out, size_t bytes)
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

/* A trace id of 128 or 64 bits and a span id, of all their digits. */
static bool read_ids(struct slice trace, struct slice span, struct trace_ids *ids)
{
    return (trace.length == LONG_DIGITS || trace.length == SHORT_DIGITS) &&
           span.length == SHORT_DIGITS &&
           propagators_read_hex(trace, ids->trace_id, sizeof(ids->trace_id)) &&
           propagators_read_hex(span, ids->span_id, sizeof(ids->span_id));
}

static bool is_letter(struct slice text, char letter)
{
    return text.length == 1 && text.data[0] == letter;
}

void propagators_extract_traceparent(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)values;
    out->is_w3c = traceparent_parse(
        (const uint8_t *)carried->traceparent.data, carried->traceparent.length, &out->ids);
    out->found = out->is_w3c ? FOUND_PARENT : FOUND_NOTHING;
}

void propagators_extract_nothing(
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
    /* All of it has been split, and it does not end in a separator. */
    bool is_parent = count >= 2 && count <= 4 && value.data[-1] != '-' &&
                     read_ids(parts[0], parts[1], &out->ids) &&
                     (count < 3 || (parts[2].length == 1 && read_b3_state(parts[2], out))) &&
                     (count < 4 || (parts[3].length == SHORT_DIGITS &&
                                       propagators_read_hex(parts[3], parent, sizeof(parent))));
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
void propagators_extract_b3(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    out->found = read_b3_single(values->of[HEADER_B3], out);
    if (out->found != FOUND_NOTHING)
        return;
    *out = (struct extracted){0};
    out->found = read_b3_multi(values, out);
}

/* Colons may come percent-encoded. The parent's parent is of no use. */
void propagators_extract_jaeger(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    char text[128];
    struct slice parts[5];
    unsigned count = 0;
    uint8_t flags;
    struct slice value = {text, 0};
    if (!percent_decode(values->of[HEADER_JAEGER], text, sizeof(text), &value.length))
        return;
    while (count < 5 && slice_split(&value, ':', &parts[count]))
        count++;
    if (count != 4 ||
        !propagators_read_hex(parts[0], out->ids.trace_id, sizeof(out->ids.trace_id)) ||
        !propagators_read_hex(parts[1], out->ids.span_id, sizeof(out->ids.span_id)) ||
        parts[3].length == 0)
        return;
    if (!propagators_read_hex(parts[3], &flags, 1) && !slice_is(parts[3], "0") &&
        !slice_is(parts[3], "00"))
        return;
    if (flags & JAEGER_SAMPLED)
        out->ids.flags = flags & JAEGER_DEBUG ? FLAG_SAMPLED | FLAG_DEBUG : FLAG_SAMPLED;
    out->found = FOUND_PARENT;
}

/* 1-TIME-REST: together the trace id. */
static bool read_xray_root(struct slice root, struct trace_ids *ids)
{
    char digits[LONG_DIGITS];
    if (root.length != 35 || memcmp(root.data, "1-", 2) != 0 || root.data[10] != '-')
        return false;
    memcpy(digits, root.data + 2, 8);
    memcpy(digits + 8, root.data + 11, 24);
    return propagators_read_hex(
        (struct slice){digits, sizeof(digits)}, ids->trace_id, sizeof(ids->trace_id));
}

/* Without a parent it is no context: a load balancer's word. */
void propagators_extract_xray(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    struct slice rest = values->of[HEADER_XRAY], item, name = {"", 0};
    bool has_root = false, has_parent = false;
    out->is_deferred = true;
    while (slice_split(&rest, ';', &item)) {
        if (!slice_split(&item, '=', &name))
            continue;
        item = slice_trim(item);
        if (slice_is(name, "Root"))
            has_root = read_xray_root(item, &out->ids);
        else if (slice_is(name, "Parent"))
            has_parent = item.length == SHORT_DIGITS &&
                         propagators_read_hex(item, out->ids.span_id, sizeof(out->ids.span_id));
        else if (slice_is(name, "Sampled") && (is_letter(item, '0') || is_letter(item, '1'))) {
            out->is_deferred = false;
            out->ids.flags = item.data[0] == '1' ? FLAG_SAMPLED : 0;
        }
    }
    out->found = has_root && has_parent ? FOUND_PARENT : FOUND_NOTHING;
}

/* Eight bytes, the highest first. False: no number, or zero. */
static bool read_decimal(struct slice digits, uint8_t out[8])
{
    uint64_t number;
    if (digits.length == 0 || !number_parse(digits, UINT64_MAX, &number))
        return false;
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(number >> (56 - 8 * i));
    return number != 0;
}

/* The upper half of the trace id travels among the tags. */
static void read_datadog_tags(struct slice tags, uint8_t upper[8])
{
    struct slice tag, name = {"", 0};
    while (slice_split(&tags, ',', &tag))
        if (slice_split(&tag, '=', &name) && slice_is(name, "_dd.p.tid") &&
            (tag.length != SHORT_DIGITS || !propagators_read_hex(tag, upper, 8)))
            memset(upper, 0, 8);
}

void propagators_extract_datadog(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    struct slice priority = values->of[HEADER_DATADOG_PRIORITY];
    uint64_t number;
    bool is_negative = priority.length > 0 && priority.data[0] == '-';
    bool is_number = priority.length > 0 && number_parse(priority, INT32_MAX, &number);
    out->is_deferred = !is_negative && !is_number;
    if (is_number && number > 0)
        out->ids.flags = FLAG_SAMPLED;
    if (read_decimal(values->of[HEADER_DATADOG_TRACE], out->ids.trace_id + 8) &&
        read_decimal(values->of[HEADER_DATADOG_PARENT], out->ids.span_id))
        out->found = FOUND_PARENT;
    read_datadog_tags(values->of[HEADER_DATADOG_TAGS], out->ids.trace_id);
}

void propagators_extract_gcp(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    struct slice rest = values->of[HEADER_GCP], trace = {"", 0}, span = {"", 0};
    if (!slice_split(&rest, '/', &trace) || !slice_split(&rest, ';', &span) ||
        trace.length != LONG_DIGITS || !propagators_read_hex(trace, out->ids.trace_id, 16) ||
        !read_decimal(span, out->ids.span_id))
        return;
    out->ids.flags = slice_is(rest, "o=1") ? FLAG_SAMPLED : 0;
    out->found = FOUND_PARENT;
}

void propagators_extract_ottrace(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    (void)carried;
    out->is_deferred = !read_b3_state(values->of[HEADER_OT_SAMPLED], out);
    if (read_ids(values->of[HEADER_OT_TRACE], values->of[HEADER_OT_SPAN], &out->ids))
        out->found = FOUND_PARENT;
}
