/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gearman: packets. What a client or a worker sends and gets, that is, which may be one connection;
 * a server's side is none of ours.
 *
 * A packet is a header ("Binary Packet") and arguments with a zero between them. Those that matter
 * are the first two: a job's handle, the function's name. The data behind them are the
 * application's own bytes: no context can be in them.
 */
#include "gearman.h"

enum meaning { IGNORED, SUBMITS, GRABS, WORKED, CREATED, ASSIGNS, DONE, FAILS };

static const uint8_t magics[2][4] = {{0, 'R', 'E', 'S'}, {0, 'R', 'E', 'Q'}};

/* What a type means that a client sends, and that it gets. */
static const uint8_t meanings[2][GEARMAN_TYPE_MAX + 1] = {
    [DIRECTION_IN] = {[GEARMAN_JOB_CREATED] = CREATED,
        [GEARMAN_JOB_ASSIGN] = ASSIGNS,
        [GEARMAN_JOB_ASSIGN_UNIQ] = ASSIGNS,
        [GEARMAN_JOB_ASSIGN_ALL] = ASSIGNS,
        [GEARMAN_WORK_COMPLETE] = DONE,
        [GEARMAN_WORK_FAIL] = DONE,
        [GEARMAN_WORK_EXCEPTION] = DONE,
        [GEARMAN_ERROR] = FAILS},
    [DIRECTION_OUT] = {[GEARMAN_SUBMIT_JOB] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_BG] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_HIGH] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_HIGH_BG] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_LOW] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_LOW_BG] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_SCHED] = SUBMITS,
        [GEARMAN_SUBMIT_JOB_EPOCH] = SUBMITS,
        [GEARMAN_SUBMIT_REDUCE_JOB] = SUBMITS,
        [GEARMAN_SUBMIT_REDUCE_JOB_BG] = SUBMITS,
        [GEARMAN_GRAB_JOB] = GRABS,
        [GEARMAN_GRAB_JOB_UNIQ] = GRABS,
        [GEARMAN_GRAB_JOB_ALL] = GRABS,
        [GEARMAN_WORK_COMPLETE] = WORKED,
        [GEARMAN_WORK_FAIL] = WORKED,
        [GEARMAN_WORK_EXCEPTION] = WORKED},
};

static bool is_background(uint8_t type)
{
    return type != GEARMAN_SUBMIT_JOB && type != GEARMAN_SUBMIT_JOB_HIGH &&
           type != GEARMAN_SUBMIT_JOB_LOW && type != GEARMAN_SUBMIT_REDUCE_JOB;
}

/* The client speaks first. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    static const uint8_t start[] = {0, 'R', 'E', 'Q', 0, 0, 0};
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++) {
        const struct prefix *prefix = &prefixes[side];
        size_t length = prefix->length < sizeof(start) ? prefix->length : sizeof(start);
        if (length == 0)
            continue;
        if (memcmp(prefix->bytes, start, length) != 0 || prefixes[direction_other(side)].length > 0)
            return VERDICT_NO;
        *requests = side;
        if (prefix->length <= sizeof(start))
            return VERDICT_MORE;
        uint8_t type = prefix->bytes[sizeof(start)];
        return type > 0 && type <= GEARMAN_TYPE_MAX ? VERDICT_YES : VERDICT_NO;
    }
    return VERDICT_MORE;
}

static void start(void *state, enum direction requests)
{
    broker_start(state, sizeof(struct gearman), requests);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void begin(
    struct broker_reader *reader, enum message_operation operation, uint64_t key, size_t before)
{
    struct gearman_side *side = reader->side;
    struct event begin = {.is_settled = operation == MESSAGE_PROCESS, .key = key};
    side->is_told = true;
    side->serial = broker_begin(reader, begin, operation, before);
}

static void end(struct broker_reader *reader, uint32_t serial)
{
    broker_tell(reader, serial, EVENT_RESPONSE);
    broker_end(reader, serial);
}

/* --- what waits ------------------------------------------------------------------------------- */

static bool push(struct gearman *gearman, uint32_t serial, bool in_background)
{
    unsigned count = gearman->run_count;
    struct gearman_run *last = count > 0 ? &gearman->runs[count - 1] : NULL;
    gearman->open++;
    if (last != NULL && last->is_background == in_background &&
        last->serial + last->count == serial) {
        last->count++;
        return true;
    }
    if (count == GEARMAN_RUNS_MAX)
        return false;
    gearman->runs[gearman->run_count++] = (struct gearman_run){serial, 1, in_background};
    return true;
}

static void pop(struct gearman *gearman)
{
    struct gearman_run *run = &gearman->runs[0];
    gearman->open--;
    run->serial++;
    if (--run->count == 0) {
        gearman->run_count--;
        memmove(run, run + 1, gearman->run_count * sizeof(*run));
    }
}

