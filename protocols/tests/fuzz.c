/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes one protocol, -DFUZZED=<name>_protocol: whatever the bytes are, what is told must not
 * depend on how they are cut. Input: operations as kind << 1 | direction, length in two bytes
 * (low first), and the bytes of a feed. Where the cuts are, and whether heads of answers are to be
 * edited, follows from the length of the input.
 */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 64, HEADER_BYTES = 3, INPUT_BYTES_MAX = 4096 };

extern const struct protocol FUZZED;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* Takes one operation off the input; false: there is none. */
static bool take_op(const uint8_t **data, size_t *left, struct op *op)
{
    if (*left < HEADER_BYTES) {
        return false;
    }
    const uint8_t *header = *data;
    size_t length = header[1] | (size_t)header[2] << 8;
    size_t room = *left - HEADER_BYTES;
    *op = (struct op){.kind = (header[0] >> 1) % 3,
        .direction = header[0] & 1 ? DIRECTION_OUT : DIRECTION_IN,
        .bytes = header + HEADER_BYTES,
        .length = length};
    size_t taken = 0;
    if (op->kind == OP_FEED) {
        op->length = length < room ? length : room;
        taken = op->length;
    }
    *data += HEADER_BYTES + taken;
    *left = room - taken;
    return true;
}

static void require_same(const struct transcript *a, const struct transcript *b)
{
    if (strcmp(a->text, b->text) != 0) {
        fprintf(stderr, "whole:\n%s\ncut:\n%s\n", a->text, b->text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct transcript whole, cut;
    protocol_edit_answers(length & 1);
    protocol_edit_messages(true, length & 2);
    struct op ops[OPS_MAX];
    struct script script = {ops, 0};
    size_t left = length < INPUT_BYTES_MAX ? length : INPUT_BYTES_MAX;
    while (script.count < OPS_MAX && take_op(&data, &left, &ops[script.count])) {
        script.count++;
    }
    play(&FUZZED, script, &(struct plan){0}, &whole);
    play(&FUZZED, script, &(struct plan){.every_byte = true, .pauses = true}, &cut);
    require_same(&whole, &cut);
    struct plan plan = {.cut_at = 1 + length % 61};
    plan.cut_op = script.count > 0 ? length % script.count : 0;
    if (script.count > 0 && plan.cut_at < ops[plan.cut_op].length) {
        play(&FUZZED, script, &plan, &cut);
        require_same(&whole, &cut);
    }
    return 0;
}
