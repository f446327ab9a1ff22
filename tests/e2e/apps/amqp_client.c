/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amqp_client PORT COUNT PREFETCH REDIS_PORT: a consumer with librabbitmq that works on one message
 * after the other, asks Redis for "m:ID" while it is at ID, acknowledges it then, and prints ID.
 */
#include <arpa/inet.h>
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static int ask(int redis, const char *id)
{
    char command[128], answer[16];
    int length = snprintf(command, sizeof(command), "*2\r\n$3\r\nGET\r\n$%zu\r\nm:%s\r\n",
        strlen(id) + 2, id);
    return write(redis, command, (size_t)length) == length &&
           read(redis, answer, sizeof(answer)) == 5;
}

static int is_well(amqp_connection_state_t connection)
{
    return amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL;
}

static int work(amqp_connection_state_t connection, int redis)
{
    char id[32] = "";
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    if (amqp_consume_message(connection, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
        return 0;
    amqp_bytes_t name = envelope.message.properties.message_id;
    memcpy(id, name.bytes, name.len < sizeof(id) ? name.len : sizeof(id) - 1);
    int done = ask(redis, id) && amqp_basic_ack(connection, 1, envelope.delivery_tag, 0) == 0;
    puts(id);
    amqp_destroy_envelope(&envelope);
    return done;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    int redis = connect_to(argv[4]);
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (redis < 0 || amqp_socket_open(socket, "127.0.0.1", atoi(argv[1])) != 0)
        return 3;
    amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    amqp_channel_open(connection, 1);
    amqp_basic_qos(connection, 1, 0, (uint16_t)atoi(argv[3]), 0);
    amqp_basic_consume(connection, 1, amqp_cstring_bytes("work"), amqp_empty_bytes, 0, 0, 0,
        amqp_empty_table);
    if (!is_well(connection))
        return 4;
    for (int i = 0; i < atoi(argv[2]); i++)
        if (!work(connection, redis))
            return 5;
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    return amqp_destroy_connection(connection) < 0;
}
