/* SPDX-License-Identifier: Apache-2.0 */
/* Records that consumers of Kafka hand out: kafka.c tells which, kafka_taken.c makes spans of them.
 * No code of the program's runs in the latter, and nothing of it is beneath that. */
#pragma once

#include <stdint.h>

struct py_object;
struct queue;

/* Whoever runs asks the consumer for more, and what it has in hand is over. uses: as often as that
 * was used by then. NULL: it asks itself, or is not known. */
struct queue *kafka_ask(struct py_object *consumer, uint32_t *uses);
/* The consumer that the running task has asked last; NULL: none, or for a request. */
struct queue *kafka_asked(void);

/* Whoever runs is at this from now on: a record; what poll() has answered; records of one
 * partition, of which there may be more. What is none of the library's own is passed over. */
void kafka_take_one(struct queue *queue, struct py_object *record);
void kafka_take_polled(struct queue *queue, struct py_object *lists);
void kafka_take_all(struct queue *queue, struct py_object *list);
