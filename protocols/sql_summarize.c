/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Generating a summary of the query": operations and their targets in the order of the text.
 *
 * There is no grammar but a phase for each level of parentheses. An operation says how its targets
 * are found (the rows of `verbs`); words in between only matter if they end a list of targets or
 * continue it. SELECT is an operation wherever it stands, as it is reserved in every dialect; the
 * others are at the start of a statement, of a subquery, or behind WITH and EXPLAIN.
 */
#include "sql_tell.h"
#include "sql_verbs.h"

#include <string.h>

static struct sql_level *level_of(struct sql_summary *s)
{
    return &s->levels[s->depth < SQL_LEVELS_MAX ? s->depth : SQL_LEVELS_MAX - 1];
}

static void put(struct sql_summary *s, const struct sql_token *token)
{
    size_t length = token->to - token->from;
    if (s->is_full || length > SQL_SUMMARY_BYTES_MAX - s->length) {
        s->is_full = true;
        return;
    }
    memcpy(s->out + s->length, s->text + token->from, length);
    s->length += length;
}

/* Starts another word; all of it fits, or nothing more is told. */
static void put_word(struct sql_summary *s, const struct sql_token *token)
{
    s->mark = s->length;
    if (s->length > 0 && s->length < SQL_SUMMARY_BYTES_MAX && !s->is_full) {
        s->out[s->length++] = ' ';
    }
    put(s, token);
    if (s->is_full) {
        s->length = s->mark;
    }
}

static bool is_same(const uint8_t *one, const uint8_t *other, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t difference = one[i] ^ other[i];
        bool is_letter = (one[i] | 0x20) >= 'a' && (one[i] | 0x20) <= 'z';
        if (difference != 0 && (difference != 0x20 || !is_letter)) {
            return false;
        }
    }
    return true;
}

static bool is_query_name(const struct sql_summary *s, const struct sql_token *token)
{
    for (size_t i = 0; i < s->names_count; i++) {
        const struct sql_name *name = &s->names[i];
        size_t length = name->to - name->from;
        if (!name->is_open && length == token->to - token->from &&
            is_same(s->text + name->from, s->text + token->from, length)) {
            return true;
        }
    }
    return false;
}

static void target_done(struct sql_level *level)
{
    bool is_into = level->is_into;
    level->is_from = level->is_into = false;
    if (is_into) {
        level->phase = PHASE_WAIT;
    } else if ((level->traits & LIST) != 0) {
        level->phase = PHASE_LIST;
    } else if ((level->traits & (ON | USING)) != 0) {
        level->phase = PHASE_WAIT;
    } else {
        level->phase = (level->traits & (LAST | ROUTINE)) != 0 ? PHASE_DEAF : PHASE_QUIET;
    }
}

static void target_start(struct sql_summary *s, const struct sql_token *token)
{
    put_word(s, token);
    s->part = PART_NAME;
    s->only = *token;
}

/* True if the token belongs to the target: `.name`. */
static bool target_continue(struct sql_summary *s, const struct sql_token *token)
{
    if (s->part == PART_NONE) {
        return false;
    }
    bool is_dot = sql_is_sign(token, '.');
    bool is_name = s->part == PART_DOT && (token->kind == SQL_WORD || token->kind == SQL_QUOTED ||
                                              sql_is_sign(token, '*'));
    if (is_dot || is_name) {
        put(s, token);
        s->length = s->is_full ? s->mark : s->length;
        s->part = is_dot ? PART_DOT : PART_NAME;
        s->only.kind = SQL_END;
        return true;
    }
    if (s->only.kind != SQL_END && is_query_name(s, &s->only) && !s->is_full) {
        s->length = s->mark;
    }
    s->part = PART_NONE;
    target_done(level_of(s));
    return false;
}

static void expect(struct sql_level *level, enum phase phase, bool is_from)
{
    level->phase = phase;
    level->is_from = is_from;
}

static void operation_start(struct sql_summary *s, const struct sql_token *token)
{
    const struct verb *verb = &verbs[token->word];
    if ((verb->traits & UNTOLD) == 0) {
        put_word(s, token);
    }
    *level_of(s) = (struct sql_level){.phase = verb->phase,
        .verb = token->word,
        .traits = verb->traits,
        .is_named = token->word != WORD_WITH};
}

/* (INSERT('text', 1, 2, 'more')) is a function. */
static bool is_operation(
    const struct sql_summary *s, const struct sql_level *level, const struct sql_token *token)
{
    enum sql_word word = token->word;
    if (word == WORD_SELECT) {
        return level->phase != PHASE_DEAF &&
               !(level->phase == PHASE_WAIT && (level->traits & LAST) != 0);
    }
    if (verbs[word].phase == PHASE_START) {
        return false;
    }
    if (level->phase == PHASE_START && s->depth == 0) {
        return true;
    }
    bool is_call = token->to < s->source->length && s->text[token->to] == '(';
    bool is_due = level->phase == PHASE_START || sql_is_sign(&s->last, '(') ||
                  (level->phase == PHASE_QUERY && level->is_named);
    if (level->phase == PHASE_QUIET && word == WORD_WITH) {
        is_due = s->last.word == WORD_AS || level->verb == WORD_INSERT;
    }
    return is_due && !is_call && level->phase != PHASE_DEAF && (verbs[word].traits & QUERY) != 0;
}

