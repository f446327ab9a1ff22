/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program sends to Kafka by librdkafka. A call that produces is made as the program made it:
 * the same function with the same arguments, once. The context gets into the message by an
 * interceptor (on_send), which librdkafka calls within that call, on the caller's thread, before
 * anything else has seen the message; it is added when a producer is made.
 *
 * What the program's own list of headers has got of ours is taken out again if the call fails: then
 * the list is still the program's.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "../protocols/context_names.h"
#include "../protocols/messaging.h"
#include "exchange.h"
#include "foreign.h"
#include "message.h"
#include "rdkafka.h"

/* One of the arguments of rd_kafka_produceva. */
typedef struct {
    int type;
    union {
        const char *text;
        rd_kafka_topic_t *topic;
        int32_t number;
        struct {
            void *data;
            size_t size;
        } bytes;
        rd_kafka_headers_t *headers;
        char whole[64];
    } u;
} rd_kafka_vu_t;

typedef int on_new_callback(rd_kafka_t *, const rd_kafka_conf_t *, void *, char *, size_t);
typedef int on_send_callback(rd_kafka_t *, rd_kafka_message_t *, void *);

#define FUNCTIONS(X)                                                                              \
    X(int, rd_kafka_produce,                                                                      \
        (rd_kafka_topic_t *, int32_t, int, void *, size_t, const void *, size_t, void *))         \
    X(int, rd_kafka_producev, (rd_kafka_t *, ...))                                                \
    X(rd_kafka_error_t *, rd_kafka_produceva, (rd_kafka_t *, const rd_kafka_vu_t *, size_t))      \
    X(int, rd_kafka_produce_batch, (rd_kafka_topic_t *, int32_t, int, rd_kafka_message_t *, int)) \
    X(rd_kafka_t *, rd_kafka_new, (int, rd_kafka_conf_t *, char *, size_t))                       \
    X(rd_kafka_conf_t *, rd_kafka_conf_new, (void))                                               \
    X(void, rd_kafka_conf_destroy, (rd_kafka_conf_t *))                                           \
    X(int, rd_kafka_conf_get, (const rd_kafka_conf_t *, const char *, char *, size_t *))          \
    X(int, rd_kafka_conf_interceptor_add_on_new,                                                  \
        (rd_kafka_conf_t *, const char *, on_new_callback *, void *))                             \
    X(int, rd_kafka_interceptor_add_on_send,                                                      \
        (rd_kafka_t *, const char *, on_send_callback *, void *))                                 \
    X(const char *, rd_kafka_name, (const rd_kafka_t *))                                          \
    X(const char *, rd_kafka_topic_name, (const rd_kafka_topic_t *))                              \
    X(const char *, rd_kafka_err2name, (int))                                                     \
    X(int, rd_kafka_last_error, (void))                                                           \
    X(int, rd_kafka_error_code, (const rd_kafka_error_t *))                                       \
    X(int, rd_kafka_message_headers, (const rd_kafka_message_t *, rd_kafka_headers_t **))         \
    X(void, rd_kafka_message_set_headers, (rd_kafka_message_t *, rd_kafka_headers_t *))           \
    X(rd_kafka_headers_t *, rd_kafka_headers_new, (size_t))                                       \
    X(int, rd_kafka_header_add,                                                                   \
        (rd_kafka_headers_t *, const char *, ptrdiff_t, const void *, ptrdiff_t))                 \
    X(int, rd_kafka_header_remove, (rd_kafka_headers_t *, const char *))                          \
    X(int, rd_kafka_header_get_all,                                                               \
        (const rd_kafka_headers_t *, size_t, const char **, const void **, size_t *))

FOREIGN_LIBRARY(producer, FUNCTIONS);

enum { TYPE_PRODUCER = 0, FLAG_PARTITION = 0x8 };

/* --- within a call ------------------------------------------------------------------------- */

/* The call that the thread is in. Another one can be made within only by an interceptor of the
 * program's own, or a signal handler. */
struct sending {
    const struct producer *kafka;
    struct exchange *exchange;   /* NULL: a producer is being made */
    rd_kafka_headers_t *headers; /* of the message; ours are in it, too */
    unsigned added;              /* bits: which of ours, as exchange_headers has them */
    struct sending *outer;
};

