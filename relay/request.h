/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request as our own exporter makes it (runtime/otlp_http.h), RFC 9112: one body of a
 * known length, no codings. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

enum { REQUEST_BODY_BYTES_MAX = 64 * 1024 * 1024 }; /* OTLP 1.11: before compression */

struct request {
    bool is_post; /* else GET */
    bool keep_alive;
    struct slice path;
    size_t body_bytes;
};

/* The head with its empty line. Answers 0, or the status to refuse it with. */
int request_read(struct slice head, struct request *request);
