/* SPDX-License-Identifier: Apache-2.0 */
/* What files tell: the system's name, who runs the process and since when, its container. */
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "format.h"
#include "lines.h"
#include "resource.h"
#include "sys.h"
#include "utc.h"

static bool begins(struct slice text, const char *prefix, struct slice *rest)
{
    size_t length = strlen(prefix);
    if (text.length < length || memcmp(text.data, prefix, length) != 0)
        return false;
    *rest = (struct slice){text.data + length, text.length - length};
    return true;
}

/* The first line of a file; false: none, or it is empty. */
static bool first_line(const char *path, struct lines *lines, struct slice *line)
{
    lines_open(lines, path);
    bool found = lines_next(lines, line) && line->length > 0;
    lines_close(lines);
    return found;
}

/* --- system -------------------------------------------------------------------------------- */

/* os-release(5): values may stand in quotes. Escapes inside them are not met in practice. */
static struct slice unquoted(struct slice text)
{
    char quote = text.length >= 2 ? text.data[0] : 0;
    if ((quote == '"' || quote == '\'') && text.data[text.length - 1] == quote)
        return (struct slice){text.data + 1, text.length - 2};
    return text;
}

static void add_system(struct otlp_process *process)
{
    static const struct {
        const char *name, *key;
    } rows[] = {{"NAME=", "os.name"}, {"VERSION_ID=", "os.version"},
        {"PRETTY_NAME=", "os.description"}, {"BUILD_ID=", "os.build_id"}};
    struct lines lines;
    struct slice line, value;
    struct utsname name;
    bool has_build = false;
    lines_open(&lines, "/etc/os-release");
    if (lines.descriptor < 0)
        lines_open(&lines, "/usr/lib/os-release");
    while (lines_next(&lines, &line))
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            if (begins(line, rows[i].name, &value)) {
                resource_add(process, rows[i].key, unquoted(value));
                has_build |= i == 3;
            }
    lines_close(&lines);
    if (!has_build && sys(SYS_uname, &name) == 0)
        resource_add_text(process, "os.build_id", name.release);
}

/* --- process ------------------------------------------------------------------------------- */

/* What stands in nsswitch.conf but files would be a library's to ask. */
static void add_owner(struct otlp_process *process)
{
    struct lines lines;
    struct slice line, name, secret, number;
    uint64_t user = (uint64_t)sys(SYS_geteuid), found;
    lines_open(&lines, "/etc/passwd");
    while (lines_next(&lines, &line)) {
        if (!slice_split(&line, ':', &name) || !slice_split(&line, ':', &secret) ||
            !slice_split(&line, ':', &number) || !number_parse(number, UINT32_MAX, &found) ||
            found != user)
            continue;
        resource_add(process, "process.owner", name);
        break;
    }
    lines_close(&lines);
}

/* argv[0]. The other words may be secrets, so they stay where they are. */
static void add_command(struct otlp_process *process)
{
    char text[1024];
    long descriptor = sys(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    long got = sys(SYS_read, descriptor, text, sizeof(text) - 1);
    sys(SYS_close, descriptor);
    text[got > 0 ? got : 0] = '\0';
    resource_add_text(process, "process.command", text);
}

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* proc(5): the name, field 2, stands in parentheses and may hold anything; 22 is the start, in
 * hundredths of a second since the machine's. */
static void add_start(struct otlp_process *process)
{
    enum { AFTER_NAME = 19 };
    struct lines lines;
    struct slice line, field = {NULL, 0};
    uint64_t ticks;
    if (!first_line("/proc/self/stat", &lines, &line))
        return;
    const char *name_end = memrchr(line.data, ')', line.length);
    if (name_end == NULL || name_end + 2 > line.data + line.length)
        return;
    line = (struct slice){name_end + 2, (size_t)(line.data + line.length - name_end - 2)};
    for (int i = 0; i <= AFTER_NAME; i++)
        if (!slice_split(&line, ' ', &field))
            return;
    if (!number_parse(field, INT64_MAX / 10, &ticks))
        return;
    char text[40];
    struct format time;
    format_start(&time, text, sizeof(text));
    uint64_t ms = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME) + ticks * 10;
    utc_format(&time, ms * 1000000, 3);
    resource_add_text(process, "process.creation.time", text);
}

/* --- container ----------------------------------------------------------------------------- */

enum { ID_DIGITS = 64 };

static bool is_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

/* docker/ID, docker-ID.scope, cri-containerd-ID.scope, libpod-ID.scope, pod...:cri-containerd:ID;
 * Fargate's are the task's 32 digits, and a number. */
