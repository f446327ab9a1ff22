/* SPDX-License-Identifier: Apache-2.0 */
#include "telling.h"

#include <string.h>

#include "../protocols/library.h"
#include "attribution.h"
#include "counters.h"

static const struct span_text rules[RULE_COUNT] = {
#define RULE(id, name) [RULE_##id] = {name, sizeof(name) - 1},
#include "rules.def"
#undef RULE
};

static struct telling *of(struct describer *describer)
{
    return (struct telling *)describer;
}

/* Cut, and counted, where there is no room for all of it. */
static struct span_text copy_text(struct telling *telling, const void *text, size_t length)
{
    if (length == 0)
        return (struct span_text){"", 0};
    char *place = telling->text + telling->text_used;
    size_t room = sizeof(telling->text) - telling->text_used;
    if (length > room) {
        length = room;
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
    }
    memcpy(place, text, length);
    telling->text_used += (uint32_t)length;
    return (struct span_text){place, (uint32_t)length};
}

/* What lies in the record stays there; everything else is copied. */
static struct span_text keep(struct telling *telling, const void *text, size_t length)
{
    size_t at = (size_t)((const uint8_t *)text - telling->record);
    if (length == 0)
        return (struct span_text){"", 0};
    if (at < sizeof(telling->record))
        return (struct span_text){text, (uint32_t)length};
    return copy_text(telling, text, length);
}

static struct span_attribute *add(struct telling *telling, enum attribute key)
{
    struct span *span = &telling->span;
    if (span->attribute_count >= SPAN_ATTRIBUTES_MAX)
        return NULL;
    struct span_attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    attribute->kind = SPAN_VALUE_TEXT;
    return attribute;
}

static void on_text(
    struct describer *describer, enum attribute key, const void *text, size_t length)
{
    struct span_attribute *attribute = add(of(describer), key);
    if (attribute != NULL)
        attribute->text = keep(of(describer), text, length);
}

void telling_number(
    struct telling *telling, enum attribute key, enum span_value kind, int64_t number)
{
    struct span_attribute *attribute = add(telling, key);
    if (attribute == NULL)
        return;
    attribute->kind = kind;
    attribute->number = number;
}

static void on_number(struct describer *describer, enum attribute key, int64_t number)
{
    telling_number(of(describer), key, SPAN_VALUE_INTEGER, number);
}

static void on_open(struct describer *describer, enum attribute key)
{
    struct telling *telling = of(describer);
    telling->open = add(telling, key);
    if (telling->open != NULL)
        telling->open->text = (struct span_text){telling->text + telling->text_used, 0};
}

/* Nothing else is kept while a value is open, so that its pieces follow one another. */
static void on_append(struct describer *describer, const void *text, size_t length)
{
    struct telling *telling = of(describer);
    if (telling->open != NULL)
        telling->open->text.length += copy_text(telling, text, length).length;
}

static void on_close(struct describer *describer)
{
    of(describer)->open = NULL;
}

static void on_name(struct describer *describer, const void *text, size_t length)
{
    of(describer)->span.name = keep(of(describer), text, length);
}

static void on_error(struct describer *describer)
{
    of(describer)->span.status = SPAN_STATUS_ERROR;
}

static void on_kind(struct describer *describer, enum describer_kind kind)
{
    static const enum span_kind kinds[] = {[KIND_CLIENT] = SPAN_KIND_CLIENT,
        [KIND_PRODUCER] = SPAN_KIND_PRODUCER,
        [KIND_CONSUMER] = SPAN_KIND_CONSUMER};
    of(describer)->span.kind = kinds[kind];
}

static void on_untouched(struct describer *describer)
{
    of(describer)->is_untouched = true;
}

/* The barrier keeps the compiler from reading the original again after the copy. */
static const struct record *copy(struct telling *telling, const struct record *original)
{
    uint32_t bytes = *(const volatile uint32_t *)&original->bytes;
    struct record *record = (struct record *)telling->record;
    if (bytes < sizeof(*record) || bytes > sizeof(telling->record))
        return NULL;
    memcpy(record, original, bytes);
    __asm__ volatile("" ::: "memory");
    record->bytes = bytes;
    return record;
}

