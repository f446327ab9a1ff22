/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sql_token.h"

enum sql_word sql_word_find(const uint8_t *text, size_t length)
{
    static const struct {
        uint8_t length;
        char name[19];
    } words[WORD_COUNT] = {
#define SQL_WORD(word) [WORD_##word] = {sizeof(#word) - 1, #word},
#include "sql_words.def"
#undef SQL_WORD
    };
    char upper[sizeof(words[0].name)];
    if (length == 0 || length > sizeof(upper)) {
        return WORD_UNKNOWN;
    }
    for (size_t i = 0; i < length; i++) {
        upper[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 0x20 : text[i]);
    }
    int low = WORD_UNKNOWN + 1, high = WORD_COUNT;
    while (low < high) {
        int middle = (low + high) / 2;
        size_t shorter = length < words[middle].length ? length : words[middle].length;
        int order = upper[0] - words[middle].name[0];
        order = order != 0 ? order : memcmp(upper, words[middle].name, shorter);
        order = order != 0 ? order : (int)length - words[middle].length;
        if (order == 0) {
            return (enum sql_word)middle;
        }
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return WORD_UNKNOWN;
}
