/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the binary protocol: a head of 24 bytes, and a body that nobody looks at: keys,
 * values, and what SASL exchanges. A server answers a quiet command by the opcode of the one that
 * is not quiet, so opcodes are told apart by their verbs only.
 */
#include "memcached.h"

#include <string.h>

enum { STATUS_NOT_FOUND = 1, STATUS_EXISTS = 2, STATUS_NOT_STORED = 5, STATUS_CONTINUE = 0x21 };

static const struct memcached_opcode opcodes[] = {
    [0x00] = {VERB_GET, false, 0, true, false},
    [0x01] = {VERB_SET, false, 8, true, true},
    [0x02] = {VERB_ADD, false, 8, true, true},
    [0x03] = {VERB_REPLACE, false, 8, true, true},
    [0x04] = {VERB_DELETE, false, 0, true, false},
    [0x05] = {VERB_INCR, false, 20, true, false},
    [0x06] = {VERB_DECR, false, 20, true, false},
    [0x07] = {VERB_QUIT, false, 0, false, false},
    [0x08] = {VERB_FLUSH_ALL, false, -1, false, false},
    [0x09] = {VERB_GET, true, 0, true, false},
    [0x0a] = {VERB_NOOP, false, 0, false, false},
    [0x0b] = {VERB_VERSION, false, 0, false, false},
    [0x0c] = {VERB_GET, false, 0, true, false},
    [0x0d] = {VERB_GET, true, 0, true, false},
    [0x0e] = {VERB_APPEND, false, 0, true, true},
    [0x0f] = {VERB_PREPEND, false, 0, true, true},
    [0x10] = {VERB_STATS, false, 0, true, false},
    [0x11] = {VERB_SET, true, 8, true, true},
    [0x12] = {VERB_ADD, true, 8, true, true},
    [0x13] = {VERB_REPLACE, true, 8, true, true},
    [0x14] = {VERB_DELETE, true, 0, true, false},
    [0x15] = {VERB_INCR, true, 20, true, false},
    [0x16] = {VERB_DECR, true, 20, true, false},
    [0x17] = {VERB_QUIT, true, 0, false, false},
    [0x18] = {VERB_FLUSH_ALL, true, -1, false, false},
    [0x19] = {VERB_APPEND, true, 0, true, true},
    [0x1a] = {VERB_PREPEND, true, 0, true, true},
    [0x1b] = {VERB_VERBOSITY, false, 4, false, false},
    [0x1c] = {VERB_TOUCH, false, 4, true, false},
    [0x1d] = {VERB_GAT, false, 4, true, false},
    [0x1e] = {VERB_GAT, true, 4, true, false},
    [0x20] = {VERB_SASL_MECHANISMS, false, 0, false, false},
    [0x21] = {VERB_SASL_AUTH, false, 0, true, true},
    [0x22] = {VERB_SASL_STEP, false, 0, true, true},
    [0x23] = {VERB_GAT, false, 4, true, false},
    [0x24] = {VERB_GAT, true, 4, true, false},
};

const struct memcached_opcode *memcached_opcode_at(uint8_t opcode)
{
    static const struct memcached_opcode unknown = {VERB_UNKNOWN, false, -1, true, true};
    bool is_known = opcode < sizeof opcodes / sizeof opcodes[0] && opcodes[opcode].verb != 0;
    return is_known ? &opcodes[opcode] : &unknown;
}

/* --- heads --------------------------------------------------------------------------------- */

static uint32_t number_at(const uint8_t *bytes, uint32_t count)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static bool is_whole(const uint8_t *head, uint8_t magic)
{
    return head[0] == magic && number_at(head + 2, 2) + head[4] <= number_at(head + 8, 4) &&
           number_at(head + 8, 4) <= MEMCACHED_VALUE_BYTES_MAX;
}

/* False: not all of it is there. */
static bool read_head(struct memcached_reader *reader, struct memcached_side *side)
{
    size_t length = reader->end - reader->at, wanted = MEMCACHED_HEAD_BYTES - side->length;
    length = length < wanted ? length : wanted;
    memcpy(side->word + side->length, reader->data + reader->at, length);
    side->length += (uint32_t)length;
    reader->at += length;
    if (side->length < MEMCACHED_HEAD_BYTES) {
        return false;
    }
    side->left = number_at(side->word + 8, 4);
    side->stage = side->left > 0 ? STAGE_BODY : STAGE_BETWEEN;
    return true;
}

