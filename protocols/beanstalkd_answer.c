/* SPDX-License-Identifier: Apache-2.0 */
/* Beanstalkd: what a server answers, and the jobs that it hands over. */
#include "beanstalkd.h"

static const struct {
    char word[BEANSTALKD_WORD_MAX];
    uint8_t length;
    uint8_t answer;
} words[] = {
    {"INSERTED", 8, ANSWER_INSERTED},
    {"RESERVED", 8, ANSWER_RESERVED},
    {"FOUND", 5, ANSWER_FOUND},
    {"OK", 2, ANSWER_OK},
    {"BURIED", 6, ANSWER_BURIED},
    {"EXPECTED_CRLF", 13, ANSWER_EXPECTED_CRLF},
    {"JOB_TOO_BIG", 11, ANSWER_JOB_TOO_BIG},
    {"DRAINING", 8, ANSWER_DRAINING},
    {"OUT_OF_MEMORY", 13, ANSWER_OUT_OF_MEMORY},
    {"INTERNAL_ERROR", 14, ANSWER_INTERNAL_ERROR},
    {"BAD_FORMAT", 10, ANSWER_BAD_FORMAT},
    {"UNKNOWN_COMMAND", 15, ANSWER_UNKNOWN_COMMAND},
};

/* The oldest one that waits; there is one. */
static struct beanstalkd_run *oldest(struct beanstalkd *beanstalkd)
{
    return &beanstalkd->runs[0];
}

static void pop(struct beanstalkd *beanstalkd)
{
    struct beanstalkd_run *run = oldest(beanstalkd);
    beanstalkd->open -= run->verb != BEANSTALKD_OTHER;
    run->serial++;
    if (--run->count > 0)
        return;
    beanstalkd->run_count--;
    memmove(run, run + 1, beanstalkd->run_count * sizeof(*run));
}

/* An answer to nobody is no answer. */
bool beanstalkd_take_word(struct broker_reader *reader)
{
    const struct beanstalkd *beanstalkd = reader->state;
    struct beanstalkd_side *side = reader->side;
    side->meaning = ANSWER_EXPECTED;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].length == side->word_length &&
            memcmp(words[i].word, side->word, side->word_length) == 0)
            side->meaning = words[i].answer;
    return beanstalkd->run_count > 0;
}

/* The number of a job that was put, or is handed over. */
void beanstalkd_answer_piece(struct broker_reader *reader, struct broker_piece piece)
{
    const struct beanstalkd_side *side = reader->side;
    const struct beanstalkd_run *run = oldest(reader->state);
    bool is_put = side->meaning == ANSWER_INSERTED || side->meaning == ANSWER_BURIED;
    if (side->arguments == 1 && run->verb == BEANSTALKD_PUT && is_put)
        broker_tell_text(reader, run->serial, FIELD_MESSAGE, piece);
    else if (side->arguments == 1 && side->meaning == ANSWER_RESERVED)
        broker_keep(reader, beanstalkd_key(KEPT_JOB, 0), piece);
}

static void tell_job(struct broker_reader *reader, uint32_t serial)
{
    broker_recall(reader, serial, FIELD_MESSAGE, beanstalkd_key(KEPT_JOB, 0));
}

static void end(struct broker_reader *reader, const struct beanstalkd_run *run)
{
    unsigned answer = beanstalkd_side_of(reader)->meaning;
    if (answer == ANSWER_RESERVED)
        tell_job(reader, run->serial);
    else if (answer > ANSWER_EXPECTED && answer < ANSWER_INSERTED)
        broker_tell_number(reader, run->serial, FIELD_STATUS, answer);
    broker_tell(reader, run->serial, EVENT_RESPONSE);
    broker_end(reader, run->serial);
}

static void deliver(struct broker_reader *reader, uint32_t tube)
{
    struct beanstalkd_side *side = reader->side;
    side->is_told = true;
    side->serial = beanstalkd_begin(reader, MESSAGE_PROCESS, side->first);
    beanstalkd_tell_tube(reader, side->serial, tube);
    tell_job(reader, side->serial);
    broker_tell(reader, side->serial, EVENT_REQUEST);
}

/* How many arguments an answer has whose last one is the length of a body. */
static unsigned arguments_of(unsigned answer)
{
    return answer == ANSWER_OK ? 1 : answer == ANSWER_FOUND || answer == ANSWER_RESERVED ? 2 : 0;
}

bool beanstalkd_take_answer(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    struct beanstalkd *beanstalkd = reader->state;
    unsigned arguments = arguments_of(side->meaning);
    if (beanstalkd->run_count == 0 ||
        (arguments > 0 && (side->arguments != arguments || side->number > BEANSTALKD_BODY_MAX)))
        return false;
    struct beanstalkd_run *run = oldest(beanstalkd);
    bool is_reserved = side->meaning == ANSWER_RESERVED && run->verb == BEANSTALKD_RESERVE;
    if (arguments > 0)
        side->left = side->number + 2;
    if (run->verb != BEANSTALKD_OTHER)
        end(reader, run);
    uint32_t tube = run->tube;
    pop(beanstalkd);
    if (is_reserved)
        deliver(reader, tube);
    return true;
}

void beanstalkd_end_body(struct broker_reader *reader)
{
    struct beanstalkd_side *side = reader->side;
    if (reader->direction == DIRECTION_IN && side->is_told) {
        side->is_told = false;
        broker_tell(reader, side->serial, EVENT_RECEIVED);
    }
}

void beanstalkd_end_all(struct broker_reader *reader)
{
    struct beanstalkd *beanstalkd = reader->state;
    while (beanstalkd->run_count > 0) {
        const struct beanstalkd_run *run = oldest(beanstalkd);
        if (run->verb != BEANSTALKD_OTHER)
            broker_tell(reader, run->serial, EVENT_END);
        pop(beanstalkd);
    }
}