static __thread struct sending *sending;

static void enter(struct sending *now)
{
    now->outer = sending;
    sending = now;
}

static void leave(const struct sending *now)
{
    sending = now->outer;
}

/* --- context into a message ---------------------------------------------------------------- */

enum {
    HEADER_BYTES = 16,    /* more than Kafka adds to a header, */
    MESSAGE_BYTES = 1024, /* and to a message */
    LINES_BYTES = 1024,   /* of contexts of other formats than W3C's */
    NAME_BYTES = 64
};

struct ours {
    struct exchange_own own;
    char lines[LINES_BYTES];
};

struct seen {
    size_t bytes;
    unsigned has; /* bits: which of ours */
    bool is_carrying;
};

static bool is_name(struct fact ours, const char *name)
{
    return strncmp(name, (const char *)ours.text, ours.length) == 0 && name[ours.length] == '\0';
}

static struct seen look(
    const struct producer *kafka, const rd_kafka_headers_t *headers, const struct exchange_own *own)
{
    struct seen seen = {0};
    const char *name;
    const void *value;
    size_t size;
    for (size_t i = 0; kafka->rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        size_t length = strlen(name);
        enum field field = context_field(name, length);
        seen.bytes += length + size + HEADER_BYTES;
        seen.is_carrying |= context_is_parent(field);
        for (unsigned which = 0; which < own->count; which++)
            seen.has |= (unsigned)is_name(own->headers[which].name, name) << which;
    }
    return seen;
}

/* Of several traceparents the last one holds. */
static void adopt(struct sending *now)
{
    const struct producer *kafka = now->kafka;
    const void *value, *parent = NULL;
    const char *name;
    size_t size, parent_size = 0;
    for (size_t i = 0; kafka->rd_kafka_header_get_all(now->headers, i, &name, &value, &size) == 0;
         i++) {
        enum field field = context_field(name, strlen(name));
        if (context_is_named(field))
            message_header(now->exchange, name, value, size);
        if (field == FIELD_TRACEPARENT) {
            parent = value;
            parent_size = size;
        }
    }
    message_header(now->exchange, "traceparent", parent, parent_size);
    message_adopt(now->exchange);
}

/* A message that became longer than its producer may send would be refused, or worse. */
static bool fits(const rd_kafka_message_t *message, size_t more, size_t bytes_max)
{
    size_t payload = message->payload == NULL ? 0 : message->len;
    return more + payload + message->key_len + MESSAGE_BYTES <= bytes_max;
}

static void add(struct sending *now, rd_kafka_message_t *message, const struct exchange_own *own,
    unsigned has, bool is_new)
{
    const struct producer *kafka = now->kafka;
    if (is_new)
        now->headers = kafka->rd_kafka_headers_new(own->count);
    for (unsigned i = 0; i < own->count; i++) {
        struct fact name = own->headers[i].name, value = own->headers[i].value;
        if (!(has & 1u << i) && name.length < NAME_BYTES &&
            kafka->rd_kafka_header_add(now->headers, (const char *)name.text,
                (ptrdiff_t)name.length, value.text, (ptrdiff_t)value.length) == 0)
            now->added |= 1u << i;
    }
    if (is_new)
        kafka->rd_kafka_message_set_headers(message, now->headers);
}

/* The program's list gets what it had. */
__attribute__((noinline)) static void take_back(const struct sending *now)
{
    struct ours ours;
    char name[NAME_BYTES];
    exchange_headers(now->exchange, &ours.own, ours.lines, sizeof(ours.lines));
    for (unsigned i = 0; i < ours.own.count; i++) {
        struct fact header = ours.own.headers[i].name;
        if (!(now->added & 1u << i))
            continue;
        memcpy(name, header.text, header.length);
        name[header.length] = '\0';
        now->kafka->rd_kafka_header_remove(now->headers, name);
    }
}

