/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: requests that the collector could not take, in files until it can. Exporter thread or
 * command-line tool; raw system calls, no allocation, no memory of its own but while files are
 * removed to make room (2 MiB).
 *
 * Files and frames are those of the local store (store.h) in a directory of their own, with a file
 * name that ends in a hash of where the requests go: URL and headers. Only who sends there, with
 * the same headers, takes them up; neither is written down. Requests with lines of logs and with
 * metrics have files of their own there, whose hash begins with `l` or `m`; the room is for all.
 *
 * | a file is            | and its lock (flock)    | may be                                       |
 * | being written        | held by its writer      | appended to by that process                  |
 * | being sent           | held by who sends it    | marked frame by frame, and removed at its end|
 * | finished or left     | nobody's                | taken by anybody to be sent or, the oldest   |
 * |                      |                         | first, to be removed for room                |
 *
 * The lock dies with its holder. What was sent is marked after the collector's answer, in place: a
 * death between both, or an answer that is lost, sends one request again; nothing else does.
 * A file ends where a frame is damaged: who was killed while writing it has its spans still in its
 * rings. Files are written to the page cache, which outlives processes, not the machine's power.
 * All together have BURDOCK_SPOOL_MAX bytes, and what the files have grown that are being written
 * by other processes since they were begun, 4 MiB each at most.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "store.h"

enum { SPOOL_FILE_BYTES_MAX = 4 * 1024 * 1024, SPOOL_TAG_BYTES = 17 };

struct spool {
    bool is_on;
    bool takes_others; /* files of other users too: a command by hand, as root */
    bool takes_all;    /* of this signal, meant for whichever endpoint: to be stored, not sent */
    enum signal signal;
    struct store_writer writer;
    char directory[CONFIG_TEXT_MAX];
    char parent[CONFIG_TEXT_MAX]; /* the store, if it is a directory of it; else "" */
    char tag[SPOOL_TAG_BYTES];
    int descriptor; /* of the file being sent, locked; -1: none */
    char name[STORE_NAME_BYTES_MAX];
    char after[STORE_NAME_BYTES_MAX]; /* a file that is sent and cannot be removed; "": none */
    uint64_t offset;                  /* of its next frame */
    uint64_t frame_offset, frame_end; /* of the one that spool_next told */
};

/* Do requests of this signal wait in a spool, if it can be? Of metrics the last of a process. */
static inline bool spool_is_wanted(const struct config *config, enum signal signal)
{
    return !config->spool_off && config->signals[signal].destination == DESTINATION_OTLP;
}

/* Where requests of this configuration wait; off unless they go to a collector.
 */
void spool_open(struct spool *spool, const struct config *config, enum signal signal);
/* Whatever is being sent or written is left to others. */
void spool_close(struct spool *spool);

/* By root, before a service changes its user. */
void spool_make(const struct config *config);

/* Keeps a request. False: it cannot be kept; see store_append for *error. */
bool spool_append(struct spool *spool, const uint8_t *payload, size_t length, int *error);

/* The oldest request that waits and is nobody else's, into `buffer`: its length, 0: there is none.
 * The same one until spool_settle. */
size_t spool_next(struct spool *spool, uint8_t *buffer, size_t room);
/* What spool_next told is done with: sent or refused for good. */
void spool_settle(struct spool *spool);

/* Lets go of the file being sent. */
void spool_rest(struct spool *spool);

/* Bytes of all files that are there. */
uint64_t spool_bytes(const struct spool *spool);

/* Spans, lines or metrics of a request. Pure; 0 for what is none. */
uint32_t spool_items(const uint8_t *payload, size_t length);
