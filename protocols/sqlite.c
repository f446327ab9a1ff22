/* SPDX-License-Identifier: Apache-2.0 */
/* A statement of SQLite as a span, by the OpenTelemetry semantic conventions for databases. */
#include "database.h"
#include "library.h"

static const struct {
    uint16_t number;
    uint8_t length;
    char name[37];
} codes[] = {
#define CODE(primary, extension, name) \
    {(primary) | (extension) << 8, sizeof("SQLITE_" name) - 1, "SQLITE_" name},
#include "sqlite_codes.def"
#undef CODE
};

/* An extension that is younger than our list is told as what it extends. */
static struct fact name_of(int64_t number)
{
    struct fact name = {NULL, 0};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].number == number || (codes[i].number == (number & 0xff) && name.length == 0)) {
            name = (struct fact){(const uint8_t *)codes[i].name, codes[i].length};
        }
    }
    return name;
}

/* FIELD_STATUS is the result code; 0: no error. */
void sqlite_describe(const struct facts *facts, struct describer *out)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    struct facts known = *facts;
    int64_t status = facts->numbers[FIELD_STATUS];
    struct database database = {
        .system = DATABASE_TEXT("sqlite"), .dialect = SQL_SQLITE, .is_error = status > 0};
    if (status > 0) {
        struct fact name = name_of(status);
        known.texts[FIELD_CODE] = name.length > 0 ? name : database_decimal(status, digits);
    }
    database_describe_sql(&known, out, &database);
}
