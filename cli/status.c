/* SPDX-License-Identifier: Apache-2.0 */
/* burdock status: is a process traced, and does what is traced arrive? For people and for probes.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"
#include "leftovers.h"
#include "process_facts.h"
#include "relay.h"

enum health { HEALTHY, DEGRADED, UNTRACED }; /* the exit status */
enum { REASONS_MAX = 8, RECENT_S = 60, STUCK_S = 30 };

struct status {
    enum health verdict;
    int pid, relay_pid; /* 0: none is needed, or none answers */
    bool has_ring;
    struct leftovers told;
    char *reasons[REASONS_MAX];
    unsigned reason_count;
};

static void say(struct status *status, enum health verdict, char *reason)
{
    if (status->verdict < verdict)
        status->verdict = verdict;
    if (status->reason_count < REASONS_MAX)
        status->reasons[status->reason_count++] = reason;
}

/* Seconds since, or -1: never. */
static double seconds_since(uint64_t unix_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double since = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)unix_ns / 1e9;
    return unix_ns == 0 ? -1 : since > 0 ? since : 0;
}

static uint64_t dropped(const struct leftovers *told, const char *prefix)
{
    uint64_t sum = 0;
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (strncmp(counter_name((enum counter)i), prefix, strlen(prefix)) == 0)
            sum += told->counters[i];
    return sum;
}

/* What was lost long ago and has gone well since is no trouble of today. */
static void judge_losses(struct status *status)
{
    const struct ring_health *health = &status->told.health;
    double ago = seconds_since(health->troubled_ns);
    if (ago < 0 || (ago > RECENT_S && health->troubled_ns <= health->exported_ns))
        return;
    say(status, DEGRADED,
        format_text("spans or lines of logs were lost or refused %.0f s ago: %" PRIu64
                    " dropped, %" PRIu64 " requests failed in all",
            ago, dropped(&status->told, "spans.dropped.") + dropped(&status->told, "logs.dropped."),
            status->told.counters[COUNTER_EXPORT_FAILED]));
}

static void judge_ring(struct status *status)
{
    const struct leftovers *told = &status->told;
    double silent = seconds_since(told->health.updated_ns);
    if (told->broken_why[0])
        say(status, DEGRADED,
            format_text("the library stopped observing this process: %s", told->broken_why));
    if (told->counters[COUNTER_THREAD_REFUSED])
        say(status, DEGRADED,
            format_text("its exporter could not be started: spans wait for the next process of the "
                        "service"));
    else if (told->waiting > 0 && silent > STUCK_S)
        say(status, DEGRADED,
            format_text("%" PRIu64 " bytes of spans wait, and the exporter has told nothing for "
                        "%.0f s: does the collector answer?",
                told->waiting, silent));
    judge_losses(status);
}

/* The process's own user may not be the one that it began as. */
static void judge_relay(struct status *status, const struct config *settings)
{
    struct stat facts;
    struct relay_told told;
    char *path = format_text("/proc/%d", status->pid);
    bool is_known = stat(path, &facts) == 0;
    free(path);
    if (!relay_is_needed(settings) || !is_known)
        return;
    if (!relay_ask(settings, facts.st_uid, &told) && !relay_ask(settings, geteuid(), &told)) {
        say(status, DEGRADED,
            format_text("no relay runs for it: what is to go by https or grpc waits in the spool"));
        return;
    }
    status->relay_pid = told.pid;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        if (told.signals[i].is_troubled)
            say(status, DEGRADED,
                format_text("its relay cannot send: %s", told.signals[i].trouble));
}

static void judge(struct status *status)
{
    static struct config settings;
    switch (process_library(status->pid)) {
    case PROCESS_UNREADABLE:
        say(status, UNTRACED, format_text("there is no such process, or it is somebody else's"));
        return;
    case PROCESS_BARE:
        say(status, UNTRACED, format_text("libburdock.so is not loaded"));
        return;
    case PROCESS_LOADED:
    case PROCESS_REPLACED:
        break;
    }
    if (!process_settings(status->pid, &settings))
        settings_read(&settings);
    if (settings.disabled || !(settings.records || settings.records_logs)) {
        say(status, UNTRACED, format_text("it is switched off by its environment"));
        return;
    }
    status->has_ring = leftovers_read(&settings, status->pid, &status->told);
    if (status->has_ring)
        judge_ring(status);
    else
        say(status, HEALTHY, format_text("nothing that is traced has happened yet"));
    judge_relay(status, &settings);
}

static const char *const names[] = {"healthy", "degraded", "untraced"};

static const char *const sides[CONNECTION_SIDES] = {"server", "client"};

