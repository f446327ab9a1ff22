/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <langinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"
#include "utf8.h"

enum { WIDTH_DEFAULT = 100, WIDTH_MIN = 60, WIDTH_MAX = 400, ESCAPE_BYTES_MAX = 16 };

static const char *const colour_names[] = {
    [COLOUR_AUTO] = "auto", [COLOUR_ALWAYS] = "always", [COLOUR_NEVER] = "never"};

bool colour_mode_parse(const char *text, enum colour_mode *mode)
{
    for (size_t i = 0; i < sizeof colour_names / sizeof colour_names[0]; i++) {
        if (strcmp(text, colour_names[i]) == 0) {
            *mode = (enum colour_mode)i;
            return true;
        }
    }
    return false;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

static bool wants_colour(enum colour_mode mode)
{
    if (mode != COLOUR_AUTO)
        return mode == COLOUR_ALWAYS;
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && !is_set("NO_COLOR") && kind && strcmp(kind, "dumb") != 0;
}

static int columns_wanted(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int width = columns ? atoi(columns) : 0;
    return width > 0 ? width : WIDTH_DEFAULT;
}

static bool unicode_locale(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_detect(struct terminal *terminal, enum colour_mode mode)
{
    int width = columns_wanted();
    terminal->colour = wants_colour(mode);
    terminal->unicode = unicode_locale();
    terminal->width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

/* Characters that wcwidth takes for harmless but that hide or reorder what stands around them. */
static bool deceptive(uint32_t code)
{
    static const uint32_t ranges[][2] = {{0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
        {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    }
    return false;
}

static int columns_of(uint32_t code, bool unicode)
{
    if (code < 0x80)
        return code >= 0x20 && code != 0x7f ? 1 : -1;
    return unicode && !deceptive(code) ? wcwidth((wchar_t)code) : -1;
}

/* One character or its escape into piece; answers its columns, *used the bytes of text consumed. */
static int piece_of(const char *text, bool unicode, char piece[ESCAPE_BYTES_MAX], size_t *used)
{
    uint32_t code;
    *used = utf8_next(text, &code);
    if (*used == 0) {
        *used = 1;
        return snprintf(piece, ESCAPE_BYTES_MAX, "\\x%02x", (unsigned char)*text);
    }
    int columns = columns_of(code, unicode);
    if (columns < 0 && code < 0x80)
        return snprintf(piece, ESCAPE_BYTES_MAX, "\\x%02x", code);
    if (columns < 0)
        return snprintf(piece, ESCAPE_BYTES_MAX, "\\u{%x}", code);
    memcpy(piece, text, *used);
    piece[*used] = 0;
    return columns;
}

/* Combining marks take no column; a pile of them would still grow over the lines around. */
enum { COMBINING_MAX = 2 };

int terminal_text(const char *text, char *out, size_t room, int columns_max)
{
    bool unicode = unicode_locale();
    const char *ellipsis = unicode ? "…" : "~";
    int columns = 0, before_cut = 0, combining = 0;
    size_t at = 0, cut = 0;
    while (*text) {
        char piece[ESCAPE_BYTES_MAX];
        size_t used;
        int width = piece_of(text, unicode, piece, &used);
        size_t bytes = strlen(piece);
        text += used;
        combining = width ? 0 : combining + 1;
        if (combining > COMBINING_MAX)
            continue;
        bool fits = columns_max < 0 || columns + width <= columns_max;
        if (!fits || at + bytes + ESCAPE_BYTES_MAX > room) {
            strcpy(out + cut, ellipsis);
            return before_cut + 1;
        }
        memcpy(out + at, piece, bytes);
        at += bytes;
        columns += width;
        if (columns_max < 0 || columns < columns_max) {
            cut = at;
            before_cut = columns;
        }
    }
    out[at] = 0;
    return columns;
}

char *terminal_copy(const char *text)
{
    /* No escape is longer than ten bytes for one. */
    size_t room = strlen(text) * 10 + 2 * ESCAPE_BYTES_MAX;
    char *copy = allocate(room);
    terminal_text(text, copy, room, -1);
    return copy;
}

const char *terminal_red(const struct terminal *terminal)
{
    return terminal->colour ? "\033[31m" : "";
}

const char *terminal_dim(const struct terminal *terminal)
{
    return terminal->colour ? "\033[2m" : "";
}

const char *terminal_bold(const struct terminal *terminal)
{
    return terminal->colour ? "\033[1m" : "";
}

const char *terminal_plain(const struct terminal *terminal)
{
    return terminal->colour ? "\033[0m" : "";
}