/* True: all of it was read. */
static bool skip_body(struct memcached_reader *reader, struct memcached_side *side)
{
    size_t length = reader->end - reader->at;
    length = length < side->left ? length : (size_t)side->left;
    reader->at += length;
    side->left -= length;
    side->stage = side->left > 0 ? STAGE_BODY : STAGE_BETWEEN;
    return side->left == 0;
}

/* --- requests ------------------------------------------------------------------------------ */

static bool request_head(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->request;
    if (!read_head(reader, side)) {
        return true;
    }
    const struct memcached_opcode *opcode = memcached_opcode_at(side->word[1]);
    return is_whole(side->word, MEMCACHED_MAGIC_REQUEST) &&
           memcached_queue_sent(reader, (enum memcached_verb)opcode->verb, opcode->is_quiet, false);
}

bool memcached_binary_request(struct memcached_reader *reader)
{
    struct memcached_side *side = &reader->memcached->request;
    bool is_going_on = true;
    if (side->stage == STAGE_BETWEEN) {
        memcached_queue_begin(reader);
        side->length = 0;
        side->stage = STAGE_HEAD;
    }
    if (side->stage == STAGE_HEAD) {
        is_going_on = request_head(reader);
    } else {
        skip_body(reader, side);
    }
    if (side->stage == STAGE_BETWEEN) {
        memcached_queue_settle(reader);
    }
    return is_going_on;
}

/* --- answers ------------------------------------------------------------------------------- */

static bool is_retrieval(enum memcached_verb verb)
{
    return verb == VERB_GET || verb == VERB_GAT;
}

/* Quiet commands are answered as such. */
static enum memcached_owner owner_of(
    struct memcached *memcached, const struct memcached_opcode *opcode)
{
    bool is_open = memcached_is_open(memcached);
    uint16_t entry = is_open ? *memcached_entry(memcached, memcached->oldest) : 0;
    if (opcode->is_quiet) {
        bool may_be = is_open ? (entry & ENTRY_BEHIND) != 0 : memcached->is_behind;
        return may_be ? OWNER_QUIET : OWNER_UNKNOWN;
    }
    if (!is_open || memcached_oldest_gathers(memcached)) {
        return OWNER_UNKNOWN;
    }
    bool is_joined = memcached->batch > 1 && memcached->next - memcached->oldest == 1 &&
                     (entry & ENTRY_GATHERS) == 0; /* by any command */
    return is_joined || (entry & ENTRY_VERB) == opcode->verb ? OWNER_OLDEST : OWNER_UNKNOWN;
}

static int64_t error_of(uint32_t status)
{
    bool is_outcome = status == 0 || status == STATUS_NOT_FOUND || status == STATUS_EXISTS ||
                      status == STATUS_NOT_STORED || status == STATUS_CONTINUE;
    return is_outcome ? 0 : ERROR_BINARY + (int64_t)status;
}

static bool answer_head(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    struct memcached_side *side = &memcached->answer;
    if (!read_head(reader, side)) {
        return true;
    }
    uint32_t status = number_at(side->word + 6, 2), key_length = number_at(side->word + 2, 2);
    const struct memcached_opcode *opcode = memcached_opcode_at(side->word[1]);
    enum memcached_verb verb = (enum memcached_verb)opcode->verb;
    memcached->owner = (uint8_t)owner_of(memcached, opcode);
    if (!is_whole(side->word, MEMCACHED_MAGIC_ANSWER) || memcached->owner == OWNER_UNKNOWN) {
        return false;
    }
    bool is_gathered = memcached_is_open(memcached) &&
                       (*memcached_entry(memcached, memcached->oldest) & ENTRY_GATHERS) != 0;
    if (memcached->owner == OWNER_OLDEST || is_gathered) {
        memcached_queue_heard(reader, is_retrieval(verb) && status == 0, error_of(status));
    }
    memcached->has_parts = verb == VERB_STATS && status == 0 && key_length > 0;
    return true;
}

bool memcached_binary_answer(struct memcached_reader *reader)
{
    struct memcached *memcached = reader->memcached;
    struct memcached_side *side = &memcached->answer;
    bool is_going_on = true;
    if (side->stage == STAGE_BETWEEN) {
        side->length = 0;
        side->stage = STAGE_HEAD;
    }
    if (side->stage == STAGE_HEAD) {
        is_going_on = answer_head(reader);
    } else {
        skip_body(reader, side);
    }
    if (is_going_on && side->stage == STAGE_BETWEEN && memcached->owner == OWNER_OLDEST &&
        !memcached->has_parts) {
        memcached_queue_answered(reader);
    }
    return is_going_on;
}