static void print_connections(const struct connection_counts *counts)
{
    const char *name;
    for (uint32_t row = 0; (name = connection_protocol_name(row)) != NULL; row++)
        for (unsigned side = 0; row < CONNECTION_PROTOCOLS_MAX && side < CONNECTION_SIDES; side++)
            if (counts->begun[row][side] > 0)
                printf("  %s, as %s: %" PRIu32 " connections open of %" PRIu32 "\n", name,
                    sides[side], counts->open[row][side], counts->begun[row][side]);
}

static void json_connections(struct json *json, const struct connection_counts *counts)
{
    const char *name;
    json_open(json, "connections", '[');
    for (uint32_t row = 0; (name = connection_protocol_name(row)) != NULL; row++)
        for (unsigned side = 0; row < CONNECTION_PROTOCOLS_MAX && side < CONNECTION_SIDES; side++) {
            if (counts->begun[row][side] == 0)
                continue;
            json_open(json, NULL, '{');
            json_text(json, "protocol", name);
            json_text(json, "side", sides[side]);
            json_integer(json, "open", counts->open[row][side]);
            json_integer(json, "begun", counts->begun[row][side]);
            json_close(json, '}');
        }
    json_close(json, ']');
}

static void print_text(const struct status *status)
{
    const uint64_t *counters = status->told.counters;
    printf("%s", names[status->verdict]);
    if (status->has_ring)
        printf("  %" PRIu64 " spans recorded, %" PRIu64 " exported, %" PRIu64 " dropped",
            counters[COUNTER_SPANS_RECORDED], counters[COUNTER_SPANS_EXPORTED],
            dropped(&status->told, "spans.dropped."));
    putchar('\n');
    if (counters[COUNTER_LOGS_RECORDED] > 0)
        printf("  %" PRIu64 " lines of logs recorded, %" PRIu64 " exported, %" PRIu64
               " spooled, %" PRIu64 " dropped\n",
            counters[COUNTER_LOGS_RECORDED], counters[COUNTER_LOGS_EXPORTED],
            counters[COUNTER_LOGS_SPOOLED], dropped(&status->told, "logs.dropped."));
    for (unsigned i = 0; i < status->reason_count; i++)
        printf("  %s\n", status->reasons[i]);
    if (status->has_ring)
        print_connections(&status->told.connections);
}

static void json_since(struct json *json, const char *key, uint64_t unix_ns)
{
    if (unix_ns == 0)
        json_null(json, key);
    else
        json_real(json, key, seconds_since(unix_ns));
}

static void print_json(const struct status *status)
{
    const struct leftovers *told = &status->told;
    struct json json = {.stream = stdout};
    json_open(&json, NULL, '{');
    json_integer(&json, "v", 1);
    json_integer(&json, "pid", status->pid);
    json_text(&json, "status", names[status->verdict]);
    json_open(&json, "reasons", '[');
    for (unsigned i = 0; i < status->reason_count; i++)
        json_text(&json, NULL, status->reasons[i]);
    json_close(&json, ']');
    if (status->relay_pid)
        json_integer(&json, "relay", status->relay_pid);
    if (status->has_ring) {
        json_text(&json, "service", told->service_name);
        json_since(&json, "exported_s_ago", told->health.exported_ns);
        json_since(&json, "troubled_s_ago", told->health.troubled_ns);
        json_since(&json, "updated_s_ago", told->health.updated_ns);
        json_integer(&json, "waiting_bytes", (int64_t)told->waiting);
        json_integer(&json, "ring_used_max_bytes", (int64_t)told->health.used_max);
        json_open(&json, "counters", '{');
        for (int i = 0; i < COUNTER_COUNT; i++)
            json_integer(&json, counter_name((enum counter)i), (int64_t)told->counters[i]);
        json_close(&json, '}');
        json_connections(&json, &told->connections);
    }
    json_close(&json, '}');
    putchar('\n');
}

int pid_parse(const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    return *text && !*end && pid > 0 && pid <= INT32_MAX ? (int)pid : 0;
}

int verb_status(int argc, char **argv)
{
    static const struct option table[] = {{"json", no_argument, NULL, 'j'}, {0}};
    static struct status status;
    bool json = false;
    int letter;
    while ((letter = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        if (letter != 'j')
            return complain_option("status", argv);
        json = true;
    }
    status.pid = optind + 1 == argc ? pid_parse(argv[optind]) : 0;
    if (status.pid == 0) {
        complain("status", "name one process by its number", NULL);
        return STATUS_USAGE;
    }
    judge(&status);
    if (json)
        print_json(&status);
    else
        print_text(&status);
    for (unsigned i = 0; i < status.reason_count; i++)
        free(status.reasons[i]);
    return (int)status.verdict;
}
