/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on this installation and on the settings of this environment. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "endpoint.h"
#include "findings.h"
#include "guards.h"
#include "library.h"

/* Runs /bin/true with the library; anything on stderr comes into words. Answers the wait status. */
static int run_true(const char *library, char *words, size_t room)
{
    int out[2], status = -1;
    pid_t child;
    char *preload = format_text("LD_PRELOAD=%s", library);
    char *const arguments[] = {"true", NULL}, *const environment[] = {preload, NULL};
    posix_spawn_file_actions_t actions;
    words[0] = 0;
    if (pipe2(out, O_CLOEXEC) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    int failure = posix_spawn(&child, "/bin/true", &actions, NULL, arguments, environment);
    close(out[1]);
    if (failure == 0) {
        ssize_t length = read(out[0], words, room - 1);
        words[length > 0 ? length : 0] = 0;
        words[strcspn(words, "\n")] = 0;
        waitpid(child, &status, 0);
    }
    close(out[0]);
    posix_spawn_file_actions_destroy(&actions);
    free(preload);
    return status;
}

static void check_loads(struct findings *findings, const char *library)
{
    char words[512];
    int status = run_true(library, words, sizeof words);
    if (status == 0 && !*words)
        finding_add(findings, FINDING_OK, format_text("%s loads", library), NULL);
    else
        finding_add(findings, FINDING_FAIL,
            format_text("%s does not load into /bin/true: %s", library,
                *words ? words : "it ended with an error"),
            "reinstall for this architecture and C library");
}

void doctor_installation(struct findings *findings)
{
    char *library;
    switch (library_find(&library)) {
    case LIBRARY_FOUND:
        check_loads(findings, library);
        break;
    case LIBRARY_MISSING:
        finding_add(findings, FINDING_FAIL, format_text("library not found: %s", library),
            "reinstall, or set BURDOCK_LIBRARY to its path");
        break;
    case LIBRARY_UNUSABLE_PATH:
        finding_add(findings, FINDING_FAIL,
            format_text("LD_PRELOAD cannot hold a path with a space or a colon: %s", library),
            "move the library or set BURDOCK_LIBRARY");
        break;
    }
    free(library);
}

static void check_preload_entry(struct findings *findings, const char *entry)
{
    /* Without a slash the dynamic linker searches its own path. */
    if (strchr(entry, '/') && !strchr(entry, '$') && access(entry, R_OK) != 0)
        finding_add(findings, FINDING_WARN,
            format_text("LD_PRELOAD names %s: %s", entry, strerror(errno)),
            "remove it from LD_PRELOAD");
}

static void check_preload(struct findings *findings)
{
    const char *existing = getenv("LD_PRELOAD");
    char *entries = duplicate(existing ? existing : ""), *rest = entries, *entry;
    while ((entry = strsep(&rest, " :")))
        check_preload_entry(findings, entry);
    free(entries);
}

/* The nearest directory that exists decides whether the rest can be made. */
static bool can_write(const char *directory)
{
    struct stat facts;
    char *path = duplicate(directory), *slash;
    while (stat(path, &facts) != 0 && errno == ENOENT && (slash = strrchr(path, '/'))) {
        slash[slash == path] = 0;
        if (slash == path)
            break;
    }
    bool good = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode) && access(path, W_OK | X_OK) == 0;
    int error = S_ISDIR(facts.st_mode) ? errno : ENOTDIR;
    free(path);
    errno = error;
    return good;
}

static void check_store(struct findings *findings, const struct config *settings)
{
    const char *directory = settings->store_directory;
    if (!*directory)
        finding_add(findings, FINDING_FAIL, format_text("there is no directory for the store"),
            "set BURDOCK_STORE or HOME");
    else if (can_write(directory))
        finding_add(findings, FINDING_OK, format_text("store %s is writable", directory), NULL);
    else
        finding_add(findings, FINDING_FAIL,
            format_text("store %s cannot be written: %s", directory, strerror(errno)),
            "change its permissions or set BURDOCK_STORE");
}

