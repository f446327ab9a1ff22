/* SPDX-License-Identifier: Apache-2.0 */
/* How a session began, and what was agreed on: told with the exchanges that it carries, or, if it
 * failed, as a span of its own. */
#include <errno.h>
#include <string.h>

#include "counters.h"
#include "exporter.h"
#include "secure_internal.h"

static void tell(struct exchange *exchange, const char *text, size_t length)
{
    struct event event = {.kind = EVENT_TEXT,
        .field = FIELD_TLS,
        .first = true,
        .last = true,
        .text = (const uint8_t *)text,
        .length = length};
    exchange->present |= 1u << FIELD_TLS;
    exchange_add_text(exchange, &event);
}

/* And how that came about. Once, but for an exchange that is no span (a login) the next one. */
static void tell_handshake(const struct session *session, struct exchange *exchange)
{
    struct record_handshake handshake = {session->end_ns + process_clock_offset_ns(),
        session->end_ns - session->start_ns, session->is_resumed};
    char text[SECURE_FACTS_MAX + 1 + sizeof(handshake)];
    size_t length = session->facts_length;
    memcpy(text, session->facts, length);
    text[length++] = ' ';
    memcpy(text + length, &handshake, sizeof(handshake));
    exchange->tells_shake = true;
    tell(exchange, text, length + sizeof(handshake));
}

/* Once the head is complete: of its texts one may be under way. */
void secure_tell(const struct session *session, struct connection *connection)
{
    struct exchange *exchange = connection->first;
    for (; exchange != NULL; exchange = exchange->next) {
        if (!exchange->requested || exchange->present & 1u << FIELD_TLS)
            continue;
        if (!session->is_known)
            tell(exchange, " ", 1);
        else if (session->end_ns != 0 && !connection->shake_told) {
            connection->shake_told = true;
            tell_handshake(session, exchange);
        } else
            tell(exchange, session->facts, session->facts_length);
    }
}

/* Probes for health connect to a server and leave: that is no failure. */
static bool is_told(const struct session *session, bool is_server, const char *error)
{
    return error != NULL && !session->was_refused &&
           !(is_server && strcmp(error, "connection_closed") == 0);
}

static void refuse(struct thread *self, struct session *session, struct connection *connection,
    bool is_server, const char *error)
{
    struct decision decision = {0};
    struct peer peer = {.address = ""};
    if (!is_server)
        decision =
            attribution_parent(self, connection == NULL ? &nobody_opened : &connection->opener);
    if (connection != NULL)
        peer = stream_peer(connection);
    session->was_refused = true;
    exporter_need();
    exchange_record_attempt(
        self, RECORD_HANDSHAKE, is_server, decision, peer, session->start_ns, session->unit, error);
    if (connection != NULL)
        stream_disown(connection);
}

/* Of a session that has no connection yet. */
static void refuse_bare(struct session *session, bool is_server, const char *error)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self != NULL) {
        refuse(self, session, NULL, is_server, error);
        observe_close(self);
    }
    errno = saved_errno;
}

void secure_handshake(struct secure_call *call, bool is_server, const char *error)
{
    struct session *session = call->session;
    struct visit visit;
    if (!secure_enter(&visit, session)) {
        if (session->sight.connection == NULL && is_told(session, is_server, error))
            refuse_bare(session, is_server, error);
        return;
    }
    struct connection *connection = visit.connection;
    is_server = is_server || connection->origin == ORIGIN_ACCEPTED;
    stream_touch(&visit, DIRECTION_IN);
    if (error != NULL && (connection->making & MAKING_CONNECTS) &&
        secure_is_of_network(visit.saved_errno))
        stream_failed(visit.self, connection, session->sight.fd, visit.saved_errno);
    else if (is_told(session, is_server, error))
        refuse(visit.self, session, connection, is_server, error);
    stream_leave(&visit);
}

static char *append(char *at, const char *end, const char *text, size_t length)
{
    for (size_t i = 0; i < length && at < end && text[i] != ' '; i++)
        *at++ = text[i];
    return at;
}

/* A session that was open when it was first seen: how that came about is not known. */
static void end_handshake(struct session *session)
{
    int saved_errno = errno;
    struct thread *self = session->is_late ? NULL : observe_open();
    if (self != NULL) {
        session->end_ns = thread_now(self);
        observe_close(self);
    }
    errno = saved_errno;
}

void secure_agreed(struct secure_call *call, const struct secure_agreement *agreed)
{
    struct session *session = call->session;
    const char *end = session->facts + sizeof(session->facts);
    char *at = append(session->facts, end - 2, agreed->version, strlen(agreed->version));
    *at++ = ' ';
    at = append(at, end - 1, agreed->cipher, strlen(agreed->cipher));
    *at++ = ' ';
    at = append(at, end, agreed->alpn, agreed->alpn_length);
    session->facts_length = (uint32_t)(at - session->facts);
    session->is_known = true;
    session->is_resumed = agreed->is_resumed;
    end_handshake(session);
    struct visit visit;
    if (agreed->alpn_length != 2 || memcmp(agreed->alpn, "h2", 2) != 0 ||
        !secure_enter(&visit, session))
        return;
    counter_add(COUNTER_TLS_NOT_FOLLOWED, 1);
    stream_give_up(visit.self, visit.connection, session->sight.fd);
    session->ignored = true;
    stream_leave(&visit);
}
