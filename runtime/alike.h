/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that are alike: they differ in nothing but ids, times and, of a server's, the port of its
 * client. So are most of a service that is asked for the same again and again, or asks its database
 * by statements with parameters. Such a record is told and encoded when its kind is seen for the
 * second time; of those that follow, what was encoded is copied, and what differs is put into it.
 *
 * Exporter thread, and whoever recovers a process's rings. All zero at first. Spans do not depend
 * on anything but the record and the configuration, which stay; who names code, or counts spans
 * in other metrics, forgets what was kept.
 */
#pragma once

#include "metrics.h"
#include "otlp.h"
#include "record.h"

enum {
    ALIKE_SETS = 128, /* of two entries each */
    ALIKE_SEEN = 1024,
    ALIKE_RECORD_BYTES = 512, /* of larger ones nothing is kept */
    ALIKE_SPAN_BYTES = 1024
};

/* Where in the encoded span stands what differs; 0: nowhere. */
struct alike_places {
    uint16_t trace_id, span_id, parent_id, start, end;
    uint16_t port; /* three bytes, a varint */
};

struct alike_entry {
    uint64_t hash;
    uint32_t record_bytes; /* 0: it is not kept */
    uint32_t span_bytes;   /* 0: it is only counted */
    uint16_t port;
    struct alike_places places;
    struct measured measured;
    _Alignas(8) uint8_t record[ALIKE_RECORD_BYTES];
    uint8_t span[ALIKE_SPAN_BYTES];
};

struct alike {
    uint32_t seen[ALIKE_SEEN]; /* of hashes: what came once takes no other's place */
    struct alike_set {
        struct alike_entry entries[2];
        uint32_t latest; /* which one was found last; the other one's place is given away */
    } sets[ALIKE_SETS];
};

/* NULL: what becomes of this record is not to be kept. The record may lie in memory that others
 * write to; record->bytes bytes can be read. */
struct alike_entry *alike_find(struct alike *alike, const struct record *record);

/* Is it one whose span is kept? */
bool alike_is_kept(const struct alike_entry *entry, const struct record *record);

/* Adds its span, which has bytes, to the batch. False: no room, the batch is unchanged. */
bool alike_add(
    const struct alike_entry *entry, const struct record *record, struct otlp_batch *batch);

/* Keeps what was encoded of a record, a field of ScopeSpans; of length 0: it is counted, not told,
 * and no port makes a difference. The record is a copy of ours. */
void alike_keep(struct alike_entry *entry, const struct record *record, const uint8_t *span,
    size_t length, const struct measured *measured);

void alike_forget(struct alike *alike);
