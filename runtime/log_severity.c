/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "json_find.h"
#include "log.h"

enum { WORD_BYTES_MAX = 32 };

static const struct {
    char word[15]; /* not a pointer, which each start of a program would have to relocate */
    uint8_t number;
} words[] = {
#define SEVERITY(word, number) {word, number},
#define SEVERITY_KEY(key)
#include "severity.def"
#undef SEVERITY
#undef SEVERITY_KEY
};

static const char keys[][15] = {
#define SEVERITY(word, number)
#define SEVERITY_KEY(key) key,
#include "severity.def"
#undef SEVERITY
#undef SEVERITY_KEY
};

/* As bunyan and pino count: 10 is trace, 60 fatal; what lies between two is a finer one. */
static uint8_t of_number(uint64_t number)
{
    static const uint8_t tens[] = {0, 1, 5, 9, 13, 17, 21};
    return number >= 10 && number < 70 ? tens[number / 10] : 0;
}

static uint8_t of_word(struct slice word)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_is(word, words[i].word))
            return words[i].number;
    return 0;
}

uint8_t log_severity(struct span_text line, struct span_text *text)
{
    struct slice value = {NULL, 0};
    uint64_t number;
    *text = (struct span_text){"", 0};
    if (line.length == 0 || line.text[0] != '{')
        return 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && value.length == 0; i++)
        value = json_find((struct slice){line.text, line.length}, keys[i]);
    bool is_number = number_parse(value, UINT32_MAX, &number);
    if (value.length > 2 && value.data[0] == '"')
        value = (struct slice){value.data + 1, value.length - 2};
    else if (!is_number)
        return 0;
    if (value.length > WORD_BYTES_MAX || memchr(value.data, '\\', value.length) != NULL)
        return 0;
    *text = (struct span_text){value.data, (uint32_t)value.length};
    return is_number ? of_number(number) : of_word(value);
}