static void carry(struct sending *now, rd_kafka_message_t *message, size_t bytes_max)
{
    struct ours ours;
    struct seen seen = {0};
    now->headers = NULL;
    bool is_new = now->kafka->rd_kafka_message_headers(message, &now->headers) != 0;
    exchange_headers(now->exchange, &ours.own, ours.lines, sizeof(ours.lines));
    if (!is_new)
        seen = look(now->kafka, now->headers, &ours.own);
    if (seen.is_carrying) {
        adopt(now);
        return;
    }
    if (ours.own.count == 0)
        return;
    if (fits(message, seen.bytes + exchange_own_bytes(&ours.own, HEADER_BYTES), bytes_max))
        add(now, message, &ours.own, seen.has, is_new);
    else
        exchange_untouched(now->exchange);
}

/* What it answers is logged, nothing else. */
static int on_send(rd_kafka_t *client, rd_kafka_message_t *message, void *bytes_max)
{
    struct sending *now = sending;
    if (now == NULL || now->exchange == NULL)
        return 0;
    int saved_errno = errno;
    const char *name = now->kafka->rd_kafka_name(client);
    if (!(now->exchange->present & 1u << FIELD_USER_AGENT))
        call_text(now->exchange, FIELD_USER_AGENT, name, rdkafka_client_length(name));
    carry(now, message, (uintptr_t)bytes_max);
    errno = saved_errno;
    return 0;
}

/* --- producers ----------------------------------------------------------------------------- */

/* How long a message may be; 0: not known. */
static uintptr_t bytes_max_of(const struct producer *kafka, const rd_kafka_conf_t *conf)
{
    char digits[24];
    size_t size = sizeof(digits);
    uintptr_t number = 0;
    if (kafka->rd_kafka_conf_get(conf, "message.max.bytes", digits, &size) != 0)
        return 0;
    for (const char *at = digits; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uintptr_t)(*at - '0');
    return number;
}

static int on_new(
    rd_kafka_t *client, const rd_kafka_conf_t *conf, void *nothing, char *error, size_t room)
{
    const struct producer *kafka = sending == NULL ? NULL : sending->kafka;
    if (kafka != NULL)
        kafka->rd_kafka_interceptor_add_on_send(
            client, "burdock", on_send, (void *)bytes_max_of(kafka, conf));
    return 0;
}

static bool can_carry(const struct producer *kafka)
{
    return message_is_seen() && kafka->own == NULL &&
           FOREIGN_HAS(kafka, rd_kafka_conf_interceptor_add_on_new) &&
           FOREIGN_HAS(kafka, rd_kafka_interceptor_add_on_send) &&
           FOREIGN_HAS(kafka, rd_kafka_message_set_headers) &&
           FOREIGN_HAS(kafka, rd_kafka_header_get_all);
}

/* A configuration is the program's until a client was made of it; one that the program does not
 * give, the library makes itself. */
HOOK_FOREIGN(
    rd_kafka_t *, rd_kafka_new, (int type, rd_kafka_conf_t *conf, char *error, size_t room))
{
    FOREIGN(producer);
    if (type != TYPE_PRODUCER || !can_carry(producer))
        return producer->rd_kafka_new(type, conf, error, room);
    struct sending now = {.kafka = producer};
    rd_kafka_conf_t *whole = conf != NULL ? conf : producer->rd_kafka_conf_new();
    producer->rd_kafka_conf_interceptor_add_on_new(whole, "burdock", on_new, NULL);
    enter(&now);
    rd_kafka_t *client = producer->rd_kafka_new(type, whole, error, room);
    leave(&now);
    int saved_errno = errno;
    if (client == NULL && conf == NULL)
        producer->rd_kafka_conf_destroy(whole);
    errno = saved_errno;
    return client;
}

/* --- calls --------------------------------------------------------------------------------- */

/* What a call says of its message. */
struct said {
    const char *topic;
    rd_kafka_topic_t *handle;
    int32_t partition;
    const void *key;
    size_t key_length;
    rd_kafka_headers_t *headers; /* the program's, until the call succeeds */
};

static bool is_told(const struct producer *kafka)
{
    return message_is_seen() && kafka->own == NULL;
}

