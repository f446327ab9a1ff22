/* SPDX-License-Identifier: Apache-2.0 */
/* A command as a span, by the OpenTelemetry semantic conventions for databases. */
#include "database.h"
#include "memcached.h"

#include <string.h>

enum { NAME_BYTES_MAX = 128 };

struct text {
    size_t length;
    char bytes[NAME_BYTES_MAX];
};

static void add(struct text *text, const void *bytes, size_t length)
{
    size_t room = sizeof text->bytes - text->length;
    length = length < room ? length : room;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

/* "get", "BATCH get", and "BATCH" of different ones */
static struct text operation_of(const struct facts *facts)
{
    struct text text = {0};
    int64_t verb = facts->numbers[FIELD_VERSION];
    bool is_batch = facts->numbers[FIELD_BATCH] > 1;
    if (is_batch) {
        add(&text, "BATCH", 5);
    }
    if (verb > VERB_UNKNOWN && verb < VERB_MIXED) {
        const struct memcached_verb_row *row = memcached_verb_at((enum memcached_verb)verb);
        add(&text, " ", is_batch);
        add(&text, row->name, row->length);
    }
    return text;
}

/* The operation and the server, as there is nothing else that it is done to. */
static void describe_name(const struct facts *facts, struct describer *out, struct text name)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    if (name.length == 0) {
        out->name(out, "memcached", 9);
        return;
    }
    if (facts->peer_address.length > 0) {
        add(&name, " ", 1);
        add(&name, facts->peer_address.text, facts->peer_address.length);
    }
    if (facts->peer_port > 0) {
        struct fact port = database_decimal(facts->peer_port, digits);
        add(&name, ":", 1);
        add(&name, port.text, port.length);
    }
    out->name(out, name.bytes, name.length);
}

/* The word of the text protocol, or the number of the binary one as its document has it. */
static struct fact code_of(int64_t status, uint8_t digits[6])
{
    static const struct fact words[] = {[ERROR_COMMAND] = DATABASE_TEXT("ERROR"),
        [ERROR_CLIENT] = DATABASE_TEXT("CLIENT_ERROR"),
        [ERROR_SERVER] = DATABASE_TEXT("SERVER_ERROR")};
    if (status >= 0 && status <= ERROR_SERVER) {
        return words[status];
    }
    memcpy(digits, "0x", 2);
    for (int i = 0; i < 4; i++) {
        digits[2 + i] = (uint8_t) "0123456789abcdef"[(uint64_t)status >> (12 - 4 * i) & 15];
    }
    return (struct fact){digits, 6};
}

void memcached_describe(const struct facts *facts, struct describer *out)
{
    struct facts known = *facts;
    struct text operation = operation_of(facts);
    uint8_t digits[6];
    out->text(out, ATTRIBUTE_DB_SYSTEM_NAME, "memcached", 9);
    describe_name(facts, out, operation);
    if (operation.length > 0) {
        out->text(out, ATTRIBUTE_DB_OPERATION_NAME, operation.bytes, operation.length);
    }
    if (facts->numbers[FIELD_BATCH] > 1) {
        out->number(out, ATTRIBUTE_DB_OPERATION_BATCH_SIZE, facts->numbers[FIELD_BATCH]);
    }
    known.texts[FIELD_CODE] = code_of(facts->numbers[FIELD_STATUS], digits);
    database_describe_server(facts, out);
    database_describe_outcome(&known, out, true);
}
