/* SPDX-License-Identifier: Apache-2.0 */
/* NATS: context into a message, and a message as a span. */
#include "nats.h"

/* --- into a message --------------------------------------------------------------------------- */

enum {
    ARGUMENTS_MAX = 4,
    LINE_MAX_EDITED = 1024, /* servers refuse lines of more than max_control_line, usually 4096 */
    NUMBER_BYTES = 10
};

/* A control line, without its line end, and what stands behind it. */
struct message {
    struct fact arguments[ARGUMENTS_MAX];
    unsigned count;
    unsigned numbers; /* at their end */
    bool has_headers;
    struct fact headers; /* the block, without the empty line that ends it */
};

static const char version[] = "NATS/1.0\r\n";

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static uint64_t number_of(struct fact digits)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < digits.length && number <= NATS_PAYLOAD_MAX; i++)
        number = number * 10 + (digits.text[i] - '0');
    return number;
}

/* False: it is not in one of the two forms that can be changed. */
static bool read_message(struct fact text, struct message *message)
{
    uint32_t at = 0, line = 0;
    while (line + 1 < text.length && text.text[line] != '\r')
        line++;
    while (at < line && !is_blank(text.text[at]))
        at++;
    message->numbers = at == 4 ? 2 : 1;
    message->has_headers = at == 4 && line + 1 < text.length;
    for (message->count = 0; message->count < ARGUMENTS_MAX; message->count++) {
        while (at < line && is_blank(text.text[at]))
            at++;
        uint32_t from = at;
        while (at < line && !is_blank(text.text[at]))
            at++;
        if (at == from)
            break;
        message->arguments[message->count] = (struct fact){text.text + from, at - from};
    }
    uint32_t behind = line + 2; /* of a PUB only the last byte of its line end is not replaced */
    message->headers = (struct fact){text.text + behind, text.length - behind - 1};
    if (message->count <= message->numbers)
        return false;
    bool is_empty = message->numbers == 1 || number_of(message->arguments[message->count - 2]) == 0;
    bool is_whole = message->has_headers ? behind < text.length && text.text[line + 1] == '\n'
                                         : line + 1 == text.length && is_empty;
    return is_whole && text.text[line] == '\r' && line <= LINE_MAX_EDITED;
}

static char *put(char *out, const void *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[NUMBER_BYTES];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0 && at > 0);
    *out++ = ' ';
    return put(out, digits + at, sizeof(digits) - at);
}

static uint32_t lines_bytes(const struct insertion *insertion)
{
    uint32_t bytes = 0;
    for (unsigned i = 0; i < insertion->count; i++)
        bytes += insertion->headers[i].name.length + 2 + insertion->headers[i].value.length + 2;
    return bytes;
}

static char *put_lines(const struct insertion *insertion, char *out)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact name = insertion->headers[i].name, value = insertion->headers[i].value;
        out = put(out, name.text, name.length);
        out = put(out, ": ", 2);
        out = put(out, value.text, value.length);
        out = put(out, "\r\n", 2);
    }
    return out;
}

/* HPUB <subject> [reply] <bytes of headers> <bytes of all>, the headers, but for their last byte.
 */
static char *put_message(const struct insertion *insertion, const struct message *message,
    uint64_t headers, uint64_t total, char *out)
{
    unsigned kept = message->count - message->numbers;
    out = put(out, "HPUB", 4);
    for (unsigned i = 0; i < kept; i++) {
        *out++ = ' ';
        out = put(out, message->arguments[i].text, message->arguments[i].length);
    }
    out = put_number(out, headers);
    out = put_number(out, total);
    out = put(out, "\r\n", 2);
    out = message->has_headers ? put(out, message->headers.text, message->headers.length)
                               : put(out, version, sizeof(version) - 1);
    out = put_lines(insertion, out);
    *out++ = '\r';
    return out;
}

/* What is replaced is the control line and the block of headers, if there is one, to the last byte
 * but one. The splice's key is the most that the server takes. */
size_t nats_insert(const struct insertion *insertion, char *out)
{
    struct message message;
    uint32_t lines = lines_bytes(insertion);
    if (lines == 0 || !read_message(insertion->replaced, &message))
        return 0;
    uint64_t total = number_of(message.arguments[message.count - 1]);
    uint64_t headers = sizeof(version) - 1 + 2;
    if (message.has_headers)
        headers = number_of(message.arguments[message.count - 2]);
    else
        total += headers;
    if (total + lines > insertion->key)
        return 0;
    return (size_t)(put_message(insertion, &message, headers + lines, total + lines, out) - out);
}

/* --- as a span ----------------------------------------------------------------------------------
 */

static bool begins(struct fact text, const char *literal, uint32_t length)
{
    return text.length >= length && memcmp(text.text, literal, length) == 0;
}

static const char *operation_of(const struct facts *facts)
{
    struct fact code = facts->texts[FIELD_CODE];
    switch (facts->numbers[FIELD_VERSION]) {
    case MESSAGE_SEND:
        return "publish";
    case MESSAGE_PROCESS:
        return "process";
    default:
        return begins(code, "nak", 3) ? "nak" : begins(code, "term", 4) ? "term" : "ack";
    }
}

void nats_describe(const struct facts *facts, struct describer *out)
{
    struct fact subject = facts->texts[FIELD_DESTINATION];
    struct fact group = facts->texts[FIELD_SUBSCRIPTION];
    struct messaging messaging = {.system = "nats",
        .type = facts->numbers[FIELD_VERSION],
        .operation = operation_of(facts),
        .destination = subject,
        .is_temporary = begins(subject, "_INBOX.", 7)};
    messaging_describe(facts, out, &messaging);
    if (group.length > 0)
        out->text(out, ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, group.text, group.length);
}
