/* SPDX-License-Identifier: Apache-2.0 */
/* LogRecord of OTLP (opentelemetry-proto 1.11, logs.proto). What is around it has the fields of a
 * request of traces, so that it lies in the same kind of batch. */
#include "otlp.h"
#include "otlp_write.h"

/* Tags, prefixes and numbers of one record, and of its attributes without their texts. */
enum { LOG_FIXED_BYTES = 128, LOG_ATTRIBUTE_BYTES = 96 };

static size_t room_needed(const struct log *log)
{
    size_t room = LOG_FIXED_BYTES + log->body.length + log->severity_text.length;
    for (unsigned i = 0; i < log->attribute_count; i++)
        room += LOG_ATTRIBUTE_BYTES +
                (log->attributes[i].kind == SPAN_VALUE_TEXT ? log->attributes[i].text.length : 0);
    return room + OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX;
}

static void put_context(struct writer *w, const struct log *log)
{
    put_field(w, 10, log->span_id, sizeof(log->span_id));
    put_field(w, 9, log->trace_id, sizeof(log->trace_id));
    if (log->flags == 0)
        return;
    put_fixed32(w, log->flags);
    put_varint(w, TAG(8, WIRE_FIXED32));
}

static void put_severity(struct writer *w, const struct log *log)
{
    if (log->severity_text.length > 0)
        otlp_put_text(w, 3, log->severity_text.text, log->severity_text.length);
    if (log->severity == 0)
        return;
    put_varint(w, log->severity);
    put_varint(w, TAG(2, WIRE_VARINT));
}

bool otlp_batch_add_log(
    struct otlp_batch *batch, const struct log *log, const struct config *config)
{
    size_t room = (size_t)(batch->start - batch->base), needed = room_needed(log);
    if (room < needed)
        return false;
    struct writer writer = {.at = batch->start, .slack = room - needed};
    put_fixed64(&writer, log->observed_ns);
    put_varint(&writer, TAG(11, WIRE_FIXED64));
    if (log->has_context)
        put_context(&writer, log);
    for (unsigned i = log->attribute_count; i-- > 0;)
        otlp_put_attribute(&writer, 6, &log->attributes[i], config->attribute_value_limit);
    const uint8_t *end = writer.at;
    otlp_put_text(&writer, 1, log->body.text, log->body.length);
    put_prefix(&writer, 5, end);
    put_severity(&writer, log);
    put_prefix(&writer, 2, batch->start);
    if (writer.full)
        return false;
    batch->start = writer.at;
    batch->spans++;
    return true;
}
