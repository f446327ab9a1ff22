/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What spans of message queues have in common: OpenTelemetry semantic conventions 1.44.0 for
 * messaging spans. A protocol tells FIELD_VERSION of each of its exchanges (Redis says it
 * otherwise), and its describe calls messaging_describe with what it knows beyond the facts.
 */
#pragma once

#include "protocol.h"

/* FIELD_VERSION: messaging.operation.type. SETTLE is told by the runtime, of what EVENT_SETTLE
 * ends. */
enum message_operation { MESSAGE_SEND, MESSAGE_RECEIVE, MESSAGE_PROCESS, MESSAGE_SETTLE };

enum { MESSAGING_NAME_MAX = 512 }; /* bytes of a destination as the span's name has it */

struct messaging {
    const char *system;      /* messaging.system */
    int64_t type;            /* enum message_operation */
    const char *operation;   /* messaging.operation.name, as the system calls it */
    struct fact destination; /* messaging.destination.name */
    struct fact error;       /* error.type, if FIELD_CODE has none */
    bool is_temporary;       /* it is one of a program's own, for answers: not part of a name */
};

/* Of NULL: none. */
struct fact messaging_text(const char *literal);

/* Of the facts it tells FIELD_MESSAGE, FIELD_BATCH, FIELD_CODE (an error) and the server. */
void messaging_describe(
    const struct facts *, struct describer *, const struct messaging *messaging);
/* All but the error and the server, of a protocol that tells those otherwise. */
void messaging_describe_operation(
    const struct facts *, struct describer *, const struct messaging *messaging);
