/* SPDX-License-Identifier: Apache-2.0 */
/* Values of spans as plain JSON, for people and jq; not OTLP. */
#pragma once

#include "decode.h"
#include "json.h"

void json_value(struct json *json, const char *key, const struct value *value);

/* A plain {"key": value} object of attributes, the same way. */
void json_attributes(struct json *json, const char *key, const struct attributes *attributes);
