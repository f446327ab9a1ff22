/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What http1_cloud_body.c, which knows the syntaxes, tells http1_cloud_names.c of, which knows what
 * names are for.
 */
#pragma once

#include "http1.h"

/* What a walk over a piece of a body is at. */
struct walk {
    struct reader *reader;
    struct http1_cloud *cloud;
    const uint8_t *data;
    size_t at, end;
};

/* A name, of a child of `parent`: its bytes, in pieces; then which one it is, or none. */
void cloud_begin_name(struct http1_cloud *, uint8_t parent);
void cloud_take_name(struct walk *, size_t from, size_t to);
void cloud_take_name_byte(struct http1_cloud *, uint8_t byte);
enum cloud_node cloud_end_name(const struct http1_cloud *);

/* The value of cloud.member, in pieces. */
void cloud_begin_value(struct walk *);
void cloud_take_value(struct walk *, size_t from, size_t to);
void cloud_end_value(struct walk *);

/* A container begins, which is this child or none that matters; and ends. */
enum cloud_node cloud_element_of(uint8_t parent);
void cloud_enter(struct http1_cloud *, uint8_t child);
void cloud_leave(struct walk *);

/* How many messages there were, of a body that it is all of, as far as it matters. */
void cloud_tell_count(struct reader *);
