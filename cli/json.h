/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes one JSON value, compact, to a stream. Commas come by themselves. Output is ASCII-safe for
 * terminals: control characters are escaped, bytes that are not UTF-8 become U+FFFD (RFC 8259).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *stream;
    bool need_comma;
};

void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_text(struct json *json, const char *key, const char *text);
void json_integer(struct json *json, const char *key, int64_t value);
void json_real(struct json *json, const char *key, double value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t length);
void json_base64(struct json *json, const char *key, const uint8_t *bytes, size_t length);
/* UTC with nanoseconds: 2026-01-31T23:59:59.123456789Z */
void json_time(struct json *json, const char *key, uint64_t unix_ns);
