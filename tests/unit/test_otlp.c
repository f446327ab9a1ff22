/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder against protobuf-c: random spans, byte for byte; what it makes can be decoded again.
 */
#include <stdlib.h>
#include <string.h>

#include "otlp.h"
#include "otlp.pb-c.h"
#include "propagation.h"
#include "resource.h"
#include "span_build.h"
#include "tap.h"

enum { BUFFER_BYTES = 256 * 1024, SPANS = 4000, TEXT_MAX = 300 };

static uint8_t buffer[BUFFER_BYTES];
static uint64_t seed;

static uint64_t roll(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return below ? (seed >> 11) % below : 0;
}

/* ---- texts ---- */

static const char *const keys[] = {
#define ATTRIBUTE(id, key) key,
#include "attributes.def"
#undef ATTRIBUTE
};

/* Mostly ASCII; else good sequences of each length and bytes at random, never NUL (protobuf-c's
 * strings end there). */
static size_t random_text(char *out, size_t max)
{
    static const char *const good[] = {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
        "\xEF\xBF\xBD", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
    size_t length = roll(8) ? roll(24) : roll(max - 4), used = 0;
    unsigned style = (unsigned)roll(4);
    while (used < length) {
        if (style < 2 || roll(3) == 0) {
            out[used++] = (char)(' ' + roll(95));
        } else if (style == 2) {
            const char *sequence = good[roll(sizeof(good) / sizeof(good[0]))];
            memcpy(out + used, sequence, strlen(sequence));
            used += strlen(sequence);
        } else {
            out[used++] = (char)(1 + roll(255));
        }
    }
    return used;
}

/* The rule said in another way: try to read each code point, re-encode it, compare. */
static unsigned good_sequence(const unsigned char *text, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned size = text[0] < 0x80 ? 1 : 0;
    if ((text[0] & 0xE0) == 0xC0)
        size = 2;
    if ((text[0] & 0xF0) == 0xE0)
        size = 3;
    if ((text[0] & 0xF8) == 0xF0)
        size = 4;
    if (size < 2 || size > left)
        return size == 1;
    uint32_t point = text[0] & (0x7F >> size);
    for (unsigned i = 1; i < size; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        point = point << 6 | (text[i] & 0x3F);
    }
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < least[size] || point > 0x10FFFF || surrogate ? 0 : size;
}

static char *expected_text(const char *text, size_t length, uint32_t characters)
{
    char *out = malloc(3 * length + 1);
    size_t used = 0;
    for (size_t at = 0; at < length && characters > 0; characters--) {
        unsigned size = good_sequence((const unsigned char *)text + at, length - at);
        memcpy(out + used, size ? text + at : "\xEF\xBF\xBD", size ? size : 3);
        used += size ? size : 3;
        at += size ? size : 1;
    }
    out[used] = 0;
    return out;
}

/* ---- the same span twice ---- */

struct reference {
    Otlp__Span span;
    Otlp__Status status;
    Otlp__KeyValue pairs[SPAN_ATTRIBUTES_MAX];
    Otlp__AnyValue values[SPAN_ATTRIBUTES_MAX];
    Otlp__KeyValue *list[SPAN_ATTRIBUTES_MAX];
    char *texts[SPAN_ATTRIBUTES_MAX + 2];
    Otlp__Span__Link links[SPAN_LINKS_MAX];
    Otlp__Span__Link *link_list[SPAN_LINKS_MAX];
    Otlp__Span__Event event;
    Otlp__Span__Event *event_list[1];
};

static struct trace_link links[SPAN_LINKS_MAX];

static int64_t random_number(void)
{
    static const int64_t edges[] = {0, 1, -1, 127, 128, 16383, 16384, INT64_MAX, INT64_MIN, 65535};
    return roll(2) ? edges[roll(10)] : (int64_t)(roll(0) + (seed >> roll(64)));
}

static void random_attribute(
    struct span_build *record, struct reference *reference, unsigned at, uint32_t characters)
{
    enum attribute key = (enum attribute)roll(ATTRIBUTE_COUNT);
    otlp__key_value__init(&reference->pairs[at]);
    otlp__any_value__init(&reference->values[at]);
    reference->list[at] = &reference->pairs[at];
    reference->pairs[at].key = (char *)keys[key];
    reference->pairs[at].value = &reference->values[at];
    if (roll(3) == 0) {
        int64_t number = random_number();
        span_put_number(record, at, key, number);
        if (roll(4) == 0) {
            record->span.attributes[at].kind = SPAN_VALUE_BOOLEAN;
            record->span.attributes[at].number = number != 0;
            reference->values[at].value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
            reference->values[at].bool_value = number != 0;
            return;
        }
        reference->values[at].value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
        reference->values[at].int_value = number;
        return;
    }
    char text[TEXT_MAX];
    size_t length = random_text(text, TEXT_MAX);
    span_put_text(record, at, key, text, length);
    reference->texts[at] = expected_text(text, length, characters);
    reference->values[at].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
    reference->values[at].string_value = reference->texts[at];
}

static void random_ids(struct span_build *record, struct reference *reference)
{
    struct span *span = &record->span;
    for (unsigned i = 0; i < 16; i++)
        span->trace_id[i] = (uint8_t)roll(256);
    for (unsigned i = 0; i < 8; i++) {
        span->span_id[i] = (uint8_t)roll(256);
        span->parent_id[i] = (uint8_t)roll(256);
    }
    span->has_parent = roll(2);
    reference->span.trace_id = (ProtobufCBinaryData){16, span->trace_id};
    reference->span.span_id = (ProtobufCBinaryData){8, span->span_id};
    if (span->has_parent)
        reference->span.parent_span_id = (ProtobufCBinaryData){8, span->parent_id};
}

static void random_links(
    struct span *span, struct reference *reference, const struct config *settings)
{
    unsigned count = roll(3) ? 0 : (unsigned)roll(SPAN_LINKS_MAX + 1);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < sizeof(links[i]); k++)
            ((uint8_t *)&links[i])[k] = (uint8_t)roll(256);
        otlp__span__link__init(&reference->links[i]);
        reference->links[i].trace_id = (ProtobufCBinaryData){16, links[i].trace_id};
        reference->links[i].span_id = (ProtobufCBinaryData){8, links[i].span_id};
        reference->link_list[i] = &reference->links[i];
    }
    span->links = (const uint8_t *)links;
    span->link_count = (uint8_t)count;
    span->links_dropped = roll(2) ? 0 : (uint32_t)random_number();
    unsigned kept = count < settings->link_count_limit ? count : settings->link_count_limit;
    reference->span.n_links = kept;
    reference->span.dropped_links_count = span->links_dropped + count - kept;
    reference->span.links = reference->link_list;
}

