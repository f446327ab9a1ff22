/* SPDX-License-Identifier: Apache-2.0 */
/* A command as a span, by the OpenTelemetry semantic conventions for MySQL and MariaDB. */
#include "database.h"
#include "mysql.h"

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What is kept is the database's name, or the statement that chose it: USE `name`; */
static struct fact name_of(struct fact text)
{
    static const char use[] = "use";
    uint32_t at = 0;
    while (at < 3 && at < text.length && (text.text[at] | 0x20) == use[at]) {
        at++;
    }
    if (at < 3 || at == text.length || !is_space(text.text[at])) {
        return text;
    }
    while (at < text.length && is_space(text.text[at])) {
        at++;
    }
    bool is_quoted = at < text.length && text.text[at] == '`';
    at += is_quoted;
    uint32_t from = at;
    while (at < text.length &&
           (is_quoted ? text.text[at] != '`' : !is_space(text.text[at]) && text.text[at] != ';')) {
        at++;
    }
    return (struct fact){text.text + from, at - from};
}

/* FIELD_STATUS is the number of the error; 0: none. */
void mysql_describe(const struct facts *facts, struct describer *out)
{
    static const struct fact operations[KIND_COUNT] = {[KIND_PREPARE] = DATABASE_TEXT("PREPARE"),
        [KIND_LOGIN] = DATABASE_TEXT("CONNECT"),
        [KIND_CHANGE_USER] = DATABASE_TEXT("CHANGE USER"),
        [KIND_INIT_DB] = DATABASE_TEXT("USE"),
        [KIND_FETCH] = DATABASE_TEXT("FETCH"),
        [KIND_FIELD_LIST] = DATABASE_TEXT("FIELD LIST"),
        [KIND_STATISTICS] = DATABASE_TEXT("STATISTICS"),
        [KIND_PING] = DATABASE_TEXT("PING"),
        [KIND_OTHER] = DATABASE_TEXT("COMMAND")};
    static const struct fact systems[] = {DATABASE_TEXT("mysql"), DATABASE_TEXT("mariadb")};
    int64_t version = facts->numbers[FIELD_VERSION], kind = version >> VERSION_KIND_SHIFT;
    uint8_t digits[DATABASE_DIGITS_MAX];
    struct facts known = *facts;
    struct database database = {.system = systems[version & VERSION_MARIADB],
        .dialect = (enum sql_dialect)mysql_dialect(version)};
    if (kind >= 0 && kind < KIND_COUNT) {
        database.operation = operations[kind];
    }
    known.texts[FIELD_NAMESPACE] = name_of(facts->texts[FIELD_NAMESPACE]);
    database.is_error = facts->numbers[FIELD_STATUS] > 0;
    if (database.is_error) {
        known.texts[FIELD_CODE] = database_decimal(facts->numbers[FIELD_STATUS], digits);
    }
    database_describe_sql(&known, out, &database);
}
