/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of MQTT by libmosquitto, which knows nothing of tracing.
 *
 *   mqtt_client publish PORT VERSION QOS COUNT         t/0, t/1, ...
 *   mqtt_client consume PORT VERSION QOS COUNT [BACK]  prints the topic, length, how many bytes are
 *       as they were sent, and the user properties of each to t/+, after it has asked an HTTP
 * server at the port BACK for /echo/NUMBER
 *
 * VERSION is 4 or 5.
 */
#include <arpa/inet.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 5000, SECONDS = 60 };

static int version, qos, wanted, done, back;
static bool publishes;

static void require(int result, const char *what)
{
    if (result == MOSQ_ERR_SUCCESS)
        return;
    fprintf(stderr, "%s: %s\n", what, mosquitto_strerror(result));
    exit(1);
}

static void ask(const char *number)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)back),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[4096];
    int length = snprintf(
        text, sizeof(text), "GET /echo/%s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n", number, back);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        send(fd, text, (size_t)length, 0) != length)
        exit(1);
    while (recv(fd, text, sizeof(text), 0) > 0)
        ;
    close(fd);
}

static void publish_all(struct mosquitto *client)
{
    static char payload[PAYLOAD_MAX];
    for (int i = 0; i < wanted; i++) {
        char topic[32];
        mosquitto_property *properties = NULL;
        snprintf(topic, sizeof(topic), "t/%d", i);
        memset(payload, 'a' + i % 26, sizeof(payload));
        if (i % 3 == 0 && version == MQTT_PROTOCOL_V5)
            require(mosquitto_property_add_string_pair(
                        &properties, MQTT_PROP_USER_PROPERTY, "X-Number", topic),
                "property");
        require(mosquitto_publish_v5(client, NULL, topic, 1 + i * 37 % (PAYLOAD_MAX - 1), payload,
                    qos, false, properties),
            "publish");
        mosquitto_property_free_all(&properties);
    }
}

static void on_connect(struct mosquitto *client, void *object, int result)
{
    (void)object;
    require(result, "connect");
    if (publishes)
        publish_all(client);
    else
        require(mosquitto_subscribe(client, NULL, "t/+", qos), "subscribe");
}

static void on_subscribe(
    struct mosquitto *client, void *object, int id, int count, const int *qos_of)
{
    (void)client, (void)object, (void)id, (void)count, (void)qos_of;
    printf("ready\n");
    fflush(stdout);
}

static void on_publish(struct mosquitto *client, void *object, int id)
{
    (void)client, (void)object, (void)id;
    done++;
}

static void on_message(struct mosquitto *client, void *object,
    const struct mosquitto_message *message, const mosquitto_property *properties)
{
    const char *payload = message->payload;
    int same = 0;
    (void)client, (void)object;
    if (back)
        ask(strchr(message->topic, '/') + 1);
    while (same < message->payloadlen && payload[same] == 'a' + atoi(message->topic + 2) % 26)
        same++;
    printf("%s %d %d", message->topic, message->payloadlen, same);
    for (bool skips = false;; skips = true) {
        char *name, *value;
        properties = mosquitto_property_read_string_pair(
            properties, MQTT_PROP_USER_PROPERTY, &name, &value, skips);
        if (properties == NULL)
            break;
        printf(" %s=%s", name, value);
        free(name);
        free(value);
    }
    printf("\n");
    done++;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    publishes = strcmp(argv[1], "publish") == 0;
    version = atoi(argv[3]);
    qos = atoi(argv[4]);
    wanted = atoi(argv[5]);
    back = argc > 6 ? atoi(argv[6]) : 0;
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(NULL, true, NULL);
    require(mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, version), "version");
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_message_v5_callback_set(client, on_message);
    require(mosquitto_connect(client, "127.0.0.1", atoi(argv[2]), SECONDS), "connect");
    while (done < wanted)
        require(mosquitto_loop(client, 1000, 1), "loop");
    mosquitto_disconnect(client);
    mosquitto_loop(client, 0, 1);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return 0;
}