static bool is_noise(const struct sql_level *level, enum sql_word word)
{
    switch (word) {
    case WORD_ONLY:
    case WORD_LATERAL:
        return true;
    case WORD_TABLE:
        return !level->is_from || level->verb == WORD_INSERT;
    case WORD_LOCAL:
    case WORD_SESSION:
    case WORD_GLOBAL:
        return (level->traits & SCOPE) != 0;
    case WORD_ABORT:
    case WORD_ALL:
    case WORD_ANALYZE:
    case WORD_BINARY:
    case WORD_CONCURRENTLY:
    case WORD_DELAYED:
    case WORD_EXISTS:
    case WORD_FAIL:
    case WORD_FREEZE:
    case WORD_FULL:
    case WORD_HIGH_PRIORITY:
    case WORD_IF:
    case WORD_IGNORE:
    case WORD_LOW_PRIORITY:
    case WORD_NOT:
    case WORD_OR:
    case WORD_OVERWRITE:
    case WORD_QUICK:
    case WORD_REPLACE:
    case WORD_ROLLBACK:
    case WORD_TEMP:
    case WORD_TEMPORARY:
    case WORD_UNLOGGED:
    case WORD_VERBOSE:
        return !level->is_from;
    default:
        return false;
    }
}

static void take_target(
    struct sql_summary *s, struct sql_level *level, const struct sql_token *token)
{
    enum sql_word word = token->word;
    if (word == WORD_ON && (level->traits & ON) != 0) {
        level->traits &= (uint16_t)~ON;
        expect(level, PHASE_KIND, false);
    } else if ((word == WORD_INTO || word == WORD_FROM) && !level->is_from) {
        level->is_from = true;
    } else if (word == WORD_VALUES && sql_is_sign(&s->last, '(')) {
        level->phase = PHASE_QUIET; /* rows in the place of a table */
    } else if (!is_noise(level, word) &&
               !(level->verb == WORD_EXEC && s->text[token->from] == '@')) {
        target_start(s, token);
    }
}

static void take_kind(struct sql_summary *s, struct sql_level *level, const struct sql_token *token)
{
    const struct verb *kind = &kinds[token->word];
    if (kind->phase != PHASE_START) {
        put_word(s, token);
        level->phase = kind->phase;
        level->traits |= kind->traits;
    } else if (level->phase == PHASE_KIND) {
        take_target(s, level, token);
    }
}

static void take_name_of_query(
    struct sql_summary *s, struct sql_level *level, const struct sql_token *token)
{
    if (token->word == WORD_RECURSIVE) {
        level->traits |= RECURSIVE;
        return;
    }
    level->is_named = true;
    if (s->names_count < SQL_NAMES_MAX) {
        s->names[s->names_count++] = (struct sql_name){.from = token->from,
            .to = token->to,
            .depth = s->depth,
            .is_open = (level->traits & RECURSIVE) == 0};
    }
}

/* A word between targets. */
static void take_clause(struct sql_summary *s, struct sql_level *level, enum sql_word word)
{
    bool lists = level->phase == PHASE_LIST;
    switch (word) {
    case WORD_FROM:
        if ((level->traits & FROM) != 0 && s->last.word != WORD_DISTINCT &&
            (level->phase == PHASE_WAIT || (lists && level->verb == WORD_DELETE))) {
            expect(level, PHASE_TARGET, true);
        }
        break;
    case WORD_JOIN:
    case WORD_STRAIGHT_JOIN:
    case WORD_APPLY:
        if ((level->traits & FROM) != 0 && level->phase != PHASE_WAIT) {
            expect(level, PHASE_TARGET, true);
        }
        break;
    case WORD_USING:
        if ((level->traits & USING) != 0) {
            level->traits &= (uint16_t)(lists ? ~0 : ~USING);
            expect(level, PHASE_TARGET, true);
        }
        break;
    case WORD_ON:
        if ((level->traits & ON) != 0) {
            level->traits &= (uint16_t)~ON;
            expect(level, PHASE_KIND, false);
        }
        break;
    case WORD_INTO:
        if (level->phase == PHASE_WAIT && (level->traits & INTO) != 0 &&
            (level->verb != WORD_SELECT || (s->source->rules & RULE_SELECT_INTO) != 0)) {
            expect(level, PHASE_TARGET, false);
            level->is_into = level->verb == WORD_SELECT;
            break;
        }
        level->phase = lists ? PHASE_QUIET : level->phase;
        break;
    case WORD_SET:
        level->phase = lists ? PHASE_WAIT : level->phase;
        break;
    case WORD_EXCEPT:
    case WORD_FETCH:
    case WORD_FOR:
    case WORD_GROUP:
    case WORD_HAVING:
    case WORD_INTERSECT:
    case WORD_LIMIT:
    case WORD_OFFSET:
    case WORD_ORDER:
    case WORD_QUALIFY:
    case WORD_RETURNING:
    case WORD_UNION:
    case WORD_VALUES:
    case WORD_WHERE:
    case WORD_WINDOW:
        level->phase = lists ? PHASE_QUIET : level->phase;
        break;
    default:
        break;
    }
}