static struct slice id_of_segment(struct slice segment, bool is_ecs)
{
    struct slice none = {NULL, 0};
    static const char scope[] = ".scope";
    size_t suffix = sizeof(scope) - 1;
    if (segment.length > suffix &&
        memcmp(segment.data + segment.length - suffix, scope, suffix) == 0)
        segment.length -= suffix;
    if (is_ecs && segment.length > 33 && segment.data[32] == '-' && is_hex(segment.data, 32) &&
        is_hex(segment.data + 33, segment.length - 33))
        return segment;
    if (segment.length < ID_DIGITS)
        return none;
    struct slice id = {segment.data + segment.length - ID_DIGITS, ID_DIGITS};
    bool is_whole = id.data == segment.data || id.data[-1] == '-' || id.data[-1] == ':';
    return is_whole && is_hex(id.data, ID_DIGITS) ? id : none;
}

struct slice resource_container_of_cgroup(struct slice line)
{
    struct slice found = {NULL, 0}, segment, path;
    const char *start = memchr(line.data, '/', line.length);
    if (start == NULL)
        return found;
    path = (struct slice){start + 1, (size_t)(line.data + line.length - start - 1)};
    bool is_ecs = begins(path, "ecs/", &segment);
    while (slice_split(&path, '/', &segment)) {
        struct slice id = id_of_segment(segment, is_ecs);
        if (id.length > 0)
            found = id; /* the innermost */
    }
    return found;
}

/* proc(5), mountinfo: the fourth field is the place in its file system, the fifth where it is
 * mounted. Docker and Podman mount these files from the container's own directory. containerd
 * mounts its sandbox's, whose id is another one. */
/* .../containers/ID/... */
static struct slice id_in_path(struct slice path)
{
    static const char directory[] = "containers/";
    size_t length = sizeof(directory) - 1;
    for (; path.length > length + ID_DIGITS; path.data++, path.length--)
        if (memcmp(path.data, directory, length) == 0 && path.data[length + ID_DIGITS] == '/' &&
            is_hex(path.data + length, ID_DIGITS))
            return (struct slice){path.data + length, ID_DIGITS};
    return (struct slice){NULL, 0};
}

struct slice resource_container_of_mount(struct slice line)
{
    static const char *const files[] = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"};
    struct slice field, root = {NULL, 0};
    for (int i = 0; i < 5; i++) {
        if (!slice_split(&line, ' ', &field))
            return (struct slice){NULL, 0};
        root = i == 3 ? field : root;
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (slice_is(field, files[i]))
            return id_in_path(root);
    return (struct slice){NULL, 0};
}

static bool add_container_from(
    struct otlp_process *process, const char *path, struct slice (*id_of)(struct slice line))
{
    struct lines lines;
    struct slice line, id = {NULL, 0};
    lines_open(&lines, path);
    while (id.length == 0 && lines_next(&lines, &line))
        id = id_of(line);
    resource_add(process, "container.id", id);
    lines_close(&lines);
    return id.length > 0;
}

static bool is_there(const char *path)
{
    return sys(SYS_faccessat, AT_FDCWD, path, 0 /* F_OK */) == 0;
}

/* What of the machine-id a container has is its image's, or another one each time. */
static void add_host_id(struct otlp_process *process)
{
    struct lines lines;
    struct slice line;
    if (first_line("/etc/machine-id", &lines, &line) ||
        first_line("/var/lib/dbus/machine-id", &lines, &line))
        resource_add(process, "host.id", line);
}

static void add_kubernetes(struct otlp_process *process, const struct config *config)
{
    static const char *const keys[KUBERNETES_FACT_COUNT] = {[KUBERNETES_POD_NAME] = "k8s.pod.name",
        [KUBERNETES_NAMESPACE] = "k8s.namespace.name",
        [KUBERNETES_POD_UID] = "k8s.pod.uid",
        [KUBERNETES_POD_IP] = "k8s.pod.ip",
        [KUBERNETES_NODE] = "k8s.node.name",
        [KUBERNETES_CONTAINER] = "k8s.container.name"};
    for (unsigned i = 0; i < KUBERNETES_FACT_COUNT; i++)
        resource_add_text(process, keys[i], config->kubernetes[i]);
}

void resource_finish(
    struct otlp_process *process, const struct config *config, const uint64_t *stop)
{
    bool is_contained =
        add_container_from(process, "/proc/self/cgroup", resource_container_of_cgroup) ||
        add_container_from(process, "/proc/self/mountinfo", resource_container_of_mount) ||
        config->in_kubernetes || config->ecs_metadata[0] != '\0' || is_there("/.dockerenv") ||
        is_there("/run/.containerenv");
    add_system(process);
    add_owner(process);
    add_command(process);
    add_start(process);
    resource_add_number(process, "process.parent_pid", sys(SYS_getppid));
    if (!is_contained)
        add_host_id(process);
    if (config->in_kubernetes)
        add_kubernetes(process, config);
    if (config->ecs_metadata[0] != '\0')
        resource_ecs(process, config, stop);
}
