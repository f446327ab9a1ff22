/* SPDX-License-Identifier: Apache-2.0 */
#include "substitute.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct text {
    char *bytes;
    size_t length;
};

static void append(struct text *text, const char *bytes, size_t length)
{
    text->bytes = reallocate(text->bytes, text->length + length + 1, 1);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

/* NAME, env:NAME or NAME:-default, without the braces. False: it is none of these. */
static bool substitute_one(struct text *out, const char *from, size_t length)
{
    char *reference = format_text("%.*s", (int)length, from);
    char *name = strncmp(reference, "env:", 4) == 0 ? reference + 4 : reference;
    size_t end = 0;
    while (isalnum((unsigned char)name[end]) || name[end] == '_')
        end++;
    const char *otherwise = strncmp(name + end, ":-", 2) == 0 ? name + end + 2 : NULL;
    bool good = end > 0 && !isdigit((unsigned char)*name) && (name[end] == '\0' || otherwise);
    name[end] = '\0';
    const char *value = good ? getenv(name) : NULL;
    if (value == NULL || *value == '\0')
        value = otherwise == NULL ? "" : otherwise;
    if (good)
        append(out, value, strlen(value));
    free(reference);
    return good;
}

char *substitute(const char *from)
{
    struct text out = {0};
    append(&out, "", 0);
    while (*from != '\0') {
        size_t plain = strcspn(from, "$");
        append(&out, from, plain);
        from += plain;
        if (*from == '\0')
            break;
        const char *end = from[1] == '{' ? strchr(from, '}') : from + 1;
        if (from[1] == '{' &&
            (end == NULL || !substitute_one(&out, from + 2, (size_t)(end - from) - 2))) {
            free(out.bytes);
            return NULL;
        }
        if (from[1] != '{')
            append(&out, "$", 1);
        from += from[1] == '{' ? (size_t)(end - from) + 1 : from[1] == '$' ? 2 : 1;
    }
    return out.bytes;
}

char *escape(const char *value)
{
    struct text out = {0};
    append(&out, "", 0);
    for (; *value != '\0'; value++) {
        char code[4];
        bool is_plain = isalnum((unsigned char)*value) || strchr("-._~/", *value) != NULL;
        snprintf(code, sizeof(code), "%%%02X", (unsigned char)*value);
        append(&out, is_plain ? value : code, is_plain ? 1 : 3);
    }
    return out.bytes;
}
