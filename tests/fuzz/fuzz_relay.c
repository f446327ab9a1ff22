/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what the relay reads of others: what processes send to its socket (clients.c, request.c),
 * and what a collector answers, as libcurl hands it over (transfer.c, grpc.c). The first byte says
 * which; the second one how a process's bytes are cut and what it is answered, or a status.
 *
 * What must hold whatever the bytes are:
 *   each answer to a process is whole HTTP/1.1; a body that is handed on stood in what it sent
 *   when it has gone, nothing of it is left: no place, no bytes that count against the others
 *   a verdict is one of three, the same when judged again, with a body that can be read to its end
 *   accepted is what says so; what has to be repeated is 429 or 5xx to the process
 *   what the doctor is told of it is JSON
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clients.h"
#include "grpc.h"
#include "json_find.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { ANSWERS_BYTES = 1 << 20, EVENTS_MAX = 8 };

static FILE *errors;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(errors, "does not hold: %s\n", what);
    abort();
}

/* ---- a process and its relay ---- */

static struct backend backend;
static struct clients clients;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_bytes = sizeof address.sun_family;
static struct slice sent;      /* all that the process sends */
static struct client *waiting; /* for an answer of the backend's */
static bool answers_later;

bool peers_admit(struct peers *peers, int descriptor)
{
    return true;
}

size_t relay_status(char *out, size_t room)
{
    return (size_t)snprintf(out, room, "{\"v\":1}");
}

static void answer(struct client *client)
{
    struct reply reply = {.status = 503,
        .retry_after_s = 7,
        .type = "text/plain",
        .body = (const uint8_t *)"later",
        .body_bytes = 5};
    client_answer(client, &reply);
}

void backend_post(
    struct backend *given, enum signal signal, struct client *client, uint8_t *body, size_t length)
{
    require(
        given == &backend && given->targets[signal].settings != NULL, "a signal that is relayed");
    require(length == 0 || memmem(sent.data, sent.length, body, length) != NULL,
        "a body is what was sent");
    free(body);
    if (answers_later) {
        require(waiting == NULL, "one request at a time");
        waiting = client;
        client_wait(client, (struct transfer *)client);
    } else {
        answer(client);
    }
}

void backend_abort(struct backend *given, struct transfer *transfer)
{
    require((struct client *)transfer == waiting, "what is given up was waited for");
    waiting = NULL;
}

static void listen_once(void)
{
    static const struct config_signal spans = {.path = "/v1/traces"}, lines = {.path = "/v1/logs"};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (clients.epoll != 0)
        return;
    backend.targets[SIGNAL_TRACES].settings = &spans;
    backend.targets[SIGNAL_LOGS].settings = &lines;
    /* A name that the kernel makes up. */
    require(bind(listener, (struct sockaddr *)&address, address_bytes) == 0 &&
                listen(listener, 4) == 0 && clients_open(&clients, &backend, listener),
        "a place to listen");
    address_bytes = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &address_bytes);
}

static void attend(void)
{
    struct epoll_event events[EVENTS_MAX];
    int count;
    while ((count = epoll_wait(clients.epoll, events, EVENTS_MAX, 0)) > 0)
        for (int i = 0; i < count; i++)
            if (events[i].data.ptr == NULL)
                clients_accept(&clients);
            else
                client_attend(events[i].data.ptr, events[i].events);
}

/* One answer after the other, to the last byte. */
static void check_answers(struct slice answers)
{
    static const char length_field[] = "\r\nContent-Length: ";
    while (answers.length > 0) {
        const char *end = memmem(answers.data, answers.length, "\r\n\r\n", 4);
        require(answers.length > 13 && memcmp(answers.data, "HTTP/1.1 ", 9) == 0 && end != NULL,
            "an answer has a head");
        size_t head = (size_t)(end - answers.data) + 4;
        const char *field = memmem(answers.data, head, length_field, sizeof length_field - 1);
        size_t body = field == NULL ? SIZE_MAX : strtoul(field + sizeof length_field - 1, NULL, 10);
        require(body <= answers.length - head, "and a body of the length that it says");
        answers.data += head + body;
        answers.length -= head + body;
    }
}

static size_t receive(int process, char *out, size_t room)
{
    size_t got = 0;
    ssize_t more;
    while (got < room && (more = recv(process, out + got, room - got, MSG_DONTWAIT)) > 0)
        got += (size_t)more;
    return got;
}

static void fuzz_process(uint8_t how, struct slice bytes)
{
    static char answers[ANSWERS_BYTES];
    size_t piece = how >> 1 == 0 ? bytes.length : how >> 1, got = 0;
    int process = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sent = bytes;
    answers_later = how & 1;
    require(connect(process, (struct sockaddr *)&address, address_bytes) == 0, "somebody listens");
    for (size_t at = 0; at < bytes.length; at += piece) {
        size_t now = bytes.length - at < piece ? bytes.length - at : piece;
        if (send(process, bytes.data + at, now, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)now)
            break;
        attend();
        if (waiting != NULL && at % 3 == 0) {
            struct client *client = waiting;
            waiting = NULL;
            answer(client);
        }
        got += receive(process, answers + got, sizeof answers - got);
    }
    attend();
    got += receive(process, answers + got, sizeof answers - got);
    check_answers((struct slice){answers, got});
    close(process);
    attend();
    require(clients.count == 0 && clients.body_bytes == 0 && waiting == NULL,
        "nothing is left of who has gone");
}

