/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens of a SQL text, for sql_sanitize.c and sql_summarize.c, which must agree on them.
 *
 * sql_lex.c knows what bytes are: where a comment, a string, a number ends in each dialect.
 * sql_read.c knows what words are in their place: TRUE is a literal but in IS TRUE, all that comes
 * after PASSWORD in CREATE ROLE is one.
 */
#pragma once

#include "sql.h"

enum sql_word {
    WORD_UNKNOWN,
#define SQL_WORD(word) WORD_##word,
#include "sql_words.def"
#undef SQL_WORD
    WORD_COUNT
};

enum sql_kind {
    SQL_END,
    SQL_SPACE,
    SQL_COMMENT,
    SQL_WORD,      /* a keyword or a name without quotes */
    SQL_QUOTED,    /* a name in quotes */
    SQL_LITERAL,   /* what must not be told */
    SQL_PARAMETER, /* ? ?1 $1 :1 */
    SQL_SIGN       /* any other byte */
};

struct sql_token {
    enum sql_kind kind;
    enum sql_word word; /* of SQL_WORD */
    uint8_t sign;       /* of SQL_SIGN */
    size_t from, to;
};

/* Where dialects differ. */
enum sql_rule {
    RULE_BACKSLASH = 1 << 0,       /* escapes the next byte in a string */
    RULE_BACKSLASH_DOUBT = 1 << 1, /* may: a string with an escaped quote has no known end */
    RULE_ESCAPE_STRING = 1 << 2,   /* E'..': it does in these */
    RULE_UNICODE = 1 << 3,         /* U&'..', U&".." */
    RULE_Q_STRING = 1 << 4,        /* q'[..]' */
    RULE_DOLLAR_STRING = 1 << 5,   /* $tag$..$tag$ */
    RULE_DOUBLE_STRING = 1 << 6,   /* "..": a string; else a name */
    RULE_DOUBLE_DOUBT = 1 << 7,    /* a name, but a string where only a value makes sense */
    RULE_SINGLE_NAME = 1 << 8,     /* FROM 'name' */
    RULE_BACKQUOTE = 1 << 9,       /* `name` */
    RULE_BRACKET = 1 << 10,        /* [name] */
    RULE_BRACKET_DOUBT = 1 << 11,  /* may also be an index or an array */
    RULE_NESTED = 1 << 12,         /* comments nest */
    RULE_NESTED_DOUBT = 1 << 13,   /* may: one in another has no known end */
    RULE_HASH_COMMENT = 1 << 14,
    RULE_DASHES_SPACE = 1 << 15,  /* -- is a comment only before white space */
    RULE_CODE_COMMENT = 1 << 16,  /* what stands in a comment that starts with ! is read as SQL */
    RULE_RETURN = 1 << 17,        /* a carriage return ends a line */
    RULE_DIGIT_NAME = 1 << 18,    /* 2020_sales is a name */
    RULE_DOLLAR_NAME = 1 << 19,   /* so is $x */
    RULE_AT_NAME = 1 << 20,       /* and so are @x and #x */
    RULE_DOLLAR_NUMBER = 1 << 21, /* $1 is a parameter */
    RULE_COLON_NUMBER = 1 << 22,  /* :1 */
    RULE_MARK_NUMBER = 1 << 23,   /* ?1 */
    RULE_JOIN_LINES = 1 << 24,    /* 'a' and 'b' in the next line are one string */
    RULE_JOIN = 1 << 25,          /* 'a' 'b' are */
    RULE_SET_VALUES = 1 << 26,    /* words are values in SET x = word */
    RULE_SELECT_INTO = 1 << 27    /* SELECT INTO names a table */
};

struct sql_source {
    const uint8_t *text;
    size_t length;
    uint32_t rules;
    size_t operand_end; /* of the last name or value that was read */
};

/* What was read before, without white space and comments. */
struct sql_reader {
    struct sql_source source;
    size_t at;
    struct sql_token last, last_but_one;
    bool has_verb, has_object;
    enum sql_word verb, object; /* of this statement: CREATE, ROLE */
    enum sql_word list;         /* we are in a list after: VALUES, IN */
    bool is_set;                /* SET was read: behind = and TO are values */
    bool is_hidden;             /* what follows in this statement is one literal */
};

void sql_source_start(struct sql_source *, enum sql_dialect, const uint8_t *text, size_t length);
/* The token at `at`, where the last one ended: empty only at the end. */
struct sql_token sql_lex(struct sql_source *, size_t at);

/* Of letters of either case; WORD_UNKNOWN: a name. */
enum sql_word sql_word_find(const uint8_t *text, size_t length);

void sql_reader_start(struct sql_reader *, enum sql_dialect, const uint8_t *text, size_t length);
struct sql_token sql_next(struct sql_reader *);

static inline bool sql_is_sign(const struct sql_token *token, uint8_t sign)
{
    return token->kind == SQL_SIGN && token->sign == sign;
}

/* A name or a value, or what ends one. */
static inline bool sql_is_operand(const struct sql_token *token)
{
    return token->kind >= SQL_WORD &&
           (token->kind != SQL_SIGN || token->sign == ')' || token->sign == ']');
}
