/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that uses librdkafka, every way of producing and of consuming that it has.
 *
 *   kafka_client mock                               librdkafka's own broker, until the end of stdin
 *                                                   (its topic `apart` has 160 partitions)
 *   kafka_client produce BOOTSTRAP TOPIC            each function, and what each answers
 *   kafka_client errors BOOTSTRAP TOPIC             calls that fail
 *   kafka_client many BOOTSTRAP TOPIC COUNT         "message N" with key "N"
 *   kafka_client consume BOOTSTRAP TOPIC COUNT HOW [PORT]   poll, one, queue, batch, callback
 *                                                   what came; PORT: asked by HTTP meanwhile
 */
#include <arpa/inet.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char error[512];

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s\n", error);
        exit(2);
    }
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
    if (client == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(2);
    }
    return client;
}

static int mock(void)
{
    char byte;
    rd_kafka_t *client = make(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(client, 1);
    rd_kafka_mock_topic_create(cluster, "apart", 160, 1);
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(client);
    return 0;
}

/* --- producing ----------------------------------------------------------------------------- */

static void show_headers(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) != 0)
        return;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++)
        if (value == NULL)
            printf(" %s", name);
        else
            printf(" %s=%.*s", name, (int)size, (const char *)value);
}

static int undelivered;

static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    undelivered += message->err != 0;
    if (message->err != 0)
        printf("report %s\n", rd_kafka_err2name(message->err));
}

static rd_kafka_t *producer(const char *bootstrap, const char *queue_max)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "client.id", "shop");
    set(conf, "message.timeout.ms", "20000");
    set(conf, "queue.buffering.max.messages", queue_max);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    return make(RD_KAFKA_PRODUCER, conf);
}

static void tell(const char *what, int result, int code)
{
    printf("%s %d %s\n", what, result, rd_kafka_err2name(code));
}

static void tell_error(const char *what, rd_kafka_error_t *result)
{
    printf("%s %s: %s\n", what, rd_kafka_error_name(result),
        result == NULL ? "" : rd_kafka_error_string(result));
    rd_kafka_error_destroy(result);
}

static void produce_batch(rd_kafka_topic_t *topic, int32_t partition, int flags)
{
    char texts[3][16];
    rd_kafka_message_t messages[3];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < 3; i++) {
        snprintf(texts[i], sizeof(texts[i]), "batch %d", i);
        messages[i].payload = texts[i];
        messages[i].len = strlen(texts[i]);
        messages[i].key = i == 1 ? "b" : NULL;
        messages[i].key_len = i == 1;
        messages[i].partition = flags & RD_KAFKA_MSG_F_PARTITION ? i % 2 : -7;
    }
    int result = rd_kafka_produce_batch(topic, partition, flags | RD_KAFKA_MSG_F_COPY, messages, 3);
    tell("batch", result, messages[0].err);
}

/* The statement has more arguments than a short one. */
static void produce_long(rd_kafka_t *client, const char *name)
{
#define H(n) RD_KAFKA_V_HEADER("h" #n, #n, -1)
#define H8(n) H(n##0), H(n##1), H(n##2), H(n##3), H(n##4), H(n##5), H(n##6), H(n##7)
    int code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_VALUE("long", 4),
        RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), H8(0), H8(1),
        RD_KAFKA_V_KEY("l", 1), RD_KAFKA_V_TIMESTAMP(1700000000000), RD_KAFKA_V_END);
    tell("long", 0, code);
    code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_VALUE("longest", 7),
        RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), H8(0), H8(1), H8(2),
        H8(3), H8(4), RD_KAFKA_V_KEY("l", 1), RD_KAFKA_V_END);
    tell("longest", 0, code);
}

static void produce_v(rd_kafka_t *client, const char *name, rd_kafka_topic_t *topic)
{
    int code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_VALUE("v plain", 7),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_END);
    tell("v plain", 0, code);
    code = rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_VALUE("v header", 8),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_HEADER("own", "1", 1), RD_KAFKA_V_HEADER("null", NULL, 0),
        RD_KAFKA_V_KEY("k\0k", 3), RD_KAFKA_V_END);
    tell("v header", 0, code);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "mine", -1, "2", 1);
    code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_VALUE("v headers", 9), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_END);
    tell("v headers", 0, code);
    code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_VALUE("v adopted", 9),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_HEADER(
            "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", -1),
        RD_KAFKA_V_END);
    tell("v adopted", 0, code);
}