/* False: not to be told. */
static bool begin(struct sending *now, const struct producer *kafka, const struct said *said)
{
    const char *topic = said->topic;
    struct exchange *exchange = is_told(kafka) ? message_begin(false) : NULL;
    if (exchange == NULL)
        return false;
    *now = (struct sending){.kafka = kafka, .exchange = exchange};
    if (said->handle != NULL)
        topic = kafka->rd_kafka_topic_name(said->handle);
    call_number(exchange, FIELD_VERSION, MESSAGE_SEND);
    call_number(exchange, FIELD_ROWS, said->partition >= 0 ? (int64_t)said->partition + 1 : 0);
    if (topic != NULL)
        call_text(exchange, FIELD_DESTINATION, topic, strlen(topic));
    if (said->key != NULL)
        call_text(exchange, FIELD_ROUTING, said->key, said->key_length);
    enter(now);
    return true;
}

static void end(struct sending *now, int error, const rd_kafka_headers_t *theirs)
{
    const struct producer *kafka = now->kafka;
    int saved_errno = errno;
    leave(now);
    if (error != 0) {
        const char *name = kafka->rd_kafka_err2name(error);
        call_text(now->exchange, FIELD_CODE, name, strlen(name));
    }
    bool is_back = error != 0 && now->added != 0 && theirs != NULL && now->headers == theirs;
    if (is_back)
        take_back(now);
    call_end(now->exchange, LIBRARY_KAFKA, error != 0);
    errno = saved_errno;
}

HOOK_FOREIGN(int, rd_kafka_produce,
    (rd_kafka_topic_t * topic, int32_t partition, int flags, void *payload, size_t length,
        const void *key, size_t key_length, void *opaque))
{
    FOREIGN(producer);
    struct sending now;
    struct said said = {
        .handle = topic, .partition = partition, .key = key, .key_length = key_length};
    if (!begin(&now, producer, &said))
        return producer->rd_kafka_produce(
            topic, partition, flags, payload, length, key, key_length, opaque);
    int result = producer->rd_kafka_produce(
        topic, partition, flags, payload, length, key, key_length, opaque);
    end(&now, result == 0 ? 0 : producer->rd_kafka_last_error(), NULL);
    return result;
}

/* One span for all, and its context in each. */
HOOK_FOREIGN(int, rd_kafka_produce_batch,
    (rd_kafka_topic_t * topic, int32_t partition, int flags, rd_kafka_message_t *messages,
        int count))
{
    FOREIGN(producer);
    struct sending now;
    struct said said = {.handle = topic, .partition = flags & FLAG_PARTITION ? -1 : partition};
    if (!begin(&now, producer, &said))
        return producer->rd_kafka_produce_batch(topic, partition, flags, messages, count);
    int result = producer->rd_kafka_produce_batch(topic, partition, flags, messages, count);
    int error = 0;
    for (int i = 0; i < count && result < count && error == 0; i++)
        error = messages[i].err;
    call_number(now.exchange, FIELD_BATCH, count);
    end(&now, error, NULL);
    return result;
}

/* --- calls with any number of arguments ---------------------------------------------------- */

enum type { END, TOPIC, HANDLE, PARTITION, VALUE, KEY, OPAQUE, FLAGS, TIMESTAMP, HEADER, HEADERS };

static void take(struct said *said, const rd_kafka_vu_t *argument)
{
    switch (argument->type) {
    case TOPIC:
        said->topic = argument->u.text;
        break;
    case HANDLE:
        said->handle = argument->u.topic;
        break;
    case PARTITION:
        said->partition = argument->u.number;
        break;
    case KEY:
        said->key = argument->u.bytes.data;
        said->key_length = argument->u.bytes.size;
        break;
    case HEADERS:
        said->headers = argument->u.headers;
        break;
    default:
        break;
    }
}

HOOK_FOREIGN(rd_kafka_error_t *, rd_kafka_produceva,
    (rd_kafka_t * client, const rd_kafka_vu_t *arguments, size_t count))
{
    FOREIGN(producer);
    struct sending now;
    struct said said = {.partition = -1};
    for (size_t i = 0; i < count; i++)
        take(&said, &arguments[i]);
    if (!begin(&now, producer, &said))
        return producer->rd_kafka_produceva(client, arguments, count);
    rd_kafka_error_t *error = producer->rd_kafka_produceva(client, arguments, count);
    end(&now, error == NULL ? 0 : producer->rd_kafka_error_code(error), said.headers);
    return error;
}

