/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#include <stdbool.h>

static const struct form {
    uint8_t mask, lead, length;
    uint32_t least; /* smaller codes have a shorter form */
} forms[] = {
    {0x80, 0x00, 1, 0x0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

static bool acceptable(uint32_t code, uint32_t least)
{
    return code >= least && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static size_t decode(const uint8_t *bytes, const struct form *form, uint32_t *code)
{
    uint32_t value = bytes[0] & (uint8_t)~form->mask;
    for (size_t i = 1; i < form->length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (bytes[i] & 0x3f);
    }
    *code = value;
    return acceptable(value, form->least) ? form->length : 0;
}

size_t utf8_next(const char *text, uint32_t *code)
{
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((bytes[0] & forms[i].mask) == forms[i].lead)
            return decode(bytes, &forms[i], code);
    }
    return 0;
}
