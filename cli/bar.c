/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unicode has left edges at full and half cells only, and right edges at every eighth: a bar starts
 * at the half cell at or before its start and ends at the eighth at or after its end.
 */
#include "bar.h"

#include <string.h>

enum { EIGHTHS = 8, HALF = EIGHTHS / 2 };

static const char *const right_edges[EIGHTHS + 1] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
static const char *const right_half = "▐";

static int scale(const struct bar *bar, uint64_t at_ns, bool round_up)
{
    uint64_t whole = bar->end_ns - bar->begin_ns;
    if (at_ns < bar->begin_ns || whole == 0)
        return round_up ? bar->cells * EIGHTHS : 0;
    double place = (double)(at_ns - bar->begin_ns) / (double)whole * bar->cells * EIGHTHS;
    int limit = bar->cells * EIGHTHS;
    int eighths = (int)place + (round_up && place > (int)place);
    return eighths > limit ? limit : eighths;
}

/* The piece of [left, right) in one cell; all in eighths, left at a half cell. */
static const char *unicode_cell(int cell, int left, int right)
{
    int from = cell * EIGHTHS, to = from + EIGHTHS;
    if (right <= from || left >= to)
        return " ";
    if (left > from)
        return right_half;
    return right_edges[right < to ? right - from : EIGHTHS];
}

static const char *ascii_cell(int cell, int left, int right)
{
    int first = left / EIGHTHS, last = (right - 1) / EIGHTHS;
    if (cell < first || cell > last)
        return " ";
    if (first == last)
        return "|";
    if (cell == first)
        return "[";
    return cell == last ? "]" : "=";
}

void bar_draw(const struct bar *bar, uint64_t start_ns, uint64_t end_ns, char out[BAR_BYTES_MAX])
{
    int left = scale(bar, start_ns, false) / HALF * HALF;
    int right = scale(bar, end_ns, true);
    if (left > bar->cells * EIGHTHS - HALF)
        left = bar->cells * EIGHTHS - HALF;
    if (right <= left)
        right = left + 1;
    char *at = out;
    for (int cell = 0; cell < bar->cells; cell++)
        at = stpcpy(at, (bar->unicode ? unicode_cell : ascii_cell)(cell, left, right));
    *at = 0;
}
