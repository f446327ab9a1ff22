/* SPDX-License-Identifier: Apache-2.0 */
/* The command's table of verbs. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int verb_help(int argc, char **argv);

struct verb {
    const char *name;
    int (*call)(int argc, char **argv);
    const char *help;
};

static const char run_help[] =
    "Usage: burdock [run] [options] -- COMMAND [ARGS]\n"
    "Starts COMMAND with tracing and ends as it ends: same status, same signal.\n"
    "  -s, --service NAME   name of the service (OTEL_SERVICE_NAME)\n"
    "      --endpoint URL   send spans there (OTEL_EXPORTER_OTLP_ENDPOINT), e.g. http://host:4318\n"
    "  -o, --store DIR      keep spans in this directory (BURDOCK_STORE)\n"
    "  -q, --quiet          no summary\n"
    "      --summary=WHEN   auto (on a terminal), always, never\n"
    "      --exec           become COMMAND: same process id, no summary\n"
    "      --java           follow what Java's executors run (BURDOCK_CARRIERS)\n"
    "      --heap           follow what is handed to worker threads in C and C++\n"
    "Options end at the first word that is not one. Nothing is written to stdout.\n"
    "Exit status: COMMAND's; 125 cannot start tracing, 126 cannot execute, 127 not found.\n"
    "Without an endpoint spans stay on this machine. BURDOCK_LIBRARY: path of libburdock.so.\n";

static const char show_help[] =
    "Usage: burdock show [options] [TRACE]\n"
    "One trace as a waterfall: the newest, or the one whose id begins with TRACE.\n"
    "  -a, --attributes     with the attributes of every span\n"
    "  -A, --all            every statement in a line of its own, not `x37 SELECT items`\n"
    "      --json           one JSON line for each span\n"
    "      --color=WHEN     auto, always, never; NO_COLOR is respected\n";

static const char ls_help[] = "Usage: burdock ls [options]\n"
                              "Recent traces, newest first.\n"
                              "  -n NUMBER            at most so many (20)\n"
                              "      --errors         only traces with errors\n"
                              "      --service NAME   only traces in which this service took part\n"
                              "      --json           one JSON line for each trace\n"
                              "      --color=WHEN     auto, always, never\n";

static const char sql_help[] =
    "Usage: burdock sql [options] [TRACE]\n"
    "Statements sent to databases, by the time they took: of all traces, or of those whose id\n"
    "begins with TRACE. /TRACE: how often a trace that has a statement has it.\n"
    "  -n NUMBER            at most so many (20)\n"
    "      --errors         only statements that failed\n"
    "      --service NAME   only those that this service sent\n"
    "      --json           one JSON line for each statement\n"
    "      --color=WHEN     auto, always, never\n";

static const char map_help[] =
    "Usage: burdock map [options]\n"
    "The ways of messages: who sends them where, who works on them, how long they wait in between\n"
    "(milliseconds). ?: that end is not traced, or its spans are not in the store.\n"
    "  -n NUMBER            at most so many (20)\n"
    "      --errors         only ways on which something failed\n"
    "      --service NAME   only those that begin or end with this service\n"
    "      --json           one JSON line for each way\n"
    "      --color=WHEN     auto, always, never\n";

static const char export_help[] =
    "Usage: burdock export [options]\n"
    "Sends stored spans to an OTLP endpoint, or writes them as OTLP JSON lines. Deletes nothing.\n"
    "  --endpoint URL       http:// or https://HOST:4318 (else OTEL_EXPORTER_OTLP_ENDPOINT)\n"
    "  --json FILE          write to FILE instead, - for stdout\n"
    "  --trace ID           only traces whose id begins so\n"
    "  --last               only the last run\n"
    "  --since DURATION     only spans that ended since: 90s, 15m, 2h, 7d\n";

static const char recover_help[] =
    "Usage: burdock recover [options]\n"
    "Sends what was left behind: spans and lines of logs of processes that died, and requests in\n"
    "the spool that wait for the endpoint. Without an endpoint the spans go to the local store.\n"
    "  --endpoint URL       http:// or https://HOST:4318 (else OTEL_EXPORTER_OTLP_ENDPOINT)\n"
    "  --store              spans into the local store, for whichever endpoint they were meant\n"
    "Exit status: 0 nothing is left, 1 something is (it stays where it was) or was lost, 2 "
    "usage.\n";

static const char relay_help[] =
    "Usage: burdock relay [--idle SECONDS]\n"
    "Sends by https and grpc for the processes of this user that have the same settings: those of\n"
    "OTEL_EXPORTER_OTLP_*, from the environment. burdock run starts one if it is needed; by hand, "
    "or\n"
    "as a service, it is for programs that get the library by LD_PRELOAD alone.\n"
    "      --idle SECONDS   end when nobody has needed it for so long; 0, the default: never\n"
    "What goes wrong is told on stderr. Exit status: 0, 1 it cannot listen, 2 it is not needed.\n";

static const char doctor_help[] =
    "Usage: burdock doctor [-- COMMAND | PID]\n"
    "Why is there no trace? Checks the installation and the settings, then COMMAND's file, or a\n"
    "living process. Every finding is a line: ok, warn or fail, with its remedy.\n"
    "Exit status: 0 no problem (warnings allowed), 1 problems, 2 wrong usage.\n";

static const char status_help[] =
    "Usage: burdock status [--json] PID\n"
    "Is the process traced, and does what is traced arrive? One word and the reasons.\n"
    "Exit status: 0 healthy, 1 degraded, 2 not traced, no such process, or wrong usage.\n"
    "Degraded: spans were dropped or requests failed within a minute or since the last success,\n"
    "the exporter is stuck or could not start, or the library stopped observing.\n";

static const char metrics_help[] =
    "Usage: burdock metrics [PID]\n"
    "What processes with OTEL_METRICS_EXPORTER=prometheus measured: of all that this user may\n"
    "read, or of one; in Prometheus' text format.\n"
    "Exit status: 0, 1 there are none, 2 wrong usage.\n";

static const char allow_help[] =
    "Usage: burdock allow SERVICE\n"
    "Traces a service again that its crash guard leaves alone; burdock doctor lists these.\n"
    "It takes effect when the service is started next.\n";

static const char main_help[] =
    "Usage: burdock [run] [options] -- COMMAND [ARGS]   trace an unmodified program\n"
    "       burdock VERB [options]                      look at what was traced\n"
    "See:   show    one trace as a waterfall            ls      recent traces\n"
    "       sql     statements to databases, by time    map     the ways of messages\n"
    "Send:  export  to an OTLP endpoint or a file       recover what dead processes left\n"
    "       relay   sends by https and grpc, as a service\n"
    "Help:  doctor  why is there no trace?              help VERB\n"
    "       status  does what a process does arrive?    metrics for Prometheus\n"
    "       allow   trace a service again that was left alone after crashes\n"
    "run:   -s NAME service   -o DIR store   --endpoint URL   -q quiet   --exec\n"
    "       --summary=auto|always|never   --java   follow what executors run\n"
    "       --heap   follow requests that are handed to worker threads in C and C++\n"
    "Traces stay on this machine unless OTEL_EXPORTER_OTLP_ENDPOINT is set. NO_COLOR respected.\n";

static const struct verb verbs[] = {
    {"run", verb_run, run_help},
    {"show", verb_show, show_help},
    {"ls", verb_ls, ls_help},
    {"sql", verb_sql, sql_help},
    {"map", verb_map, map_help},
    {"export", verb_export, export_help},
    {"recover", verb_recover, recover_help},
    {"relay", verb_relay, relay_help},
    {"doctor", verb_doctor, doctor_help},
    {"status", verb_status, status_help},
    {"metrics", verb_metrics, metrics_help},
    {"allow", verb_allow, allow_help},
    {"help", verb_help, main_help},
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0], DISTANCE_MAX = 2, WORD_MAX = 16 };

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int smallest(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Letters to insert, remove or replace to get from one word to the other. */
static int distance(const char *from, const char *to)
{
    int row[WORD_MAX + 1] = {0};
    int length = (int)strlen(to);
    for (int i = 0; i <= length; i++)
        row[i] = i;
    for (int i = 1; from[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int here = smallest(row[j] + 1, row[j - 1] + 1, diagonal + (from[i - 1] != to[j - 1]));
            diagonal = row[j];
            row[j] = here;
        }
    }
    return row[length];
}

