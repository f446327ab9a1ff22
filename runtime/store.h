/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local store: append-only files of framed OTLP export requests, one or more per process.
 *
 *   file   = <directory>/<start, 16 hex digits of unix ns>-<pid>-<run id or 0>.otlp
 *   frame  = magic "BRDK" | length u32 LE | CRC-32C of the payload u32 LE | payload
 *   payload = ExportTraceServiceRequest, exactly what goes to a collector
 *
 * A frame is appended by one write; a torn one fails its checksum and the reader goes on at the
 * next magic. Several processes never share a file: after a fork the child begins its own. The
 * total is capped: when a file is begun, the oldest are removed until the total fits; if it cannot
 * be made to fit (they belong to somebody else) nothing is stored. The writer keeps no descriptor
 * open between appends, unless it is one that locks its file, and before each write and close it
 * makes sure that the number still means its file: the host may have closed it and opened something
 * else.
 * Files are 0600; the directory is made, with its parents, 0700, or 01777 when root makes it, since
 * daemons drop their privileges after we started.
 * Writer: exporter thread or command-line tool. Raw system calls, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "store_prune.h"

enum {
    STORE_FILE_BYTES_MAX = 16 * 1024 * 1024,
    STORE_FRAME_BYTES_MAX = 8 * 1024 * 1024,
    STORE_HEADER_BYTES = 12
};

/* Where a writer's files are. Texts are the caller's. */
struct store_place {
    const char *directory;
    const char *tag;         /* ends their names; "": 0 */
    uint64_t bytes_max;      /* of all together */
    uint64_t file_bytes_max; /* of one; one request has room in any case */
    bool locks;              /* the current file is open, and locked (flock): its writer lives */
    struct store_remover remover;
};

enum { STORE_PATH_BYTES = 1280 };

/* A frame that is about to be appended, for who wants to know later whether it was. */
struct store_intent {
    uint32_t is_set;
    uint32_t length, checksum; /* of its payload */
    uint64_t at;               /* bytes before it in the file */
    char path[STORE_PATH_BYTES];
};

struct store_writer {
    struct store_place place;
    struct store_intent *intent; /* is told of each; NULL: nobody asks */
    int held;                    /* locks: the descriptor of the current file; -1: none */
    char path[STORE_PATH_BYTES];
    uint64_t written;       /* bytes in the current file; 0: begin a new one */
    bool damaged;           /* the last append failed part way: begin a new file */
    int64_t pid;            /* who began the current file */
    uint64_t device, inode; /* of the current file */
};

/* The local store's. */
void store_writer_init(struct store_writer *writer, const struct config *config);
void store_writer_init_at(struct store_writer *writer, const struct store_place *place);

/* The current file is whole: the next request begins another. */
void store_release(struct store_writer *writer);

/* Constructor: what the root is. In a jail that the host has entered since no directory is made. */
void store_know_root(void);

/* Makes the directory, parents included, if it is missing. False: it cannot be. */
bool store_make(const char *directory);

/* Appends one request. False: not stored; *error then says why:
 *   -ENOENT no directory is configured or it cannot be made, -EACCES, -EPERM, -EROFS,
 *   -ENOSPC, -EDQUOT (also: the cap), -EFBIG (a limit of the process), -EINVAL (length 0 or more
 *   than STORE_FRAME_BYTES_MAX), -EBADF (the host took the descriptor), or what the kernel says.
 * A short write is taken back; where that fails too the file is left and a new one begun. */
bool store_append(struct store_writer *writer, const uint8_t *payload, size_t length, int *error);

/* Is the frame there, whole? The intent may be of a dead process, and hold anything. */
bool store_was_appended(const struct store_intent *intent);

/* Reads a whole file's frames from memory: advances *offset, answers the next intact payload.
 * False at the end. *torn counts the damaged places passed over; a last frame that is not complete
 * yet is one. Pure. */
bool store_next(const uint8_t *file, size_t bytes, size_t *offset, const uint8_t **payload,
    size_t *length, uint32_t *torn);

/* What stands before a payload. SENT: whoever sends a file on has written so; its payload is to be
 * passed over. NONE: this is no frame. */
enum store_frame { STORE_FRAME_NONE, STORE_FRAME_KEPT, STORE_FRAME_SENT };
enum store_frame store_frame_read(
    const uint8_t header[STORE_HEADER_BYTES], uint32_t *length, uint32_t *checksum);
/* To be written over the beginning of a frame's header. */
extern const uint8_t store_sent_mark[4];
