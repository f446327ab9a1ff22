/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_json.h"

#include <string.h>

#include "memory.h"
#include "otlp_read.h"

/* ---- what the messages are made of ---- */

enum form {
    FORM_TEXT,
    FORM_HEX,
    FORM_BASE64,
    FORM_NUMBER, /* enums, counts and flags of 32 bits */
    FORM_BOOLEAN,
    FORM_ZIGZAG,
    FORM_INTEGER,  /* 64 bits: a text */
    FORM_UNSIGNED, /* the same, fixed */
    FORM_SIGNED,   /* the same, with sign */
    FORM_REAL,
    FORM_UNSIGNEDS, /* packed */
    FORM_VARINTS,
    FORM_REALS,
    FORM_ONE, /* a message */
    FORM_MANY
};

enum message {
    TRACES,
    RESOURCE_SPANS,
    RESOURCE,
    SCOPE_SPANS,
    SCOPE,
    SPAN,
    EVENT,
    LINK,
    STATUS,
    KEY_VALUE,
    ANY_VALUE,
    ARRAY_VALUE,
    LIST_VALUE,
    LOGS,
    RESOURCE_LOGS,
    SCOPE_LOGS,
    LOG_RECORD,
    METRICS,
    RESOURCE_METRICS,
    SCOPE_METRICS,
    METRIC,
    GAUGE,
    SUM,
    HISTOGRAM,
    EXPONENTIAL,
    NUMBER_POINT,
    HISTOGRAM_POINT,
    EXPONENTIAL_POINT,
    BUCKETS,
    EXEMPLAR,
    MESSAGE_COUNT
};

struct rule {
    uint8_t number; /* 0: the end */
    uint8_t form;
    uint8_t message;
    char name[25]; /* not a pointer, which each start of a program would have to relocate */
};

enum { RULES_MAX = 16, DEPTH_MAX = 24 };

