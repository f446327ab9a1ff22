/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT: context into a message, and a message as a span. */
#include "mqtt.h"

/* --- into a message --------------------------------------------------------------------------- */

enum { USER_PROPERTY = 0x26, PAIR_BYTES = 1 + 2 + 2 }; /* 3.3.2.3.7, beside its texts */

/* The head of a PUBLISH, as far as it is to be replaced. */
struct head {
    uint32_t remaining;
    uint32_t properties;   /* their length, as it is written */
    struct fact topic;     /* with its length, and the packet's identifier */
    struct fact behind;    /* the properties */
    uint32_t length_bytes; /* of the properties' length */
};

/* Bytes that were read; 0: it is not all there. */
static uint32_t get_number(struct fact text, uint32_t at, uint32_t *number)
{
    *number = 0;
    for (uint32_t i = 0; i < 4 && at + i < text.length; i++) {
        uint8_t byte = text.text[at + i];
        *number |= (byte & 0x7fu) << 7 * i;
        if (!(byte & 0x80))
            return i + 1;
    }
    return 0;
}

static uint32_t number_bytes(uint32_t number)
{
    return number < 1u << 7 ? 1 : number < 1u << 14 ? 2 : number < 1u << 21 ? 3 : 4;
}

static char *put_number(char *out, uint32_t number)
{
    do {
        uint8_t byte = number & 0x7f;
        number >>= 7;
        *out++ = (char)(byte | (number > 0 ? 0x80 : 0));
    } while (number > 0);
    return out;
}

static char *put(char *out, struct fact text)
{
    memcpy(out, text.text, text.length);
    return out + text.length;
}

static char *put_text(char *out, struct fact text)
{
    *out++ = (char)(text.length >> 8);
    *out++ = (char)text.length;
    return put(out, text);
}

static bool read_head(struct fact text, struct head *head)
{
    if (text.length == 0)
        return false;
    bool has_id = text.text[0] & 6;
    uint32_t used = get_number(text, 1, &head->remaining), at = 1 + used;
    if (used == 0 || at + 2 > text.length)
        return false;
    uint32_t topic = 2 + ((uint32_t)text.text[at] << 8 | text.text[at + 1]) + (has_id ? 2 : 0);
    if (topic > text.length - at)
        return false;
    head->topic = (struct fact){text.text + at, topic};
    at += topic;
    head->length_bytes = get_number(text, at, &head->properties);
    at += head->length_bytes;
    head->behind = (struct fact){text.text + at, text.length - at};
    return head->length_bytes > 0;
}

static uint32_t pairs_bytes(const struct insertion *insertion)
{
    uint32_t bytes = 0;
    for (unsigned i = 0; i < insertion->count; i++)
        bytes +=
            PAIR_BYTES + insertion->headers[i].name.length + insertion->headers[i].value.length;
    return bytes;
}

static char *put_pairs(const struct insertion *insertion, char *out)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        *out++ = USER_PROPERTY;
        out = put_text(out, insertion->headers[i].name);
        out = put_text(out, insertion->headers[i].value);
    }
    return out;
}

/* Ours stand before the others, so that the head's last byte can be the packet's. Of one without
 * payload and properties it is their length, before which nothing can be put. The splice's key is
 * the longest packet that the broker takes. */
size_t mqtt_insert(const struct insertion *insertion, char *out)
{
    struct head head;
    uint32_t more = pairs_bytes(insertion);
    if (more == 0 || !read_head(insertion->replaced, &head))
        return 0;
    uint32_t properties = head.properties + more;
    uint32_t remaining = head.remaining + more + number_bytes(properties) - head.length_bytes;
    if (remaining > MQTT_REMAINING_MAX || 1 + number_bytes(remaining) + remaining > insertion->key)
        return 0;
    char *end = out;
    *end++ = (char)insertion->replaced.text[0];
    end = put_number(end, remaining);
    end = put(end, head.topic);
    end = put_number(end, properties);
    end = put_pairs(insertion, end);
    end = put(end, head.behind);
    return (size_t)(end - out);
}

/* --- as a span ----------------------------------------------------------------------------------
 */

void mqtt_describe(const struct facts *facts, struct describer *out)
{
    static const char *const operations[] = {
        [MESSAGE_SEND] = "publish", [MESSAGE_PROCESS] = "process", [MESSAGE_SETTLE] = "ack"};
    int64_t operation = facts->numbers[FIELD_VERSION];
    bool is_known = operation == MESSAGE_SEND || operation == MESSAGE_PROCESS;
    struct fact group = facts->texts[FIELD_SUBSCRIPTION];
    struct messaging messaging = {.system = "mqtt",
        .type = facts->numbers[FIELD_VERSION],
        .operation = operations[is_known ? operation : MESSAGE_SETTLE],
        .destination = facts->texts[FIELD_DESTINATION]};
    messaging_describe(facts, out, &messaging);
    if (group.length > 0)
        out->text(out, ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, group.text, group.length);
}
