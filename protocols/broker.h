/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the readers of message queues share: a connection has a side that the client sends and one
 * that the server does, each in the middle of a line, frame or body; and how what stands in them is
 * told.
 *
 * A state begins with a struct broker_connection; what a side is, is the protocol's own. Texts
 * that are told stand in the piece of data that is being read.
 */
#pragma once

#include "context_names.h"
#include "messaging.h"

struct broker_connection {
    uint32_t next;    /* serial number of the next exchange */
    uint8_t requests; /* enum direction: of what the client sends */
};

struct broker_reader {
    void *state;
    void *side;               /* the one that is read */
    enum direction direction; /* OUT is what the client sends, whichever side the program is */
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end;
};

/* Of a text: data[from, to). */
struct broker_piece {
    size_t from, to;
    bool is_first, is_last; /* as of EVENT_TEXT */
};

/* FNV-1a, of texts that are compared. */
static const uint32_t broker_hash_start = UINT32_C(0x811c9dc5);

static inline uint32_t broker_hash(uint32_t hash, uint8_t byte)
{
    return (hash ^ byte) * 16777619u;
}

/* Reads on from where the reader is, while there is something to read; false: lost. */
typedef bool broker_step(struct broker_reader *);

void broker_start(void *state, size_t bytes, enum direction requests);
/* `sides` are two, by direction. */
struct broker_reader broker_reader_of(
    void *state, void *sides, size_t side_bytes, enum direction, struct sink *);
/* For finish: of the side that ends, and, since a server that says nothing more reads nothing more,
 * of the client's as well. */
typedef void broker_cut(struct broker_reader *);
void broker_finish(const struct broker_reader *, void *sides, size_t side_bytes, broker_cut *cut);
/* For feed: a step after the other until all has been read. */
size_t broker_feed(struct broker_reader *, const uint8_t *data, size_t length, broker_step *);
/* How many bytes are here of those that are left of something. */
size_t broker_there(const struct broker_reader *, uint64_t left);

/* Does what was sent begin with this? */
enum verdict broker_begins(const struct prefix *, const char *literal, uint8_t length);

/* An exchange that began `before` bytes ago, be it in data before these. Of `begin` what the key
 * is, and whether it is_settled. Answers its serial number, which the reader's side may need to
 * know. */
uint32_t broker_begin(
    struct broker_reader *, struct event begin, enum message_operation, size_t before);
/* An END that is told so has no answer; broker_end: it is complete. */
void broker_tell(struct broker_reader *, uint32_t serial, enum event_kind);
void broker_end(struct broker_reader *, uint32_t serial);
void broker_tell_number(struct broker_reader *, uint32_t serial, enum field, int64_t number);
void broker_tell_text(
    struct broker_reader *, uint32_t serial, enum field, struct broker_piece piece);
/* A piece of the value of a header of this name; what has to be told of the name is told first. */
void broker_tell_header(struct broker_reader *, uint32_t serial, enum field, struct fact name,
    struct broker_piece piece);
/* Where the reader is; `length` bytes before it may be replaced. */
void broker_tell_splice(struct broker_reader *, uint32_t serial, size_t length, uint64_t key);
void broker_keep(struct broker_reader *, uint64_t key, struct broker_piece piece);
/* ALIAS, DROP; RELEASE */
void broker_tell_kept(struct broker_reader *, enum event_kind, uint64_t key, uint64_t other);
void broker_recall(struct broker_reader *, uint32_t serial, enum field, uint64_t key);
/* Of what the other side sent: the client settles deliveries. No code: it is well. */
void broker_settle(
    struct broker_reader *, uint64_t first, uint64_t last, enum end_reason, const char *code);
