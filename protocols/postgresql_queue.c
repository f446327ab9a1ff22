/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which exchange an answer belongs to. Answers come in the order of the messages that they answer,
 * so the queue of units and the number of exchanges of each say it.
 *
 * After an error the server passes over everything up to the next Sync; exchanges of that unit
 * behind the one that failed were never statements to it, and are taken back. A statement that is
 * the last of its unit ends with the unit, since the commit that a Sync or the end of a Query means
 * may fail.
 */
#include "postgresql.h"

#include <string.h>

static struct pg_run *newest(struct pg *pg)
{
    return &pg->runs[pg->run_count - 1];
}

/* The oldest unit, of which answers come, has no Sync yet. */
static bool is_oldest_open(const struct pg *pg)
{
    return pg->is_open && !pg->tail_open && pg->run_count == 1 && pg->runs[0].units == 1;
}

static void untold(struct pg_reader *reader)
{
    pg_tell(reader, (struct event){.kind = EVENT_UNTOLD});
}

/* --- what is sent -------------------------------------------------------------------------- */

static void open_unit(struct pg *pg)
{
    if (pg->is_open) {
        return;
    }
    pg->is_open = true;
    pg->tail_open = pg->tail > 0 || pg->run_count == PG_RUNS_MAX;
    if (!pg->tail_open) {
        pg->runs[pg->run_count++] = (struct pg_run){.units = 1};
    }
}

static void close_unit(struct pg *pg, bool by_query)
{
    pg->is_open = false;
    pg->ends_by_query = by_query;
    if (pg->tail_open) {
        pg->tail_open = false;
        pg->tail++;
        return;
    }
    struct pg_run *run = newest(pg);
    if (pg->run_count > 1 && run[-1].told == run->told && run[-1].is_more == run->is_more) {
        run[-1].units++;
        pg->run_count--;
    }
}

bool pg_queue_passes_over(const struct pg *pg)
{
    return pg->is_failed && is_oldest_open(pg);
}

static int64_t kind_number(const struct pg *pg, enum pg_kind kind)
{
    return kind + (pg->escapes ? PG_ESCAPES : 0);
}

/* It is another one than it was when it began. */
static void tell_kind(struct pg_reader *reader, enum pg_kind kind)
{
    pg_tell(reader, (struct event){.kind = EVENT_NUMBER,
                        .exchange = reader->pg->next - 1,
                        .field = FIELD_VERSION,
                        .number = kind_number(reader->pg, kind)});
}

/* An exchange of the unit that is open begins; false: it is not told. */
static bool begin(struct pg_reader *reader, enum pg_kind kind)
{
    struct pg *pg = reader->pg;
    bool is_full = pg->next - pg->oldest >= PG_OPEN_MAX;
    if (pg->tail_open || newest(pg)->is_more || is_full) {
        if (!pg->tail_open) {
            newest(pg)->is_more = true;
        }
        untold(reader);
        return false;
    }
    newest(pg)->told++;
    pg->is_reading = true;
    size_t offset = reader->head == SIZE_MAX ? 0 : reader->head;
    pg_tell(reader, (struct event){.kind = EVENT_BEGIN,
                        .exchange = pg->next++,
                        .offset = offset,
                        .number = kind_number(pg, kind)});
    return true;
}

static void request(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    uint32_t exchange = pg->next - 1;
    pg_tell(reader, (struct event){.kind = EVENT_RECALL,
                        .exchange = exchange,
                        .field = FIELD_NAMESPACE,
                        .key = PG_KEY_NAMESPACE});
    pg_tell(reader, (struct event){.kind = EVENT_REQUEST, .exchange = exchange});
    pg->is_reading = false;
}

static void recall(struct pg_reader *reader, uint64_t key, bool has_own)
{
    pg_tell(reader, (struct event){.kind = EVENT_RECALL,
                        .exchange = reader->pg->next - 1,
                        .field = FIELD_QUERY,
                        .has_own = has_own,
                        .key = key});
}

/* A Query ends what was sent of a unit before it, and a Parse there was for nothing. */
void pg_queue_query(struct pg_reader *reader, enum pg_kind kind)
{
    struct pg *pg = reader->pg;
    open_unit(pg);
    pg->is_reading = pg->is_candidate;
    pg->is_candidate = false;
    if (pg->is_reading) {
        tell_kind(reader, kind);
    } else {
        begin(reader, kind);
    }
}

void pg_queue_query_end(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (pg->is_reading) {
        request(reader);
    }
    close_unit(pg, true);
}

void pg_queue_extended(struct pg_reader *reader)
{
    open_unit(reader->pg);
}

void pg_queue_parse(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    open_unit(pg);
    pg->binds_candidate = false;
    if (pg->is_candidate) {
        pg->candidate = PG_KEY_NONE; /* which of the two fails is not known */
    } else {
        pg->is_candidate = begin(reader, PG_PREPARE);
    }
}

void pg_queue_parse_end(struct pg_reader *reader, uint64_t key)
{
    struct pg *pg = reader->pg;
    if (pg->is_reading) {
        pg->candidate = key;
        request(reader);
    }
}

void pg_queue_execute(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    open_unit(pg);
    if (!pg->is_candidate) {
        begin(reader, PG_STATEMENT);
    }
}

void pg_queue_execute_end(struct pg_reader *reader, uint64_t portal)
{
    struct pg *pg = reader->pg;
    if (!pg->is_reading && !pg->is_candidate) {
        return;
    }
    recall(reader, portal, pg->is_candidate && pg->binds_candidate && portal == pg->portal);
    if (pg->is_reading) {
        request(reader);
    } else {
        tell_kind(reader, PG_STATEMENT);
    }
    pg->is_candidate = false;
}