static int complain_unknown(const char *word)
{
    const char *nearest = NULL;
    int least = DISTANCE_MAX + 1;
    for (size_t i = 0; i < VERB_COUNT && strlen(word) <= WORD_MAX; i++) {
        int steps = distance(word, verbs[i].name);
        if (steps < least) {
            least = steps;
            nearest = verbs[i].name;
        }
    }
    char *fix = nearest ? format_text("did you mean burdock %s?", nearest)
                        : format_text("to trace it: burdock run %s", word);
    complain(word, "no such verb", fix);
    free(fix);
    return STATUS_USAGE;
}

bool help_print(const char *name, FILE *stream)
{
    const struct verb *verb = verb_find(name);
    if (verb)
        fputs(verb->help, stream);
    return verb != NULL;
}

static int verb_help(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    return help_print(name, stdout) ? STATUS_OK : complain_unknown(name);
}

static int print_version(void)
{
    puts("burdock " BURDOCK_VERSION);
    return STATUS_OK;
}

static bool asks_for_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

static int dispatch(int argc, char **argv)
{
    const char *word = argv[1];
    const struct verb *verb = verb_find(word);
    if (asks_for_help(argc, argv))
        return verb_help(1, argv);
    if (strcmp(word, "--version") == 0)
        return print_version();
    if (*word == '-')
        return verb_run(argc, argv); /* burdock -- COMMAND, burdock -s shop -- COMMAND */
    if (!verb)
        return complain_unknown(word);
    if (asks_for_help(argc - 1, argv + 1))
        return help_print(word, stdout) ? STATUS_OK : STATUS_FAILED;
    return verb->call(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        fputs(main_help, stderr);
        return STATUS_USAGE;
    }
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 && status == STATUS_OK)
        status = STATUS_FAILED;
    return status;
}
