/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells a record as a span: takes its facts apart and lets the protocol describe them. Exporter
 * thread and command-line tool.
 */
#pragma once

#include "config.h"
#include "log.h"
#include "record.h"
#include "../protocols/sql_kept.h"
#include "span.h"
#include "symbols.h"

enum {
    /* Values put together from pieces, and texts that the describer does not keep. */
    TELLING_TEXT_BYTES = 2 * RECORD_BYTES_MAX,
    /* Of all texts of one span. A name and a value may show the same bytes of the record. */
    TELLING_SPAN_BYTES_MAX = TELLING_TEXT_BYTES + 2 * RECORD_BYTES_MAX
};

struct telling {
    struct describer describer; /* first: what a protocol's describe takes */
    struct span span;
    struct log log;
    /* symbols_find if records are of this process; NULL: code is not named. Set by the caller. */
    void (*name_code)(const uintptr_t addresses[], size_t count, const struct symbol *found[]);
    struct span_attribute *open; /* the value being given in pieces, or NULL */
    uint32_t text_used;
    bool is_untouched;
    _Alignas(8) uint8_t record[RECORD_BYTES_MAX]; /* a copy, which nobody else can change */
    char text[TELLING_TEXT_BYTES];
    struct sql_kept statements;
};

/* The span is valid until the next call with the same block, which is all zero at first, but for
 * name_code. The caller has seen to it that record->bytes bytes can be read, and that they are
 * enough for a struct record; nothing else is taken on trust: NULL for a record that breaks the
 * rules of its layout. */
const struct span *telling_span(
    struct telling *telling, const struct record *record, const struct config *config);

/* telling_log.c: the same of a RECORD_LOG. */
const struct log *telling_log(struct telling *telling, const struct record *record);

/* Copies a record and finds its texts. NULL: it breaks the rules of its layout. */
const struct record *telling_take(
    struct telling *telling, const struct record *record, struct fact texts[RECORD_TEXTS]);

/* telling_code.c: the part of it that says which code made a call. */
void telling_code(struct telling *telling, struct fact stack);

/* telling_tls.c: what TLS agreed on. Last, since the event's attributes follow the span's own. */
void telling_tls(struct telling *telling, struct fact tls);

/* An attribute that is a number, or a boolean. */
void telling_number(
    struct telling *telling, enum attribute key, enum span_value kind, int64_t number);
