/* SPDX-License-Identifier: Apache-2.0 */
/* What a person calls a span: its name, which the conventions keep short, and what it was about. */
#pragma once

#include "decode.h"

enum { TITLE_BYTES_MAX = 512 };

/* The value of an attribute, or NULL. */
const struct value *attribute_find(const struct stored_span *span, const char *key);

/* "GET /cart" for a server, "GET shop:8080/cart" for a client, "connect 10.0.0.1:80". Cut where it is
 * too long; may hold anything but NUL: see terminal_text. */
void title_format(const struct stored_span *span, char out[TITLE_BYTES_MAX]);
