/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP messages of traces and logs (opentelemetry-proto 1.11). The encoder writes
 * backwards into a caller's buffer and allocates nothing; a property test holds it byte for byte
 * against protobuf-c. Exporter thread and command-line tool; no function here keeps state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "log.h"
#include "span.h"

enum {
    /* Room that finish needs beyond resource_bytes. */
    OTLP_ENVELOPE_BYTES_MAX = 512,
    /* Largest Resource that otlp_resource makes. add always leaves this and the envelope free, so
     * finish cannot fail after it. */
    OTLP_RESOURCE_BYTES_MAX = 16 * 1024
};

/* A buffer that fills from its end: bytes are [start, limit). What stands there is a request only
 * after otlp_batch_finish. */
struct otlp_batch {
    uint8_t *base;
    uint8_t *start;
    uint8_t *limit;
    uint32_t spans;
};

void otlp_batch_reset(struct otlp_batch *batch, uint8_t *base, size_t bytes);

/* Adds one span (field `spans` of ScopeSpans), in front of those added before. Attribute values
 * are cut to the limit of characters, attributes beyond the limit of their count dropped and
 * counted in dropped_attributes_count. OTLP strings are UTF-8: each byte of a text that is not part
 * of a well-formed sequence becomes U+FFFD. False: no room, the batch is unchanged. */
bool otlp_batch_add(struct otlp_batch *batch, const struct span *span, const struct config *config);

/* Adds one that was encoded before, and stands at batch->start then. NULL: no room, the batch is
 * unchanged. */
uint8_t *otlp_batch_add_copy(struct otlp_batch *batch, const uint8_t *span, size_t length);

/* The same as otlp_batch_add of a line of a log, in a batch of such: ExportLogsServiceRequest has the fields of
 * ExportTraceServiceRequest around it. The limit of characters is for attributes, not for the line.
 */
bool otlp_batch_add_log(
    struct otlp_batch *batch, const struct log *log, const struct config *config);

/* Wraps the spans into a complete request: [start, limit) is then ready to send.
 * resource: encoded Resource message. False: no room, or no spans (an empty request must not be
 * sent). */
bool otlp_batch_finish(struct otlp_batch *batch, const uint8_t *resource, size_t resource_bytes);

/* Splits a batch before it is finished: *part is that of the `items` that were added first, and
 * *batch, which those leave, is not to be touched before the part is done with. The part's
 * finish writes over what stands before part->start, so the caller has to keep those bytes. */
void otlp_batch_take_first(struct otlp_batch *batch, uint32_t items, struct otlp_batch *part);
/* The request in the first `length` bytes of the memory, which has `room`, becomes the batch that
 * it was; its Resource goes to `resource`, which has room for OTLP_RESOURCE_BYTES_MAX. False, and
 * all is as it was: we did not write it so, or there is no room. */
bool otlp_batch_reopen(struct otlp_batch *batch, uint8_t *memory, size_t room, size_t length,
    uint8_t *resource, uint32_t *resource_bytes);

/* Facts of a process for its Resource: see resource.h. All zero: none. */
enum { OTLP_FACTS_MAX = 64, OTLP_FACTS_BYTES = 8 * 1024 };

struct otlp_fact {
    const char *key;  /* static */
    const char *text; /* in texts; NULL: a number */
    int64_t number;
};

struct otlp_process {
    uint32_t count, used;
    struct otlp_fact facts[OTLP_FACTS_MAX];
    char texts[OTLP_FACTS_BYTES];
    char scratch[2][CONFIG_LIST_MAX]; /* a host's stack may be small */
};

/* Encodes the Resource: service.name, config's attributes, which win over facts except for
 * service.name (config.service_name already is the winner), telemetry.*, the facts. Of a key that
 * is given twice the last one counts. A fact that has no room is left out. Returns bytes, 0: no
 * room for what is not a fact. */
size_t otlp_resource(
    const struct config *config, struct otlp_process *process, uint8_t *out, size_t room);
