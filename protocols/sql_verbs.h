/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What words start in a summary: which operations there are, what they are done to, and how the
 * names of that are found. Included by sql_summarize.c alone.
 */
#pragma once

#include "sql_token.h"

enum phase {
    PHASE_START,  /* an operation is due */
    PHASE_QUERY,  /* one of a query is: behind EXPLAIN, WITH, PREPARE; what else comes is skipped */
    PHASE_WAIT,   /* in an operation, before the word that its targets follow */
    PHASE_OBJECT, /* CREATE, DROP: the kind of thing is due */
    PHASE_KIND,   /* TRUNCATE: it may be told */
    PHASE_TARGET, /* a target is due */
    PHASE_LIST,   /* behind one; a comma or a join brings more */
    PHASE_QUIET,  /* no more targets, but maybe another SELECT */
    PHASE_DEAF    /* nothing more in this statement */
};

enum trait {
    QUERY = 1 << 0,     /* may be a subquery or explained */
    FROM = 1 << 1,      /* targets follow FROM and JOIN */
    LIST = 1 << 2,      /* several, with commas */
    USING = 1 << 3,     /* and behind USING */
    ON = 1 << 4,        /* and behind ON */
    INTO = 1 << 5,      /* and behind INTO */
    LAST = 1 << 6,      /* what follows the targets is none of ours */
    UNTOLD = 1 << 7,    /* no operation itself */
    ROUTINE = 1 << 8,   /* its body may hold semicolons */
    SCOPE = 1 << 9,     /* LOCAL, SESSION, GLOBAL may stand before the target */
    RECURSIVE = 1 << 10 /* WITH: its names are known in their own queries */
};

struct verb {
    uint8_t phase; /* that it starts; PHASE_START: it is no operation */
    uint16_t traits;
};

static const struct verb verbs[WORD_COUNT] = {
    [WORD_SELECT] = {PHASE_WAIT, QUERY | FROM | LIST | INTO},
    [WORD_INSERT] = {PHASE_TARGET, QUERY},
    [WORD_REPLACE] = {PHASE_TARGET, QUERY},
    [WORD_UPDATE] = {PHASE_TARGET, QUERY | FROM | LIST},
    [WORD_DELETE] = {PHASE_TARGET, QUERY | FROM | LIST | USING},
    [WORD_MERGE] = {PHASE_TARGET, QUERY | USING},
    [WORD_WITH] = {PHASE_QUERY, QUERY | UNTOLD},
    [WORD_VALUES] = {PHASE_QUIET},
    [WORD_TABLE] = {PHASE_TARGET, LAST},
    [WORD_EXPLAIN] = {PHASE_QUERY},
    [WORD_PREPARE] = {PHASE_QUERY},
    [WORD_DECLARE] = {PHASE_QUERY},
    [WORD_CREATE] = {PHASE_OBJECT},
    [WORD_ALTER] = {PHASE_OBJECT, LAST},
    [WORD_DROP] = {PHASE_OBJECT, LIST},
    [WORD_COMMENT] = {PHASE_OBJECT, LAST},
    [WORD_REFRESH] = {PHASE_OBJECT, LAST},
    [WORD_REINDEX] = {PHASE_KIND, LAST},
    [WORD_RENAME] = {PHASE_OBJECT, LAST},
    [WORD_TRUNCATE] = {PHASE_KIND, LIST},
    [WORD_LOCK] = {PHASE_KIND, LIST},
    [WORD_ANALYZE] = {PHASE_KIND, LIST},
    [WORD_ANALYSE] = {PHASE_KIND, LIST},
    [WORD_VACUUM] = {PHASE_KIND, LIST},
    [WORD_OPTIMIZE] = {PHASE_KIND, LIST},
    [WORD_CHECK] = {PHASE_KIND, LIST},
    [WORD_REPAIR] = {PHASE_KIND, LIST},
    [WORD_CLUSTER] = {PHASE_KIND, LAST},
    [WORD_DESCRIBE] = {PHASE_KIND, LAST},
    [WORD_DESC] = {PHASE_KIND, LAST},
    [WORD_GRANT] = {PHASE_WAIT, ON | LAST},
    [WORD_REVOKE] = {PHASE_WAIT, ON | LAST},
    [WORD_COPY] = {PHASE_TARGET, LAST},
    [WORD_LOAD] = {PHASE_WAIT, INTO | LAST},
    [WORD_CALL] = {PHASE_TARGET, LAST},
    [WORD_EXEC] = {PHASE_TARGET, LAST},
    [WORD_LISTEN] = {PHASE_TARGET, LAST},
    [WORD_UNLISTEN] = {PHASE_TARGET, LAST},
    [WORD_NOTIFY] = {PHASE_TARGET, LAST},
    [WORD_USE] = {PHASE_TARGET, LAST},
    [WORD_SET] = {PHASE_TARGET, SCOPE},
    [WORD_RESET] = {PHASE_TARGET, LAST | SCOPE},
    [WORD_SHOW] = {PHASE_TARGET, LAST | SCOPE},
    [WORD_PRAGMA] = {PHASE_TARGET, LAST},
    [WORD_START] = {PHASE_TARGET, LAST},
    /* What these name is made up by the program: cursors, savepoints, prepared statements. */
    [WORD_EXECUTE] = {PHASE_DEAF},
    [WORD_BEGIN] = {PHASE_DEAF},
    [WORD_COMMIT] = {PHASE_DEAF},
    [WORD_ROLLBACK] = {PHASE_DEAF},
    [WORD_END] = {PHASE_DEAF},
    [WORD_ABORT] = {PHASE_DEAF},
    [WORD_SAVEPOINT] = {PHASE_DEAF},
    [WORD_RELEASE] = {PHASE_DEAF},
    [WORD_XA] = {PHASE_DEAF},
    [WORD_FETCH] = {PHASE_DEAF},
    [WORD_MOVE] = {PHASE_DEAF},
    [WORD_CLOSE] = {PHASE_DEAF},
    [WORD_DEALLOCATE] = {PHASE_DEAF},
    [WORD_DISCARD] = {PHASE_DEAF},
    [WORD_CHECKPOINT] = {PHASE_DEAF},
    [WORD_DO] = {PHASE_DEAF},
    [WORD_KILL] = {PHASE_DEAF},
    [WORD_FLUSH] = {PHASE_DEAF},
    [WORD_UNLOCK] = {PHASE_DEAF},
    [WORD_ATTACH] = {PHASE_DEAF},
    [WORD_DETACH] = {PHASE_DEAF},
    [WORD_IMPORT] = {PHASE_DEAF},
    [WORD_SECURITY] = {PHASE_DEAF},
    [WORD_REASSIGN] = {PHASE_DEAF},
    [WORD_CHANGE] = {PHASE_DEAF},
    [WORD_HANDLER] = {PHASE_DEAF},
};

