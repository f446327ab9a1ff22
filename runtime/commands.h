/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that a client library in C collects in a buffer, to send those of many requests in one
 * write from its program's event loop, and to call back in the order in which it was asked. Each
 * command is remembered with whose it is and how long; so it is known whose bytes are written, and
 * whose is the next answer.
 *
 * A client is known by its address. It is used by one thread at a time, as the libraries ask for;
 * different ones by any threads at once. Not in a signal handler.
 *
 *   at most COMMANDS_CLIENTS_MAX clients are known, and of one write the first COMMANDS_PARTS_MAX
 *   commands; of others nothing is, or what is sent is nobody's
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { COMMANDS_CLIENTS_MAX = 256, COMMANDS_PARTS_MAX = 255 };

/* The thread has put a command of so many bytes, which gets one answer. */
void commands_put(const void *client, size_t bytes);
/* What follows is not known to be in order (subscriptions, several commands in one): what is sent
 * from now on is nobody's, and who is called back is what was read, until the client is forgotten.
 */
void commands_give_up(const void *client);
/* The same, if anything is known of the client: something was put that is no such command. */
void commands_strange(const void *client);
/* The same: whoever waits is called back now, without an answer. The thread is in none. */
void commands_abandon(const void *client);

/* The thread is about to write what has been put, and has. NULL: nothing is known of the client. */
struct commands_client;
struct commands_client *commands_write(const void *client);
void commands_written(struct commands_client *client, bool is_all);

/* It is about to look for the next answer: where the callback of the last one has ended. */
struct commands_client *commands_next(const void *client);
/* There is one, and its callback is next. */
void commands_answer(struct commands_client *client);

void commands_forget(const void *client);
