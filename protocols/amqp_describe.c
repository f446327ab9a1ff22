/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1: context into a message, and a message as a span (semantic conventions for RabbitMQ).
 */
#include "amqp.h"

/* --- into a message --------------------------------------------------------------------------- */

enum {
    AT_FLAGS = 4 + 12, /* behind the frame's size: class, weight, size of the body */
    AT_PROPERTIES = AT_FLAGS + 2,
    FLAG_MORE = 1,
    FLAG_CONTENT_TYPE = 0x8000,
    FLAG_CONTENT_ENCODING = 0x4000,
    FLAG_HEADERS = 0x2000,
    FRAME_BYTES = AMQP_HEADER_BYTES + 1 /* of a frame, beside its payload */
};

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(char *at, uint32_t value)
{
    for (int i = 3; i >= 0; i--, value >>= 8)
        at[i] = (char)value;
}

static uint32_t entries_bytes(const struct insertion *insertion)
{
    uint32_t bytes = 0;
    for (unsigned i = 0; i < insertion->count; i++)
        bytes += 1 + insertion->headers[i].name.length + 1 + 4 + insertion->headers[i].value.length;
    return bytes;
}

static char *put_entries(const struct insertion *insertion, char *out)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact name = insertion->headers[i].name, value = insertion->headers[i].value;
        *out++ = (char)name.length;
        memcpy(out, name.text, name.length);
        out += name.length;
        *out++ = 'S';
        put_u32(out, value.length);
        memcpy(out + 4, value.text, value.length);
        out += 4 + value.length;
    }
    return out;
}

/* Where the table stands, or is to stand; 0: nowhere. */
static size_t table_at(struct fact frame, unsigned flags)
{
    size_t at = AT_PROPERTIES;
    for (unsigned flag = FLAG_CONTENT_TYPE; flag >= FLAG_CONTENT_ENCODING; flag >>= 1)
        if (flags & flag)
            at += at < frame.length ? 1u + frame.text[at] : 1;
    size_t needed = at + (flags & FLAG_HEADERS ? 4 : 0);
    return needed <= frame.length ? at : 0;
}

/* What is replaced is the frame from its size to its last byte but one. */
size_t amqp_insert(const struct insertion *insertion, char *out)
{
    struct fact frame = insertion->replaced;
    uint32_t more = entries_bytes(insertion);
    if (frame.length < AT_PROPERTIES || more == 0)
        return 0;
    unsigned flags = (unsigned)(frame.text[AT_FLAGS] << 8 | frame.text[AT_FLAGS + 1]);
    size_t table = table_at(frame, flags);
    bool has_table = flags & FLAG_HEADERS;
    uint32_t entries = has_table && table > 0 ? get_u32(frame.text + table) : 0;
    size_t behind = table + (has_table ? 4 + (size_t)entries : 0);
    size_t whole = frame.length + more + (has_table ? 0 : 4);
    if (table == 0 || (flags & FLAG_MORE) || behind > frame.length ||
        (insertion->key != 0 && whole - 4 + FRAME_BYTES > insertion->key))
        return 0;
    memcpy(out, frame.text, behind);
    put_u32(out, (uint32_t)whole - 4);
    out[AT_FLAGS] = (char)(frame.text[AT_FLAGS] | FLAG_HEADERS >> 8);
    put_u32(out + table, entries + more);
    char *end = put_entries(insertion, out + (has_table ? behind : table + 4));
    memcpy(end, frame.text + behind, frame.length - behind);
    return whole;
}

/* --- as a span ----------------------------------------------------------------------------------
 */

struct name {
    uint8_t text[3 * 256 + 2];
    uint32_t length;
};

static void add_part(struct name *name, struct fact part)
{
    if (part.length == 0 || name->length + part.length + 1 > sizeof(name->text))
        return;
    if (name->length > 0)
        name->text[name->length++] = ':';
    memcpy(name->text + name->length, part.text, part.length);
    name->length += part.length;
}

static bool is_same(struct fact a, struct fact b)
{
    return a.length == b.length && a.length > 0 && memcmp(a.text, b.text, a.length) == 0;
}

/* {exchange}:{routing key}:{queue}, those left out that are empty or repeat the one before. */
static struct fact destination_of(const struct facts *facts, struct name *name)
{
    struct fact routing = facts->texts[FIELD_ROUTING], queue = facts->texts[FIELD_SUBSCRIPTION];
    name->length = 0;
    add_part(name, facts->texts[FIELD_DESTINATION]);
    add_part(name, routing);
    if (!is_same(routing, queue))
        add_part(name, queue);
    if (name->length == 0 && facts->numbers[FIELD_VERSION] <= MESSAGE_SETTLE)
        add_part(name, (struct fact){(const uint8_t *)"amq.default", 11});
    return (struct fact){name->text, name->length};
}

/* Names that RabbitMQ makes up for queues of a program's own. */
static bool is_made_up(struct fact queue)
{
    static const char prefix[] = "amq.gen-";
    return queue.length >= sizeof(prefix) - 1 &&
           memcmp(queue.text, prefix, sizeof(prefix) - 1) == 0;
}

static const char *operation_of(const struct facts *facts)
{
    struct fact code = facts->texts[FIELD_CODE];
    switch (facts->numbers[FIELD_VERSION]) {
    case MESSAGE_SEND:
        return "publish";
    case MESSAGE_RECEIVE:
        return "get";
    case MESSAGE_PROCESS:
    case AMQP_CONSUME:
        return "consume";
    case AMQP_COMMIT:
        return "commit";
    case AMQP_ROLLBACK:
        return "rollback";
    case AMQP_RETURN:
        return "return";
    case AMQP_CLOSE:
        return "close";
    default:
        return code.length == 4   ? "nack"
               : code.length == 6 ? "reject"
               : code.length == 7 ? "recover"
                                  : "ack";
    }
}

/* A reply code, if it is one: of a message that was delivered the same number is its tag. */
static struct fact refusal_of(const struct facts *facts, uint8_t digits[3])
{
    int64_t code = facts->numbers[FIELD_STATUS], type = facts->numbers[FIELD_VERSION];
    if (type == MESSAGE_PROCESS || type == MESSAGE_SETTLE || code < 300 || code > 999)
        return (struct fact){0};
    for (int i = 2; i >= 0; i--, code /= 10)
        digits[i] = (uint8_t)('0' + code % 10);
    return (struct fact){digits, 3};
}

void amqp_describe(const struct facts *facts, struct describer *out)
{
    struct name name;
    uint8_t digits[3];
    struct fact routing = facts->texts[FIELD_ROUTING], refusal = refusal_of(facts, digits);
    int64_t type = facts->numbers[FIELD_VERSION];
    struct messaging messaging = {.system = "rabbitmq",
        .type = type == AMQP_CONSUME ? MESSAGE_RECEIVE : type,
        .error = refusal,
        .operation = operation_of(facts),
        .destination = destination_of(facts, &name),
        .is_temporary = is_made_up(facts->texts[FIELD_SUBSCRIPTION]) || is_made_up(routing)};
    messaging_describe(facts, out, &messaging);
    if (routing.length > 0)
        out->text(out, ATTRIBUTE_MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, routing.text,
            routing.length);
    if (facts->numbers[FIELD_STATUS] > 0 && refusal.length == 0)
        out->number(
            out, ATTRIBUTE_MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG, facts->numbers[FIELD_STATUS]);
}
