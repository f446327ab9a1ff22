/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A statement gets its comment, and the kernel takes what goes out in pieces, cut at every place,
 * twice. The host offers again what it was told has not gone; what the kernel has in the end is the
 * statement with its comment, once, and the next one behind it. The same of packets that are
 * written anew with one variable more: uwsgi's and SCGI's; of requests of Kafka and Pub/Sub that
 * are gathered from several buffers; and of answers that get lines of their own.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "crc32c.h"
#include "descriptor.h"
#include "fake_kernel.h"
#include "process.h"
#include "tap.h"
#include "thread.h"

enum {
    FD = FIRST_FD,
    WANTED_MAX = 1024,
    IDS = sizeof("00-1234567890abcdef1234567890abcdef-1234567890abcdef-01") - 1
};

#define PIECE(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

struct piece {
    const uint8_t *bytes;
    size_t length;
};

/* What is said before the first statement, whose first bytes are `head` bytes long. */
static const struct dialogue {
    const char *name;
    struct piece greeting, login, welcome, statement;
    size_t behind; /* bytes of the statement's message that come behind its text */
    bool is_little;
} dialogues[] = {
    {"MySQL",
        PIECE("J\0\0\0\n8.0.36\0\7\0\0\0saltsalt\0\xff\xff-\2\0\xff\xff\25\0\0\0\0\0\0\0\0\0\0"
              "saltsaltsalt\0mysql_native_password\0"),
        PIECE("?\0\0\1\0\202\0\1\0\0\0\1-\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0\4hash"
              "mysql_native_password\0"),
        PIECE("\7\0\0\2\0\0\0\2\0\0\0"), PIECE("\11\0\0\0\3SELECT 1"), 0, true},
    {"PostgreSQL", PIECE(""), PIECE("\0\0\0\22\0\3\0\0user\0app\0\0"),
        PIECE("R\0\0\0\10\0\0\0\0Z\0\0\0\5I"), PIECE("Q\0\0\0\15SELECT 1\0"), 1, false},
};

/* What goes out, and what is to arrive: a traceparent between front and back. */
static const struct packet {
    const char *name;
    struct piece packet, front, back;
} packets[] = {
    {"uwsgi", PIECE("\0\25\0\0\16\0REQUEST_METHOD\3\0GET"),
        PIECE("\0\140\0\0\16\0REQUEST_METHOD\3\0GET\20\0HTTP_TRACEPARENT\67\0"), PIECE("")},
    {"uwsgi, a body", PIECE("\0\25\0\0\16\0REQUEST_METHOD\3\0GETbody"),
        PIECE("\0\140\0\0\16\0REQUEST_METHOD\3\0GET\20\0HTTP_TRACEPARENT\67\0"), PIECE("body")},
    {"SCGI", PIECE("24:CONTENT_LENGTH\0000\0SCGI\0001\0,"),
        PIECE("97:CONTENT_LENGTH\0000\0SCGI\0001\0HTTP_TRACEPARENT\0"), PIECE("\0,")},
    {"SCGI, more digits, a body", PIECE("38:CONTENT_LENGTH\0004\0SCGI\0001\0HTTP_HOST\0a.b\0,body"),
        PIECE("111:CONTENT_LENGTH\0004\0SCGI\0001\0HTTP_HOST\0a.b\0HTTP_TRACEPARENT\0"),
        PIECE("\0,body")},
    {"mod_wsgi, a body", PIECE("\33\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0REQUEST_METHOD\0GET\0body"),
        PIECE("\144\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0REQUEST_METHOD\0GET\0HTTP_TRACEPARENT\0"),
        PIECE("\0body")},
};

