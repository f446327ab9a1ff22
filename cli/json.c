/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "hex.h"
#include "utf8.h"

static void quote(FILE *stream, const char *text)
{
    fputc('"', stream);
    while (*text) {
        uint32_t code;
        size_t bytes = utf8_next(text, &code);
        if (bytes == 0)
            fputs("\\ufffd", stream);
        else if (code < 0x20 || (code >= 0x7f && code < 0xa0))
            fprintf(stream, "\\u%04x", code);
        else if (code == '"' || code == '\\')
            fprintf(stream, "\\%c", (char)code);
        else
            fwrite(text, 1, bytes, stream);
        text += bytes ? bytes : 1;
    }
    fputc('"', stream);
}

static void begin(struct json *json, const char *key)
{
    if (json->need_comma)
        fputc(',', json->stream);
    json->need_comma = true;
    if (key) {
        quote(json->stream, key);
        fputc(':', json->stream);
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    begin(json, key);
    fputc(bracket, json->stream);
    json->need_comma = false;
}

void json_close(struct json *json, char bracket)
{
    fputc(bracket, json->stream);
    json->need_comma = true;
}

void json_text(struct json *json, const char *key, const char *text)
{
    begin(json, key);
    quote(json->stream, text);
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    begin(json, key);
    fprintf(json->stream, "%" PRId64, value);
}

/* JSON has no such numbers; protobuf's mapping writes them as strings. */
static const char *not_finite(double value)
{
    if (isnan(value))
        return "NaN";
    return value > 0 ? "Infinity" : "-Infinity";
}

void json_real(struct json *json, const char *key, double value)
{
    begin(json, key);
    if (isfinite(value))
        fprintf(json->stream, "%.15g", value);
    else
        quote(json->stream, not_finite(value));
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->stream);
}

void json_null(struct json *json, const char *key)
{
    begin(json, key);
    fputs("null", json->stream);
}

void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t length)
{
    begin(json, key);
    fputc('"', json->stream);
    hex_print(json->stream, bytes, length);
    fputc('"', json->stream);
}

static void base64_group(FILE *stream, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t group = (uint32_t)bytes[0] << 16;
    group |= length > 1 ? (uint32_t)bytes[1] << 8 : 0;
    group |= length > 2 ? bytes[2] : 0;
    fputc(digits[group >> 18], stream);
    fputc(digits[group >> 12 & 63], stream);
    fputc(length > 1 ? digits[group >> 6 & 63] : '=', stream);
    fputc(length > 2 ? digits[group & 63] : '=', stream);
}

void json_base64(struct json *json, const char *key, const uint8_t *bytes, size_t length)
{
    begin(json, key);
    fputc('"', json->stream);
    for (size_t i = 0; i < length; i += 3)
        base64_group(json->stream, bytes + i, length - i);
    fputc('"', json->stream);
}

void json_time(struct json *json, const char *key, uint64_t unix_ns)
{
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm utc;
    char text[64];
    begin(json, key);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(json->stream, "\"%s.%09uZ\"", text, (unsigned)(unix_ns % 1000000000));
}
