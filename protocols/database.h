/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What spans of databases have in common: OpenTelemetry semantic conventions for database client
 * spans. A protocol's describe calls database_describe with what it knows beyond the facts.
 */
#pragma once

#include "protocol.h"
#include "sql.h"

/* FIELD_ROWS of databases: 0 where nothing returns rows, else one more than there were. */
/* A text of the program's own. */
#define DATABASE_TEXT(literal)                          \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

struct database {
    struct fact system; /* db.system.name */
    enum sql_dialect dialect;
    struct fact operation; /* db.operation.name and the span's, of what has no text */
    bool is_error;         /* FIELD_CODE is one of an error */
};

/* Of a statement in SQL. Its text is told without literals. */
void database_describe_sql(
    const struct facts *, struct describer *, const struct database *database);

enum { DATABASE_DIGITS_MAX = 20 };

/* A number, not negative, as a text in `digits`. */
struct fact database_decimal(int64_t number, uint8_t digits[DATABASE_DIGITS_MAX]);

/* The parts of it, for databases that speak no SQL. */
void database_describe_server(const struct facts *, struct describer *);
void database_describe_outcome(const struct facts *, struct describer *, bool is_error);
