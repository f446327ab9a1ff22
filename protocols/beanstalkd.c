/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beanstalkd: lines and bodies. What a connection's client sends and gets, that is: a server's side
 * is none of ours.
 *
 * A line is a word and its arguments. A put, and those answers that hand a job or a report over,
 * have as many bytes behind them as their last argument says, and one more line end. Jobs are the
 * program's bytes alone: no context can be in them.
 */
#include "beanstalkd.h"

/* --- whose it is ------------------------------------------------------------------------------ */

/* Other protocols of lines have verbs of such names: of those that may be somebody else's, the
 * answer decides. What memcached has, too (delete, touch), is left to it. */
static const struct opening {
    char command[22];
    uint8_t length;
    uint8_t argument; /* N: four numbers, T: a tube, 0: nothing of interest */
    char answer[10];
    uint8_t answer_length;
} openings[] = {
    {"put ", 4, 'N', "", 0},
    {"reserve\r\n", 9, 0, "", 0},
    {"reserve-with-timeout ", 21, 0, "", 0},
    {"reserve-job ", 12, 0, "", 0},
    {"use ", 4, 'T', "USING ", 6},
    {"watch ", 6, 'T', "WATCHING ", 9},
    {"stats\r\n", 7, 0, "OK ", 3},
    {"list-tube", 9, 0, "", 0},
    {"stats-tube ", 11, 0, "", 0},
    {"stats-job ", 10, 0, "", 0},
    {"peek-", 5, 0, "", 0},
    {"pause-tube ", 11, 0, "", 0},
    {"kick ", 5, 0, "KICKED", 6},
};

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_name(uint8_t byte)
{
    bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    return is_letter || is_digit(byte) || memchr("-+/;.$_()", byte, 9) != NULL;
}

/* The rest of the line, or what is here of it. */
static enum verdict fits(const struct prefix *prefix, uint8_t at, uint8_t kind)
{
    unsigned gaps = 0;
    uint8_t from = at;
    for (; at < prefix->length && prefix->bytes[at] != '\r'; at++) {
        uint8_t byte = prefix->bytes[at];
        bool is_gap = kind == 'N' && byte == ' ' && at > from && is_digit(prefix->bytes[at - 1]);
        gaps += is_gap;
        if (!is_gap && !(kind == 'N' ? is_digit(byte) : is_name(byte)))
            return VERDICT_NO;
    }
    bool is_whole = at < prefix->length;
    if (gaps > 3 || (is_whole && (at == from || (kind == 'N' && gaps != 3))))
        return VERDICT_NO;
    return is_whole || prefix->length == PREFIX_BYTES_MAX ? VERDICT_YES : VERDICT_MORE;
}

/* A line too long to wait for its answer is judged by what can be seen of it. */
static enum verdict open_with(
    const struct opening *opening, const struct prefix *request, const struct prefix *answer)
{
    enum verdict verdict = broker_begins(request, opening->command, opening->length);
    if (verdict == VERDICT_YES && opening->argument != 0)
        verdict = fits(request, opening->length, opening->argument);
    if (verdict != VERDICT_YES || opening->answer_length == 0)
        return answer->length == 0 || verdict == VERDICT_NO ? verdict : VERDICT_NO;
    if (answer->length == 0)
        return request->length < PREFIX_BYTES_MAX ? VERDICT_MORE : VERDICT_YES;
    return broker_begins(answer, opening->answer, opening->answer_length);
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum verdict best = VERDICT_NO;
    for (enum direction from = DIRECTION_IN; from <= DIRECTION_OUT; from++) {
        for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
            enum verdict verdict =
                prefixes[from].length == 0
                    ? VERDICT_NO
                    : open_with(&openings[i], &prefixes[from], &prefixes[direction_other(from)]);
            if (verdict == VERDICT_YES) {
                *requests = from;
                return verdict;
            }
            best = verdict == VERDICT_MORE ? verdict : best;
        }
    }
    return best;
}

