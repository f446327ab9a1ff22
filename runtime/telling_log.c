/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a log, told as the record that OTLP has for it. */
#include <string.h>

#include "telling.h"

static const struct span_text streams[] = {[1] = {"stdout", 6}, [2] = {"stderr", 6}};

/* Semantic conventions 1.44.0, general logs attributes. */
static void tell_origin(struct log *log, const struct record *record, struct fact path)
{
    struct span_attribute *attribute = &log->attributes[log->attribute_count];
    bool is_stream = record->protocol == 1 || record->protocol == 2;
    if (!is_stream && path.length == 0)
        return;
    attribute->key = is_stream ? ATTRIBUTE_LOG_IOSTREAM : ATTRIBUTE_LOG_FILE_PATH;
    attribute->kind = SPAN_VALUE_TEXT;
    attribute->text = (struct span_text){(const char *)path.text, path.length};
    if (is_stream)
        attribute->text = streams[record->protocol];
    log->attribute_count++;
}

/* Messages of several lines, too. The specification's logs data model, mapping of syslog. */
static void tell_severity(struct log *log, const struct record *record)
{
    static const struct {
        char word[8];
        uint8_t number;
    } severities[RECORD_LOG_SEVERITIES] = {{"emerg", 21}, {"alert", 19}, {"crit", 18}, {"err", 17},
        {"warning", 13}, {"notice", 10}, {"info", 9}, {"debug", 5}};
    unsigned severity = (unsigned)record->protocol - RECORD_LOG_SYSLOG;
    if (severity >= RECORD_LOG_SEVERITIES) {
        log->severity = log_severity(log->body, &log->severity_text);
        return;
    }
    log->severity = severities[severity].number;
    log->severity_text =
        (struct span_text){severities[severity].word, (uint32_t)strlen(severities[severity].word)};
}

static void tell_dropped(struct log *log, int64_t dropped)
{
    if (dropped > 0)
        log->attributes[log->attribute_count++] =
            (struct span_attribute){.key = ATTRIBUTE_BURDOCK_LOG_DROPPED_BYTES,
                .kind = SPAN_VALUE_INTEGER,
                .number = dropped};
}

const struct log *telling_log(struct telling *telling, const struct record *original)
{
    static const uint8_t none[16];
    struct fact texts[RECORD_TEXTS] = {0};
    struct log *log = &telling->log;
    const struct record *record = telling_take(telling, original, texts);
    if (record == NULL || record->kind != RECORD_LOG)
        return NULL;
    struct fact body = texts[RECORD_TEXT_BODY];
    *log = (struct log){.observed_ns = record->start_ns, .flags = record->flags & 0xff};
    log->body = (struct span_text){(const char *)body.text, body.length};
    log->has_context = memcmp(record->trace_id, none, sizeof(none)) != 0;
    memcpy(log->trace_id, record->trace_id, sizeof(log->trace_id));
    memcpy(log->span_id, record->span_id, sizeof(log->span_id));
    tell_severity(log, record);
    tell_origin(log, record, texts[RECORD_TEXT_PATH]);
    tell_dropped(log, record->numbers[0]);
    return log;
}