/* It has its handle: a job in the background is submitted, another one waits for its result. */
static void created(struct broker_reader *reader)
{
    const struct gearman_side *side = reader->side;
    struct gearman *gearman = reader->state;
    struct gearman_run run = gearman->runs[0];
    if (gearman->run_count == 0)
        return;
    pop(gearman);
    if (run.is_background || gearman->waiting_count == GEARMAN_WAITING_MAX)
        end(reader, run.serial);
    else
        gearman->waiting[gearman->waiting_count++] =
            (struct gearman_waiting){side->hash, run.serial};
}

static void done(struct broker_reader *reader)
{
    const struct gearman_side *side = reader->side;
    struct gearman *gearman = reader->state;
    unsigned i = 0;
    while (i < gearman->waiting_count && gearman->waiting[i].handle != side->hash)
        i++;
    if (i == gearman->waiting_count)
        return;
    uint32_t serial = gearman->waiting[i].serial;
    gearman->waiting[i] = gearman->waiting[--gearman->waiting_count];
    if (side->type != GEARMAN_WORK_COMPLETE)
        broker_tell_number(reader, serial, FIELD_STATUS, side->type);
    end(reader, serial);
}

/* --- packets ---------------------------------------------------------------------------------- */

static void settle(struct broker_reader *reader)
{
    const struct gearman_side *side = reader->side;
    const char *code = side->type == GEARMAN_WORK_COMPLETE ? NULL
                       : side->type == GEARMAN_WORK_FAIL   ? "WORK_FAIL"
                                                           : "WORK_EXCEPTION";
    broker_settle(reader, side->hash, side->hash, END_COMPLETE, code);
}

/* False: there is no room for another job. */
static bool begin_packet(struct broker_reader *reader)
{
    const struct gearman *gearman = reader->state;
    struct gearman_side *side = reader->side;
    side->argument = 0;
    side->is_inside = side->is_told = side->is_requested = false;
    side->hash = broker_hash_start;
    if (side->meaning == GRABS)
        broker_tell(reader, 0, EVENT_LEAVE);
    else if (side->meaning == SUBMITS && gearman->open >= GEARMAN_OPEN_MAX)
        return false;
    else if (side->meaning == SUBMITS)
        begin(reader, MESSAGE_SEND, 0, GEARMAN_HEADER_BYTES);
    return true;
}

/* The first argument of a job that is assigned is its handle, the second the function's name. */
static void begin_job(struct broker_reader *reader)
{
    const struct gearman_side *side = reader->side;
    begin(reader, MESSAGE_PROCESS, side->hash, 0);
    broker_recall(reader, side->serial, FIELD_MESSAGE, 0);
}

/* The name is known, and with it all that is told before the data. */
static bool request(struct broker_reader *reader)
{
    struct gearman_side *side = reader->side;
    if (!side->is_told || side->is_requested)
        return true;
    side->is_requested = true;
    broker_tell(reader, side->serial, EVENT_REQUEST);
    return side->meaning != SUBMITS || push(reader->state, side->serial, is_background(side->type));
}

/* A server that answers with an error to a job that was submitted has not taken it. */
static void take_piece(struct broker_reader *reader, size_t from, bool is_last)
{
    struct gearman_side *side = reader->side;
    const struct gearman *gearman = reader->state;
    bool is_handle = side->argument == 0 && side->meaning >= WORKED && side->meaning <= DONE;
    bool answers = side->meaning == CREATED || side->meaning == FAILS;
    struct broker_piece piece = {from, reader->at, !side->is_inside, is_last};
    for (size_t i = from; is_handle && i < reader->at; i++)
        side->hash = broker_hash(side->hash, reader->data[i]);
    if (reader->at == from && !side->is_inside)
        return; /* there is nothing of it, or not yet */
    if (answers && !side->is_inside) {
        side->is_answer = gearman->run_count > 0;
        side->serial = gearman->runs[0].serial;
    }
    if (side->is_told && side->argument == (side->meaning == SUBMITS ? 0 : 1))
        broker_tell_text(reader, side->serial, FIELD_DESTINATION, piece);
    else if (side->meaning == ASSIGNS && is_handle)
        broker_keep(reader, 0, piece);
    else if (answers && side->is_answer && side->argument == 0)
        broker_tell_text(
            reader, side->serial, side->meaning == FAILS ? FIELD_CODE : FIELD_MESSAGE, piece);
    side->is_inside = true;
}

static bool end_argument(struct broker_reader *reader)
{
    struct gearman_side *side = reader->side;
    bool is_name = side->argument == (side->meaning == SUBMITS ? 0 : 1);
    side->is_inside = false;
    if (side->meaning == ASSIGNS && side->argument == 0)
        begin_job(reader);
    side->argument++;
    return !is_name || request(reader);
}

