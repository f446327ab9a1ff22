/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays a script of bytes against a protocol and writes down what it told, one event a line, so
 * that two ways of cutting the same bytes can be compared. What no protocol may ever do ends the
 * program: an event for an exchange that is not open, text that is not where it claims to be.
 *
 * Every chunk lies directly before an unmapped page, and the state moves in memory between calls.
 */
#pragma once

#include "protocol.h"

enum { TRANSCRIPT_BYTES_MAX = 1 << 18, VALUE_BYTES_MAX = 1 << 17, SHOWN_BYTES_MAX = 200 };

enum op_kind { OP_FEED, OP_SKIP, OP_FINISH };

struct op {
    enum op_kind kind;
    enum direction direction;
    const uint8_t *bytes;
    size_t length;
};

struct script {
    const struct op *ops;
    size_t count;
};

/* How to play it: the bytes of one op may be cut in two. */
struct plan {
    size_t cut_op;
    size_t cut_at; /* 0: nothing is cut */
    bool every_byte;
    bool is_mirrored; /* the program is the other peer */
    bool pauses;      /* at each splice */
};

struct transcript {
    size_t length;
    char text[TRANSCRIPT_BYTES_MAX];
};

void play(const struct protocol *, struct script, const struct plan *, struct transcript *);
