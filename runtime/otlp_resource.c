/* SPDX-License-Identifier: Apache-2.0 */
/* The Resource message, once per process: written forwards and with a check of the room at each
 * step, since speed does not matter here. Semantic conventions 1.44.0, resource attributes. */
#include "otlp.h"

#include <string.h>

#include "text.h"

/* More of a path or a name than this says nothing. Three bytes in the worst case for each. */
enum { FACT_BYTES_MAX = 1024 };

struct output {
    uint8_t *out;
    size_t room;
    size_t used;
    bool full;
    char (*scratch)[CONFIG_LIST_MAX]; /* for the item at hand; for those behind it, or a fact */
};

static void add_bytes(struct output *o, const void *data, size_t length)
{
    o->full = o->full || length > o->room - o->used;
    if (o->full)
        return;
    memcpy(o->out + o->used, data, length);
    o->used += length;
}

static void add_varint(struct output *o, uint64_t value)
{
    uint8_t bytes[10];
    size_t length = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[length++] = (uint8_t)(value | 0x80);
    bytes[length++] = (uint8_t)value;
    add_bytes(o, bytes, length);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

/* Resource.attributes = 1 { key = 1, value = 2 { ... } }, up to the value's `bytes` bytes. */
static void begin_attribute(struct output *o, struct slice key, size_t bytes)
{
    add_varint(o, 1 << 3 | 2);
    add_varint(o, 1 + varint_size(key.length) + key.length + 1 + varint_size(bytes) + bytes);
    add_varint(o, 1 << 3 | 2);
    add_varint(o, key.length);
    add_bytes(o, key.data, key.length);
    add_varint(o, 2 << 3 | 2);
    add_varint(o, bytes);
}

/* string_value = 1 */
static void add_string(struct output *o, struct slice key, struct slice value)
{
    begin_attribute(o, key, 1 + varint_size(value.length) + value.length);
    add_varint(o, 1 << 3 | 2);
    add_varint(o, value.length);
    add_bytes(o, value.data, value.length);
}

/* int_value = 3 */
static void add_number(struct output *o, struct slice key, uint64_t value)
{
    begin_attribute(o, key, 1 + varint_size(value));
    add_varint(o, 3 << 3);
    add_varint(o, value);
}

/* One item of OTEL_RESOURCE_ATTRIBUTES. */
struct item {
    struct slice key;
    struct slice value;
};

static bool decode_item(struct slice encoded, char text[CONFIG_LIST_MAX], struct item *item)
{
    const char *equals = memchr(encoded.data, '=', encoded.length);
    size_t key_bytes, value_bytes;
    if (equals == NULL)
        return false;
    struct slice key = slice_trim((struct slice){encoded.data, (size_t)(equals - encoded.data)});
    struct slice value = slice_trim(
        (struct slice){equals + 1, encoded.length - (size_t)(equals - encoded.data) - 1});
    if (!percent_decode(key, text, CONFIG_LIST_MAX, &key_bytes) || key_bytes == 0)
        return false;
    if (!percent_decode(value, text + key_bytes, CONFIG_LIST_MAX - key_bytes, &value_bytes))
        return false;
    item->key = (struct slice){text, key_bytes};
    item->value = (struct slice){text + key_bytes, value_bytes};
    return true;
}

/* Does the list give this key? Quadratic, with a list of at most CONFIG_LIST_MAX bytes. */
static bool list_gives(const struct output *o, struct slice list, struct slice key)
{
    struct slice encoded;
    struct item item;
    while (slice_split(&list, ',', &encoded))
        if (decode_item(encoded, o->scratch[1], &item) && item.key.length == key.length &&
            memcmp(item.key.data, key.data, key.length) == 0)
            return true;
    return false;
}

static struct slice whole(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

/* Facts of ours come from the system and may hold any bytes; what is not UTF-8 becomes U+FFFD. */
static void add_fact(struct output *o, struct slice list, const char *key, const char *text)
{
    char *clean = o->scratch[0];
    size_t used = 0;
    struct slice fact = whole(text);
    for (size_t at = 0; at < fact.length;) {
        unsigned bytes = utf8_sequence((const uint8_t *)fact.data + at, fact.length - at);
        const char *from = bytes ? fact.data + at : "\xEF\xBF\xBD";
        size_t size = bytes ? bytes : 3;
        if (size > FACT_BYTES_MAX - used)
            break;
        memcpy(clean + used, from, size);
        used += size;
        at += bytes ? bytes : 1;
    }
    if (used > 0 && !list_gives(o, list, whole(key)))
        add_string(o, whole(key), (struct slice){clean, used});
}

static void add_list(struct output *o, struct slice list)
{
    struct slice encoded;
    struct item item;
    while (slice_split(&list, ',', &encoded)) {
        if (!decode_item(encoded, o->scratch[0], &item))
            continue;
        bool is_service =
            item.key.length == 12 && memcmp(item.key.data, "service.name", item.key.length) == 0;
        if (!is_service &&
            !list_gives(o, list, item.key)) /* the rest of the list: the last counts */
            add_string(o, item.key, item.value);
    }
}

/* A fact or nothing of it. */
static void add_process(struct output *o, struct slice list, const struct otlp_process *process)
{
    for (uint32_t i = 0; i < process->count; i++) {
        const struct otlp_fact *fact = &process->facts[i];
        struct output before = *o;
        if (fact->text != NULL)
            add_fact(o, list, fact->key, fact->text);
        else if (!list_gives(o, list, whole(fact->key)))
            add_number(o, whole(fact->key), (uint64_t)fact->number);
        if (o->full)
            *o = before;
    }
}

size_t otlp_resource(
    const struct config *config, struct otlp_process *process, uint8_t *out, size_t room)
{
    struct output o = {.out = out, .room = room, .scratch = process->scratch};
    struct slice list = whole(config->resource_attributes);
    struct slice none = {"", 0};

    add_fact(&o, none, "service.name", config->service_name);
    add_list(&o, list);
    add_fact(&o, list, "telemetry.sdk.name", "burdock");
    add_fact(&o, list, "telemetry.sdk.language", "c");
    add_fact(&o, list, "telemetry.sdk.version", BURDOCK_VERSION);
    add_fact(&o, list, "telemetry.distro.name", "burdock");
    add_fact(&o, list, "telemetry.distro.version", BURDOCK_VERSION);
    if (o.full)
        return 0;
    add_process(&o, list, process);
    return o.used;
}