/* What is created, dropped, altered: the phase behind it. In PHASE_OBJECT another word of the kind
 * follows, as in MATERIALIZED VIEW. Accounts are nobody's business. */
static const struct verb kinds[WORD_COUNT] = {
    [WORD_TABLE] = {PHASE_TARGET},
    [WORD_TABLES] = {PHASE_TARGET},
    [WORD_VIEW] = {PHASE_TARGET},
    [WORD_INDEX] = {PHASE_TARGET, ON},
    [WORD_SCHEMA] = {PHASE_TARGET, LAST},
    [WORD_DATABASE] = {PHASE_TARGET, LAST},
    [WORD_SEQUENCE] = {PHASE_TARGET},
    [WORD_TRIGGER] = {PHASE_TARGET, ON | ROUTINE},
    [WORD_POLICY] = {PHASE_TARGET, ON | LAST},
    [WORD_RULE] = {PHASE_TARGET, LAST},
    [WORD_FUNCTION] = {PHASE_TARGET, ROUTINE},
    [WORD_PROCEDURE] = {PHASE_TARGET, ROUTINE},
    [WORD_ROUTINE] = {PHASE_TARGET, ROUTINE},
    [WORD_PACKAGE] = {PHASE_TARGET, ROUTINE},
    [WORD_AGGREGATE] = {PHASE_TARGET, LAST},
    [WORD_TYPE] = {PHASE_TARGET, LAST},
    [WORD_DOMAIN] = {PHASE_TARGET, LAST},
    [WORD_EXTENSION] = {PHASE_TARGET, LAST},
    [WORD_COLUMN] = {PHASE_TARGET, LAST},
    [WORD_CONSTRAINT] = {PHASE_TARGET, ON | LAST},
    [WORD_COLLATION] = {PHASE_TARGET, LAST},
    [WORD_CONVERSION] = {PHASE_TARGET, LAST},
    [WORD_LANGUAGE] = {PHASE_TARGET, LAST},
    [WORD_TABLESPACE] = {PHASE_TARGET, LAST},
    [WORD_PUBLICATION] = {PHASE_TARGET, LAST},
    [WORD_SUBSCRIPTION] = {PHASE_TARGET, LAST},
    [WORD_SERVER] = {PHASE_TARGET, LAST},
    [WORD_STATISTICS] = {PHASE_TARGET, LAST},
    [WORD_SYNONYM] = {PHASE_TARGET, LAST},
    [WORD_KEYSPACE] = {PHASE_TARGET, LAST},
    [WORD_WRAPPER] = {PHASE_TARGET, LAST},
    [WORD_CONFIGURATION] = {PHASE_TARGET, LAST},
    [WORD_DICTIONARY] = {PHASE_TARGET, LAST},
    [WORD_PARSER] = {PHASE_TARGET, LAST},
    [WORD_TEMPLATE] = {PHASE_TARGET, LAST},
    [WORD_EVENT] = {PHASE_KIND, ROUTINE},
    [WORD_MATERIALIZED] = {PHASE_OBJECT},
    [WORD_FOREIGN] = {PHASE_OBJECT},
    [WORD_DATA] = {PHASE_OBJECT},
    [WORD_VIRTUAL] = {PHASE_OBJECT},
    [WORD_TEXT] = {PHASE_OBJECT},
    [WORD_SEARCH] = {PHASE_OBJECT},
    [WORD_USER] = {PHASE_DEAF},
    [WORD_ROLE] = {PHASE_DEAF},
    [WORD_GROUP] = {PHASE_DEAF},
    [WORD_LOGIN] = {PHASE_DEAF},
    [WORD_SYSTEM] = {PHASE_DEAF},
    [WORD_OPERATOR] = {PHASE_DEAF},
    [WORD_CAST] = {PHASE_DEAF},
    [WORD_TRANSFORM] = {PHASE_DEAF},
    [WORD_ACCESS] = {PHASE_DEAF},
    [WORD_PRIVILEGES] = {PHASE_DEAF},
};