/* The last `count` attributes are its. */
static void random_event(struct span *span, struct reference *reference, unsigned count)
{
    static char name[] = "tls.handshake";
    otlp__span__event__init(&reference->event);
    span->event = (struct span_event){
        .name = {name, sizeof(name) - 1}, .time_ns = roll(5) ? 1790000000000000000u : 0};
    span->event.attribute_count = (uint8_t)count;
    span->attribute_count = (uint8_t)(span->attribute_count - count);
    reference->event.name = name;
    reference->event.time_unix_nano = span->event.time_ns;
    reference->event.n_attributes = count;
    reference->event.attributes = reference->list + span->attribute_count;
    reference->event_list[0] = &reference->event;
    reference->span.n_events = 1;
    reference->span.events = reference->event_list;
}

static void random_scalars(struct span_build *record, struct reference *reference)
{
    struct span *span = &record->span;
    span->kind = (uint8_t)(1 + roll(5));
    span->status = (uint8_t)roll(3);
    span->flags = roll(3) ? (uint32_t)roll(0x400) : 0;
    span->start_ns = roll(5) ? 1790000000000000000u + roll(1u << 30) : 0;
    span->end_ns = roll(5) ? span->start_ns + roll(1u << 30) : 0;
    reference->span.kind = (Otlp__Span__SpanKind)span->kind;
    reference->span.flags = span->flags;
    reference->span.start_time_unix_nano = span->start_ns;
    reference->span.end_time_unix_nano = span->end_ns;
    otlp__status__init(&reference->status);
    reference->status.code = (Otlp__Status__StatusCode)span->status;
    if (span->status)
        reference->span.status = &reference->status;
}

