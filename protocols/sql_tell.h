/* SPDX-License-Identifier: Apache-2.0 */
/* Both takers of tokens, so that a text is read once for the two of them: sql_tell.c. */
#pragma once

#include "sql_token.h"

/* The list behind IN: all but its first value are held back until it is known that they are. */
enum sql_list { LIST_NONE, LIST_WORD, LIST_OPEN, LIST_VALUE, LIST_COMMA, LIST_NEXT };

struct sql_sanitizer {
    struct describer *out;
    const uint8_t *text;
    size_t from, to; /* a piece of the text that is still to be told */
    uint8_t last;    /* byte that was written; 0: none was */
    bool is_apart;   /* something was left out since the last token */
    enum sql_list list;
};

void sql_sanitize_start(struct sql_sanitizer *, const uint8_t *text, struct describer *out);
void sql_sanitize_take(struct sql_sanitizer *, const struct sql_token *);

enum { SQL_LEVELS_MAX = 64, SQL_NAMES_MAX = 16 };

struct sql_level {
    uint8_t phase;
    uint8_t verb;
    uint16_t traits;
    bool is_from;  /* PHASE_TARGET: behind FROM and the like, where any word is a name */
    bool is_into;  /* PHASE_TARGET: of SELECT INTO, after which FROM is still to come */
    bool is_named; /* PHASE_QUERY: of WITH: a name was read, its query follows */
};

/* A name that WITH gives to a query: no target. */
struct sql_name {
    size_t from, to;
    size_t depth;
    bool is_open; /* its query is being read, in which the name means something else */
};

enum sql_part { PART_NONE, PART_NAME, PART_DOT };

struct sql_summary {
    const struct sql_source *source;
    const uint8_t *text;
    char *out;
    size_t length;
    bool is_full;
    bool is_body; /* of a routine: to the end */
    size_t depth;
    struct sql_level levels[SQL_LEVELS_MAX];
    struct sql_name names[SQL_NAMES_MAX];
    size_t names_count;
    /* The target that is being told: what it ends in, where it starts in `out`, and its first part
     * as long as there is no other. */
    enum sql_part part;
    size_t mark;
    struct sql_token only;
    struct sql_token last; /* token */
};

/* Behind the last token that is taken, length is the summary's. */
void sql_summarize_start(struct sql_summary *, const struct sql_source *, char *out);
void sql_summarize_take(struct sql_summary *, const struct sql_token *);