static void start(void *state, enum direction requests)
{
    struct beanstalkd *beanstalkd = state;
    broker_start(state, sizeof(*beanstalkd), requests);
    beanstalkd->watched[0] = BEANSTALKD_HASH_DEFAULT;
    beanstalkd->watched_count = 1;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Is there room in the line for one byte more? */
static bool count_byte(struct broker_reader *reader)
{
    reader->at++;
    return ++beanstalkd_side_of(reader)->line_bytes <= BEANSTALKD_LINE_MAX;
}

static bool read_word(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        if (byte == ' ' || byte == '\r') {
            side->stage = STAGE_GAP;
            side->arguments = 0;
            side->is_odd = false;
            return side->word_length > 0 &&
                   (reader->direction == DIRECTION_OUT ? beanstalkd_take_verb(reader)
                                                       : beanstalkd_take_word(reader));
        }
        if (side->word_length == BEANSTALKD_WORD_MAX || byte < '-' || !count_byte(reader))
            return false;
        side->word[side->word_length++] = byte;
    }
    return true;
}

static bool read_gap(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    uint8_t byte = reader->data[reader->at];
    if (byte == ' ')
        return count_byte(reader);
    if (byte == '\r') {
        side->stage = STAGE_LF;
        return count_byte(reader);
    }
    side->stage = STAGE_ARGUMENT;
    side->arguments++;
    side->argument_length = 0;
    side->number = 0;
    side->hash = broker_hash_start;
    return true;
}

static void add_byte(struct beanstalkd_side *side, uint8_t byte)
{
    bool fits_in = is_digit(byte) && side->number < UINT64_MAX / 10 - 1;
    side->number = fits_in ? side->number * 10 + (byte - '0') : UINT64_MAX;
    side->hash = broker_hash(side->hash, byte);
}

static bool read_argument(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    size_t from = reader->at;
    for (; reader->at < reader->end; add_byte(side, reader->data[reader->at - 1])) {
        uint8_t byte = reader->data[reader->at];
        if (byte == ' ' || byte == '\r')
            break;
        if (byte == '\n' || !count_byte(reader))
            return false;
    }
    bool is_last = reader->at < reader->end;
    struct broker_piece piece = {from, reader->at, side->argument_length == 0, is_last};
    if (reader->direction == DIRECTION_OUT)
        beanstalkd_command_piece(reader, piece);
    else
        beanstalkd_answer_piece(reader, piece);
    side->argument_length += (uint8_t)(reader->at - from);
    if (!is_last)
        return true;
    side->stage = STAGE_GAP;
    side->is_odd |= side->number == UINT64_MAX;
    if (side->arguments == 1)
        side->first = side->number;
    return true;
}

static bool read_lf(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    if (reader->data[reader->at++] != '\n')
        return false;
    side->left = 0;
    bool holds = reader->direction == DIRECTION_OUT ? beanstalkd_take_command(reader)
                                                    : beanstalkd_take_answer(reader);
    side->stage = side->left > 0 ? STAGE_BODY : STAGE_WORD;
    side->word_length = side->line_bytes = 0;
    return holds;
}

static bool read_body(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    size_t length = broker_there(reader, side->left);
    reader->at += length;
    side->left -= length;
    if (side->left > 0)
        return true;
    side->stage = STAGE_WORD;
    beanstalkd_end_body(reader);
    return true;
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct beanstalkd *beanstalkd = state;
    return broker_reader_of(
        state, beanstalkd->sides, sizeof(beanstalkd->sides[0]), direction, sink);
}

static bool read_on(struct broker_reader *reader)
{
    static broker_step *const readers[] = {
        [STAGE_WORD] = read_word,
        [STAGE_GAP] = read_gap,
        [STAGE_ARGUMENT] = read_argument,
        [STAGE_LF] = read_lf,
        [STAGE_BODY] = read_body,
    };
    return readers[beanstalkd_side_of(reader)->stage](reader);
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    return broker_feed(&reader, data, length, read_on);
}

static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    struct beanstalkd_side *side = reader.side;
    if (side->stage != STAGE_BODY || length + 2 > side->left)
        return false;
    side->left -= length;
    return true;
}

/* What is not whole is none; what waits for being deleted, the caller holds. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    struct beanstalkd_side *side = reader.side;
    if (side->is_told)
        broker_tell(
            &reader, side->serial, reader.direction == DIRECTION_IN ? EVENT_END : EVENT_VOID);
    side->is_told = false;
    if (reader.direction == DIRECTION_IN)
        beanstalkd_end_all(&reader);
}

const struct protocol beanstalkd_protocol = {
    .name = "beanstalkd",
    .state_bytes = sizeof(struct beanstalkd),
    .client_only = true,
    .pulls = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .describe = beanstalkd_describe,
};