static void check_endpoint(struct findings *findings, const struct config *settings)
{
    const char *why = endpoint_unreachable(settings->urls[SIGNAL_TRACES]);
    if (!why)
        finding_add(findings, FINDING_OK,
            format_text("endpoint %s is reachable", settings->urls[SIGNAL_TRACES]), NULL);
    else
        finding_add(findings, FINDING_FAIL,
            format_text("endpoint %s is not reachable: %s", settings->urls[SIGNAL_TRACES], why),
            "start a collector or unset OTEL_EXPORTER_OTLP_ENDPOINT");
}

static const char *place_of(const struct config *settings, uint8_t outlet)
{
    return outlet == 0 ? settings->outlet_paths[SIGNAL_TRACES] : outlet == 1 ? "stdout" : "stderr";
}

static void check_destination(struct findings *findings, const struct config *settings)
{
    if (settings->signals[SIGNAL_TRACES].is_relayed)
        return; /* the relay tells, or that there is none */
    if (settings->signals[SIGNAL_TRACES].destination == DESTINATION_OTLP)
        check_endpoint(findings, settings);
    else if (settings->signals[SIGNAL_TRACES].destination == DESTINATION_STORE)
        check_store(findings, settings);
    else if (settings->signals[SIGNAL_TRACES].destination != DESTINATION_NONE)
        finding_add(findings, FINDING_OK,
            format_text("spans are written to %s",
                place_of(settings, settings->signals[SIGNAL_TRACES].outlet)),
            NULL);
    else
        finding_add(findings, FINDING_FAIL, format_text("OTEL_TRACES_EXPORTER is none"),
            "unset OTEL_TRACES_EXPORTER");
}

static void check_copies(struct findings *findings, const struct config *settings)
{
    const struct config_signal *spans = &settings->signals[SIGNAL_TRACES];
    for (unsigned i = 0; i < spans->copy_count; i++)
        finding_add(findings, FINDING_OK,
            format_text(
                "spans are written to %s, too", place_of(settings, spans->copies[i].outlet)),
            NULL);
}

/* Only the first of them are kept; a problem may concern no single variable. */
static void check_problems(struct findings *findings, const struct config *settings)
{
    for (uint32_t i = 0; i < settings->problem_count && i < CONFIG_PROBLEMS_MAX; i++) {
        const struct config_problem *problem = &settings->problems[i];
        char *what = *problem->variable ? format_text("%s: %s", problem->variable, problem->why)
                                        : duplicate(problem->why);
        finding_add(findings, FINDING_WARN, what, "correct or unset it");
    }
}

void doctor_switches(struct findings *findings, const struct config *settings)
{
    if (settings->disabled)
        finding_add(findings, FINDING_FAIL,
            format_text("BURDOCK_DISABLED is set: nothing is traced"), "unset BURDOCK_DISABLED");
    if (settings->sdk_disabled)
        finding_add(findings, FINDING_FAIL,
            format_text("OTEL_SDK_DISABLED is true: nothing is recorded"),
            "unset OTEL_SDK_DISABLED");
    if (settings->sampler == SAMPLER_ALWAYS_OFF)
        finding_add(findings, FINDING_WARN,
            format_text("OTEL_TRACES_SAMPLER drops everything that begins here"),
            "unset OTEL_TRACES_SAMPLER");
    if (settings->sampler == SAMPLER_RATIO && settings->sampler_ratio < 1)
        finding_add(findings, FINDING_WARN,
            format_text("OTEL_TRACES_SAMPLER keeps %g of all traces", settings->sampler_ratio),
            "unset OTEL_TRACES_SAMPLER to keep all");
    check_problems(findings, settings);
}

static void tell_guard(const char *path, const struct guard *guard, void *findings)
{
    if (guard->denied_s != 0)
        finding_add(findings, FINDING_WARN, guard_reason(guard),
            "report it; burdock allow SERVICE traces it again");
}

void doctor_settings(struct findings *findings)
{
    struct config settings;
    settings_read(&settings);
    guards_visit(&settings, tell_guard, findings);
    doctor_switches(findings, &settings);
    doctor_unknown_here(findings);
    check_destination(findings, &settings);
    check_copies(findings, &settings);
    doctor_relay(findings, &settings, geteuid());
    check_preload(findings);
}