static void random_span(
    struct span_build *record, struct reference *reference, const struct config *settings)
{
    char text[TEXT_MAX];
    unsigned all = (unsigned)roll(SPAN_ATTRIBUTES_MAX + 1);
    bool has_event = roll(3) == 0;
    unsigned count = has_event ? all - (unsigned)roll(all + 1) : all;
    unsigned kept =
        count < settings->attribute_count_limit ? count : settings->attribute_count_limit;
    memset(reference, 0, sizeof(*reference));
    otlp__span__init(&reference->span);
    span_begin(record, all);
    random_ids(record, reference);
    random_scalars(record, reference);
    random_links(&record->span, reference, settings);
    size_t length = random_text(text, TEXT_MAX);
    record->span.name = span_put(record, text, length);
    reference->span.name = reference->texts[SPAN_ATTRIBUTES_MAX] =
        expected_text(text, length, UINT32_MAX);
    length = roll(2) ? random_text(text, TEXT_MAX) : 0;
    record->span.trace_state = span_put(record, text, length);
    reference->span.trace_state = reference->texts[SPAN_ATTRIBUTES_MAX + 1] =
        expected_text(text, length, UINT32_MAX);
    for (unsigned i = 0; i < all; i++)
        random_attribute(record, reference, i, settings->attribute_value_limit);
    if (has_event)
        random_event(&record->span, reference, all - count);
    reference->span.n_attributes = kept;
    reference->span.attributes = reference->list;
    reference->span.dropped_attributes_count = count - kept;
}

static void free_texts(struct reference *reference)
{
    for (unsigned i = 0; i < SPAN_ATTRIBUTES_MAX + 2; i++)
        free(reference->texts[i]);
}

static void random_limits(struct config *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->attribute_count_limit = roll(3) ? 128 : (uint32_t)roll(20);
    settings->attribute_value_limit = roll(3) ? UINT32_MAX : (uint32_t)roll(40);
    settings->link_count_limit = roll(3) ? SPAN_LINKS_MAX : (uint32_t)roll(20);
}

/* ---- tests ---- */

/* Otlp__ScopeSpans with this one span is the field as the encoder writes it. */
static bool same_as_protobuf(const struct otlp_batch *batch, size_t bytes, Otlp__Span *span)
{
    Otlp__ScopeSpans scope = OTLP__SCOPE_SPANS__INIT;
    scope.n_spans = 1;
    scope.spans = &span;
    size_t size = otlp__scope_spans__get_packed_size(&scope);
    uint8_t *packed = malloc(size + 1);
    otlp__scope_spans__pack(&scope, packed);
    bool same = size == bytes && memcmp(packed, batch->start, size) == 0;
    free(packed);
    return same;
}

static void test_equal(void)
{
    static struct span_build record;
    unsigned same = 0, refused = 0;
    for (unsigned i = 0; i < SPANS; i++) {
        struct reference reference;
        struct config settings;
        struct otlp_batch batch;
        seed = 0x9E3779B97F4A7C15u * (i + 1);
        random_limits(&settings);
        random_span(&record, &reference, &settings);
        otlp_batch_reset(&batch, buffer, sizeof(buffer));
        uint8_t *end = batch.start;
        refused += !otlp_batch_add(&batch, &record.span, &settings);
        same += same_as_protobuf(&batch, (size_t)(end - batch.start), &reference.span);
        free_texts(&reference);
    }
    CHECK(refused == 0, "no sound span is refused (%u)", refused);
    CHECK(same == SPANS, "%u of %u random spans equal protobuf-c's bytes", same, SPANS);
}

