/* SPDX-License-Identifier: Apache-2.0 */
/* What of rdkafka.h both of our files need; it is not needed to build us. No version of librdkafka
 * has changed it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_topic_s rd_kafka_topic_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef struct rd_kafka_queue_s rd_kafka_queue_t;
typedef struct rd_kafka_error_s rd_kafka_error_t;
typedef struct rd_kafka_headers_s rd_kafka_headers_t;

typedef struct {
    int err; /* of what was handed on: not 0, and it is no message */
    rd_kafka_topic_t *rkt;
    int32_t partition; /* < 0: not known */
    void *payload;
    size_t len;
    void *key; /* NULL: none */
    size_t key_len;
    int64_t offset;
    void *_private;
} rd_kafka_message_t;

/* A handle's name is "{client.id}#{producer or consumer}-{number}": so long is the first part. */
static inline size_t rdkafka_client_length(const char *handle)
{
    const char *behind = strrchr(handle, '#');
    return behind == NULL ? 0 : (size_t)(behind - handle);
}
