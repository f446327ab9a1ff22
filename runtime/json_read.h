/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON (RFC 8259) of others from its beginning to its end, as much of it as its readers
 * need. Pure, no allocation; whatever the bytes are. What is no JSON makes the reader bad, and from
 * then on it gives nothing more: readers ask once, at the end (json_is_over).
 */
#pragma once

#include <stdbool.h>

#include "text.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
    const char *at, *end;
    bool is_bad; /* from then on nothing is read */
};

/* The next character but for blanks; '\0': there is none. */
char json_peek(struct json *json);
/* Passes it if it is this one. */
bool json_take(struct json *json, char wanted);
/* It is this one, or the text is bad. */
void json_expect(struct json *json, char wanted);
/* The text between the quotes, escapes as they stand; it lies in what is read. */
struct slice json_string(struct json *json);
double json_number(struct json *json);
/* Passes any value, with so many more levels in it. */
void json_pass(struct json *json, unsigned depth);
/* for (the first; there is one; the next): the members of an object, of which the caller reads or
 * passes the values; and the elements of an array. */
bool json_member(struct json *json, bool is_first, struct slice *name);
bool json_element(struct json *json, bool is_first);
/* All of it was read, and was JSON. */
bool json_is_over(struct json *json);
