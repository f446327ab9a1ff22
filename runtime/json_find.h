/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds members in JSON of others (RFC 8259). Pure, bounded by the slice, no recursion; what is not
 * JSON has no members. Exporter thread and command-line tool.
 */
#pragma once

#include "text.h"

/* The value of a member of the object that `json` is, as it stands there: with its quotes if it is
 * a text, whole if it is an object. Length 0: no such member. */
struct slice json_find(struct slice json, const char *key);

/* The characters of a text, into out; 0: it is none, or has no room. Escapes are resolved. */
size_t json_characters(struct slice value, char *out, size_t room);
