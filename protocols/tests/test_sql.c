/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL texts, what is told of them, and their summaries: the rows of sql_rows.def, each in every
 * dialect it is of. Each text ends where a page does and the next one cannot be read. Cut at every
 * length it tells no secret and is sanitized once and for all.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sql_kept.h"
#include "tap.h"

enum { TEXT_BYTES_MAX = 4096 };

#define SAME NULL

enum {
    PG = 1 << SQL_POSTGRESQL,
    MYSQL = 1 << SQL_MYSQL,
    LITE = 1 << SQL_SQLITE,
    OTHER = 1 << SQL_OTHER,
    PG_BACK = 1 << SQL_POSTGRESQL_BACKSLASH,
    MYSQL_PLAIN = 1 << SQL_MYSQL_NO_BACKSLASH,
    EVERY = 0x3f
};

static const struct row {
    unsigned dialects;
    const char *text, *sanitized, *summary;
} rows[] = {
#define ROW(dialects, text, sanitized, summary) {dialects, text, sanitized, summary},
#include "sql_rows.def"
#undef ROW
};

struct writer {
    struct describer describer;
    size_t length;
    char text[2 * TEXT_BYTES_MAX + 1];
};

static char *page_end;

static void write_text(struct describer *out, const void *text, size_t length)
{
    struct writer *writer = (struct writer *)out;
    if (length > sizeof(writer->text) - 1 - writer->length)
        abort();
    memcpy(writer->text + writer->length, text, length);
    writer->length += length;
    writer->text[writer->length] = '\0';
}

/* The text stands directly before a page that cannot be read. */
static size_t tell(unsigned dialect, const char *text, size_t length, struct writer *writer,
    char summary[SQL_SUMMARY_BYTES_MAX])
{
    uint8_t *copy = (uint8_t *)page_end - length;
    memcpy(copy, text, length);
    *writer = (struct writer){.describer = {.append = write_text}};
    return sql_tell(dialect, copy, length, &writer->describer, summary);
}

static const char *sanitize(
    unsigned dialect, const char *text, size_t length, struct writer *writer)
{
    char summary[SQL_SUMMARY_BYTES_MAX];
    tell(dialect, text, length, writer, summary);
    return writer->text;
}

static const char *summarize(unsigned dialect, const char *text, size_t length)
{
    static char summary[SQL_SUMMARY_BYTES_MAX + 1];
    static struct writer writer;
    summary[tell(dialect, text, length, &writer, summary)] = '\0';
    return summary;
}

/* A 'name' is in a summary, but not in the text. */
static bool is_stable(unsigned dialect, const char *text, size_t length)
{
    static struct writer first, second;
    char summary[SQL_SUMMARY_BYTES_MAX + 1];
    sanitize(dialect, text, length, &first);
    strcpy(summary, summarize(dialect, text, length));
    return strcmp(sanitize(dialect, first.text, first.length, &second), first.text) == 0 &&
           (strcmp(summarize(dialect, first.text, first.length), summary) == 0 ||
               strchr(summary, '\'') != NULL);
}

static bool tells(const char *text)
{
    return strpbrk(text, "z7") != NULL;
}

/* The length at which a cut text does not what it should, or -1. */
static int find_bad_cut(unsigned dialect, const char *text)
{
    static struct writer writer;
    for (size_t length = 0; length <= strlen(text); length++) {
        if (tells(sanitize(dialect, text, length, &writer)) ||
            tells(summarize(dialect, text, length)) || !is_stable(dialect, text, length))
            return (int)length;
    }
    return -1;
}

static bool check_text(const char *is, const char *expected)
{
    bool same = strcmp(is, expected) == 0;
    if (!same)
        printf("# is: %s\n", is);
    return same;
}

static void check_row(const struct row *row, unsigned dialect)
{
    static struct writer writer;
    const char *expected = row->sanitized != SAME ? row->sanitized : row->text;
    size_t length = strlen(row->text);
    bool holds = check_text(sanitize(dialect, row->text, length, &writer), expected);
    holds &= check_text(summarize(dialect, row->text, length), row->summary);
    int cut = find_bad_cut(dialect, row->text);
    if (cut >= 0)
        printf("# wrong if cut at %d: %s\n", cut, sanitize(dialect, row->text, cut, &writer));
    CHECK(holds && cut < 0, "dialect %u: row %d: %.40s", dialect, (int)(row - rows), row->summary);
}

