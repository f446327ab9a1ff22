/* SPDX-License-Identifier: Apache-2.0 */
/* Natives of Kafka's client: kafka.c. */
#pragma once

#include <stdbool.h>

struct jni;

extern bool kafka_is_off; /* its classes are none that we know */

/* The thread asks this consumer for more. */
void kafka_polls(struct jni *, void *class, void *consumer);
/* It asks for the next record, or closes: what it has in hand is over. */
void kafka_asks(struct jni *, void *class);
/* What an iterator of Kafka's hands out. */
void kafka_hands(struct jni *, void *class, void *record);
/* All that came of one partition. */
void kafka_lists(struct jni *, void *class, void *list);
