/* SPDX-License-Identifier: Apache-2.0 */
/* burdock run: starts a command with the library in it. Nothing is ever written to stdout. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "archive.h"
#include "cli.h"
#include "config_file.h"
#include "leftovers.h"
#include "library.h"
#include "lost.h"
#include "relay.h"
#include "spool.h"
#include "store.h"
#include "summary.h"
#include "supervise.h"

enum summary_mode { SUMMARY_AUTO, SUMMARY_ALWAYS, SUMMARY_NEVER };

struct run_options {
    const char *service, *endpoint, *store;
    enum summary_mode summary;
    bool exec, help, java, heap;
};

static bool summary_parse(const char *text, enum summary_mode *mode)
{
    static const char *const names[] = {"auto", "always", "never"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum summary_mode)i;
            return true;
        }
    }
    return false;
}

static bool option_take(struct run_options *options, int letter)
{
    switch (letter) {
    case 's':
        options->service = optarg;
        return *optarg != 0;
    case 'e':
        options->endpoint = optarg;
        return *optarg != 0;
    case 'o':
        options->store = optarg;
        return *optarg != 0;
    case 'q':
        options->summary = SUMMARY_NEVER;
        return true;
    case 'x':
        options->exec = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    case 'j':
        options->java = true;
        return true;
    case 'w':
        options->heap = true;
        return true;
    case 'm':
        return summary_parse(optarg, &options->summary);
    default:
        return false;
    }
}

/* Stops at the first word that is not an option: what follows belongs to the command. */
static bool parse(int argc, char **argv, struct run_options *options)
{
    static const struct option table[] = {{"service", required_argument, NULL, 's'},
        {"endpoint", required_argument, NULL, 'e'}, {"store", required_argument, NULL, 'o'},
        {"quiet", no_argument, NULL, 'q'}, {"exec", no_argument, NULL, 'x'},
        {"summary", required_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'},
        {"java", no_argument, NULL, 'j'}, {"heap", no_argument, NULL, 'w'}, {0}};
    int letter;
    bool good = true;
    while (good && (letter = getopt_long(argc, argv, "+:s:o:qh", table, NULL)) != -1)
        good = option_take(options, letter);
    return good;
}

/* The command may change its directory before it writes. */
static char *absolute(const char *path)
{
    char *here = *path == '/' ? NULL : getcwd(NULL, 0);
    char *result = here ? format_text("%s/%s", here, path) : duplicate(path);
    free(here);
    return result;
}

static bool run_id_set(char run_id[RUN_ID_BYTES])
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return false;
    snprintf(run_id, RUN_ID_BYTES, "%016" PRIx64, number);
    return setenv("BURDOCK_RUN", run_id, 1) == 0;
}

/* Beside those that are named, or that are on by default. */
static void carrier_add(const char *name)
{
    const char *given = getenv("BURDOCK_CARRIERS");
    char *list = format_text("%s,%s", given && *given ? given : "python,lua,node", name);
    setenv("BURDOCK_CARRIERS", list, 1);
    free(list);
}

/* We hand on our own environment, changed: what the command sees is what settings_read sees. heap:
 * the library that watches the allocator; NULL: it is not wanted. */
static void environment_set(
    const struct run_options *options, const char *library, const char *heap)
{
    const char *preload = getenv("LD_PRELOAD");
    if (heap != NULL) /* behind ours, before another allocator */
        preload = library_preload(heap, preload);
    setenv("LD_PRELOAD", library_preload(library, preload), 1);
    if (options->service)
        setenv("OTEL_SERVICE_NAME", options->service, 1);
    if (options->java)
        carrier_add("java");
    if (options->store)
        setenv("BURDOCK_STORE", absolute(options->store), 1);
    if (options->endpoint) {
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", options->endpoint, 1);
        unsetenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); /* it would win */
    }
}

static int complain_launch(const char *command, int error)
{
    if (error == ENOENT) {
        complain(command, "command not found", NULL);
        return STATUS_NOT_FOUND;
    }
    complain(command, strerror(error), NULL);
    return STATUS_NOT_EXECUTABLE;
}

static bool summary_wanted(const struct run_options *options)
{
    if (options->summary != SUMMARY_AUTO)
        return options->summary == SUMMARY_ALWAYS;
    return isatty(STDERR_FILENO);
}

static struct config settings; /* those that the command has, too */

/* By root, before the service changes its user: after that it could not make the directory. */
static void store_ready(void)
{
    if (settings.disabled)
        return; /* else: what cannot be made is the doctor's to explain */
    if (settings.signals[SIGNAL_TRACES].destination == DESTINATION_STORE)
        store_make(settings.store_directory);
    spool_make(&settings);
}

/* Started anew if it was killed meanwhile. What cannot be sent waits in the spool; to tell why is
 * the doctor's. */
static void relay_watch(void)
{
    relay_ensure(&settings);
}

static int run_supervised(const struct run_options *options, char **argv, const char *run_id)
{
    uint64_t lost[COUNTER_COUNT] = {0};
    if (!settings.disabled)
        lost_begin(&settings, run_id);
    struct ending ending = supervise(argv, relay_is_needed(&settings) ? relay_watch : NULL);
    bool has_run = !ending.fork_failed && !ending.launch_error;
    if (ending.fork_failed)
        complain(argv[0], strerror(errno), NULL);
    else if (ending.launch_error)
        complain_launch(argv[0], ending.launch_error);
    if (has_run)
        leftovers_recover(&settings, run_id, lost);
    lost_end(&settings, run_id, lost);
    if (has_run && summary_wanted(options))
        summary_print(&settings, run_id, lost);
    return ending_status(&ending);
}

/* Process 1 away from a terminal is a container's: nobody reads a summary, and signals, orphans and
 * the exit status are simplest without anything in between. */
static bool exec_wanted(const struct run_options *options)
{
    return options->exec || (getpid() == 1 && !isatty(STDERR_FILENO));
}

static int launch(const struct run_options *options, char **argv)
{
    char *library, run_id[RUN_ID_BYTES];
    if (!config_file_apply(options->summary != SUMMARY_NEVER))
        return STATUS_LAUNCHER;
    enum library_problem problem = library_find(&library);
    if (problem != LIBRARY_FOUND) {
        library_complain(problem, library);
        return STATUS_LAUNCHER;
    }
    char *heap = options->heap ? library_heap(library) : NULL;
    if (heap != NULL && access(heap, R_OK) != 0) {
        complain(heap, strerror(errno), "--heap needs it; reinstall");
        return STATUS_LAUNCHER;
    }
    if (!run_id_set(run_id)) {
        complain("run", strerror(errno), NULL);
        return STATUS_LAUNCHER;
    }
    environment_set(options, library, heap);
    settings_read(&settings);
    store_ready();
    if (relay_is_needed(&settings))
        relay_watch();
    if (!exec_wanted(options))
        return run_supervised(options, argv, run_id);
    execvp(argv[0], argv);
    return complain_launch(argv[0], errno);
}

int verb_run(int argc, char **argv)
{
    struct run_options options = {0};
    if (!parse(argc, argv, &options)) {
        complain_option("run", argv);
        return STATUS_LAUNCHER;
    }
    if (options.help)
        return help_print("run", stdout) ? STATUS_OK : STATUS_FAILED;
    if (optind == argc) {
        complain("run", "no command given", "burdock run [options] -- COMMAND [ARGS]");
        return STATUS_LAUNCHER;
    }
    return launch(&options, argv + optind);
}
