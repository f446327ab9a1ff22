/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and answers in lines, meta commands included, and the data behind them. */
#include "memcached.h"
#include "scan.h"

#include <string.h>

/* --- verbs --------------------------------------------------------------------------------- */

static const struct memcached_verb_row verbs[VERB_COUNT] = {
#define VERB(id, name, kind, shape) [VERB_##id] = {name, sizeof name - 1, kind, shape},
#include "memcached_verbs.def"
#undef VERB
};

const struct memcached_verb_row *memcached_verb_at(enum memcached_verb verb)
{
    return &verbs[verb];
}

enum memcached_verb memcached_verb_find(const uint8_t word[MEMCACHED_WORD_BYTES])
{
    for (int verb = VERB_UNKNOWN + 1; verb < VERB_MIXED && word[0] != 0; verb++) {
        if (memcmp(verbs[verb].name, word, MEMCACHED_WORD_BYTES) == 0 &&
            verbs[verb].kind != LINE_NONE) {
            return (enum memcached_verb)verb;
        }
    }
    return VERB_UNKNOWN;
}

/* --- answers ------------------------------------------------------------------------------- */

enum reply_kind {
    REPLY_WHOLE,
    REPLY_PART,  /* a line, and more until END */
    REPLY_ITEM,  /* with data, the length of which is the third argument; more until END */
    REPLY_VALUE, /* of a meta command, with data: the first argument */
    REPLY_META,
    REPLY_ERROR
};

/* The first words of lines. What is not here is a number, or not memcached. */
static const struct reply {
    char word[MEMCACHED_WORD_BYTES];
    uint8_t kind;  /* enum reply_kind */
    uint8_t error; /* FIELD_STATUS */
} replies[] = {
    {"", REPLY_WHOLE, 0},
    {"VALUE", REPLY_ITEM, 0},
    {"END", REPLY_WHOLE, 0},
    {"STORED", REPLY_WHOLE, 0},
    {"HD", REPLY_META, 0},
    {"VA", REPLY_VALUE, 0},
    {"EN", REPLY_META, 0},
    {"MN", REPLY_META, 0},
    {"NS", REPLY_META, 0},
    {"EX", REPLY_META, 0},
    {"NF", REPLY_META, 0},
    {"ME", REPLY_META, 0},
    {"NOT_STORED", REPLY_WHOLE, 0},
    {"EXISTS", REPLY_WHOLE, 0},
    {"NOT_FOUND", REPLY_WHOLE, 0},
    {"DELETED", REPLY_WHOLE, 0},
    {"TOUCHED", REPLY_WHOLE, 0},
    {"OK", REPLY_WHOLE, 0},
    {"VERSION", REPLY_WHOLE, 0},
    {"STAT", REPLY_PART, 0},
    {"ITEM", REPLY_PART, 0},
    {"PREFIX", REPLY_PART, 0},
    {"CONFIG", REPLY_ITEM, 0},
    {"RESET", REPLY_WHOLE, 0},
    {"ERROR", REPLY_ERROR, ERROR_COMMAND},
    {"CLIENT_ERROR", REPLY_ERROR, ERROR_CLIENT},
    {"SERVER_ERROR", REPLY_ERROR, ERROR_SERVER},
    {"BUSY", REPLY_WHOLE, 0},
    {"BADCLASS", REPLY_WHOLE, 0},
    {"NOSPARE", REPLY_WHOLE, 0},
    {"NOTFULL", REPLY_WHOLE, 0},
    {"UNSAFE", REPLY_WHOLE, 0},
    {"SAME", REPLY_WHOLE, 0},
};

enum { REPLY_COUNT = sizeof replies / sizeof replies[0] };

static bool is_meta(enum reply_kind kind)
{
    return kind == REPLY_META || kind == REPLY_VALUE;
}

static bool says(const struct reply *reply, const char *word)
{
    return memcmp(reply->word, word, 3) == 0;
}