static void fill_config(struct config *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->attribute_count_limit = 128;
    settings->link_count_limit = SPAN_LINKS_MAX;
    settings->attribute_value_limit = UINT32_MAX;
    strcpy(settings->service_name, "cart");
    strcpy(settings->resource_attributes,
        "service.name=ignored,deployment.environment.name=test%2C1, host.name = other,a=1,a=2,"
        "service.version=%E2%82%AC");
}

static const char *resource_value(const Otlp__Resource *resource, const char *key, unsigned *times)
{
    const char *found = NULL;
    *times = 0;
    for (size_t i = 0; i < resource->n_attributes; i++) {
        if (strcmp(resource->attributes[i]->key, key) != 0)
            continue;
        ++*times;
        found = resource->attributes[i]->value->string_value;
    }
    return found;
}

static void check_resource(const Otlp__Resource *resource)
{
    static const struct {
        const char *key, *value;
    } rows[] = {{"service.name", "cart"}, {"deployment.environment.name", "test,1"},
        {"host.name", "other"}, {"a", "2"}, {"service.version", "\xE2\x82\xAC"},
        {"telemetry.sdk.name", "burdock"}, {"telemetry.sdk.version", BURDOCK_VERSION},
        {"process.executable.name", "cart\xEF\xBF\xBD"}, {"os.type", "linux"},
        {"service.instance.id", "0a"}};
    unsigned times;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *value = resource_value(resource, rows[i].key, &times);
        CHECK(times == 1 && value && strcmp(value, rows[i].value) == 0, "resource: %s is %s once",
            rows[i].key, rows[i].value);
    }
    resource_value(resource, "process.pid", &times);
    CHECK(times == 1, "resource: process.pid once");
}

static void test_request(void)
{
    static struct span_build record;
    static struct config settings;
    static uint8_t resource[OTLP_RESOURCE_BYTES_MAX];
    static struct otlp_process process;
    resource_add_text(&process, "process.executable.name", "cart\xFF");
    resource_add_text(&process, "host.name", "node");
    resource_add_text(&process, "os.type", "linux");
    resource_add_text(&process, "service.instance.id", "0a");
    resource_add_number(&process, "process.pid", 300);
    struct otlp_batch batch;
    fill_config(&settings);
    size_t resource_bytes = otlp_resource(&settings, &process, resource, sizeof(resource));
    CHECK(resource_bytes > 0, "the resource is made");
    size_t less = otlp_resource(&settings, &process, resource, resource_bytes - 1);
    CHECK(less > 0 && less < resource_bytes - 1, "a fact without room is left out");
    CHECK(otlp_resource(&settings, &process, resource, 64) == 0,
        "a resource without room for more than facts is refused");
    otlp_resource(&settings, &process, resource, sizeof(resource));

    otlp_batch_reset(&batch, buffer, sizeof(buffer));
    CHECK(!otlp_batch_finish(&batch, resource, resource_bytes), "an empty request is refused");
    unsigned count = 0;
    for (;; count++) {
        span_begin(&record, 1);
        char name[32];
        record.span.name = span_put(&record, name, (size_t)sprintf(name, "span %u", count));
        span_put_text(&record, 0, ATTRIBUTE_URL_PATH, "/x", 2);
        if (!otlp_batch_add(&batch, &record.span, &settings))
            break;
    }
    CHECK(batch.spans == count && count > 100, "adds until full (%u)", count);
    CHECK(otlp_batch_finish(&batch, resource, resource_bytes), "a full batch can be finished");

    size_t bytes = (size_t)(batch.limit - batch.start);
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, bytes, batch.start);
    CHECK(request != NULL, "the request decodes");
    if (request == NULL)
        return;
    const Otlp__ResourceSpans *spans = request->resource_spans[0];
    const Otlp__ScopeSpans *scope = spans->scope_spans[0];
    CHECK(request->n_resource_spans == 1 && spans->n_scope_spans == 1 && scope->n_spans == count,
        "one resource, one scope, all spans");
    CHECK(strcmp(scope->scope->name, "burdock") == 0 &&
              strcmp(scope->scope->version, BURDOCK_VERSION) == 0,
        "the scope is named");
    CHECK(strcmp(scope->schema_url, "https://opentelemetry.io/schemas/1.44.0") == 0 &&
              strcmp(spans->schema_url, scope->schema_url) == 0,
        "both schema URLs");
    CHECK(strcmp(scope->spans[count - 1]->name, "span 0") == 0, "the first one added comes last");
    check_resource(spans->resource);

    uint8_t *packed = malloc(otlp__export_trace_service_request__get_packed_size(request));
    size_t size = otlp__export_trace_service_request__pack(request, packed);
    CHECK(size == bytes && memcmp(packed, batch.start, size) == 0,
        "the whole request equals protobuf-c's bytes");
    free(packed);
    otlp__export_trace_service_request__free_unpacked(request, NULL);
}

