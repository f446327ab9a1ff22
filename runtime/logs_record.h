/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of logs as records of their own (OTEL_LOGS_EXPORTER; docs/LOGS.md). Host threads, inside an
 * observe block, after the kernel took the bytes: nothing that the program sees depends on it.
 *
 * A line is what stands between two ends of lines, or between one and the begin or the end of its
 * write: what is written in parts is a record a part. A blank one is none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "propagation.h"

struct thread;

enum { LOGS_BODY_MAX = 8 * 1024 /* bytes of a line that are kept */ };

/* Are there several lines in the first `taken` bytes? */
bool logs_are_several(const struct iovec *iov, int count, size_t taken);

/* Records the lines of the first `taken` bytes. ids: of the request that was at work; NULL: none.
 * Writes over the first half of self->lines, and self->flat. */
void logs_record(struct thread *self, int fd, const struct trace_ids *ids, const struct iovec *iov,
    int count, size_t taken);

/* Records a message for syslog of this severity, whole; of its end `dropped` bytes are not here. */
void logs_record_message(struct thread *self, unsigned severity, const struct trace_ids *ids,
    const char *text, size_t length, size_t dropped);
