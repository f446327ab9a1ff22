/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on a living process. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "counters.h"
#include "findings.h"
#include "guards.h"
#include "leftovers.h"
#include "process_facts.h"

static void check_mapped(struct findings *findings, int pid)
{
    switch (process_library(pid)) {
    case PROCESS_UNREADABLE:
        finding_add(findings, FINDING_FAIL,
            format_text("process %d cannot be examined: %s", pid, strerror(errno)),
            "run the doctor as the same user or as root");
        break;
    case PROCESS_REPLACED:
        finding_add(findings, FINDING_WARN,
            format_text("libburdock.so is loaded, but its file has been replaced since"),
            "restart the process to use the new one");
        break;
    case PROCESS_LOADED:
        finding_add(findings, FINDING_OK, format_text("libburdock.so is loaded"), NULL);
        break;
    case PROCESS_BARE:
        finding_add(findings, FINDING_FAIL, format_text("libburdock.so is not loaded"),
            "start the program with burdock run; a running one cannot be joined");
    }
}

/* The value in a block of NAME=VALUE texts, or NULL. */
static const char *value_in(const char *block, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    for (const char *at = block; at < block + length; at += strlen(at) + 1) {
        if (strncmp(at, name, name_length) == 0 && at[name_length] == '=')
            return at + name_length + 1;
    }
    return NULL;
}

/* Leaves in *settings those of the process, or ours where its environment cannot be read. */
static void check_environment(struct findings *findings, int pid, struct config *settings)
{
    size_t length;
    char *block = process_read(pid, "environ", &length);
    if (!block) { /* maps has said so */
        settings_read(settings);
        return;
    }
    const char *preload = value_in(block, length, "LD_PRELOAD");
    if (preload && strstr(preload, "libburdock.so"))
        finding_add(findings, FINDING_OK, format_text("LD_PRELOAD=%s", preload), NULL);
    else
        finding_add(findings, FINDING_WARN,
            format_text("the process was not started with libburdock.so in LD_PRELOAD"),
            "start it with burdock run");
    process_settings(pid, settings);
    doctor_switches(findings, settings);
    for (const char *at = block; at < block + length; at += strlen(at) + 1)
        doctor_unknown(findings, at);
    free(block);
}

static void check_guard(struct findings *findings, int pid, const struct config *settings)
{
    struct guard guard;
    struct stat status;
    char *path = format_text("/proc/%d", pid);
    if (stat(path, &status) == 0 && guard_read(settings, status.st_uid, &guard) && guard.denied_s)
        finding_add(findings, FINDING_FAIL, guard_reason(&guard),
            "report it; burdock allow SERVICE traces it again");
    free(path);
}

static void check_relay(struct findings *findings, int pid, const struct config *settings)
{
    struct stat status;
    char *path = format_text("/proc/%d", pid);
    doctor_relay(findings, settings, stat(path, &status) == 0 ? status.st_uid : geteuid());
    free(path);
}

static void check_secure(struct findings *findings, int pid)
{
    size_t length;
    char *bytes = process_read(pid, "auxv", &length);
    for (size_t at = 0; bytes && at + sizeof(ElfW(auxv_t)) <= length; at += sizeof(ElfW(auxv_t))) {
        ElfW(auxv_t) entry;
        memcpy(&entry, bytes + at, sizeof entry);
        if (entry.a_type == AT_SECURE && entry.a_un.a_val)
            finding_add(findings, FINDING_FAIL,
                format_text("the kernel marked the process secure (AT_SECURE)"),
                "start it without the extra rights");
    }
    free(bytes);
}

/* Counters that tell of success or of the application's own doing. */
static bool is_failure(enum counter counter)
{
    return counter != COUNTER_SPANS_RECORDED && counter != COUNTER_SPANS_EXPORTED &&
           counter != COUNTER_LOGS_RECORDED && counter != COUNTER_LOGS_EXPORTED &&
           counter != COUNTER_EXPORT_REQUESTS && counter != COUNTER_EXPORT_MICROSECONDS &&
           counter != COUNTER_SELF_MICROSECONDS && counter != COUNTER_INJECT_ADOPTED &&
           counter != COUNTER_SELFCHECK_RIGHT && counter != COUNTER_SELFCHECK_WRONG &&
           counter != COUNTER_LOOPS_ISOLATED && counter != COUNTER_CARRIER_PYTHON &&
           counter != COUNTER_CARRIER_LUA && counter != COUNTER_CARRIER_JAVA &&
           counter != COUNTER_CARRIER_RUBY;
}

/* How often it was known, at the first byte of an answer, whose it would be. */
static void check_attribution(struct findings *findings, const uint64_t *values)
{
    uint64_t right = values[COUNTER_SELFCHECK_RIGHT], wrong = values[COUNTER_SELFCHECK_WRONG];
    if (right + wrong == 0)
        return;
    finding_add(findings, wrong == 0 ? FINDING_OK : FINDING_WARN,
        format_text("%" PRIu64 " of %" PRIu64 " answers were begun where their request was known to"
                    " be at work",
            right, right + wrong),
        wrong == 0
            ? NULL
            : "the program hands work on by ways of its own; calls of which the request is not"
              " certain begin traces of their own, linked to it");
}

static void check_counters(struct findings *findings, int pid, const struct config *settings)
{
    struct leftovers told;
    const uint64_t *values = told.counters;
    if (!leftovers_read(settings, pid, &told)) {
        finding_add(findings, FINDING_WARN,
            format_text("process %d has no ring file that can be read: no counters", pid),
            "send it a request first, and run the doctor as the same user");
        return;
    }
    finding_add(findings, FINDING_OK,
        format_text("%" PRIu64 " spans recorded, %" PRIu64 " exported",
            values[COUNTER_SPANS_RECORDED], values[COUNTER_SPANS_EXPORTED]),
        NULL);
    if (values[COUNTER_LOGS_RECORDED])
        finding_add(findings, FINDING_OK,
            format_text("%" PRIu64 " lines of logs recorded, %" PRIu64 " exported",
                values[COUNTER_LOGS_RECORDED], values[COUNTER_LOGS_EXPORTED]),
            NULL);
    check_attribution(findings, values);
    if (told.broken_why[0])
        finding_add(findings, FINDING_FAIL,
            format_text("the library stopped observing this process: %s", told.broken_why),
            "report it; a restart of the program begins anew");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (values[i] && is_failure((enum counter)i))
            finding_add(findings, FINDING_WARN,
                format_text("%s %" PRIu64 ": %s", counter_name((enum counter)i), values[i],
                    counter_text((enum counter)i)),
                NULL);
    }
}

void doctor_process(struct findings *findings, int pid)
{
    if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH)) {
        finding_add(findings, FINDING_FAIL, format_text("there is no process %d", pid),
            "check the number with ps");
        return;
    }
    struct config settings;
    char *executable = format_text("/proc/%d/exe", pid);
    check_mapped(findings, pid);
    check_environment(findings, pid, &settings);
    doctor_file(findings, executable, 0);
    check_secure(findings, pid);
    check_guard(findings, pid, &settings);
    check_counters(findings, pid, &settings);
    check_relay(findings, pid, &settings);
    free(executable);
}
