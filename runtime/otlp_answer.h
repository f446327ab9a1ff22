/* SPDX-License-Identifier: Apache-2.0 */
/* What a collector's HTTP answer means (OTLP/HTTP: full success, partial success, failures). Pure;
 * decoding uses protobuf-c over the memory given. */
#pragma once

#include "http_answer.h"
#include "otlp_http.h"

/* Fills outcome, status, rejected, retry_after_ms and message. closed: the connection ended or the
 * time was up; else the reader stopped by itself. */
void otlp_answer_read(struct otlp_answer *answer, const struct http_answer *http, bool closed,
    uint8_t *memory, size_t bytes);
