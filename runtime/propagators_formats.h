/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the propagators share: each format's reader and writer, by propagators.def. */
#pragma once

#include "propagators.h"

enum { LONG_DIGITS = 32, SHORT_DIGITS = 16, JAEGER_SAMPLED = 1, JAEGER_DEBUG = 2 };

enum format_header {
#define CONTEXT_HEADER(id, name, readers) HEADER_##id,
#include "propagators.def"
#undef CONTEXT_HEADER
    HEADER_COUNT
};

/* By header; the first one counts where it is repeated. */
struct values {
    struct slice of[HEADER_COUNT];
};

/* Lines being written. Once there was no room, nothing more is. */
struct writer {
    char *at;
    const char *end;
    bool is_full;
    bool bare_lf;
    char digits[TRACEPARENT_LENGTH]; /* all the digits there are, of both ids */
};

/* The lines that calls get as their request had them. */
void propagators_pass_on(struct writer *writer, const struct carrying *carrying);

/* At most two digits a byte; fewer are padded on the left. False: no number, too long, or zero. */
bool propagators_read_hex(struct slice digits, uint8_t *out, size_t bytes);

#define PROPAGATOR(id, name, extract, inject)                                               \
    void propagators_##extract(                                                             \
        const struct carried *carried, const struct values *values, struct extracted *out); \
    void propagators_##inject(struct writer *writer, const struct carrying *carrying);
#include "propagators.def"
#undef PROPAGATOR
