/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host thread leaves in its ring of a finished exchange: the facts, as the parser told them,
 * not yet the span. Telling them as a span is the consumer's work (telling.h): done for many at
 * once, off the host's threads, it costs a fraction.
 *
 * Layout: struct record, then its texts, each struct record_text followed by `length` bytes; all
 * rounded up to 8.
 *   record.bytes == sizeof(struct record) + the texts, rounded up to 8; <= RECORD_BYTES_MAX
 *   of each kind at most one text
 * Plain data, no pointers: a reader in another process, of the same RING_VERSION, understands it.
 * The host thread writes it once; readers see it only after it is complete.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../protocols/protocol.h"
#include "copy.h"

enum { RECORD_ALIGNMENT = 8, RECORD_BYTES_MAX = 48 * 1024 };

/* PADDING fills the end of a ring's data; only its first 8 bytes are read. A CALL is an exchange
 * that a library was asked for, not a connection. A LOG is no span: it has the span that was at
 * work (no trace: none was), both times when its line was written, and of what follows only what is
 * said there. */
enum record_kind {
    RECORD_PADDING,
    RECORD_EXCHANGE,
    RECORD_CONNECT,
    RECORD_HANDSHAKE,
    RECORD_CALL,
    RECORD_LOG
};

enum record_mark {
    RECORD_SERVER = 1,
    RECORD_HAS_PARENT = 2,
    RECORD_HAS_RESPONSE = 4,
    RECORD_ADOPTED = 8,    /* it carries the application's own context */
    RECORD_UNTOUCHED = 16, /* it went out without one: it could not be edited safely */
    RECORD_REWRITTEN = 32  /* it went out with ours, written anew */
};

/* Why it is told though its trace is not sampled: tail.h. */
enum record_kept { RECORD_KEPT_ERROR = 1, RECORD_KEPT_SLOW };

/* Of a LOG, where a span has its protocol: descriptor 1 or 2, 0 for a file, or this and one of
 * syslog's severities. */
enum { RECORD_LOG_SYSLOG = 8, RECORD_LOG_SEVERITIES = 8 };

/* Texts are named by their field, or by one of these. */
enum record_text_kind {
    RECORD_TEXT_PEER = FIELD_RECORDED, /* address of the other end */
    RECORD_TEXT_ERROR,                 /* error.type of the transport */
    RECORD_TEXT_TRACE_STATE,
    RECORD_TEXT_STACK, /* return addresses of the call, uintptr_t, innermost first, not aligned */
    RECORD_TEXT_LINKS, /* struct trace_link, one after the other; then, if these were not all,
                          uint32_t: how many more there were */
    RECORD_TEXT_UNFINISHED, /* struct record_unfinished: the process died before the exchange ended
                             */
    RECORD_TEXT_BODY,       /* of a LOG: its line */
    RECORD_TEXT_PATH,       /* of the file that it was written to */
    RECORD_TEXTS
};

struct record_text {
    uint16_t kind;
    uint16_t length;
};

/* How the connection agreed on TLS: of its first exchange, behind FIELD_TLS and a blank. */
struct record_handshake {
    uint64_t end_ns; /* since the Unix epoch */
    uint64_t took_ns;
    uint64_t is_resumed;
};

struct record_unfinished {
    uint64_t is_answered; /* its answer had begun */
    uint64_t age_ns;      /* at most, when the process died */
};

struct record {
    uint32_t bytes;
    uint8_t kind;     /* enum record_kind */
    uint8_t protocol; /* index in protocol_rows; of a CALL: enum library; of a LOG: 1 or 2, where
                       * it went to by that descriptor */
    uint8_t marks;    /* bits of enum record_mark */
    uint8_t rule;     /* enum rule: attribution.h */
    uint32_t flags;   /* as in struct span */
    uint16_t peer_port;
    uint16_t kept; /* enum record_kept; 0 from a host thread */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    uint64_t start_ns; /* since the Unix epoch */
    uint64_t end_ns;
    int64_t numbers[FIELD_NUMBERS]; /* of a LOG the first: bytes of its line that were cut off */
};

_Static_assert(sizeof(struct record) % RECORD_ALIGNMENT == 0, "texts follow at once");

static inline size_t record_rounded(size_t bytes)
{
    return (bytes + RECORD_ALIGNMENT - 1) & ~(size_t)(RECORD_ALIGNMENT - 1);
}

/* Appends a text at `at`, where there is room for it; answers where the next one goes. None is
 * written of length 0. */
static inline uint8_t *record_put_text(uint8_t *at, unsigned kind, const void *text, size_t length)
{
    struct record_text head = {(uint16_t)kind, (uint16_t)length};
    if (length == 0)
        return at;
    memcpy(at, &head, sizeof(head));
    copy_short(at + sizeof(head), text, length);
    return at + sizeof(head) + length;
}
