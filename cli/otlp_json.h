/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/JSON: protobuf's JSON mapping with ids in hexadecimal and enums as integers. */
#pragma once

#include "decode.h"
#include "json.h"

/* One TracesData object and a newline, as the file exporter writes them. */
void otlp_json_request(FILE *stream, const struct request *request);

/* One value as plain JSON, for people and jq; not OTLP. */
void json_value(struct json *json, const char *key, const struct value *value);

/* A plain {"key": value} object of attributes, the same way. */
void json_attributes(struct json *json, const char *key, const struct attributes *attributes);
