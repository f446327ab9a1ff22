/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"

#include <string.h>

#include "sql_kept.h"

struct fact database_decimal(int64_t number, uint8_t digits[DATABASE_DIGITS_MAX])
{
    uint32_t at = DATABASE_DIGITS_MAX;
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0 && at > 0);
    return (struct fact){digits + at, DATABASE_DIGITS_MAX - at};
}

void database_describe_server(const struct facts *facts, struct describer *out)
{
    struct fact address = facts->peer_address;
    if (address.length == 0) {
        return;
    }
    out->text(out, ATTRIBUTE_SERVER_ADDRESS, address.text, address.length);
    out->text(out, ATTRIBUTE_NETWORK_PEER_ADDRESS, address.text, address.length);
    if (facts->peer_port > 0) {
        out->number(out, ATTRIBUTE_SERVER_PORT, facts->peer_port);
        out->number(out, ATTRIBUTE_NETWORK_PEER_PORT, facts->peer_port);
    }
}

void database_describe_outcome(const struct facts *facts, struct describer *out, bool is_error)
{
    struct fact code = facts->texts[FIELD_CODE];
    struct fact error = is_error && code.length > 0 ? code : facts->error;
    if (code.length > 0) {
        out->text(out, ATTRIBUTE_DB_RESPONSE_STATUS_CODE, code.text, code.length);
    }
    if (error.length > 0) {
        out->text(out, ATTRIBUTE_ERROR_TYPE, error.text, error.length);
        out->error(out);
    }
    if (facts->numbers[FIELD_ROWS] > 0) {
        out->number(out, ATTRIBUTE_DB_RESPONSE_RETURNED_ROWS, facts->numbers[FIELD_ROWS] - 1);
    }
}

static void name(struct describer *out, bool is_batch, struct fact summary)
{
    static const char prefix[] = "BATCH ";
    char whole[SQL_SUMMARY_BYTES_MAX + sizeof prefix];
    if (!is_batch) {
        out->name(out, summary.text, summary.length);
        return;
    }
    memcpy(whole, prefix, sizeof prefix - 1);
    memcpy(whole + sizeof prefix - 1, summary.text, summary.length);
    out->name(out, whole, sizeof prefix - 1 + summary.length);
}

static void describe_text(const struct facts *facts, struct describer *out,
    const struct database *database, bool is_batch)
{
    struct fact query = facts->texts[FIELD_QUERY], told, summary;
    char place[SQL_SUMMARY_BYTES_MAX];
    if (out->statements != NULL &&
        sql_kept_tell(out->statements, database->dialect, query, &told, &summary)) {
        out->text(out, ATTRIBUTE_DB_QUERY_TEXT, told.text, told.length);
    } else {
        out->open(out, ATTRIBUTE_DB_QUERY_TEXT);
        summary.length =
            (uint32_t)sql_tell(database->dialect, query.text, query.length, out, place);
        summary.text = (const uint8_t *)place;
        out->close(out);
    }
    if (summary.length > 0) {
        name(out, is_batch, summary);
        out->text(out, ATTRIBUTE_DB_QUERY_SUMMARY, summary.text, summary.length);
    }
}

void database_describe_sql(
    const struct facts *facts, struct describer *out, const struct database *database)
{
    struct fact space = facts->texts[FIELD_NAMESPACE];
    bool is_batch = facts->numbers[FIELD_BATCH] > 1;
    struct fact system = database->system, operation = database->operation;
    out->name(out, system.text, system.length);
    out->text(out, ATTRIBUTE_DB_SYSTEM_NAME, system.text, system.length);
    if (space.length > 0) {
        out->text(out, ATTRIBUTE_DB_NAMESPACE, space.text, space.length);
    }
    if (operation.length > 0) {
        out->name(out, operation.text, operation.length);
        out->text(out, ATTRIBUTE_DB_OPERATION_NAME, operation.text, operation.length);
    }
    if (facts->texts[FIELD_QUERY].length > 0) {
        describe_text(facts, out, database, is_batch);
    }
    if (is_batch) {
        out->number(out, ATTRIBUTE_DB_OPERATION_BATCH_SIZE, facts->numbers[FIELD_BATCH]);
    }
    database_describe_server(facts, out);
    database_describe_outcome(facts, out, database->is_error);
}
