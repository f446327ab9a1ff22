/* SPDX-License-Identifier: Apache-2.0 */
/* A command as a span, by the OpenTelemetry semantic conventions for MongoDB. */
#include "database.h"
#include "mongodb.h"

#include <string.h>

enum { NAME_BYTES_MAX = MONGODB_COMMAND_BYTES_MAX + 1 + MONGODB_TEXT_BYTES_MAX };

/* The command, and what it is done to: a collection, or else a database. */
static void describe_name(const struct facts *facts, struct describer *out)
{
    char name[NAME_BYTES_MAX];
    struct fact operation = facts->texts[FIELD_OPERATION];
    struct fact target = facts->texts[FIELD_COLLECTION];
    if (target.length == 0) {
        target = facts->texts[FIELD_NAMESPACE];
    }
    if (operation.length == 0 || target.length == 0 ||
        operation.length + 1 + target.length > sizeof name) {
        out->name(out, operation.length > 0 ? (const void *)operation.text : "mongodb",
            operation.length > 0 ? operation.length : 7);
        return;
    }
    memcpy(name, operation.text, operation.length);
    name[operation.length] = ' ';
    memcpy(name + operation.length + 1, target.text, target.length);
    out->name(out, name, operation.length + 1 + target.length);
}

static void describe_text(
    const struct facts *facts, struct describer *out, enum field field, enum attribute attribute)
{
    struct fact text = facts->texts[field];
    if (text.length > 0) {
        out->text(out, attribute, text.text, text.length);
    }
}

/* FIELD_STATUS is the number of the error; -1: one without a number. */
void mongodb_describe(const struct facts *facts, struct describer *out)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    struct facts known = *facts;
    int64_t status = facts->numbers[FIELD_STATUS];
    out->text(out, ATTRIBUTE_DB_SYSTEM_NAME, "mongodb", 7);
    describe_name(facts, out);
    describe_text(facts, out, FIELD_OPERATION, ATTRIBUTE_DB_OPERATION_NAME);
    describe_text(facts, out, FIELD_COLLECTION, ATTRIBUTE_DB_COLLECTION_NAME);
    describe_text(facts, out, FIELD_NAMESPACE, ATTRIBUTE_DB_NAMESPACE);
    if (facts->numbers[FIELD_BATCH] > 1) {
        out->number(out, ATTRIBUTE_DB_OPERATION_BATCH_SIZE, facts->numbers[FIELD_BATCH]);
    }
    if (status > 0) {
        known.texts[FIELD_CODE] = database_decimal(status, digits);
    } else if (status < 0) {
        known.error = (struct fact)DATABASE_TEXT("_OTHER");
    }
    database_describe_server(facts, out);
    database_describe_outcome(&known, out, true);
}