/* False: a text reaches beyond the record, or is of no kind that we know. */
static bool take_texts(const struct record *record, struct fact texts[RECORD_TEXTS])
{
    const uint8_t *at = (const uint8_t *)(record + 1);
    const uint8_t *end = (const uint8_t *)record + record->bytes;
    struct record_text head;
    while (end - at >= (ptrdiff_t)sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        if (head.length == 0)
            return true; /* what rounds the record up */
        at += sizeof(head);
        if (head.kind < FIELD_NUMBERS || head.kind >= RECORD_TEXTS || head.length > end - at)
            return false;
        texts[head.kind] = (struct fact){at, head.length};
        at += head.length;
    }
    return true;
}

/* Inlined where spans are told, which is where it is counted. */
static inline __attribute__((always_inline)) const struct record *take(
    struct telling *telling, const struct record *original, struct fact texts[RECORD_TEXTS])
{
    const struct record *record = copy(telling, original);
    return record != NULL && take_texts(record, texts) ? record : NULL;
}

const struct record *telling_take(
    struct telling *telling, const struct record *original, struct fact texts[RECORD_TEXTS])
{
    return take(telling, original, texts);
}

static bool is_protocol(uint32_t index)
{
    uint32_t row = 0;
    while (protocol_rows[row] != NULL && row < index)
        row++;
    return protocol_rows[row] != NULL;
}

typedef void describe(const struct facts *, struct describer *);

/* NULL: of nobody that we know. */
static describe *describe_of(const struct record *record)
{
    if (record->kind == RECORD_CALL)
        return record->protocol < LIBRARY_COUNT ? library_describe[record->protocol] : NULL;
    bool is_known = record->kind == RECORD_EXCHANGE && is_protocol(record->protocol);
    return is_known ? protocol_rows[record->protocol]->describe : NULL;
}

static void tell_exchange(struct telling *telling, const struct record *record, describe *describe,
    const struct fact texts[RECORD_TEXTS], const struct config *config)
{
    struct facts facts = {.is_server = record->marks & RECORD_SERVER,
        .has_response = record->marks & RECORD_HAS_RESPONSE,
        .is_adopted = record->marks & RECORD_ADOPTED,
        .is_rewritten = record->marks & RECORD_REWRITTEN || config->propagators == 0 ||
                        texts[RECORD_TEXT_LINKS].length > 0,
        .is_secure = texts[FIELD_TLS].length > 0,
        .error = texts[RECORD_TEXT_ERROR],
        .peer_address = texts[RECORD_TEXT_PEER],
        .peer_port = record->peer_port,
        .known_methods = config->known_methods};
    memcpy(facts.numbers, record->numbers, sizeof(facts.numbers));
    memcpy(facts.texts, texts, sizeof(facts.texts));
    describe(&facts, &telling->describer);
}

/* An attempt to connect, or to agree on TLS, that failed. */
static void tell_attempt(
    struct describer *out, const struct record *record, const struct fact texts[RECORD_TEXTS])
{
    struct fact peer = texts[RECORD_TEXT_PEER], error = texts[RECORD_TEXT_ERROR];
    if (record->kind == RECORD_CONNECT)
        out->name(out, "connect", 7);
    else
        out->name(out, "TLS handshake", 13);
    if (peer.length > 0 && !(record->marks & RECORD_SERVER)) {
        out->text(out, ATTRIBUTE_SERVER_ADDRESS, peer.text, peer.length);
        out->number(out, ATTRIBUTE_SERVER_PORT, record->peer_port);
    }
    if (peer.length > 0) {
        out->text(out, ATTRIBUTE_NETWORK_PEER_ADDRESS, peer.text, peer.length);
        out->number(out, ATTRIBUTE_NETWORK_PEER_PORT, record->peer_port);
    }
    out->text(out, ATTRIBUTE_NETWORK_TRANSPORT, "tcp", 3);
    out->text(out, ATTRIBUTE_ERROR_TYPE, error.text, error.length);
    out->error(out);
}