/* No Execute follows the Parse. */
static void settle(struct pg_reader *reader)
{
    if (reader->pg->is_candidate) {
        recall(reader, reader->pg->candidate, true);
    }
    reader->pg->is_candidate = false;
}

void pg_queue_sync(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (pg->is_copying) {
        return; /* "Flush and Sync messages received during copy-in mode" are ignored */
    }
    open_unit(pg);
    settle(reader);
    close_unit(pg, false);
}

void pg_queue_finish_requests(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (pg->is_reading) {
        pg->is_reading = pg->is_candidate = false;
        newest(pg)->told--;
        pg_tell(reader, (struct event){.kind = EVENT_VOID, .exchange = --pg->next});
    }
}

/* --- what is answered ---------------------------------------------------------------------- */

bool pg_queue_has_answerable(const struct pg *pg)
{
    return pg->run_count > 0 || pg->tail > 0 || pg->tail_open;
}

/* Is there an exchange that the answer being read belongs to? */
static bool has_oldest(const struct pg *pg)
{
    uint32_t begun = pg->next - pg->is_reading;
    return pg->run_count > 0 && pg->done < pg->runs[0].told && pg->oldest != begun;
}

static void next_oldest(struct pg *pg)
{
    pg->oldest++;
    pg->done++;
    pg->rows = 0;
    pg->has_rows = pg->is_held = pg->responded = false;
}

static void end(struct pg_reader *reader, enum end_reason reason)
{
    struct pg *pg = reader->pg;
    bool returns_rows = pg->rows > 0 || pg->has_rows;
    pg_tell(reader, (struct event){.kind = EVENT_END,
                        .exchange = pg->oldest,
                        .reason = reason,
                        .number = returns_rows ? (int64_t)pg->rows + 1 : 0}); /* see database.h */
    next_oldest(pg);
}

/* What is left of the oldest unit was no statement, or is passed over. One that is just being sent
 * stays until it is known to be one. */
static void take_back(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    while (has_oldest(pg)) {
        pg_tell(reader, (struct event){.kind = EVENT_VOID, .exchange = pg->oldest});
        next_oldest(pg);
    }
}

void pg_queue_respond(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (has_oldest(pg) && !pg->responded) {
        pg->responded = true;
        pg_tell(reader, (struct event){.kind = EVENT_RESPONSE, .exchange = pg->oldest});
    }
}

void pg_queue_rows(struct pg_reader *reader, uint64_t rows)
{
    bool has = has_oldest(reader->pg);
    reader->pg->rows += has ? rows : 0;
    reader->pg->has_rows |= has;
}

void pg_queue_complete(struct pg_reader *reader, bool has_rows)
{
    struct pg *pg = reader->pg;
    if (!has_oldest(pg) || pg->is_failed) {
        return;
    }
    pg->has_rows |= has_rows;
    bool is_last = !is_oldest_open(pg) && !pg->runs[0].is_more && pg->done + 1 == pg->runs[0].told;
    if (is_last) {
        pg->is_held = true;
    } else {
        end(reader, END_COMPLETE);
    }
}

/* It was answered before an Execute was sent: that one will be an exchange of its own. */
void pg_queue_parsed(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (pg->is_candidate && is_oldest_open(pg) && has_oldest(pg) && pg->oldest == pg->next - 1) {
        pg->is_candidate = false;
        take_back(reader);
    }
}

/* The candidate's text is told when it is known to be needed. */
bool pg_queue_failing(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    pg->is_copying = false;
    if (pg->is_failed || !has_oldest(pg)) {
        return false;
    }
    if (pg->is_candidate && is_oldest_open(pg) && pg->oldest == pg->next - 1) {
        settle(reader);
    }
    return true;
}

void pg_queue_failed(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (pg->run_count == 0 || pg->is_failed) {
        return; /* of no statement: the server ends the session */
    }
    if (has_oldest(pg)) {
        end(reader, END_COMPLETE);
    } else if (!pg->runs[0].is_more) {
        untold(reader);
    }
    pg->is_failed = true;
    take_back(reader);
    if (is_oldest_open(pg) && !pg->is_reading) {
        pg->is_candidate = false;
    }
}

/* A Sync that was sent right behind the Execute of a COPY is ignored: the unit is open again. */
bool pg_queue_copy_in(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    bool is_alone = pg->run_count == 1 && pg->runs[0].units == 1 && pg->tail == 0;
    pg->is_copying = true;
    if (is_alone && !pg->is_open && !pg->ends_by_query) {
        pg->is_open = true;
    }
    return is_alone && !pg->tail_open;
}

/* The unit is over. */
bool pg_queue_ready(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    pg->is_copying = false;
    pg->is_ready = true;
    if (pg->run_count == 0) {
        return pg->tail > 0 && pg->tail-- > 0;
    }
    if (is_oldest_open(pg)) {
        return false;
    }
    if (pg->is_held) {
        end(reader, END_COMPLETE);
    }
    take_back(reader);
    pg->done = 0;
    pg->is_failed = false;
    if (--pg->runs[0].units == 0) {
        memmove(pg->runs, pg->runs + 1, --pg->run_count * sizeof(pg->runs[0]));
    }
    return true;
}

void pg_queue_finish(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    pg_queue_finish_requests(reader);
    if (pg->is_candidate) {
        pg->is_candidate = false;
        pg_tell(reader, (struct event){.kind = EVENT_VOID, .exchange = --pg->next});
    }
    if (pg->is_held) {
        end(reader, END_COMPLETE);
    }
    while (pg->oldest != pg->next) {
        end(reader, pg->responded ? END_TRUNCATED : END_UNANSWERED);
    }
    pg->run_count = 0;
}
