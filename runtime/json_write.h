/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON (RFC 8259) into memory, forwards; commas come by themselves. Control characters are
 * escaped, also those of Latin-1, which terminals obey; what is not UTF-8 becomes U+FFFD. Pure,
 * and independent of the locale.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_writer {
    char *at, *limit;
    bool full; /* there was no room; what is written is void */
    bool need_comma;
};

/* key NULL: an item of an array, or the whole. */
void json_put_open(struct json_writer *w, const char *key, char bracket);
void json_put_close(struct json_writer *w, char bracket);
void json_put_text(struct json_writer *w, const char *key, const void *text, size_t length);
void json_put_integer(struct json_writer *w, const char *key, int64_t value);
void json_put_word(struct json_writer *w, const char *key, const char *word);
/* The shortest of up to 17 digits that is right to a billionth; see the file for other numbers. */
void json_put_real(struct json_writer *w, const char *key, double value);
/* Protobuf's mapping: 64-bit integers travel as texts. */
void json_put_integer_text(struct json_writer *w, const char *key, int64_t value);
void json_put_unsigned_text(struct json_writer *w, const char *key, uint64_t value);
void json_put_hex(struct json_writer *w, const char *key, const uint8_t *bytes, size_t length);
void json_put_base64(struct json_writer *w, const char *key, const uint8_t *bytes, size_t length);
/* A key that is a text of the program's. */
void json_put_key(struct json_writer *w, const void *text, size_t length);
/* As it is: no comma, no quotes. */
void json_put_raw(struct json_writer *w, const char *text, size_t length);
