/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spans of one trace in the order in which a waterfall shows them.
 * Nothing about the input is trusted: parents may be missing, ids doubled, parents may form rings.
 *   every span is in rows exactly once; a row comes after its parent's row
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decode.h"

struct tree_span {
    const struct resource *resource;
    const struct stored_span *span;
};

enum { TREE_NONE = -1 };

struct tree_row {
    struct tree_span span;
    long parent; /* row number or TREE_NONE */
    int depth;
    bool last;                 /* no sibling follows */
    bool parent_unseen;        /* has a parent that is not in this trace */
    uint32_t repeats;          /* spans that it stands for; see fold.h */
    uint64_t end_ns, taken_ns; /* of these: when the last ended, the sum of their durations */
};

/* Answers count rows in a fresh array. spans is sorted by start. */
struct tree_row *tree_build(struct tree_span *spans, size_t count);