static void take_name(struct sql_summary *s, const struct sql_token *token)
{
    struct sql_level *level = level_of(s);
    if (is_operation(s, level, token)) {
        operation_start(s, token);
        return;
    }
    switch ((enum phase)level->phase) {
    case PHASE_START:
        level->phase = PHASE_QUIET;
        break;
    case PHASE_QUERY:
        if (!level->is_named) {
            take_name_of_query(s, level, token);
        }
        break;
    case PHASE_OBJECT:
    case PHASE_KIND:
        take_kind(s, level, token);
        break;
    case PHASE_TARGET:
        take_target(s, level, token);
        break;
    case PHASE_DEAF:
        s->is_body |= (level->traits & ROUTINE) != 0 && token->word == WORD_BEGIN;
        break;
    case PHASE_WAIT:
    case PHASE_LIST:
    case PHASE_QUIET:
        take_clause(s, level, token->word);
        break;
    }
}

static void take_value(struct sql_summary *s, const struct sql_token *token)
{
    struct sql_level *level = level_of(s);
    bool is_table = (s->source->rules & RULE_SINGLE_NAME) != 0 && level->is_from &&
                    (level->traits & FROM) != 0 && s->text[token->from] == '\'';
    if (level->phase == PHASE_TARGET && is_table) {
        target_start(s, token);
    } else if (level->phase == PHASE_TARGET) {
        target_done(level);
    } else if (level->phase == PHASE_START && s->depth > 0) {
        level->phase = PHASE_QUIET;
    }
}

static void open_level(struct sql_summary *s)
{
    struct sql_level *level = level_of(s);
    struct sql_level inner = {.phase = level->phase == PHASE_DEAF ? PHASE_DEAF : PHASE_START};
    if (level->phase == PHASE_TARGET && level->is_from) {
        if (level->verb == WORD_DELETE && s->last.word == WORD_USING) {
            level->phase = PHASE_LIST; /* JOIN t USING (id) */
        } else {
            inner = *level;
        }
    }
    s->depth++;
    *level_of(s) = inner;
}

static void close_level(struct sql_summary *s)
{
    if (s->depth == 0) {
        return;
    }
    s->depth--;
    while (s->names_count > 0 && s->names[s->names_count - 1].depth > s->depth) {
        s->names_count--;
    }
    struct sql_level *level = level_of(s);
    if (level->phase == PHASE_TARGET) {
        target_done(level);
    } else if (level->phase == PHASE_QUERY && s->names_count > 0) {
        s->names[s->names_count - 1].is_open = false;
    }
}

static void statement_start(struct sql_summary *s)
{
    s->depth = s->names_count = 0;
    s->levels[0] = (struct sql_level){.phase = PHASE_START};
}

static void take_sign(struct sql_summary *s, uint8_t sign)
{
    struct sql_level *level = level_of(s);
    if (sign == '(') {
        open_level(s);
    } else if (sign == ')') {
        close_level(s);
    } else if (sign == ';' && s->depth == 0) {
        statement_start(s);
    } else if (sign == ',' && level->phase == PHASE_LIST) {
        expect(level, PHASE_TARGET, true);
    } else if (sign == ',' && level->phase == PHASE_QUERY && level->verb == WORD_WITH) {
        level->is_named = false;
    } else if ((sign == '@' || sign == ':' || sign == '%') && level->phase == PHASE_TARGET) {
        target_done(level); /* a variable */
    }
}

static void take(struct sql_summary *s, const struct sql_token *token)
{
    if (target_continue(s, token)) {
        return;
    }
    if (token->kind == SQL_WORD || token->kind == SQL_QUOTED) {
        take_name(s, token);
    } else if (token->kind == SQL_SIGN) {
        take_sign(s, token->sign);
    } else if (token->kind != SQL_END) {
        take_value(s, token);
    }
}

void sql_summarize_start(struct sql_summary *s, const struct sql_source *source, char *out)
{
    s->source = source;
    s->text = source->text;
    s->out = out;
    s->length = s->mark = 0;
    s->is_full = s->is_body = false;
    s->part = PART_NONE;
    s->last = (struct sql_token){0};
    statement_start(s);
}

void sql_summarize_take(struct sql_summary *s, const struct sql_token *token)
{
    if (token->kind == SQL_SPACE || token->kind == SQL_COMMENT || s->is_full || s->is_body) {
        return;
    }
    take(s, token);
    s->last = *token;
}
