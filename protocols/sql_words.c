/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <string.h>

#include "sql_token.h"

enum { NAME_BYTES = 24, NAME_WORDS = NAME_BYTES / 8 };

/* Letters become capitals in all eight bytes at once; none carries into the next. */
static uint64_t upper(uint64_t word)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t low = word & each * 0x7f;
    uint64_t from_a = low + each * (0x80 - 'a'), behind_z = low + each * (0x80 - 'z' - 1);
    return word - ((from_a & ~behind_z & ~word & each * 0x80) >> 2);
}

/* Eight bytes as a number in whose order they are. */
static uint64_t word_at(const char *name, size_t i)
{
    uint64_t word;
    memcpy(&word, name + i * sizeof word, sizeof word);
    return be64toh(word);
}

static bool is_behind(const char *name, const uint64_t wanted[NAME_WORDS])
{
    size_t i = 0;
    while (i < NAME_WORDS - 1 && word_at(name, i) == wanted[i]) {
        i++; /* hardly ever */
    }
    return word_at(name, i) > wanted[i];
}

enum sql_word sql_word_find(const uint8_t *text, size_t length)
{
    static const char words[WORD_COUNT][NAME_BYTES] = {
#define SQL_WORD(word) [WORD_##word] = #word,
#include "sql_words.def"
#undef SQL_WORD
    };
    char name[NAME_BYTES] = {0};
    uint64_t wanted[NAME_WORDS];
    if (length >= sizeof name) {
        return WORD_UNKNOWN;
    }
    memcpy(name, text, length);
    for (size_t i = 0; i < NAME_WORDS; i++) {
        wanted[i] = upper(word_at(name, i));
    }
    /* words[low] is not behind it, words[high] is; the first one, of no letters, never is. */
    size_t low = WORD_UNKNOWN, high = WORD_COUNT;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (is_behind(words[middle], wanted)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    bool is_it = word_at(words[low], 0) == wanted[0] && word_at(words[low], 1) == wanted[1] &&
                 word_at(words[low], 2) == wanted[2];
    return is_it ? (enum sql_word)low : WORD_UNKNOWN;
}
