/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP trace messages (opentelemetry-proto 1.11: ExportTraceServiceRequest). The encoder writes
 * backwards into a caller's buffer and allocates nothing; a property test holds it byte for byte
 * against protobuf-c. Exporter thread and command-line tool; no function here keeps state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "span.h"

/* A buffer that fills from its end: bytes are [start, limit). */
struct otlp_batch {
    uint8_t *base;
    uint8_t *start;
    uint8_t *limit;
    uint32_t spans;
};

void otlp_batch_reset(struct otlp_batch *batch, uint8_t *base, size_t bytes);

/* Adds one span (field `spans` of ScopeSpans), in front of those added before. Attribute values
 * are cut to value_limit characters, attributes beyond count_limit dropped and counted in
 * dropped_attributes_count. False: no room; the batch is unchanged. A record that violates the
 * invariants of span.h is refused the same way with *invalid set. */
bool otlp_batch_add(struct otlp_batch *batch, const struct span *span,
    const struct config *config, bool *invalid);

/* Wraps the spans into a complete request: [start, limit) is then ready to send.
 * resource: encoded Resource message. False: no room. */
bool otlp_batch_finish(struct otlp_batch *batch, const uint8_t *resource, size_t resource_bytes);

/* Room that finish needs beyond resource_bytes. */
enum { OTLP_ENVELOPE_BYTES_MAX = 512 };

/* Facts of a process for its Resource. */
struct otlp_process {
    const char *executable_path;
    const char *host_name;
    int64_t pid;
    char instance_id[37]; /* UUID text */
    char os_version[64];
};

/* Encodes the Resource: service.name, service.instance.id, telemetry.sdk.* (name "burdock"),
 * process.pid, process.executable.{name,path}, host.name, os.type, then config's attributes, which
 * win over ours except for service.name set by OTEL_SERVICE_NAME. Returns bytes, 0: no room. */
size_t otlp_resource(const struct config *config, const struct otlp_process *process,
    uint8_t *out, size_t room);
