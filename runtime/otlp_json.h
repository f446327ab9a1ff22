/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An encoded OTLP request as JSON: opentelemetry-proto 1.11, "JSON Protobuf Encoding" (ids in
 * hexadecimal, enums as integers, 64 bits as texts), for http/json and files; and its spans for
 * people. What is exported is encoded once, as protobuf, and translated where another form was
 * asked for: one encoder, one place for limits, and what is stored can leave in either form.
 *
 * Exporter thread or command-line tool, one thread at a time: the memory is this file's, mapped
 * when first needed and kept. What it answers is valid until the next call.
 */
#pragma once

#include "config.h"
#include "json_write.h"

struct json_text {
    const char *text; /* NULL: no memory, or it is no request */
    size_t length;
};

/* The whole request in one line; the line's end stands behind it, not counted. */
struct json_text otlp_json(enum signal signal, const uint8_t *request, size_t length);

/* Each span, metric or line of a log as a line of its own, in the order in which they stand there:
 * a span as `burdock show --json` prints it, as far as a single one tells it; a metric as OTLP's.
 */
struct json_text otlp_json_events(enum signal signal, const uint8_t *request, size_t length);

/* Between the files: a Metric; the memory, with room for the JSON of so many bytes; and what it
 * holds. */
void otlp_json_put_metric(
    struct json_writer *w, const char *key, const uint8_t *metric, size_t length);
bool otlp_json_begin(struct json_writer *w, size_t length);
struct json_text otlp_json_end(const struct json_writer *w);