/* Answers to two requests at once, and what stands before, between and behind their lines. */
static const struct answers {
    const char *name;
    struct piece answers, pieces[3];
} answers[] = {
    {"an answer", PIECE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        {PIECE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), PIECE("\r\nok")}},
    {"two answers", PIECE("HTTP/1.1 204 A\r\n\r\nHTTP/1.1 204 B\r\n\r\n"),
        {PIECE("HTTP/1.1 204 A\r\n"), PIECE("\r\nHTTP/1.1 204 B\r\n"), PIECE("\r\n")}},
    {"an answer behind an interim one",
        PIECE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
        {PIECE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n"), PIECE("\r\n")}},
};

static void hear(struct piece piece)
{
    char buffer[256];
    kernel.incoming = piece.bytes;
    kernel.incoming_left = piece.length;
    if (piece.length > 0)
        hooked_read(FD, buffer, sizeof(buffer));
}

static void say(struct piece piece, uint8_t first, uint8_t second)
{
    const uint8_t takes[] = {first, second, TAKES_ALL};
    memcpy(kernel.takes, takes, sizeof(takes));
    kernel.takes_at = 0;
    for (size_t sent = 0; sent < piece.length;) {
        ssize_t went = hooked_send(FD, piece.bytes + sent, piece.length - sent, 0);
        require(went > 0 ? (size_t)went <= piece.length - sent : went < 0 && errno == EAGAIN,
            "the host is told of its own bytes");
        sent += went > 0 ? (size_t)went : 0;
    }
}

static size_t put(uint8_t *out, const void *bytes, size_t length)
{
    memcpy(out, bytes, length);
    return length;
}

/* The statement with the comment that stands in what the kernel got. */
static size_t expect(const struct dialogue *dialogue, const uint8_t *got, uint8_t *wanted)
{
    enum {
        COMMENT = sizeof(" /*traceparent='00-1234567890abcdef1234567890abcdef-"
                         "1234567890abcdef-01'*/") -
                  1
    };
    const struct piece *statement = &dialogue->statement;
    size_t text = statement->length - dialogue->behind;
    size_t used = put(wanted, statement->bytes, text);
    used += put(wanted + used, got + text, COMMENT);
    used += put(wanted + used, statement->bytes + text, dialogue->behind);
    wanted[dialogue->is_little ? 0 : 4] += COMMENT;
    return used;
}

static bool is_comment(const uint8_t *got)
{
    static const char begins[] = " /*traceparent='00-";
    return memcmp(got, begins, sizeof(begins) - 1) == 0;
}

static const struct stream *open_stream(void)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(3306)};
    struct stream *stream = &kernel.streams[0];
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stream->is_open = true;
    stream->got = 0;
    hooked_connect(FD, (struct sockaddr *)&peer, sizeof(peer));
    return stream;
}

/* What the kernel got is right, whatever it took at once. */
static bool passes(const struct dialogue *dialogue, uint8_t first, uint8_t second)
{
    const struct stream *stream = open_stream();
    hear(dialogue->greeting);
    say(dialogue->login, TAKES_ALL, TAKES_ALL);
    hear(dialogue->welcome);
    size_t before = stream->got;
    say(dialogue->statement, first, second);
    size_t middle = stream->got;
    say(dialogue->statement, TAKES_ALL, TAKES_ALL);
    uint8_t wanted[WANTED_MAX];
    const uint8_t *got = stream->kernel + before;
    size_t text = dialogue->statement.length - dialogue->behind;
    size_t used = expect(dialogue, got, wanted);
    bool is_right = before == dialogue->login.length && middle - before == used &&
                    is_comment(got + text) && memcmp(got, wanted, used) == 0;
    used = expect(dialogue, got + used, wanted);
    got = stream->kernel + middle;
    is_right = is_right && stream->got - middle == used && is_comment(got + text) &&
               memcmp(got, wanted, used) == 0;
    hooked_close(FD);
    return is_right;
}

static void test_dialogue(const struct dialogue *dialogue)
{
    size_t wrong = 0, tried = 0;
    for (uint8_t first = 0; first < 90; first++)
        for (uint8_t second = 0; second < 90; second++, tried++)
            if (!passes(dialogue, first, second) && wrong++ == 0)
                printf("# first %d, then %d\n", first, second);
    CHECK(wrong == 0, "%s: %zu of %zu ways are wrong", dialogue->name, wrong, tried);
}

static bool packet_passes(const struct packet *packet, uint8_t first, uint8_t second)
{
    const struct stream *stream = open_stream();
    say(packet->packet, first, second);
    const struct piece *front = &packet->front, *back = &packet->back;
    const uint8_t *got = stream->kernel;
    bool is_right = stream->got == front->length + IDS + back->length &&
                    memcmp(got, front->bytes, front->length) == 0 &&
                    memcmp(got + front->length, "00-", 3) == 0 &&
                    memcmp(got + front->length + IDS, back->bytes, back->length) == 0;
    hooked_close(FD);
    return is_right;
}

static void test_packet(const struct packet *packet)
{
    size_t wrong = 0, tried = 0;
    for (uint8_t first = 0; first < 150; first++)
        for (uint8_t second = 0; second < 150; second++, tried++)
            if (!packet_passes(packet, first, second) && wrong++ == 0)
                printf("# first %d, then %d\n", first, second);
    CHECK(wrong == 0, "%s: %zu of %zu ways are wrong", packet->name, wrong, tried);
}

/* A record: as the producer gives it, and as it is to arrive, but for the batch's checksum and the
 * context. */
