/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in Redis' lists and channels that are JSON objects: their context stands among the
 * members of the object, or of its member "headers" if that is one (as kombu and php-enqueue write
 * what AMQP calls headers). That is no standard: the option BURDOCK_REDIS_ENVELOPE asks for it.
 */
#pragma once

#include "context_names.h"

enum { JSON_DEPTH_MAX = 64 };

enum redis_json_stage {
    JSON_BETWEEN,
    JSON_STRING,
    JSON_ESCAPED,
    JSON_LITERAL, /* a number, true, false, null */
    JSON_TOLD,    /* a string that belongs to a context */
    JSON_TOLD_ESCAPED,
    JSON_OVER, /* the object is complete */
    JSON_NONE  /* it is no object */
};

enum redis_json_next {
    JSON_VALUE,
    JSON_VALUE_OR_END, /* behind [ */
    JSON_NAME,
    JSON_NAME_OR_END, /* behind { */
    JSON_COLON,
    JSON_COMMA_OR_END
};

/* A walk; all zero at the beginning of the value. Any thread that has the connection. */
struct redis_json {
    uint64_t objects; /* a bit for each that is open: it is no array; the lowest is the innermost */
    uint8_t depth;
    uint8_t stage;
    uint8_t next;
    uint8_t field;   /* what the value behind this name is told as; FIELD_COUNT: as nothing */
    bool is_headers; /* the name before the colon */
    bool is_in_headers;
    bool is_first; /* nothing was told of this string */
    bool carries;  /* there is a member by a context's name */
    uint8_t word_length;
    uint8_t word[CONTEXT_NAME_MAX]; /* the last name, if it may matter */
};

struct redis_json_piece {
    size_t from, length;
    bool is_first, is_last;
};

enum redis_json_found {
    JSON_NOTHING, /* all bytes are read */
    JSON_OPENED,  /* behind *at members may be inserted that carry a context */
    JSON_TEXT     /* a piece of json->field's value, whose name is json->word */
};

/* Reads bytes[*at..length) until something is found. */
enum redis_json_found redis_json_walk(struct redis_json *json, const uint8_t *bytes, size_t length,
    size_t *at, struct redis_json_piece *piece);
