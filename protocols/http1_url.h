/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking apart what a request says about where it goes and whence it comes. Pure functions over
 * slices of text; an absent part has length 0. No limits: everything is found by one pass.
 */
#pragma once

#include "protocol.h"

struct slice {
    const uint8_t *text;
    size_t length;
};

struct authority {
    struct slice whole; /* host[:port], credentials gone */
    struct slice host;  /* an IPv6 address without its brackets */
    int32_t port;       /* 0: none */
    bool has_credentials;
};

/* RFC 9112, 3.2: one of the four forms of a request-target. */
struct target {
    struct slice scheme; /* absolute-form only, as is the authority, which CONNECT has as well */
    struct authority authority;
    struct slice path;
    struct slice query; /* without the question mark */
};

struct slice slice_from(struct slice, size_t from);
struct slice slice_until(struct slice, size_t to);
struct slice url_trim(struct slice); /* spaces and tabs at both ends */
/* The index of the first `byte`, or the length. */
size_t slice_find(struct slice, uint8_t byte);
/* With the letters of `literal`, a lower-case word, in any case. */
bool slice_is_word(struct slice, const char *literal);

struct authority authority_parse(struct slice);
struct target target_parse(struct slice, bool is_connect);

/* The first element of a comma-separated list. */
struct slice list_first(struct slice);
/* RFC 7239: the value of the first `name=value` in a Forwarded header, quotes removed. */
struct slice forwarded_find(struct slice, const char *name);

/* Appends a query to the open attribute, the values of signing keys replaced by REDACTED. */
void query_append(struct describer *, struct slice);
