/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SCGI, uwsgi and mod_wsgi share: a connection carries one request. That is a block of CGI's
 * variables, which each of them writes in its own way and reads by a function of its own, and a
 * body of CONTENT_LENGTH bytes. The answer has a head as cgi.h reads it, and ends with the
 * connection.
 *
 * The splice is the end of the block, all of which may be replaced: its length stands in front.
 */
#pragma once

#include "cgi.h"

enum { CGI_BLOCK_BYTES_MAX = 64 * 1024 - 1 };

struct cgi_connection {
    uint64_t body; /* to come; before that what CONTENT_LENGTH has said so far */
    struct cgi_pair pair;
    struct cgi_head head;
    uint32_t left;    /* bytes of variables to come */
    uint32_t block;   /* bytes of the block read */
    uint16_t pairs;   /* that are complete */
    uint16_t texts;   /* of which the block says that it has so many; mod_wsgi */
    uint8_t requests; /* enum direction */
    uint8_t stage;    /* of the block: the protocol's own, from 0 */
    uint8_t at;       /* in it */
    bool in_value;    /* a piece of it has been told */
    bool is_begun;
    bool is_requested; /* the block is complete */
    bool is_answered;  /* its first byte has been seen */
    bool is_ended;
    bool is_switched;
    bool has_reasons; /* 200 with a reason of mod_wsgi's own says something else */
    bool is_over[2]; /* by direction: nothing more comes */
    bool lost;
};

struct cgi_reader {
    struct cgi_connection *connection;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end;
};

enum cgi_step { CGI_ON, CGI_COMPLETE, CGI_LOST };

/* Reads on in the block, a byte at least and nothing behind it. */
typedef enum cgi_step cgi_block_read(struct cgi_reader *);

/* For it: how many bytes of variables there are to be read now; they have been read. */
size_t cgi_block_there(const struct cgi_reader *);
void cgi_block_pass(struct cgi_reader *, size_t length);
/* Takes a piece of the value of connection->pair. */
void cgi_value_read(struct cgi_reader *, size_t length, bool is_last);

/* Variables as texts that end in a zero each: what connection->stage is then. */
enum cgi_texts { CGI_TEXTS_BEFORE, CGI_TEXTS_NAME, CGI_TEXTS_VALUE, CGI_TEXTS_END };

/* connection->left is how long all of them are. False: too long, or nothing. */
bool cgi_texts_begin(struct cgi_connection *);
/* Reads a name or a value, as far as it is there. */
bool cgi_texts_read(struct cgi_reader *);
size_t cgi_texts_bytes(const struct insertion *);
char *cgi_put_texts(char *out, const struct insertion *);

/* For struct protocol. */
void cgi_connection_start(void *state, enum direction requests);
size_t cgi_connection_feed(void *state, enum direction, const uint8_t *data, size_t length,
    struct sink *, cgi_block_read *);
bool cgi_connection_skip(void *state, enum direction, uint64_t length, struct sink *);
void cgi_connection_finish(void *state, enum direction, struct sink *);

/* The client speaks first; NULL: it was not the first. */
const struct prefix *cgi_probe_first(const struct prefix prefixes[2], enum direction *from);

/* May variables be added without harm to a server with a limit? uWSGI refuses blocks beyond its
 * buffer, of 4096 bytes if nothing else is said, and more than 128 variables; what it adds itself
 * needs room, too. `size` and `added` are bytes as uwsgi has them, a pair with four of lengths. */
bool cgi_block_may_grow(size_t size, size_t added, uint64_t pairs);