static const struct rule rules[MESSAGE_COUNT][RULES_MAX + 1] = {
    [TRACES] = {{1, FORM_MANY, RESOURCE_SPANS, "resourceSpans"}},
    [RESOURCE_SPANS] = {{1, FORM_ONE, RESOURCE, "resource"},
        {2, FORM_MANY, SCOPE_SPANS, "scopeSpans"}, {3, FORM_TEXT, 0, "schemaUrl"}},
    [LOGS] = {{1, FORM_MANY, RESOURCE_LOGS, "resourceLogs"}},
    [RESOURCE_LOGS] = {{1, FORM_ONE, RESOURCE, "resource"}, {2, FORM_MANY, SCOPE_LOGS, "scopeLogs"},
        {3, FORM_TEXT, 0, "schemaUrl"}},
    [SCOPE_LOGS] = {{1, FORM_ONE, SCOPE, "scope"}, {2, FORM_MANY, LOG_RECORD, "logRecords"},
        {3, FORM_TEXT, 0, "schemaUrl"}},
    [LOG_RECORD] = {{1, FORM_UNSIGNED, 0, "timeUnixNano"},
        {11, FORM_UNSIGNED, 0, "observedTimeUnixNano"}, {2, FORM_NUMBER, 0, "severityNumber"},
        {3, FORM_TEXT, 0, "severityText"}, {5, FORM_ONE, ANY_VALUE, "body"},
        {6, FORM_MANY, KEY_VALUE, "attributes"}, {7, FORM_NUMBER, 0, "droppedAttributesCount"},
        {8, FORM_NUMBER, 0, "flags"}, {9, FORM_HEX, 0, "traceId"}, {10, FORM_HEX, 0, "spanId"},
        {12, FORM_TEXT, 0, "eventName"}},
    [RESOURCE] = {{1, FORM_MANY, KEY_VALUE, "attributes"},
        {2, FORM_NUMBER, 0, "droppedAttributesCount"}},
    [SCOPE_SPANS] = {{1, FORM_ONE, SCOPE, "scope"}, {2, FORM_MANY, SPAN, "spans"},
        {3, FORM_TEXT, 0, "schemaUrl"}},
    [SCOPE] = {{1, FORM_TEXT, 0, "name"}, {2, FORM_TEXT, 0, "version"},
        {3, FORM_MANY, KEY_VALUE, "attributes"}, {4, FORM_NUMBER, 0, "droppedAttributesCount"}},
    [SPAN] = {{1, FORM_HEX, 0, "traceId"}, {2, FORM_HEX, 0, "spanId"},
        {3, FORM_TEXT, 0, "traceState"}, {4, FORM_HEX, 0, "parentSpanId"},
        {16, FORM_NUMBER, 0, "flags"}, {5, FORM_TEXT, 0, "name"}, {6, FORM_NUMBER, 0, "kind"},
        {7, FORM_UNSIGNED, 0, "startTimeUnixNano"}, {8, FORM_UNSIGNED, 0, "endTimeUnixNano"},
        {9, FORM_MANY, KEY_VALUE, "attributes"}, {10, FORM_NUMBER, 0, "droppedAttributesCount"},
        {11, FORM_MANY, EVENT, "events"}, {12, FORM_NUMBER, 0, "droppedEventsCount"},
        {13, FORM_MANY, LINK, "links"}, {14, FORM_NUMBER, 0, "droppedLinksCount"},
        {15, FORM_ONE, STATUS, "status"}},
    [EVENT] = {{1, FORM_UNSIGNED, 0, "timeUnixNano"}, {2, FORM_TEXT, 0, "name"},
        {3, FORM_MANY, KEY_VALUE, "attributes"}, {4, FORM_NUMBER, 0, "droppedAttributesCount"}},
    [LINK] = {{1, FORM_HEX, 0, "traceId"}, {2, FORM_HEX, 0, "spanId"},
        {3, FORM_TEXT, 0, "traceState"}, {4, FORM_MANY, KEY_VALUE, "attributes"},
        {5, FORM_NUMBER, 0, "droppedAttributesCount"}, {6, FORM_NUMBER, 0, "flags"}},
    [STATUS] = {{2, FORM_TEXT, 0, "message"}, {3, FORM_NUMBER, 0, "code"}},
    [KEY_VALUE] = {{1, FORM_TEXT, 0, "key"}, {2, FORM_ONE, ANY_VALUE, "value"}},
    [ANY_VALUE] = {{1, FORM_TEXT, 0, "stringValue"}, {2, FORM_BOOLEAN, 0, "boolValue"},
        {3, FORM_INTEGER, 0, "intValue"}, {4, FORM_REAL, 0, "doubleValue"},
        {5, FORM_ONE, ARRAY_VALUE, "arrayValue"}, {6, FORM_ONE, LIST_VALUE, "kvlistValue"},
        {7, FORM_BASE64, 0, "bytesValue"}},
    [ARRAY_VALUE] = {{1, FORM_MANY, ANY_VALUE, "values"}},
    [LIST_VALUE] = {{1, FORM_MANY, KEY_VALUE, "values"}},
    [METRICS] = {{1, FORM_MANY, RESOURCE_METRICS, "resourceMetrics"}},
    [RESOURCE_METRICS] = {{1, FORM_ONE, RESOURCE, "resource"},
        {2, FORM_MANY, SCOPE_METRICS, "scopeMetrics"}, {3, FORM_TEXT, 0, "schemaUrl"}},
    [SCOPE_METRICS] = {{1, FORM_ONE, SCOPE, "scope"}, {2, FORM_MANY, METRIC, "metrics"},
        {3, FORM_TEXT, 0, "schemaUrl"}},
    [METRIC] = {{1, FORM_TEXT, 0, "name"}, {2, FORM_TEXT, 0, "description"},
        {3, FORM_TEXT, 0, "unit"}, {5, FORM_ONE, GAUGE, "gauge"}, {7, FORM_ONE, SUM, "sum"},
        {9, FORM_ONE, HISTOGRAM, "histogram"}, {10, FORM_ONE, EXPONENTIAL, "exponentialHistogram"}},
    [GAUGE] = {{1, FORM_MANY, NUMBER_POINT, "dataPoints"}},
    [SUM] = {{1, FORM_MANY, NUMBER_POINT, "dataPoints"},
        {2, FORM_NUMBER, 0, "aggregationTemporality"}, {3, FORM_BOOLEAN, 0, "isMonotonic"}},
    [HISTOGRAM] = {{1, FORM_MANY, HISTOGRAM_POINT, "dataPoints"},
        {2, FORM_NUMBER, 0, "aggregationTemporality"}},
    [EXPONENTIAL] = {{1, FORM_MANY, EXPONENTIAL_POINT, "dataPoints"},
        {2, FORM_NUMBER, 0, "aggregationTemporality"}},
    [NUMBER_POINT] = {{7, FORM_MANY, KEY_VALUE, "attributes"},
        {2, FORM_UNSIGNED, 0, "startTimeUnixNano"}, {3, FORM_UNSIGNED, 0, "timeUnixNano"},
        {4, FORM_REAL, 0, "asDouble"}, {6, FORM_SIGNED, 0, "asInt"},
        {5, FORM_MANY, EXEMPLAR, "exemplars"}, {8, FORM_NUMBER, 0, "flags"}},
    [HISTOGRAM_POINT] = {{9, FORM_MANY, KEY_VALUE, "attributes"},
        {2, FORM_UNSIGNED, 0, "startTimeUnixNano"}, {3, FORM_UNSIGNED, 0, "timeUnixNano"},
        {4, FORM_UNSIGNED, 0, "count"}, {5, FORM_REAL, 0, "sum"},
        {6, FORM_UNSIGNEDS, 0, "bucketCounts"}, {7, FORM_REALS, 0, "explicitBounds"},
        {8, FORM_MANY, EXEMPLAR, "exemplars"}, {10, FORM_NUMBER, 0, "flags"},
        {11, FORM_REAL, 0, "min"}, {12, FORM_REAL, 0, "max"}},
    [EXPONENTIAL_POINT] = {{1, FORM_MANY, KEY_VALUE, "attributes"},
        {2, FORM_UNSIGNED, 0, "startTimeUnixNano"}, {3, FORM_UNSIGNED, 0, "timeUnixNano"},
        {4, FORM_UNSIGNED, 0, "count"}, {5, FORM_REAL, 0, "sum"}, {6, FORM_ZIGZAG, 0, "scale"},
        {7, FORM_UNSIGNED, 0, "zeroCount"}, {8, FORM_ONE, BUCKETS, "positive"},
        {9, FORM_ONE, BUCKETS, "negative"}, {10, FORM_NUMBER, 0, "flags"},
        {11, FORM_MANY, EXEMPLAR, "exemplars"}, {12, FORM_REAL, 0, "min"},
        {13, FORM_REAL, 0, "max"}, {14, FORM_REAL, 0, "zeroThreshold"}},
    [BUCKETS] = {{1, FORM_ZIGZAG, 0, "offset"}, {2, FORM_VARINTS, 0, "bucketCounts"}},
    [EXEMPLAR] = {{7, FORM_MANY, KEY_VALUE, "filteredAttributes"},
        {2, FORM_UNSIGNED, 0, "timeUnixNano"}, {3, FORM_REAL, 0, "asDouble"},
        {6, FORM_SIGNED, 0, "asInt"}, {4, FORM_HEX, 0, "spanId"}, {5, FORM_HEX, 0, "traceId"}},
};

