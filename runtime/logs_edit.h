/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of a log with the identity of their request: bytes in, bytes out, and which of them are
 * ours. Pure functions, any thread.
 *
 * A JSON object gets three members before its last brace (OpenTelemetry, trace context in non-OTLP
 * log formats), other text the configured suffix before its end. A line stays as it is that has a
 * trace_id already, is empty, holds a NUL or ends in CR; so does what looks like JSON and is no
 * whole object, since nobody could read it any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "propagation.h"

enum {
    LOGS_WRITE_MAX = 8 * 1024, /* bytes of one write with ours: longer ones stay as they are */
    LOGS_LINES_MAX = 64,       /* of one write; the ones behind stay as they are */
    LOGS_OURS_MAX = 256        /* bytes of ours in one line */
};

struct logs_form {
    const char *suffix; /* of text, with {trace_id} and the like */
    bool several;       /* writes of several lines, too: see docs/LOGS.md */
};

/* What is ours in the text that came out. */
struct logs_edit {
    size_t length; /* of all of it */
    uint32_t count;
    struct logs_part {
        uint16_t at, length;
    } ours[LOGS_LINES_MAX];
};

/* text: whole lines. False: they are to stay as they are. out has room for LOGS_WRITE_MAX bytes. */
bool logs_edit(const char *text, size_t length, const struct logs_form *form,
    const struct trace_ids *ids, char *out, struct logs_edit *edit);

/* Of the first `taken` bytes that came out: how many are the host's? */
size_t logs_of_host(const struct logs_edit *edit, size_t taken);
/* How many of ours follow without which there would be half a word in the line? */
size_t logs_due(const struct logs_edit *edit, size_t taken);

/* Does a suffix name the trace, and is it a part of a line? */
bool logs_suffix_is_usable(const char *suffix);
