/* SPDX-License-Identifier: Apache-2.0 */
/* FastCGI's records, and what of it needs no state: the first bytes, and what is inserted. */
#pragma once

#include "protocol.h"

enum {
    HEADER_BYTES = 8, /* 3.3: version, type, request id (2), length (2), padding, reserved */
    SPLICE_AT = 5,    /* the second byte of the length */
    BEGIN_BYTES = 8   /* 5.1: role (2), flags, reserved (5) */
};

enum type { /* 8. */
    TYPE_BEGIN = 1,
    TYPE_ABORT,
    TYPE_END,
    TYPE_PARAMS,
    TYPE_STDIN,
    TYPE_STDOUT,
    TYPE_STDERR,
    TYPE_DATA,
    TYPE_GET_VALUES,
    TYPE_GET_VALUES_RESULT,
    TYPE_UNKNOWN
};

enum verdict fastcgi_probe(const struct prefix prefixes[2], enum direction *requests);
size_t fastcgi_insert(const struct insertion *insertion, char *out);
