/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of AMQP as the carrier knows them, for messages.c and aiormq.c. */
#pragma once

#include <stdint.h>

struct py_object;

/* A delivery on a channel, by its tag; fd -1: it is not known. */
struct message {
    int fd;
    uint64_t key;
};
struct message message_at(int fd, long channel, long tag);
/* Held; CARRIER_NONE: it is not known. */
uint32_t message_take(struct message message);

/* An integer, and a file's; -1: it is none. The reference goes with it. */
long message_number(struct py_object *object);
int message_descriptor(struct py_object *socket);
/* A transport's socket, or what uvloop has in the place of one. The reference goes with it. */
struct py_object *message_socket_of(struct py_object *transport);

/* Of a method the function; what else a program may call is not asked. A new reference or NULL. */
struct py_object *message_function_of(struct py_object *callback);
/* A method of ours that is bound to the program's function: whoever looks for garbage sees through
 * it. A new reference; NULL: it is there. */
struct py_object *message_handed_by(struct py_object *ours, struct py_object *callback);
/* A consumer's row in the dictionary `rows_name` of the object, by the tag that the method has: a
 * new reference or NULL. */
struct py_object *message_consumer_of(
    struct py_object *self, const char *rows_name, struct py_object *method);
