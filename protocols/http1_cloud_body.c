/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of clouds: bodies, in three syntaxes. Whatever is read is bounded, and what is no such
 * syntax is not looked at any more.
 */
#include "http1_cloud_walk.h"
#include "http1_elastic.h"
#include "scan.h"

#include <string.h>

/* --- JSON: RFC 8259 ------------------------------------------------------------------------- */

enum json_place { JSON_BETWEEN, JSON_NAME, JSON_VALUE, JSON_NAME_ESCAPED, JSON_VALUE_ESCAPED };

/* The first quote or backslash, or end. */
static size_t scan_string(const uint8_t *data, size_t at, size_t end)
{
    for (; end - at >= SCAN_LANES; at += SCAN_LANES) {
        scan_lanes bytes = scan_load(data + at);
        uint32_t bits = scan_bits((scan_lanes)((bytes == '"') | (bytes == '\\')));
        if (bits != 0) {
            return at + (size_t)__builtin_ctz(bits);
        }
    }
    while (at < end && data[at] != '"' && data[at] != '\\') {
        at++;
    }
    return at;
}

static bool is_name_place(uint8_t place)
{
    return place == JSON_NAME || place == JSON_NAME_ESCAPED;
}

static void take_string(struct walk *walk, size_t from, size_t to)
{
    if (is_name_place(walk->cloud->place)) {
        cloud_take_name(walk, from, to);
    } else {
        cloud_take_value(walk, from, to);
    }
}

/* Of Pub/Sub nothing is known but what it says: where that is something else, it is none. */
static bool is_strange(const struct http1_cloud *cloud)
{
    bool is_google = cloud->root == NODE_SENT || cloud->root == NODE_PULLED;
    return is_google && cloud->node == cloud->root && cloud->ignored == 0 &&
           cloud->member == NODE_NONE;
}

static void end_string(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    bool is_name = cloud->place == JSON_NAME;
    cloud->place = JSON_BETWEEN;
    if (!is_name) {
        cloud_end_value(walk);
        return;
    }
    cloud->member = cloud->ignored == 0 ? cloud_end_name(cloud) : NODE_NONE;
    if (is_strange(cloud)) {
        http1_cloud_stop(cloud);
    }
}

static void read_string(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    size_t from = walk->at;
    if (cloud->place >= JSON_NAME_ESCAPED) {
        take_string(walk, from, from + 1);
        cloud->place -= JSON_NAME_ESCAPED - JSON_NAME;
        walk->at++;
        return;
    }
    walk->at = scan_string(walk->data, from, walk->end);
    take_string(walk, from, walk->at);
    if (walk->at == walk->end) {
        return;
    }
    if (walk->data[walk->at] == '"') {
        end_string(walk);
    } else {
        take_string(walk, walk->at, walk->at + 1);
        cloud->place += JSON_NAME_ESCAPED - JSON_NAME;
    }
    walk->at++;
}

static void begin_string(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    walk->at++;
    cloud->place = cloud->is_behind ? JSON_VALUE : JSON_NAME;
    if (cloud->is_behind) {
        cloud_begin_value(walk);
    } else {
        cloud_begin_name(cloud, cloud->ignored == 0 ? cloud->node : (uint8_t)NODE_COUNT);
    }
}

static void forget_member(struct http1_cloud *cloud)
{
    cloud->member = NODE_NONE;
    cloud->is_behind = false;
}

static void read_structure(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    uint8_t byte = walk->data[walk->at];
    if (byte == '"') {
        begin_string(walk);
        return;
    }
    walk->at++;
    switch (byte) {
    case ':':
        cloud->is_behind = true;
        return;
    case ',':
        forget_member(cloud);
        return;
    case '{':
    case '[':
        cloud_enter(cloud, cloud->is_behind ? cloud->member : cloud_element_of(cloud->node));
        forget_member(cloud);
        return;
    case '}':
    case ']':
        cloud_leave(walk);
        forget_member(cloud);
        if (cloud->node == NODE_NONE) {
            cloud_tell_count(walk->reader);
            http1_cloud_stop(cloud);
        }
        return;
    default:
        return;
    }
}

/* It begins as behind a colon, with its root for a name. */
static void read_json(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    uint8_t byte = walk->data[walk->at];
    bool is_blank = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
    if (cloud->node == NODE_NONE && byte != '{' && !is_blank) {
        http1_cloud_stop(cloud);
    } else if (cloud->place == JSON_BETWEEN) {
        read_structure(walk);
    } else {
        read_string(walk);
    }
}

/* --- forms: name=value&name=value ------------------------------------------------------------- */

