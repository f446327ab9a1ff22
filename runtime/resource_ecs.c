/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon ECS, task metadata endpoint version 4: the agent answers on a link-local address at the
 * path that the environment names, about the container there and about its task at <path>/task.
 * One connection each, one second for both.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "format.h"
#include "http_answer.h"
#include "json_find.h"
#include "memory.h"
#include "otlp_connect.h"
#include "process.h"
#include "resource.h"
#include "sys.h"
#include "url.h"

enum { ASK_BYTES = 512, BODY_BYTES = 64 * 1024, PIECE_BYTES = 4096, WAIT_MS = 1000 };

static bool send_all(int descriptor, const char *text, size_t length)
{
    /* It is less than a new connection's buffer. */
    return sys(SYS_sendto, descriptor, text, length, MSG_NOSIGNAL, 0, 0) == (long)length;
}

static void read_answer(int descriptor, struct http_answer *answer, const struct patience *patience)
{
    uint8_t piece[PIECE_BYTES];
    short seen;
    while (answer->phase != HTTP_DONE && answer->phase != HTTP_BROKEN) {
        if (!patience_poll(patience, descriptor, POLLIN, &seen))
            return;
        long got = sys(SYS_read, descriptor, piece, sizeof(piece));
        if (got <= 0) {
            http_answer_end(answer);
            return;
        }
        http_answer_feed(answer, piece, (size_t)got);
    }
}

/* The body of the answer to GET <url><more>, in `body`; length 0: there is none to be had. */
static struct slice get(
    const char *base, const char *more, const struct patience *patience, uint8_t *body)
{
    struct otlp_http connection = {.descriptor = -1};
    struct http_answer answer;
    struct url url;
    struct format ask;
    char text[ASK_BYTES];
    int error;
    http_answer_init(&answer, body, BODY_BYTES, 0);
    if (!url_parse(base, &url) || !otlp_connect(&connection, &url, patience, &error))
        return (struct slice){NULL, 0};
    format_start(&ask, text, sizeof(text));
    format_text(&ask, "GET ");
    format_bytes(&ask, url.path.data, url.path.length);
    format_text(&ask, more);
    format_text(&ask, " HTTP/1.1\r\nHost: ");
    format_bytes(&ask, url.authority.data, url.authority.length);
    format_text(&ask, "\r\nUser-Agent: Burdock/" BURDOCK_VERSION "\r\nConnection: close\r\n\r\n");
    if (ask.fits && send_all(connection.descriptor, text, (size_t)(ask.at - text)))
        read_answer(connection.descriptor, &answer, patience);
    otlp_http_close(&connection);
    bool is_whole = answer.phase == HTTP_DONE && answer.status == 200 &&
                    answer.body_total == answer.body_length;
    return (struct slice){(const char *)body, is_whole ? answer.body_length : 0};
}

static struct slice text_of(struct slice json, const char *member, char *out, size_t room)
{
    return (struct slice){out, json_characters(json_find(json, member), out, room)};
}

static struct slice add(
    struct otlp_process *process, const char *key, struct slice json, const char *member, char *out)
{
    struct slice text = text_of(json, member, out, 512);
    resource_add(process, key, text);
    return text;
}

/* arn:partition:service:region:account:resource */
static struct slice arn_part(struct slice arn, int number)
{
    struct slice part = {NULL, 0};
    for (int i = 0; i <= number; i++)
        if (!slice_split(&arn, ':', &part))
            return (struct slice){NULL, 0};
    return part;
}

/* repository/name:tag@digest: what stands before tag and digest. A colon before a slash is a
 * port's. */
static struct slice image_name(struct slice image)
{
    const char *at = memchr(image.data, '@', image.length);
    if (at != NULL)
        image.length = (size_t)(at - image.data);
    const char *colon = memrchr(image.data, ':', image.length);
    if (colon != NULL && memchr(colon, '/', (size_t)(image.data + image.length - colon)) == NULL)
        image.length = (size_t)(colon - image.data);
    return image;
}

void resource_ecs_container(struct otlp_process *process, struct slice json)
{
    char text[512];
    add(process, "container.id", json, "DockerId", text);
    add(process, "container.name", json, "DockerName", text);
    resource_add(
        process, "container.image.name", image_name(text_of(json, "Image", text, sizeof(text))));
    add(process, "container.image.id", json, "ImageID", text);
    struct slice arn = add(process, "aws.ecs.container.arn", json, "ContainerARN", text);
    resource_add(process, "cloud.resource_id", arn);
}

/* A cluster may be told by its name only: its ARN is the task's with another end. */
static void add_cluster(struct otlp_process *process, struct slice json, struct slice task)
{
    char name[512], arn[1024];
    struct slice cluster = text_of(json, "Cluster", name, sizeof(name));
    const char *resource = memmem(task.data, task.length, ":task/", 6);
    if (cluster.length > 4 && memcmp(cluster.data, "arn:", 4) == 0) {
        resource_add(process, "aws.ecs.cluster.arn", cluster);
        return;
    }
    if (cluster.length == 0 || resource == NULL)
        return;
    struct format made;
    format_start(&made, arn, sizeof(arn));
    format_bytes(&made, task.data, (size_t)(resource - task.data));
    format_text(&made, ":cluster/");
    format_bytes(&made, cluster.data, cluster.length);
    if (made.fits)
        resource_add_text(process, "aws.ecs.cluster.arn", arn);
}

static void add_launch_type(struct otlp_process *process, struct slice json)
{
    char text[64];
    struct slice type = text_of(json, "LaunchType", text, sizeof(text));
    if (slice_is(type, "fargate"))
        resource_add_text(process, "aws.ecs.launchtype", "fargate");
    else if (slice_is(type, "ec2"))
        resource_add_text(process, "aws.ecs.launchtype", "ec2");
}

void resource_ecs_task(struct otlp_process *process, struct slice json)
{
    char arn[512], text[512];
    struct slice task = add(process, "aws.ecs.task.arn", json, "TaskARN", arn);
    if (task.length == 0)
        return;
    resource_add_text(process, "cloud.provider", "aws");
    resource_add_text(process, "cloud.platform", "aws_ecs");
    resource_add(process, "cloud.region", arn_part(task, 3));
    resource_add(process, "cloud.account.id", arn_part(task, 4));
    const char *slash = memrchr(task.data, '/', task.length);
    if (slash != NULL)
        resource_add(process, "aws.ecs.task.id",
            (struct slice){slash + 1, (size_t)(task.data + task.length - slash - 1)});
    add_cluster(process, json, task);
    add_launch_type(process, json);
    add(process, "aws.ecs.task.family", json, "Family", text);
    add(process, "aws.ecs.task.revision", json, "Revision", text);
    add(process, "cloud.availability_zone", json, "AvailabilityZone", text);
}

void resource_ecs(struct otlp_process *process, const struct config *config, const uint64_t *stop)
{
    struct patience patience = {process_monotonic_ns() + WAIT_MS * 1000000ull, stop};
    uint8_t *body = memory_map(BODY_BYTES);
    if (body == NULL)
        return;
    resource_ecs_container(process, get(config->ecs_metadata, "", &patience, body));
    resource_ecs_task(process, get(config->ecs_metadata, "/task", &patience, body));
    memory_unmap(body, BODY_BYTES);
}