/* The arguments of rd_kafka_producev as they lie: each an integer or a pointer, so each a word, on
 * x86-64 (psABI 3.5.7) and AArch64 (AAPCS64). They are handed on as words, as many as there can be:
 * who reads them stops where the program's end. */
_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "a word each");
enum { WORDS_MAX = 128, WORDS_MANY_MAX = 512 };

#define WORDS_4(w) (w)[0], (w)[1], (w)[2], (w)[3]
#define WORDS_16(w) WORDS_4(w), WORDS_4((w) + 4), WORDS_4((w) + 8), WORDS_4((w) + 12)
#define WORDS_64(w) WORDS_16(w), WORDS_16((w) + 16), WORDS_16((w) + 32), WORDS_16((w) + 48)
#define WORDS_128(w) WORDS_64(w), WORDS_64((w) + 64)
#define WORDS_256(w) WORDS_128(w), WORDS_128((w) + 128)

/* Words that come after the type; < 0: the library knows it no more than we do, and reads no
 * further. */
static int words_of(int type)
{
    static const int8_t counts[] = {[END] = -1,
        [TOPIC] = 1,
        [HANDLE] = 1,
        [PARTITION] = 1,
        [VALUE] = 2,
        [KEY] = 2,
        [OPAQUE] = 1,
        [FLAGS] = 1,
        [TIMESTAMP] = 1,
        [HEADER] = 3,
        [HEADERS] = 1};
    return type < 0 || type > HEADERS ? -1 : counts[type];
}

/* False: there are more than `max`. */
static bool read_words(va_list list, uint64_t *words, size_t max, struct said *said)
{
    for (size_t used = 0; used + 4 <= max;) {
        uint64_t *at = words + used;
        at[0] = va_arg(list, uint64_t);
        int count = words_of((int)at[0]);
        if (count < 0)
            return true;
        for (int i = 1; i <= count; i++)
            at[i] = va_arg(list, uint64_t);
        rd_kafka_vu_t argument = {.type = (int)at[0]};
        memcpy(argument.u.whole, at + 1, (size_t)count * sizeof(*at));
        take(said, &argument);
        used += 1 + (size_t)count;
    }
    return false;
}

static int send_words(const struct producer *kafka, rd_kafka_t *client, const uint64_t *words)
{
    return kafka->rd_kafka_producev(client, WORDS_128(words));
}

static int send_many_words(const struct producer *kafka, rd_kafka_t *client, const uint64_t *words)
{
    return kafka->rd_kafka_producev(client, WORDS_256(words), WORDS_256(words + 256));
}

typedef int sender(const struct producer *, rd_kafka_t *, const uint64_t *);

static int send_told(const struct producer *kafka, rd_kafka_t *client, const uint64_t *words,
    const struct said *said, sender *send)
{
    struct sending now;
    if (!begin(&now, kafka, said))
        return send(kafka, client, words);
    int result = send(kafka, client, words);
    end(&now, result, said->headers);
    return result;
}

/* More than thirty headers in one statement of C. */
__attribute__((noinline)) static int send_many(
    const struct producer *kafka, rd_kafka_t *client, va_list list)
{
    uint64_t words[WORDS_MANY_MAX] = {0};
    struct said said = {.partition = -1};
    read_words(list, words, WORDS_MANY_MAX, &said);
    return send_told(kafka, client, words, &said, send_many_words);
}

HOOK_FOREIGN(int, rd_kafka_producev, (rd_kafka_t * client, ...))
{
    FOREIGN(producer);
    uint64_t words[WORDS_MAX] = {0};
    struct said said = {.partition = -1};
    va_list list, again;
    va_start(list, client);
    va_copy(again, list);
    bool is_all = read_words(list, words, WORDS_MAX, &said);
    int result = is_all ? send_told(producer, client, words, &said, send_words)
                        : send_many(producer, client, again);
    va_end(again);
    va_end(list);
    return result;
}

FOREIGN_UNVERSIONED(rd_kafka_new);
FOREIGN_UNVERSIONED(rd_kafka_produce);
FOREIGN_UNVERSIONED(rd_kafka_produce_batch);
FOREIGN_UNVERSIONED(rd_kafka_producev);
FOREIGN_UNVERSIONED(rd_kafka_produceva);
