/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the readers of SQL. The input's first byte is the dialect, the second says what is made of
 * the rest: a text as it is, or the content of one literal of every form the dialect has. Of the
 * latter the sanitized text is known to the byte, whatever the content and wherever it is cut.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql_comment.h"
#include "sql_kept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct result {
    struct describer describer;
    char *text;
    size_t length, room, summary_length;
    char summary[SQL_SUMMARY_BYTES_MAX];
};

static void append(struct describer *describer, const void *text, size_t length)
{
    struct result *result = (struct result *)describer;
    require(length > 0 && length <= result->room - result->length, "a text grows to twice at most");
    memcpy(result->text + result->length, text, length);
    result->length += length;
}

/* From a copy of exact size, at an odd address or not, so that ASan sees both ends. */
static struct result run(enum sql_dialect dialect, const void *text, size_t length, size_t offset)
{
    struct result result = {.describer = {.append = append}, .room = 2 * length};
    uint8_t *block = malloc(offset + length), *copy = block + offset;
    result.text = malloc(result.room);
    if (length > 0)
        memcpy(copy, text, length);
    result.summary_length = sql_tell(dialect, copy, length, &result.describer, result.summary);
    require(result.summary_length <= sizeof(result.summary), "a summary is bounded");
    free(block);
    return result;
}

static bool is_same(const char *one, size_t one_length, const char *other, size_t other_length)
{
    return one_length == other_length && (one_length == 0 || memcmp(one, other, one_length) == 0);
}

/* A name like a string is the one thing that the sanitized text has lost. */
static bool keeps_summary(enum sql_dialect dialect, const struct result *result)
{
    bool may_lose = dialect == SQL_SQLITE || dialect == SQL_OTHER;
    return !may_lose || memchr(result->summary, '\'', result->summary_length) == NULL;
}

static void fuzz_text(enum sql_dialect dialect, const uint8_t *text, size_t length)
{
    struct result first = run(dialect, text, length, 0), again = run(dialect, text, length, 1);
    require(is_same(first.text, first.length, again.text, again.length) &&
                is_same(first.summary, first.summary_length, again.summary, again.summary_length),
        "a text is read the same at another address");
    static struct sql_kept kept;
    struct fact told, summary;
    for (int i = 0; i < 2 && length > 0; i++) {
        bool is_kept =
            sql_kept_tell(&kept, dialect, (struct fact){text, (uint32_t)length}, &told, &summary);
        require(
            !is_kept || (is_same(first.text, first.length, (const char *)told.text, told.length) &&
                            is_same(first.summary, first.summary_length, (const char *)summary.text,
                                summary.length)),
            "a text that was told before is told alike");
    }
    struct result second = run(dialect, first.text, first.length, 0);
    require(is_same(first.text, first.length, second.text, second.length),
        "what is sanitized stays as it is");
    require(!keeps_summary(dialect, &first) ||
                is_same(first.summary, first.summary_length, second.summary, second.summary_length),
        "a sanitized text has the same summary");
    free(first.text);
    free(again.text);
    free(second.text);
}

/* From a copy of exact size. What is found lies in a room of just the size that it is given. */
static bool find_context(
    enum sql_dialect dialect, const void *text, size_t length, struct sql_context *context)
{
    static uint8_t room[2 * SQL_CONTEXT_COMMENT_MAX];
    uint8_t *copy = malloc(length);
    if (length > 0)
        memcpy(copy, text, length);
    bool found = sql_context(dialect, copy, length, room, context);
    require(!found || (sql_may_have_context(copy, length) && context->traceparent.length > 0),
        "what is found may be there");
    free(copy);
    return found;
}

/* What we have written is read. */
static void check_context(enum sql_dialect dialect, const char *text, size_t length, size_t added,
    struct fact traceparent, struct fact tracestate)
{
    struct sql_context context;
    if (length > SQL_CONTEXT_TEXT_MAX || added > SQL_CONTEXT_COMMENT_MAX)
        return;
    require(find_context(dialect, text, length, &context) &&
                is_same((const char *)context.traceparent.text, context.traceparent.length,
                    (const char *)traceparent.text, traceparent.length) &&
                (context.tracestate.length == 0 ||
                    is_same((const char *)context.tracestate.text, context.tracestate.length,
                        (const char *)tracestate.text, tracestate.length)),
        "a comment of ours is read as it was written");
}

