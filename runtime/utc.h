/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as ISO 8601 has them, in UTC. Pure: no time zone is read. */
#pragma once

#include "format.h"

static inline void utc_two(struct format *text, uint64_t number, char after)
{
    format_bytes(text, &"0123456789"[number / 10 % 10], 1);
    format_bytes(text, &"0123456789"[number % 10], 1);
    format_bytes(text, &after, 1);
}

/* With so many digits of the second's fraction, 1 to 9. The count of days gives the date by eras of
 * 400 years that begin in March, so that the day that comes and goes is the last of a year. */
static inline void utc_format(struct format *text, uint64_t unix_ns, unsigned digits)
{
    uint64_t s = unix_ns / 1000000000, unit = 100000000, days = s / 86400 + 719468;
    uint64_t era = days / 146097, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;
    format_number(text, year + era * 400 + (month >= 10));
    format_text(text, "-");
    utc_two(text, month < 10 ? month + 3 : month - 9, '-');
    utc_two(text, day, 'T');
    utc_two(text, s / 3600 % 24, ':');
    utc_two(text, s / 60 % 60, ':');
    utc_two(text, s % 60, '.');
    for (; digits > 0; digits--, unit /= 10)
        format_bytes(text, &"0123456789"[unix_ns / unit % 10], 1);
    format_text(text, "Z");
}
