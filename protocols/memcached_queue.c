/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges of memcached, and the answers that they wait for. */
#include "memcached.h"

static void tell(struct memcached_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

static void tell_number(
    struct memcached_reader *reader, uint32_t exchange, enum field field, int64_t number)
{
    tell(reader, (struct event){
                     .kind = EVENT_NUMBER, .exchange = exchange, .field = field, .number = number});
}

/* --- what is sent -------------------------------------------------------------------------- */

static void begin(struct memcached_reader *reader)
{
    tell(reader,
        (struct event){
            .kind = EVENT_BEGIN, .exchange = reader->memcached->next++, .offset = reader->at});
}

void memcached_queue_begin(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    bool is_full = memcached->next - memcached->oldest == MEMCACHED_OPEN_MAX;
    memcached->is_reading = true;
    memcached->joins = memcached->gathers || is_full || memcached->extra > 0;
    if (!memcached->joins) {
        begin(reader);
    }
}

/* What only makes the others be answered is no operation of its own. */
static bool is_barrier(enum memcached_verb verb)
{
    return verb == VERB_NOOP || verb == VERB_MN;
}

static void count(struct memcached_reader *reader, enum memcached_verb verb)
{
    struct memcached *memcached = reader->memcached;
    if (is_barrier(verb)) {
        return;
    }
    tell_number(reader, memcached->next - 1, FIELD_BATCH, ++memcached->batch);
    if (verb != memcached->batch_verb && memcached->batch_verb != VERB_MIXED) {
        memcached->batch_verb = VERB_MIXED;
        tell_number(reader, memcached->next - 1, FIELD_VERSION, VERB_MIXED);
    }
}

/* Beyond the limit; quiet ones would make it unknown whose the answers are. */
static bool join(
    struct memcached_reader *reader, enum memcached_verb verb, bool is_quiet, bool is_noreply)
{
    struct memcached *memcached = reader->memcached;
    uint16_t *entry = memcached_entry(memcached, memcached->next - 1);
    if (is_quiet || (*entry & (ENTRY_BEHIND | ENTRY_GATHERS)) != 0) {
        return false;
    }
    if (!is_noreply) {
        memcached->extra += !(*entry & ENTRY_SILENT);
        *entry &= (uint16_t)~ENTRY_SILENT;
    }
    count(reader, verb);
    return true;
}

/* A command for the exchange that gathers; one that is answered ends the gathering. */
static void gather(struct memcached_reader *reader, enum memcached_verb verb, bool is_quiet)
{
    struct memcached *memcached = reader->memcached;
    if (!is_quiet) {
        uint16_t *entry = memcached_entry(memcached, memcached->next - 1);
        *entry = (uint16_t)(verb | (*entry & ~ENTRY_VERB));
        memcached->gathers = false;
    }
    count(reader, verb);
}

static bool is_retrieval(enum memcached_verb verb)
{
    return (verb >= VERB_GET && verb <= VERB_GATS) || verb == VERB_MG;
}

static void enter(
    struct memcached_reader *reader, enum memcached_verb verb, bool is_quiet, bool is_noreply)
{
    struct memcached *memcached = reader->memcached;
    bool gathers = is_quiet && (is_retrieval(verb) || verb == VERB_MA);
    uint32_t exchange = memcached->next - 1;
    uint16_t flags = gathers ? ENTRY_GATHERS | ENTRY_BEHIND : 0;
    if ((is_quiet && !gathers) || is_noreply) {
        flags = ENTRY_SILENT;
        memcached->is_behind |= is_quiet;
    } else if (memcached->is_behind) {
        flags |= ENTRY_BEHIND;
        memcached->is_behind = false;
    }
    memcached->gathers = gathers;
    memcached->batch = 1;
    memcached->batch_verb = (uint8_t)verb;
    *memcached_entry(memcached, exchange) = (uint16_t)(verb | flags);
    if (verb != VERB_UNKNOWN) {
        tell_number(reader, exchange, FIELD_VERSION, verb);
    }
    tell(reader, (struct event){.kind = EVENT_REQUEST, .exchange = exchange});
}

bool memcached_queue_sent(
    struct memcached_reader *reader, enum memcached_verb verb, bool is_quiet, bool is_noreply)
{
    struct memcached *memcached = reader->memcached;
    memcached->is_reading = false;
    if (memcached->joins && memcached->next == memcached->oldest) {
        memcached->joins = false; /* all was answered while it was only half there */
        begin(reader);
    }
    if (!memcached->joins) {
        enter(reader, verb, is_quiet, is_noreply);
    } else if (memcached->gathers) {
        gather(reader, verb, is_quiet || is_noreply);
    } else {
        return join(reader, verb, is_quiet, is_noreply);
    }
    return true;
}

/* --- what is answered ---------------------------------------------------------------------- */

void memcached_queue_heard(struct memcached_reader *reader, bool is_row, int64_t error)
{
    struct memcached *memcached = reader->memcached;
    if (!memcached->responded) {
        tell(reader, (struct event){.kind = EVENT_RESPONSE, .exchange = memcached->oldest});
        memcached->responded = true;
    }
    memcached->rows += is_row;
    if (error != 0 && !memcached->has_code) {
        memcached->has_code = true;
        tell_number(reader, memcached->oldest, FIELD_STATUS, error);
    }
}

static void end(struct memcached_reader *reader, enum end_reason reason)
{
    struct memcached *memcached = reader->memcached;
    uint16_t entry = *memcached_entry(memcached, memcached->oldest);
    bool has_rows =
        is_retrieval((enum memcached_verb)(entry & ENTRY_VERB)) || (entry & ENTRY_GATHERS) != 0;
    if (has_rows && reason == END_COMPLETE && !memcached->has_code) {
        tell_number(reader, memcached->oldest, FIELD_ROWS, (int64_t)memcached->rows + 1);
    }
    tell(reader,
        (struct event){.kind = EVENT_END, .exchange = memcached->oldest++, .reason = reason});
    memcached->rows = 0;
    memcached->responded = false;
    memcached->has_code = false;
}

/* Is the oldest one the command whose data is still being sent? */
static bool is_being_sent(const struct memcached *memcached)
{
    return memcached->next - memcached->oldest == 1 && memcached->request.stage != STAGE_BETWEEN &&
           !memcached->is_reading;
}

void memcached_queue_settle(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    while (memcached_is_open(memcached) &&
           (*memcached_entry(memcached, memcached->oldest) & ENTRY_SILENT) != 0 &&
           !is_being_sent(memcached)) {
        end(reader, END_COMPLETE);
    }
}

void memcached_queue_answered(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    uint16_t entry = *memcached_entry(memcached, memcached->oldest);
    if (memcached->extra > 0 && memcached->next - memcached->oldest == 1) {
        memcached->extra--;
        return;
    }
    memcached->switched = (entry & ENTRY_VERB) == VERB_WATCH && !memcached->has_code;
    end(reader, memcached->switched ? END_SWITCHED : END_COMPLETE);
    memcached_queue_settle(reader);
}

/* A request of which the line is not complete was none; without answers all is over. */
void memcached_queue_finish(struct memcached_reader *reader, bool is_answers)
{
    struct memcached *memcached = reader->memcached;
    if (memcached->is_reading && !memcached->joins) {
        tell(reader, (struct event){.kind = EVENT_VOID, .exchange = --memcached->next});
    }
    memcached->is_reading = false;
    while (is_answers && memcached->oldest != memcached->next) {
        bool is_silent = (*memcached_entry(memcached, memcached->oldest) & ENTRY_SILENT) != 0;
        end(reader, is_silent              ? END_COMPLETE
                    : memcached->responded ? END_TRUNCATED
                                           : END_UNANSWERED);
    }
}