static void produce_va(rd_kafka_t *client, const char *name)
{
    rd_kafka_vu_t arguments[4] = {{.vtype = RD_KAFKA_VTYPE_TOPIC}, {.vtype = RD_KAFKA_VTYPE_VALUE},
        {.vtype = RD_KAFKA_VTYPE_PARTITION}, {.vtype = RD_KAFKA_VTYPE_MSGFLAGS}};
    arguments[0].u.cstr = name;
    arguments[1].u.mem.ptr = (void *)"va";
    arguments[1].u.mem.size = 2;
    arguments[2].u.i32 = 1;
    arguments[3].u.i = RD_KAFKA_MSG_F_COPY;
    tell_error("va", rd_kafka_produceva(client, arguments, 4));
}

static int finish(rd_kafka_t *client, rd_kafka_topic_t *topic)
{
    rd_kafka_flush(client, 20000);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    printf("undelivered %d\n", undelivered);
    return undelivered;
}

static int produce(const char *bootstrap, const char *name)
{
    rd_kafka_t *client = producer(bootstrap, "1000");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    char *given = strdup("free");
    errno = 0;
    tell("copy", rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, "copy", 4, "key", 3, NULL),
        rd_kafka_last_error());
    tell("free", rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_FREE, given, 4, NULL, 0, NULL),
        rd_kafka_last_error());
    tell("kept", rd_kafka_produce(topic, 0, 0, (void *)"kept\0\xff", 6, "", 0, NULL),
        rd_kafka_last_error());
    tell("null", rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, NULL, 0, "gone", 4, NULL),
        rd_kafka_last_error());
    produce_v(client, name, topic);
    produce_va(client, name);
    produce_batch(topic, 0, 0);
    produce_batch(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_PARTITION);
    produce_long(client, name);
    return finish(client, topic);
}

static int many(const char *bootstrap, const char *name, int count)
{
    char text[32], key[16];
    rd_kafka_t *client = producer(bootstrap, "100000");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "message %d", i);
        snprintf(key, sizeof(key), "%d", i);
        if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, text,
                strlen(text), key, strlen(key), NULL) != 0)
            return 1;
        rd_kafka_poll(client, 0);
    }
    return finish(client, topic);
}

static int errors(const char *bootstrap, const char *name)
{
    rd_kafka_t *client = producer(bootstrap, "2");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    static char big[1000000];
    errno = 0;
    tell("first", rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, "1", 1, NULL, 0, NULL),
        rd_kafka_last_error());
    rd_kafka_flush(client, 20000); /* from now on its partitions are known */
    int result = rd_kafka_produce(topic, 99, RD_KAFKA_MSG_F_COPY, "2", 1, NULL, 0, NULL);
    printf("%d ", errno);
    tell("partition", result, rd_kafka_last_error());
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "mine", -1, "2", 1);
    tell("partition v", 0,
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_PARTITION(98), RD_KAFKA_V_VALUE("3", 1), RD_KAFKA_V_END));
    printf("headers %zu\n", rd_kafka_header_cnt(headers));
    tell("conflict", 0,
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_HEADER("a", "b", 1), RD_KAFKA_V_END));
    rd_kafka_headers_destroy(headers);
    tell("no topic", 0, rd_kafka_producev(client, RD_KAFKA_V_VALUE("3", 1), RD_KAFKA_V_END));
    tell("no such type", 0,
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), (rd_kafka_vtype_t)77, RD_KAFKA_V_END));
    tell_error("nothing", rd_kafka_produceva(client, NULL, 0));
    result = rd_kafka_produce(topic, 0, 0, big, sizeof(big), NULL, 0, NULL);
    printf("%d ", errno);
    tell("too long", result, rd_kafka_last_error());
    tell("just fits", rd_kafka_produce(topic, 0, 0, big, sizeof(big) - 120, NULL, 0, NULL),
        rd_kafka_last_error());
    rd_kafka_flush(client, 20000);
    produce_batch(topic, 97, 0);
    for (int i = 0; i < 3; i++) {
        errno = 0;
        result = rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, "4", 1, NULL, 0, NULL);
        printf("%d ", errno);
        tell("full", result, rd_kafka_last_error());
    }
    produce_batch(topic, 0, 0);
    rd_kafka_flush(client, 20000);
    tell("after", rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, "5", 1, NULL, 0, NULL),
        rd_kafka_last_error());
    finish(client, topic);
    return 0;
}