/* Of an exchange with quiet commands before the one that is answered. */
static enum memcached_owner owner_behind(uint16_t entry, const struct reply *reply)
{
    enum memcached_verb verb = (enum memcached_verb)(entry & ENTRY_VERB);
    bool asks_meta = verb >= VERB_MG && verb <= VERB_ME;
    if (verb == VERB_MN) {
        return says(reply, "MN") ? OWNER_OLDEST : OWNER_QUIET;
    }
    if (!is_meta((enum reply_kind)reply->kind)) {
        return asks_meta || reply->kind == REPLY_ERROR ? OWNER_UNKNOWN : OWNER_OLDEST;
    }
    if (!asks_meta) {
        return OWNER_QUIET;
    }
    bool is_get = verb == VERB_MG || verb == VERB_ME;
    bool is_failure = says(reply, "NS") || says(reply, "EX") || says(reply, "NF");
    if (is_get && says(reply, "EN")) {
        return OWNER_OLDEST; /* quiet ones do not say that */
    }
    if ((entry & ENTRY_GATHERS) != 0) {
        return OWNER_UNKNOWN;
    }
    if (!is_failure) {
        return OWNER_OLDEST; /* quiet changes say nothing else */
    }
    return is_get ? OWNER_QUIET : OWNER_UNKNOWN;
}

static enum memcached_owner owner_of(struct memcached *memcached, const struct reply *reply)
{
    bool may_be_quiet = is_meta((enum reply_kind)reply->kind) && memcached->is_behind;
    if (!memcached_is_open(memcached)) { /* errors: of what had no answer, or too many clients */
        return may_be_quiet || reply->kind == REPLY_ERROR ? OWNER_QUIET : OWNER_UNKNOWN;
    }
    if (memcached_oldest_gathers(memcached)) {
        return is_meta((enum reply_kind)reply->kind) || reply->kind == REPLY_ERROR ? OWNER_QUIET
                                                                                   : OWNER_UNKNOWN;
    }
    uint16_t entry = *memcached_entry(memcached, memcached->oldest);
    return (entry & ENTRY_BEHIND) != 0 ? owner_behind(entry, reply) : OWNER_OLDEST;
}

/* --- words --------------------------------------------------------------------------------- */

static bool ends_word(uint8_t byte)
{
    return byte == ' ' || byte == '\r' || byte == '\n';
}

/* Reads up to the end of the word; false: the buffer ends before. A longer word stays longer. */
static bool read_word(struct memcached_reader *reader, struct memcached_side *side)
{
    size_t from = reader->at, at = from;
    do {
        at = scan_below(reader->data, at, reader->end, ' ' + 1);
    } while (at < reader->end && !ends_word(reader->data[at]) && ++at < reader->end);
    size_t room = side->length < MEMCACHED_WORD_BYTES ? MEMCACHED_WORD_BYTES - side->length : 0;
    for (size_t i = 0; i < room && i < at - from; i++) {
        side->word[side->length + i] = reader->data[from + i];
    }
    side->length += (uint32_t)(at - from);
    reader->at = at;
    return at < reader->end;
}

static void begin_word(struct memcached_side *side)
{
    memset(side->word, 0, MEMCACHED_WORD_BYTES);
    side->length = 0;
    side->index += side->index < UINT8_MAX;
}

static bool word_is(const struct memcached_side *side, const char *word, size_t length)
{
    return side->length == length && memcmp(side->word, word, length) == 0;
}

/* A length of data, and false if it is none that a server would take. */
static bool take_length(struct memcached_side *side)
{
    side->left = 0;
    for (uint32_t i = 0; i < side->length && i < MEMCACHED_WORD_BYTES; i++) {
        uint8_t digit = (uint8_t)(side->word[i] - '0');
        side->left = side->left * 10 + digit;
        if (digit > 9 || side->left > MEMCACHED_VALUE_BYTES_MAX) {
            return false;
        }
    }
    return side->length > 0 && side->length <= MEMCACHED_WORD_BYTES;
}

/* --- data ---------------------------------------------------------------------------------- */

static void skip_data(struct memcached_reader *reader, struct memcached_side *side)
{
    const uint8_t *data = reader->data + reader->at;
    size_t length = reader->end - reader->at;
    if (length >= 2 && side->left <= length - 2 && data[side->left] == '\r' &&
        data[side->left + 1] == '\n') { /* as a rule all is there */
        reader->at += side->left + 2;
        side->stage = STAGE_BETWEEN;
        return;
    }
    length = length < side->left ? length : (size_t)side->left;
    reader->at += length;
    side->left -= length;
    if (side->left == 0) {
        side->stage = STAGE_DATA_CR;
    }
}

