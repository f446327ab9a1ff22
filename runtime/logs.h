/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines that the host writes to its logs get the identity of the request that the thread is at work
 * on (BURDOCK_LOGS; docs/LOGS.md). Host threads, outside any observe block; keeps errno.
 *
 * An entry of the descriptor table says that a number is a log: SLOT_LOG, and in its upper half
 *
 *     bit 0        the last write to it did not end a line
 *     bits 1..31   of a hash of device and file, asked again before anything of ours is written:
 *                  numbers are closed and opened behind our back
 *
 * Promises to the host: it gets the count of its own bytes. A line leaves by one write, as it came.
 * Where the kernel could take our longer line in parts, or would have to wait for room, the line
 * stays as it is. If it took a part nevertheless (a full disk), what is missing of ours is a
 * *debt*, which goes out before the host's next byte there; until then no other line gets anything.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "config.h"
#include "descriptor.h"
#include "process.h"

/* What a descriptor that is no connection is: the entry of a log, SLOT_PLAIN or SLOT_STRANGE. */
uint64_t logs_classify(int fd);
/* What a connection is that is not followed. */
static inline uint64_t logs_unfollowed(void)
{
    return config.joins_logs || process.is_heir ? SLOT_STRANGE : SLOT_PLAIN;
}

/* The thread has read from what is not followed: on an event loop another one's work may begin with
 * it. */
void logs_stray(void);
static inline void logs_read(int fd, ssize_t result)
{
    if (descriptor_slot(fd) == SLOT_STRANGE && (result >= 0 || errno != EAGAIN))
        logs_stray();
}

static inline bool logs_has(int fd)
{
    return descriptor_slot(fd) == SLOT_LOG;
}

/* Before the host's write to a log. True: it was made; *result and errno are what the host gets.
 * False: nothing was written, the call is to be made as it is, and then reported. */
bool logs_write(int fd, const struct iovec *iov, int count, ssize_t *result);
void logs_written(int fd, const struct iovec *iov, int count, ssize_t result);

enum { LOGS_MESSAGE_MAX = 900 }; /* with ours, and its end: receivers of syslog may cut at 1,024 */

/* A message for syslog, of this severity, gets what a line would get, in its place, and is recorded
 * if that is asked for. length: of all of it; what `text` has no room for is not there. False: it
 * stays as it is. */
bool logs_join_message(char text[LOGS_MESSAGE_MAX], size_t length, unsigned severity);
