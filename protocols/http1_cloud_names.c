/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of clouds: what names and values in bodies are for, by one tree of names, whatever the
 * syntax. A walk knows the innermost node that it is in and how many containers deep it is in
 * something else.
 */
#include "http1_cloud_walk.h"
#include "http1_elastic.h"

#include <string.h>

enum cloud_does {
    DOES_NOTHING,
    DOES_DESTINATION, /* the value is told */
    DOES_OPERATION,
    DOES_TRACEPARENT, /* the value is a context */
    DOES_XRAY,
    DOES_NAME,    /* XML: the value names another one, */
    DOES_NAMED,   /* which is this */
    DOES_ACTION,  /* the body is a bulk request: lines from here on */
    DOES_ELEMENT, /* one a message: they are counted */
    DOES_MESSAGE  /* the one message; as of elements, its strongest context is told when it ends */
};

static const struct row {
    uint8_t parent, does, strength, length;
    char name[24];
} rows[NODE_COUNT] = {
#define NODE(id, in, name, does, strength) \
    [NODE_##id] = {NODE_##in, DOES_##does, strength, sizeof(name) - 1, name},
#include "http1_cloud.def"
#undef NODE
};

/* --- what is found --------------------------------------------------------------------------- */

static void tell_text(struct reader *reader, size_t from, size_t to, bool first, bool last)
{
    const struct http1_cloud *cloud = &reader->http->cloud;
    static const uint8_t nothing[1];
    bool is_operation = rows[cloud->member].does == DOES_OPERATION;
    struct event event = {.kind = EVENT_TEXT,
        .field = is_operation ? FIELD_OPERATION : FIELD_DESTINATION,
        .first = first,
        .last = last,
        .exchange = cloud->serial,
        .offset = from,
        .text = to > from ? reader->data + from : nothing,
        .length = to - from};
    reader->sink->event(reader->sink, &event);
}

static void tell_link(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    struct event event = {.kind = EVENT_LINK,
        .exchange = cloud->serial,
        .offset = walk->at,
        .text = (const uint8_t *)cloud->context,
        .length = CLOUD_TRACEPARENT_BYTES};
    if (cloud->strength > 0) {
        walk->reader->sink->event(walk->reader->sink, &event);
    }
    cloud->strength = 0;
}

static bool is_telling(uint8_t does)
{
    return does == DOES_DESTINATION || does == DOES_OPERATION;
}

/* --- X-Ray's form of a context: Root=1-DIGITS-DIGITS;Parent=DIGITS;Sampled=1, in any order ---- */

enum xray_found { FOUND_ROOT = 1, FOUND_PARENT = 2, FOUND_BOTH = 3 };
enum { XRAY_ROOT_BYTES = 35, XRAY_PARENT_BYTES = 16, XRAY_VALUE = 0x80 };
enum { TRACE_AT = 3, SPAN_AT = 36 };

static const char xray_start[] = "00-00000000000000000000000000000000-0000000000000000-01";
_Static_assert(sizeof xray_start - 1 == CLOUD_TRACEPARENT_BYTES, "a traceparent");

static bool is_digit(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* Of the value of Root: 1-8 digits-24 digits. */
static bool take_root(struct http1_cloud *cloud, uint8_t byte)
{
    unsigned at = cloud->position;
    if (at == 0 || at == 1 || at == 10) {
        return byte == (at == 0 ? '1' : '-');
    }
    if (at >= XRAY_ROOT_BYTES || !is_digit(byte)) {
        return false;
    }
    cloud->context[TRACE_AT + at - (at < 10 ? 2 : 3)] = (char)byte;
    cloud->found |= at == XRAY_ROOT_BYTES - 1 ? FOUND_ROOT : 0;
    return true;
}

static bool take_parent(struct http1_cloud *cloud, uint8_t byte)
{
    unsigned at = cloud->position;
    if (at >= XRAY_PARENT_BYTES || !is_digit(byte)) {
        return false;
    }
    cloud->context[SPAN_AT + at] = (char)byte;
    cloud->found |= at == XRAY_PARENT_BYTES - 1 ? FOUND_PARENT : 0;
    return true;
}

static void take_xray_byte(struct http1_cloud *cloud, uint8_t byte)
{
    bool is_good = true;
    if (byte == ';') {
        cloud->section = 0;
        return;
    }
    if (cloud->section == 0) {
        cloud->section = byte == ' ' ? 0 : byte & 0x7f;
        return;
    }
    if (!(cloud->section & XRAY_VALUE)) {
        cloud->section |= byte == '=' ? XRAY_VALUE : 0;
        cloud->position = 0;
        return;
    }
    if (cloud->section == (XRAY_VALUE | 'R')) {
        is_good = take_root(cloud, byte);
    } else if (cloud->section == (XRAY_VALUE | 'P')) {
        is_good = take_parent(cloud, byte);
    }
    cloud->position += cloud->position < UINT8_MAX;
    if (!is_good) {
        cloud->section = 'x';
        cloud->found = 0;
    }
}

/* --- names and values ------------------------------------------------------------------------ */

static enum cloud_node child_from(unsigned node, uint8_t parent, uint8_t same, uint8_t position)
{
    for (; node < NODE_COUNT; node++) {
        if (rows[node].parent == parent && rows[node].length > 0 && rows[node].length >= position &&
            memcmp(rows[node].name, rows[same].name, position) == 0) {
            return (enum cloud_node)node;
        }
    }
    return NODE_NONE;
}

void cloud_begin_name(struct http1_cloud *cloud, uint8_t parent)
{
    cloud->candidate = child_from(parent + 1u, parent, NODE_NONE, 0);
    cloud->position = 0;
}

/* Those before the candidate have parted from the name already. */
void cloud_take_name_byte(struct http1_cloud *cloud, uint8_t byte)
{
    unsigned node = cloud->candidate;
    while (node != NODE_NONE &&
           (rows[node].length <= cloud->position || rows[node].name[cloud->position] != byte)) {
        node = child_from(node + 1, rows[node].parent, cloud->candidate, cloud->position);
    }
    cloud->candidate = (uint8_t)node;
    cloud->position++;
}

void cloud_take_name(struct walk *walk, size_t from, size_t to)
{
    for (; from < to && walk->cloud->candidate != NODE_NONE; from++) {
        cloud_take_name_byte(walk->cloud, walk->data[from]);
    }
}

/* The candidate, or one that it goes on from. */
enum cloud_node cloud_end_name(const struct http1_cloud *cloud)
{
    unsigned node = cloud->position > 0 ? cloud->candidate : NODE_NONE;
    while (node != NODE_NONE && rows[node].length != cloud->position) {
        node = child_from(node + 1, rows[node].parent, cloud->candidate, cloud->position);
    }
    return (enum cloud_node)node;
}

/* What the value that is being read is for. */
static const struct row *meant(const struct http1_cloud *cloud)
{
    const struct row *row = &rows[cloud->ignored == 0 ? cloud->member : NODE_NONE];
    return row->does == DOES_NAMED ? &rows[cloud->named] : row;
}

static bool collects(const struct http1_cloud *cloud, const struct row *row)
{
    return row->strength > cloud->strength;
}

void cloud_begin_value(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    const struct row *row = meant(cloud);
    cloud->value_bytes = 0;
    cloud->section = 0;
    cloud->found = 0;
    if (row->does == DOES_NAME) {
        cloud_begin_name(cloud, cloud->member);
    }
    if (row->does == DOES_XRAY && collects(cloud, row)) {
        memcpy(cloud->context, xray_start, CLOUD_TRACEPARENT_BYTES);
    }
    if (is_telling(row->does)) {
        tell_text(walk->reader, walk->at, walk->at, true, false);
        cloud->is_telling = true;
    }
}

static void take_text(struct walk *walk, size_t from, size_t to)
{
    struct http1_cloud *cloud = walk->cloud;
    size_t room = CLOUD_NAME_BYTES_MAX - cloud->value_bytes;
    size_t length = to - from < room ? to - from : room;
    if (length > 0) {
        tell_text(walk->reader, from, from + length, false, false);
    }
    cloud->value_bytes += (uint16_t)length;
}

static void take_traceparent(struct walk *walk, size_t from, size_t to)
{
    struct http1_cloud *cloud = walk->cloud;
    for (; from < to && cloud->value_bytes < CLOUD_TRACEPARENT_BYTES; from++) {
        cloud->context[cloud->value_bytes++] = (char)walk->data[from];
    }
    if (from < to) {
        cloud->value_bytes = CLOUD_TRACEPARENT_BYTES + 1;
    }
}

/* A piece of a value; nothing is done with most. */
void cloud_take_value(struct walk *walk, size_t from, size_t to)
{
    struct http1_cloud *cloud = walk->cloud;
    const struct row *row = meant(cloud);
    if (is_telling(row->does)) {
        take_text(walk, from, to);
    } else if (row->does == DOES_NAME) {
        cloud_take_name(walk, from, to);
    } else if (row->does == DOES_TRACEPARENT && collects(cloud, row)) {
        take_traceparent(walk, from, to);
    } else if (row->does == DOES_XRAY && collects(cloud, row)) {
        for (; from < to; from++) {
            take_xray_byte(cloud, walk->data[from]);
        }
    }
}

void cloud_end_value(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    const struct row *row = meant(cloud);
    bool is_whole = row->does == DOES_XRAY ? cloud->found == FOUND_BOTH
                                           : cloud->value_bytes == CLOUD_TRACEPARENT_BYTES;
    if (cloud->is_telling) {
        tell_text(walk->reader, walk->at, walk->at, false, true);
        cloud->is_telling = false;
    }
    if (row->does == DOES_NAME) {
        cloud->named = cloud_end_name(cloud);
    }
    if ((row->does == DOES_TRACEPARENT || row->does == DOES_XRAY) && collects(cloud, row)) {
        cloud->strength = is_whole ? row->strength : 0;
    }
    if (rows[cloud->member].does == DOES_NAMED) {
        cloud->named = NODE_NONE;
    }
}

/* --- containers ------------------------------------------------------------------------------ */

/* It stands right behind its array. The last row has no child. */
enum cloud_node cloud_element_of(uint8_t parent)
{
    unsigned next = parent + 1u;
    bool is_element = parent != NODE_NONE && next < NODE_COUNT && rows[next].parent == parent &&
                      rows[next].length == 0;
    return is_element ? (enum cloud_node)next : NODE_NONE;
}

void cloud_enter(struct http1_cloud *cloud, uint8_t child)
{
    if (cloud->ignored > 0 || child == NODE_NONE) {
        cloud->ignored++;
        if (cloud->ignored == UINT16_MAX) {
            http1_cloud_stop(cloud);
        }
        return;
    }
    if (rows[child].does == DOES_ACTION) {
        http1_elastic_begin(cloud, (enum elastic_action)(child - NODE_SENT_INDEX));
        return;
    }
    cloud->node = child;
    if (rows[child].does == DOES_ELEMENT || rows[child].does == DOES_MESSAGE) {
        cloud->strength = 0;
        cloud->messages += rows[child].does == DOES_ELEMENT;
    }
}

void cloud_leave(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    if (cloud->ignored > 0) {
        cloud->ignored--;
        return;
    }
    if (rows[cloud->node].does == DOES_ELEMENT || rows[cloud->node].does == DOES_MESSAGE) {
        tell_link(walk);
    }
    cloud->node = rows[cloud->node].parent;
}

void cloud_tell_count(struct reader *reader)
{
    const struct http1_cloud *cloud = &reader->http->cloud;
    if (cloud->messages > 1) {
        http1_tell_number(reader, cloud->serial, FIELD_BATCH, cloud->messages);
    }
}

/* --- a body --------------------------------------------------------------------------------- */

void http1_cloud_start(struct http1_cloud *cloud, enum cloud_syntax syntax, enum cloud_node root)
{
    cloud->syntax = (uint8_t)syntax;
    cloud->left = syntax == SYNTAX_LINES ? ELASTIC_LINES_BYTES_MAX : CLOUD_BODY_BYTES_MAX;
    cloud->messages = 0;
    cloud->found = 0;
    cloud->section = 0;
    cloud->ignored = 0;
    cloud->root = (uint8_t)root;
    cloud->node = syntax == SYNTAX_JSON ? NODE_NONE : (uint8_t)root;
    cloud->member = syntax == SYNTAX_JSON ? (uint8_t)root : NODE_NONE;
    cloud->named = NODE_NONE;
    cloud->place = 0;
    cloud->is_behind = syntax == SYNTAX_JSON;
    cloud->is_telling = false;
    cloud->strength = 0;
    cloud->value_bytes = 0;
    cloud_begin_name(cloud, (uint8_t)root);
}

void http1_cloud_stop(struct http1_cloud *cloud)
{
    cloud->is_telling = false;
    cloud->syntax = SYNTAX_NONE;
}

void http1_cloud_end(struct reader *reader)
{
    struct http1_cloud *cloud = &reader->http->cloud;
    if (!http1_is_watched(reader)) {
        return;
    }
    if (cloud->is_telling) {
        tell_text(reader, reader->at, reader->at, false, true);
    }
    if (cloud->syntax >= SYNTAX_LINES) {
        http1_elastic_end(reader);
    }
    http1_cloud_stop(cloud);
}

void http1_cloud_cut(struct reader *reader)
{
    if (reader->http->cloud.syntax == SYNTAX_LINES) { /* a part of them would be counted */
        http1_cloud_stop(&reader->http->cloud);
    }
    http1_cloud_end(reader);
}