static bool end_packet(struct broker_reader *reader)
{
    struct gearman *gearman = reader->state;
    struct gearman_side *side = reader->side;
    bool holds = side->argument > 1 || end_argument(reader);
    side->got = 0;
    switch ((enum meaning)side->meaning) {
    case WORKED:
        settle(reader);
        break;
    case CREATED:
        created(reader);
        break;
    case DONE:
        done(reader);
        break;
    case FAILS:
        if (gearman->run_count > 0) {
            end(reader, gearman->runs[0].serial);
            pop(gearman);
        }
        break;
    case ASSIGNS:
        if (side->is_told && !request(reader))
            return false;
        broker_tell(reader, side->serial, EVENT_RECEIVED);
        break;
    case IGNORED:
    case SUBMITS:
    case GRABS:
        break;
    }
    side->is_told = false;
    return holds;
}

static bool read_header(struct broker_reader *reader)
{
    struct gearman_side *side = reader->side;
    const uint8_t *header = side->header;
    while (side->got < GEARMAN_HEADER_BYTES && reader->at < reader->end)
        side->header[side->got++] = reader->data[reader->at++];
    if (side->got < GEARMAN_HEADER_BYTES)
        return true;
    side->left = (uint32_t)header[8] << 24 | (uint32_t)header[9] << 16 | (uint32_t)header[10] << 8 |
                 header[11];
    bool is_known = (header[4] | header[5] | header[6]) == 0 && header[7] <= GEARMAN_TYPE_MAX;
    if (memcmp(header, magics[reader->direction], sizeof(magics[0])) != 0 ||
        side->left > GEARMAN_BODY_MAX)
        return false;
    side->type = is_known ? header[7] : 0;
    side->meaning = meanings[reader->direction][side->type];
    return begin_packet(reader) && (side->left > 0 || end_packet(reader));
}

/* Up to the zero behind an argument, or to the end of the packet. */
static bool read_argument(struct broker_reader *reader, size_t end)
{
    struct gearman_side *side = reader->side;
    const uint8_t *from = reader->data + reader->at;
    const uint8_t *zero = memchr(from, 0, end - reader->at);
    size_t start = reader->at;
    reader->at = zero != NULL ? (size_t)(zero - reader->data) : end;
    side->left -= (uint32_t)(reader->at - start);
    take_piece(reader, start, zero != NULL || side->left == 0);
    if (zero == NULL)
        return true;
    bool holds = end_argument(reader);
    reader->at++;
    side->left--;
    return holds;
}

static bool read_body(struct broker_reader *reader)
{
    struct gearman_side *side = reader->side;
    size_t end = reader->at + broker_there(reader, side->left);
    if (side->argument <= 1 && side->meaning != IGNORED) {
        if (!read_argument(reader, end))
            return false;
    } else {
        side->left -= (uint32_t)(end - reader->at);
        reader->at = end;
    }
    return side->left > 0 || end_packet(reader);
}

static bool read_on(struct broker_reader *reader)
{
    const struct gearman_side *side = reader->side;
    return side->got < GEARMAN_HEADER_BYTES ? read_header(reader) : read_body(reader);
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct gearman *gearman = state;
    return broker_reader_of(state, gearman->sides, sizeof(gearman->sides[0]), direction, sink);
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    return broker_feed(&reader, data, length, read_on);
}

/* Only data may pass unseen, but for the last byte. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    struct gearman_side *side = reader.side;
    if (side->got < GEARMAN_HEADER_BYTES || length >= side->left ||
        (side->argument <= 1 && side->meaning != IGNORED))
        return false;
    side->left -= (uint32_t)length;
    return true;
}

/* What is not whole is none; what waits for its worker's answer, the caller holds. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct gearman *gearman = state;
    struct broker_reader reader = reader_of(gearman, direction, sink);
    struct gearman_side *side = reader.side;
    bool is_sent = reader.direction == DIRECTION_OUT && side->is_requested;
    if (side->is_told && !is_sent)
        broker_tell(&reader, side->serial, side->is_requested ? EVENT_END : EVENT_VOID);
    side->is_told = side->is_answer = false;
    if (reader.direction == DIRECTION_OUT)
        return;
    for (; gearman->run_count > 0; pop(gearman))
        broker_tell(&reader, gearman->runs[0].serial, EVENT_END);
    while (gearman->waiting_count > 0)
        broker_tell(&reader, gearman->waiting[--gearman->waiting_count].serial, EVENT_END);
}

const struct protocol gearman_protocol = {
    .name = "gearman",
    .state_bytes = sizeof(struct gearman),
    .client_only = true,
    .pulls = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .describe = gearman_describe,
};
