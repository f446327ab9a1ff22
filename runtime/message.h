/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a library sends for its caller, and those that it hands to it: exchanges of no
 * connection (call.h), with a context in them.
 *
 *     sent:    message_begin(false); call_text...; message_header and message_adopt, or
 *              exchange_headers for what is to go with it; call_end
 *     handed:  message_over as soon as the program asks for more; message_begin(true); call_text of
 *              its parts, message_header; message_handed
 *
 * One that was handed to a thread is what the thread is at work on, as a request that it has read,
 * until message_over or the thread's end. Of several at once nobody says which one it is at: calls
 * are roots then. A thread that works for a request has asked for the message to answer that: it
 * stays with the request, and the message is over at once.
 *
 * Host threads, outside any observe block; errno is kept; no lock, no memory of the host's.
 */
#pragma once

#include "../protocols/library.h"
#include "call.h"
#include "exchange.h"

/* Also what is not sampled, or told to nobody, has a context. */
static inline bool message_is_seen(void)
{
    return process.page != NULL;
}

/* NULL: not to be told. */
struct exchange *message_begin(bool is_handed);

/* A header of the message, if it is one of a context that is looked for. value: NULL, none. */
void message_header(struct exchange *exchange, const char *name, const void *value, size_t length);
/* Its headers are the application's own context: that is the parent. */
void message_adopt(struct exchange *exchange);

/* TOLD: its runtime says itself who works on it, by carrier.h, and until when. */
enum handed { HANDED_SEVERAL, HANDED_ONE, HANDED_TOLD };

/* Takes the exchange. ONE: of one call of the library. Answers its context; NULL: it is over. */
struct context *message_handed(struct exchange *exchange, enum library library, enum handed handed);
/* One that was TOLD is over, and its exchange gone. */
void message_done(struct exchange *exchange);
/* Of several that one exchange stands for: the context of one, as exchange_link has it. */
void message_link(struct exchange *exchange, const void *traceparent, size_t length);

/* In an observe block: it is over, and the exchange gone. */
void message_end(struct thread *self, struct exchange *exchange);

/* What the calling thread has in hand is over. */
void message_over(void);
/* The same in an observe block. */
void message_leave(struct thread *self);
