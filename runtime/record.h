/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a span record (span.h) from a protocol's description. Host thread, observe block. */
#pragma once

#include "../protocols/protocol.h"
#include "span.h"
#include "thread.h"

struct record {
    struct describer describer; /* first: what a protocol's describe takes */
    struct thread *self;
    struct span *span; /* in the ring; NULL: there was no room */
    uint32_t text_max;
    struct span_attribute *open; /* the value being given in pieces, or NULL */
};

/* Room in this thread's ring for one span with at most text_max bytes of text. */
bool record_open(struct record *record, struct thread *self, size_t text_max);
/* Appends text and publishes. */
void record_commit(struct record *record);
struct span_text record_text(struct record *record, const void *text, size_t length);