static const uint8_t types[] = {[FORM_TEXT] = WIRE_BYTES,
    [FORM_HEX] = WIRE_BYTES,
    [FORM_BASE64] = WIRE_BYTES,
    [FORM_NUMBER] = WIRE_VARINT,
    [FORM_BOOLEAN] = WIRE_VARINT,
    [FORM_ZIGZAG] = WIRE_VARINT,
    [FORM_INTEGER] = WIRE_VARINT,
    [FORM_UNSIGNED] = WIRE_FIXED64,
    [FORM_SIGNED] = WIRE_FIXED64,
    [FORM_REAL] = WIRE_FIXED64,
    [FORM_UNSIGNEDS] = WIRE_BYTES,
    [FORM_VARINTS] = WIRE_BYTES,
    [FORM_REALS] = WIRE_BYTES,
    [FORM_ONE] = WIRE_BYTES,
    [FORM_MANY] = WIRE_BYTES};

/* Flags are fixed32, other numbers varints. */
static bool is_of(const struct wire_field *field, const struct rule *rule)
{
    return field->number == rule->number &&
           (field->type == types[rule->form] ||
               (rule->form == FORM_NUMBER && field->type == WIRE_FIXED32));
}

/* ---- messages ---- */

static void put_packed(
    struct json_writer *w, const struct rule *rule, const uint8_t *data, size_t length)
{
    const uint8_t *at = data, *end = data + length;
    uint64_t value;
    double real;
    json_put_open(w, rule->name, '[');
    while (at < end) {
        if (rule->form == FORM_VARINTS) {
            if (!wire_varint(&at, end, &value))
                break;
        } else {
            if (end - at < 8)
                break;
            memcpy(&value, at, sizeof(value));
            at += sizeof(value);
        }
        memcpy(&real, &value, sizeof(real));
        if (rule->form == FORM_REALS)
            json_put_real(w, NULL, real);
        else
            json_put_unsigned_text(w, NULL, value);
    }
    json_put_close(w, ']');
}