/* ---- a collector's answer ---- */

/* Lines up to an empty one, then the body, in pieces. */
static void hand_over(struct transfer *transfer, struct slice bytes)
{
    struct slice line;
    while (slice_split(&bytes, '\n', &line) && line.length > 0) {
        char *field = malloc(line.length + 1);
        memcpy(field, line.data, line.length);
        field[line.length] = '\n';
        require(transfer_take_field(field, 1, line.length + 1, transfer) == line.length + 1,
            "a line is taken whole");
        free(field);
    }
    for (size_t at = 0; at < bytes.length; at += 7) {
        size_t now = bytes.length - at < 7 ? bytes.length - at : 7;
        require(transfer_take_body((char *)bytes.data + at, 1, now, transfer) == now,
            "and so is a piece of the body");
    }
    require(transfer->answer_bytes == bytes.length &&
                (bytes.length == 0 || memcmp(transfer->answer, bytes.data, bytes.length) == 0),
        "a body is what came");
}

static void check_verdict(const struct verdict *verdict)
{
    static volatile uint8_t sum;
    for (size_t i = 0; i < verdict->reply.body_bytes; i++)
        sum ^= verdict->reply.body[i];
    require(verdict->kind < VERDICT_COUNT && verdict->reply.type != NULL, "a verdict");
    require(memchr(verdict->words, '\0', sizeof verdict->words) != NULL, "its words have an end");
    require(verdict->kind != VERDICT_AGAIN || verdict->reply.status == 429 ||
                verdict->reply.status >= 500,
        "a process understands that it has to repeat");
    require(verdict->kind != VERDICT_ACCEPTED || verdict->reply.status / 100 == 2,
        "and that it has not");
}

static bool are_same(const struct verdict *a, const struct verdict *b)
{
    return a->kind == b->kind && a->reply.status == b->reply.status &&
           a->reply.retry_after_s == b->reply.retry_after_s &&
           a->reply.body_bytes == b->reply.body_bytes && strcmp(a->words, b->words) == 0 &&
           (a->reply.body_bytes == 0 ||
               memcmp(a->reply.body, b->reply.body, a->reply.body_bytes) == 0);
}

static void check_tally(const struct verdict *verdict)
{
    static const char url[] = "https://collector:4318/v1/logs?key=secret";
    struct tally tally;
    char text[4096], words[sizeof tally.trouble];
    tally_open(&tally, SIGNAL_LOGS, url);
    tally_add(&tally, verdict->kind, verdict->words);
    struct slice json = {text, tally_print(&tally, text, sizeof text)};
    require(json.length > 0 && strcmp(tally.url, "https://collector:4318/v1/logs") == 0,
        "the doctor is told, without what stands behind a path");
    size_t length = json_characters(json_find(json, "trouble"), words, sizeof words);
    require(length == strlen(tally.trouble) && memcmp(words, tally.trouble, length) == 0,
        "the words as they are");
}

static void judge(struct transfer *transfer, bool is_grpc, long status, struct verdict *verdict)
{
    *verdict = (struct verdict){0};
    if (is_grpc)
        grpc_judge(transfer, status, verdict);
    else
        transfer_judge_http(transfer, status, verdict);
}

static void fuzz_answer(bool is_grpc, uint8_t which, struct slice bytes)
{
    static const long statuses[] = {200, 202, 301, 400, 401, 403, 404, 429, 500, 502, 503, 504};
    long status = statuses[which % (sizeof statuses / sizeof statuses[0])];
    struct transfer transfer = {0};
    struct verdict first, second;
    hand_over(&transfer, bytes);
    judge(&transfer, is_grpc, status, &first);
    judge(&transfer, is_grpc, status, &second);
    check_verdict(&first);
    require(are_same(&first, &second), "it is judged as before");
    const char *code = transfer.fields[FIELD_STATUS];
    require(
        !is_grpc || first.kind != VERDICT_ACCEPTED || (code != NULL && strtol(code, NULL, 10) == 0),
        "accepted is what says so");
    check_tally(&first);
    verdict_free(&first);
    verdict_free(&second);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        free(transfer.fields[i]);
    free(transfer.answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 2)
        return 0;
    if (errors == NULL) { /* what the relay tells its log is not for ours */
        errors = stderr;
        stderr = fopen("/dev/null", "w");
        listen_once();
    }
    char *exact = malloc(length - 2); /* where ASan sees both ends */
    memcpy(exact, data + 2, length - 2);
    if (data[0] % 3 == 0)
        fuzz_process(data[1], (struct slice){exact, length - 2});
    else
        fuzz_answer(data[0] % 3 == 1, data[1], (struct slice){exact, length - 2});
    free(exact);
    return 0;
}