static void begin_data(struct memcached_side *side)
{
    side->stage = side->left > 0 ? STAGE_DATA : STAGE_DATA_CR;
}

/* False: it does not end where its line said. */
static bool read_data(struct memcached_reader *reader, struct memcached_side *side)
{
    if (side->stage == STAGE_DATA) {
        skip_data(reader, side);
        return true;
    }
    bool is_cr = side->stage == STAGE_DATA_CR;
    side->stage = is_cr ? STAGE_DATA_LF : STAGE_BETWEEN;
    return reader->data[reader->at++] == (is_cr ? '\r' : '\n');
}

/* --- requests ------------------------------------------------------------------------------ */

enum { STORAGE_LENGTH_AT = 4, META_LENGTH_AT = 2 };

static bool argument_complete(struct memcached *memcached)
{
    struct memcached_side *side = &memcached->request;
    uint8_t kind = verbs[memcached->verb].kind;
    uint8_t length_at = kind == LINE_STORAGE    ? STORAGE_LENGTH_AT
                        : kind == LINE_META_SET ? META_LENGTH_AT
                                                : 0;
    bool is_meta_kind = kind == LINE_META || kind == LINE_META_SET;
    if (is_meta_kind) {
        memcached->says_quiet |= side->index > 1 + (kind == LINE_META_SET) && word_is(side, "q", 1);
    } else {
        memcached->says_noreply = word_is(side, "noreply", 7);
    }
    if (length_at == 0) {
        return true;
    }
    if (side->index == 1) { /* with a longer key a server takes the data for commands */
        return side->length <= MEMCACHED_KEY_BYTES_MAX;
    }
    return side->index != length_at || take_length(side);
}

static bool verb_complete(struct memcached *memcached)
{
    struct memcached_side *side = &memcached->request;
    bool is_word = side->length <= MEMCACHED_WORD_BYTES;
    memcached->verb = (uint8_t)(is_word ? memcached_verb_find(side->word) : VERB_UNKNOWN);
    bool is_looked_at = verbs[memcached->verb].kind != LINE_RETRIEVAL;
    side->stage = is_looked_at ? STAGE_ARGUMENTS : STAGE_LINE;
    begin_word(side);
    return true;
}

static bool line_complete(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    struct memcached_side *side = &memcached->request;
    uint8_t kind = verbs[memcached->verb].kind;
    bool has_data = kind == LINE_STORAGE || kind == LINE_META_SET;
    uint8_t arguments = kind == LINE_STORAGE ? STORAGE_LENGTH_AT : META_LENGTH_AT;
    if (has_data && side->index <= arguments) {
        has_data = false; /* an error: nothing is read behind it */
    }
    side->stage = STAGE_BETWEEN;
    if (has_data) {
        begin_data(side);
    }
    bool is_paired = memcached_queue_sent(reader, (enum memcached_verb)memcached->verb,
        memcached->says_quiet, memcached->says_noreply || kind == LINE_QUIT);
    memcached_queue_settle(reader);
    return is_paired;
}

static bool read_arguments(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->request;
    if (!read_word(reader, side)) {
        return true;
    }
    if (side->length > 0) {
        if (!argument_complete(reader->memcached)) {
            return false;
        }
        begin_word(side);
    }
    bool is_end = reader->data[reader->at++] == '\n';
    return is_end ? line_complete(reader) : true;
}

static bool skip_line(struct memcached_reader *reader)
{
    const uint8_t *from = reader->data + reader->at;
    const uint8_t *end = memchr(from, '\n', reader->end - reader->at);
    reader->at = end == NULL ? reader->end : (size_t)(end + 1 - reader->data);
    return end != NULL;
}

static void begin_request(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    struct memcached_side *side = &memcached->request;
    memcached_queue_begin(reader);
    memcached->says_quiet = false;
    memcached->says_noreply = false;
    begin_word(side);
    side->index = 0;
    side->stage = STAGE_WORD;
}

