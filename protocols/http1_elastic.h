/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elasticsearch and OpenSearch, which are spoken to by HTTP/1: their requests are told as commands
 * of a database. To the reader of HTTP they are requests like all others. What makes them known:
 *
 *   X-Elastic-Product or X-OpenSearch-Version in the answer   told as FIELD_COLLECTION
 *   the media type application/vnd.elasticsearch+...          told in FIELD_ROWS
 *   the User-Agent of one of their own clients
 *
 * A path alone never does. Of a bulk request's body lines are counted (http1_cloud.h has when
 * bodies are looked at); nothing of it is told but how many operations there are, and of what kind.
 * What a search of that media type asks for is told as FIELD_QUERY, the beginning of its body as it
 * is, and loses its values when it is described.
 */
#pragma once

#include "http1_cloud_walk.h"
#include "http1_url.h"

enum {
    ELASTIC_LINES_BYTES_MAX = 128 * 1024 * 1024, /* of a body of lines that is looked at */
    ELASTIC_QUERY_BYTES_MAX = 4096,              /* of what a search asks for, as it is ... */
    ELASTIC_TOLD_BYTES_MAX = 1024                /* ... and without its values */
};

/* The actions of a bulk request, as http1_cloud.def has them. */
enum elastic_action { ACTION_INDEX, ACTION_CREATE, ACTION_UPDATE, ACTION_DELETE };

/* FIELD_ROWS of HTTP: a bit for each kind of action in a bulk request that was counted, and: */
enum { ELASTIC_MEDIA_TYPE = 16 };

/* http1_elastic.c: a body of lines: its next piece; the end of any. */
void http1_elastic_read(struct walk *);
void http1_elastic_end(struct reader *);
/* Of a request that may be a search: is it one, by its target? Its body's next piece. */
void http1_elastic_begin_query(struct reader *);
bool http1_elastic_wants(const uint8_t *target, size_t length);
void http1_elastic_read_query(struct walk *);
/* A body in JSON turns out to be one: behind the first line's action and brace. */
void http1_elastic_begin(struct http1_cloud *, enum elastic_action);

/* http1_elastic_describe.c: which of the two a client's finished request was for; of length 0:
 * none. */
struct fact http1_elastic_system(const struct facts *);

/* False of nearly all requests: it was for neither. Clients of theirs begin with e, g or o. */
static inline bool http1_elastic_may_be(const struct facts *facts)
{
    struct fact agent = facts->texts[FIELD_USER_AGENT];
    bool is_named = facts->texts[FIELD_COLLECTION].length > 0 ||
                    facts->numbers[FIELD_ROWS] >= ELASTIC_MEDIA_TYPE;
    return !facts->is_server &&
           (is_named || (agent.length > 0 && agent.text[0] >= 'e' && agent.text[0] <= 'o'));
}

/* Tells the request as a command, but for what it has in common with all requests. */
void http1_elastic_describe(const struct facts *, struct fact system, struct slice path,
    struct slice server, int32_t port, struct describer *);

/* Made by generate_elastic.py, which says what is in there. */
enum { ELASTIC_PAIR_FIRST = 0x80, ELASTIC_IS_PARAMETER = 0x80 };
extern const uint8_t http1_elastic_pairs[][2];
extern const uint8_t http1_elastic_parameters[];
extern const uint8_t http1_elastic_tree[];
extern const uint32_t http1_elastic_tree_bytes;
