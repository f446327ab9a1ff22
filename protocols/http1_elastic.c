/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk requests (the references' "Bulk API"): a line with an action, and behind all but `delete` a
 * line with a document. Told is how many there are, once all of the body has been seen and is of
 * that form. What is compressed or in another syntax is none. And the bodies of searches.
 */
#include "http1_elastic.h"

#include <string.h>

enum place {
    PLACE_START, /* of a line with an action; empty ones are ignored */
    PLACE_BRACE, /* behind its brace */
    PLACE_ACTION,
    PLACE_REST,    /* of that line */
    PLACE_DOCUMENT /* in the line behind it */
};

static const char actions[][7] = {"index", "create", "update", "delete"};
enum { ACTIONS = sizeof actions / sizeof actions[0] };
_Static_assert(ACTIONS <= 4, "ELASTIC_MEDIA_TYPE is above them");

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* What of cloud is used here: messages, how many actions; found, a bit for each kind; candidate,
 * the action that is being read. */
void http1_elastic_begin(struct http1_cloud *cloud, enum elastic_action action)
{
    cloud->syntax = SYNTAX_LINES;
    cloud->left = ELASTIC_LINES_BYTES_MAX;
    cloud->messages = 0;
    cloud->found = 0;
    cloud->section = 0;
    cloud->candidate = (uint8_t)action;
    cloud->place = PLACE_REST;
}

static void begin_action(struct http1_cloud *cloud)
{
    cloud->place = PLACE_ACTION;
    cloud->candidate = ACTIONS;
    cloud->position = 0;
}

/* The four differ in their first letters. */
static void read_action(struct http1_cloud *cloud, uint8_t byte)
{
    if (cloud->position == 0) {
        cloud->candidate = 0;
        while (cloud->candidate < ACTIONS && actions[cloud->candidate][0] != (char)byte) {
            cloud->candidate++;
        }
    }
    const char *action = cloud->candidate < ACTIONS ? actions[cloud->candidate] : "";
    if (byte == '"' && cloud->position > 0 && action[cloud->position] == '\0') {
        cloud->place = PLACE_REST;
        return;
    }
    if (byte == '\0' || action[cloud->position] != (char)byte) {
        http1_cloud_stop(cloud);
        return;
    }
    cloud->position++;
}

static void read_byte(struct http1_cloud *cloud, uint8_t byte)
{
    if (cloud->place == PLACE_ACTION) {
        read_action(cloud, byte);
    } else if (cloud->place == PLACE_START && byte == '{') {
        cloud->place = PLACE_BRACE;
    } else if (cloud->place == PLACE_BRACE && byte == '"') {
        begin_action(cloud);
    } else if (!is_blank(byte) && !(cloud->place == PLACE_START && byte == '\n')) {
        http1_cloud_stop(cloud);
    }
}

static void end_line(struct http1_cloud *cloud)
{
    if (cloud->place == PLACE_DOCUMENT) {
        cloud->place = PLACE_START;
        return;
    }
    cloud->messages++;
    cloud->found |= (uint8_t)(1u << cloud->candidate);
    cloud->place = cloud->candidate == ACTION_DELETE ? PLACE_START : PLACE_DOCUMENT;
}

void http1_elastic_read(struct walk *walk)
{
    struct http1_cloud *cloud = walk->cloud;
    if (cloud->place < PLACE_REST) {
        read_byte(cloud, walk->data[walk->at++]);
        return;
    }
    const uint8_t *found = memchr(walk->data + walk->at, '\n', walk->end - walk->at);
    walk->at = found != NULL ? (size_t)(found - walk->data) + 1 : walk->end;
    if (found != NULL) {
        end_line(cloud);
    }
}

/* --- what a search asks for --------------------------------------------------------------------
 */

bool http1_elastic_wants(const uint8_t *target, size_t length)
{
    return memmem(target, length, "search", 6) != NULL;
}

void http1_elastic_begin_query(struct reader *reader)
{
    struct http1_cloud *cloud = &reader->http->cloud;
    cloud->left = ELASTIC_QUERY_BYTES_MAX;
    if (!http1_tell(reader, EVENT_ASK, cloud->serial)) {
        http1_cloud_stop(cloud);
    }
}

static void tell_query(struct reader *reader, size_t from, size_t to, bool last)
{
    struct http1_cloud *cloud = &reader->http->cloud;
    http1_tell_piece(reader, FIELD_QUERY, from, to, cloud->found == 0, last);
    cloud->found = 1;
}

/* What does not begin as an object does may be compressed. */
void http1_elastic_read_query(struct walk *walk)
{
    size_t from = walk->at;
    walk->at = walk->end;
    if (walk->cloud->found == 0 && walk->data[from] != '{') {
        http1_cloud_stop(walk->cloud);
        return;
    }
    tell_query(walk->reader, from, walk->end, false);
}

void http1_elastic_end(struct reader *reader)
{
    const struct http1_cloud *cloud = &reader->http->cloud;
    if (cloud->syntax == SYNTAX_QUERY) {
        tell_query(reader, reader->at, reader->at, true);
        return;
    }
    if (cloud->place != PLACE_START || cloud->messages < 2) {
        return;
    }
    http1_tell_number(reader, cloud->serial, FIELD_BATCH, cloud->messages);
    http1_tell_number(reader, cloud->serial, FIELD_ROWS, cloud->section | cloud->found);
}
