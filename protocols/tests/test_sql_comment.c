/* SPDX-License-Identifier: Apache-2.0 */
/* Which statements get a comment with the context, where it stands, and how it is written; and
 * which context those have that are somebody's already. */
#include <stdlib.h>
#include <string.h>

#include "sql_comment.h"
#include "messages.h"

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
    const char *const values[] = {IDS, tracestate[0] == '\0' ? NULL : tracestate, "never=told"};
    struct context_header headers[3];
    struct insertion insertion = {.headers = headers,
        .count = headers_of(values, headers),
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

/* --- what is read -------------------------------------------------------------------------- */

#define TP "traceparent='" IDS "'"
#define OTHER "00-11111111111111111111111111111111-2222222222222222-00"

static const struct read_row {
    enum sql_dialect dialect;
    const char *text, *traceparent, *tracestate; /* NULL: there is none */
} read_rows[] = {
    {SQL_POSTGRESQL, "SELECT 1 /*" TP "*/", IDS, ""},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP "*/;", IDS, ""},
    {SQL_POSTGRESQL, "SELECT 1/* " TP " */ ; \n", IDS, ""},
    {SQL_POSTGRESQL, "/*" TP "*/ SELECT 1", IDS, ""},
    {SQL_POSTGRESQL, " \n/*" TP "*/SELECT 1;", IDS, ""},
    {SQL_MYSQL, "SELECT 1; SELECT 2 /*" TP "*/", IDS, ""},
    {SQL_MYSQL, "/*app='it\\'s'*/ SELECT 1 /*" TP "*/", IDS, ""},
    {SQL_POSTGRESQL,
        "SELECT 1 /*action='%2Fparam*d',controller='index,'," TP
        ",tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f0'*/",
        IDS, "congo=t61rcWkgMzE,rojo=00f0"},
    {SQL_POSTGRESQL, "SELECT 1 /*db_driver='psycopg2%%3A2.9'," TP ",tracestate='a%%3Db'*/", IDS,
        "a=b"},
    {SQL_POSTGRESQL, "SELECT 1 /*tracestate='', " TP "*/", IDS, ""},
    {SQL_MYSQL,
        "SELECT 1 /*traceparent='00%2d0af7651916cd43dd8448eb211c80319c%2D"
        "b7ad6b7169203331-01'*/",
        IDS, ""},
    {SQL_MYSQL, "SELECT 'a\\'' /*" TP "*/", IDS, ""},
    {SQL_POSTGRESQL, "SELECT $$ it's $$ /*" TP "*/", IDS, ""},
    {SQL_POSTGRESQL, "SELECT 1 /* a /* nested */ one */ /*" TP "*/", IDS, ""},
    /* what only looks like a comment */
    {SQL_POSTGRESQL, "SELECT '/*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 'it''s /*traceparent=''" IDS "''*/'", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT \"/*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT $$ /*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT $a$ /*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 -- /*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "-- /*" TP "*/\nSELECT 1", NULL, NULL},
    {SQL_POSTGRESQL_BACKSLASH, "SELECT 'a\\' /*" TP "*/", NULL, NULL},
    {SQL_MYSQL, "SELECT 'a\\' /*" TP "*/", NULL, NULL},
    {SQL_MYSQL, "SELECT `a /*" TP "*/", NULL, NULL},
    {SQL_MYSQL, "SELECT 1 # /*" TP "*/", NULL, NULL},
    {SQL_MYSQL, "SELECT 1 /* a /*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /* a /*" TP "*/ */", NULL, NULL},
    {SQL_MYSQL, "SELECT 1 /*!50000 /*" TP "*/ */", NULL, NULL},
    {SQL_MYSQL, "SELECT /*+ " TP "*/ 1", NULL, NULL},
    {SQL_MYSQL, "/*!" TP "*/ SELECT 1", NULL, NULL},
    /* in the middle, or none */
    {SQL_POSTGRESQL, "SELECT /*" TP "*/ 1", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP "*/ /*app='x'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1", NULL, NULL},
    {SQL_POSTGRESQL, "", NULL, NULL},
    {SQL_POSTGRESQL, " ; ", NULL, NULL},
    {SQL_POSTGRESQL, "/", NULL, NULL},
    {SQL_POSTGRESQL, "/*/", NULL, NULL},
    {SQL_POSTGRESQL, "/**/", NULL, NULL},
    {SQL_POSTGRESQL, "*/", NULL, NULL},
    /* several */
    {SQL_POSTGRESQL, "/*traceparent='" OTHER "'*/ SELECT 1 /*" TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP "," TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP ",tracestate='a%3Db',tracestate='c%3Dd'*/", NULL, NULL},
    /* no list of pairs */
    {SQL_POSTGRESQL, "SELECT 1 /*traceparent=" IDS "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*traceparent:" IDS "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*traceparent='" IDS "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*traceparent='" IDS "\\'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP ",*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*," TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP " app='x'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*see " TP "*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP ",tracestate='a%3'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP ",tracestate='a%xy'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*" TP ",tracestate='a%'*/", NULL, NULL},
    {SQL_POSTGRESQL, "SELECT 1 /*traceparent=''*/", NULL, NULL},
    {SQL_POSTGRESQL, "/*" TP "/", NULL, NULL},
};

static bool is_text(struct fact fact, const char *text)
{
    return fact.length == strlen(text) &&
           (fact.length == 0 || memcmp(fact.text, text, fact.length) == 0);
}

/* In a block of exactly its length, so that what reads beyond it is found. */
static bool read_context(
    enum sql_dialect dialect, const char *text, size_t length, struct sql_context *out)
{
    static uint8_t room[2 * SQL_CONTEXT_COMMENT_MAX];
    uint8_t *block = malloc(length + (length == 0));
    memcpy(block, text, length);
    bool is_there =
        sql_may_have_context(block, length) && sql_context(dialect, block, length, room, out);
    free(block);
    return is_there;
}

static void test_read(void)
{
    for (size_t i = 0; i < sizeof(read_rows) / sizeof(read_rows[0]); i++) {
        const struct read_row *row = &read_rows[i];
        struct sql_context got = {0};
        bool is_there = read_context(row->dialect, row->text, strlen(row->text), &got);
        CHECK(is_there ? row->traceparent != NULL && is_text(got.traceparent, row->traceparent) &&
                             is_text(got.tracestate, row->tracestate)
                       : row->traceparent == NULL,
            "read: %s", row->text);
    }
}

/* What is cut anywhere has none, but for what is not needed of it. */
static void test_cut(void)
{
    static const char text[] = "SELECT 'a' /*app='x'," TP "*/";
    struct sql_context got;
    size_t found = 0;
    for (size_t length = 0; length <= sizeof(text) - 1; length++)
        found += read_context(SQL_POSTGRESQL, text, length, &got);
    CHECK(found == 1, "only the whole text has a context (%zu)", found);
}

static void test_long(void)
{
    static char text[2 * SQL_CONTEXT_TEXT_MAX];
    struct sql_context got;
    memset(text, ' ', sizeof(text));
    memcpy(text + sizeof(text) - sizeof("1 /*" TP "*/") + 1, "1 /*" TP "*/",
        sizeof("1 /*" TP "*/") - 1);
    const char *end = text + sizeof(text);
    CHECK(read_context(SQL_MYSQL, end - SQL_CONTEXT_TEXT_MAX, SQL_CONTEXT_TEXT_MAX, &got),
        "behind a long statement");
    CHECK(!read_context(SQL_MYSQL, text, sizeof(text), &got), "not behind a longer one");
    memset(text, '1', sizeof(text));
    memcpy(text, "/*" TP "*/", sizeof("/*" TP "*/") - 1);
    text[sizeof(text) - 1] = ';';
    CHECK(read_context(SQL_MYSQL, text, sizeof(text), &got), "before one of any length");
    memset(text, 'k', sizeof(text));
    memcpy(text, "/*" TP ",key='", sizeof("/*" TP ",key='") - 1);
    memcpy(text + SQL_CONTEXT_COMMENT_MAX - 3, "'*/", 3);
    CHECK(read_context(SQL_MYSQL, text, SQL_CONTEXT_COMMENT_MAX, &got), "a long comment");
    text[SQL_CONTEXT_COMMENT_MAX - 3] = 'k';
    memcpy(text + SQL_CONTEXT_COMMENT_MAX - 2, "'*/", 3);
    CHECK(!read_context(SQL_MYSQL, text, SQL_CONTEXT_COMMENT_MAX + 1, &got), "a longer comment");
}

int main(void)
{
    test_rows();
    test_tracestate();
    test_head();
    test_read();
    test_cut();
    test_long();
    return tap_done();
}