/* --- consuming ----------------------------------------------------------------------------- */

static int port;

static void ask(const char *path)
{
    char text[256];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int length = snprintf(
        text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: stock\r\nConnection: close\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        write(fd, text, (size_t)length) == length)
        while (read(fd, text, sizeof(text)) > 0) {
        }
    close(fd);
}

static int seen;

static void work(rd_kafka_message_t *message, void *opaque)
{
    char path[32];
    if (message->err != 0) {
        if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            fprintf(stderr, "%s\n", rd_kafka_err2name(message->err));
        return;
    }
    printf("%d %lld \"", message->partition, (long long)message->offset);
    for (size_t i = 0; i < message->len; i++) {
        unsigned char letter = ((unsigned char *)message->payload)[i];
        if (letter >= 32 && letter < 127)
            putchar(letter);
        else
            printf("\\x%02x", letter);
        if (i > 100)
            break;
    }
    printf("\" %s%.*s", message->key == NULL ? "-" : "key ", (int)message->key_len,
        message->key == NULL ? "" : (char *)message->key);
    show_headers(message);
    printf("\n");
    snprintf(path, sizeof(path), "%d/%lld", message->partition, (long long)message->offset);
    seen++;
    if (port != 0)
        ask(path);
}

static int consume_by_poll(rd_kafka_t *client, const char *name, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    while (seen < count) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 1000);
        if (message == NULL)
            continue;
        work(message, NULL);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(client);
    return 0;
}

static void take(rd_kafka_message_t **messages, ssize_t got)
{
    for (ssize_t i = 0; i < got; i++) {
        work(messages[i], NULL);
        rd_kafka_message_destroy(messages[i]);
    }
}

static int consume_by(
    rd_kafka_t *client, const char *name, int count, const char *how, int32_t partition)
{
    rd_kafka_message_t *messages[100];
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    bool is_queue = strstr(how, "queue") != NULL;
    if (is_queue)
        rd_kafka_consume_start_queue(topic, partition, RD_KAFKA_OFFSET_BEGINNING, queue);
    else
        rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING);
    while (seen < count) {
        if (strcmp(how, "one") == 0)
            take(messages, (messages[0] = rd_kafka_consume(topic, partition, 1000)) != NULL);
        else if (strcmp(how, "queue") == 0)
            take(messages, (messages[0] = rd_kafka_consume_queue(queue, 1000)) != NULL);
        else if (strcmp(how, "batch") == 0)
            take(messages, rd_kafka_consume_batch(topic, partition, 1000, messages, 100));
        else if (strcmp(how, "batch queue") == 0)
            take(messages, rd_kafka_consume_batch_queue(queue, 1000, messages, 100));
        else if (strcmp(how, "callback") == 0)
            rd_kafka_consume_callback(topic, partition, 1000, work, NULL);
        else
            rd_kafka_consume_callback_queue(queue, 1000, work, NULL);
    }
    rd_kafka_consume_stop(topic, partition);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(topic);
    return 0;
}

static int consume(const char *bootstrap, const char *name, int count, const char *how)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool is_group = strcmp(how, "poll") == 0;
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "client.id", "stock");
    set(conf, "auto.offset.reset", "earliest");
    if (is_group)
        set(conf, "group.id", "keepers");
    rd_kafka_t *client = make(RD_KAFKA_CONSUMER, conf);
    if (is_group)
        rd_kafka_poll_set_consumer(client);
    int status =
        is_group ? consume_by_poll(client, name, count) : consume_by(client, name, count, how, 0);
    rd_kafka_destroy(client);
    return status;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2)
        return mock();
    if (strcmp(argv[1], "produce") == 0)
        return produce(argv[2], argv[3]);
    if (strcmp(argv[1], "errors") == 0)
        return errors(argv[2], argv[3]);
    if (strcmp(argv[1], "many") == 0)
        return many(argv[2], argv[3], atoi(argv[4]));
    port = argc > 6 ? atoi(argv[6]) : 0;
    return consume(argv[2], argv[3], atoi(argv[4]), argv[5]);
}
