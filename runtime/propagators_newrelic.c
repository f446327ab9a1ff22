/* SPDX-License-Identifier: Apache-2.0 */
/* New Relic's own header, of agents from before Trace Context: a JSON object in base64. */
#include "json_find.h"
#include "propagators_formats.h"

enum { PAYLOAD_BYTES_MAX = 384, SEXTET_NONE = 64 };

static unsigned sextet_of(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return (unsigned)(letter - 'A');
    if (letter >= 'a' && letter <= 'z')
        return (unsigned)(letter - 'a') + 26;
    if (letter >= '0' && letter <= '9')
        return (unsigned)(letter - '0') + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : SEXTET_NONE;
}

/* RFC 4648, 4. What is none, and what has no room, is empty. */
static struct slice base64_read(struct slice text, char *out)
{
    struct slice read = {out, 0};
    uint32_t bits = 0, count = 0;
    while (text.length > 0 && text.data[text.length - 1] == '=')
        text.length--;
    if (text.length / 4 * 3 + 3 > PAYLOAD_BYTES_MAX)
        return read;
    for (size_t i = 0; i < text.length; i++) {
        unsigned sextet = sextet_of(text.data[i]);
        if (sextet == SEXTET_NONE)
            return (struct slice){out, 0};
        bits = bits << 6 | sextet;
        count += 6;
        if (count >= 8)
            out[read.length++] = (char)(bits >> (count -= 8));
    }
    return read;
}

static struct slice text_at(struct slice object, const char *key)
{
    struct slice value = json_find(object, key);
    bool is_text = value.length > 2 && value.data[0] == '"';
    return is_text ? (struct slice){value.data + 1, value.length - 2} : (struct slice){"", 0};
}

/* Of a caller that sends both, Trace Context's word counts. Without an id it tells of a transaction
 * but of no span in it. */
void propagators_extract_newrelic(
    const struct carried *carried, const struct values *values, struct extracted *out)
{
    char bytes[PAYLOAD_BYTES_MAX];
    struct slice payload = base64_read(values->of[HEADER_NEWRELIC], bytes);
    struct slice version = json_find(payload, "v"), data = json_find(payload, "d");
    struct slice sampled = json_find(data, "sa"), trace = text_at(data, "tr"),
                 span = text_at(data, "id");
    struct trace_ids ids;
    if (version.length < 3 || version.data[1] != '0' || span.length != SHORT_DIGITS ||
        !propagators_read_hex(trace, out->ids.trace_id, sizeof(out->ids.trace_id)) ||
        !propagators_read_hex(span, out->ids.span_id, sizeof(out->ids.span_id)) ||
        traceparent_parse(
            (const uint8_t *)carried->traceparent.data, carried->traceparent.length, &ids))
        return;
    out->ids.flags = slice_is(sampled, "true") ? FLAG_SAMPLED : 0;
    out->is_deferred = sampled.length == 0;
    out->found = FOUND_PARENT;
}