enum form_place { FORM_NAME, FORM_VALUE };

static void read_form(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    bool is_name = cloud->place == FORM_NAME;
    size_t from = walk->at;
    const uint8_t *found = memchr(walk->data + from, is_name ? '=' : '&', walk->end - from);
    walk->at = found != NULL ? (size_t)(found - walk->data) : walk->end;
    if (is_name) {
        cloud_take_name(walk, from, walk->at);
    } else {
        cloud_take_value(walk, from, walk->at);
    }
    if (found == NULL) {
        return;
    }
    cloud->place = is_name ? FORM_VALUE : FORM_NAME;
    if (is_name) {
        cloud->member = cloud_end_name(cloud);
        cloud_begin_value(walk);
    } else {
        cloud_end_value(walk);
        cloud_begin_name(cloud, cloud->root);
    }
    walk->at++;
}

/* --- XML, as services write it: elements and text ----------------------------------------------
 */

enum xml_place { XML_TEXT, XML_TAG, XML_NAME, XML_REST };

static void end_tag(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    cloud->place = XML_TEXT;
    if (cloud->is_behind) { /* <name/> */
        cloud_leave(walk);
    }
    cloud->member = cloud->node;
    cloud_begin_value(walk);
}

static void end_element_name(struct walk *walk, uint8_t byte)
{
    struct http1_cloud *cloud = walk->cloud;
    cloud_enter(cloud, cloud->ignored == 0 ? cloud_end_name(cloud) : NODE_NONE);
    cloud->is_behind = byte == '/';
    cloud->place = XML_REST;
    if (byte == '>') {
        end_tag(walk);
    }
}

/* Behind the `<`. Declarations and the like are passed over. */
static void begin_tag(struct walk *walk, uint8_t byte)
{
    struct http1_cloud *cloud = walk->cloud;
    cloud->is_behind = false;
    cloud->place = XML_REST;
    if (byte == '/') {
        cloud_leave(walk);
        if (cloud->node == NODE_NONE || cloud->node == cloud->root) {
            cloud_tell_count(walk->reader);
            http1_cloud_stop(cloud);
        }
        return;
    }
    if (byte == '?' || byte == '!') {
        return;
    }
    cloud_begin_name(cloud, cloud->ignored == 0 ? cloud->node : (uint8_t)NODE_COUNT);
    cloud_take_name_byte(cloud, byte);
    cloud->place = XML_NAME;
}

static void read_markup(struct walk *walk, uint8_t byte)
{
    struct http1_cloud *cloud = walk->cloud;
    if (cloud->place == XML_TAG) {
        begin_tag(walk, byte);
    } else if (cloud->place == XML_NAME && (byte == '>' || byte == '/' || byte == ' ')) {
        end_element_name(walk, byte);
    } else if (cloud->place == XML_NAME) {
        cloud_take_name_byte(cloud, byte);
    } else if (byte == '>') {
        end_tag(walk);
    } else {
        cloud->is_behind = byte == '/';
    }
}

static void read_xml(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    size_t from = walk->at;
    if (cloud->place != XML_TEXT) {
        read_markup(walk, walk->data[walk->at]);
        walk->at++;
        return;
    }
    const uint8_t *found = memchr(walk->data + from, '<', walk->end - from);
    walk->at = found != NULL ? (size_t)(found - walk->data) : walk->end;
    cloud_take_value(walk, from, walk->at);
    if (found != NULL) {
        cloud_end_value(walk);
        cloud->place = XML_TAG;
        walk->at++;
    }
}

/* --- all -----------------------------------------------------------------------------------
 */

bool http1_cloud_read(struct reader *reader, size_t from, size_t to)
{
    static void (*const reads[])(struct walk *) = {[SYNTAX_JSON] = read_json,
        [SYNTAX_FORM] = read_form,
        [SYNTAX_XML] = read_xml,
        [SYNTAX_LINES] = http1_elastic_read,
        [SYNTAX_QUERY] = http1_elastic_read_query};
    struct http1_cloud *cloud = &reader->http->cloud;
    struct walk walk = {reader, cloud, reader->data, from, to};
    if (!http1_is_watched(reader)) {
        return false;
    }
    bool is_more = to - from > cloud->left;
    walk.end = is_more ? from + cloud->left : to;
    cloud->left -= (uint32_t)(walk.end - from);
    while (walk.at < walk.end && cloud->syntax != SYNTAX_NONE) {
        reads[cloud->syntax](&walk);
    }
    if (is_more) {
        http1_cloud_cut(reader);
    }
    return cloud->syntax != SYNTAX_NONE;
}
