/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of NATS by libnats, which reads on a thread of its own and knows nothing of tracing.
 *
 *   nats_client publish URL COUNT     t.0, t.1, ..., each third with a header of its own
 *   nats_client consume URL COUNT     prints the subject, length and headers of each to t.*
 *
 * With TLS if the URL says tls://; its certificate is not checked.
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_MAX = 5000, TIMEOUT_MS = 60000 };

static void require(natsStatus status, const char *what)
{
    if (status == NATS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(status));
    nats_PrintLastErrorStack(stderr);
    exit(1);
}

static natsConnection *connect_to(const char *url)
{
    natsOptions *options;
    natsConnection *connection;
    require(natsOptions_Create(&options), "options");
    require(natsOptions_SetURL(options, url), "url");
    if (strncmp(url, "tls:", 4) == 0) {
        require(natsOptions_SetSecure(options, true), "tls");
        require(natsOptions_SkipServerVerification(options, true), "tls without a check");
    }
    require(natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void publish(natsConnection *connection, int count)
{
    static char payload[PAYLOAD_MAX];
    for (int i = 0; i < count; i++) {
        char subject[32];
        natsMsg *message;
        snprintf(subject, sizeof(subject), "t.%d", i);
        memset(payload, 'a' + i % 26, sizeof(payload));
        require(natsMsg_Create(&message, subject, NULL, payload, i * 37 % PAYLOAD_MAX), "message");
        if (i % 3 == 0)
            require(natsMsgHeader_Set(message, "X-Number", subject), "header");
        require(natsConnection_PublishMsg(connection, message), "publish");
        natsMsg_Destroy(message);
    }
    require(natsConnection_FlushTimeout(connection, TIMEOUT_MS), "flush");
}

static void print_headers(natsMsg *message)
{
    const char **keys;
    int count;
    if (natsMsgHeader_Keys(message, &keys, &count) != NATS_OK)
        return;
    for (int i = 0; i < count; i++) {
        const char *value;
        require(natsMsgHeader_Get(message, keys[i], &value), "header");
        printf(" %s=%s", keys[i], value);
    }
    free((void *)keys);
}

static void consume(natsConnection *connection, int count)
{
    natsSubscription *subscription;
    require(natsConnection_SubscribeSync(&subscription, connection, "t.*"), "subscribe");
    require(natsConnection_FlushTimeout(connection, TIMEOUT_MS), "flush");
    printf("ready\n");
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        natsMsg *message;
        require(natsSubscription_NextMsg(&message, subscription, TIMEOUT_MS), "next");
        const char *data = natsMsg_GetData(message);
        int length = natsMsg_GetDataLength(message), same = 0;
        while (same < length && data[same] == 'a' + i % 26)
            same++;
        printf("%s %d %d", natsMsg_GetSubject(message), length, same);
        print_headers(message);
        printf("\n");
        natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(subscription);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    natsConnection *connection = connect_to(argv[2]);
    (strcmp(argv[1], "publish") == 0 ? publish : consume)(connection, atoi(argv[3]));
    natsConnection_Destroy(connection);
    nats_Close();
    return 0;
}
