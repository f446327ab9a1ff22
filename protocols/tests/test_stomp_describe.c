/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of STOMP that carry the context, and the spans that tell its messages. */
#include "stomp.h"
#include "messages.h"

extern const struct protocol stomp_protocol;

static void check_insert(
    const char *state, const char *baggage, unsigned version, const char *after, const char *what)
{
    static char out[1 << 12];
    const char *const values[] = {PARENT, state, baggage};
    size_t length = insert_values(&stomp_protocol, (struct fact){0}, values, version, out);
    out[length] = '\0';
    if (!CHECK(strcmp(out, after) == 0, "%s", what))
        fprintf(stderr, "%s\n", out);
}

static void check_inserts(void)
{
    static char colons[162];
    check_insert(NULL, NULL, 12, "traceparent:" PARENT "\n", "a header");
    check_insert("ot=th:8", "k=a\\b", 12,
        "traceparent:" PARENT "\ntracestate:ot=th\\c8\nbaggage:k=a\\\\b\n", "escaped");
    check_insert(
        "ot=th:8", NULL, 10, "traceparent:" PARENT "\ntracestate:ot=th:8\n", "1.0 does not");
    check_insert(NULL, NULL, 0, "", "the version is not known");
    memset(colons, ':', 161);
    check_insert(NULL, colons, 11, "", "more to be escaped than there is room for");
}

static void check_span(int64_t operation, const char *destination, const char *code,
    const char *expected, const char *what)
{
    const char *const texts[] = {destination, "", code};
    check_span_of(&stomp_protocol, 61613, operation, texts, expected, false, what);
}

int main(void)
{
    check_inserts();
    check_span(MESSAGE_SEND, "/queue/a", "",
        "send /queue/a\nPRODUCER\nmessaging.system=stomp\nmessaging.operation.name=send\n"
        "messaging.operation.type=send\nmessaging.destination.name=/queue/a\n",
        "sent");
    check_span(MESSAGE_PROCESS, "/temp-queue/1", "", "process 192.0.2.9\nCONSUMER\n",
        "a queue of the program's own is no name");
    check_span(MESSAGE_SETTLE, "/queue/a", "nack", "nack /queue/a\nCLIENT\n", "refused");
    check_span(MESSAGE_SETTLE, "/queue/a", "", "ack /queue/a\nCLIENT\n", "acknowledged");
    return tap_done();
}
