/* SPDX-License-Identifier: Apache-2.0 */
/* Beanstalkd: what a client asks for ("Producer Commands", "Worker Commands"). */
#include "beanstalkd.h"

/* The line's first byte, if it is here. */
uint32_t beanstalkd_begin(
    struct broker_reader *reader, enum message_operation operation, uint64_t job)
{
    struct event begin = {.is_settled = operation == MESSAGE_PROCESS, .key = job};
    return broker_begin(reader, begin, operation, beanstalkd_side_of(reader)->line_bytes);
}

/* --- which tube ------------------------------------------------------------------------------- */

void beanstalkd_tell_tube(struct broker_reader *reader, uint32_t serial, uint32_t tube)
{
    if (tube == BEANSTALKD_HASH_DEFAULT)
        broker_tell_number(reader, serial, FIELD_ROWS, BEANSTALKD_DEFAULT_TUBE);
    else if (tube != 0)
        broker_recall(reader, serial, FIELD_DESTINATION, beanstalkd_key(KEPT_WATCHED, tube));
}

/* Where a job comes from that is reserved now; 0: not known. */
static uint32_t watched_tube(const struct beanstalkd *beanstalkd)
{
    bool is_one = beanstalkd->watched_count == 1 && !beanstalkd->watches_more;
    return is_one ? beanstalkd->watched[0] : 0;
}

static unsigned watched_row(const struct beanstalkd *beanstalkd, uint32_t hash)
{
    unsigned i = 0;
    while (i < beanstalkd->watched_count && beanstalkd->watched[i] != hash)
        i++;
    return i;
}

static void watch(struct broker_reader *reader)
{
    struct beanstalkd *beanstalkd = reader->state;
    uint32_t hash = beanstalkd_side_of(reader)->hash;
    if (watched_row(beanstalkd, hash) < beanstalkd->watched_count)
        return;
    if (beanstalkd->watched_count == BEANSTALKD_WATCHED_MAX) {
        beanstalkd->watches_more = true;
        return;
    }
    beanstalkd->watched[beanstalkd->watched_count++] = hash;
    broker_tell_kept(
        reader, EVENT_ALIAS, beanstalkd_key(KEPT_WATCHED, hash), beanstalkd_key(KEPT_NAME, 0));
}

/* The last one cannot be ignored. */
static void ignore(struct broker_reader *reader)
{
    struct beanstalkd *beanstalkd = reader->state;
    uint32_t hash = beanstalkd_side_of(reader)->hash;
    unsigned row = watched_row(beanstalkd, hash);
    if (row == beanstalkd->watched_count || beanstalkd->watched_count == 1)
        return;
    beanstalkd->watched[row] = beanstalkd->watched[--beanstalkd->watched_count];
    broker_tell_kept(reader, EVENT_DROP, beanstalkd_key(KEPT_WATCHED, hash), 0);
}

/* --- what waits for an answer ----------------------------------------------------------------- */

/* One more at the end of the list; false: there are too many kinds of them in turn. */
static bool push(struct beanstalkd *beanstalkd, uint8_t verb, uint32_t serial, uint32_t tube)
{
    unsigned count = beanstalkd->run_count;
    struct beanstalkd_run *last = count > 0 ? &beanstalkd->runs[count - 1] : NULL;
    bool is_told = verb != BEANSTALKD_OTHER;
    beanstalkd->open += is_told;
    if (last != NULL && last->verb == verb && last->tube == tube &&
        (!is_told || last->serial + last->count == serial)) {
        last->count++;
        return true;
    }
    if (count == BEANSTALKD_RUNS_MAX)
        return false;
    beanstalkd->runs[beanstalkd->run_count++] =
        (struct beanstalkd_run){.serial = serial, .count = 1, .verb = verb, .tube = tube};
    return true;
}

static bool push_other(struct broker_reader *reader)
{
    return push(reader->state, BEANSTALKD_OTHER, 0, 0);
}

/* Is one more to be told? */
static bool has_room(struct broker_reader *reader)
{
    const struct beanstalkd *beanstalkd = reader->state;
    if (beanstalkd->open < BEANSTALKD_OPEN_MAX)
        return true;
    broker_tell(reader, 0, EVENT_UNTOLD);
    return false;
}

/* --- commands --------------------------------------------------------------------------------- */

