/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of message queues' spans share. */
#pragma once

#include "messaging.h"
#include "tap.h"
#include "writer.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define SERVER(port)                                                              \
    "server.address=192.0.2.9\nnetwork.peer.address=192.0.2.9\nserver.port=" port \
    "\nnetwork.peer.port=" port "\n"
#define SPAN_OF(system, name, kind, operation, type)                                    \
    name "\n" kind "\nmessaging.system=" system "\nmessaging.operation.name=" operation \
         "\nmessaging.operation.type=" type "\n"

static inline struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

/* W3C's headers of which there are values, to be put there. */
static inline unsigned headers_of(const char *const values[3], struct context_header headers[3])
{
    static const char *const names[] = {"traceparent", "tracestate", "baggage"};
    unsigned count = 0;
    for (unsigned i = 0; i < 3; i++)
        if (values[i] != NULL)
            headers[count++] = (struct context_header){fact(names[i]), fact(values[i])};
    return count;
}

/* Writes what is put in the place of `before`, if `values` are the context's. */
static inline size_t insert_values(const struct protocol *protocol, struct fact before,
    const char *const values[3], uint64_t key, char *out)
{
    struct context_header headers[3];
    struct insertion insertion = {.headers = headers,
        .count = headers_of(values, headers),
        .replaced = before,
        .key = key};
    return protocol->insert(&insertion, out);
}

/* Such a message is told so: destination, group, code. Not is_whole: its first lines. */
static inline void check_span_of(const struct protocol *protocol, int32_t port, int64_t operation,
    const char *const texts[3], const char *expected, bool is_whole, const char *what)
{
    struct facts facts = {.peer_address = fact("192.0.2.9"), .peer_port = port};
    facts.numbers[FIELD_VERSION] = operation;
    facts.texts[FIELD_DESTINATION] = fact(texts[0]);
    facts.texts[FIELD_SUBSCRIPTION] = fact(texts[1]);
    facts.texts[FIELD_CODE] = fact(texts[2]);
    const char *told = writer_tell(protocol, &facts);
    size_t length = is_whole ? SPAN_BYTES_MAX : strlen(expected);
    if (!CHECK(strncmp(told, expected, length) == 0, "%s", what))
        fprintf(stderr, "%s", told);
}
