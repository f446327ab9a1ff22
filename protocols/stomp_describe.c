/* SPDX-License-Identifier: Apache-2.0 */
/* STOMP: context into a message, and a message as a span. */
#include "stomp.h"

/* --- into a message --------------------------------------------------------------------------- */

static char *put(char *out, const void *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

/* "Value Encoding". Of a value, that is; more than half of it is not to be escaped. */
static char *put_value(char *out, struct fact value, bool escapes)
{
    for (uint32_t i = 0; i < value.length; i++) {
        uint8_t byte = value.text[i];
        bool is_special = byte == ':' || byte == '\\';
        if (escapes && is_special)
            *out++ = '\\';
        *out++ = (char)(escapes && byte == ':' ? 'c' : byte);
    }
    return out;
}

enum { ESCAPES_MAX = 160 }; /* bytes that they may need: with the names within INSERT_BYTES_MAX */

static uint32_t escapes_in(const struct insertion *insertion)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact value = insertion->headers[i].value;
        for (uint32_t j = 0; j < value.length; j++)
            count += value.text[j] == ':' || value.text[j] == '\\';
    }
    return count;
}

/* The splice's key is the version of the protocol. */
size_t stomp_insert(const struct insertion *insertion, char *out)
{
    char *end = out;
    if (insertion->key == 0 || escapes_in(insertion) > ESCAPES_MAX)
        return 0;
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact name = insertion->headers[i].name;
        end = put(end, name.text, name.length);
        *end++ = ':';
        end = put_value(end, insertion->headers[i].value, insertion->key > 10);
        *end++ = '\n';
    }
    return (size_t)(end - out);
}

/* --- as a span ----------------------------------------------------------------------------------
 */

static bool begins(struct fact text, const char *literal, uint32_t length)
{
    return text.length >= length && memcmp(text.text, literal, length) == 0;
}

static const char *operation_of(const struct facts *facts)
{
    switch (facts->numbers[FIELD_VERSION]) {
    case MESSAGE_SEND:
        return "send";
    case MESSAGE_PROCESS:
        return "process";
    default:
        return facts->texts[FIELD_CODE].length > 0 ? "nack" : "ack";
    }
}

void stomp_describe(const struct facts *facts, struct describer *out)
{
    struct fact destination = facts->texts[FIELD_DESTINATION];
    struct messaging messaging = {.system = "stomp",
        .type = facts->numbers[FIELD_VERSION],
        .operation = operation_of(facts),
        .destination = destination,
        .is_temporary = begins(destination, "/temp-queue/", 12) ||
                        begins(destination, "/temp-topic/", 12) ||
                        begins(destination, "/reply-queue/", 13)};
    messaging_describe(facts, out, &messaging);
}