bool memcached_text_request(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->request;
    switch (side->stage) {
    case STAGE_BETWEEN:
        begin_request(reader);
        __attribute__((fallthrough));
    case STAGE_WORD:
        return read_word(reader, side) ? verb_complete(reader->memcached) : true;
    case STAGE_ARGUMENTS:
        return read_arguments(reader);
    case STAGE_LINE:
        return skip_line(reader) ? line_complete(reader) : true;
    default:
        if (!read_data(reader, side)) {
            return false;
        }
        if (side->stage == STAGE_BETWEEN) {
            memcached_queue_settle(reader);
        }
        return true;
    }
}

/* --- answers, as they come ----------------------------------------------------------------- */

static uint8_t reply_find(const struct memcached_side *side)
{
    if (side->length > MEMCACHED_WORD_BYTES || side->length == 0) {
        return REPLY_COUNT;
    }
    uint8_t row = 1;
    while (row < REPLY_COUNT && memcmp(replies[row].word, side->word, MEMCACHED_WORD_BYTES) != 0) {
        row++;
    }
    bool is_number = (uint8_t)(side->word[0] - '0') <= 9; /* of incr */
    return row == REPLY_COUNT && is_number ? 0 : row;
}

static void hear(struct memcached_reader *reader, const struct reply *reply)
{
    struct memcached *memcached = reader->memcached;
    bool is_gathered = memcached_is_open(memcached) &&
                       (*memcached_entry(memcached, memcached->oldest) & ENTRY_GATHERS) != 0;
    bool is_row = says(reply, "VAL") || reply->kind == REPLY_VALUE || says(reply, "HD");
    if (memcached->owner == OWNER_OLDEST || is_gathered) {
        memcached_queue_heard(reader, is_row, reply->error);
    }
}

static bool reply_known(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    struct memcached_side *side = &memcached->answer;
    memcached->reply = reply_find(side);
    if (memcached->reply == REPLY_COUNT) {
        return false;
    }
    const struct reply *reply = &replies[memcached->reply];
    if (!memcached->has_parts) {
        memcached->owner = (uint8_t)owner_of(memcached, reply);
    }
    if (memcached->owner == OWNER_UNKNOWN) {
        return false;
    }
    hear(reader, reply);
    memcached->has_parts = reply->kind == REPLY_PART || reply->kind == REPLY_ITEM;
    bool is_long = reply->kind == REPLY_ITEM || reply->kind == REPLY_VALUE;
    side->stage = is_long ? STAGE_ARGUMENTS : STAGE_LINE;
    begin_word(side);
    return true;
}

/* The last byte of a line, or of data, was read. */
static void reply_complete(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    memcached->answer.stage = STAGE_BETWEEN;
    if (!memcached->has_parts && memcached->owner == OWNER_OLDEST) {
        memcached_queue_answered(reader);
    }
}

/* VALUE key flags length; VA length */
static bool read_item(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->answer;
    uint8_t length_at = replies[reader->memcached->reply].kind == REPLY_ITEM ? 3 : 1;
    while (reader->at < reader->end && read_word(reader, side)) {
        if (side->length > 0 && side->index == length_at && !take_length(side)) {
            return false;
        }
        if (side->length > 0) {
            begin_word(side);
        }
        if (reader->data[reader->at++] == '\n') {
            begin_data(side);
            return side->index > length_at;
        }
    }
    return true;
}

bool memcached_text_answer(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->answer;
    switch (side->stage) {
    case STAGE_BETWEEN:
        begin_word(side);
        side->index = 0;
        side->stage = STAGE_WORD;
        __attribute__((fallthrough));
    case STAGE_WORD:
        return read_word(reader, side) ? reply_known(reader) : true;
    case STAGE_ARGUMENTS:
        return read_item(reader);
    case STAGE_LINE:
        if (skip_line(reader)) {
            reply_complete(reader);
        }
        return true;
    default:
        if (!read_data(reader, side)) {
            return false;
        }
        if (side->stage == STAGE_BETWEEN) {
            reply_complete(reader);
        }
        return true;
    }
}