static const struct command {
    char word[BEANSTALKD_WORD_MAX];
    uint8_t length;
    uint8_t verb;
    uint8_t arguments;
} commands[] = {
    {"put", 3, BEANSTALKD_PUT, 4},
    {"reserve", 7, BEANSTALKD_RESERVE, 0},
    {"reserve-with-timeout", 20, BEANSTALKD_RESERVE, 1},
    {"reserve-job", 11, BEANSTALKD_RESERVE_JOB, 1},
    {"delete", 6, BEANSTALKD_DELETE, 1},
    {"release", 7, BEANSTALKD_RELEASE, 3},
    {"bury", 4, BEANSTALKD_BURY, 2},
    {"use", 3, BEANSTALKD_USE, 1},
    {"watch", 5, BEANSTALKD_WATCH, 1},
    {"ignore", 6, BEANSTALKD_IGNORE, 1},
};

/* One that we do not know has an answer as well. */
bool beanstalkd_take_verb(struct broker_reader *reader)
{
    const struct beanstalkd *beanstalkd = reader->state;
    struct beanstalkd_side *side = reader->side;
    side->meaning = BEANSTALKD_OTHER;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].length == side->word_length &&
            memcmp(commands[i].word, side->word, side->word_length) == 0)
            side->meaning = commands[i].verb;
    if (side->meaning != BEANSTALKD_PUT || !has_room(reader))
        return true;
    side->is_told = true;
    side->serial = beanstalkd_begin(reader, MESSAGE_SEND, 0);
    if (beanstalkd->uses)
        broker_recall(reader, side->serial, FIELD_DESTINATION, beanstalkd_key(KEPT_USED, 0));
    else
        beanstalkd_tell_tube(reader, side->serial, BEANSTALKD_HASH_DEFAULT);
    return true;
}

void beanstalkd_command_piece(struct broker_reader *reader, struct broker_piece piece)
{
    const struct beanstalkd_side *side = reader->side;
    if (side->arguments != 1)
        return;
    if (side->meaning == BEANSTALKD_USE)
        broker_keep(reader, beanstalkd_key(KEPT_USED, 0), piece);
    else if (side->meaning == BEANSTALKD_WATCH)
        broker_keep(reader, beanstalkd_key(KEPT_NAME, 0), piece);
}

/* put <priority> <delay> <time to run> <bytes> */
static bool put(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    if (side->arguments != 4 || side->is_odd || side->number > BEANSTALKD_BODY_MAX)
        return false;
    side->left = side->number + 2;
    if (!side->is_told)
        return push_other(reader);
    side->is_told = false;
    broker_tell(reader, side->serial, EVENT_REQUEST);
    return push(reader->state, BEANSTALKD_PUT, side->serial, 0);
}

/* Who asks for a job has what it had out of its hands. */
static bool reserve(struct broker_reader *reader, uint32_t tube)
{
    broker_tell(reader, 0, EVENT_LEAVE);
    if (!has_room(reader))
        return push_other(reader);
    uint32_t serial = beanstalkd_begin(reader, MESSAGE_RECEIVE, 0);
    beanstalkd_tell_tube(reader, serial, tube);
    broker_tell(reader, serial, EVENT_REQUEST);
    return push(reader->state, BEANSTALKD_RESERVE, serial, tube);
}

/* With its last byte: whether the job was still this client's, the answer says to nobody. */
static void settle(struct broker_reader *reader, const char *code)
{
    uint64_t job = beanstalkd_side_of(reader)->first;
    broker_settle(reader, job, job, END_COMPLETE, code);
}

/* A line that has not what it should is answered, and means nothing. */
static bool is_right(const struct beanstalkd_side *side)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].verb == side->meaning && commands[i].arguments == side->arguments)
            return true;
    return false;
}

bool beanstalkd_take_command(struct broker_reader *reader)
{
    struct beanstalkd *beanstalkd = reader->state;
    struct beanstalkd_side *side = reader->side;
    if (side->meaning == BEANSTALKD_PUT)
        return put(reader);
    if (!is_right(side))
        return push_other(reader);
    switch ((enum beanstalkd_verb)side->meaning) {
    case BEANSTALKD_RESERVE:
        return reserve(reader, watched_tube(beanstalkd));
    case BEANSTALKD_RESERVE_JOB:
        return reserve(reader, 0);
    case BEANSTALKD_DELETE:
        settle(reader, "");
        break;
    case BEANSTALKD_RELEASE:
        settle(reader, "release");
        break;
    case BEANSTALKD_BURY:
        settle(reader, "bury");
        break;
    case BEANSTALKD_USE:
        beanstalkd->uses = true;
        break;
    case BEANSTALKD_WATCH:
        watch(reader);
        break;
    case BEANSTALKD_IGNORE:
        ignore(reader);
        break;
    case BEANSTALKD_OTHER:
    case BEANSTALKD_PUT:
        break;
    }
    return push_other(reader);
}
