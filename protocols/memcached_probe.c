/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it memcached? By what the client sends first: a whole head of a binary message that is as its
 * opcode wants it, or a line with the arguments of its verb, ended by CRLF as clients do. Where
 * others have such lines, too (beanstalkd, Gearman), the first word of the answer decides.
 */
#include "memcached.h"

#include <string.h>

/* --- binary -------------------------------------------------------------------------------- */

static enum verdict probe_binary(const struct prefix *prefix)
{
    const uint8_t *head = prefix->bytes;
    if (head[0] != MEMCACHED_MAGIC_REQUEST) {
        return VERDICT_NO;
    }
    if (prefix->length >= 2 && memcached_opcode_at(head[1])->verb == VERB_UNKNOWN) {
        return VERDICT_NO;
    }
    if (prefix->length < MEMCACHED_HEAD_BYTES) {
        return prefix->length >= 6 && head[5] != 0 ? VERDICT_NO : VERDICT_MORE;
    }
    const struct memcached_opcode *opcode = memcached_opcode_at(head[1]);
    uint32_t key = (uint32_t)head[2] << 8 | head[3], extras = head[4];
    uint32_t body =
        (uint32_t)head[8] << 24 | (uint32_t)head[9] << 16 | (uint32_t)head[10] << 8 | head[11];
    bool has_extras =
        opcode->extras < 0 ? extras == 0 || extras == 4 : extras == (uint32_t)opcode->extras;
    bool has_key = opcode->verb == VERB_STATS || (key > 0) == opcode->has_key;
    bool has_value = opcode->has_value ? body >= key + extras : body == key + extras;
    return has_extras && has_key && has_value && key <= MEMCACHED_KEY_BYTES_MAX && head[5] == 0 &&
                   body <= MEMCACHED_VALUE_BYTES_MAX
               ? VERDICT_YES
               : VERDICT_NO;
}

/* --- lines --------------------------------------------------------------------------------- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Is the word what a letter of a shape says? */
static bool fits(char letter, const uint8_t *word, size_t length)
{
    bool is_number = true;
    for (size_t i = letter == 'i' && word[0] == '-'; i < length; i++) {
        if (word[i] <= ' ' || word[i] == 0x7f) {
            return false;
        }
        is_number &= is_digit(word[i]);
    }
    bool wants_number = letter == 'n' || letter == 'i';
    return letter == 'k' || is_number == wants_number;
}

/* The letter for the next argument; 0: there may be none. */
static char next_letter(const char **shape, char letter)
{
    switch (**shape) {
    case '+':
        return letter;
    case '*':
        return 'k';
    case '?':
        ++*shape;
        return 'k';
    case 0:
        return 0;
    default:
        return *(*shape)++;
    }
}

static size_t word_end(const struct prefix *prefix, size_t at)
{
    while (at < prefix->length && prefix->bytes[at] != ' ' && prefix->bytes[at] != '\r' &&
           prefix->bytes[at] != '\n') {
        at++;
    }
    return at;
}

/* YES: a whole line, or as much of one as a prefix holds, has the arguments of a shape. */
static enum verdict match(const struct prefix *prefix, size_t at, const char *shape)
{
    const uint8_t *bytes = prefix->bytes;
    enum verdict at_end = prefix->length == PREFIX_BYTES_MAX ? VERDICT_YES : VERDICT_MORE;
    char letter = 0;
    while (at < prefix->length && bytes[at] == ' ') {
        size_t from = at + 1;
        at = word_end(prefix, from);
        bool is_cut = at == prefix->length;
        if (at == from) { /* a space before the end of the line: libmemcached */
            break;
        }
        letter = next_letter(&shape, letter);
        if (letter == 0 || !fits(is_cut && letter == 'w' ? 'k' : letter, bytes + from, at - from)) {
            return VERDICT_NO;
        }
    }
    if (at == prefix->length) {
        return at_end;
    }
    bool is_whole = *shape == 0 || *shape == '+' || *shape == '*' || *shape == '?';
    if (!is_whole || bytes[at] != '\r') {
        return VERDICT_NO;
    }
    return at + 1 == prefix->length ? at_end : bytes[at + 1] == '\n' ? VERDICT_YES : VERDICT_NO;
}

/* Lines that others know, too, and what memcached answers. */
static const struct {
    enum memcached_verb verb;
    uint8_t length;
    char word[9];
} common[] = {
    {VERB_MN, 4, "MN\r\n"},
    {VERB_ME, 3, "ME "},
    {VERB_VERSION, 8, "VERSION "},
    {VERB_STATS, 5, "STAT "},
};

enum { COMMON_COUNT = sizeof common / sizeof common[0] };

static enum verdict confirm(size_t row, const struct prefix *answer)
{
    size_t have = answer->length < common[row].length ? answer->length : common[row].length;
    if (memcmp(answer->bytes, common[row].word, have) != 0) {
        return VERDICT_NO;
    }
    return have == common[row].length ? VERDICT_YES : VERDICT_MORE;
}

static enum verdict probe_verb(
    enum memcached_verb verb, const struct prefix *request, const struct prefix *answer)
{
    const struct memcached_verb_row *row = memcached_verb_at(verb);
    size_t have = request->length < row->length ? request->length : row->length, i = 0;
    if (row->shape[0] == '-' || request->bytes[0] != (uint8_t)row->name[0] ||
        memcmp(request->bytes, row->name, have) != 0) {
        return VERDICT_NO;
    }
    enum verdict verdict =
        have < row->length ? VERDICT_MORE : match(request, row->length, row->shape);
    while (i < COMMON_COUNT && common[i].verb != verb) {
        i++;
    }
    if (i < COMMON_COUNT && verdict == VERDICT_YES) {
        return confirm(i, answer);
    }
    return answer->length == 0 ? verdict : VERDICT_NO;
}

static enum verdict probe_from(const struct prefix *request, const struct prefix *answer)
{
    enum verdict best = answer->length == 0 ? probe_binary(request) : VERDICT_NO;
    for (int verb = VERB_UNKNOWN + 1; best != VERDICT_YES && verb < VERB_MIXED; verb++) {
        enum verdict verdict = probe_verb((enum memcached_verb)verb, request, answer);
        best = verdict == VERDICT_NO ? best : verdict;
    }
    return best;
}

/* The client speaks first. */
enum verdict memcached_probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum verdict best = VERDICT_NO;
    for (int i = 0; i < 2; i++) {
        enum direction from = i == 0 ? DIRECTION_OUT : DIRECTION_IN;
        if (prefixes[from].length == 0) {
            continue;
        }
        enum verdict verdict = probe_from(&prefixes[from], &prefixes[direction_other(from)]);
        if (verdict == VERDICT_YES) {
            *requests = from;
            return VERDICT_YES;
        }
        best = verdict == VERDICT_MORE ? VERDICT_MORE : best;
    }
    return best;
}
