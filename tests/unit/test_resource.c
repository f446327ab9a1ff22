/* SPDX-License-Identifier: Apache-2.0 */
/* Which container a process is in, and what the agent of Amazon ECS says. */
#include <stdlib.h>
#include <string.h>

#include "json_find.h"
#include "resource.h"
#include "tap.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TASK "158d1c8083dd49d6b527399fd6414f5c"

static struct slice text_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static bool is(struct slice found, const char *wanted)
{
    return found.length == strlen(wanted) &&
           (found.length == 0 || memcmp(found.data, wanted, found.length) == 0);
}

static void test_cgroup(void)
{
    static const struct {
        const char *line, *id;
    } rows[] = {{"12:memory:/docker/" ID, ID}, {"0::/system.slice/docker-" ID ".scope", ID},
        {"0::/system.slice/docker-" ID ".scope/init.scope", ID},
        {"1:name=systemd:/kubepods/besteffort/pod1f/" ID, ID},
        {"0::/kubepods.slice/kubepods-pod1f.slice/cri-containerd-" ID ".scope", ID},
        {"9:cpu:/system.slice/containerd.service/kubepods-pod1f.slice:cri-containerd:" ID, ID},
        {"0::/machine.slice/libpod-" ID ".scope/container", ID}, {"4:cpu:/ecs/" TASK "/" ID, ID},
        {"4:cpu:/ecs/" TASK "/" TASK "-2532561", TASK "-2532561"}, {"0::/", ""},
        {"0::/user.slice/user-0.slice/session-1.scope", ""}, {"", ""}, {"0::", ""},
        {"0::/x/" ID "0", ""}, {"0::/x/a" ID, ""}, {"0::/" TASK "-2532561", ""},
        {"0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice found = resource_container_of_cgroup(text_of(rows[i].line));
        CHECK(is(found, rows[i].id), "container of cgroup %s", rows[i].line);
    }
}

static void test_mount(void)
{
    static const struct {
        const char *line, *id;
    } rows[] = {
        {"1 2 8:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname rw - ext4 a b", ID},
        {"1 2 0:2 /containers/storage/overlay-containers/" ID
         "/userdata/hosts /etc/hosts rw - tmpfs t rw",
            ID},
        {"1 2 0:2 /containers/x/overlay-containers/" ID "/resolv.conf /etc/resolv.conf rw", ID},
        {"1 2 8:1 /lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" ID
         "/hostname /etc/hostname rw",
            ""},
        {"1 2 8:1 /var/lib/docker/containers/" ID "/x /data rw", ""},
        {"1 2 8:1 /var/lib/docker/containers/" ID " /etc/hostname rw", ""},
        {"1 2 8:1 /containers/short/hostname /etc/hostname rw", ""}, {"1 2 8:1", ""}, {"", ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice found = resource_container_of_mount(text_of(rows[i].line));
        CHECK(is(found, rows[i].id), "container of mount %s", rows[i].line);
    }
}

static const char *fact(const struct otlp_process *process, const char *key)
{
    for (uint32_t i = 0; i < process->count; i++)
        if (strcmp(process->facts[i].key, key) == 0)
            return process->facts[i].text ? process->facts[i].text : "a number";
    return "";
}

static void check_fact(const struct otlp_process *process, const char *key, const char *wanted)
{
    const char *got = fact(process, key);
    CHECK(strcmp(got, wanted) == 0, "%s is %s, not %s", key, wanted, got);
}

static const char container_json[] =
    "{\"DockerId\":\"" ID "\",\"Name\":\"shop\",\"DockerName\":\"ecs-shop-1\","
    "\"Image\":\"registry:5000/shop:1.2@sha256:ab\",\"ImageID\":\"sha256:cd\","
    "\"Labels\":{\"ContainerARN\":\"wrong\",\"x\":\"}\\\"]\"},"
    "\"ContainerARN\":\"arn:aws:ecs:us-west-2:111122223333:container/0206\"}";
static const char task_json[] =
    " { \"Cluster\" : \"default\", \"TaskARN\": "
    "\"arn:aws:ecs:us-west-2:111122223333:task/default/" TASK "\",\n"
    "\"Containers\":[{\"LaunchType\":\"EC2\"}], \"Family\":\"sh\\u006fp\", \"Revision\":\"26\","
    "\"LaunchType\":\"FARGATE\",\"AvailabilityZone\":\"us-west-2d\" } ";

static void test_ecs(void)
{
    static struct otlp_process process;
    resource_ecs_container(&process, text_of(container_json));
    resource_ecs_task(&process, text_of(task_json));
    check_fact(&process, "container.id", ID);
    check_fact(&process, "container.name", "ecs-shop-1");
    check_fact(&process, "container.image.name", "registry:5000/shop");
    check_fact(&process, "container.image.id", "sha256:cd");
    check_fact(
        &process, "aws.ecs.container.arn", "arn:aws:ecs:us-west-2:111122223333:container/0206");
    check_fact(&process, "cloud.resource_id", "arn:aws:ecs:us-west-2:111122223333:container/0206");
    check_fact(&process, "aws.ecs.task.id", TASK);
    check_fact(
        &process, "aws.ecs.cluster.arn", "arn:aws:ecs:us-west-2:111122223333:cluster/default");
    check_fact(&process, "aws.ecs.launchtype", "fargate");
    check_fact(&process, "aws.ecs.task.family", "shop");
    check_fact(&process, "aws.ecs.task.revision", "26");
    check_fact(&process, "cloud.provider", "aws");
    check_fact(&process, "cloud.region", "us-west-2");
    check_fact(&process, "cloud.account.id", "111122223333");
    check_fact(&process, "cloud.availability_zone", "us-west-2d");
}

/* Cut anywhere it is read without a fault, and tells no half of a text. */
static void test_cut(void)
{
    bool is_sound = true;
    for (size_t length = 0; length < sizeof(task_json); length++) {
        static struct otlp_process process;
        memset(&process, 0, sizeof(process));
        char *copy = malloc(length + 1);
        memcpy(copy, task_json, length);
        resource_ecs_task(&process, (struct slice){copy, length});
        const char *zone = fact(&process, "cloud.availability_zone");
        is_sound &= strcmp(zone, "us-west-2d") == 0 || *zone == 0;
        free(copy);
    }
    CHECK(is_sound, "answers cut at every length");
}

static void test_json(void)
{
    static const struct {
        const char *json, *value;
    } rows[] = {{"{\"a\":1,\"k\":2}", "2"}, {"{\"k\":{\"k\":[1,\"]\"]}}", "{\"k\":[1,\"]\"]}"},
        {"{\"k\":\"a\\\"b\"}", "\"a\\\"b\""}, {"{\"x\":[{\"k\":1}],\"k\":true }", "true"},
        {"[\"k\",1]", ""}, {"{\"k\"", ""}, {"{\"k\":", ""}, {"{k:1}", ""}, {"", ""}, {"{}", ""},
        {"{\"a\":[[[", ""}};
    char text[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK(is(json_find(text_of(rows[i].json), "k"), rows[i].value), "k of %s", rows[i].json);
    size_t length =
        json_characters(text_of("\"\\u20ac\\u00e9\\n\\ud83d\\/\\uzzzz\""), text, sizeof(text));
    CHECK(is((struct slice){text, length}, "\xE2\x82\xAC\xC3\xA9\n?/?"), "escapes are resolved");
    CHECK(json_characters(text_of("\"abcdef\""), text, 6) == 0, "no room is no text");
    CHECK(json_characters(text_of("\"a\\\""), text, 64) == 0, "nor is half an escape");
    CHECK(json_characters(text_of("12"), text, 64) == 0, "nor is a number");
}

static void test_own(void)
{
    static struct otlp_process one, other;
    static struct config settings;
    strcpy(settings.kubernetes[KUBERNETES_POD_NAME], "shop-1");
    resource_begin(&one);
    resource_finish(&one, &settings, NULL);
    settings.in_kubernetes = true;
    resource_begin(&other);
    resource_finish(&other, &settings, NULL);
    const char *since = fact(&one, "process.creation.time");
    CHECK(strlen(since) == 23 + 1 && since[10] == 'T' && since[23] == 'Z', "it began at %s", since);
    CHECK(strlen(fact(&one, "service.instance.id")) == 36 &&
              strcmp(fact(&one, "service.instance.id"), fact(&other, "service.instance.id")) != 0,
        "each has an instance of its own");
    check_fact(&one, "k8s.pod.name", "");
    check_fact(&other, "k8s.pod.name", "shop-1");
    check_fact(&other, "host.id", "");
    CHECK(strstr(fact(&one, "process.command"), "test_resource") != NULL, "its command");
    check_fact(&one, "process.parent_pid", "a number");
    for (int i = 0; i < 2 * OTLP_FACTS_MAX; i++)
        resource_add_number(&one, "x", i);
    CHECK(one.count == OTLP_FACTS_MAX, "facts beyond the table are left out");
}

int main(void)
{
    test_cgroup();
    test_mount();
    test_ecs();
    test_cut();
    test_json();
    test_own();
    return tap_done();
}