/* No target is cut, and none after it is told. */
static void check_long_summary(void)
{
    char text[TEXT_BYTES_MAX] = "SELECT * FROM t0";
    for (int i = 1; i < 100; i++)
        sprintf(text + strlen(text), ", table_%d", i);
    const char *summary = summarize(SQL_OTHER, text, strlen(text));
    CHECK(strlen(summary) == 252 && strcmp(summary + 243, " table_28") == 0,
        "a summary ends with a whole word: %zu bytes, %s", strlen(summary), summary);
    memset(text, 'x', 300);
    memcpy(text, "SELECT 1; DROP TABLE a.", 23);
    strcpy(text + 300, "; DROP TABLE b");
    CHECK(strcmp(summarize(SQL_OTHER, text, strlen(text)), "SELECT DROP TABLE") == 0,
        "a target that is too long is left out, and what follows");
}

/* The longest nesting that is told apart, and more. */
static void check_depth(void)
{
    static struct writer writer;
    char text[TEXT_BYTES_MAX];
    memset(text, '(', sizeof(text));
    memcpy(text, "SELECT a FROM ", 14);
    sanitize(SQL_POSTGRESQL, text, sizeof(text), &writer);
    CHECK(writer.length == sizeof(text), "what is nested deep is kept");
    CHECK(strcmp(summarize(SQL_POSTGRESQL, text, sizeof(text)), "SELECT") == 0, "and summarized");
    memset(text, ')', sizeof(text));
    CHECK(summarize(SQL_POSTGRESQL, text, sizeof(text))[0] == '\0', "only closing is nothing");
}

static void check_bytes(void)
{
    static struct writer writer;
    static const char text[] = "SELECT \0\xff\xc3 FROM caf\xc3\xa9 WHERE a = '\xc3\0\x80'";
    sanitize(SQL_POSTGRESQL, text, sizeof(text) - 1, &writer);
    static const char expected[] = "SELECT \0\xff\xc3 FROM caf\xc3\xa9 WHERE a = ?";
    CHECK(writer.length == sizeof(expected) - 1 &&
              memcmp(writer.text, expected, sizeof(expected) - 1) == 0,
        "NUL and malformed UTF-8 pass");
    CHECK(strcmp(summarize(SQL_POSTGRESQL, text, sizeof(text) - 1), "SELECT caf\xc3\xa9") == 0,
        "names may have any letters");
}

/* What is kept, and what is told twice: as if nothing were. */
static bool is_kept_same(unsigned dialect, const char *text, size_t length, bool *is_kept)
{
    static struct sql_kept kept;
    static struct writer writer;
    struct fact told, summary, copy = {(uint8_t *)page_end - length, (uint32_t)length};
    char expected[SQL_SUMMARY_BYTES_MAX];
    size_t expected_length = tell(dialect, text, length, &writer, expected);
    for (int i = 0; i < 2; i++) {
        *is_kept = sql_kept_tell(&kept, dialect, copy, &told, &summary);
        if (*is_kept && (told.length != writer.length || summary.length != expected_length ||
                            memcmp(told.text, writer.text, told.length) != 0 ||
                            memcmp(summary.text, expected, expected_length) != 0))
            return false;
    }
    return true;
}

/* Many more texts than rows, which alternate; the same text in other dialects; cut ones. */
static void check_kept(void)
{
    bool is_kept, are_same = true, are_kept = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t length = 1; length <= strlen(rows[i].text); length++)
            for (unsigned dialect = SQL_POSTGRESQL; dialect <= SQL_MYSQL_NO_BACKSLASH; dialect++) {
                are_same &= is_kept_same(dialect, rows[i].text, length, &is_kept);
                are_kept &= is_kept;
            }
    CHECK(are_same && are_kept, "a statement that was told before is told alike");
}

static void check_kept_long(void)
{
    static char text[TEXT_BYTES_MAX];
    bool is_kept, are_same = true, was_kept = true;
    size_t changes = 0;
    memcpy(text, "SELECT a FROM t WHERE b = ", 26);
    memset(text + 26, 'b', sizeof(text) - 26);
    for (size_t length = 1; length <= sizeof(text); length++) {
        are_same &= is_kept_same(SQL_POSTGRESQL, text, length, &is_kept);
        changes += is_kept != was_kept;
        was_kept = is_kept;
    }
    CHECK(are_same && changes == 1 && !was_kept, "a text that is too long is not kept");
}

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 2 * TEXT_BYTES_MAX / page * page + page;
    char *mapped =
        mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED || mprotect(mapped + bytes, page, PROT_NONE) != 0)
        return 1;
    page_end = mapped + bytes;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned dialect = SQL_POSTGRESQL; dialect <= SQL_MYSQL_NO_BACKSLASH; dialect++) {
            if ((rows[i].dialects >> dialect & 1) != 0)
                check_row(&rows[i], dialect);
        }
    }
    check_long_summary();
    check_depth();
    check_bytes();
    check_kept();
    check_kept_long();
    return tap_done();
}