static void test_small(void)
{
    struct otlp_batch batch;
    static struct span_build record;
    struct config settings = {.attribute_count_limit = 128, .link_count_limit = SPAN_LINKS_MAX};
    bool added = false;
    span_begin(&record, 0);
    for (size_t room = 0; room < OTLP_ENVELOPE_BYTES_MAX + 64; room++) {
        uint8_t *block = malloc(room + 1);
        otlp_batch_reset(&batch, block, room);
        added |= otlp_batch_add(&batch, &record.span, &settings);
        added |= otlp_batch_finish(&batch, block, 0);
        free(block);
    }
    CHECK(!added, "a buffer without room for the envelope takes nothing");
}

static void add_numbered(struct otlp_batch *batch, unsigned number, const struct config *settings)
{
    static struct span_build record;
    char name[300]; /* so that a length has one byte or two */
    memset(name, 'a' + (int)number, sizeof(name));
    span_begin(&record, number + 1);
    record.span.name = span_put(&record, name, number % 2 == 0 ? 3 : sizeof(name));
    CHECK(otlp_batch_add(batch, &record.span, settings), "span %u has room", number);
}

/* Each part of a batch is the request that its spans alone would be. */
static void test_parts(void)
{
    static uint8_t whole_bytes[65536], alone_bytes[65536];
    static const uint8_t resource[] = {0x0A, 0x02, 0x0A, 0x00};
    static const uint32_t sizes[] = {2, 1, 4};
    struct config settings = {.attribute_count_limit = 128, .link_count_limit = SPAN_LINKS_MAX};
    struct otlp_batch whole, part, alone;
    otlp_batch_reset(&whole, whole_bytes, sizeof(whole_bytes));
    for (unsigned i = 0; i < 7; i++)
        add_numbered(&whole, i, &settings);
    unsigned next = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t kept[OTLP_ENVELOPE_BYTES_MAX + sizeof(resource)];
        otlp_batch_reset(&alone, alone_bytes, sizeof(alone_bytes));
        for (unsigned j = 0; j < sizes[i]; j++)
            add_numbered(&alone, next++, &settings);
        otlp_batch_take_first(&whole, sizes[i], &part);
        uint8_t *at = part.start - sizeof(kept);
        memcpy(kept, at, sizeof(kept));
        CHECK(otlp_batch_finish(&part, resource, sizeof(resource)) &&
                  otlp_batch_finish(&alone, resource, sizeof(resource)) &&
                  part.limit - part.start == alone.limit - alone.start &&
                  memcmp(part.start, alone.start, (size_t)(part.limit - part.start)) == 0,
            "part %u is what its spans alone are", i);
        memcpy(at, kept, sizeof(kept));
    }
    CHECK(whole.spans == 0, "nothing is left");
}

int main(void)
{
    test_parts();
    test_equal();
    test_request();
    test_small();
    return tap_done();
}