static void begin(struct telling *telling, const struct record *record, struct fact trace_state)
{
    struct span *span = &telling->span;
    telling->describer = (struct describer){on_text, on_number, on_open, on_append, on_close,
        on_name, on_error, on_kind, on_untouched, &telling->statements};
    telling->is_untouched = record->marks & RECORD_UNTOUCHED;
    telling->open = NULL;
    telling->text_used = 0;
    span->kind = record->marks & RECORD_SERVER ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT;
    span->status = SPAN_STATUS_UNSET;
    span->attribute_count = 0;
    span->has_parent = record->marks & RECORD_HAS_PARENT;
    span->flags = record->flags & ~(uint32_t)(FLAG_DEBUG | FLAG_DROPPED);
    memcpy(span->trace_id, record->trace_id, sizeof(span->trace_id));
    memcpy(span->span_id, record->span_id, sizeof(span->span_id));
    memcpy(span->parent_id, record->parent_id, sizeof(span->parent_id));
    span->start_ns = record->start_ns;
    span->end_ns = record->end_ns;
    span->name = (struct span_text){"", 0};
    span->event.name.length = 0;
    span->trace_state = (struct span_text){(const char *)trace_state.text, trace_state.length};
}

/* The names are ours for ever: they are shown where they stand. */
static void tell_rule(struct telling *telling, uint8_t rule)
{
    struct span_attribute *attribute = rule == RULE_UNSAID || rule >= RULE_COUNT
                                           ? NULL
                                           : add(telling, ATTRIBUTE_BURDOCK_ATTRIBUTION);
    if (attribute != NULL)
        attribute->text = rules[rule];
}

/* The last thing that it did, and how old it can have been. */
static void tell_unfinished(struct telling *telling, struct fact unfinished)
{
    static const struct span_text states[] = {{"requested", 9}, {"answer begun", 12}};
    struct record_unfinished facts;
    if (unfinished.length != sizeof(facts))
        return;
    memcpy(&facts, unfinished.text, sizeof(facts));
    struct span_attribute *attribute = add(telling, ATTRIBUTE_BURDOCK_UNFINISHED);
    if (attribute != NULL)
        attribute->text = states[facts.is_answered != 0];
    telling_number(telling, ATTRIBUTE_BURDOCK_UNFINISHED_AGE_MS, SPAN_VALUE_INTEGER,
        (int64_t)(facts.age_ns / 1000000));
    telling->span.status = SPAN_STATUS_ERROR;
}

static void tell_kept(struct telling *telling, uint16_t kept)
{
    static const struct span_text reasons[] = {
        [RECORD_KEPT_ERROR] = {"error", 5}, [RECORD_KEPT_SLOW] = {"slow", 4}};
    struct span_attribute *attribute =
        kept == 0 || kept > RECORD_KEPT_SLOW ? NULL : add(telling, ATTRIBUTE_BURDOCK_KEPT);
    if (attribute != NULL)
        attribute->text = reasons[kept];
}

static void tell_links(struct span *span, struct fact links)
{
    uint32_t count = links.length / (uint32_t)sizeof(struct trace_link);
    uint32_t told = count < SPAN_LINKS_MAX ? count : SPAN_LINKS_MAX, more = 0;
    if (links.length % sizeof(struct trace_link) == sizeof(more))
        memcpy(&more, links.text + links.length - sizeof(more), sizeof(more));
    span->links = links.text;
    span->link_count = (uint8_t)told;
    span->links_dropped = count - told + more;
}

const struct span *telling_span(
    struct telling *telling, const struct record *original, const struct config *config)
{
    struct fact texts[RECORD_TEXTS] = {0};
    const struct record *record = take(telling, original, texts);
    if (record == NULL)
        return NULL;
    begin(telling, record, texts[RECORD_TEXT_TRACE_STATE]);
    describe *describe = describe_of(record);
    if (describe != NULL)
        tell_exchange(telling, record, describe, texts, config);
    else if (record->kind == RECORD_CONNECT || record->kind == RECORD_HANDSHAKE)
        tell_attempt(&telling->describer, record, texts);
    else
        return NULL;
    telling_code(telling, texts[RECORD_TEXT_STACK]);
    tell_rule(telling, record->rule);
    tell_kept(telling, record->kept);
    if (telling->is_untouched)
        telling_number(telling, ATTRIBUTE_BURDOCK_CONTEXT_SENT, SPAN_VALUE_BOOLEAN, false);
    tell_links(&telling->span, texts[RECORD_TEXT_LINKS]);
    tell_unfinished(telling, texts[RECORD_TEXT_UNFINISHED]);
    if (texts[FIELD_TLS].length > 0)
        telling_tls(telling, texts[FIELD_TLS]);
    return &telling->span;
}