static const struct piece produce =
    PIECE("\0\0\0\162\0\0\0\11\0\0\0\2\0\4shop\0\0\0\1\0\0\5\334\2\7orders\2\0\0\0\1\114"
          "\0\0\0\0\0\0\0\0\0\0\0\77\377\377\377\377\2\120\50\332\221\0\0\0\0\0\0"
          "\0\0\1\213\317\345h\0\0\0\1\213\317\345h\0\377\377\377\377\377\377\377\377\377\377"
          "\377\377\377\377\0\0\0\1\32\0\0\0\4k1\12hello\0"
          "\0\0\0");
static const struct piece produced =
    PIECE("\0\0\0\270\0\0\0\11\0\0\0\2\0\4shop\0\0\0\1\0\0\5\334\2\7orders\2\0\0\0\1\221\1"
          "\0\0\0\0\0\0\0\0\0\0\0\204\377\377\377\377\2....\0\0\0\0\0\0"
          "\0\0\1\213\317\345h\0\0\0\1\213\317\345h\0\377\377\377\377\377\377\377\377\377\377"
          "\377\377\377\377\0\0\0\1\242\1\0\0\0\4k1\12hello\2\26traceparent\156"
          "00-1234567890abcdef1234567890abcdef-1234567890abcdef-01"
          "\0\0\0");
enum { HEAD = 40, BATCH = 75, PRODUCED_BATCH = 144, CHECKSUM_AT = 17, BUFFERS_MAX = 128 };

/* A publishing of Pub/Sub's, and what stands before, between and behind the contexts it arrives
 * with: in the head, and among the attributes of each message. */
static const struct piece publish =
    PIECE("POST /v1/projects/p/topics/t:publish HTTP/1.1\r\nHost: a\r\n"
          "Content-Type: application/json\r\nContent-Length: 55\r\n\r\n"
          "{\"messages\":[{\"data\":\"aGk=\"},{\"attributes\":{\"a\":\"b\"}}]}");
static const struct piece published[] = {
    PIECE("POST /v1/projects/p/topics/t:publish HTTP/1.1\r\nHost: a\r\n"
          "Content-Type: application/json\r\nContent-Length: 236\r\ntraceparent: "),
    PIECE("\r\n\r\n{\"messages\":[{\"attributes\":{\"googclient_traceparent\":\""),
    PIECE("\"},\"data\":\"aGk=\"},{\"attributes\":{\"googclient_traceparent\":\""),
    PIECE("\",\"a\":\"b\"}}]}"),
};

/* What is left of it, in buffers of so many bytes. */
static ssize_t write_in_buffers(struct piece piece, size_t sent, size_t width)
{
    struct iovec buffers[BUFFERS_MAX];
    int count = 0;
    for (size_t at = 0; at < piece.length; at += width) {
        size_t end = at + width < piece.length ? at + width : piece.length;
        size_t from = at > sent ? at : sent;
        if (from < end)
            buffers[count++] = (struct iovec){(void *)(piece.bytes + from), end - from};
    }
    return hooked_writev(FD, buffers, count);
}

/* Answers how long it is; 0: it is not right. */
static size_t is_published(const uint8_t *got)
{
    size_t at = 0;
    const uint8_t *ids = got + published[0].length;
    for (size_t i = 0; i < 4; i++) {
        if (i > 0 && memcmp(got + at, ids, IDS) != 0)
            return 0;
        at += i > 0 ? IDS : 0;
        if (memcmp(got + at, published[i].bytes, published[i].length) != 0)
            return 0;
        at += published[i].length;
    }
    return memcmp(ids, "00-", 3) == 0 ? at : 0;
}

static size_t is_produced(const uint8_t *got)
{
    uint8_t wanted[WANTED_MAX];
    size_t ids = produced.length - 3 - IDS, batch = HEAD + 1;
    memcpy(wanted, produced.bytes, produced.length);
    memcpy(wanted + ids, got + ids, IDS);
    uint32_t sum =
        crc32c_portable(wanted + batch + CHECKSUM_AT + 4, PRODUCED_BATCH - CHECKSUM_AT - 4);
    for (int i = 0; i < 4; i++)
        wanted[batch + CHECKSUM_AT + i] = (uint8_t)(sum >> (24 - 8 * i));
    bool is_right = memcmp(got + ids, "00-", 3) == 0 && memcmp(got, wanted, produced.length) == 0;
    return is_right ? produced.length : 0;
}

static const struct gathered {
    const char *name;
    struct piece hello;
    const struct piece *request;
    size_t (*is_right)(const uint8_t *got);
} kafka = {"Kafka", PIECE("\0\0\0\16\0\22\0\0\0\0\0\1\0\4shop"), &produce, is_produced},
  pubsub = {"Pub/Sub", PIECE(""), &publish, is_published};