/* With a comment it is the same text but for that, and says the same. */
static void fuzz_comment(enum sql_dialect dialect, const uint8_t *text, size_t length)
{
    static const uint8_t ids[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const struct context_header headers[] = {
        {{(const uint8_t *)"traceparent", 11}, {ids, sizeof(ids) - 1}},
        {{(const uint8_t *)"tracestate", 10}, {text, (uint32_t)length}}};
    struct insertion insertion = {
        .headers = headers, .count = 2, .replaced = {text, (uint32_t)length}};
    char *out = malloc(sizeof(ids) - 1 + 2 * length + INSERT_BYTES_MAX);
    size_t commented = sql_comment(&insertion, 0, dialect, out);
    if (commented > 0) {
        size_t added = commented - length, at = 0;
        while (at < length && out[at] == (char)text[at])
            at++;
        if (at > 0 && memcmp(out + at, " /*", 3) != 0)
            at--; /* white space follows */
        require(added > sizeof(ids) && memcmp(out + at, " /*traceparent='", 16) == 0 &&
                    memcmp(out + at + added, text + at, length - at) == 0,
            "nothing but a comment is added");
        struct result with = run(dialect, out, commented, 0),
                      without = run(dialect, text, length, 0);
        require(is_same(with.summary, with.summary_length, without.summary, without.summary_length),
            "a statement with a comment says the same");
        check_context(dialect, out, commented, added, headers[0].value, headers[1].value);
        free(with.text);
        free(without.text);
    }
    free(out);
}

enum { EVERY = 0x3f, POSTGRES = 1 << SQL_POSTGRESQL | 1 << SQL_POSTGRESQL_BACKSLASH };

/* The forms of a literal: how the content is kept from ending it, and which dialects have it. */
static const struct form {
    const char *open, *close;
    char doubled;        /* this byte is written twice */
    bool escapes;        /* so is a backslash, if the dialect escapes by it */
    bool always;         /* or anyway */
    const char *without; /* such bytes are left out */
    unsigned dialects;
} forms[] = {
    {"'", "'", '\'', true, false, "", EVERY},
    {"X'", "'", '\'', true, false, "", EVERY},
    {"\"", "\"", '"', true, false, "", 1 << SQL_MYSQL | 1 << SQL_MYSQL_NO_BACKSLASH},
    {"\"", "\"", '"', false, false, "", 1 << SQL_SQLITE | 1 << SQL_OTHER},
    {"E'", "'", '\'', false, true, "", POSTGRES | 1 << SQL_OTHER},
    {"U&'", "'", '\'', true, false, "", POSTGRES | 1 << SQL_OTHER},
    {"'a'\n'", "'", '\'', true, false, "", POSTGRES | 1 << SQL_MYSQL},
    {"$$", "$$", '\0', false, false, "$", POSTGRES | 1 << SQL_OTHER},
    {"$a1$", "$a1$", '\0', false, false, "$", POSTGRES | 1 << SQL_OTHER},
    {"q'[", "]'", '\0', false, false, "]", 1 << SQL_OTHER},
    {"nq'(", ")'", '\0', false, false, ")", 1 << SQL_OTHER},
    {"-12.5e-3", "", '\0', false, false, NULL, EVERY},
};

static size_t add(char *out, size_t length, const char *text)
{
    size_t added = strlen(text);
    memcpy(out + length, text, added);
    return length + added;
}

static size_t write_content(char *out, size_t at, enum sql_dialect dialect, const struct form *form,
    const uint8_t *content, size_t length)
{
    bool in_dialect = dialect == SQL_MYSQL || dialect == SQL_POSTGRESQL_BACKSLASH ||
                      dialect == SQL_OTHER; /* where an escaped quote only would be in doubt */
    bool doubles = form->always || (form->escapes && in_dialect);
    for (size_t i = 0; form->without != NULL && i < length; i++) {
        char byte = (char)content[i];
        if (byte != '\0' && strchr(form->without, byte) != NULL)
            continue;
        out[at++] = byte;
        if ((byte != '\0' && byte == form->doubled) || (byte == '\\' && doubles))
            out[at++] = byte;
    }
    return at;
}

static void check_literal(
    enum sql_dialect dialect, const char *text, size_t length, const char *expected)
{
    struct result result = run(dialect, text, length, 0);
    require(is_same(result.text, result.length, expected, strlen(expected)),
        "of a literal there is nothing but a mark");
    require(is_same(result.summary, result.summary_length, "SELECT t", 8),
        "and nothing in the summary");
    free(result.text);
    struct sql_context context;
    require(!find_context(dialect, text, length, &context), "a literal carries no context");
}

static void fuzz_literal(enum sql_dialect dialect, const uint8_t *content, size_t length)
{
    static const char head[] = "SELECT a FROM t WHERE b = ", tail[] = " AND c LIKE 'd'";
    char *text = malloc(sizeof(head) + sizeof(tail) + 16 + 2 * length);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if ((forms[i].dialects >> dialect & 1) == 0)
            continue;
        size_t start = add(text, add(text, 0, head), forms[i].open);
        size_t end = write_content(text, start, dialect, &forms[i], content, length);
        size_t cut = start + (end > start ? content[length - 1] % (end - start) : 0);
        check_literal(dialect, text, cut, "SELECT a FROM t WHERE b = ?");
        size_t all = add(text, add(text, end, forms[i].close), tail);
        check_literal(dialect, text, all, "SELECT a FROM t WHERE b = ? AND c LIKE ?");
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 2)
        return 0;
    enum sql_dialect dialect = data[0] % (SQL_MYSQL_NO_BACKSLASH + 1);
    if (data[1] % 4 == 0)
        fuzz_literal(dialect, data + 2, length - 2);
    else
        fuzz_text(dialect, data + 2, length - 2);
    fuzz_comment(dialect, data + 2, length - 2);
    struct sql_context context;
    find_context(dialect, data + 2, length - 2, &context);
    return 0;
}
