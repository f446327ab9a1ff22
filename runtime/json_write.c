/* SPDX-License-Identifier: Apache-2.0 */
#include "json_write.h"

#include <string.h>

#include "text.h"

void json_put_raw(struct json_writer *w, const char *text, size_t length)
{
    w->full = w->full || length > (size_t)(w->limit - w->at);
    if (w->full)
        return;
    memcpy(w->at, text, length);
    w->at += length;
}

static void put_char(struct json_writer *w, char c)
{
    json_put_raw(w, &c, 1);
}

static void put_escape(struct json_writer *w, unsigned code)
{
    char text[6] = {
        '\\', 'u', '0', '0', "0123456789abcdef"[code >> 4 & 15], "0123456789abcdef"[code & 15]};
    json_put_raw(w, text, sizeof(text));
}

/* What is written as it is, up to the next character that is not. */
static size_t plain_length(const uint8_t *text, size_t length)
{
    size_t plain = 0;
    while (plain < length && text[plain] >= 0x20 && text[plain] < 0x7F && text[plain] != '"' &&
           text[plain] != '\\')
        plain++;
    return plain;
}

/* One character; answers its bytes. */
static size_t put_special(struct json_writer *w, const uint8_t *text, size_t length)
{
    unsigned bytes = utf8_sequence(text, length);
    if (bytes == 0)
        json_put_raw(w, "\\ufffd", 6);
    else if (bytes == 1 && (*text == '"' || *text == '\\'))
        json_put_raw(w, (char[2]){'\\', (char)*text}, 2);
    else if (bytes == 1)
        put_escape(w, *text);
    else if (text[0] == 0xC2 && text[1] < 0xA0)
        put_escape(w, text[1]);
    else
        json_put_raw(w, (const char *)text, bytes);
    return bytes ? bytes : 1;
}

static void quote(struct json_writer *w, const void *data, size_t length)
{
    const uint8_t *text = data;
    put_char(w, '"');
    for (size_t at = 0; at < length;) {
        size_t plain = plain_length(text + at, length - at);
        json_put_raw(w, (const char *)text + at, plain);
        at += plain;
        if (at < length)
            at += put_special(w, text + at, length - at);
    }
    put_char(w, '"');
}

static void begin(struct json_writer *w, const char *key)
{
    if (w->need_comma)
        put_char(w, ',');
    w->need_comma = true;
    if (key == NULL)
        return;
    quote(w, key, strlen(key));
    put_char(w, ':');
}

void json_put_key(struct json_writer *w, const void *text, size_t length)
{
    begin(w, NULL);
    quote(w, text, length);
    put_char(w, ':');
    w->need_comma = false;
}

void json_put_open(struct json_writer *w, const char *key, char bracket)
{
    begin(w, key);
    put_char(w, bracket);
    w->need_comma = false;
}

void json_put_close(struct json_writer *w, char bracket)
{
    put_char(w, bracket);
    w->need_comma = true;
}

void json_put_text(struct json_writer *w, const char *key, const void *text, size_t length)
{
    begin(w, key);
    quote(w, text, length);
}

void json_put_word(struct json_writer *w, const char *key, const char *word)
{
    begin(w, key);
    json_put_raw(w, word, strlen(word));
}

/* At least `least` digits. */
static void put_digits(struct json_writer *w, uint64_t value, unsigned least)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[sizeof(digits) - ++count] = (char)('0' + value % 10);
    while ((value /= 10) != 0 || count < least);
    json_put_raw(w, digits + sizeof(digits) - count, count);
}

static void put_signed(struct json_writer *w, int64_t value)
{
    if (value < 0)
        put_char(w, '-');
    put_digits(w, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

void json_put_integer(struct json_writer *w, const char *key, int64_t value)
{
    begin(w, key);
    put_signed(w, value);
}

void json_put_integer_text(struct json_writer *w, const char *key, int64_t value)
{
    begin(w, key);
    put_char(w, '"');
    put_signed(w, value);
    put_char(w, '"');
}

void json_put_unsigned_text(struct json_writer *w, const char *key, uint64_t value)
{
    begin(w, key);
    put_char(w, '"');
    put_digits(w, value, 1);
    put_char(w, '"');
}

/* `value` times 10^-places, without zeros at the end. */
static void put_decimal(struct json_writer *w, uint64_t value, unsigned places)
{
    uint64_t unit = 1;
    for (; places > 0 && value % 10 == 0; places--)
        value /= 10;
    for (unsigned i = 0; i < places; i++)
        unit *= 10;
    put_digits(w, value / unit, 1);
    if (places == 0)
        return;
    put_char(w, '.');
    put_digits(w, value % unit, places);
}

/* 17 digits and an exponent, by repeated steps of ten: the last digit or two may be off. */
static void put_scaled(struct json_writer *w, double value)
{
    int exponent = 0;
    for (; value >= 10; exponent++)
        value /= 10;
    for (; value < 1; exponent--)
        value *= 10;
    put_decimal(w, (uint64_t)(value * 1e16 + 0.5), 16);
    put_char(w, 'e');
    put_signed(w, exponent);
}

/* What is written here are seconds, counted in nanoseconds, and those are told exactly: as the
 * count that gives the very same number. */
void json_put_real(struct json_writer *w, const char *key, double value)
{
    enum { PLACES = 9 };
    const double exact_max = 9007199.254740992; /* 2^53 billionths */
    double size = value < 0 ? -value : value;
    begin(w, key);
    if (value != value) {
        quote(w, "NaN", 3);
        return;
    }
    if (size > 1.7976931348623157e308) {
        quote(w, value < 0 ? "-Infinity" : "Infinity", value < 0 ? 9 : 8);
        return;
    }
    if (value < 0)
        put_char(w, '-');
    uint64_t count = size <= exact_max ? (uint64_t)(size * 1e9 + 0.5) : 0;
    if ((double)count / 1e9 != size) /* the product was rounded, too */
        count += (double)count / 1e9 < size ? 1 : -1;
    if ((double)count / 1e9 == size)
        put_decimal(w, count, PLACES);
    else if (size < 9007199254740992.0 && (double)(uint64_t)size == size)
        put_digits(w, (uint64_t)size, 1);
    else
        put_scaled(w, size);
}

void json_put_hex(struct json_writer *w, const char *key, const uint8_t *bytes, size_t length)
{
    begin(w, key);
    put_char(w, '"');
    for (size_t i = 0; i < length; i++)
        json_put_raw(
            w, (char[2]){"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15]}, 2);
    put_char(w, '"');
}

void json_put_base64(struct json_writer *w, const char *key, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    begin(w, key);
    put_char(w, '"');
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
            left > 1 ? digits[group >> 6 & 63] : '=', left > 2 ? digits[group & 63] : '='};
        json_put_raw(w, text, sizeof(text));
    }
    put_char(w, '"');
}
