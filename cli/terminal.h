/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the terminal can show, and how to put texts from the network on it. Names of spans come from
 * whoever talks to the traced program, so every text goes through terminal_text before it is
 * printed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum colour_mode { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

struct terminal {
    bool colour;
    bool unicode;
    int width; /* columns, 60 to 400 */
};

/* False: not one of auto, always, never. */
bool colour_mode_parse(const char *text, enum colour_mode *mode);

/* Looks at descriptor 1 and the environment. Call setlocale(LC_CTYPE, "") before. */
void terminal_detect(struct terminal *terminal, enum colour_mode mode);

/* Copies text with everything escaped that is not a printable character: control bytes, bytes that
 * are not UTF-8, direction overrides and invisible characters. Cut with an ellipsis at columns_max
 * (-1: no limit) or when the room is used up. Answers the columns taken; out ends with a NUL. */
int terminal_text(const char *text, char *out, size_t room, int columns_max);

/* The same into a fresh string, any length. */
char *terminal_copy(const char *text);

/* Escape sequence for a colour or "" */
const char *terminal_red(const struct terminal *terminal);
const char *terminal_dim(const struct terminal *terminal);
const char *terminal_bold(const struct terminal *terminal);
const char *terminal_plain(const struct terminal *terminal);