static void put_message(struct json_writer *w, const char *key, enum message message,
    const uint8_t *data, size_t length, unsigned depth);

static void put_one(
    struct json_writer *w, const struct rule *rule, const struct wire_field *field, unsigned depth)
{
    double real;
    switch ((enum form)rule->form) {
    case FORM_TEXT:
        json_put_text(w, rule->name, field->data, field->length);
        break;
    case FORM_HEX:
        json_put_hex(w, rule->name, field->data, field->length);
        break;
    case FORM_BASE64:
        json_put_base64(w, rule->name, field->data, field->length);
        break;
    case FORM_NUMBER:
        json_put_integer(w, rule->name, (uint32_t)field->value);
        break;
    case FORM_BOOLEAN:
        json_put_word(w, rule->name, field->value ? "true" : "false");
        break;
    case FORM_ZIGZAG:
        json_put_integer(
            w, rule->name, (int32_t)((uint32_t)field->value >> 1) ^ -(int32_t)(field->value & 1));
        break;
    case FORM_INTEGER:
    case FORM_SIGNED:
        json_put_integer_text(w, rule->name, (int64_t)field->value);
        break;
    case FORM_UNSIGNED:
        json_put_unsigned_text(w, rule->name, field->value);
        break;
    case FORM_REAL:
        memcpy(&real, &field->value, sizeof(real));
        json_put_real(w, rule->name, real);
        break;
    case FORM_UNSIGNEDS:
    case FORM_VARINTS:
    case FORM_REALS:
        put_packed(w, rule, field->data, field->length);
        break;
    case FORM_ONE:
    case FORM_MANY:
        put_message(w, rule->form == FORM_ONE ? rule->name : NULL, (enum message)rule->message,
            field->data, field->length, depth + 1);
        break;
    }
}

/* All of a number stand in one array, wherever they are in the message; of others the first. */
static void put_rule(struct json_writer *w, const struct rule *rule, const uint8_t *data,
    size_t length, unsigned depth)
{
    const uint8_t *at = data;
    struct wire_field field;
    bool found = false;
    while ((!found || rule->form == FORM_MANY) && wire_next(&at, data + length, &field)) {
        if (!is_of(&field, rule))
            continue;
        if (!found && rule->form == FORM_MANY)
            json_put_open(w, rule->name, '[');
        found = true;
        put_one(w, rule, &field, depth);
    }
    if (found && rule->form == FORM_MANY)
        json_put_close(w, ']');
}

static void put_message(struct json_writer *w, const char *key, enum message message,
    const uint8_t *data, size_t length, unsigned depth)
{
    json_put_open(w, key, '{');
    for (const struct rule *rule = rules[message]; rule->number != 0 && depth < DEPTH_MAX; rule++)
        put_rule(w, rule, data, length, depth);
    json_put_close(w, '}');
}

/* ---- memory ---- */

enum { GROWTH = 6, LEAST_BYTES = 256 * 1024 };
static char *memory;
static size_t memory_bytes;

/* What has room for a request of `length` bytes: a byte becomes at most the six of an escape, and
 * what stands around a field is less than six times its tag, its length and its content. */
bool otlp_json_begin(struct json_writer *w, size_t length)
{
    size_t wanted = length * GROWTH + LEAST_BYTES;
    if (wanted > memory_bytes) {
        if (memory != NULL)
            memory_unmap(memory, memory_bytes);
        memory = memory_map(wanted);
        memory_bytes = memory != NULL ? wanted : 0;
    }
    *w = (struct json_writer){.at = memory, .limit = memory + memory_bytes};
    return memory != NULL;
}

struct json_text otlp_json_end(const struct json_writer *w)
{
    return (struct json_text){w->full ? NULL : memory, (size_t)(w->at - memory)};
}

void otlp_json_put_metric(
    struct json_writer *w, const char *key, const uint8_t *metric, size_t length)
{
    put_message(w, key, METRIC, metric, length, 0);
}

struct json_text otlp_json(enum signal signal, const uint8_t *request, size_t length)
{
    static const uint8_t messages[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = TRACES, [SIGNAL_METRICS] = METRICS, [SIGNAL_LOGS] = LOGS};
    struct json_writer w;
    if (!otlp_json_begin(&w, length))
        return (struct json_text){NULL, 0};
    put_message(&w, NULL, (enum message)messages[signal], request, length, 0);
    json_put_raw(&w, "\n", 1);
    struct json_text made = otlp_json_end(&w);
    made.length--;
    return made;
}
