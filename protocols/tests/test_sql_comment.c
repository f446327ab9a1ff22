/* SPDX-License-Identifier: Apache-2.0 */
/* Which statements get a comment with the context, where it stands, and how it is written. */
#include <string.h>

#include "sql_comment.h"
#include "tap.h"

#define IDS "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define COMMENT " /*traceparent='" IDS "'*/"

static void check_text(const char *got, const char *expected, const char *what)
{
    if (!CHECK(strcmp(got, expected) == 0, "%s", what))
        printf("# got %s\n# not %s\n", got, expected);
}

static const char *comment(
    enum sql_dialect dialect, const char *text, size_t at, const char *tracestate)
{
    static char out[4096];
    struct insertion insertion = {.values = {{(const uint8_t *)IDS, sizeof(IDS) - 1},
                                      {(const uint8_t *)tracestate, (uint32_t)strlen(tracestate)},
                                      {(const uint8_t *)"never=told", 10}},
        .replaced = {(const uint8_t *)text, (uint32_t)strlen(text)}};
    size_t length = sql_comment(&insertion, at, dialect, out);
    bool is_bounded =
        length <= strlen(text) + sizeof(IDS) - 1 + strlen(tracestate) + INSERT_BYTES_MAX;
    out[is_bounded ? length : 0] = '\0';
    return is_bounded ? out : "too long";
}

static const struct row {
    enum sql_dialect dialect;
    const char *text, *before, *behind; /* NULL: left as it is */
} rows[] = {
    {SQL_POSTGRESQL, "SELECT 1", "SELECT 1", ""},
    {SQL_POSTGRESQL, "SELECT 1;", "SELECT 1", ";"},
    {SQL_POSTGRESQL, "select 1 ; \n", "select 1", " ; \n"},
    {SQL_POSTGRESQL, " \n WITH a AS (SELECT 1) DELETE FROM t",
        " \n WITH a AS (SELECT 1) DELETE FROM t", ""},
    {SQL_POSTGRESQL, "UPDATE t SET a = 'it''s; -fine'", "UPDATE t SET a = 'it''s; -fine'", ""},
    {SQL_POSTGRESQL, "SELECT $$ ' $$", "SELECT $$ ' $$", ""},
    {SQL_POSTGRESQL, "SELECT E'a\\'b'", "SELECT E'a\\'b'", ""},
    {SQL_MYSQL, "REPLACE INTO t VALUES (\"a\")", "REPLACE INTO t VALUES (\"a\")", ""},
    {SQL_MYSQL, "CALL two()", "CALL two()", ""},
    {SQL_POSTGRESQL, "SELECT 'a\\'", "SELECT 'a\\'", ""},
    {SQL_MYSQL, "SELECT 'it\\'s'", "SELECT 'it\\'s'", ""},
    {SQL_MYSQL_NO_BACKSLASH, "SELECT 'a\\'", "SELECT 'a\\'", ""},
    {SQL_POSTGRESQL, "SELECT '#'", "SELECT '#'", ""},
    /* a comment that is there, or may be one */
    {SQL_POSTGRESQL, "SELECT 1 /* mine */", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 -- mine", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT '/*'", NULL, NULL},
    {SQL_MYSQL, "SELECT 1 # mine", NULL, NULL},
    {SQL_MYSQL, "SELECT /*+ NO_ICP(t) */ 1", NULL, NULL},
    /* a string that is not closed */
    {SQL_POSTGRESQL, "SELECT 'open", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT \"open", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT $$ open", NULL, NULL},
    {SQL_POSTGRESQL_BACKSLASH, "SELECT 'a\\'", NULL, NULL},
    {SQL_MYSQL, "SELECT `open", NULL, NULL},
    {SQL_MYSQL, "SELECT 'a\\'", NULL, NULL},
    /* several, and what is kept or is no query */
    {SQL_POSTGRESQL, "SELECT 1; SELECT 2", NULL, NULL},
    {SQL_POSTGRESQL, "COPY t FROM STDIN", NULL, NULL},
    {SQL_POSTGRESQL, "PREPARE a AS SELECT 1", NULL, NULL},
    {SQL_POSTGRESQL, "BEGIN", NULL, NULL},
    {SQL_POSTGRESQL, "(SELECT 1)", NULL, NULL},
    {SQL_MYSQL, "LOAD DATA LOCAL INFILE 'f' INTO TABLE t", NULL, NULL},
    {SQL_MYSQL, "CREATE PROCEDURE p() SELECT 1", NULL, NULL},
    {SQL_POSTGRESQL, "", NULL, NULL},
    {SQL_POSTGRESQL, " ; ", NULL, NULL},
    {SQL_POSTGRESQL, "SELECTED", NULL, NULL},
};

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        char expected[1024] = "";
        if (row->before != NULL)
            snprintf(expected, sizeof(expected), "%s%s%s", row->before, COMMENT, row->behind);
        check_text(comment(row->dialect, row->text, 0, ""), expected, row->text);
    }
}

static void test_tracestate(void)
{
    char most[200], many[200];
    memset(most, 'a', sizeof(most) - 1);
    memset(many, '=', sizeof(many) - 1);
    most[sizeof(most) - 1] = many[sizeof(many) - 1] = '\0';
    char expected[512];
    check_text(comment(SQL_MYSQL, "SELECT 1", 0, "a=b,c*/d='x'"),
        "SELECT 1 /*traceparent='" IDS "',tracestate='a%3Db%2Cc%2A%2Fd%3D%27x%27'*/",
        "tracestate is escaped");
    snprintf(
        expected, sizeof(expected), "SELECT 1 /*traceparent='" IDS "',tracestate='%s'*/", most);
    check_text(comment(SQL_MYSQL, "SELECT 1", 0, most), expected, "a long one");
    check_text(
        comment(SQL_MYSQL, "SELECT 1", 0, many), "SELECT 1" COMMENT, "too much to be escaped");
}

static void test_head(void)
{
    check_text(comment(SQL_MYSQL, "'-- 'SELECT 1;", 5, ""), "'-- 'SELECT 1" COMMENT ";",
        "what stands before the statement is kept as it is");
}

int main(void)
{
    test_rows();
    test_tracestate();
    test_head();
    return tap_done();
}
