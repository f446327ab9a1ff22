/* SPDX-License-Identifier: Apache-2.0 */
#include "resource.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "sys.h"

void resource_add(struct otlp_process *process, const char *key, struct slice text)
{
    if (process->count == OTLP_FACTS_MAX || text.length == 0 ||
        text.length >= OTLP_FACTS_BYTES - process->used)
        return;
    for (uint32_t i = 0; i < process->count; i++)
        if (strcmp(process->facts[i].key, key) == 0)
            return;
    char *at = process->texts + process->used;
    memcpy(at, text.data, text.length);
    at[text.length] = '\0';
    process->used += (uint32_t)text.length + 1;
    process->facts[process->count++] = (struct otlp_fact){.key = key, .text = at};
}

void resource_add_text(struct otlp_process *process, const char *key, const char *text)
{
    resource_add(process, key, (struct slice){text, strlen(text)});
}

void resource_add_number(struct otlp_process *process, const char *key, int64_t number)
{
    if (process->count < OTLP_FACTS_MAX)
        process->facts[process->count++] = (struct otlp_fact){.key = key, .number = number};
}

static void add_instance(struct otlp_process *process)
{
    uint8_t random[16] = {0};
    char id[37], *at = id;
    sys(SYS_getrandom, random, sizeof(random), 0);
    random[6] = (random[6] & 0x0f) | 0x40; /* RFC 9562, 5.4: version 4 */
    random[8] = (random[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = "0123456789abcdef"[random[i] >> 4];
        *at++ = "0123456789abcdef"[random[i] & 15];
    }
    resource_add(process, "service.instance.id", (struct slice){id, 36});
}

static void add_executable(struct otlp_process *process)
{
    char *path = process->scratch[0];
    long length = sys(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, 1023);
    if (length <= 0)
        return;
    path[length] = '\0';
    const char *slash = strrchr(path, '/');
    resource_add_text(process, "process.executable.name", slash ? slash + 1 : path);
    resource_add_text(process, "process.executable.path", path);
}

void resource_begin(struct otlp_process *process)
{
    static const char arch[] =
#if defined(__x86_64__)
        "amd64";
#else
        "arm64";
#endif
    struct utsname name;
    add_instance(process);
    resource_add_number(process, "process.pid", sys(SYS_getpid));
    add_executable(process);
    resource_add_text(process, "host.arch", arch);
    resource_add_text(process, "os.type", "linux");
    if (sys(SYS_uname, &name) == 0)
        resource_add_text(process, "host.name", name.nodename);
}