static bool gathered_passes(const struct gathered *row, size_t width, uint8_t first, uint8_t second)
{
    const struct stream *stream = open_stream();
    say(row->hello, TAKES_ALL, TAKES_ALL);
    bool is_right = stream->got == row->hello.length;
    for (int i = 0; i < 2; i++) {
        size_t before = stream->got;
        const uint8_t takes[] = {
            i == 0 ? first : TAKES_ALL, i == 0 ? second : TAKES_ALL, TAKES_ALL};
        memcpy(kernel.takes, takes, sizeof(takes));
        kernel.takes_at = 0;
        for (size_t sent = 0; sent < row->request->length;) {
            ssize_t went = write_in_buffers(*row->request, sent, width);
            require(went > 0 ? (size_t)went <= row->request->length - sent
                             : went < 0 && errno == EAGAIN,
                "the host is told of its own bytes");
            sent += went > 0 ? (size_t)went : 0;
        }
        is_right = is_right && stream->got > before &&
                   stream->got - before == row->is_right(stream->kernel + before);
    }
    hooked_close(FD);
    return is_right;
}

/* Do our lines stand there? Answers how long they are, 0: no. */
static size_t lines_at(const uint8_t *got)
{
    static const char form[] =
        "traceresponse: 00-%s\r\nServer-Timing: traceparent;desc=\"00-%s\"\r\n";
    char ids[TRACEPARENT_LENGTH - 2], wanted[256];
    size_t begins = sizeof("traceresponse: 00-") - 1;
    memcpy(ids, got + begins, sizeof(ids) - 1);
    ids[sizeof(ids) - 1] = '\0';
    size_t length = (size_t)snprintf(wanted, sizeof(wanted), form, ids, ids);
    return memcmp(got, wanted, length) == 0 ? length : 0;
}

static bool answers_pass(const struct answers *row, uint8_t first, uint8_t second)
{
    static const struct piece requests =
        PIECE("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    struct stream *stream = &kernel.streams[0];
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    kernel.accepted = FD;
    hooked_accept4(LISTENER, (struct sockaddr *)&peer, &length, 0);
    memset(stream, 0, offsetof(struct stream, host));
    memset(stream->kernel, 0, WANTED_MAX);
    hear(requests);
    say(row->answers, first, second);
    const uint8_t *at = stream->kernel;
    bool is_right = true;
    for (size_t i = 0; i < 3 && row->pieces[i].length > 0; i++) {
        size_t lines = i == 0 ? 0 : lines_at(at);
        is_right = is_right && (i == 0 || lines > 0) &&
                   memcmp(at + lines, row->pieces[i].bytes, row->pieces[i].length) == 0;
        at += lines + row->pieces[i].length;
    }
    is_right = is_right && at == stream->kernel + stream->got;
    hooked_close(FD);
    return is_right;
}

static void test_gathered(const struct gathered *row, size_t width)
{
    size_t wrong = 0, tried = 0;
    for (unsigned first = 0; first < TAKES_ALL; first++)
        for (unsigned second = 0; second < TAKES_ALL; second++, tried++)
            if (!gathered_passes(row, width, (uint8_t)first, (uint8_t)second) && wrong++ == 0)
                printf("# first %u, then %u\n", first, second);
    CHECK(wrong == 0, "%s, buffers of %zu: %zu of %zu ways are wrong", row->name, width, wrong,
        tried);
}

static void test_answers(const struct answers *row)
{
    size_t wrong = 0, tried = 0;
    for (uint8_t first = 0; first < TAKES_ALL; first++)
        for (uint8_t second = 0; second < TAKES_ALL; second++, tried++)
            if (!answers_pass(row, first, second) && wrong++ == 0)
                printf("# first %d, then %d\n", first, second);
    CHECK(wrong == 0, "%s: %zu of %zu ways are wrong", row->name, wrong, tried);
}

int main(void)
{
    char *const environment[] = {"BURDOCK_DIR=/nonexistent", "BURDOCK_STORE=/nonexistent",
        "BURDOCK_SQLCOMMENTER=1", "BURDOCK_RESPONSE_HEADERS=traceresponse,server-timing", NULL};
    char *const arguments[] = {"cut", NULL};
    kernel_start();
    config_read(&config, environment, arguments, "cut");
    require(descriptor_start() && thread_start() && process_start(), "the library starts");
    attribution_start();
    protocol_edit_answers(true);
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
        test_dialogue(&dialogues[i]);
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
        test_packet(&packets[i]);
    test_gathered(&kafka, 1);
    test_gathered(&kafka, HEAD);
    test_gathered(&pubsub, 2);
    test_gathered(&pubsub, WANTED_MAX);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        test_answers(&answers[i]);
    CHECK(!process.broken, "the breaker stays shut");
    return tap_done();
}
